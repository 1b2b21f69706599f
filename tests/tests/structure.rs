//! The source tree keeps its shape: no files that import each other in a
//! circle, no words that this project avoids, and the kinds of database are
//! distinguished in few places only.

use std::path::{Path, PathBuf};

use tests::structure::circles::{circles, describe};
use tests::structure::decisions::decisions;
use tests::structure::imports::imports;
use tests::structure::tree::{Root, Tree};
use tests::structure::words;

/// The crates whose files must not import each other in a circle. Nothing
/// imports an executable, so it needs no name.
const ROOTS: [(&str, &str); 13] = [
    ("shared", "shared/src/lib.rs"),
    ("worker", "worker/src/lib.rs"),
    ("", "worker/src/main.rs"),
    ("coordinator", "coordinator/src/lib.rs"),
    ("", "coordinator/src/main.rs"),
    ("harness", "tests/harness/src/lib.rs"),
    ("", "tests/harness/src/bin/services.rs"),
    ("", "tests/harness/src/bin/tpch.rs"),
    ("standin", "tests/standin/src/lib.rs"),
    ("", "tests/standin/src/main.rs"),
    ("tests", "tests/src/lib.rs"),
    ("", "tests/src/bin/bench/main.rs"),
    ("", "tests/src/bin/chaos/main.rs"),
];

/// The files that may distinguish PostgreSQL and SQL Server: one chooses the
/// implementation, the other one parses URLs.
const CHOICES: [&str; 2] = [
    "worker/src/engine/database/kinds.rs",
    "shared/src/endpoint/",
];

/// The extensions of the files whose words are checked.
const WRITTEN: [&str; 6] = ["rs", "md", "sh", "toml", "yaml", "sql"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn tree() -> Tree {
    let roots = ROOTS.map(|(name, file)| Root {
        name: name.to_owned(),
        file: file.into(),
    });
    let repository = repository();
    let read = |file: &Path| std::fs::read_to_string(repository.join(file)).ok();
    Tree::read(&roots, &read).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = imports(&tree());
    let found: Vec<String> = circles(&imports)
        .iter()
        .map(|circle| describe(circle, &imports))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    // A check that reads nothing finds nothing.
    assert!(
        imports.len() > 100,
        "only {} files import anything",
        imports.len()
    );
}

#[test]
fn kinds_of_database_are_distinguished_only_where_one_is_chosen() {
    let tree = tree();
    let mut found = Vec::new();
    let mut allowed = 0;
    for module in &tree.modules {
        let lines = decisions(&module.code, "DatabaseKind");
        let file = module.file.display().to_string();
        if file.starts_with("tests/") {
            continue;
        }
        if CHOICES.iter().any(|place| file.starts_with(place)) {
            allowed += lines.len();
        } else {
            found.extend(lines.iter().map(|line| format!("{file}:{line}")));
        }
    }
    assert!(
        found.is_empty(),
        "DatabaseKind decides something outside of {}:\n{}",
        CHOICES.join(", "),
        found.join("\n")
    );
    assert!(allowed > 0, "DatabaseKind decides nothing anywhere");
}

#[test]
fn words_that_are_avoided_stand_nowhere() {
    let repository = repository();
    let list = repository.join("tests/words.txt");
    let list = words::read_list(&std::fs::read_to_string(list).unwrap()).unwrap();
    let mut found = Vec::new();
    for file in written_files(&repository) {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(&repository).unwrap();
        found.extend(words::find(name, &text, &list));
    }
    assert!(
        found.is_empty(),
        "{} words:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// The project's own files, without what is built or hidden.
fn written_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory of the repository") {
        let path = entry.expect("an entry of it").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                files.extend(written_files(&path));
            }
        } else if path
            .extension()
            .is_some_and(|end| WRITTEN.iter().any(|written| end == *written))
        {
            files.push(path);
        }
    }
    files.sort();
    files
}

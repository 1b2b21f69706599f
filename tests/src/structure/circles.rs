//! Files that import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::imports::Imports;

/// The groups of files in which each imports every other, directly or through
/// others of the group.
#[must_use]
pub fn circles(imports: &Imports) -> Vec<BTreeSet<PathBuf>> {
    let reachable: BTreeMap<&Path, BTreeSet<&Path>> = imports
        .keys()
        .map(|file| (file.as_path(), reachable_from(file, imports)))
        .collect();
    let mut found: Vec<BTreeSet<PathBuf>> = Vec::new();
    for (file, others) in &reachable {
        let back = |other: &&&Path| {
            reachable
                .get(**other)
                .is_some_and(|back| back.contains(file))
        };
        let circle: BTreeSet<PathBuf> = others
            .iter()
            .filter(back)
            .map(|other| other.to_path_buf())
            .collect();
        if !circle.is_empty() && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

/// Every file that `file` imports, directly or through others.
fn reachable_from<'a>(file: &Path, imports: &'a Imports) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Path> = imports.get(file).into_iter().flat_map(next).collect();
    while let Some(other) = open.pop() {
        if reached.insert(other) {
            open.extend(imports.get(other).into_iter().flat_map(next));
        }
    }
    reached
}

fn next(names: &BTreeMap<PathBuf, BTreeSet<String>>) -> impl Iterator<Item = &Path> {
    names.keys().map(PathBuf::as_path)
}

/// A circle for a failed test: each import in it, with the imported names.
#[must_use]
pub fn describe(circle: &BTreeSet<PathBuf>, imports: &Imports) -> String {
    let mut text = format!("{} files import each other in a circle:\n", circle.len());
    for file in circle {
        for (other, names) in imports.get(file).into_iter().flatten() {
            if circle.contains(other) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let names = names.join(", ");
                writeln!(
                    text,
                    "  {} imports {names} from {}",
                    file.display(),
                    other.display()
                )
                .expect("writing to a String cannot fail");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::imports::imports;
    use super::super::tree::{Root, Tree};
    use super::*;

    /// The circles of a crate `house` and an executable that are made of `files`.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let roots = [("house", "src/lib.rs"), ("", "src/main.rs")].map(|(name, file)| Root {
            name: name.to_owned(),
            file: file.into(),
        });
        let read = |path: &Path| {
            let named = files.iter().find(|(file, _)| Path::new(file) == path);
            let empty = (path == Path::new("src/main.rs")).then_some("");
            named
                .map(|(_, source)| *source)
                .or(empty)
                .map(str::to_owned)
        };
        let tree = Tree::read(&roots, &read).unwrap();
        let imports = imports(&tree);
        circles(&imports)
            .iter()
            .map(|circle| describe(circle, &imports))
            .collect()
    }

    #[test]
    fn a_circle_through_an_export_and_a_path_is_found_with_its_names() {
        let circles = found(&[
            ("src/lib.rs", "pub mod a; mod b; mod c;"),
            ("src/a/mod.rs", "mod inner; pub use inner::Inner;"),
            (
                "src/a/inner.rs",
                "use crate::{b::{self, B}}; pub struct Inner(B); fn f() { b::make() }",
            ),
            (
                "src/b.rs",
                "pub struct B; pub fn make() { super::c::go(); }",
            ),
            ("src/c.rs", "use super::*; pub fn go() -> a::Inner {}"),
        ]);
        assert_eq!(
            circles,
            ["3 files import each other in a circle:
  src/a/inner.rs imports B, make from src/b.rs
  src/b.rs imports go from src/c.rs
  src/c.rs imports Inner from src/a/inner.rs
"]
        );
    }

    #[test]
    fn a_module_that_defines_something_counts_with_what_it_uses() {
        let circles = found(&[
            ("src/lib.rs", "pub mod a;"),
            ("src/a.rs", "pub mod b; pub use b::{B, C}; pub struct A(B);"),
            ("src/a/b.rs", "pub struct B; pub struct C(super::A);"),
        ]);
        assert_eq!(
            circles,
            ["2 files import each other in a circle:
  src/a/b.rs imports A from src/a.rs
  src/a.rs imports B from src/a/b.rs
"]
        );
    }

    #[test]
    fn neither_tests_nor_exports_nor_names_of_other_crates_make_a_circle() {
        let circles = found(&[
            (
                "src/lib.rs",
                "pub mod a; mod b; pub use a::A; #[cfg(test)] mod t;",
            ),
            (
                "src/a.rs",
                "use std::b::B; /// [`crate::b::B`] \n pub struct A(B); #[cfg(test)] mod tests { use crate::b::C; }",
            ),
            ("src/b.rs", "use crate::A; pub struct B(A); pub struct C;"),
            ("src/main.rs", "mod a; fn main() { house::a::A; }"),
        ]);
        assert_eq!(circles, [""; 0]);
    }

    #[test]
    fn an_executable_is_a_crate_of_its_own() {
        let circles = found(&[
            ("src/lib.rs", ""),
            (
                "src/main.rs",
                "mod serve; pub fn stop() {} fn main() { serve::serve() }",
            ),
            ("src/serve.rs", "pub fn serve() { crate::stop() }"),
        ]);
        assert_eq!(circles.len(), 1, "{circles:?}");
    }
}

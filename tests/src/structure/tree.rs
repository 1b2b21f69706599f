//! The module tree of a crate: its files, what each module defines and what it
//! imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::tokens::{Token, production_tokens, starts_with};

/// Where the source of a file comes from: the disk, or a test.
pub type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// A crate by the name that paths use, and the file that is its root.
#[derive(Debug, Clone)]
pub struct Root {
    /// The name; empty for an executable, which nothing imports.
    pub name: String,
    /// Its `lib.rs` or `main.rs`.
    pub file: PathBuf,
}

/// The place of a module in [`Tree::modules`].
pub type ModuleId = usize;

/// A module: a file, or a block in one.
#[derive(Debug, Default)]
pub struct Module {
    /// The file that holds it.
    pub file: PathBuf,
    /// The module around it; a root is its own.
    pub parent: ModuleId,
    /// The root of its crate.
    pub root: ModuleId,
    /// The modules in it, by name.
    pub children: BTreeMap<String, ModuleId>,
    /// The items that it defines.
    pub items: BTreeSet<String>,
    /// What it imports, by the name that this gets here.
    pub imports: Vec<Import>,
    /// All its tokens but those of its modules and imports.
    pub code: Vec<Token>,
}

/// One name of a `use`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The path as written.
    pub path: Vec<String>,
    /// The name here; `*` for all names of the path.
    pub name: String,
    /// Whether it exports the name on.
    pub public: bool,
}

/// Every module that is compiled outside of tests.
#[derive(Debug, Default)]
pub struct Tree {
    /// All modules; an index is a [`ModuleId`].
    pub modules: Vec<Module>,
    /// The roots of the libraries by name.
    pub crates: BTreeMap<String, ModuleId>,
}

impl Tree {
    /// Reads the crates.
    ///
    /// # Errors
    ///
    /// A file that a root or a `mod` names and that does not exist.
    pub fn read(roots: &[Root], read: Read<'_>) -> Result<Self, String> {
        let mut tree = Self::default();
        for root in roots {
            let id = tree.modules.len();
            let tokens = tokens_of(&root.file, read)?;
            let directory = root.file.parent().unwrap_or(Path::new("")).to_owned();
            let place = Place {
                file: root.file.clone(),
                directory,
                parent: id,
                root: id,
            };
            tree.add(&place, &tokens, read)?;
            if !root.name.is_empty() {
                tree.crates.insert(root.name.clone(), id);
            }
        }
        Ok(tree)
    }

    fn add(&mut self, place: &Place, tokens: &[Token], read: Read<'_>) -> Result<ModuleId, String> {
        let id = self.modules.len();
        self.modules.push(Module {
            file: place.file.clone(),
            parent: place.parent,
            root: place.root,
            ..Module::default()
        });
        let mut depth = 0_usize;
        let mut next = 0;
        while next < tokens.len() {
            let token = &tokens[next];
            match token.text.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            let begins = next == 0 || !matches!(tokens[next - 1].text.as_str(), "::" | "." | "$");
            if begins && token.text == "use" {
                let end = position(tokens, next, ";");
                let public = is_public(&tokens[..next]);
                read_use(
                    &tokens[next + 1..end],
                    &[],
                    public,
                    &mut self.modules[id].imports,
                );
                next = end + 1;
                continue;
            }
            if begins && depth == 0 && token.text == "mod" && next + 2 < tokens.len() {
                next = self.add_child(id, place, tokens, next, read)?;
                continue;
            }
            if let Some(name) = defined_name(&tokens[next..]).filter(|_| depth == 0) {
                self.modules[id].items.insert(name);
            }
            self.modules[id].code.push(token.clone());
            next += 1;
        }
        Ok(id)
    }

    /// Adds the module whose `mod` is at `at`, and returns the index behind it.
    fn add_child(
        &mut self,
        parent: ModuleId,
        place: &Place,
        tokens: &[Token],
        at: usize,
        read: Read<'_>,
    ) -> Result<usize, String> {
        let name = &tokens[at + 1].text;
        let directory = place.directory.join(name);
        let (file, directory, content, end) = if tokens[at + 2].text == "{" {
            let end = closing(tokens, at + 2);
            (
                place.file.clone(),
                directory,
                tokens[at + 3..end].to_vec(),
                end,
            )
        } else {
            let flat = place.directory.join(format!("{name}.rs"));
            let file = if read(&flat).is_some() {
                flat
            } else {
                directory.join("mod.rs")
            };
            let content = tokens_of(&file, read)?;
            (file, directory, content, at + 2)
        };
        let inner = Place {
            file,
            directory,
            parent,
            root: place.root,
        };
        let id = self.add(&inner, &content, read)?;
        self.modules[parent].children.insert(name.clone(), id);
        Ok(end + 1)
    }
}

/// Where a module is while it is read.
struct Place {
    file: PathBuf,
    /// Where the files of its modules are.
    directory: PathBuf,
    parent: ModuleId,
    root: ModuleId,
}

fn tokens_of(file: &Path, read: Read<'_>) -> Result<Vec<Token>, String> {
    let source = read(file).ok_or_else(|| format!("{} does not exist", file.display()))?;
    Ok(production_tokens(&source))
}

fn position(tokens: &[Token], from: usize, text: &str) -> usize {
    let found = tokens[from..].iter().position(|token| token.text == text);
    found.map_or(tokens.len(), |index| from + index)
}

fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return index,
            "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Whether the tokens before an item end with its visibility.
fn is_public(before: &[Token]) -> bool {
    match before.last().map(|token| token.text.as_str()) {
        Some("pub") => true,
        Some(")") => {
            let open = before.iter().rposition(|token| token.text == "(");
            open.is_some_and(|open| open > 0 && before[open - 1].text == "pub")
        }
        _ => false,
    }
}

/// The name of the item that begins here.
fn defined_name(tokens: &[Token]) -> Option<String> {
    if starts_with(tokens, &["macro_rules", "!"]) {
        return tokens.get(2).map(|token| token.text.clone());
    }
    let keyword = tokens.first()?.text.as_str();
    let item = matches!(
        keyword,
        "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static"
    );
    let name = tokens.get(1).filter(|token| item && token.is_word())?;
    Some(name.text.clone())
}

/// Reads what stands between `use` and its semicolon.
fn read_use(tokens: &[Token], prefix: &[String], public: bool, imports: &mut Vec<Import>) {
    let mut path = prefix.to_vec();
    let mut alias = None;
    let mut next = 0;
    while next < tokens.len() {
        match tokens[next].text.as_str() {
            "::" => {}
            "{" => {
                let end = closing(tokens, next);
                for part in split_at_commas(&tokens[next + 1..end]) {
                    read_use(part, &path, public, imports);
                }
                return;
            }
            "as" => {
                alias = tokens.get(next + 1).map(|token| token.text.clone());
                next += 1;
            }
            // `a::{self}` is `a`.
            "self" if !path.is_empty() => {}
            segment => path.push(segment.to_owned()),
        }
        next += 1;
    }
    if path.last().is_some_and(|last| last == "*") {
        path.pop();
        alias = Some("*".to_owned());
    }
    if let Some(name) = alias.or_else(|| path.last().cloned()) {
        imports.push(Import { path, name, public });
    }
}

fn split_at_commas(tokens: &[Token]) -> Vec<&[Token]> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 0 => {
                parts.push(&tokens[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    // Behind a last comma is nothing.
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_read_with_its_groups_and_names() {
        let tokens = production_tokens("a::{b::{C as D, self}, e::*, super::f,}");
        let mut imports = Vec::new();
        read_use(&tokens, &[], false, &mut imports);
        let read: Vec<String> = imports
            .iter()
            .map(|import| format!("{} {}", import.path.join("::"), import.name))
            .collect();
        assert_eq!(read, ["a::b::C D", "a::b b", "a::e *", "a::super::f f"]);
    }

    #[test]
    fn a_file_that_does_not_exist_is_an_error() {
        let root = Root {
            name: "x".to_owned(),
            file: "x/lib.rs".into(),
        };
        let read = |path: &Path| (path == Path::new("x/lib.rs")).then(|| "mod y;".to_owned());
        let error = Tree::read(&[root], &read).unwrap_err();
        assert_eq!(error, "x/y/mod.rs does not exist");
    }
}

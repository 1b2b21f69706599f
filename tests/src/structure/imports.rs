//! Which file takes which names from which other file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::tokens::Token;
use super::tree::{Import, Module, ModuleId, Tree};

/// The names that a file takes from each other file.
pub type Imports = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// The imports of all files.
///
/// A name that is exported on counts as taken from the file that defines it,
/// and an export alone is no import: a `mod.rs` that declares and exports
/// modules imports nothing.
#[must_use]
pub fn imports(tree: &Tree) -> Imports {
    let mut found = Imports::new();
    for (id, module) in tree.modules.iter().enumerate() {
        for path in paths(module) {
            let Some(Target::Item(owner, name)) = tree.resolve(id, &path, &mut Vec::new()) else {
                continue;
            };
            let file = &tree.modules[owner].file;
            if *file != module.file {
                let from = found.entry(module.file.clone()).or_default();
                from.entry(file.clone()).or_default().insert(name);
            }
        }
    }
    found
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Module(ModuleId),
    /// An item and the module that defines it.
    Item(ModuleId, String),
}

/// The paths that a module uses: its imports, and those written in its code.
fn paths(module: &Module) -> Vec<Vec<String>> {
    let written = paths_in(&module.code);
    let words: BTreeSet<&str> = module
        .code
        .iter()
        .map(|token| token.text.as_str())
        .collect();
    let used = |import: &&Import| !import.public || words.contains(import.name.as_str());
    let imported = module.imports.iter().filter(used).map(|import| {
        let mut path = import.path.clone();
        if import.name == "*" {
            path.push("*".to_owned());
        }
        path
    });
    imported.chain(written).collect()
}

/// Every `a::b::c` of `code`.
fn paths_in(code: &[Token]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut path: Vec<String> = Vec::new();
    for (index, token) in code.iter().enumerate() {
        let follows = index > 0 && code[index - 1].text == "::";
        if token.is_word() {
            if !follows {
                paths.push(std::mem::take(&mut path));
            }
            path.push(token.text.clone());
        } else if token.text != "::" {
            paths.push(std::mem::take(&mut path));
        }
    }
    paths.push(path);
    paths.retain(|path| path.len() > 1);
    paths
}

impl Tree {
    /// Follows a path from a module to the item that it names. `visited` holds
    /// the exports that are being followed, which may lead back to themselves.
    fn resolve(
        &self,
        from: ModuleId,
        path: &[String],
        visited: &mut Vec<(ModuleId, String)>,
    ) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let module = &self.modules[from];
        let mut target = match first.as_str() {
            "crate" => Target::Module(module.root),
            "self" => Target::Module(from),
            "super" => Target::Module(module.parent),
            name => match self.lookup(from, name, visited) {
                Some(target) => target,
                None => Target::Module(*self.crates.get(name)?),
            },
        };
        for segment in rest {
            let Target::Module(id) = target else { break };
            target = match segment.as_str() {
                "super" => Target::Module(self.modules[id].parent),
                "*" => Target::Item(id, "*".to_owned()),
                name => self.lookup(id, name, visited)?,
            };
        }
        Some(target)
    }

    /// The module or item that `name` is in a module.
    fn lookup(
        &self,
        id: ModuleId,
        name: &str,
        visited: &mut Vec<(ModuleId, String)>,
    ) -> Option<Target> {
        let module = &self.modules[id];
        if module.items.contains(name) {
            return Some(Target::Item(id, name.to_owned()));
        }
        if let Some(child) = module.children.get(name) {
            return Some(Target::Module(*child));
        }
        let step = (id, name.to_owned());
        if visited.contains(&step) {
            return None;
        }
        visited.push(step);
        let target = self.lookup_in_imports(id, name, visited);
        visited.pop();
        target
    }

    fn lookup_in_imports(
        &self,
        id: ModuleId,
        name: &str,
        visited: &mut Vec<(ModuleId, String)>,
    ) -> Option<Target> {
        let imports = &self.modules[id].imports;
        let named = imports.iter().filter(|import| import.name == name);
        let mut found = named.filter_map(|import| {
            // `use serde::Serialize` at the root of the path is no import of itself.
            let own = import.path.first().is_some_and(|first| first == name);
            let target = if own {
                None
            } else {
                self.resolve(id, &import.path, visited)
            };
            target.or_else(|| self.resolve_in_crates(&import.path, visited))
        });
        if let Some(target) = found.next() {
            return Some(target);
        }
        drop(found);
        let all = imports.iter().filter(|import| import.name == "*");
        all.filter_map(|import| match self.resolve(id, &import.path, visited)? {
            Target::Module(other) if other != id => self.lookup(other, name, visited),
            _ => None,
        })
        .next()
    }

    fn resolve_in_crates(
        &self,
        path: &[String],
        visited: &mut Vec<(ModuleId, String)>,
    ) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let root = *self.crates.get(first)?;
        if rest.is_empty() {
            return Some(Target::Module(root));
        }
        self.resolve(root, rest, visited)
    }
}

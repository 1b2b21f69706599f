//! The scripts that are applied together, in order.

use std::path::{Path, PathBuf};

use shared::outcome::ForeignKey;

use super::error::ScriptError;
use super::header::Header;
use super::manifest::{MANIFEST, Manifest};
use super::order::{Ordered, RepairedTable, order};
use super::script_reader::Script;
use super::statement::Direction;
use super::undo::settle;

/// Scripts for one target, parents before children.
#[derive(Debug)]
pub(crate) struct ScriptSet {
    pub(crate) scripts: Vec<Script>,
    /// Of each script, the foreign keys that are checked at the end.
    pub(crate) deferred: Vec<Vec<ForeignKey>>,
    /// Of each script, whether its rows are deleted after all other changes.
    pub(crate) deletes_last: Vec<bool>,
}

impl ScriptSet {
    /// Reads scripts, manifests, directories of runs, and directories that have one of a
    /// run with scripts. With
    /// `undo`, a manifest selects the undo scripts. With `assume_applied`, a
    /// repair or a commit whose outcome is unknown counts as done.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or was changed, when the scripts do not belong
    /// together, or when they undo a repair that is not known to be applied.
    pub(crate) fn open(
        paths: &[PathBuf],
        undo: bool,
        assume_applied: bool,
    ) -> Result<Self, ScriptError> {
        let open = |path: &Path| {
            settle(path, assume_applied)?;
            Script::open(path)
        };
        let mut scripts = Vec::new();
        for path in paths {
            if path.is_dir() {
                if let Some(manifest) = manifest_in(path)? {
                    read_manifest(&manifest, undo, open, &mut scripts)?;
                }
            } else if path.extension().is_some_and(|suffix| suffix == "json") {
                read_manifest(path, undo, open, &mut scripts)?;
            } else {
                scripts.push(open(path)?);
            }
        }
        check(&scripts, undo)?;
        let not_applied = |script: &&Script| {
            let Header {
                direction, applied, ..
            } = script.header;
            direction == Direction::Undo && !applied && !assume_applied
        };
        if let Some(script) = scripts.iter().find(not_applied) {
            return Err(ScriptError::NotApplied(script.path.clone()));
        }
        Ok(Self::ordered(scripts))
    }

    fn ordered(scripts: Vec<Script>) -> Self {
        let tables: Vec<RepairedTable<'_>> = scripts
            .iter()
            .map(|script| RepairedTable {
                schema: &script.header.schema,
                table: &script.header.table,
                foreign_keys: &script.header.foreign_keys,
                // An undo goes through the order of the repair in reverse.
                counts: script.header.direction.orient_counts(script.present),
            })
            .collect();
        let Ordered {
            parents_first,
            mut deferred,
            deletes_last,
        } = order(&tables);
        let deletes_last = parents_first.iter().map(|at| deletes_last[*at]).collect();
        let mut scripts: Vec<Option<Script>> = scripts.into_iter().map(Some).collect();
        let (scripts, deferred) = parents_first
            .into_iter()
            .filter_map(|at| Some((scripts[at].take()?, std::mem::take(&mut deferred[at]))))
            .unzip();
        Self {
            scripts,
            deferred,
            deletes_last,
        }
    }
}

/// The manifest of the run whose directory this is, or of the only run in it that has
/// scripts; `None` if the runs in it have none.
fn manifest_in(directory: &Path) -> Result<Option<PathBuf>, ScriptError> {
    let own = directory.join(MANIFEST);
    if own.exists() {
        return Ok(Some(own));
    }
    let mut runs = Vec::new();
    let entries = std::fs::read_dir(directory).map_err(ScriptError::unreadable(directory))?;
    for entry in entries {
        let entry = entry.map_err(ScriptError::unreadable(directory))?;
        let path = entry.path().join(MANIFEST);
        if path.exists() {
            runs.push((Manifest::read(&path)?, path));
        }
    }
    if runs.is_empty() {
        return Err(ScriptError::NoRun(directory.to_owned()));
    }
    runs.retain(|(manifest, _)| !manifest.tables.is_empty());
    if runs.len() > 1 {
        // A run's identifier begins with its time.
        runs.sort_by(|(_, one), (_, other)| one.cmp(other));
        let names = runs.iter().map(|(manifest, path)| {
            let tables = manifest.tables.len();
            let noun = if tables == 1 { "table" } else { "tables" };
            let directory = path.parent().unwrap_or(path).display();
            format!("{directory} ({}, {tables} {noun})", manifest.timestamp)
        });
        return Err(ScriptError::SeveralRuns {
            directory: directory.to_owned(),
            runs: names.collect::<Vec<_>>().join(", "),
        });
    }
    Ok(runs.pop().map(|(_, path)| path))
}

fn read_manifest(
    path: &Path,
    undo: bool,
    open: impl Fn(&Path) -> Result<Script, ScriptError>,
    scripts: &mut Vec<Script>,
) -> Result<(), ScriptError> {
    let manifest = Manifest::read(path)?;
    let direction = if undo {
        Direction::Undo
    } else {
        Direction::Repair
    };
    for table in &manifest.tables {
        let script = open(&path.with_file_name(table.script(direction)))?;
        if script.header.run != manifest.run {
            return Err(ScriptError::Mixed(format!(
                "{} is from run {}, but its manifest is from run {}; a later run has replaced one of them",
                script.path.display(),
                script.header.run,
                manifest.run
            )));
        }
        scripts.push(script);
    }
    Ok(())
}

/// Checks that the scripts have one target and one direction, and that no table
/// has two scripts.
fn check(scripts: &[Script], undo: bool) -> Result<(), ScriptError> {
    let mixed = |reason: String| Err(ScriptError::Mixed(reason));
    for (at, Script { path, header, .. }) in scripts.iter().enumerate() {
        let path = path.display();
        if undo && header.direction != Direction::Undo {
            return mixed(format!(
                "{path} is a repair script; with --undo name the .undo.sql beside it, or the directory"
            ));
        }
        for other in &scripts[..at] {
            let (before, other) = (other.path.display(), &other.header);
            if other.direction != header.direction {
                return mixed(format!(
                    "one of {before} and {path} repairs and the other undoes a repair; apply them separately"
                ));
            }
            let elsewhere = match (&other.database, &header.database) {
                (Some(one), Some(other)) => one != other,
                _ => other.spec.target.endpoint != header.spec.target.endpoint,
            };
            if elsewhere || other.engine != header.engine {
                return mixed(format!(
                    "{before} and {path} are for different targets; apply them separately"
                ));
            }
            if (&other.schema, &other.table) == (&header.schema, &header.table) {
                return mixed(format!(
                    "{before} and {path} are for the same table; apply one of them"
                ));
            }
        }
    }
    Ok(())
}

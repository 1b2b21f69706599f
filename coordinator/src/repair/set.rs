//! The scripts that are applied together, in order.

use std::path::{Path, PathBuf};

use shared::outcome::ForeignKey;

use super::order::{Ordered, Related, order};
use super::read::{Script, ScriptError};
use super::script::{Direction, Header};
use super::undo::settle;
use super::write::{MANIFEST, Manifest};

/// Scripts of one target, parents before children.
#[derive(Debug)]
pub struct ScriptSet {
    /// The scripts.
    pub scripts: Vec<Script>,
    /// Of each of them, the foreign keys that are checked at the end.
    pub deferred: Vec<Vec<ForeignKey>>,
}

impl ScriptSet {
    /// Reads scripts, manifests and directories that have one. With `undo` a
    /// manifest stands for the scripts that take its repairs back. With
    /// `assume_applied` what is not known to have been done is taken for done.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, was changed, or they do not belong together,
    /// or when they take back what is not known to have been done.
    pub fn open(paths: &[PathBuf], undo: bool, assume_applied: bool) -> Result<Self, ScriptError> {
        let mut scripts = Vec::new();
        let open = |path: &Path| {
            settle(path, assume_applied)?;
            Script::open(path)
        };
        for path in paths {
            if path.is_dir() {
                read_manifest(&path.join(MANIFEST), undo, open, &mut scripts)?;
            } else if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                read_manifest(path, undo, open, &mut scripts)?;
            } else {
                scripts.push(open(path)?);
            }
        }
        check(&scripts, undo)?;
        let in_vain = |script: &&Script| {
            let Header {
                direction, applied, ..
            } = script.header;
            direction == Direction::Undo && !applied && !assume_applied
        };
        if let Some(script) = scripts.iter().find(in_vain) {
            return Err(ScriptError::NotApplied {
                path: script.path.clone(),
            });
        }
        let related: Vec<Related<'_>> = scripts
            .iter()
            .map(|script| Related {
                schema: &script.header.schema,
                table: &script.header.table,
                foreign_keys: &script.header.foreign_keys,
                // Taken back is in the order of the repair, from its end.
                numbers: match script.header.direction {
                    Direction::Repair => script.header.statements,
                    Direction::Undo => script.header.statements.inverse(),
                },
            })
            .collect();
        let Ordered {
            parents_first,
            mut deferred,
        } = order(&related);
        let mut places: Vec<Option<Script>> = scripts.into_iter().map(Some).collect();
        let (scripts, deferred) = parents_first
            .into_iter()
            .filter_map(|at| Some((places[at].take()?, std::mem::take(&mut deferred[at]))))
            .unzip();
        Ok(Self { scripts, deferred })
    }
}

fn read_manifest(
    path: &Path,
    undo: bool,
    open: impl Fn(&Path) -> Result<Script, ScriptError>,
    scripts: &mut Vec<Script>,
) -> Result<(), ScriptError> {
    let text = std::fs::read(path).map_err(|error| ScriptError::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .ok()
        .filter(|manifest: &Manifest| manifest.format == 1)
        .ok_or_else(|| ScriptError::Foreign {
            path: path.to_owned(),
        })?;
    for table in manifest.tables {
        let name = if undo { table.undo } else { table.repair };
        let script = open(&path.with_file_name(name))?;
        if script.header.run != manifest.run {
            return Err(ScriptError::Mixed {
                reason: format!(
                    "{} is of run {}, and its manifest of run {}; it was written over by a later run",
                    script.path.display(),
                    script.header.run,
                    manifest.run
                ),
            });
        }
        scripts.push(script);
    }
    Ok(())
}

/// One target, one direction, every table once.
fn check(scripts: &[Script], undo: bool) -> Result<(), ScriptError> {
    let mixed = |reason: String| Err(ScriptError::Mixed { reason });
    for (at, script) in scripts.iter().enumerate() {
        let Script { path, header } = script;
        if undo && header.direction != Direction::Undo {
            return mixed(format!(
                "{} repairs; with --undo name the .undo.sql beside it, or the directory",
                path.display()
            ));
        }
        for other in &scripts[..at] {
            if other.header.direction != header.direction {
                return mixed(format!(
                    "{} repairs and {} takes back, or the other way round; apply one kind at a time",
                    other.path.display(),
                    path.display()
                ));
            }
            let elsewhere = match (&other.header.database, &header.database) {
                (Some(one), Some(other)) => one != other,
                _ => other.header.spec.target.endpoint != header.spec.target.endpoint,
            };
            if elsewhere || other.header.engine != header.engine {
                return mixed(format!(
                    "{} and {} are for different targets; apply them one after the other",
                    other.path.display(),
                    path.display()
                ));
            }
            if (&other.header.schema, &other.header.table) == (&header.schema, &header.table) {
                return mixed(format!(
                    "{} and {} are for the same table; apply one of them",
                    other.path.display(),
                    path.display()
                ));
            }
        }
    }
    Ok(())
}

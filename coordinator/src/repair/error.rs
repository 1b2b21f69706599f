//! Why a repair script cannot be applied.

use std::io;
use std::path::{Path, PathBuf};

/// Why a script cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is not a repair script of this version; `reconcile run --generate-repair` writes them", .0.display())]
    Foreign(PathBuf),
    /// Its content does not have its digest.
    #[error("{} has been changed since it was written; write it again with `reconcile run --generate-repair`, or execute it with psql or sqlcmd if the change is intended", .0.display())]
    Edited(PathBuf),
    #[error("cannot write {}: {error}", path.display())]
    Unwritable { path: PathBuf, error: io::Error },
    #[error("{} undoes a repair that `reconcile apply` has not applied, so there is nothing to undo; if the repair was applied with psql or sqlcmd, repeat the command with --assume-applied", .0.display())]
    NotApplied(PathBuf),
    /// An earlier commit was not answered, or its process was killed.
    #[error("it is not known whether an earlier `reconcile apply` was committed. If it was, {} must replace {}. Check the target. If the changes are there, repeat the command with --assume-applied; if not, remove the first file", pending.display(), undo.display())]
    Pending {
        /// The file that was written before the commit.
        pending: PathBuf,
        /// The undo script that it replaces.
        undo: PathBuf,
    },
    /// The repair script and the undo script beside it are from different runs.
    #[error("{} does not undo {}; move it away to continue without it, or write both again with `reconcile run --generate-repair`", undo.display(), repair.display())]
    NotItsUndo { undo: PathBuf, repair: PathBuf },
    #[error("{} undoes what was applied to {database}; undo it there, or use a copy of the directory as the run wrote it", undo.display())]
    AppliedElsewhere { undo: PathBuf, database: String },
    #[error("{0}")]
    Mixed(String),
}

impl ScriptError {
    pub(super) fn unreadable(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |error| Self::Unreadable {
            path: path.clone(),
            error,
        }
    }

    pub(crate) fn unwritable(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |error| Self::Unwritable {
            path: path.clone(),
            error,
        }
    }
}

//! Why a repair script cannot be applied.

use std::io;
use std::path::{Path, PathBuf};

use worker::engine::NotGuarded;

/// Why a script cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is not a repair script of this version; `reconcile run --generate-repair` writes them", .0.display())]
    Foreign(PathBuf),
    /// What belongs to no statement does not have its digest.
    #[error("{} has been changed since it was written; only whole statements may be deleted from it, each with the comment line above it. Write it again with `reconcile run --generate-repair`, or execute it with psql or sqlcmd if the change is intended", .0.display())]
    Edited(PathBuf),
    #[error("{}: the statement `{statement}` {reason}; whole statements may be deleted from a script, each with the comment line above it, but not changed. Nothing was executed. Write the script again with `reconcile run --generate-repair`, or execute it with psql or sqlcmd if the change is intended", path.display())]
    EditedStatement {
        path: PathBuf,
        statement: String,
        reason: &'static str,
    },
    #[error("{}: the statement `{statement}` is not one guarded statement on the table of the script: {reason}. Nothing was executed. `reconcile apply` executes only such statements", path.display())]
    NotGuarded {
        path: PathBuf,
        statement: String,
        reason: NotGuarded,
    },
    #[error("{} contains no repair scripts; name a directory that `reconcile run --generate-repair` wrote", .0.display())]
    NoRun(PathBuf),
    #[error("{} contains the scripts of several runs; name one of them: {runs}", directory.display())]
    SeveralRuns { directory: PathBuf, runs: String },
    #[error("cannot write {}: {error}", path.display())]
    Unwritable { path: PathBuf, error: io::Error },
    #[error("{} undoes a repair that `reconcile apply` has not applied, so there is nothing to undo; if the repair was applied with psql or sqlcmd, repeat the command with --assume-applied", .0.display())]
    NotApplied(PathBuf),
    /// An earlier commit was not answered, or its process was killed.
    #[error("it is not known whether an earlier `reconcile apply` was committed. If it was, {} must replace {}. Check the target. If the changes are there, repeat the command with --assume-applied; if not, remove the first file, and repeat the command with --again", pending.display(), undo.display())]
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
    #[error("{} has {action} statements that were applied to {database} at {time}. Rows may have been changed on purpose since. To apply them once more, repeat the command with --again; to revert them, use --undo", path.display())]
    AlreadyApplied {
        path: PathBuf,
        action: &'static str,
        time: String,
        database: String,
    },
    #[error("it is not known whether {} was applied to {database} at {time}: the commit was not answered. Check the target. If the changes are not there, repeat the command with --again", path.display())]
    MaybeApplied {
        path: PathBuf,
        time: String,
        database: String,
    },
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

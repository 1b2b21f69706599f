//! Why the store of runs cannot be used.

use std::path::PathBuf;

use shared::ids::RunId;

/// Why the store of runs cannot be used. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state directory cannot be made or written.
    #[error("cannot make the run store {}: {reason}; name a directory that can be written with --state-dir, or run with --no-store and without resume", path.display())]
    Directory {
        /// The database.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The database cannot be read or written.
    #[error("cannot use the run store {}: {reason}; name another directory with --state-dir, or run with --no-store and without resume", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        reason: rusqlite::Error,
    },
    /// A newer version of this program has changed the database.
    #[error("the run store {} has version {found}, this program knows {known}; use a newer reconcile, or another --state-dir", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version of this program.
        known: i64,
    },
    /// What stands in the database is not what this program wrote.
    #[error("run {run} cannot be read from the run store: {reason}")]
    Damaged {
        /// Whose.
        run: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no state directory by default.
    #[error(
        "there is no directory to keep runs in: neither XDG_STATE_HOME nor HOME is set; name one with --state-dir, or run with --no-store and without resume"
    )]
    NoDirectory,
    /// No run of that name.
    #[error("there is no run `{name}` in {}; `reconcile history` lists what there is", path.display())]
    UnknownRun {
        /// As it was asked for.
        name: String,
        /// The database or the directory.
        path: PathBuf,
    },
    /// Several runs of that name.
    #[error("`{name}` begins the names of several runs: {}", some(candidates))]
    AmbiguousRun {
        /// As it was asked for.
        name: String,
        /// Their names.
        candidates: Vec<String>,
    },
    /// It has no report yet.
    #[error("run {run} has not ended, so it has no report; {}", how_to_end(*run, *goes_on))]
    Unfinished {
        /// Which.
        run: RunId,
        /// Whether its coordinator lives.
        goes_on: bool,
    },
    /// Its coordinator lives.
    #[error("run {0} is going on; `reconcile status {0}` shows it")]
    GoesOn(RunId),
    /// The lock of a run cannot be made.
    #[error("cannot make the lock {}: {reason}", path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
}

fn how_to_end(run: RunId, goes_on: bool) -> String {
    if goes_on {
        format!("`reconcile status {run}` shows how far it is")
    } else {
        format!("its coordinator is gone; go on with `reconcile resume {run}`")
    }
}

/// The first few of many names.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

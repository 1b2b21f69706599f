//! Why the store of runs cannot be used.

use std::path::PathBuf;

use shared::ids::RunId;

/// Why the store of runs cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state directory cannot be created or written.
    #[error("cannot create the run store {}: {reason}; name a writable directory with --state-dir, or run with --no-store and without resume", path.display())]
    Directory {
        path: PathBuf,
        reason: std::io::Error,
    },
    /// The database cannot be read or written.
    #[error("cannot use the run store {}: {reason}; name another directory with --state-dir, or run with --no-store and without resume", path.display())]
    Database {
        path: PathBuf,
        reason: rusqlite::Error,
    },
    /// A newer version of this program has changed the database.
    #[error("the run store {} has version {found}, and this program supports up to {known}; use a newer reconcile, or another --state-dir", path.display())]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    /// The content of the database is not valid.
    #[error("run {run} cannot be read from the run store: {reason}")]
    Damaged { run: String, reason: String },
    /// There is no state directory by default.
    #[error(
        "there is no directory for the run store: neither XDG_STATE_HOME nor HOME is set; name one with --state-dir, or run with --no-store and without resume"
    )]
    NoDirectory,
    /// No run has that name.
    #[error("there is no run `{name}` in {}; `reconcile history` lists the runs", path.display())]
    UnknownRun { name: String, path: PathBuf },
    /// The name is a prefix of several runs.
    #[error("`{name}` is the beginning of several runs: {}", some(candidates))]
    AmbiguousRun {
        name: String,
        candidates: Vec<String>,
    },
    /// The run has no report yet.
    #[error("run {run} has not ended, so it has no report; {}", next_step(*run, *goes_on))]
    Unfinished { run: RunId, goes_on: bool },
    /// The coordinator of the run is alive.
    #[error("run {0} is going on; `reconcile status {0}` shows its progress")]
    GoesOn(RunId),
    /// The lock of a run cannot be created.
    #[error("cannot create the lock {}: {reason}", path.display())]
    Lock {
        path: PathBuf,
        reason: std::io::Error,
    },
}

fn next_step(run: RunId, goes_on: bool) -> String {
    if goes_on {
        format!("`reconcile status {run}` shows its progress")
    } else {
        format!("its coordinator is gone; resume it with `reconcile resume {run}`")
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

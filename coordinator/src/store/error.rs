//! Why the store of runs cannot be used.

use std::path::PathBuf;

use shared::ids::RunId;

/// Why the store of runs cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot create the run store {}: {reason}; name a writable directory with --state-dir, or run with --no-store and without resume", path.display())]
    Directory {
        path: PathBuf,
        reason: std::io::Error,
    },
    #[error("cannot use the run store {}: {reason}; name another directory with --state-dir, or run with --no-store and without resume", path.display())]
    Database {
        path: PathBuf,
        reason: rusqlite::Error,
    },
    #[error("the run store {} has version {found}, and this program supports up to {known}; use a newer reconcile, or another --state-dir", path.display())]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error("run {run} cannot be read from the run store: {reason}")]
    Damaged { run: String, reason: String },
    #[error(
        "there is no directory for the run store: neither XDG_STATE_HOME nor HOME is set; name one with --state-dir, or run with --no-store and without resume"
    )]
    NoDirectory,
    #[error("there is no run `{name}` in {}; `reconcile history` lists the runs", path.display())]
    UnknownRun { name: String, path: PathBuf },
    #[error("`{name}` is the beginning of several runs: {}", some(candidates))]
    AmbiguousRun {
        name: String,
        candidates: Vec<String>,
    },
    #[error("run {run} has not ended, so it has no report; {}", next_step(*run, *goes_on))]
    Unfinished { run: RunId, goes_on: bool },
    #[error("run {0} is going on; `reconcile status {0}` shows its progress")]
    GoesOn(RunId),
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
        format!("no process compares its tables; `reconcile status {run}` says how to continue it")
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

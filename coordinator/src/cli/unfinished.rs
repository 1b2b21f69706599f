//! The unfinished run that `--resume-within` continues instead of starting a new one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::logging::print_status;
use shared::message::TableSpec;

use crate::run_state::PlannedTable;
use crate::store::{RunLock, RunStore, StoreError, StoredRun, StoredSettings};

/// A run that was asked for and has not started.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) settings: &'a StoredSettings,
    pub(super) tables: &'a [PlannedTable],
    pub(super) at: DateTime<Utc>,
}

/// The latest run whose result is a result of `asked`: it was started at most `within` ago,
/// has not ended, is not being cancelled, has no coordinator, and compares the same tables
/// with the same settings. The lock makes this process its coordinator.
pub(super) fn unfinished(
    store: &RunStore,
    asked: &Asked<'_>,
    within: Duration,
) -> Result<Option<(StoredRun, RunLock)>, StoreError> {
    for run in store.runs()? {
        // The clock may have been set back.
        let age = (asked.at - run.started_at).to_std().unwrap_or_default();
        if age > within || run.is_alive || has_no_rest(&run) {
            continue;
        }
        if !is_the_same(store, &run, asked)? {
            print_status(format!(
                "run {} has not ended, but has other tables or settings: a new run starts",
                run.id
            ));
            continue;
        }
        let lock = match RunLock::take(store.directory(), run.id) {
            Err(StoreError::GoesOn(_)) => continue,
            taken => taken?,
        };
        // Read again: before the lock was taken, another coordinator may have written.
        let run = store.run(&run.id.to_string())?;
        if !has_no_rest(&run) {
            return Ok(Some((run, lock)));
        }
    }
    Ok(None)
}

/// Whether nothing is left to compare.
fn has_no_rest(run: &StoredRun) -> bool {
    run.summary.is_some() || run.cancelling.is_some()
}

fn is_the_same(store: &RunStore, run: &StoredRun, asked: &Asked<'_>) -> Result<bool, StoreError> {
    if run.settings != *asked.settings || run.tables != asked.tables.len() {
        return Ok(false);
    }
    let stored = store.tables(run)?;
    let pairs = stored.iter().zip(asked.tables);
    Ok(pairs
        .map(|((stored, _), asked)| (without_keys(&stored.spec), without_keys(&asked.spec)))
        .all(|(stored, asked)| stored == asked))
}

/// A specification without the keys that every run draws anew, and whether all values are
/// redacted.
fn without_keys(spec: &TableSpec) -> (TableSpec, Option<bool>) {
    let mut spec = spec.clone();
    spec.options.hash_key = None;
    let redaction = spec.options.redaction.take();
    (spec, redaction.map(|redaction| redaction.all))
}

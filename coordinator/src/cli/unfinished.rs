//! The unfinished run that `--resume-within` continues instead of starting a new one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::logging::print_status;
use shared::message::TableSpec;

use crate::run_state::PlannedTable;
use crate::store::{RunLock, RunStore, StoreError, StoredRun, StoredSettings};

/// A run that was requested and has not started.
#[derive(Debug)]
pub(super) struct RequestedRun<'a> {
    pub(super) settings: &'a StoredSettings,
    pub(super) tables: &'a [PlannedTable],
    pub(super) at: DateTime<Utc>,
}

/// The latest run whose result is a result of `requested`: it was started at most `within` ago,
/// has not ended, is not being cancelled, has no coordinator, and compares the same tables
/// with the same settings. The lock makes this process its coordinator.
pub(super) fn unfinished(
    store: &RunStore,
    requested: &RequestedRun<'_>,
    within: Duration,
) -> Result<Option<(StoredRun, RunLock)>, StoreError> {
    for run in store.runs()? {
        // The clock may have been set back.
        let age = (requested.at - run.started_at).to_std().unwrap_or_default();
        if age > within || run.is_alive || is_over(&run) {
            continue;
        }
        if !compares_the_same(store, &run, requested)? {
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
        if !is_over(&run) {
            return Ok(Some((run, lock)));
        }
    }
    Ok(None)
}

/// Whether it has ended or is being cancelled, so that nothing is left to compare.
fn is_over(run: &StoredRun) -> bool {
    run.summary.is_some() || run.cancelling.is_some()
}

fn compares_the_same(
    store: &RunStore,
    run: &StoredRun,
    requested: &RequestedRun<'_>,
) -> Result<bool, StoreError> {
    if run.settings != *requested.settings || run.tables != requested.tables.len() {
        return Ok(false);
    }
    let stored = store.tables(run)?;
    let pairs = stored.iter().zip(requested.tables);
    Ok(pairs
        .map(|((stored, _), requested)| (without_keys(&stored.spec), without_keys(&requested.spec)))
        .all(|(stored, requested)| stored == requested))
}

/// A specification without the keys that every run draws anew, and whether all values are
/// redacted.
fn without_keys(spec: &TableSpec) -> (TableSpec, Option<bool>) {
    let mut spec = spec.clone();
    spec.options.hash_key = None;
    let redaction = spec.options.redaction.take();
    (spec, redaction.map(|redaction| redaction.all))
}

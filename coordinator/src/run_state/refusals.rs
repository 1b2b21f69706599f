//! Refusals of workers that cannot run the tables of a run, and the pauses of dispatch after them.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::WorkerId;

use super::fleet::MOST_WORKERS;
use super::plan::Time;

/// The pause after the first refusal. It doubles with every further one, up to [`LONGEST_PAUSE`],
/// until a worker claims a table.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The most notes about workers that found another database.
const MOST_NOTES: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Refusals since the last claim that was accepted.
    consecutive: u32,
    /// Nothing is dispatched before this time.
    pub(super) until: Time,
    /// Workers that found another database, in words for the report.
    notes: BTreeSet<String>,
    /// Workers whose results do not name their databases.
    undeclared: BTreeSet<WorkerId>,
}

impl Refusals {
    /// Pauses dispatch after a refusal.
    pub(super) fn pause(&mut self, now: Time) {
        let doubled = FIRST_PAUSE * (1 << self.consecutive.min(10));
        self.consecutive = self.consecutive.saturating_add(1);
        self.until = now.after(doubled.min(LONGEST_PAUSE));
    }

    /// Records for the report that a worker found another database.
    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < MOST_NOTES {
            self.notes.insert(note);
        }
    }

    /// Records that the result of `worker` does not name its databases.
    pub(super) fn note_undeclared(&mut self, worker: &WorkerId) {
        if self.undeclared.len() < MOST_WORKERS {
            self.undeclared.insert(worker.clone());
        }
    }

    pub(super) fn notes(&self) -> impl Iterator<Item = &String> {
        self.notes.iter()
    }

    pub(super) fn undeclared(&self) -> impl Iterator<Item = &WorkerId> {
        self.undeclared.iter()
    }

    /// Ends the pause: a worker runs tables.
    pub(super) fn end_pause(&mut self, now: Time) {
        self.consecutive = 0;
        self.until = now;
    }
}

//! Refusals of workers that cannot run the tables of a run, and the pauses of dispatch after them.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::WorkerId;

use super::plan::Time;

/// The pause after the first refusal. It doubles with every further one, up to [`LONGEST_PAUSE`],
/// until a worker claims a table.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Refusals since the last claim that was accepted.
    consecutive: u32,
    /// Nothing is dispatched before this time.
    pub(super) until: Time,
    /// Workers that found another database, in words for the report.
    pub(super) notes: BTreeSet<String>,
    /// Workers whose results do not name their databases.
    pub(super) undeclared: BTreeSet<WorkerId>,
}

impl Refusals {
    /// Pauses dispatch after a refusal.
    pub(super) fn pause(&mut self, now: Time) {
        let doubled = FIRST_PAUSE * (1 << self.consecutive.min(10));
        self.consecutive = self.consecutive.saturating_add(1);
        self.until = now.after(doubled.min(LONGEST_PAUSE));
    }

    /// Ends the pause: a worker runs tables.
    pub(super) fn end_pause(&mut self, now: Time) {
        self.consecutive = 0;
        self.until = now;
    }
}

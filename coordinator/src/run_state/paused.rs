//! What a pause of a run waits for, and what it leaves.

use std::collections::BTreeSet;

use shared::ids::WorkerId;
use shared::message::WorkId;
use shared::outcome::OpenSession;

use super::plan::Time;
use super::record::Counts;

/// A pause that was requested.
#[derive(Debug)]
pub(super) struct Pausing {
    /// When the coordinator stops waiting for answers.
    pub(super) until: Time,
    /// Until when a claim of a stopped attempt may still arrive.
    pub(super) claims_until: Time,
    /// Attempts of an earlier coordinator that a worker may still run.
    pub(super) former: BTreeSet<WorkId>,
    /// The sessions whose statements may still run.
    pub(super) unconfirmed: Vec<OpenSession>,
    /// The workers that did not answer in time.
    pub(super) unanswered: Vec<WorkerId>,
}

/// What a paused run leaves to the next coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// How many tables have ended in each way.
    pub counts: Counts,
    /// All tables of the run.
    pub tables: usize,
    /// The sessions whose statements may still run.
    pub unconfirmed: Vec<OpenSession>,
    /// The workers that did not confirm in time that they have stopped.
    pub unanswered: Vec<WorkerId>,
}

impl Paused {
    /// A warning if statements of the run may still run in the databases.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let sessions = OpenSession::warning(&self.unconfirmed);
        let workers: Vec<&str> = self.unanswered.iter().map(WorkerId::as_str).collect();
        let workers = (!workers.is_empty()).then(|| {
            format!(
                "workers did not confirm in time that they have stopped: {}; their statements may still run",
                workers.join(", ")
            )
        });
        let warnings: Vec<String> = sessions.into_iter().chain(workers).collect();
        (!warnings.is_empty()).then(|| warnings.join("; "))
    }
}

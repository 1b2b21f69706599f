//! The state of one table of a run.

use std::collections::BTreeSet;

use shared::ids::{Attempt, WorkerId};
use shared::message::WorkId;

use super::plan::{PlannedTable, Time};
use super::received::Received;
use super::record::{AttemptFailure, TableRecord};

/// The most claims of one attempt that are tracked; further ones are ignored.
pub(super) const MAX_CLAIMS: usize = 8;

#[derive(Debug)]
pub(super) struct Table {
    pub(super) planned: PlannedTable,
    /// The attempt that is, or will be, dispatched. Events of lower ones are stale.
    pub(super) attempt: Attempt,
    /// Attempts that failed and count against the budget.
    pub(super) spent: u32,
    /// Attempts that ended without a result and do not count.
    pub(super) free: u32,
    pub(super) history: Vec<AttemptFailure>,
    pub(super) phase: Phase,
    /// After a restart: the last attempt that was published before it, as long
    /// as no other one has been.
    pub(super) adoptable: Option<Attempt>,
    /// Whether the current attempt began under a coordinator that is gone.
    pub(super) adopted: bool,
}

impl Table {
    pub(super) fn new(planned: PlannedTable) -> Self {
        Self {
            planned,
            attempt: Attempt::FIRST,
            spent: 0,
            free: 0,
            history: Vec::new(),
            phase: Phase::Waiting,
            adoptable: None,
            adopted: false,
        }
    }

    pub(super) fn record(&self) -> Option<&TableRecord> {
        match &self.phase {
            Phase::Done(record) => Some(record),
            _ => None,
        }
    }

    /// Whether this worker's own result of this attempt ended the table.
    pub(super) fn is_decided_by(&self, work: WorkId, worker: &WorkerId) -> bool {
        self.record().is_some_and(|record| {
            record.attempt == work.attempt && record.worker.as_ref() == Some(worker)
        })
    }

    pub(super) fn claims(&self) -> &[Claim] {
        match &self.phase {
            Phase::Running(running) => &running.claims,
            _ => &[],
        }
    }
}

#[derive(Debug)]
pub(super) enum Phase {
    /// In the coordinator's own queue; the current attempt is not dispatched yet.
    Waiting,
    /// Published to the broker; no worker has claimed it yet.
    Published {
        at: Time,
        confirmed: Option<Time>,
    },
    Running(Running),
    Done(Box<TableRecord>),
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) since: Time,
    pub(super) deadline: Time,
    /// Never empty. More than one when the broker delivered the task twice,
    /// see [`RunState`](super::RunState) on duplicates.
    pub(super) claims: Vec<Claim>,
}

#[derive(Debug)]
pub(super) struct Claim {
    pub(super) worker: WorkerId,
    /// When the claim expires unless a heartbeat renews it.
    pub(super) lease: Time,
    /// The batches that the worker has sent. A batch that is delivered twice counts once.
    pub(super) received: Received,
    pub(super) source_rows: u64,
    pub(super) target_rows: u64,
}

impl Claim {
    pub(super) fn new(worker: WorkerId, lease: Time) -> Self {
        Self {
            worker,
            lease,
            received: Received::default(),
            source_rows: 0,
            target_rows: 0,
        }
    }
}

/// Workers that were asked to stop an attempt of a table that has ended, and
/// have not answered. Their work still loads the databases, so it takes a slot
/// of the window.
#[derive(Debug)]
pub(super) struct Stopping {
    pub(super) attempt: Attempt,
    pub(super) workers: BTreeSet<WorkerId>,
    pub(super) since: Time,
    /// When the coordinator stops waiting for them.
    pub(super) until: Time,
}

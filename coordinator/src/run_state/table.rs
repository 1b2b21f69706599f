//! The state of one table of a run.

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::{Attempt, WorkerId};
use shared::message::{WorkId, WorkPhase};
use shared::outcome::Failure;

use super::plan::{PlannedTable, Time};
use super::received::Received;
use super::record::{AttemptFailure, TableRecord};
use super::suspicion::Suspicion;

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
    /// Workers that failed at the table for a reason of their own.
    pub(super) avoided: BTreeMap<WorkerId, Avoided>,
    /// How often it was returned by a worker that cannot run it now.
    pub(super) returns: u32,
    /// Whether it may be what ended workers.
    pub(super) suspicion: Suspicion,
    /// How many workers were lost that ran it.
    pub(super) losses: u32,
}

/// Why a worker is not to run a table.
#[derive(Debug, Clone)]
pub(super) struct Avoided {
    pub(super) failure: Failure,
    pub(super) since: Time,
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
            avoided: BTreeMap::new(),
            returns: 0,
            suspicion: Suspicion::None,
            losses: 0,
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

    /// Takes the table from `worker`. Returns whether no other worker runs the attempt.
    pub(super) fn release(&mut self, worker: &WorkerId) -> bool {
        match &mut self.phase {
            Phase::Running(running) => {
                running.claims.retain(|claim| claim.worker != *worker);
                running.claims.is_empty()
            }
            _ => true,
        }
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
    pub(super) phase: Option<WorkPhase>,
    pub(super) expected_rows: Option<u64>,
    /// Whether the worker runs tables of other runs too, as of its last heartbeat.
    pub(super) is_beside_other_runs: bool,
}

impl Claim {
    pub(super) fn new(worker: WorkerId, lease: Time) -> Self {
        Self {
            worker,
            lease,
            received: Received::default(),
            source_rows: 0,
            target_rows: 0,
            phase: None,
            expected_rows: None,
            is_beside_other_runs: false,
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

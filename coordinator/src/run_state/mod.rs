//! The state of a run: a pure function from what happens to what must be done.
//!
//! [`RunState::apply`] takes an [`Input`] and the time and returns [`Effect`]s.
//! It reads no clock, draws no random number and does no I/O, so everything
//! that is hard about the distribution can be tried by the thousand. The actor
//! in [`crate::run`] feeds it and carries out the effects.

mod ending;
mod events;
mod fleet;
mod invariants;
mod plan;
mod queue;
mod record;
mod restore;
mod table;
mod timers;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::ids::{Attempt, RunId, TableId, WorkerId};
use shared::message::{Control, Event, Heartbeat, Scope, TableSpec, Task, WorkId};
use shared::outcome::{Failure, FailureKind, RepairStatement};

pub(crate) use plan::millis;
pub use plan::{Limits, PlannedTable, RunPlan, Time, Window};
pub use record::{
    AttemptFailure, CancelReason, Counts, RootCause, TableRecord, TableStatus, Verdict,
};

pub use restore::{OpenTable, Restored, RestoredTable};

use fleet::Fleet;
use queue::Queue;
use restore::Settling;
use table::{Phase, Stopping, Table};

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The run begins. The first input; a second one has no effect.
    Begin,
    /// A worker said something about a table.
    Event(Event),
    /// A worker is alive.
    Heartbeat(Heartbeat),
    /// The broker has the task of [`Effect::Publish`] safely.
    Published(WorkId),
    /// The broker refused a task, or its answer was lost with the connection.
    PublishFailed {
        /// Whose task.
        work: WorkId,
        /// Why.
        reason: String,
    },
    /// The broker has the last [`Control::Announce`].
    Announced,
    /// Somebody wants the run to end.
    Cancel,
    /// The transport has closed for good; nothing will be heard any more.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// Time has passed, see [`RunState::next_wakeup`].
    Tick,
}

/// Something that must be done, in the order of the list.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Give a task to the broker, then say [`Input::Published`] or [`Input::PublishFailed`].
    Publish(Box<Task>),
    /// Tell all workers something. After [`Control::Announce`] say
    /// [`Input::Announced`], once the broker has it; the others are said again
    /// when heartbeats show that they were missed.
    Control(Control),
    /// A table has ended: [`RunState::record`] has its final account. A store
    /// writes it before the effects that follow.
    TableEnded(TableId),
    /// Statements that repair a table have come. A keeper has them on disk
    /// before the event that brought them is acknowledged.
    KeepRepair {
        /// Whose they are.
        work: WorkId,
        /// Who made them.
        worker: WorkerId,
        /// A batch that was not seen before.
        statements: Vec<RepairStatement>,
    },
    /// Nothing of a cancelled or timed-out attempt runs in a database any more.
    WentQuiet {
        /// The table, which has ended before.
        table: TableId,
        /// How long the worker took from the request.
        after: Duration,
    },
    /// Something that an operator may want to know.
    Notice(Notice),
    /// All tables have ended and nothing is waited for. The last effect of a run.
    Complete,
}

/// Something that an operator may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// No worker has shown itself for some seconds.
    NoWorkerYet,
    /// Workers are alive, but after the claim timeout none has claimed a table.
    NothingClaimed {
        /// How many are alive.
        workers: usize,
    },
    /// An attempt ended without a result and the table is tried again.
    Retry {
        /// The table.
        table: TableId,
        /// The attempt that ended.
        attempt: Attempt,
        /// Who made it, if anybody did.
        worker: Option<WorkerId>,
        /// Why.
        failure: Failure,
        /// The wait before the next attempt.
        wait: Duration,
    },
    /// A worker was not heard of for three heartbeats while it held a table.
    LeaseExpired {
        /// The table.
        table: TableId,
        /// Its attempt.
        attempt: Attempt,
        /// The worker.
        worker: WorkerId,
    },
    /// A second worker has claimed an attempt that another one holds.
    DuplicateClaim {
        /// The table.
        table: TableId,
        /// The second worker.
        worker: WorkerId,
    },
    /// The run is being cancelled.
    Cancelling(CancelReason),
}

/// A table that a worker has claimed and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity<'a> {
    /// The table.
    pub table: TableId,
    /// Who has it.
    pub worker: &'a WorkerId,
    /// Since when.
    pub since: Time,
    /// Rows read from the source, as of the last heartbeat.
    pub source_rows: u64,
    /// Rows read from the target, as of the last heartbeat.
    pub target_rows: u64,
}

/// The state machine of one run.
///
/// # Fencing
///
/// `(run, table, attempt)` identifies the work. Every dispatch of a table has
/// an attempt number of its own, and the first event that ends the current
/// attempt counts. Whoever shows, by an event or a heartbeat, that it works on
/// another attempt or on a table that has ended is told to stop; heartbeats
/// repeat that until it does, since control messages may be missed.
///
/// # Duplicates of one attempt
///
/// Two workers can claim the *same* attempt: the coordinator repeated a publish
/// whose confirm was lost, or the first worker's acknowledgement was lost and
/// the broker delivered the task again. In the second case the first worker
/// does not start and the second one must go on, in the first both run; the
/// coordinator cannot tell which. `CancelAttempt` would hit both. So both are
/// let run, each with its own lease and its own batches of differences: the
/// first result ends the table and only then the attempt is cancelled, which by
/// then can only hit the loser. An attempt is lost when its last claim is.
///
/// # Silence
///
/// Three missed heartbeats could also mean that *this* process or the broker
/// was away. So before a lease expires, or the run gives up for want of
/// workers, the workers are asked to announce themselves; only the silence
/// after a question that the broker has taken counts.
#[derive(Debug)]
pub struct RunState {
    run: RunId,
    limits: Limits,
    /// What users know the work queue by.
    task_queue: String,
    seed: u64,
    now: Time,
    begun: bool,
    completed: bool,
    tables: Vec<Table>,
    queue: Queue,
    /// Published or running.
    outstanding: BTreeSet<TableId>,
    stopping: BTreeMap<TableId, Stopping>,
    fleet: Fleet,
    counts: Counts,
    root_cause: Option<RootCause>,
    cancelling: Option<Cancelling>,
    /// Why the run was being cancelled when its last coordinator was gone.
    cancel_at_begin: Option<CancelReason>,
    /// Nothing is dispatched while this lasts.
    settling: Option<Settling>,
    probe: Option<Probe>,
    claimed_ever: bool,
    notified_no_worker: bool,
    notified_nothing_claimed: bool,
    /// The largest window that was in force.
    widest_window: u32,
}

/// The run is being cancelled.
#[derive(Debug, Clone, Copy)]
struct Cancelling {
    reason: CancelReason,
    /// When answers are no longer waited for.
    until: Time,
    /// Until when a claim may still arrive of what was published and is cancelled.
    claims_until: Time,
}

/// The workers were asked to announce themselves.
#[derive(Debug, Clone, Copy)]
struct Probe {
    asked: Time,
    /// Absent until the broker has taken the question.
    answer_by: Option<Time>,
}

impl RunState {
    /// The state before the run begins.
    ///
    /// # Panics
    ///
    /// With more than `u32::MAX` tables.
    #[must_use]
    pub fn new(plan: RunPlan) -> Self {
        let RunPlan {
            run,
            tables,
            limits,
            task_queue,
            seed,
        } = plan;
        assert!(
            u32::try_from(tables.len()).is_ok(),
            "a run has at most u32::MAX tables"
        );
        let mut queue = Queue::default();
        for (id, planned) in table_ids().zip(&tables) {
            queue.push(id, planned);
        }
        Self {
            run,
            seed,
            task_queue,
            now: Time::START,
            begun: false,
            completed: false,
            tables: tables.into_iter().map(Table::new).collect(),
            queue,
            outstanding: BTreeSet::new(),
            stopping: BTreeMap::new(),
            fleet: Fleet::new(limits.heartbeat_period, Time::START),
            counts: Counts::default(),
            root_cause: None,
            cancelling: None,
            cancel_at_begin: None,
            settling: None,
            probe: None,
            claimed_ever: false,
            notified_no_worker: false,
            notified_nothing_claimed: false,
            widest_window: 0,
            limits,
        }
    }

    /// Takes in what happened and says what must be done. Time never goes
    /// back: an earlier `now` counts as the latest one.
    ///
    /// Before [`Input::Begin`] and after [`Effect::Complete`] nothing has an effect.
    #[must_use = "effects must be carried out"]
    pub fn apply(&mut self, input: Input, now: Time) -> Vec<Effect> {
        self.now = self.now.max(now);
        let mut effects = Vec::new();
        if self.completed || (!self.begun && !matches!(input, Input::Begin)) {
            return effects;
        }
        match input {
            Input::Begin => {
                if !self.begun {
                    self.begun = true;
                    self.fleet.heard(self.now);
                    effects.push(Effect::Control(Control::Announce));
                    self.resume_cancelling(&mut effects);
                }
            }
            Input::Event(event) => self.on_event(event, &mut effects),
            Input::Heartbeat(heartbeat) => self.on_heartbeat(&heartbeat, &mut effects),
            Input::Published(work) => self.on_published(work),
            Input::PublishFailed { work, reason } => {
                self.on_publish_failed(work, &reason, &mut effects)
            }
            Input::Announced => self.on_announced(),
            Input::Cancel => self.begin_cancelling(CancelReason::Requested, &mut effects),
            Input::Disconnected { reason } => self.on_disconnected(&reason, &mut effects),
            Input::Tick => self.tick(&mut effects),
        }
        self.dispatch(&mut effects);
        if self.is_settled() {
            self.completed = true;
            effects.push(Effect::Complete);
        }
        debug_assert_eq!(self.check_invariants_if_small(), Ok(()));
        effects
    }

    /// Whether every table has ended and nobody is waited for.
    fn is_settled(&self) -> bool {
        self.counts.total() == self.tables.len()
            && self.stopping.is_empty()
            && self
                .cancelling
                .is_none_or(|cancelling| cancelling.claims_until <= self.now)
    }

    /// Publishes tables while the window has room.
    fn dispatch(&mut self, effects: &mut Vec<Effect>) {
        let window = self.window();
        self.widest_window = self.widest_window.max(window);
        if self.cancelling.is_some() || self.settling.is_some() {
            return;
        }
        while self.slots_in_use() < window as usize {
            let Some(id) = self.queue.pop() else { break };
            let table = &mut self.tables[id.index()];
            table.adoptable = None;
            table.phase = Phase::Published {
                at: self.now,
                confirmed: None,
            };
            self.outstanding.insert(id);
            effects.push(Effect::Publish(Box::new(Task {
                run: self.run,
                table: id,
                attempt: table.attempt,
                scope: Scope::WholeTable,
                spec: table.planned.spec.clone(),
            })));
        }
    }

    /// How many tables may be dispatched and unfinished at present.
    fn window(&self) -> u32 {
        match self.limits.window {
            Window::Fixed(count) => count.get(),
            Window::Fleet => self.fleet.capacity().max(1),
        }
    }

    /// Tables that load the databases or may begin to at any time.
    fn slots_in_use(&self) -> usize {
        self.outstanding.len() + self.stopping.len()
    }

    fn work(&self, table: TableId, attempt: Attempt) -> WorkId {
        WorkId {
            run: self.run,
            table,
            attempt,
        }
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The latest time that was said.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many tables the run has.
    #[must_use]
    pub fn table_count(&self) -> usize {
        self.tables.len()
    }

    /// What is compared as `table`.
    ///
    /// # Panics
    ///
    /// When the run has no such table.
    #[must_use]
    pub fn spec(&self, table: TableId) -> &TableSpec {
        &self.tables[table.index()].planned.spec
    }

    /// The final account of `table`, once it has ended.
    #[must_use]
    pub fn record(&self, table: TableId) -> Option<&TableRecord> {
        self.tables.get(table.index()).and_then(Table::record)
    }

    /// How many tables have ended, and how.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The table that ended the run, when fail-fast did.
    #[must_use]
    pub fn root_cause(&self) -> Option<&RootCause> {
        self.root_cause.as_ref()
    }

    /// Why the run is being, or was, cancelled.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.cancelling.map(|cancelling| cancelling.reason)
    }

    /// Whether everything has ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.completed
    }

    /// The largest number of tables that could be outstanding at any time so far.
    #[must_use]
    pub fn widest_window(&self) -> u32 {
        self.widest_window
    }

    /// How many tables are published or running.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// How many tables wait in the coordinator's own queue.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How many workers are alive.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.fleet.len()
    }

    /// The workers that are alive and when each last showed itself, in the order of their names.
    pub fn heartbeats(&self) -> impl Iterator<Item = (&WorkerId, Time)> {
        self.fleet.heartbeats()
    }

    /// What runs at present.
    pub fn activities(&self) -> impl Iterator<Item = Activity<'_>> {
        self.outstanding
            .iter()
            .filter_map(|&table| match &self.tables[table.index()].phase {
                Phase::Running(running) => running.claims.first().map(|claim| Activity {
                    table,
                    worker: &claim.worker,
                    since: running.since,
                    source_rows: claim.source_rows,
                    target_rows: claim.target_rows,
                }),
                _ => None,
            })
    }

    /// Moves the final account of `table` out, for the report of a complete run.
    ///
    /// A table that has not ended, or whose account was taken before, yields a
    /// failure: nothing passes for verified without its account.
    pub(crate) fn take_record(&mut self, table: TableId) -> TableRecord {
        let Table { phase, attempt, .. } = &mut self.tables[table.index()];
        match std::mem::replace(phase, Phase::Waiting) {
            Phase::Done(record) => *record,
            Phase::Waiting | Phase::Published { .. } | Phase::Running(_) => TableRecord {
                verdict: Verdict::Failed(
                    Failure::new(
                        FailureKind::InternalError,
                        "the run ended before this table did; this is a defect",
                    )
                    .retryable(),
                ),
                attempt: *attempt,
                worker: None,
                duration: None,
                quiet_after: None,
                history: Vec::new(),
            },
        }
    }
}

/// The identifiers of a run's tables, in list order.
pub(crate) fn table_ids() -> impl Iterator<Item = TableId> {
    (0..=u32::MAX).map(TableId)
}

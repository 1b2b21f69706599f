//! The state machine of a run: a pure function from inputs to effects.
//!
//! [`RunState::apply`] takes an [`Input`] and the time and returns [`Effect`]s.
//! It reads no clock, draws no random number and does no I/O, so that property
//! tests can run thousands of interleavings. The actor in [`crate::run`] feeds
//! it and carries out the effects.

mod cancellation;
mod checkpoint;
mod databases;
mod effect;
mod elsewhere;
mod events;
mod fleet;
mod input;
#[cfg(any(test, debug_assertions))]
mod invariants;
mod lost_workers;
mod pause;
mod paused;
mod plan;
mod queue;
mod received;
mod record;
mod refusals;
mod restore;
mod retry;
mod scope;
mod shared_target;
mod summary;
mod suspicion;
mod table;
mod table_end;
mod timers;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use shared::identity::DatabaseIdentity;
use shared::ids::{Attempt, RunId, TableId, WorkerId};
use shared::message::{Control, Scope, TableSpec, Task, WorkId, WorkPhase};
use shared::outcome::{Failure, FailureKind};

pub(crate) use checkpoint::{OpenTable, Restored, RestoredTable};
pub(crate) use effect::{Effect, Notice};
pub(crate) use input::Input;
pub use paused::Paused;
pub use plan::{Limits, PlannedTable, Window};
pub(crate) use plan::{RunPlan, Time, millis, table_ids};
pub use record::Counts;
pub use record::TableStatus;
pub(crate) use record::{AttemptFailure, CancelReason, RootCause, TableRecord, Verdict};
pub use scope::{SelectedFrom, TableScope};
pub(crate) use shared_target::are_parts;
pub use summary::{Origin, ReportVerdict, RunStatus};
pub(crate) use summary::{RunSummary, depth_of};

use fleet::Fleet;
use paused::Pausing;
use queue::Queue;
use refusals::Refusals;
use table::{Phase, Stopping, Table};

/// A table that a worker has claimed and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity<'a> {
    pub table: TableId,
    pub worker: &'a WorkerId,
    /// When it claimed the table.
    pub since: Time,
    /// Rows read from the source, as of the last heartbeat.
    pub source_rows: u64,
    /// Rows read from the target, as of the last heartbeat.
    pub target_rows: u64,
    /// What the comparison does, as of the last heartbeat; unknown of older workers.
    pub phase: Option<WorkPhase>,
    /// The rows of the larger side, if the databases estimate them.
    pub expected_rows: Option<u64>,
}

/// The state machine of one run.
///
/// # Fencing
///
/// `(run, table, attempt)` identifies the work. Every dispatch of a table has
/// its own attempt number, and the first event that ends the current attempt
/// counts. A worker that reports another attempt, or a table that has ended,
/// in an event or a heartbeat is sent `CancelAttempt`. Heartbeats cause that
/// message again until the worker stops, because control messages may be lost.
///
/// # Duplicates of one attempt
///
/// Two workers can claim the *same* attempt: the coordinator repeated a publish
/// whose confirm was lost, or the first worker's acknowledgement was lost and
/// the broker delivered the task again. In the second case the first worker
/// does not start and the second one must go on; in the first case both run.
/// The coordinator cannot distinguish the two cases, and `CancelAttempt` would
/// stop both workers. So both run, each with its own lease and its own batches
/// of differences. The first result ends the table; only then is the attempt
/// cancelled, which can only stop the other worker. An attempt is lost when its
/// last claim is.
///
/// # Silence
///
/// Three missed heartbeats can also mean that *this* process or the broker
/// was unavailable. So before a lease expires, or the run fails for lack of
/// workers, the coordinator asks the workers to announce themselves; only
/// silence after the broker has confirmed that question counts.
#[derive(Debug)]
pub struct RunState {
    run: RunId,
    limits: Limits,
    /// The name of the work queue in messages to users.
    task_queue: String,
    seed: u64,
    now: Time,
    begun: bool,
    completed: bool,
    tables: Vec<Table>,
    scope: TableScope,
    queue: Queue,
    /// Published or running.
    outstanding: BTreeSet<TableId>,
    stopping: BTreeMap<TableId, Stopping>,
    fleet: Fleet,
    /// The databases of the run by endpoint, as the first claims named them.
    databases: Vec<DatabaseIdentity>,
    refusals: Refusals,
    counts: Counts,
    root_cause: Option<RootCause>,
    cancelling: Option<Cancelling>,
    pausing: Option<Pausing>,
    /// Why the previous coordinator was cancelling the run.
    cancel_at_begin: Option<CancelReason>,
    /// Nothing is dispatched while running attempts are being adopted.
    adopting: Option<Adopting>,
    probe: Option<Probe>,
    claimed_ever: bool,
    notified_no_worker: bool,
    notified_nothing_claimed: bool,
    /// The largest window that was in force.
    widest_window: u32,
    /// Bytes of memory that further listed rows may take.
    listing_bytes: usize,
    effects: Vec<Effect>,
}

#[derive(Debug, Clone, Copy)]
struct Cancelling {
    reason: CancelReason,
    /// When the coordinator stops waiting for answers.
    until: Time,
    /// Until when a claim of a cancelled task may still arrive.
    claims_until: Time,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    asked: Time,
    /// Absent until the broker has confirmed the question.
    answer_by: Option<Time>,
}

/// After a restart, dispatch waits until running attempts have been adopted.
#[derive(Debug, Clone, Copy)]
struct Adopting {
    until: Time,
    /// Whether the broker has confirmed the question to the workers.
    asked: bool,
}

impl RunState {
    /// The state before the run begins.
    pub(crate) fn new(plan: RunPlan) -> Self {
        assert!(
            u32::try_from(plan.tables.len()).is_ok(),
            "a run has at most u32::MAX tables"
        );
        let mut queue = Queue::default();
        for (id, planned) in table_ids().zip(&plan.tables) {
            queue.push(id, planned);
        }
        let routes = plan.tables.iter().map(|table| {
            let TableSpec { source, target, .. } = &table.spec;
            (source.endpoint.clone(), target.endpoint.clone())
        });
        let fleet = Fleet::new(plan.limits.heartbeat_period, routes, Time::START);
        Self {
            run: plan.run,
            seed: plan.seed,
            task_queue: plan.task_queue,
            now: Time::START,
            begun: false,
            completed: false,
            tables: plan.tables.into_iter().map(Table::new).collect(),
            scope: TableScope::default(),
            queue,
            outstanding: BTreeSet::new(),
            stopping: BTreeMap::new(),
            fleet,
            databases: Vec::new(),
            refusals: Refusals::default(),
            counts: Counts::default(),
            root_cause: None,
            cancelling: None,
            pausing: None,
            cancel_at_begin: None,
            adopting: None,
            probe: None,
            claimed_ever: false,
            notified_no_worker: false,
            notified_nothing_claimed: false,
            widest_window: 0,
            listing_bytes: received::RUN_BYTES,
            effects: Vec::new(),
            limits: plan.limits,
        }
    }

    /// The same state of a run whose selection of tables had this scope.
    #[must_use]
    pub(crate) fn with_scope(mut self, scope: TableScope) -> Self {
        self.scope = scope;
        self
    }

    /// Applies an input and returns what must be done. Time never goes back: an
    /// earlier `now` counts as the latest one.
    ///
    /// Before [`Input::Begin`] and after [`Effect::Complete`] or [`Effect::Paused`] no input has
    /// an effect.
    #[must_use = "effects must be carried out"]
    pub(crate) fn apply(&mut self, input: Input, now: Time) -> Vec<Effect> {
        self.now = self.now.max(now);
        if self.completed || (!self.begun && !matches!(input, Input::Begin)) {
            return Vec::new();
        }
        match input {
            Input::Begin => {
                if !self.begun {
                    self.begun = true;
                    self.fleet.begin(self.now);
                    self.effects.push(Effect::Control(Control::Announce));
                    if let Some(reason) = self.cancel_at_begin.take() {
                        self.begin_cancelling(reason);
                    }
                }
            }
            Input::Event(event) => self.on_event(event),
            Input::Heartbeat(heartbeat) => self.on_heartbeat(&heartbeat),
            Input::Published(work) => self.on_published(work),
            Input::PublishFailed {
                work,
                reason,
                retryable,
            } => self.on_publish_failed(work, &reason, retryable),
            Input::Announced => self.on_announced(),
            Input::Cancel => self.begin_cancelling(CancelReason::Requested),
            Input::Pause => self.begin_pausing(),
            Input::Disconnected { reason } => self.on_disconnected(&reason),
            Input::Tick => self.tick(),
        }
        self.dispatch();
        if self.has_ended() {
            self.completed = true;
            self.effects.push(Effect::Complete);
        } else if self.is_quiet() {
            self.completed = true;
            self.effects.push(Effect::Paused);
        }
        #[cfg(any(test, debug_assertions))]
        assert_eq!(self.check_invariants_if_small(), Ok(()));
        std::mem::take(&mut self.effects)
    }

    /// Whether every table has ended and no answer is outstanding.
    fn has_ended(&self) -> bool {
        self.counts.total() == self.tables.len()
            && self.stopping.is_empty()
            && self
                .cancelling
                .is_none_or(|cancelling| cancelling.claims_until <= self.now)
    }

    /// Whether no table is dispatched any more.
    fn is_stopping(&self) -> bool {
        self.cancelling.is_some() || self.pausing.is_some()
    }

    fn dispatch(&mut self) {
        let window = self.window();
        self.widest_window = self.widest_window.max(window);
        if self.is_stopping() || self.adopting.is_some() || self.is_held_off() {
            return;
        }
        while self.slots_in_use() < window as usize {
            let may_take_suspect = self.may_dispatch_suspect();
            let Some(id) = self.queue.pop(may_take_suspect) else {
                break;
            };
            let databases = self.databases_of(self.spec(id));
            let avoid = self.avoided(id);
            let table = &mut self.tables[id.index()];
            table.adoptable = None;
            table.phase = Phase::Published {
                at: self.now,
                confirmed: None,
            };
            self.outstanding.insert(id);
            self.effects.push(Effect::Publish(Box::new(Task {
                run: self.run,
                table: id,
                attempt: table.attempt,
                scope: Scope::WholeTable,
                spec: table.planned.spec.clone(),
                databases,
                avoid,
            })));
        }
    }

    /// How many tables may be dispatched and unfinished now.
    fn window(&self) -> u32 {
        let capacity = self.fleet.capacity().max(1);
        match self.limits.window {
            // A task beyond the capacity of the others would go to the worker that returns it.
            Window::Fixed(count) if self.fleet.has_unfit() => count.get().min(capacity),
            Window::Fixed(count) => count.get(),
            Window::Fleet => capacity,
        }
    }

    /// Tables that load the databases or may begin to at any time.
    fn slots_in_use(&self) -> usize {
        self.outstanding.len() + self.stopping.len()
    }

    pub(crate) fn work(&self, table: TableId, attempt: Attempt) -> WorkId {
        WorkId {
            run: self.run,
            table,
            attempt,
        }
    }

    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// The latest time that was passed to [`apply`](Self::apply).
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn table_count(&self) -> usize {
        self.tables.len()
    }

    /// The rows of `table` according to the catalog, if it was read before the run.
    pub(crate) fn estimated_rows(&self, table: TableId) -> Option<u64> {
        self.tables[table.index()].planned.estimated_rows
    }

    /// What is compared for `table`.
    pub(crate) fn spec(&self, table: TableId) -> &TableSpec {
        &self.tables[table.index()].planned.spec
    }

    pub(crate) fn record(&self, table: TableId) -> Option<&TableRecord> {
        self.tables.get(table.index()).and_then(Table::record)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn scope(&self) -> &TableScope {
        &self.scope
    }

    /// The status of the run if all its tables have ended.
    pub(crate) fn status(&self) -> RunStatus {
        self.scope.status(&self.counts)
    }

    pub(crate) fn root_cause(&self) -> Option<&RootCause> {
        self.root_cause.as_ref()
    }

    /// Why the run is being, or was, cancelled.
    pub(crate) fn cancel_reason(&self) -> Option<CancelReason> {
        self.cancelling.map(|cancelling| cancelling.reason)
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.completed
    }

    /// The largest number of tables that could be outstanding at any time so far.
    pub(crate) fn widest_window(&self) -> u32 {
        self.widest_window
    }

    /// How many tables are published or running.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// How many tables are in the coordinator's own queue.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn workers(&self) -> usize {
        self.fleet.len()
    }

    /// The workers that are alive and the time of each one's last heartbeat, in
    /// the order of their names.
    pub(crate) fn heartbeats(&self) -> impl Iterator<Item = (&WorkerId, Time)> {
        self.fleet.heartbeats()
    }

    /// The tables that workers have claimed and not finished.
    pub(crate) fn activities(&self) -> impl Iterator<Item = Activity<'_>> {
        self.outstanding
            .iter()
            .filter_map(|&table| match &self.tables[table.index()].phase {
                Phase::Running(running) => running.claims.first().map(|claim| Activity {
                    table,
                    worker: &claim.worker,
                    since: running.since,
                    source_rows: claim.source_rows,
                    target_rows: claim.target_rows,
                    phase: claim.phase,
                    expected_rows: claim.expected_rows,
                }),
                _ => None,
            })
    }

    /// Moves the final record of `table` out, for the report of a complete run.
    ///
    /// A table that has not ended, or whose record was taken before, yields a
    /// failure: it must not pass for verified without a record.
    pub(crate) fn take_record(&mut self, table: TableId) -> TableRecord {
        let Table { phase, attempt, .. } = &mut self.tables[table.index()];
        match std::mem::replace(phase, Phase::Waiting) {
            Phase::Done(record) => *record,
            Phase::Waiting | Phase::Published { .. } | Phase::Running(_) => {
                let message = "the run ended before this table did; this is a defect";
                let failure = Failure::new(FailureKind::InternalError, message).retryable();
                TableRecord {
                    verdict: Verdict::Failed(failure),
                    attempt: *attempt,
                    worker: None,
                    duration: None,
                    quiet_after: None,
                    unconfirmed: Vec::new(),
                    history: Vec::new(),
                }
            }
        }
    }
}

//! The invariants of a run, under arbitrary inputs in arbitrary order.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use shared::config::FailFast;
use shared::identity::{DatabaseIdentity, contradiction};
use shared::ids::{Attempt, RunId, TableId, WorkerId};
use shared::message::{Control, Event, EventBody, Heartbeat, OwnedWork, Task, WorkId};
use shared::outcome::{Failure, FailureKind, FailureOrigin, Outcome};

use super::testing::{compared, databases, failed, limits, spec};
use super::*;

/// The number of workers.
const WORKERS: usize = 3;

/// How a worker is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setup {
    Right,
    /// Its endpoint leads to another database.
    OtherDatabase,
    /// It has not configured an endpoint.
    NoEndpoint,
    /// Its version does not report databases and endpoints.
    Older,
    /// A database refuses its login.
    WrongPassword,
    /// A firewall is between it and a database.
    Unreachable,
}

const ALL_RIGHT: [Setup; WORKERS] = [Setup::Right; WORKERS];

impl Setup {
    fn databases(self) -> Vec<DatabaseIdentity> {
        match self {
            Self::Right => databases("right"),
            Self::OtherDatabase => databases("other"),
            Self::NoEndpoint | Self::Older | Self::WrongPassword | Self::Unreachable => Vec::new(),
        }
    }

    fn endpoints(self) -> Option<Vec<String>> {
        match self {
            Self::Right | Self::OtherDatabase | Self::WrongPassword | Self::Unreachable => {
                Some(vec!["source".to_owned(), "target".to_owned()])
            }
            Self::NoEndpoint => Some(vec!["source".to_owned()]),
            Self::Older => None,
        }
    }

    /// The kind of the failure with which such a worker returns `task`.
    fn refusal(self, task: &Task) -> Option<FailureKind> {
        match self {
            Self::NoEndpoint => Some(FailureKind::UnknownEndpoint),
            Self::Older | Self::WrongPassword | Self::Unreachable => None,
            Self::Right | Self::OtherDatabase => contradiction(&self.databases(), &task.databases)
                .map(|_| FailureKind::OtherDatabase),
        }
    }
}

impl Setup {
    /// Why every attempt of such a worker fails.
    fn own_failure(self) -> Option<Failure> {
        let kind = match self {
            Self::WrongPassword => FailureKind::AuthenticationError,
            Self::Unreachable => FailureKind::ConnectionError,
            Self::Right | Self::OtherDatabase | Self::NoEndpoint | Self::Older => return None,
        };
        let origin = FailureOrigin::Endpoint("target".to_owned());
        Some(Failure::new(kind, "not from here").in_origin(origin))
    }
}

/// A worker that fails at every table, or can run none.
fn bad_setup() -> impl Strategy<Value = Setup> {
    prop_oneof![misplaced_setup(), failing_setup()]
}

fn failing_setup() -> impl Strategy<Value = Setup> {
    prop_oneof![Just(Setup::WrongPassword), Just(Setup::Unreachable)]
}

fn any_setup() -> impl Strategy<Value = Setup> {
    prop_oneof![3 => misplaced_setup(), 1 => failing_setup()]
}

fn misplaced_setup() -> impl Strategy<Value = Setup> {
    prop_oneof![
        5 => Just(Setup::Right),
        2 => Just(Setup::OtherDatabase),
        2 => Just(Setup::NoEndpoint),
        1 => Just(Setup::Older),
    ]
}

/// One thing that happens. StatementCounts choose among what there is.
#[derive(Debug, Clone)]
enum Happening {
    /// The broker confirms, refuses or forgets a publish.
    Confirm(u8),
    Refuse(u8),
    Lose(u8),
    /// The broker delivers a task a second time.
    Duplicate(u8),
    /// A worker takes a task from the queue and claims it.
    Take {
        task: u8,
        worker: u8,
    },
    /// A worker sends a batch of differences, perhaps twice.
    Batch {
        work: u8,
        batch: u8,
    },
    /// A worker ends some work.
    End {
        work: u8,
        how: u8,
    },
    /// An event arrives again, or arrives late.
    Replay(u8),
    /// A worker is killed, and its work is lost.
    Die(u8),
    Beat {
        worker: u8,
        draining: bool,
    },
    /// The broker confirms the question whether the workers are alive.
    Announced,
    Cancel,
    Pause,
    Disconnect,
    /// The coordinator is killed and another one resumes the run.
    Restart,
    /// Time passes, up to the next timer or by a jump.
    NextTimer,
    Jump(u32),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::{
        Announced, Batch, Beat, Cancel, Confirm, Die, Disconnect, Duplicate, End, Jump, Lose,
        NextTimer, Pause, Refuse, Replay, Restart, Take,
    };
    prop_oneof![
        8 => any::<u8>().prop_map(Confirm),
        1 => any::<u8>().prop_map(Refuse),
        1 => any::<u8>().prop_map(Lose),
        1 => any::<u8>().prop_map(Duplicate),
        12 => (any::<u8>(), any::<u8>()).prop_map(|(task, worker)| Take { task, worker }),
        3 => (any::<u8>(), 0..3_u8).prop_map(|(work, batch)| Batch { work, batch }),
        12 => (any::<u8>(), any::<u8>()).prop_map(|(work, how)| End { work, how }),
        2 => any::<u8>().prop_map(Replay),
        1 => any::<u8>().prop_map(Die),
        6 => (any::<u8>(), proptest::bool::weighted(0.1)).prop_map(|(worker, draining)| Beat { worker, draining }),
        3 => Just(Announced),
        1 => proptest::bool::weighted(0.2).prop_map(|now| if now { Cancel } else { NextTimer }),
        1 => proptest::bool::weighted(0.5).prop_map(|now| if now { Pause } else { NextTimer }),
        1 => proptest::bool::weighted(0.05).prop_map(|now| if now { Disconnect } else { NextTimer }),
        1 => proptest::bool::weighted(0.5).prop_map(|now| if now { Restart } else { NextTimer }),
        6 => Just(NextTimer),
        3 => (0..200_000_u32).prop_map(Jump),
    ]
}

/// A simulated broker and its workers.
struct World {
    state: RunState,
    plan: RunPlan,
    window: Option<usize>,
    now: Time,
    unconfirmed: Vec<WorkId>,
    queue: Vec<Task>,
    running: Vec<(WorkId, usize, BTreeSet<u32>)>,
    said: Vec<Event>,
    ended: BTreeMap<TableId, TableStatus>,
    first_bad: Option<TableId>,
    completed: bool,
    /// Whether the coordinator has ended because the run was paused.
    paused: bool,
    /// The highest attempt of each table that was published.
    published: BTreeMap<TableId, Attempt>,
    cancelled: bool,
    setups: [Setup; WORKERS],
    /// How often each worker failed for a reason of its own. After some it tries no more.
    own_failures: [u32; WORKERS],
    /// The databases of the run, which never change once a claim has named them.
    known: Vec<DatabaseIdentity>,
}

fn ended(outcome: Outcome) -> EventBody {
    EventBody::Finished {
        outcome: Box::new(outcome),
        batches: 0,
        duration_ms: 1,
        unconfirmed: Vec::new(),
    }
}

/// The element that a number chooses.
fn choose<T>(list: &[T], number: u8) -> Option<usize> {
    (!list.is_empty()).then(|| usize::from(number) % list.len())
}

impl World {
    fn new(tables: usize, limits: Limits, setups: [Setup; WORKERS]) -> Self {
        let fail_fast_window = match limits.window {
            Window::Fixed(window) => Some(window.get() as usize),
            Window::Fleet => None,
        };
        let tables = (0..tables)
            .map(|n| PlannedTable {
                priority: i32::try_from(n % 3).unwrap(),
                estimated_rows: (n % 2 == 0).then_some(n as u64),
                ..PlannedTable::new(spec("t"))
            })
            .collect();
        let plan = RunPlan {
            run: RunId::generate(),
            tables,
            limits,
            task_queue: "q".to_owned(),
            seed: 3,
        };
        let mut world = Self {
            state: RunState::new(plan.clone()),
            plan,
            window: fail_fast_window,
            now: Time::START,
            unconfirmed: Vec::new(),
            queue: Vec::new(),
            running: Vec::new(),
            said: Vec::new(),
            ended: BTreeMap::new(),
            first_bad: None,
            completed: false,
            paused: false,
            published: BTreeMap::new(),
            cancelled: false,
            setups,
            own_failures: [0; WORKERS],
            known: Vec::new(),
        };
        world.tell(Input::Begin);
        world
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each effect")]
    fn tell(&mut self, input: Input) {
        // A paused run has left this coordinator.
        if matches!(input, Input::Cancel) && !self.paused {
            self.cancelled = true;
        }
        let fail_fast = self.state.limits.fail_fast;
        let effects = self.state.apply(input, self.now);
        assert_eq!(self.state.check_invariants(), Ok(()));
        assert!(
            !(self.completed || self.paused) || effects.is_empty(),
            "nothing happens after the end: {effects:?}"
        );
        assert_eq!(
            contradiction(self.state.known_databases(), &self.known),
            None
        );
        assert!(self.state.known_databases().len() >= self.known.len());
        self.known = self.state.known_databases().to_vec();
        for effect in effects {
            match effect {
                Effect::Publish(task) => {
                    assert!(
                        !self.cancelled,
                        "nothing is dispatched once the run is cancelled"
                    );
                    assert!(
                        !self.ended.contains_key(&task.table),
                        "an ended table is not dispatched"
                    );
                    assert!(!self.state.is_pausing(), "a paused run dispatches nothing");
                    let before = self.published.insert(task.table, task.attempt);
                    assert!(before < Some(task.attempt), "attempt numbers grow");
                    self.unconfirmed.push(task.work());
                    self.queue.push(*task);
                }
                Effect::Control(Control::CancelRun { .. }) => self.cancelled = true,
                Effect::Control(Control::CancelAttempt { work }) => {
                    let current = self.state.tables[work.table.index()].attempt == work.attempt;
                    let ended = self.state.record(work.table).is_some();
                    let pausing = self.state.is_pausing();
                    assert!(
                        ended || !current || pausing,
                        "work that is wanted is not cancelled"
                    );
                }
                Effect::TableEnded(table) => {
                    let record = self.state.record(table).expect("its account is there");
                    let status = record.status();
                    if status.is_verified() {
                        let worker = record.worker.as_ref().expect("a worker compared it");
                        let number: usize = worker.as_str()[1..].parse().unwrap();
                        let found = self.setups[number].databases();
                        assert_eq!(contradiction(&found, &self.known), None, "{worker}");
                        assert_ne!(self.setups[number], Setup::NoEndpoint, "{worker}");
                        assert_eq!(self.setups[number].own_failure(), None, "{worker}");
                    }
                    let bad = match fail_fast {
                        FailFast::Off => false,
                        FailFast::Error => status == TableStatus::Failed,
                        FailFast::Mismatch => {
                            matches!(status, TableStatus::Failed | TableStatus::Mismatched)
                        }
                    };
                    if bad && !self.cancelled {
                        self.first_bad = self.first_bad.or(Some(table));
                        self.cancelled = true;
                    }
                    assert_eq!(self.ended.insert(table, status), None, "a table ends once");
                }
                Effect::Complete => self.completed = true,
                Effect::Paused => {
                    self.paused = true;
                    let paused = self.state.paused().expect("tables are left");
                    assert!(paused.counts.total() < paused.tables);
                    assert_eq!(self.state.outstanding(), 0, "no attempt is left");
                }
                Effect::Control(
                    Control::StopRun { .. }
                    | Control::Drain { .. }
                    | Control::CheckEndpoints { .. },
                ) => panic!("that is for people to ask: {effect:?}"),
                Effect::Control(Control::Announce)
                | Effect::StatementsStopped { .. }
                | Effect::KeepRepair { .. }
                | Effect::KeepRepairPart { .. }
                | Effect::DatabasesKnown
                | Effect::KeepRows { .. }
                | Effect::Notice(_) => {}
            }
        }
        if let Some(window) = self.window {
            assert!(self.state.outstanding() <= window, "the window holds");
        }
        assert_eq!(self.state.counts().total(), self.ended.len());
    }

    fn say(&mut self, work: WorkId, worker: usize, body: EventBody) {
        let event = Event {
            work,
            worker: WorkerId::named(format!("w{worker}")),
            body,
            databases: self.setups[worker].databases(),
        };
        self.said.push(event.clone());
        self.tell(Input::Event(event));
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each event")]
    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Confirm(which) => {
                if let Some(at) = choose(&self.unconfirmed, which) {
                    let work = self.unconfirmed.remove(at);
                    self.tell(Input::Published(work));
                }
            }
            Happening::Refuse(which) => {
                if let Some(at) = choose(&self.unconfirmed, which) {
                    let work = self.unconfirmed.remove(at);
                    self.tell(Input::PublishFailed {
                        work,
                        reason: "refused".to_owned(),
                        retryable: true,
                    });
                }
            }
            Happening::Lose(which) => {
                if let Some(at) = choose(&self.queue, which) {
                    self.queue.remove(at);
                }
            }
            Happening::Duplicate(which) => {
                if let Some(at) = choose(&self.queue, which) {
                    self.queue.push(self.queue[at].clone());
                }
            }
            Happening::Take { task, worker } => {
                if let Some(at) = choose(&self.queue, task) {
                    let task = self.queue.remove(at);
                    let work = task.work();
                    let worker = usize::from(worker) % WORKERS;
                    if let Some(kind) = self.setups[worker].refusal(&task) {
                        let failure = Failure::new(kind, "not here").uncounted();
                        let body = EventBody::Finished {
                            outcome: Box::new(Outcome::Refused(failure)),
                            batches: 0,
                            duration_ms: 0,
                            unconfirmed: Vec::new(),
                        };
                        return self.say(work, worker, body);
                    }
                    if task.avoid.contains(&WorkerId::named(format!("w{worker}"))) {
                        let failure = Failure::new(FailureKind::HandedBack, "not again");
                        let failure = failure.in_origin(FailureOrigin::Worker);
                        return self.say(work, worker, ended(Outcome::Refused(failure)));
                    }
                    if let Some(failure) = self.setups[worker].own_failure() {
                        self.own_failures[worker] += 1;
                        if self.own_failures[worker] > 3 {
                            return self.say(work, worker, ended(Outcome::Refused(failure)));
                        }
                        self.say(work, worker, EventBody::Claimed);
                        return self.say(work, worker, ended(Outcome::Failed(failure)));
                    }
                    self.running.push((work, worker, BTreeSet::new()));
                    self.say(work, worker, EventBody::Claimed);
                }
            }
            Happening::Batch { work, batch } => {
                if let Some(at) = choose(&self.running, work) {
                    let (work, worker, batches) = &mut self.running[at];
                    batches.insert(batch.into());
                    let (work, worker) = (*work, *worker);
                    self.say(
                        work,
                        worker,
                        EventBody::Differences {
                            batch: batch.into(),
                            rows: Vec::new(),
                        },
                    );
                }
            }
            Happening::End { work, how } => {
                if let Some(at) = choose(&self.running, work) {
                    let (work, worker, sent) = self.running.remove(at);
                    let outcome = match how % 10 {
                        0 => failed(false, true),
                        1 => failed(true, true),
                        2 => failed(true, false),
                        3 => Outcome::Cancelled { quiet_after_ms: 3 },
                        4 => Outcome::HandedBack,
                        5 => compared(1),
                        6 if how > 200 => Outcome::TimedOut { quiet_after_ms: 3 },
                        _ => compared(0),
                    };
                    let batches = u32::try_from(sent.len()).unwrap();
                    let body = EventBody::Finished {
                        outcome: Box::new(outcome),
                        batches,
                        duration_ms: 1,
                        unconfirmed: Vec::new(),
                    };
                    self.say(work, worker, body);
                }
            }
            Happening::Replay(which) => {
                if let Some(at) = choose(&self.said, which) {
                    self.tell(Input::Event(self.said[at].clone()));
                }
            }
            Happening::Die(worker) => {
                let dead = usize::from(worker) % WORKERS;
                self.running.retain(|&(_, worker, _)| worker != dead);
            }
            Happening::Beat { worker, draining } => {
                self.beat(usize::from(worker) % WORKERS, draining)
            }
            Happening::Announced => self.tell(Input::Announced),
            Happening::Cancel => self.tell(Input::Cancel),
            Happening::Pause => self.tell(Input::Pause),
            Happening::Disconnect => self.tell(Input::Disconnected {
                reason: "gone".to_owned(),
            }),
            Happening::Restart => self.restart(),
            Happening::NextTimer => self.tick(),
            Happening::Jump(by) => {
                self.now = self.now.after(Duration::from_millis(by.into()));
                self.tell(Input::Tick);
            }
        }
    }

    /// A new coordinator knows what the old one must have stored.
    fn restart(&mut self) {
        if self.completed {
            return;
        }
        let tables = table_ids()
            .take(self.state.table_count())
            .map(|id| match self.state.record(id) {
                Some(record) => RestoredTable::Ended(Box::new(record.clone())),
                None => RestoredTable::Open(self.state.open_table(id).expect("it has not ended")),
            })
            .collect();
        let restored = Restored {
            tables,
            cancelling: self.state.cancel_reason(),
            root_cause: self.state.root_cause().cloned(),
            databases: self.state.known_databases().to_vec(),
        };
        self.state = RunState::restore(self.plan.clone(), restored);
        self.paused = false;
        self.now = Time::START;
        // The answers to its publishes went down with the old one.
        self.unconfirmed.clear();
        self.tell(Input::Begin);
    }

    fn beat(&mut self, worker: usize, draining: bool) {
        let owned = self
            .running
            .iter()
            .filter(|&&(_, owner, _)| owner == worker)
            .map(|&(work, ..)| OwnedWork {
                work,
                source_rows: 1,
                target_rows: 1,
                phase: None,
                expected_rows: None,
            })
            .collect();
        self.tell(Input::Heartbeat(Heartbeat {
            worker: WorkerId::named(format!("w{worker}")),
            host: "h".to_owned(),
            pid: 1,
            version: "0".to_owned(),
            capacity: 2,
            draining,
            period_ms: 5_000,
            owned,
            endpoints: self.setups[worker].endpoints(),
            unavailable: Vec::new(),
            checked: None,
        }));
    }

    /// Lets the next timer fire.
    fn tick(&mut self) {
        if let Some(at) = self.state.next_wakeup() {
            self.now = self.now.max(at);
        }
        self.tell(Input::Tick);
        assert!(
            self.state.next_wakeup().is_none_or(|next| next > self.now),
            "after a tick the next one is in the future: {:?} at {:?}",
            self.state.next_wakeup(),
            self.now
        );
    }
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let fail_fast = prop_oneof![2 => Just(FailFast::Off), 1 => Just(FailFast::Error), 1 => Just(FailFast::Mismatch)];
    (1..5_u32, any::<bool>(), fail_fast, 1..4_u32).prop_map(
        |(window, fleet, fail_fast, attempts)| {
            let usual = limits(window);
            Limits {
                fail_fast,
                max_attempts: attempts.try_into().unwrap(),
                window: if fleet { Window::Fleet } else { usual.window },
                ..usual
            }
        },
    )
}

/// How the world goes on after the arbitrary part: everybody is dead, or the
/// workers do what they should.
fn run_to_its_end(world: &mut World, workers_live: bool) {
    for step in 0..20_000 {
        if world.completed {
            return;
        }
        if world.paused {
            world.restart();
        }
        if workers_live {
            world.happen(Happening::Confirm(0));
            let worker = u8::try_from(step % WORKERS).unwrap();
            world.happen(Happening::Take { task: 0, worker });
            world.happen(Happening::End { work: 0, how: 9 });
            for worker in 0..WORKERS {
                world.beat(worker, false);
            }
        }
        world.happen(Happening::Announced);
        if !workers_live {
            world.tick();
        } else if step % 4 == 3 {
            world.happen(Happening::Jump(2_000));
        }
    }
    panic!(
        "the run does not end: {:?} after {:?}",
        world.state.counts(),
        world.now
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_with_one_verdict_for_every_table(
        tables in 0..8_usize,
        limits in any_limits(),
        happenings in proptest::collection::vec(happening(), 0..60),
        workers_live in any::<bool>(),
        setups in [any_setup(), any_setup(), any_setup()],
    ) {
        let mut world = World::new(tables, limits, setups);
        for happening in happenings {
            world.happen(happening);
        }
        run_to_its_end(&mut world, workers_live);
        prop_assert_eq!(world.ended.len(), tables);
        prop_assert_eq!(world.state.counts().total(), tables);
        prop_assert_eq!(world.state.root_cause().map(|cause| cause.table), world.first_bad);
        for (table, status) in &world.ended {
            prop_assert_eq!(world.state.record(*table).map(TableRecord::status), Some(*status));
        }
        prop_assert!(world.state.next_wakeup().is_none());
    }

    #[test]
    fn undisturbed_workers_verify_everything(
        tables in 0..12_usize,
        window in 1..5_u32,
        order in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut world = World::new(tables, limits(window), ALL_RIGHT);
        for choice in order {
            world.happen(Happening::Confirm(choice));
            world.happen(Happening::Take { task: choice, worker: choice });
            world.happen(Happening::End { work: choice / 2, how: 9 });
        }
        run_to_its_end(&mut world, true);
        prop_assert_eq!(world.state.counts().matched, tables);
        prop_assert!(world.state.tables.iter().all(|table| table.attempt == Attempt::FIRST));
    }

    #[test]
    fn workers_with_another_database_or_without_the_endpoint_cost_no_attempt(
        tables in 1..12_usize,
        window in 1..5_u32,
        order in proptest::collection::vec(any::<u8>(), 0..80),
        others in [misplaced_setup(), misplaced_setup()],
    ) {
        let setups = [Setup::Right, others[0], others[1]];
        let mut world = World::new(tables, limits(window), setups);
        world.happen(Happening::Take { task: 0, worker: 0 });
        for choice in order {
            world.happen(Happening::Confirm(choice));
            world.happen(Happening::Take { task: choice, worker: choice });
            // Too short for a lease to expire.
            world.happen(Happening::Jump(u32::from(choice)));
            if choice % 4 == 0 {
                world.beat(usize::from(choice) % WORKERS, false);
            }
        }
        run_to_its_end(&mut world, true);
        prop_assert_eq!(world.state.counts().matched, tables);
        prop_assert!(world.state.tables.iter().all(|table| table.spent + table.free == 0));
    }

    #[test]
    fn one_good_worker_verifies_every_table(
        tables in 1..12_usize,
        window in 1..5_u32,
        order in proptest::collection::vec(any::<u8>(), 0..80),
        others in [bad_setup(), bad_setup()],
    ) {
        let only = Limits { max_attempts: NonZeroU32::MIN, ..limits(window) };
        let mut world = World::new(tables, only, [Setup::Right, others[0], others[1]]);
        // The first claim decides which databases the run compares.
        world.happen(Happening::Take { task: 0, worker: 0 });
        world.beat(0, false);
        for choice in order {
            world.happen(Happening::Confirm(choice));
            world.happen(Happening::Take { task: choice, worker: choice });
            // Too short for a lease to expire.
            world.happen(Happening::Jump(u32::from(choice)));
            if choice % 4 == 0 {
                world.beat(0, false);
                world.beat(usize::from(choice) % WORKERS, false);
            }
        }
        run_to_its_end(&mut world, true);
        prop_assert_eq!(world.state.counts().matched, tables);
        prop_assert!(world.state.tables.iter().all(|table| table.spent == 0));
    }

    #[test]
    fn a_reason_that_all_workers_have_ends_every_table_with_it(
        tables in 1..12_usize,
        limits in any_limits(),
        setups in [failing_setup(), failing_setup(), failing_setup()],
        order in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let limits = Limits { fail_fast: FailFast::Off, ..limits };
        let most = limits.max_attempts.get() as usize * WORKERS + 10;
        let mut world = World::new(tables, limits, setups);
        for choice in order {
            world.happen(Happening::Confirm(choice));
            world.happen(Happening::Take { task: choice, worker: choice });
            world.happen(Happening::Jump(u32::from(choice)));
        }
        run_to_its_end(&mut world, true);
        prop_assert_eq!(world.state.counts().failed, tables);
        for table in &world.state.tables {
            let record = table.record().unwrap();
            let Verdict::Failed(failure) = &record.verdict else { panic!("{record:?}") };
            prop_assert!(!failure.origin.is_table(), "{}", failure);
            prop_assert!(record.history.len() <= most, "{:?}", record.history);
        }
    }
}

//! The workers that are alive, according to their heartbeats.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::ids::WorkerId;
use shared::message::Heartbeat;

use super::plan::Time;

/// A worker counts as gone after so many missed heartbeats.
const MISSED_HEARTBEATS: u32 = 3;

/// The most workers that are tracked. Heartbeats and refusals of further ones are ignored.
pub(super) const MOST_WORKERS: usize = 10_000;

/// Bounds on the period that a worker may announce, so that a wrong value
/// neither expires the worker at once nor keeps it forever.
const SHORTEST_PERIOD: Duration = Duration::from_millis(20);
const LONGEST_PERIOD: Duration = Duration::from_secs(300);

/// The endpoints of a table: source and target.
pub(super) type Route = (String, String);

#[derive(Debug)]
pub(super) struct Fleet {
    workers: BTreeMap<WorkerId, LiveWorker>,
    /// Why workers could not run a task that they were given. Such a worker is not counted until
    /// it runs one.
    unfit: BTreeMap<WorkerId, String>,
    /// Workers whose last table failed for a reason of their own.
    failing: BTreeSet<WorkerId>,
    /// When each worker last compared a table.
    successes: BTreeMap<WorkerId, Time>,
    /// When a worker that can run tasks last stopped taking them: it drains or is gone.
    departed: Option<Time>,
    began: Time,
    /// The endpoints of the tables of the run.
    routes: BTreeSet<Route>,
    default_period: Duration,
    /// When a message of any worker last arrived that can run tasks.
    last_contact: Time,
}

#[derive(Debug)]
struct LiveWorker {
    last_heartbeat: Time,
    period: Duration,
    capacity: u32,
    draining: bool,
    /// Since when every heartbeat showed free capacity.
    idle_since: Option<Time>,
    /// Why it can run no table of the run: an endpoint that it has not configured.
    lacks: Option<String>,
}

impl LiveWorker {
    fn gone_at(&self) -> Time {
        self.last_heartbeat.after(self.period * MISSED_HEARTBEATS)
    }
}

impl Fleet {
    pub(super) fn new(
        default_period: Duration,
        routes: impl IntoIterator<Item = Route>,
        now: Time,
    ) -> Self {
        Self {
            workers: BTreeMap::new(),
            unfit: BTreeMap::new(),
            failing: BTreeSet::new(),
            successes: BTreeMap::new(),
            departed: None,
            began: now,
            routes: routes.into_iter().collect(),
            default_period,
            last_contact: now,
        }
    }

    pub(super) fn heartbeat(&mut self, heartbeat: &Heartbeat, now: Time) {
        let is_known = self.workers.contains_key(&heartbeat.worker);
        if !is_known && self.workers.len() >= MOST_WORKERS {
            return;
        }
        let lacks = self.lacking(heartbeat.endpoints.as_deref());
        if lacks.is_none() && !self.unfit.contains_key(&heartbeat.worker) {
            self.last_contact = now;
        }
        let idle = !heartbeat.draining && heartbeat.owned.len() < heartbeat.capacity as usize;
        let known = self.workers.get(&heartbeat.worker);
        let before = known.and_then(|worker| worker.idle_since);
        if heartbeat.draining && known.is_some_and(|worker| !worker.draining) {
            self.departed = Some(now);
        }
        self.workers.insert(
            heartbeat.worker.clone(),
            LiveWorker {
                last_heartbeat: now,
                period: Duration::from_millis(heartbeat.period_ms)
                    .clamp(SHORTEST_PERIOD, LONGEST_PERIOD),
                capacity: heartbeat.capacity,
                draining: heartbeat.draining,
                idle_since: idle.then(|| before.unwrap_or(now)),
                lacks,
            },
        );
    }

    /// Why a worker with these endpoints can run no table of the run.
    fn lacking(&self, endpoints: Option<&[String]>) -> Option<String> {
        let known = endpoints?;
        let has = |endpoint: &String| known.contains(endpoint);
        let mut routes = self.routes.iter();
        let (source, target) = self.routes.first()?;
        if routes.any(|(source, target)| has(source) && has(target)) {
            return None;
        }
        let missing = if has(source) { target } else { source };
        Some(format!(
            "it has no endpoint `{missing}`, its endpoints are: {}",
            known.join(", ")
        ))
    }

    /// Records that `worker` cannot run tasks of the run. Returns whether that is new.
    pub(super) fn mark_unfit(&mut self, worker: &WorkerId, reason: String) -> bool {
        if !self.unfit.contains_key(worker) && self.unfit.len() >= MOST_WORKERS {
            return false;
        }
        let before = self.unfit.insert(worker.clone(), reason.clone());
        before.as_ref() != Some(&reason)
    }

    /// Records that `worker` has claimed a task in the databases of the run.
    pub(super) fn mark_fit(&mut self, worker: &WorkerId) {
        self.unfit.remove(worker);
        self.failing.remove(worker);
    }

    /// Records that `worker` failed at a table for a reason of its own. Returns whether it had
    /// not before.
    pub(super) fn mark_failing(&mut self, worker: &WorkerId) -> bool {
        self.failing.insert(worker.clone())
    }

    /// Records that `worker` has compared a table.
    pub(super) fn note_success(&mut self, worker: &WorkerId, now: Time) {
        self.successes.insert(worker.clone(), now);
    }

    /// When `worker` last compared a table.
    pub(super) fn last_success(&self, worker: &WorkerId) -> Option<Time> {
        self.successes.get(worker).copied()
    }

    /// The names of the workers that are alive, not draining, and can run tasks of the run.
    pub(super) fn takers(&self) -> impl Iterator<Item = &WorkerId> {
        self.workers
            .iter()
            .filter(|(name, worker)| self.is_fit(name, worker) && !worker.draining)
            .map(|(name, _)| name)
    }

    /// Whether workers may answer, or return, that are not known now: the run began less than
    /// `answers` ago, or a worker stopped taking tasks less than `absence` ago.
    pub(super) fn may_grow(&self, answers: Duration, absence: Duration, now: Time) -> bool {
        self.began.after(answers) > now || self.departed.is_some_and(|at| at.after(absence) > now)
    }

    fn is_fit(&self, name: &WorkerId, worker: &LiveWorker) -> bool {
        worker.lacks.is_none() && !self.unfit.contains_key(name)
    }

    /// The workers that are alive and can run tasks of the run.
    fn fit(&self) -> impl Iterator<Item = &LiveWorker> {
        self.workers
            .iter()
            .filter(|(name, worker)| self.is_fit(name, worker))
            .map(|(_, worker)| worker)
    }

    /// Whether workers are alive and all of them lack an endpoint: a task would only be returned.
    pub(super) fn lacks_endpoints(&self) -> bool {
        !self.workers.is_empty() && self.workers.values().all(|worker| worker.lacks.is_some())
    }

    /// Whether workers are alive and none of them can run tasks of the run.
    pub(super) fn is_unfit(&self) -> bool {
        !self.workers.is_empty() && self.fit().next().is_none()
    }

    /// Whether a worker is alive that cannot run tasks of the run, or failed at its last one.
    pub(super) fn has_unfit(&self) -> bool {
        self.fit().count() < self.workers.len() || !self.failing.is_empty()
    }

    /// The workers that are alive and cannot run tasks of the run, each with the reason.
    pub(super) fn unfit_words(&self) -> String {
        self.workers
            .iter()
            .filter_map(|(name, worker)| {
                let reason = worker.lacks.as_ref().or_else(|| self.unfit.get(name))?;
                Some(format!("worker {name}: {reason}"))
            })
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Records that the run begins. Workers have not had time to answer before.
    pub(super) fn begin(&mut self, now: Time) {
        self.last_contact = now;
        self.began = now;
    }

    /// Records an event of a worker. It shows that the worker is alive, not its capacity.
    pub(super) fn note_contact(&mut self, worker: &WorkerId, now: Time) {
        if !self.unfit.contains_key(worker) {
            self.last_contact = now;
        }
    }

    pub(super) fn forget_gone(&mut self, now: Time) {
        let Self {
            unfit,
            failing,
            successes,
            departed,
            ..
        } = self;
        self.workers.retain(|name, worker| {
            let is_alive = worker.gone_at() > now;
            if !is_alive {
                let was_unfit = unfit.remove(name).is_some();
                let was_failing = failing.remove(name);
                successes.remove(name);
                if !was_unfit && !was_failing && worker.lacks.is_none() {
                    *departed = Some(now);
                }
            }
            is_alive
        });
    }

    /// The next time at which a worker counts as gone unless it sends a heartbeat.
    pub(super) fn next_gone(&self) -> Option<Time> {
        self.workers.values().map(LiveWorker::gone_at).min()
    }

    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// The workers that are alive and the time of each one's last heartbeat.
    pub(super) fn heartbeats(&self) -> impl Iterator<Item = (&WorkerId, Time)> {
        self.workers
            .iter()
            .map(|(name, worker)| (name, worker.last_heartbeat))
    }

    /// How many tables the workers that can run them and are not draining run at once.
    pub(super) fn capacity(&self) -> u32 {
        self.workers
            .iter()
            .filter(|(name, worker)| self.is_fit(name, worker) && !self.failing.contains(*name))
            .filter(|(_, worker)| !worker.draining)
            .fold(0, |sum, (_, worker)| sum.saturating_add(worker.capacity))
    }

    /// The time of the last message of any worker that can run tasks, if none is alive.
    pub(super) fn silent_since(&self) -> Option<Time> {
        self.fit().next().is_none().then_some(self.last_contact)
    }

    /// Since when some worker that can run tasks has had free capacity without interruption.
    pub(super) fn idle_since(&self) -> Option<Time> {
        self.fit().filter_map(|worker| worker.idle_since).min()
    }

    /// The time between two heartbeats of `worker`.
    pub(super) fn period(&self, worker: &WorkerId) -> Duration {
        let worker = self.workers.get(worker);
        worker.map_or(self.default_period, |worker| worker.period)
    }

    /// How long a claim of `worker` is valid without a heartbeat.
    pub(super) fn lease(&self, worker: &WorkerId) -> Duration {
        self.period(worker) * MISSED_HEARTBEATS
    }
}

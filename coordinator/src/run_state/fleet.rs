//! The workers, as far as their heartbeats tell.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::WorkerId;
use shared::message::Heartbeat;

use super::plan::Time;

/// Heartbeats that may stay out before a worker counts as gone.
const MISSED_HEARTBEATS: u32 = 3;

/// Bounds on the period that a worker may announce, so that a wrong number
/// neither expires it at once nor keeps it forever.
const SHORTEST_PERIOD: Duration = Duration::from_millis(20);
const LONGEST_PERIOD: Duration = Duration::from_secs(300);

/// The workers that are alive.
#[derive(Debug)]
pub(super) struct Fleet {
    workers: BTreeMap<WorkerId, Seen>,
    default_period: Duration,
    /// When anything was last heard of any worker.
    last_heard: Time,
}

#[derive(Debug)]
struct Seen {
    heard: Time,
    period: Duration,
    capacity: u32,
    draining: bool,
    /// Since when every heartbeat showed room for more work.
    idle_since: Option<Time>,
}

impl Seen {
    fn gone_at(&self) -> Time {
        self.heard.after(self.period * MISSED_HEARTBEATS)
    }
}

impl Fleet {
    pub(super) fn new(default_period: Duration, now: Time) -> Self {
        Self {
            workers: BTreeMap::new(),
            default_period,
            last_heard: now,
        }
    }

    pub(super) fn heartbeat(&mut self, heartbeat: &Heartbeat, now: Time) {
        self.last_heard = now;
        let idle = !heartbeat.draining && heartbeat.owned.len() < heartbeat.capacity as usize;
        let before = self
            .workers
            .get(&heartbeat.worker)
            .and_then(|seen| seen.idle_since);
        self.workers.insert(
            heartbeat.worker.clone(),
            Seen {
                heard: now,
                period: Duration::from_millis(heartbeat.period_ms)
                    .clamp(SHORTEST_PERIOD, LONGEST_PERIOD),
                capacity: heartbeat.capacity,
                draining: heartbeat.draining,
                idle_since: idle.then(|| before.unwrap_or(now)),
            },
        );
    }

    /// An event is a sign of life too, though it says nothing of capacity.
    pub(super) fn heard(&mut self, now: Time) {
        self.last_heard = now;
    }

    /// Forgets the workers whose heartbeats stayed out.
    pub(super) fn forget_gone(&mut self, now: Time) {
        self.workers.retain(|_, seen| seen.gone_at() > now);
    }

    /// The next time at which a worker counts as gone unless it is heard of.
    pub(super) fn next_gone(&self) -> Option<Time> {
        self.workers.values().map(Seen::gone_at).min()
    }

    /// How many workers are alive.
    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Who is alive, and when each was last heard of.
    pub(super) fn heartbeats(&self) -> impl Iterator<Item = (&WorkerId, Time)> {
        self.workers
            .iter()
            .map(|(worker, seen)| (worker, seen.heard))
    }

    /// How many tables the workers that take work run at once.
    pub(super) fn capacity(&self) -> u32 {
        self.workers
            .values()
            .filter(|seen| !seen.draining)
            .fold(0, |sum, seen| sum.saturating_add(seen.capacity))
    }

    /// When nothing has been heard of anybody since; nobody is alive then.
    pub(super) fn silent_since(&self) -> Option<Time> {
        self.workers.is_empty().then_some(self.last_heard)
    }

    /// Since when some worker has had room for more work without a break.
    pub(super) fn idle_since(&self) -> Option<Time> {
        self.workers
            .values()
            .filter_map(|seen| seen.idle_since)
            .min()
    }

    /// One heartbeat period of `worker`.
    pub(super) fn period(&self, worker: &WorkerId) -> Duration {
        self.workers
            .get(worker)
            .map_or(self.default_period, |seen| seen.period)
    }

    /// How long a claim of `worker` holds without a heartbeat.
    pub(super) fn lease(&self, worker: &WorkerId) -> Duration {
        self.period(worker) * MISSED_HEARTBEATS
    }
}

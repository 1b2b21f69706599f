//! The workers that are alive, according to their heartbeats.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::WorkerId;
use shared::message::Heartbeat;

use super::plan::Time;

/// A worker counts as gone after so many missed heartbeats.
const MISSED_HEARTBEATS: u32 = 3;

/// Bounds on the period that a worker may announce, so that a wrong value
/// neither expires the worker at once nor keeps it forever.
const SHORTEST_PERIOD: Duration = Duration::from_millis(20);
const LONGEST_PERIOD: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Fleet {
    workers: BTreeMap<WorkerId, LiveWorker>,
    default_period: Duration,
    /// When a message of any worker last arrived.
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
}

impl LiveWorker {
    fn gone_at(&self) -> Time {
        self.last_heartbeat.after(self.period * MISSED_HEARTBEATS)
    }
}

impl Fleet {
    pub(super) fn new(default_period: Duration, now: Time) -> Self {
        Self {
            workers: BTreeMap::new(),
            default_period,
            last_contact: now,
        }
    }

    pub(super) fn heartbeat(&mut self, heartbeat: &Heartbeat, now: Time) {
        self.last_contact = now;
        let idle = !heartbeat.draining && heartbeat.owned.len() < heartbeat.capacity as usize;
        let before = self
            .workers
            .get(&heartbeat.worker)
            .and_then(|worker| worker.idle_since);
        self.workers.insert(
            heartbeat.worker.clone(),
            LiveWorker {
                last_heartbeat: now,
                period: Duration::from_millis(heartbeat.period_ms)
                    .clamp(SHORTEST_PERIOD, LONGEST_PERIOD),
                capacity: heartbeat.capacity,
                draining: heartbeat.draining,
                idle_since: idle.then(|| before.unwrap_or(now)),
            },
        );
    }

    /// Records that an event arrived. It shows that some worker is alive, not its capacity.
    pub(super) fn note_contact(&mut self, now: Time) {
        self.last_contact = now;
    }

    pub(super) fn forget_gone(&mut self, now: Time) {
        self.workers.retain(|_, worker| worker.gone_at() > now);
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

    /// How many tables the workers that are not draining run at once.
    pub(super) fn capacity(&self) -> u32 {
        self.workers
            .values()
            .filter(|worker| !worker.draining)
            .fold(0, |sum, worker| sum.saturating_add(worker.capacity))
    }

    /// The time of the last message of any worker, if no worker is alive.
    pub(super) fn silent_since(&self) -> Option<Time> {
        self.workers.is_empty().then_some(self.last_contact)
    }

    /// Since when some worker has had free capacity without interruption.
    pub(super) fn idle_since(&self) -> Option<Time> {
        self.workers
            .values()
            .filter_map(|worker| worker.idle_since)
            .min()
    }

    /// How long a claim of `worker` is valid without a heartbeat.
    pub(super) fn lease(&self, worker: &WorkerId) -> Duration {
        let worker = self.workers.get(worker);
        worker.map_or(self.default_period, |worker| worker.period) * MISSED_HEARTBEATS
    }
}

//! The current state of a run, which its gauges show.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use shared::ids::WorkerId;
use shared::outcome::Depth;
use shared::telemetry::metrics::{Described, Metrics, Reading, Validity};

use crate::run_state::{Counts, RunState, TableStatus};

/// The most workers whose heartbeats are shown. Workers after these, in the order of
/// names, have no `worker` label.
const NAMED_WORKERS: usize = 500;

#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) in_progress: bool,
    pub(super) ended: bool,
    pub(super) running: usize,
    pub(super) unclaimed: usize,
    pub(super) counts: Counts,
    /// The depth that was requested, once the run has begun.
    pub(super) depth: Option<Depth>,
    /// The time of the last heartbeat of each worker that is alive, in the order of names.
    heartbeats: Vec<(WorkerId, Instant)>,
    /// Rows of the verified tables, once the run has ended.
    pub(super) rows: (u64, u64),
    pub(super) duration: Duration,
    finished_at: Option<f64>,
}

/// The state that the observer writes and the gauges read.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedView(Arc<Mutex<View>>);

impl SharedView {
    pub(super) fn lock(&self) -> MutexGuard<'_, View> {
        // A panic cannot leave these values inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// The run has ended: no table runs, and heartbeats are no longer read.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.in_progress = false;
        self.running = 0;
        self.unclaimed = 0;
        self.heartbeats.clear();
        self.finished_at = Some(Utc::now().timestamp_millis() as f64 / 1000.0);
    }

    /// Copies the times of the last heartbeats. A name that the view already contains
    /// is moved, not cloned.
    pub(super) fn update_heartbeats(&mut self, state: &RunState) {
        let (now, at) = (Instant::now(), state.now());
        let mut known = std::mem::take(&mut self.heartbeats).into_iter().peekable();
        for (worker, heartbeat) in state.heartbeats().take(NAMED_WORKERS) {
            while known.next_if(|(gone, _)| gone < worker).is_some() {}
            let name = known
                .next_if(|(same, _)| same == worker)
                .map_or_else(|| worker.clone(), |(name, _)| name);
            let heartbeat = now.checked_sub(at.since(heartbeat)).unwrap_or(now);
            self.heartbeats.push((name, heartbeat));
        }
    }

    fn tables(&self) -> Vec<Reading> {
        let ended = TableStatus::ALL.map(|status| (status.as_str(), self.counts.of(status)));
        let open = [("running", self.running), ("waiting", self.unclaimed)];
        ended
            .into_iter()
            .chain(open)
            .map(|(status, count)| (status.to_owned(), count as f64))
            .collect()
    }
}

impl SharedView {
    pub(super) fn register(&self, metrics: &Metrics) {
        for (name, help, label, read) in GAUGES {
            let view = self.clone();
            let described = Described { name, help, label };
            metrics.read_gauge(Validity::Work, described, move || read(&view.lock()));
        }
    }
}

/// The name, the help text, the label and the values of a gauge.
type Gauge = (
    &'static str,
    &'static str,
    Option<&'static str>,
    fn(&View) -> Vec<Reading>,
);

const GAUGES: [Gauge; 8] = [
    (
        "reconcile_run_in_progress",
        "1 while the run goes on, else 0.",
        None,
        |view| single(f64::from(u8::from(view.in_progress))),
    ),
    (
        "reconcile_run_tables",
        "Tables of the run by status, including those that had ended before it was resumed.",
        Some("status"),
        View::tables,
    ),
    (
        "reconcile_run_rows",
        "Rows of the tables that were verified, once the run has ended.",
        Some("side"),
        |view| {
            let (source, target) = view.rows;
            vec![
                ("source".to_owned(), source as f64),
                ("target".to_owned(), target as f64),
            ]
        },
    ),
    (
        "reconcile_run_duration_seconds",
        "How long the run had taken when its state last changed.",
        None,
        |view| single(view.duration.as_secs_f64()),
    ),
    (
        "reconcile_run_last_finished_timestamp_seconds",
        "When the run ended, in seconds since 1970; 0 before.",
        None,
        |view| single(view.finished_at.unwrap_or(0.0)),
    ),
    (
        "parallel_active_workers",
        "Tables of this run that a worker has claimed and that have not ended.",
        None,
        |view| single(view.running as f64),
    ),
    (
        "parallel_queue_size",
        "Tables of this run that no worker has claimed yet.",
        None,
        |view| single(view.unclaimed as f64),
    ),
    (
        "reconcile_worker_heartbeat_age_seconds",
        "Time since the last heartbeat of a worker that is alive.",
        Some("worker"),
        |view| {
            let age = |heartbeat: &Instant| heartbeat.elapsed().as_secs_f64();
            view.heartbeats
                .iter()
                .map(|(worker, heartbeat)| (worker.as_str().to_owned(), age(heartbeat)))
                .collect()
        },
    ),
];

fn single(value: f64) -> Vec<Reading> {
    vec![(String::new(), value)]
}

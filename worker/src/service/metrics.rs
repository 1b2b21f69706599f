//! The metrics of a worker. Each is a state or a count of events; none is
//! computed from two counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts};
use shared::outcome::Outcome;
use shared::telemetry::metrics::{Described, Metrics, Reading, Validity};

use crate::engine::ScanTotals;

/// Seconds until a cancelled attempt has stopped, up to the limit at which its
/// task is aborted.
const CANCEL_BUCKETS: [f64; 11] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The metrics of a worker.
#[derive(Debug)]
pub struct WorkerMetrics {
    capacity: u16,
    busy: AtomicUsize,
    draining: AtomicBool,
    scanned: Arc<ScanTotals>,
    attempts: IntCounterVec,
    cancel_latency: Histogram,
}

impl WorkerMetrics {
    /// The metrics of a worker that compares up to `capacity` tables at once.
    pub(super) fn new(capacity: u16) -> Self {
        const VALID: &str = "names and labels are constants, which tests cover";
        let attempts = IntCounterVec::new(
            Opts::new(
                "reconcile_worker_attempts_total",
                "Attempts that have ended on this worker, by outcome.",
            ),
            &["status"],
        )
        .expect(VALID);
        // A counter is served from its first use on.
        for status in ["compared", "failed", "timeout", "cancelled", "handed_back"] {
            attempts.with_label_values(&[status]);
        }
        let cancel_latency = HistogramOpts::new(
            "reconcile_cancel_latency_seconds",
            "Time from the request to stop an attempt until none of its statements ran in a database.",
        )
        .buckets(CANCEL_BUCKETS.to_vec());
        Self {
            capacity,
            busy: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            scanned: Arc::default(),
            attempts,
            cancel_latency: Histogram::with_opts(cancel_latency).expect(VALID),
        }
    }

    /// Adds the worker's metrics to the process's `metrics`.
    ///
    /// # Panics
    ///
    /// When the metrics of a worker are registered there already.
    pub fn register(self: &Arc<Self>, metrics: &Metrics) {
        let read = |read: fn(&Self) -> Vec<Reading>| {
            let worker = Arc::clone(self);
            move || read(&worker)
        };
        let gauge = |name, help, of| {
            let label = None;
            metrics.read_gauge(Validity::Life, Described { name, help, label }, read(of));
        };
        gauge(
            "reconcile_worker_capacity",
            "Maximum number of tables that this worker compares at once.",
            |worker| single(f64::from(worker.capacity)),
        );
        gauge(
            "reconcile_worker_busy",
            "Tables that this worker owns: claimed or being claimed, and not ended.",
            |worker| single(worker.busy.load(Ordering::Relaxed) as f64),
        );
        let counter = |name, help, of| {
            let label = Some("side");
            metrics.read_counter(Described { name, help, label }, read(of));
        };
        counter(
            "reconcile_rows_scanned_total",
            "Rows read from the databases, including attempts without an outcome.",
            |worker| by_side(worker.scanned.rows()),
        );
        counter(
            "reconcile_bytes_scanned_total",
            "Bytes of the rows read, in canonical encoding.",
            |worker| by_side(worker.scanned.bytes()),
        );
        metrics.register(Box::new(self.attempts.clone()));
        metrics.register(Box::new(self.cancel_latency.clone()));
    }

    /// Whether the worker takes no more tasks.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn scanned(&self) -> &Arc<ScanTotals> {
        &self.scanned
    }

    pub(super) fn set_busy(&self, tables: usize) {
        self.busy.store(tables, Ordering::Relaxed);
    }

    pub(super) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// `is_quiet`: whether the databases have confirmed that its statements ended.
    pub(super) fn record_outcome(&self, outcome: &Outcome, is_quiet: bool) {
        let (status, quiet_after_ms) = match outcome {
            Outcome::Compared(_) => ("compared", None),
            Outcome::Failed(_) => ("failed", None),
            Outcome::TimedOut { quiet_after_ms } => ("timeout", Some(*quiet_after_ms)),
            Outcome::Cancelled { quiet_after_ms } => ("cancelled", Some(*quiet_after_ms)),
            Outcome::Refused(_) | Outcome::HandedBack => ("handed_back", None),
        };
        self.attempts.with_label_values(&[status]).inc();
        if let Some(quiet_after_ms) = quiet_after_ms.filter(|_| is_quiet) {
            let latency = Duration::from_millis(quiet_after_ms);
            self.cancel_latency.observe(latency.as_secs_f64());
        }
    }
}

fn single(value: f64) -> Vec<Reading> {
    vec![(String::new(), value)]
}

fn by_side((source, target): (u64, u64)) -> Vec<Reading> {
    vec![
        ("source".to_owned(), source as f64),
        ("target".to_owned(), target as f64),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Progress;
    use crate::engine::values::column::SideOf;

    #[test]
    fn rows_and_bytes_are_totals_over_all_tables() {
        let worker = Arc::new(WorkerMetrics::new(4));
        let metrics = Metrics::new("0");
        worker.register(&metrics);
        for _ in 0..2 {
            let progress = Progress::within(Arc::clone(worker.scanned()));
            progress.add(SideOf::Source, 5, 50);
            progress.add_rows(0, 7);
            assert_eq!(progress.rows(), (5, 7));
        }
        let text = metrics.scrape();
        for line in [
            "reconcile_rows_scanned_total{side=\"source\"} 10",
            "reconcile_rows_scanned_total{side=\"target\"} 14",
            "reconcile_bytes_scanned_total{side=\"source\"} 100",
            "reconcile_bytes_scanned_total{side=\"target\"} 0",
            "reconcile_worker_capacity 4",
            "reconcile_worker_busy 0",
            "reconcile_worker_attempts_total{status=\"handed_back\"} 0",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
        }
    }

    #[test]
    fn the_time_to_stop_a_cancelled_attempt_is_observed() {
        let worker = Arc::new(WorkerMetrics::new(1));
        let metrics = Metrics::new("0");
        worker.register(&metrics);
        let cancelled = |quiet_after_ms| Outcome::Cancelled { quiet_after_ms };
        worker.record_outcome(&cancelled(300), true);
        worker.record_outcome(&cancelled(9000), false);
        worker.record_outcome(&Outcome::HandedBack, true);
        let text = metrics.scrape();
        for line in [
            "reconcile_cancel_latency_seconds_bucket{le=\"0.25\"} 0",
            "reconcile_cancel_latency_seconds_bucket{le=\"0.5\"} 1",
            "reconcile_cancel_latency_seconds_count 1",
            "reconcile_worker_attempts_total{status=\"cancelled\"} 2",
            "reconcile_worker_attempts_total{status=\"handed_back\"} 1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
        }
    }
}

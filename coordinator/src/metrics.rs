//! What is measured of a run: [`RunMetrics`] watches it, counts what happens,
//! and keeps what holds at the moment for whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, core::Collector,
};
use shared::ids::{TableId, WorkerId};
use shared::telemetry::metrics::{Described, Metrics, Reading, Span};

use crate::report::RunStatus;
use crate::run::RunObserver;
use crate::run_state::{
    Counts, Effect, Notice, RunState, TableRecord, TableStatus, Verdict, table_ids,
};

/// Seconds that a run takes.
const RUN_BUCKETS: [f64; 10] = [
    1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
];

/// Seconds that a table takes.
const TABLE_BUCKETS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// Tables that have a `table` label of their own: the first ones of the list.
/// The others share one, so that a run of many tables is no burden for Prometheus.
const NAMED_TABLES: usize = 200;

/// The `table` label that they share.
const OTHER_TABLES: &str = "other";

/// Workers that have a `worker` label.
const NAMED_WORKERS: usize = 500;

/// Watches a run. What it shows stays when the run has ended.
#[derive(Debug)]
pub struct RunMetrics {
    counted: Counted,
    view: SharedView,
    /// The label of a run of so many workers that is shown already, with 0.
    announced: Option<u32>,
    begin: Instant,
    /// How long the run had been going on at `begin`.
    before: Duration,
}

/// The other end of a [`RunMetrics`], for a run that never came to its end.
#[derive(Debug, Clone)]
pub struct RunEnd {
    runs: IntCounterVec,
    view: SharedView,
}

/// What happened.
#[derive(Debug)]
struct Counted {
    success: IntCounter,
    failed: IntCounter,
    timeout: IntCounter,
    tables: IntCounterVec,
    runs: IntCounterVec,
    differences: IntCounterVec,
    retries: IntCounter,
    leases_expired: IntCounter,
    run_seconds: HistogramVec,
    table_seconds: HistogramVec,
}

/// What holds at the moment.
#[derive(Debug, Default)]
struct View {
    in_progress: bool,
    ended: bool,
    tables: usize,
    running: usize,
    unclaimed: usize,
    counts: Counts,
    /// When each living worker was last heard of, in the order of names.
    heard: Vec<(WorkerId, Instant)>,
    /// Rows of the verified tables, once the run has ended.
    rows: (u64, u64),
    duration: Duration,
    /// Seconds since 1970.
    finished_at: Option<f64>,
}

#[derive(Debug, Clone, Default)]
struct SharedView(Arc<Mutex<View>>);

impl SharedView {
    fn lock(&self) -> MutexGuard<'_, View> {
        // Plain numbers: they are no worse for a panic of whoever held them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunMetrics {
    /// Shows among `metrics` what is measured of a run that began at
    /// `started_at`. Everything is there from the start, with 0.
    ///
    /// # Panics
    ///
    /// When a run is among `metrics` already.
    #[must_use]
    pub fn register(metrics: &Metrics, started_at: DateTime<Utc>) -> Self {
        let view = SharedView::default();
        view.show(metrics);
        Self {
            counted: Counted::register(metrics),
            view,
            announced: None,
            begin: Instant::now(),
            before: (Utc::now() - started_at).to_std().unwrap_or_default(),
        }
    }

    /// What says that the run is over when nothing else does.
    #[must_use]
    pub fn end(&self) -> RunEnd {
        RunEnd {
            runs: self.counted.runs.clone(),
            view: self.view.clone(),
        }
    }

    fn duration(&self) -> Duration {
        self.before + self.begin.elapsed()
    }

    fn look(&mut self, state: &RunState) {
        let mut view = self.view.lock();
        view.in_progress = !state.is_complete();
        view.tables = state.table_count();
        view.counts = state.counts();
        view.running = state.activities().count();
        view.unclaimed = view.tables - view.counts.total() - view.running;
        view.duration = self.duration();
        view.hear(state);
    }

    fn complete(&mut self, state: &RunState) {
        let status = RunStatus::of(&state.counts());
        self.counted
            .runs
            .with_label_values(&[status.as_str()])
            .inc();
        let duration = self.duration();
        self.run_histogram(state.widest_window())
            .observe(duration.as_secs_f64());
        let rows = table_ids()
            .take(state.table_count())
            .filter_map(|table| match &state.record(table)?.verdict {
                Verdict::Compared { comparison, .. } => {
                    Some((comparison.source_count, comparison.target_count))
                }
                _ => None,
            })
            .fold((0, 0), |sum, rows| (sum.0 + rows.0, sum.1 + rows.1));
        let mut view = self.view.lock();
        view.rows = rows;
        view.end();
    }

    /// The histogram of a run with so many workers, in place of one that was
    /// shown with 0 for the number that was known before.
    fn run_histogram(&mut self, workers: u32) -> Histogram {
        let histograms = &self.counted.run_seconds;
        if let Some(other) = self.announced.replace(workers)
            && other != workers
        {
            // It is there: nobody else removes any.
            histograms.remove_label_values(&[&other.to_string()]).ok();
        }
        histograms.with_label_values(&[&workers.to_string()])
    }

    fn table_ended(&self, state: &RunState, table: TableId, record: &TableRecord) {
        let counted = &self.counted;
        let status = record.status();
        counted.tables.with_label_values(&[status.as_str()]).inc();
        match status {
            TableStatus::Matched | TableStatus::Mismatched => counted.success.inc(),
            TableStatus::Failed => counted.failed.inc(),
            TableStatus::Timeout => counted.timeout.inc(),
            // It was not processed.
            TableStatus::Cancelled => {}
        }
        if let Verdict::Compared { comparison, .. } = &record.verdict
            && let Some(rows) = comparison.rows
        {
            for (kind, count) in [
                ("missing", rows.missing),
                ("extra", rows.extra),
                ("modified", rows.modified),
                ("settled", rows.settled),
            ] {
                counted.differences.with_label_values(&[kind]).inc_by(count);
            }
        }
        if let Some(duration) = record.duration.filter(|_| status != TableStatus::Cancelled) {
            let name = if table.index() < NAMED_TABLES {
                state.spec(table).source.table.to_string()
            } else {
                OTHER_TABLES.to_owned()
            };
            counted
                .table_seconds
                .with_label_values(&[&name])
                .observe(duration.as_secs_f64());
        }
    }
}

impl RunObserver for RunMetrics {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        self.look(state);
        if self.announced != Some(state.widest_window()) {
            self.run_histogram(state.widest_window());
        }
        for effect in effects {
            match effect {
                Effect::TableEnded(table) => {
                    if let Some(record) = state.record(*table) {
                        self.table_ended(state, *table, record);
                    }
                }
                Effect::Notice(Notice::Retry { .. }) => self.counted.retries.inc(),
                Effect::Notice(Notice::LeaseExpired { .. }) => self.counted.leases_expired.inc(),
                Effect::Complete => self.complete(state),
                Effect::Publish(_)
                | Effect::Control(_)
                | Effect::KeepRepair { .. }
                | Effect::WentQuiet { .. }
                | Effect::Notice(_) => {}
            }
        }
    }
}

impl RunEnd {
    /// Says that the run is over, should it not have come to its end: it could
    /// not begin, or its process is ended. Then it is incomplete.
    pub fn or_incomplete(&self) {
        let mut view = self.view.lock();
        if !view.ended {
            view.end();
            self.runs
                .with_label_values(&[RunStatus::Incomplete.as_str()])
                .inc();
        }
    }
}

impl View {
    /// Nothing runs and nobody is listened to any more.
    fn end(&mut self) {
        self.ended = true;
        self.in_progress = false;
        self.running = 0;
        self.unclaimed = 0;
        self.heard.clear();
        self.finished_at = Some(Utc::now().timestamp_millis() as f64 / 1000.0);
    }

    /// Takes over who was heard of when.
    fn hear(&mut self, state: &RunState) {
        let (now, at) = (Instant::now(), state.now());
        let mut known = std::mem::take(&mut self.heard).into_iter().peekable();
        for (worker, heard) in state.heartbeats().take(NAMED_WORKERS) {
            while known.next_if(|(gone, _)| gone < worker).is_some() {}
            let name = known
                .next_if(|(same, _)| same == worker)
                .map_or_else(|| worker.clone(), |(name, _)| name);
            let heard = now.checked_sub(at.since(heard)).unwrap_or(now);
            self.heard.push((name, heard));
        }
    }

    fn tables(&self) -> Vec<Reading> {
        let ended = TableStatus::ALL.map(|status| (status.as_str(), self.counts.of(status)));
        // What an ended run leaves behind is nobody's.
        let open = [("running", self.running), ("waiting", self.unclaimed)];
        ended
            .into_iter()
            .chain(open)
            .map(|(status, count)| (status.to_owned(), count as f64))
            .collect()
    }
}

impl SharedView {
    /// Shows what holds at the moment.
    fn show(&self, metrics: &Metrics) {
        let gauge = |name, help, label, read: fn(&View) -> Vec<Reading>| {
            let view = self.clone();
            let described = Described { name, help, label };
            metrics.read_gauge(Span::Work, described, move || read(&view.lock()));
        };
        gauge(
            "parallel_active_workers",
            "Tables that workers of this run have claimed and not ended.",
            None,
            |view| single(view.running as f64),
        );
        gauge(
            "parallel_queue_size",
            "Tables of this run that no worker has claimed yet.",
            None,
            |view| single(view.unclaimed as f64),
        );
        gauge(
            "reconcile_run_in_progress",
            "1 while the run goes on, else 0.",
            None,
            |view| single(f64::from(u8::from(view.in_progress))),
        );
        gauge(
            "reconcile_run_tables",
            "Tables of the run by where they stand; with those that had ended before it was resumed.",
            Some("status"),
            View::tables,
        );
        gauge(
            "reconcile_run_rows",
            "Rows of the tables that were verified, once the run has ended.",
            Some("side"),
            |view| {
                vec![
                    ("source".to_owned(), view.rows.0 as f64),
                    ("target".to_owned(), view.rows.1 as f64),
                ]
            },
        );
        gauge(
            "reconcile_run_duration_seconds",
            "How long the run has taken so far, as of the last thing that happened in it.",
            None,
            |view| single(view.duration.as_secs_f64()),
        );
        gauge(
            "reconcile_run_last_finished_timestamp_seconds",
            "When the run ended, in seconds since 1970; 0 before.",
            None,
            |view| single(view.finished_at.unwrap_or(0.0)),
        );
        gauge(
            "reconcile_worker_heartbeat_age_seconds",
            "Time since a living worker was last heard of.",
            Some("worker"),
            |view| {
                let age = |heard: &Instant| heard.elapsed().as_secs_f64();
                view.heard
                    .iter()
                    .map(|(worker, heard)| (worker.as_str().to_owned(), age(heard)))
                    .collect()
            },
        );
    }
}

fn single(value: f64) -> Vec<Reading> {
    vec![(String::new(), value)]
}

impl Counted {
    fn register(metrics: &Metrics) -> Self {
        let processed = counters(
            metrics,
            "parallel_tables_processed_total",
            "Tables that were processed, by how: success is matched or mismatched.",
            "status",
            &["success", "failed", "timeout"],
        );
        let histogram = |name: &str, help: &str, label: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            show(
                metrics,
                HistogramVec::new(options, &[label]).expect(CONSTANT),
            )
        };
        Self {
            success: processed.with_label_values(&["success"]),
            failed: processed.with_label_values(&["failed"]),
            timeout: processed.with_label_values(&["timeout"]),
            tables: counters(
                metrics,
                "reconcile_tables_total",
                "Tables that have ended, by how.",
                "status",
                &TableStatus::ALL.map(TableStatus::as_str),
            ),
            runs: counters(
                metrics,
                "reconcile_runs_total",
                "Runs that have ended, by how.",
                "status",
                &RunStatus::ALL.map(RunStatus::as_str),
            ),
            differences: counters(
                metrics,
                "reconcile_differences_total",
                "Differing rows of tables that were verified at row level, by kind.",
                "kind",
                &["missing", "extra", "modified", "settled"],
            ),
            retries: show(
                metrics,
                IntCounter::new(
                    "reconcile_retries_total",
                    "Attempts that ended without a result and were made again.",
                )
                .expect(CONSTANT),
            ),
            leases_expired: show(
                metrics,
                IntCounter::new(
                    "reconcile_leases_expired_total",
                    "Tables that were taken from a worker that was not heard of any more.",
                )
                .expect(CONSTANT),
            ),
            run_seconds: histogram(
                "parallel_reconciliation_seconds",
                "How long runs took, by how many tables could run at once.",
                "worker_count",
                &RUN_BUCKETS,
            ),
            table_seconds: histogram(
                "parallel_table_reconciliation_seconds",
                "How long the deciding attempts at tables took; tables after the first 200 of the list are one, other.",
                "table",
                &TABLE_BUCKETS,
            ),
        }
    }
}

const CONSTANT: &str = "names and labels are constants that tests have seen";

fn show<C: Collector + Clone + 'static>(metrics: &Metrics, collector: C) -> C {
    metrics.register(Box::new(collector.clone()));
    collector
}

/// Counters by a label whose values are all there from the start.
fn counters(
    metrics: &Metrics,
    name: &str,
    help: &str,
    label: &str,
    values: &[&str],
) -> IntCounterVec {
    let counters = IntCounterVec::new(Opts::new(name, help), &[label]).expect(CONSTANT);
    for value in values {
        counters.with_label_values(&[value]);
    }
    show(metrics, counters)
}

#[cfg(test)]
#[path = "metrics/tests.rs"]
mod tests;

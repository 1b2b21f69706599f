//! The counters and histograms of a run.

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts};
use shared::outcome::Depth;
use shared::telemetry::metrics::Metrics;

use crate::run_state::{ReportVerdict, RunStatus, TableStatus};

const RUN_BUCKETS: [f64; 10] = [
    1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
];

const TABLE_BUCKETS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

#[derive(Debug)]
pub(super) struct Counters {
    pub(super) success: IntCounter,
    pub(super) failed: IntCounter,
    pub(super) timeout: IntCounter,
    pub(super) tables: IntCounterVec,
    pub(super) runs: IntCounterVec,
    pub(super) verdicts: IntCounterVec,
    pub(super) differences: IntCounterVec,
    pub(super) retries: IntCounter,
    pub(super) leases_expired: IntCounter,
    pub(super) run_seconds: HistogramVec,
    pub(super) table_seconds: HistogramVec,
}

impl Counters {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let processed = counters(
            metrics,
            "parallel_tables_processed_total",
            "Tables that were processed, by result: success is matched or mismatched.",
            "status",
            &["success", "failed", "timeout"],
        );
        Self {
            success: processed.with_label_values(&["success"]),
            failed: processed.with_label_values(&["failed"]),
            timeout: processed.with_label_values(&["timeout"]),
            tables: counters(
                metrics,
                "reconcile_tables_total",
                "Tables that have ended, by status.",
                "status",
                &TableStatus::ALL.map(TableStatus::as_str),
            ),
            runs: counters(
                metrics,
                "reconcile_runs_total",
                "Runs that have ended, by status.",
                "status",
                &RunStatus::ALL.map(RunStatus::as_str),
            ),
            verdicts: verdicts(metrics),
            differences: counters(
                metrics,
                "reconcile_differences_total",
                "Differing rows of tables that were verified at row level, by kind.",
                "kind",
                &["missing", "extra", "modified", "settled"],
            ),
            retries: counter(
                metrics,
                "reconcile_retries_total",
                "Attempts that ended without a result and were made again.",
            ),
            leases_expired: counter(
                metrics,
                "reconcile_leases_expired_total",
                "Tables whose worker missed three heartbeats.",
            ),
            run_seconds: histograms(
                metrics,
                "parallel_reconciliation_seconds",
                "How long runs took, by how many tables could run at once.",
                "worker_count",
                &RUN_BUCKETS,
            ),
            table_seconds: histograms(
                metrics,
                "parallel_table_reconciliation_seconds",
                "How long the deciding attempts at tables took; tables after the first 200 of the list are one, other.",
                "table",
                &TABLE_BUCKETS,
            ),
        }
    }
}

const CONSTANT: &str = "names and labels are constants, and tests register them";

fn register<C: Collector + Clone + 'static>(metrics: &Metrics, collector: C) -> C {
    metrics.register(Box::new(collector.clone()));
    collector
}

fn counter(metrics: &Metrics, name: &str, help: &str) -> IntCounter {
    register(metrics, IntCounter::new(name, help).expect(CONSTANT))
}

/// Counters by a label. All of its values exist from the start.
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
    register(metrics, counters)
}

/// Runs by verdict and depth. All combinations exist from the start.
fn verdicts(metrics: &Metrics) -> IntCounterVec {
    let options = Opts::new(
        "reconcile_run_verdicts_total",
        "Runs that have ended, by verdict and by the depth to which tables were compared.",
    );
    let counters = IntCounterVec::new(options, &["verdict", "depth"]).expect(CONSTANT);
    for verdict in ReportVerdict::ALL {
        for depth in Depth::ALL {
            counters.with_label_values(&[verdict.as_str(), depth.as_str()]);
        }
    }
    register(metrics, counters)
}

fn histograms(
    metrics: &Metrics,
    name: &str,
    help: &str,
    label: &str,
    buckets: &[f64],
) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let histograms = HistogramVec::new(options, &[label]).expect(CONSTANT);
    register(metrics, histograms)
}

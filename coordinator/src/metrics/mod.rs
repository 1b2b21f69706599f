//! The metrics of a run. [`RunMetrics`] observes the run: it counts events
//! ([`counters`]) and keeps the current state for the gauges ([`view`]).

mod counters;
#[cfg(test)]
mod tests;
mod view;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use prometheus::{Histogram, IntCounterVec};
use shared::ids::TableId;
use shared::message::TableSpec;
use shared::outcome::Depth;
use shared::telemetry::metrics::Metrics;

use crate::run::RunObserver;
use crate::run_state::{
    Effect, Notice, ReportVerdict, RunState, RunStatus, TableRecord, TableStatus, Verdict,
    depth_of, table_ids,
};
use counters::Counters;
use view::SharedView;

/// How many tables, from the start of the list, have their own `table` label. All
/// other tables share one label, so that a long list does not overload Prometheus.
const NAMED_TABLES: usize = 200;

const OTHER_TABLES: &str = "other";

/// Measures a run. The metrics stay when the run has ended.
#[derive(Debug)]
pub(crate) struct RunMetrics {
    counters: Counters,
    view: SharedView,
    /// The `worker_count` label under which the histogram of the run exists.
    announced: Option<u32>,
    begin: Instant,
    /// The time from the start of the run to `begin`. It is long if the run was resumed.
    before: Duration,
}

/// Counts a run as incomplete if it ends early.
#[derive(Debug, Clone)]
pub(crate) struct RunEnd {
    runs: IntCounterVec,
    verdicts: IntCounterVec,
    view: SharedView,
}

impl RunMetrics {
    /// Registers the metrics of a run that began at `started_at`. All of them
    /// exist from the start, with 0.
    pub(crate) fn register(metrics: &Metrics, started_at: DateTime<Utc>) -> Self {
        let view = SharedView::default();
        view.register(metrics);
        Self {
            counters: Counters::register(metrics),
            view,
            announced: None,
            begin: Instant::now(),
            before: (Utc::now() - started_at).to_std().unwrap_or_default(),
        }
    }

    pub(crate) fn end(&self) -> RunEnd {
        RunEnd {
            runs: self.counters.runs.clone(),
            verdicts: self.counters.verdicts.clone(),
            view: self.view.clone(),
        }
    }

    fn duration(&self) -> Duration {
        self.before + self.begin.elapsed()
    }

    fn update_view(&mut self, state: &RunState) {
        let mut view = self.view.lock();
        view.in_progress = !state.is_complete();
        // Asking every table at every event would be slow.
        view.depth = view.depth.or_else(|| Some(depth_of(tables(state))));
        view.counts = state.counts();
        view.running = state.activities().count();
        view.unclaimed = state.table_count() - view.counts.total() - view.running;
        view.duration = self.duration();
        view.update_heartbeats(state);
    }

    fn complete(&mut self, state: &RunState) {
        let status = state.status();
        self.counters
            .runs
            .with_label_values(&[status.as_str()])
            .inc();
        let depth = depth_of(tables(state));
        let verdict = ReportVerdict::of(status, depth);
        self.counters
            .verdicts
            .with_label_values(&[verdict.as_str(), depth.as_str()])
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

    /// Returns the histogram of the run with this `worker_count` label. If the label
    /// has changed, the histogram with the old label is removed. It is empty, because a
    /// duration is recorded only when the run completes.
    fn run_histogram(&mut self, workers: u32) -> Histogram {
        let histograms = &self.counters.run_seconds;
        if let Some(other) = self.announced.replace(workers)
            && other != workers
        {
            // This cannot fail: no other code removes a histogram.
            histograms.remove_label_values(&[&other.to_string()]).ok();
        }
        histograms.with_label_values(&[&workers.to_string()])
    }

    fn table_ended(&self, state: &RunState, table: TableId, record: &TableRecord) {
        let counters = &self.counters;
        let status = record.status();
        counters.tables.with_label_values(&[status.as_str()]).inc();
        match status {
            TableStatus::Matched | TableStatus::Mismatched => counters.success.inc(),
            TableStatus::Failed => counters.failed.inc(),
            TableStatus::Timeout => counters.timeout.inc(),
            // A cancelled table was not processed.
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
                counters
                    .differences
                    .with_label_values(&[kind])
                    .inc_by(count);
            }
        }
        if let Some(duration) = record.duration.filter(|_| status != TableStatus::Cancelled) {
            let name = if table.index() < NAMED_TABLES {
                state.spec(table).source.table.to_string()
            } else {
                OTHER_TABLES.to_owned()
            };
            counters
                .table_seconds
                .with_label_values(&[&name])
                .observe(duration.as_secs_f64());
        }
    }
}

fn tables(state: &RunState) -> impl Iterator<Item = (&TableSpec, Option<&TableRecord>)> {
    table_ids()
        .take(state.table_count())
        .map(|table| (state.spec(table), state.record(table)))
}

impl RunObserver for RunMetrics {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        self.update_view(state);
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
                Effect::Notice(Notice::Retry { .. }) => self.counters.retries.inc(),
                Effect::Notice(Notice::LeaseExpired { .. }) => self.counters.leases_expired.inc(),
                Effect::Complete => self.complete(state),
                Effect::Publish(_)
                | Effect::Control(_)
                | Effect::KeepRepair { .. }
                | Effect::KeepRepairPart { .. }
                | Effect::KeepRows { .. }
                | Effect::StatementsStopped { .. }
                | Effect::DatabasesKnown
                // It counts as incomplete when the process ends.
                | Effect::Paused
                | Effect::Notice(_) => {}
            }
        }
    }
}

impl RunEnd {
    /// Counts the run as incomplete if it did not complete. Either it could not begin,
    /// or its process is ending.
    pub(crate) fn or_incomplete(&self) {
        let mut view = self.view.lock();
        if !view.ended {
            view.end();
            self.runs
                .with_label_values(&[RunStatus::Incomplete.as_str()])
                .inc();
            // A run that could not begin compared nothing.
            let depth = view.depth.unwrap_or(Depth::Counts);
            self.verdicts
                .with_label_values(&[ReportVerdict::Incomplete.as_str(), depth.as_str()])
                .inc();
        }
    }
}

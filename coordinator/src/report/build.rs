//! Builds the report of a complete run.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use shared::failure::FailureKind;
use shared::identity::DatabaseIdentity;
use shared::ids::RunId;
use shared::message::{ALL_ROWS, TableSpec};
use shared::outcome::OpenSession;

use super::model::{
    AttemptReport, DatabaseReport, Requested, RootCauseReport, RunReport, SCHEMA_VERSION,
    TableError, TableResult,
};
use super::scope::{ColumnCounts, Scope};
use crate::run_state::{
    CancelReason, Counts, Origin, ReportVerdict, RootCause, RunState, TableRecord, TableScope,
    TableStatus, Verdict, depth_of, millis, table_ids,
};

#[derive(Debug)]
pub(crate) struct ReportData {
    pub(crate) run: RunId,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) duration: Duration,
    pub(crate) max_workers: u32,
    pub(crate) interrupted: bool,
    pub(crate) root_cause: Option<RootCause>,
    pub(crate) tables: Vec<(TableSpec, TableRecord)>,
    pub(crate) notes: Vec<String>,
    pub(crate) scope: TableScope,
    pub(crate) trace_id: Option<String>,
    pub(crate) origin: Option<Origin>,
    pub(crate) databases: Option<(DatabaseIdentity, DatabaseIdentity)>,
}

impl RunReport {
    /// The report of a complete run that began at `started_at` and took `duration`.
    ///
    /// A table that has not ended, which the state machine excludes, is
    /// reported as failed: it must not pass for verified.
    pub(crate) fn new(mut state: RunState, started_at: DateTime<Utc>, duration: Duration) -> Self {
        let tables = table_ids()
            .take(state.table_count())
            .map(|id| (state.spec(id).clone(), state.take_record(id)))
            .collect();
        Self::of(ReportData {
            run: state.run(),
            started_at,
            duration,
            max_workers: state.widest_window(),
            interrupted: state.cancel_reason() == Some(CancelReason::Requested),
            root_cause: state.root_cause().cloned(),
            tables,
            notes: [state.scope().notes.clone(), state.notes()].concat(),
            scope: state.scope().clone(),
            trace_id: None,
            origin: Some(Origin::of_this_process()),
            databases: state.databases(),
        })
    }

    pub(crate) fn of(data: ReportData) -> Self {
        let depth = depth_of(
            data.tables
                .iter()
                .map(|(spec, record)| (spec, Some(record))),
        );
        let (source, target) = databases(&data).unzip();
        let requested = requested(&data.tables);
        let root_cause = data
            .root_cause
            .and_then(|RootCause { table, kind, error }| {
                let (spec, _) = data.tables.get(table.index())?;
                Some(RootCauseReport {
                    table: spec.source.table.to_string(),
                    kind,
                    error,
                })
            });
        let mut counts = Counts::default();
        let mut results = Vec::with_capacity(data.tables.len());
        let mut errors = Vec::new();
        for (spec, record) in data.tables {
            counts.add(record.status(), 1);
            errors.extend(error_of(&spec, &record, root_cause.as_ref()));
            results.push(result_of(&spec, record));
        }
        let status = data.scope.status(&counts);
        Self {
            schema_version: SCHEMA_VERSION,
            run_id: data.run.to_string(),
            status,
            verdict: ReportVerdict::of(status, depth),
            depth,
            timestamp: data.started_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            duration_seconds: seconds(data.duration),
            max_workers: data.max_workers,
            total_tables: results.len(),
            successful: counts.matched + counts.mismatched,
            matched: counts.matched,
            mismatched: counts.mismatched,
            failed: counts.failed,
            timeout: counts.timeout,
            cancelled: counts.cancelled,
            interrupted: data.interrupted,
            origin: data.origin,
            source,
            target,
            scope: scope_of(&results),
            results,
            errors,
            strict_tables: data.scope.strict,
            selected_from: data.scope.selected_from,
            target_only_tables: data.scope.target_only_tables,
            root_cause,
            notes: data.notes,
            trace_id: data.trace_id,
            databases: data.databases,
            requested,
        }
    }
}

fn scope_of(results: &[TableResult]) -> Scope {
    let mut scope = Scope::default();
    for result in results {
        if let Some((coverage, columns)) = result.coverage.as_ref().zip(result.columns) {
            scope.add(coverage, columns);
        }
    }
    scope
}

/// The source and the target, of which at least the endpoints are known from the tables.
fn databases(data: &ReportData) -> Option<(DatabaseReport, DatabaseReport)> {
    if let Some((source, target)) = &data.databases {
        return Some((source.into(), target.into()));
    }
    let (spec, _) = data.tables.first()?;
    let named = DatabaseReport::named;
    Some((named(&spec.source.endpoint), named(&spec.target.endpoint)))
}

fn requested(tables: &[(TableSpec, TableRecord)]) -> Requested {
    let any = |is: fn(&TableSpec) -> bool| tables.iter().any(|(spec, _)| is(spec));
    Requested {
        recheck: any(|spec| spec.options.recheck.times > 0),
        repair: any(|spec| spec.options.repair),
        all_rows: any(|spec| spec.max_differences == ALL_ROWS),
    }
}

fn result_of(spec: &TableSpec, record: TableRecord) -> TableResult {
    let status = record.status();
    let (comparison, differences) = match record.verdict {
        Verdict::Compared {
            comparison,
            differences,
        } => (Some(*comparison), differences),
        Verdict::Failed(_) | Verdict::TimedOut { .. } | Verdict::Cancelled(_) => (None, Vec::new()),
    };
    let listed = differences.len() as u64;
    let counts = comparison
        .as_ref()
        .map(|found| (found.source_count, found.target_count));
    let (source_count, target_count) = counts.unzip();
    let rows = comparison.as_ref().and_then(|found| found.rows);
    let depth = comparison.as_ref().map(|found| found.depth());
    let (checksums, reads, causes, key, notes, repair_plan, coverage) = comparison
        .map(|it| {
            (
                it.checksums,
                it.reads,
                it.causes,
                it.key,
                it.notes,
                it.repair,
                it.coverage,
            )
        })
        .unwrap_or_default();
    let checksum_match = checksums.as_ref().map(|sums| sums.source == sums.target);
    let checksum_key = checksums
        .as_ref()
        .and_then(|sums| sums.checksum_key.clone());
    let (source_checksum, target_checksum) =
        checksums.map(|sums| (sums.source, sums.target)).unzip();
    let (source_read, target_read) = reads.map(|reads| (reads.source, reads.target)).unzip();
    TableResult {
        table: spec.source.table.to_string(),
        target: spec.target.table.to_string(),
        is_match: status == TableStatus::Matched,
        status,
        verdict: ReportVerdict::of_table(status, depth.unwrap_or(spec.depth)),
        depth,
        source_count,
        target_count,
        difference: counts.map(|(source, target)| i128::from(target) - i128::from(source)),
        source_checksum,
        target_checksum,
        checksum_match,
        checksum_key,
        missing: rows.map(|rows| rows.missing),
        extra: rows.map(|rows| rows.extra),
        modified: rows.map(|rows| rows.modified),
        settled: rows.map(|rows| rows.settled),
        differences,
        // A worker that sends every row lists more of them than the report does.
        truncated: rows.map(|rows| rows.truncated || rows.total() > listed),
        causes,
        source_read,
        target_read,
        worker: record.worker.map(|worker| worker.to_string()),
        attempt: record.attempt.0,
        duration_seconds: record.duration.map(seconds),
        key,
        columns: coverage
            .as_ref()
            .zip(depth)
            .map(|(coverage, depth)| ColumnCounts::of(coverage, depth)),
        coverage,
        notes,
        quiet_after_ms: record.quiet_after.map(millis),
        unconfirmed_sessions: record.unconfirmed,
        repair: None,
        repair_plan,
    }
}

fn error_of(
    spec: &TableSpec,
    record: &TableRecord,
    root: Option<&RootCauseReport>,
) -> Option<TableError> {
    let mut earlier = record.history.as_slice();
    let (kind, error, retryable) = match &record.verdict {
        Verdict::Compared { .. } => return None,
        Verdict::Failed(failure) => {
            // The last entry of the history is the failure itself.
            earlier = earlier.split_last().map_or(earlier, |(_, earlier)| earlier);
            (
                failure.kind.clone(),
                failure.message.clone(),
                failure.retryable,
            )
        }
        Verdict::TimedOut { allowed } => {
            let allowed = humantime::format_duration(*allowed);
            let error = format!("not done within {allowed}; allow more with --parallel-timeout");
            (FailureKind::TimeoutError, warned(error, record), true)
        }
        Verdict::Cancelled(reason) => {
            let error = cancellation_of(*reason, record.worker.is_some(), root);
            (FailureKind::CancelledError, warned(error, record), true)
        }
    };
    let history = earlier
        .iter()
        .map(|attempt| AttemptReport {
            attempt: attempt.attempt.0,
            worker: attempt.worker.as_ref().map(ToString::to_string),
            kind: attempt.failure.kind.clone(),
            error: attempt.failure.message.clone(),
        })
        .collect();
    Some(TableError {
        table: spec.source.table.to_string(),
        kind,
        error,
        retryable,
        attempt: record.attempt.0,
        worker: record.worker.as_ref().map(ToString::to_string),
        history,
    })
}

/// The error with the sessions whose statements may still run. A failure names them itself.
fn warned(error: String, record: &TableRecord) -> String {
    match OpenSession::warning(&record.unconfirmed) {
        Some(warning) => format!("{error}; {warning}"),
        None => error,
    }
}

fn cancellation_of(reason: CancelReason, started: bool, root: Option<&RootCauseReport>) -> String {
    let started = if started { "stopped" } else { "not started" };
    match (reason, root) {
        (CancelReason::FailFast, Some(root)) => {
            format!("{started}, because {} ended the run", root.table)
        }
        (CancelReason::FailFast, None) => {
            format!("{started}, because another table ended the run")
        }
        (CancelReason::Requested, _) => format!("{started}, because the run was interrupted"),
    }
}

/// Seconds, rounded to milliseconds.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

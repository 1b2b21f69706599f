//! The report of a run: what is known of every table, in one structure that is
//! written as JSON, CSV or for people.

mod console;
mod csv;
#[cfg(test)]
mod tests;
mod write;

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use shared::ids::RunId;
use shared::message::TableSpec;
use shared::outcome::{CauseGroup, Difference, FailureKind, RepairPlan, RowCounts, SideRead};

use crate::repair::RepairReport;
use crate::run_state::{
    CancelReason, Counts, RootCause, RunState, TableRecord, TableStatus, Verdict, table_ids,
};

use crate::store::Ended;

pub use write::{Output, OutputError, write_stdout};

/// The differing rows of each table that the console lists.
pub const CONSOLE_ROWS: usize = 5;

/// What a run found out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// The run.
    pub run_id: String,
    /// All in one word.
    pub status: RunStatus,
    /// When the run began, ISO 8601, UTC.
    pub timestamp: String,
    /// How long it took.
    pub duration_seconds: f64,
    /// The most tables that could run at a time.
    pub max_workers: u32,
    /// Tables of the run; the sum of the five counts that follow `successful`.
    pub total_tables: usize,
    /// Tables that were compared to the end: `matched` and `mismatched`.
    pub successful: usize,
    /// Verified, and equal.
    pub matched: usize,
    /// Verified, and different.
    pub mismatched: usize,
    /// Not verified: an error.
    pub failed: usize,
    /// Not verified: too slow.
    pub timeout: usize,
    /// Not verified: the run was cancelled.
    pub cancelled: usize,
    /// Whether somebody asked for the run to end.
    pub interrupted: bool,
    /// Every table, in the order of the list.
    pub results: Vec<TableResult>,
    /// One entry for every table that was not verified.
    pub errors: Vec<TableError>,
    /// The table that ended the run, when fail-fast did.
    pub root_cause: Option<RootCauseReport>,
    /// What else should be known of the run as a whole.
    pub notes: Vec<String>,
    /// The number of its trace, when traces were sent.
    pub trace_id: Option<String>,
}

/// All in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    /// Every table was verified and is equal.
    Pass,
    /// Every table was verified and some differ.
    Fail,
    /// Some table was not verified.
    Incomplete,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Fail, Self::Incomplete];

    /// The status of a run whose tables have ended so. What could not be
    /// verified wins over everything else.
    #[must_use]
    pub fn of(counts: &Counts) -> Self {
        let unverified = counts.failed + counts.timeout + counts.cancelled;
        match (unverified, counts.mismatched) {
            (0, 0) => Self::Pass,
            (0, _) => Self::Fail,
            _ => Self::Incomplete,
        }
    }

    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Incomplete => "INCOMPLETE",
        }
    }
}

/// What is known of one table. What was not compared is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableResult {
    /// The table in the source.
    pub table: String,
    /// The table in the target.
    pub target: String,
    /// Whether both sides were compared and are equal.
    #[serde(rename = "match")]
    pub is_match: bool,
    /// How it ended.
    #[serde(serialize_with = "as_word")]
    pub status: TableStatus,
    /// Rows in the source.
    pub source_count: Option<u64>,
    /// Rows in the target.
    pub target_count: Option<u64>,
    /// Rows in the target less rows in the source.
    pub difference: Option<i128>,
    /// Sum over the source's rows, in hexadecimal.
    pub source_checksum: Option<String>,
    /// Sum over the target's rows, in hexadecimal.
    pub target_checksum: Option<String>,
    /// Whether the sums are equal.
    pub checksum_match: Option<bool>,
    /// Rows only in the source.
    pub missing: Option<u64>,
    /// Rows only in the target.
    pub extra: Option<u64>,
    /// Rows with the same key and different values.
    pub modified: Option<u64>,
    /// Differences that had settled when they were looked at again.
    pub settled: Option<u64>,
    /// The differing rows that are listed.
    pub differences: Vec<Difference>,
    /// Whether more rows differ than are listed.
    pub truncated: Option<bool>,
    /// Why the modified rows that are listed differ, as far as known causes
    /// explain it, the most frequent first.
    pub causes: Vec<CauseGroup>,
    /// How and when the source was read.
    pub source_read: Option<SideRead>,
    /// How and when the target was read.
    pub target_read: Option<SideRead>,
    /// Who compared it.
    pub worker: Option<String>,
    /// Which attempt decided, from 1.
    pub attempt: u32,
    /// How long that attempt took.
    pub duration_seconds: Option<f64>,
    /// The columns that identify a row.
    pub key: Vec<String>,
    /// What else should be known: columns on one side only, that there is no key.
    pub notes: Vec<String>,
    /// Milliseconds from the cancellation until nothing ran in the databases, if it was cancelled.
    pub quiet_after_ms: Option<u64>,
    /// The scripts that repair it, where they were asked for and it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairReport>,
    /// What the scripts are made of, until they are.
    #[serde(skip)]
    pub(crate) repair_plan: Option<Box<RepairPlan>>,
}

/// Why a table was not verified.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableError {
    /// The table in the source.
    pub table: String,
    /// The class of the error.
    #[serde(rename = "type")]
    pub kind: FailureKind,
    /// What happened, and what to do about it.
    pub error: String,
    /// Whether the same run may succeed at another time.
    pub retryable: bool,
    /// Which attempt ended so, from 1.
    pub attempt: u32,
    /// Who made that attempt.
    pub worker: Option<String>,
    /// The attempts before it, oldest first.
    pub history: Vec<AttemptReport>,
}

/// An attempt before the last one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptReport {
    /// Which, from 1.
    pub attempt: u32,
    /// Who made it.
    pub worker: Option<String>,
    /// The class of its error.
    #[serde(rename = "type")]
    pub kind: FailureKind,
    /// What happened.
    pub error: String,
}

/// The table that ended the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RootCauseReport {
    /// The table in the source.
    pub table: String,
    /// The class of the error, or `Mismatch`.
    #[serde(rename = "type")]
    pub kind: FailureKind,
    /// What happened.
    pub error: String,
}

/// All that a report is made of.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) run: RunId,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) duration: Duration,
    pub(crate) max_workers: u32,
    pub(crate) interrupted: bool,
    pub(crate) root_cause: Option<RootCause>,
    pub(crate) tables: Vec<(TableSpec, TableRecord)>,
    pub(crate) notes: Vec<String>,
    pub(crate) trace_id: Option<String>,
}

impl RunReport {
    /// The report of a complete run that began at `started_at` and took `duration`.
    ///
    /// A table that has not ended, which the state machine excludes, is
    /// reported as failed: it must not pass for verified.
    #[must_use]
    pub fn new(mut state: RunState, started_at: DateTime<Utc>, duration: Duration) -> Self {
        let tables = table_ids()
            .take(state.table_count())
            .map(|id| (state.spec(id).clone(), state.take_record(id)))
            .collect();
        Self::of(Account {
            run: state.run(),
            started_at,
            duration,
            max_workers: state.widest_window(),
            interrupted: state.cancel_reason() == Some(CancelReason::Requested),
            root_cause: state.root_cause().cloned(),
            tables,
            notes: Vec::new(),
            trace_id: None,
        })
    }

    /// The report of what is known of a complete run.
    #[must_use]
    pub(crate) fn of(account: Account) -> Self {
        let Account {
            run,
            started_at,
            duration,
            max_workers,
            interrupted,
            root_cause,
            tables,
            notes,
            trace_id,
        } = account;
        let root_cause = root_cause.and_then(|RootCause { table, kind, error }| {
            let (spec, _) = tables.get(table.index())?;
            Some(RootCauseReport {
                table: spec.source.table.to_string(),
                kind,
                error,
            })
        });
        let mut counts = Counts::default();
        let mut results = Vec::with_capacity(tables.len());
        let mut errors = Vec::new();
        for (spec, record) in tables {
            counts.add(record.status());
            errors.extend(error_of(&spec, &record, root_cause.as_ref()));
            results.push(result_of(&spec, record));
        }
        Self {
            run_id: run.to_string(),
            status: RunStatus::of(&counts),
            timestamp: started_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            duration_seconds: seconds(duration),
            max_workers,
            total_tables: results.len(),
            successful: counts.matched + counts.mismatched,
            matched: counts.matched,
            mismatched: counts.mismatched,
            failed: counts.failed,
            timeout: counts.timeout,
            cancelled: counts.cancelled,
            interrupted,
            results,
            errors,
            root_cause,
            notes,
            trace_id,
        }
    }

    /// What is kept of it beside the accounts of its tables.
    #[must_use]
    pub(crate) fn ended(&self) -> Ended {
        Ended {
            status: self.status,
            interrupted: self.interrupted,
            duration: Duration::try_from_secs_f64(self.duration_seconds).unwrap_or_default(),
            max_workers: self.max_workers,
            counts: Counts {
                matched: self.matched,
                mismatched: self.mismatched,
                failed: self.failed,
                timeout: self.timeout,
                cancelled: self.cancelled,
            },
            notes: self.notes.clone(),
            trace_id: self.trace_id.clone(),
        }
    }

    /// The report as one JSON document.
    ///
    /// # Panics
    ///
    /// Never: all keys are texts and no serialiser fails.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("the report has text keys and no failing serialisers");
        text.push('\n');
        text
    }

    /// The report for a spreadsheet: a header and one line per table.
    #[must_use]
    pub fn to_csv(&self) -> String {
        csv::render(self)
    }

    /// The report for people, with colours if `colour`.
    #[must_use]
    pub fn to_console(&self, colour: bool) -> String {
        console::render(self, colour)
    }
}

fn result_of(spec: &TableSpec, record: TableRecord) -> TableResult {
    let status = record.status();
    let TableRecord {
        verdict,
        attempt,
        worker,
        duration,
        quiet_after,
        history: _,
    } = record;
    let (comparison, differences) = match verdict {
        Verdict::Compared {
            comparison,
            differences,
        } => (Some(*comparison), differences),
        Verdict::Failed(_) | Verdict::TimedOut { .. } | Verdict::Cancelled(_) => (None, Vec::new()),
    };
    let counts = comparison
        .as_ref()
        .map(|comparison| (comparison.source_count, comparison.target_count));
    let rows: Option<RowCounts> = comparison.as_ref().and_then(|comparison| comparison.rows);
    let (checksums, key, notes, causes, reads, repair_plan) = comparison
        .map(|it| {
            (
                it.checksums,
                it.key,
                it.notes,
                it.causes,
                it.reads,
                it.repair,
            )
        })
        .unwrap_or_default();
    let (source_read, target_read) = reads.map(|reads| (reads.source, reads.target)).unzip();
    let checksum_match = checksums.as_ref().map(|sums| sums.source == sums.target);
    let (source_checksum, target_checksum) =
        checksums.map(|sums| (sums.source, sums.target)).unzip();
    TableResult {
        table: spec.source.table.to_string(),
        target: spec.target.table.to_string(),
        is_match: status == TableStatus::Matched,
        status,
        source_count: counts.map(|(source, _)| source),
        target_count: counts.map(|(_, target)| target),
        difference: counts.map(|(source, target)| i128::from(target) - i128::from(source)),
        source_checksum,
        target_checksum,
        checksum_match,
        missing: rows.map(|rows| rows.missing),
        extra: rows.map(|rows| rows.extra),
        modified: rows.map(|rows| rows.modified),
        settled: rows.map(|rows| rows.settled),
        differences,
        truncated: rows.map(|rows| rows.truncated),
        causes,
        source_read,
        target_read,
        worker: worker.map(|worker| worker.to_string()),
        attempt: attempt.0,
        duration_seconds: duration.map(seconds),
        key,
        notes,
        quiet_after_ms: quiet_after.map(crate::run_state::millis),
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
            // The failure itself is the last attempt of the history.
            earlier = earlier.split_last().map_or(earlier, |(_, earlier)| earlier);
            (
                failure.kind.clone(),
                failure.message.clone(),
                failure.retryable,
            )
        }
        Verdict::TimedOut { allowed } => {
            let allowed = humantime::format_duration(*allowed);
            (
                FailureKind::TimeoutError,
                format!("not done within {allowed}; allow more with --parallel-timeout"),
                true,
            )
        }
        Verdict::Cancelled(reason) => {
            let started = if record.worker.is_some() {
                "stopped"
            } else {
                "not started"
            };
            let why = match (reason, root) {
                (CancelReason::FailFast, Some(root)) => {
                    format!("{started}, because {} ended the run", root.table)
                }
                (CancelReason::FailFast, None) => {
                    format!("{started}, because another table ended the run")
                }
                (CancelReason::Requested, _) => {
                    format!("{started}, because the run was interrupted")
                }
            };
            (FailureKind::CancelledError, why, true)
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

/// A cause on one line: `3 rows: CreatedAt: cut to milliseconds in the target`.
fn cause_line(cause: &CauseGroup) -> String {
    let rows = if cause.rows == 1 { "row" } else { "rows" };
    let column = cause
        .column
        .as_ref()
        .map(|column| format!("{column}: "))
        .unwrap_or_default();
    format!("{} {rows}: {column}{}", cause.rows, cause.explanation)
}

/// Seconds to the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

fn as_word<S: serde::Serializer>(status: &TableStatus, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.as_str())
}

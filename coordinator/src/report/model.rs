//! The structure of a report. The names of its fields are those of the JSON report.

use std::time::Duration;

use serde::Serialize;
use shared::failure::FailureKind;
use shared::outcome::{CauseGroup, Difference, RepairPlan, SideRead};

use crate::run_state::{Counts, RunStatus, RunSummary, TableStatus};

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// The run.
    pub run_id: String,
    /// The verdict.
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
    /// Whether the run was cancelled on request.
    pub interrupted: bool,
    /// Every table, in the order of the list.
    pub results: Vec<TableResult>,
    /// One entry for every table that was not verified.
    pub errors: Vec<TableError>,
    /// The table that ended the run, when fail-fast did.
    pub root_cause: Option<RootCauseReport>,
    /// Notes on the run as a whole.
    pub notes: Vec<String>,
    /// The identifier of its trace, when traces were sent.
    pub trace_id: Option<String>,
}

/// The result of one table. What was not compared is null.
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
    /// The fingerprint of the key under which rows were hashed. Checksums of another run can be
    /// compared with these only if it is the same.
    pub checksum_key: Option<String>,
    /// Rows only in the source.
    pub missing: Option<u64>,
    /// Rows only in the target.
    pub extra: Option<u64>,
    /// Rows with the same key and different values.
    pub modified: Option<u64>,
    /// Differences that had disappeared when they were rechecked.
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
    /// The worker that compared it.
    pub worker: Option<String>,
    /// Which attempt decided, from 1.
    pub attempt: u32,
    /// How long that attempt took.
    pub duration_seconds: Option<f64>,
    /// The columns that identify a row.
    pub key: Vec<String>,
    /// Notes: columns on one side only, that there is no key.
    pub notes: Vec<String>,
    /// Milliseconds from the cancellation until no statement ran in the databases.
    pub quiet_after_ms: Option<u64>,
    /// The scripts that repair it, if they were requested and it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairReport>,
    /// The plan of its repair, until the scripts are written.
    #[serde(skip)]
    pub(crate) repair_plan: Option<Box<RepairPlan>>,
}

/// Why a table was not verified.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableError {
    /// The table in the source.
    pub table: String,
    /// The kind of the error.
    #[serde(rename = "type")]
    pub kind: FailureKind,
    /// What happened, and what to do.
    pub error: String,
    /// Whether another run may succeed.
    pub retryable: bool,
    /// Which attempt ended so, from 1.
    pub attempt: u32,
    /// The worker that made that attempt.
    pub worker: Option<String>,
    /// The attempts before it, oldest first.
    pub history: Vec<AttemptReport>,
}

/// An attempt before the last one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptReport {
    /// Its number, from 1.
    pub attempt: u32,
    /// The worker that made it.
    pub worker: Option<String>,
    /// The kind of its error.
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
    /// The kind of the error, or `Mismatch`.
    #[serde(rename = "type")]
    pub kind: FailureKind,
    /// What happened.
    pub error: String,
}

/// The repair of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RepairReport {
    /// The repair script; absent when it has no statement or was not written.
    pub file: Option<String>,
    /// The script that undoes the repair.
    pub undo: Option<String>,
    /// How many statements it has; each changes one row.
    pub statements: u64,
    /// What is not repaired, and why.
    pub notes: Vec<String>,
}

impl RunReport {
    /// What the store keeps of it beside the records of its tables.
    pub(crate) fn summary(&self) -> RunSummary {
        RunSummary {
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
}

/// A cause on one line: `3 rows: CreatedAt: cut to milliseconds in the target`.
pub(super) fn cause_line(cause: &CauseGroup) -> String {
    let rows = if cause.rows == 1 { "row" } else { "rows" };
    let column = cause
        .column
        .as_ref()
        .map(|column| format!("{column}: "))
        .unwrap_or_default();
    format!("{} {rows}: {column}{}", cause.rows, cause.explanation)
}

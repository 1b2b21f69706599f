//! The structure of a report. The names of its fields are those of the JSON report.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::coverage::Coverage;
use shared::endpoint::DatabaseKind;
use shared::failure::FailureKind;
use shared::identity::DatabaseIdentity;
use shared::outcome::{CauseGroup, Depth, Difference, OpenSession, RepairPlan, SideRead};

use super::scope::{ColumnCounts, Scope};
use crate::run_state::{
    Counts, Origin, ReportVerdict, RunStatus, RunSummary, SelectedFrom, TableStatus,
};

/// The version of the structure of a report. It increases when a field is removed, or when the
/// meaning or the form of a field changes; a new field does not change it.
pub const SCHEMA_VERSION: u32 = 1;

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RunReport {
    /// The version of the structure of this report.
    pub schema_version: u32,
    /// The run.
    pub run_id: String,
    /// Whether every table was verified and is equal, for scripts.
    pub status: RunStatus,
    /// What the run shows, in the terms of its depth.
    pub verdict: ReportVerdict,
    /// The depth to which every compared table was compared at least.
    pub depth: Depth,
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
    /// Who carried the run out, where, and with which version; absent from stored runs of earlier
    /// versions.
    pub origin: Option<Origin>,
    /// The source; absent from a run without tables.
    pub source: Option<DatabaseReport>,
    /// The target; absent from a run without tables.
    pub target: Option<DatabaseReport>,
    /// What was compared, in sums over the tables.
    pub scope: Scope,
    /// Every table, in the order of the list.
    pub results: Vec<TableResult>,
    /// One entry for every table that was not verified.
    pub errors: Vec<TableError>,
    /// Tables of the target that are within the patterns of the run's list and that no table of
    /// the source names.
    pub target_only_tables: Vec<String>,
    /// Whether these tables are a difference.
    pub strict_tables: bool,
    /// The earlier run whose tables these are, if only those that differed or were not verified
    /// there were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_from: Option<SelectedFrom>,
    /// The table that ended the run, when fail-fast did.
    pub root_cause: Option<RootCauseReport>,
    /// Notes on the run as a whole.
    pub notes: Vec<String>,
    /// The identifier of its trace, when traces were sent.
    pub trace_id: Option<String>,
    /// The identities of both databases, as they are stored.
    #[serde(skip)]
    pub(crate) databases: Option<(DatabaseIdentity, DatabaseIdentity)>,
    /// What the command of the run asked for, for advice on the next command.
    #[serde(skip)]
    pub(crate) requested: Requested,
}

/// What the command of a run asked for beside the comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Requested {
    /// Differing rows were rechecked.
    pub(crate) recheck: bool,
    /// Repair scripts were written.
    pub(crate) repair: bool,
    /// Workers sent all differing rows.
    pub(crate) all_rows: bool,
}

/// A database of a run. What is not known of it is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DatabaseReport {
    /// The endpoint's name in the configuration.
    pub endpoint: String,
    /// The kind of the database.
    pub kind: Option<DatabaseKind>,
    /// The server's version.
    pub version: Option<String>,
    /// The host that the endpoint names.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The database's name.
    pub database: Option<String>,
    /// The user of the sessions.
    pub user: Option<String>,
    /// What no other database has, as far as the user may see it.
    pub id: Option<String>,
}

impl DatabaseReport {
    /// A database of which only the endpoint's name is known.
    pub(super) fn named(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            kind: None,
            version: None,
            host: None,
            port: None,
            database: None,
            user: None,
            id: None,
        }
    }
}

impl From<&DatabaseIdentity> for DatabaseReport {
    fn from(identity: &DatabaseIdentity) -> Self {
        Self {
            endpoint: identity.endpoint.clone(),
            kind: Some(identity.kind),
            version: Some(identity.version.clone()),
            host: Some(identity.host.clone()),
            port: Some(identity.port),
            database: Some(identity.database.clone()),
            user: Some(identity.user.clone()),
            id: Some(identity.id.clone()),
        }
    }
}

/// The result of one table. What was not compared is null.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
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
    /// What it shows, in the terms of its depth.
    pub verdict: ReportVerdict,
    /// The depth to which it was compared.
    pub depth: Option<Depth>,
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
    /// Why the rows that are listed differ, as far as known causes explain it: those
    /// that pair keys, then those of columns, each the most frequent first.
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
    /// How many columns were compared; null from workers that do not report it.
    pub columns: Option<ColumnCounts>,
    /// How tables and columns were paired, which columns were not compared and why, the origin of
    /// the key, and the conditions and rules in force; null from workers that do not report it.
    pub coverage: Option<Box<Coverage>>,
    /// Notes: columns on one side only, that there is no key.
    pub notes: Vec<String>,
    /// Milliseconds from the cancellation until the databases had confirmed that no statement ran;
    /// null if they have not.
    pub quiet_after_ms: Option<u64>,
    /// The sessions in which a statement may still run, because their database has not confirmed
    /// its end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed_sessions: Vec<OpenSession>,
    /// The scripts that repair it, if they were requested and it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairReport>,
    /// The plan of its repair, until the scripts are written.
    #[serde(skip)]
    pub(crate) repair_plan: Option<Box<RepairPlan>>,
}

/// Why a table was not verified.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TableError {
    /// The table in the source.
    pub table: String,
    /// The kind of the error.
    #[serde(rename = "type")]
    #[schemars(with = "String")]
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
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AttemptReport {
    /// Its number, from 1.
    pub attempt: u32,
    /// The worker that made it.
    pub worker: Option<String>,
    /// The kind of its error.
    #[serde(rename = "type")]
    #[schemars(with = "String")]
    pub kind: FailureKind,
    /// What happened.
    pub error: String,
}

/// The table that ended the run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RootCauseReport {
    /// The table in the source.
    pub table: String,
    /// The kind of the error, or `Mismatch`.
    #[serde(rename = "type")]
    #[schemars(with = "String")]
    pub kind: FailureKind,
    /// What happened.
    pub error: String,
}

/// The repair of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
            depth: Some(self.depth),
            origin: self.origin.clone(),
            databases: self.databases.clone(),
        }
    }
}

/// A cause on one line: `3 of 4 rows: CreatedAt: cut to milliseconds in the target`.
pub(super) fn cause_line(cause: &CauseGroup) -> String {
    let column = cause
        .column
        .as_ref()
        .map(|column| format!("{column}: "))
        .unwrap_or_default();
    if cause.pairs_keys {
        return format!("{column}{}", cause.explanation);
    }
    let (count, all) = match cause.examined {
        // Runs of earlier versions have no such number.
        0 => (cause.rows.to_string(), cause.rows),
        all => (format!("{} of {all}", cause.rows), all),
    };
    let rows = if all == 1 { "row" } else { "rows" };
    format!("{count} {rows}: {column}{}", cause.explanation)
}

/// The rule that ignores a cause, and what else it ignores.
pub(super) fn rule_line(cause: &CauseGroup) -> Option<String> {
    let option = cause.option.as_ref()?;
    Some(match &cause.also_ignores {
        Some(more) => format!("{option} ignores this, and {more}"),
        None => format!("{option} ignores this"),
    })
}

//! What a worker found out about one table.

use serde::{Deserialize, Serialize};

/// How deep two tables are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// The number of rows on each side.
    Counts,
    /// Also whether every row is equal, by an additive checksum.
    Checksum,
    /// Also which rows differ, and in which columns.
    Rows,
}

/// The result of comparing two tables to the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Rows on the source side.
    pub source_count: u64,
    /// Rows on the target side.
    pub target_count: u64,
    /// The additive checksums, from depth `Checksum` on.
    pub checksums: Option<Checksums>,
    /// The numbers of differing rows, at depth `Rows`.
    pub rows: Option<RowCounts>,
    /// The columns that identify a row; empty for a table compared as a multiset.
    #[serde(default)]
    pub key: Vec<String>,
    /// Facts the user should know: columns on one side only, how each side was read.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Comparison {
    /// Whether both sides are equal as far as the depth looked.
    #[must_use]
    pub fn is_match(&self) -> bool {
        self.source_count == self.target_count
            && self
                .checksums
                .as_ref()
                .is_none_or(|sums| sums.source == sums.target)
            && self.rows.as_ref().is_none_or(|rows| rows.total() == 0)
    }
}

/// Additive checksums of all rows, 32 hexadecimal digits each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksums {
    /// Sum over the source's rows.
    pub source: String,
    /// Sum over the target's rows.
    pub target: String,
}

/// Numbers of differing rows. They are exact even when not every difference is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows only in the source.
    pub missing: u64,
    /// Rows only in the target.
    pub extra: u64,
    /// Rows with the same key and different values.
    pub modified: u64,
    /// Differences that had settled when they were looked at again.
    pub settled: u64,
    /// Whether more rows differ than are listed.
    pub truncated: bool,
}

impl RowCounts {
    /// All rows that differ.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.missing + self.extra + self.modified
    }
}

/// On which side a differing row was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Only in the source.
    Missing,
    /// Only in the target.
    Extra,
    /// On both sides, with different values.
    Modified,
}

/// One differing row.
///
/// Values are JSON: null, booleans, integers and finite floats as such,
/// everything else as text in one fixed notation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// On which side it was seen.
    pub kind: DifferenceKind,
    /// The key columns and their values, in key order. Empty for a table
    /// compared as a multiset, whose rows are given whole in `columns`.
    pub key: serde_json::Map<String, serde_json::Value>,
    /// The differing columns of a modified row; for a table without a key
    /// every column of the row.
    pub columns: Vec<ColumnDifference>,
}

/// The two values of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnDifference {
    /// The column as the source names it.
    pub name: String,
    /// The source's value; null also where the row is only in the target.
    pub source: serde_json::Value,
    /// The target's value; null also where the row is only in the source.
    pub target: serde_json::Value,
}

/// Why a table could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The class of the error, as the report names it: `ConnectionError`,
    /// `AuthenticationError`, `TableNotFound`, `PermissionDenied`,
    /// `IncomparableColumn`, `QueryError`, `Panic`, ...
    pub kind: String,
    /// What happened, where, and what to do about it.
    pub message: String,
    /// Whether another attempt may succeed.
    pub retryable: bool,
    /// Whether an attempt that ended so counts against `--max-attempts`.
    pub counts_against_budget: bool,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Outcome {
    /// Compared to the end.
    Compared(Comparison),
    /// Could not be compared.
    Failed(Failure),
    /// Stopped because the coordinator asked for it.
    Cancelled {
        /// Milliseconds from the request until nothing of ours ran in a database.
        quiet_after_ms: u64,
    },
    /// Stopped by the worker itself, long after the deadline that the coordinator should have enforced.
    TimedOut {
        /// Milliseconds from the worker's own deadline until nothing of ours ran in a database.
        quiet_after_ms: u64,
    },
    /// Given back undone, by a worker that is shutting down: to be dispatched again at once.
    HandedBack,
}

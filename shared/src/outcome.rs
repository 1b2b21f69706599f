//! What a worker found out about one table.

use serde::{Deserialize, Serialize};

pub use crate::failure::{Failure, FailureKind};

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
    /// Facts the user should know: columns on one side only, that there is no key.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Why rows differ, as far as known causes explain it, the most frequent first.
    #[serde(default)]
    pub causes: Vec<CauseGroup>,
    /// How and when the sides were read.
    #[serde(default)]
    pub reads: Option<Box<Reads>>,
    /// What a repair of the target needs to know beside its statements.
    #[serde(default)]
    pub repair: Option<Box<RepairPlan>>,
}

/// How and when both sides were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reads {
    /// The source.
    pub source: SideRead,
    /// The target.
    pub target: SideRead,
}

/// How and when one side was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideRead {
    /// The isolation level: `REPEATABLE READ`, `SNAPSHOT`, …
    pub isolation: String,
    /// When the reading began, by the worker's clock: ISO 8601, UTC, milliseconds.
    pub started_at: String,
    /// When it had ended.
    pub finished_at: String,
}

/// Rows that differ in one column for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CauseGroup {
    /// The column as the source names it; absent for a cause that is the whole row's.
    pub column: Option<String>,
    /// The cause, in words that do not change: `fraction-truncated`, `time-zone-shifted`, …
    pub cause: String,
    /// What it means, for people, with its measure: "cut to 10 characters".
    pub explanation: String,
    /// Rows of those looked at that it explains.
    pub rows: u64,
    /// One of them.
    pub example: CauseExample,
    /// What to write in the configuration to have it pass as equal, where that can be.
    pub option: Option<String>,
}

/// One row that a cause explains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CauseExample {
    /// The row's key.
    pub key: serde_json::Map<String, serde_json::Value>,
    /// The source's value.
    pub source: serde_json::Value,
    /// The target's value.
    pub target: serde_json::Value,
}

/// What a repair statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairAction {
    /// Takes an extra row away.
    Delete,
    /// Changes the differing columns of a row.
    Update,
    /// Adds a missing row.
    Insert,
}

/// One statement that mends one row of the target, and the one that takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairStatement {
    /// What it does.
    pub action: RepairAction,
    /// The row's encoded key in hexadecimal, to look at the row again; empty where there is no key.
    pub key: String,
    /// The statement, guarded: it changes no row that is not as it was seen.
    pub sql: String,
    /// Its inverse, guarded alike.
    pub undo: String,
}

/// What a repair of a table needs to know beside its statements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairPlan {
    /// The target's dialect.
    pub engine: crate::endpoint::DatabaseKind,
    /// The target's schema, as its catalog has it.
    pub schema: String,
    /// The target's name, as its catalog has it.
    pub table: String,
    /// The table's foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Whether inserts give values to an identity column of SQL Server.
    pub identity_insert: bool,
    /// The same for the inserts of the undo, which bring back whole rows;
    /// absent where they are alike.
    #[serde(default)]
    pub undo_identity_insert: Option<bool>,
    /// Sequences that number rows, where inserts give the numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sequences: Vec<Sequence>,
    /// How many statements there are.
    pub statements: u64,
    /// What the statements do not mend, and why.
    pub notes: Vec<String>,
}

/// A foreign key of a table that is repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The constraint's name.
    pub name: String,
    /// The schema of the table that it refers to.
    pub schema: String,
    /// The table that it refers to.
    pub table: String,
    /// Whether it can be checked at the end of a transaction as it is.
    pub deferrable: bool,
    /// Whether the database vouches for all rows. Where it does not, old rows
    /// may break the key, and it is put back as it was.
    #[serde(default = "trusted")]
    pub trusted: bool,
}

fn trusted() -> bool {
    true
}

/// A sequence of PostgreSQL that numbers the rows of a table that is repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// The column that takes its numbers.
    pub column: String,
    /// The sequence's schema.
    pub schema: String,
    /// The sequence's name.
    pub name: String,
    /// Whether its numbers grow.
    pub ascending: bool,
}

impl Comparison {
    /// Whether both sides are equal as far as the depth looked. Where the rows
    /// that differ are known, these alone decide: rows that are near enough or
    /// have settled since leave counts and checksums different.
    #[must_use]
    pub fn is_match(&self) -> bool {
        if let Some(rows) = &self.rows {
            return rows.total() == 0;
        }
        self.source_count == self.target_count
            && self
                .checksums
                .as_ref()
                .is_none_or(|sums| sums.source == sums.target)
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

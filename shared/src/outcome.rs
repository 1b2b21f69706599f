//! The outcome of an attempt at one table, and its parts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;
pub use crate::failure::{Failure, FailureKind, FailureOrigin};

/// How detailed a comparison is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// The number of rows on each side.
    Counts,
    /// Also whether all rows are equal, by an additive checksum.
    Checksum,
    /// Also which rows differ, and in which columns.
    Rows,
}

/// The result of a complete comparison of two tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Rows on the source side.
    pub source_count: u64,
    /// Rows on the target side.
    pub target_count: u64,
    /// The additive checksums; `None` at depth `Counts`.
    pub checksums: Option<Checksums>,
    /// The numbers of differing rows; `None` unless the depth is `Rows`.
    pub rows: Option<RowCounts>,
    /// The columns that identify a row; empty for a table compared as a multiset.
    #[serde(default)]
    pub key: Vec<String>,
    /// Facts that the user should know, for example columns that only one side has.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Known causes of the differences: those that pair keys, then those of columns, each the most
    /// frequent first.
    #[serde(default)]
    pub causes: Vec<CauseGroup>,
    /// How and when the sides were read.
    #[serde(default)]
    pub reads: Option<Box<Reads>>,
    /// What a repair of the target needs beside its statements.
    #[serde(default)]
    pub repair: Option<Box<RepairPlan>>,
    /// Which columns were compared and how; `None` from workers that do not report it.
    #[serde(default)]
    pub coverage: Option<Box<Coverage>>,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SideRead {
    /// The isolation level: `REPEATABLE READ`, `SNAPSHOT`, …
    pub isolation: String,
    /// When the first read began, by the worker's clock: ISO 8601, UTC, milliseconds.
    pub started_at: String,
    /// When the last read had ended, in the same form.
    pub finished_at: String,
}

/// Rows that differ in one column for the same cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CauseGroup {
    /// The column by its source name; `None` for a cause that concerns the whole row.
    pub column: Option<String>,
    /// The stable name of the cause: `fraction-truncated`, `time-zone-shifted`, …
    pub cause: String,
    /// The cause in a sentence for users, with its measure: "cut to 10 characters".
    pub explanation: String,
    /// How many of the examined rows it explains. If it pairs keys, the number of pairs.
    pub rows: u64,
    /// How many rows were examined: the listed modified rows that differ in the column. If it
    /// pairs keys, the most pairs that the listed rows can have. 0 if the number is not known.
    #[serde(default)]
    pub examined: u64,
    /// Whether it pairs missing rows with extra rows: both have the same key but for this cause.
    #[serde(default)]
    pub pairs_keys: bool,
    /// One of these rows; of a pair of keys, the key of the missing row.
    pub example: CauseExample,
    /// The configuration under which such rows count as equal, if there is one.
    pub option: Option<String>,
    /// The other differences that this configuration ignores: "every difference in letter case".
    #[serde(default)]
    pub also_ignores: Option<String>,
}

/// One row that a cause explains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CauseExample {
    /// The row's key.
    pub key: serde_json::Map<String, serde_json::Value>,
    /// The source's value.
    pub source: serde_json::Value,
    /// The target's value.
    pub target: serde_json::Value,
}

/// What a repair statement does to a row of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairAction {
    /// Deletes an extra row.
    Delete,
    /// Updates the differing columns of a row.
    Update,
    /// Inserts a missing row.
    Insert,
}

/// A statement that repairs one row of the target, and its inverse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairStatement {
    /// What it does.
    pub action: RepairAction,
    /// The row's encoded key in hexadecimal, by which the row is verified later. Empty if the table
    /// has no key.
    pub key: String,
    /// The guarded statement: it changes only a row that still has the values that were read.
    pub sql: String,
    /// The inverse, with the same guard.
    pub undo: String,
}

/// What the repair of a table needs beside its statements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairPlan {
    /// The kind of the target's database, which is the SQL dialect.
    #[serde(rename = "engine")]
    pub kind: crate::endpoint::DatabaseKind,
    /// The target's schema, as in its catalog.
    pub schema: String,
    /// The target's name, as in its catalog.
    pub table: String,
    /// The table's foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Whether inserts set an identity column of SQL Server.
    pub identity_insert: bool,
    /// The same for the inserts of the undo script, which contain whole rows. `None`: as
    /// `identity_insert`.
    #[serde(default)]
    pub undo_identity_insert: Option<bool>,
    /// Sequences of columns that inserts set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sequences: Vec<Sequence>,
    /// The structure of the table that the statements depend on. `None`: unknown.
    #[serde(default)]
    pub structure: Option<TableStructure>,
    /// How many statements there are.
    pub statements: u64,
    /// Which differences the statements do not repair, and why.
    pub notes: Vec<String>,
}

/// What the statements of a repair depend on in the catalog, each part as a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStructure {
    /// The columns with their types, and which of them the database fills.
    pub columns: String,
    /// The columns that identify a row, or that are unique.
    pub keys: String,
    /// The table's foreign keys.
    pub foreign_keys: String,
    /// The foreign keys that reference the table, and what they do to their rows.
    pub references: String,
}

impl TableStructure {
    /// The first part in which a later structure differs, by its name in messages.
    #[must_use]
    pub fn first_difference(&self, later: &Self) -> Option<&'static str> {
        let parts = |of: &Self| {
            let Self {
                columns,
                keys,
                foreign_keys,
                references,
            } = of.clone();
            [
                ("the columns", columns),
                ("the keys", keys),
                ("the foreign keys", foreign_keys),
                ("the references to rows", references),
            ]
        };
        let mut pairs = parts(self).into_iter().zip(parts(later));
        pairs.find_map(|(before, now)| (before != now).then_some(now.0))
    }
}

/// A foreign key of a table that is repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The constraint's name.
    pub name: String,
    /// The schema of the referenced table.
    pub schema: String,
    /// The referenced table.
    pub table: String,
    /// Whether the constraint is declared DEFERRABLE.
    pub deferrable: bool,
    /// Whether the database has checked all rows (SQL Server: the constraint is trusted). An
    /// untrusted constraint is restored without a check, because old rows may violate it.
    #[serde(default = "trusted")]
    pub trusted: bool,
    /// Its columns. Empty: unknown.
    #[serde(default)]
    pub columns: Vec<String>,
    /// How the statements of the repair touch these columns. `None`: unknown.
    #[serde(default)]
    pub touched: Option<Touched>,
}

/// How many statements of a repair touch the columns of a foreign key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Updates that change one of its columns.
    pub updates: u64,
    /// Inserted and deleted rows that reference another row.
    pub rows: u64,
}

fn trusted() -> bool {
    true
}

/// A sequence of PostgreSQL that supplies the values of a column of the repaired table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// The column.
    pub column: String,
    /// The sequence's schema.
    pub schema: String,
    /// The sequence's name.
    pub name: String,
    /// Whether its increment is positive.
    pub ascending: bool,
}

impl Depth {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Counts, Self::Checksum, Self::Rows];

    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counts => "counts",
            Self::Checksum => "checksum",
            Self::Rows => "rows",
        }
    }
}

impl Comparison {
    /// How detailed it was.
    #[must_use]
    pub fn depth(&self) -> Depth {
        match (&self.checksums, &self.rows) {
            (_, Some(_)) => Depth::Rows,
            (Some(_), None) => Depth::Checksum,
            (None, None) => Depth::Counts,
        }
    }

    /// Whether both sides are equal at the depth of the comparison: their structure and their rows.
    #[must_use]
    pub fn is_match(&self) -> bool {
        let structure_differs = self
            .coverage
            .as_ref()
            .is_some_and(|coverage| coverage.structure_differs());
        !structure_differs && self.rows_match()
    }

    /// Whether the rows are equal in what was compared of them. If the numbers of differing rows
    /// are known, they alone decide: counts and checksums also differ for rows that are within a
    /// tolerance or have settled.
    #[must_use]
    pub fn rows_match(&self) -> bool {
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
    /// The sum over the rows of the source.
    pub source: String,
    /// The sum over the rows of the target.
    pub target: String,
    /// The fingerprint of the key under which the rows were hashed. Checksums with different
    /// fingerprints cannot be compared. `None`: an older worker hashed without a key.
    #[serde(default)]
    pub checksum_key: Option<String>,
}

/// Exact numbers of differing rows, even if not every difference is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows only in the source.
    pub missing: u64,
    /// Rows only in the target.
    pub extra: u64,
    /// Rows with the same key and different values.
    pub modified: u64,
    /// Rows that differed and were equal when they were rechecked.
    pub settled: u64,
    /// Whether more rows differ than are listed.
    pub truncated: bool,
}

impl RowCounts {
    /// The number of all differing rows.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.missing + self.extra + self.modified
    }
}

/// How a row differs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The row is only in the source.
    Missing,
    /// The row is only in the target.
    Extra,
    /// The row is on both sides, with different values.
    Modified,
}

/// One differing row.
///
/// Values are JSON: null, booleans, integers and finite floats as such, all other values as text in
/// one fixed notation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// How it differs.
    pub kind: DifferenceKind,
    /// The key columns and their values, in key order. Empty for a table that is compared as a
    /// multiset; then `columns` contains the whole row.
    pub key: serde_json::Map<String, serde_json::Value>,
    /// The differing columns of a modified row. For a table without a key, every column.
    pub columns: Vec<ColumnDifference>,
}

/// The two values of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ColumnDifference {
    /// The column by its source name.
    pub name: String,
    /// The source's value; null also if the row is only in the target.
    pub source: serde_json::Value,
    /// The target's value; null also if the row is only in the source.
    pub target: serde_json::Value,
}

/// A session in which a statement of an ended attempt may still run: its database has not
/// confirmed that the statement ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct OpenSession {
    /// The endpoint whose database it is a session of.
    pub endpoint: String,
    /// Its number: the process id of PostgreSQL, the session id of SQL Server. Another session may
    /// have this number by now.
    pub number: i64,
    /// The name that no other session has: `application_name` of PostgreSQL, `context_info` of SQL
    /// Server.
    pub name: String,
}

impl std::fmt::Display for OpenSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "session {} of endpoint `{}`, named `{}`",
            self.number, self.endpoint, self.name
        )
    }
}

impl OpenSession {
    /// The sentence about sessions whose statements may still run; `None` without any.
    #[must_use]
    pub fn warning(sessions: &[Self]) -> Option<String> {
        let list: Vec<String> = sessions.iter().map(ToString::to_string).collect();
        (!list.is_empty()).then(|| {
            format!(
                "it is not confirmed that its statements have ended: check {}, and end it if it still runs",
                list.join("; ")
            )
        })
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Outcome {
    /// The comparison is complete.
    Compared(Comparison),
    /// The table could not be compared.
    Failed(Failure),
    /// The worker did not begin, because it cannot run the table now. Another worker may.
    Refused(Failure),
    /// The worker stopped the attempt because the coordinator cancelled it.
    Cancelled {
        /// Milliseconds from the request until the attempt had stopped. Which of its statements
        /// may still run is in the event, beside the outcome.
        quiet_after_ms: u64,
    },
    /// The worker stopped the attempt because the coordinator had not cancelled it long after its
    /// deadline.
    TimedOut {
        /// Milliseconds from the worker's own deadline until the attempt had stopped.
        quiet_after_ms: u64,
    },
    /// The worker returned the table because it is shutting down. The coordinator dispatches the
    /// table again at once.
    HandedBack,
}

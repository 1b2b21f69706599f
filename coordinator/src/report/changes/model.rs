//! The structure of what changed. The names of its fields are those of `reconcile diff --format
//! json`.

use serde::Serialize;
use shared::failure::FailureKind;
use shared::outcome::Depth;

use super::rows::RowChanges;
use crate::run_state::{ReportVerdict, TableStatus};

/// What changed from one run to another. A table is identified by its names on both sides.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct RunChanges {
    /// Whether anything changed.
    pub(crate) changed: bool,
    pub(super) before: ComparedRun,
    pub(super) after: ComparedRun,
    /// Databases of the later run that are others than those of the earlier one.
    pub(super) databases: Vec<FactChange>,
    /// What the later run compared otherwise than the earlier one.
    pub(super) coverage: Vec<FactChange>,
    /// The same of single tables.
    pub(super) table_coverage: Vec<CoverageChange>,
    pub(super) newly_different: Vec<TableChange>,
    pub(super) newly_equal: Vec<TableChange>,
    pub(super) still_different: Vec<TableChange>,
    /// Verified before, and not any more.
    pub(super) newly_unverified: Vec<TableChange>,
    /// Not verified before.
    pub(super) newly_verified: Vec<TableChange>,
    pub(super) still_unverified: Vec<TableChange>,
    /// Tables that only one of the runs has.
    pub(super) only_before: Vec<String>,
    pub(super) only_after: Vec<String>,
    /// How many tables are equal in both runs.
    pub(super) equal_in_both: usize,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct ComparedRun {
    pub(super) run_id: String,
    pub(super) timestamp: String,
    pub(super) verdict: ReportVerdict,
    pub(super) depth: Depth,
    /// The first line of its report.
    pub(super) headline: String,
}

/// A fact with its values in both runs; null where it does not hold or is not known.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct FactChange {
    pub(super) what: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// What was compared otherwise of one table.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct CoverageChange {
    pub(super) table: String,
    pub(super) changes: Vec<FactChange>,
}

/// A table in both runs.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct TableChange {
    pub(super) table: String,
    pub(super) target: String,
    /// Whether its result is another one. Only tables that are different, or not verified, in both
    /// runs may be unchanged.
    pub(super) changed: bool,
    pub(super) before: TableState,
    pub(super) after: TableState,
    /// How many of the differing rows are the same; null if that is not known.
    pub(super) rows: Option<RowChanges>,
}

/// The result of a table in one run.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct TableState {
    pub(super) status: TableStatus,
    pub(super) depth: Option<Depth>,
    pub(super) source_count: Option<u64>,
    pub(super) target_count: Option<u64>,
    pub(super) missing: Option<u64>,
    pub(super) extra: Option<u64>,
    pub(super) modified: Option<u64>,
    pub(super) error_type: Option<FailureKind>,
    pub(super) error: Option<String>,
}

//! Runs an async function of the embedding program, which compares one table,
//! over a list of tables, with the guarantees of a run.
//!
//! Such a run uses the same state machine, actor, in-process transport and worker
//! as every other run; the engine is the caller's function. So the counts add up,
//! every table ends in exactly one state, timeouts cancel, and a panic fails only
//! its table.
//!
//! The caller needs only tokio. The actors run on a thread of the run; the
//! function runs on the caller's runtime, so that it can use pools and
//! connections of the caller.
//!
//! ```
//! use coordinator::parallel::{CancellationToken, Failure, Findings, ParallelReconciler, TableJob};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! async fn compare(table: TableJob, _cancel: CancellationToken) -> Result<Findings, Failure> {
//!     let target_count = if table.source.name == "orders" { 99 } else { 100 };
//!     Ok(Findings::of_counts(100, target_count))
//! }
//!
//! let report = ParallelReconciler::default()
//!     .run(["dbo.customers", "dbo.orders"], compare)
//!     .await?;
//! assert_eq!((report.matched, report.mismatched), (1, 1));
//! assert_eq!(report.total_tables, 2);
//! # Ok(())
//! # }
//! ```

mod estimate;
mod findings;
mod function;
mod job;
mod options;
mod stats;
mod table;

pub use shared::ids::{Attempt, TableName, TableNameError};
pub use shared::outcome::{
    Checksums, ColumnDifference, Comparison, Difference, DifferenceKind, Failure, FailureKind,
    RowCounts,
};
pub use tokio_util::sync::CancellationToken;

pub use estimate::{EstimateError, estimate_optimal_workers};
pub use findings::Findings;
pub use job::{
    ParallelError, ParallelReconcileJob, ParallelReconciler, create_parallel_reconcile_job,
};
pub use options::{MAX_WORKERS, OptionsError, ParallelOptions};
pub use stats::{ParallelStats, parallel_reconciliation_stats};
pub use table::{IntoTable, Table, TableJob};

pub use crate::report::{
    AttemptReport, ColumnCounts, DatabaseReport, Origin, Pairings, RepairReport, ReportVerdict,
    RootCauseReport, RunReport, RunStatus, SCHEMA_VERSION, Scope, SelectedFrom, TableError,
    TableResult,
};
pub use crate::run_state::TableStatus;

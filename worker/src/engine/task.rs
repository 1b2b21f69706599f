//! The engine's interface: a task in its context, its outcome or the reason why
//! there is none, and what is found before the outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use async_trait::async_trait;
use shared::endpoint_state::EndpointState;
use shared::identity::DatabaseIdentity;
use shared::message::{TableSpec, Task, WorkPhase};
use shared::outcome::{Comparison, Difference, Failure, FailureKind, RepairStatement};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::running::RunningStatements;
use crate::engine::values::column::SideOf;
use crate::engine::values::pair::Pair;

/// Compares the two sides of a task.
///
/// The interface exists so that everything around the comparison can be
/// measured and tested without a database.
#[async_trait]
pub trait Engine: std::fmt::Debug + Send + Sync + 'static {
    /// The names of the endpoints whose tasks it can run; `None` if it can run all tasks.
    fn endpoints(&self) -> Option<Vec<String>> {
        None
    }

    /// The databases behind the endpoints of a table; empty if it uses none. Connects only where
    /// it has not connected before. A comparison is made in these databases or fails.
    ///
    /// # Errors
    ///
    /// When a database cannot be reached, or refuses the login.
    async fn databases(&self, _spec: &TableSpec) -> Result<Vec<DatabaseIdentity>, Failure> {
        Ok(Vec::new())
    }

    /// Connects to the endpoint of this name, and closes the connection.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached, or refuses the login.
    async fn probe(&self, _endpoint: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// Connects to the endpoint of this name and reads the state of its database.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached, or refuses the login, and always from an engine
    /// without databases.
    async fn inspect(&self, endpoint: &str) -> Result<EndpointState, Failure> {
        Err(Failure::new(
            FailureKind::UnknownEndpoint,
            format!("this worker has no database behind the endpoint `{endpoint}`"),
        ))
    }

    /// The schema of tables that are named without one; `None` if the endpoint is unknown.
    fn schema(&self, _endpoint: &str) -> Option<String> {
        None
    }

    /// Compares to the end, or until `context.cancel` is triggered. Returns when no statement
    /// of this task is running in a database any more, or when a database did not confirm that
    /// within a limit: then its session stays listed in `context.running`.
    ///
    /// # Errors
    ///
    /// `Stop::Cancelled`, or the failure because of which there is no outcome.
    async fn reconcile(&self, task: &Task, context: &TaskContext) -> Result<Comparison, Stop>;
}

/// Why a comparison has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// It was cancelled; its statements were stopped.
    #[error("cancelled")]
    Cancelled,
    /// It failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// What a running comparison is connected to.
#[derive(Debug, Clone)]
pub struct TaskContext {
    /// Triggered when the work is no longer wanted.
    pub cancel: CancellationToken,
    /// Where progress is counted.
    pub progress: Arc<Progress>,
    /// Where sessions are listed while a statement of the comparison runs in them.
    pub running: Arc<RunningStatements>,
    /// Where differing rows and repairs are sent, in batches. The comparison is
    /// cancelled when the receiver is dropped.
    pub findings: mpsc::Sender<FindingBatch>,
}

impl TaskContext {
    /// Sends a batch. When the receiver was dropped, it is no longer needed.
    pub(crate) async fn send(&self, batch: FindingBatch) -> Result<(), Stop> {
        let sent = self.findings.send(batch).await;
        sent.map_err(|_| Stop::Cancelled)
    }
}

/// A batch of results that a comparison sends while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum FindingBatch {
    /// Differing rows.
    Rows(Vec<Difference>),
    /// Statements that repair the target.
    Repair(Vec<RepairStatement>),
}

/// What the comparison of one table does, and the rows that it has read so far. What is added
/// here is added to the totals too.
#[derive(Debug, Default)]
pub struct Progress {
    rows: Pair<AtomicU64>,
    /// The position in [`WorkPhase::ALL`].
    phase: AtomicU8,
    /// The rows of the larger side plus one; 0 as long as they are unknown.
    expected: AtomicU64,
    totals: Arc<ScanTotals>,
}

impl Progress {
    /// The progress of one table among those of `totals`.
    #[must_use]
    pub fn within(totals: Arc<ScanTotals>) -> Self {
        Self {
            totals,
            ..Self::default()
        }
    }

    /// Counts rows read from a side, and their bytes in canonical encoding.
    pub(crate) fn add(&self, side: SideOf, rows: u64, bytes: u64) {
        self.rows[side].fetch_add(rows, Ordering::Relaxed);
        self.totals.rows[side].fetch_add(rows, Ordering::Relaxed);
        self.totals.bytes[side].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts rows read from the source and from the target.
    pub fn add_rows(&self, source: u64, target: u64) {
        self.add(SideOf::Source, source, 0);
        self.add(SideOf::Target, target, 0);
    }

    /// Rows read from the source and from the target.
    #[must_use]
    pub fn rows(&self) -> (u64, u64) {
        loaded(&self.rows)
    }

    /// The comparison goes on to `phase`.
    pub fn begin(&self, phase: WorkPhase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// What the comparison does.
    #[must_use]
    pub fn phase(&self) -> WorkPhase {
        let at = usize::from(self.phase.load(Ordering::Relaxed));
        WorkPhase::ALL[at.min(WorkPhase::ALL.len() - 1)]
    }

    /// The larger side has about so many rows.
    pub fn expect(&self, rows: u64) {
        self.expected
            .store(rows.saturating_add(1), Ordering::Relaxed);
    }

    /// The rows of the larger side, if they are known.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        self.expected.load(Ordering::Relaxed).checked_sub(1)
    }
}

/// What was read of all tables together, since the process began.
#[derive(Debug, Default)]
pub struct ScanTotals {
    rows: Pair<AtomicU64>,
    bytes: Pair<AtomicU64>,
}

impl ScanTotals {
    /// Rows read from sources and from targets.
    #[must_use]
    pub fn rows(&self) -> (u64, u64) {
        loaded(&self.rows)
    }

    /// Bytes of the rows read from sources and from targets, in canonical encoding.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        loaded(&self.bytes)
    }
}

fn loaded(counters: &Pair<AtomicU64>) -> (u64, u64) {
    let Pair { source, target } = counters.as_ref().map(|of| of.load(Ordering::Relaxed));
    (source, target)
}

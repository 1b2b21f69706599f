//! Statistics of this process's runs of embedded functions.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::run::RunObserver;
use crate::run_state::{Effect, RunState, TableStatus};

/// Counts of the whole process, over all runs that are started with
/// [`ParallelReconciler`](super::ParallelReconciler) or
/// [`ParallelReconcileJob`](super::ParallelReconcileJob).
///
/// The fields are read one after the other during the runs, so they may be
/// from slightly different moments. Gauges are 0 when no run is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParallelStats {
    /// Gauge: active runs.
    pub active_runs: u64,
    /// Gauge: running functions, including those of abandoned runs that have not
    /// stopped yet.
    pub active_workers: u64,
    /// Gauge: tables of active runs that have neither started nor ended.
    pub queue_size: u64,
    /// Tables that ended verified and equal, since the process began.
    pub matched: u64,
    /// Tables that ended verified and different.
    pub mismatched: u64,
    /// Tables that ended with an error.
    pub failed: u64,
    /// Tables that ended because they were too slow.
    pub timeout: u64,
    /// Tables that ended because their run was cancelled.
    pub cancelled: u64,
}

impl ParallelStats {
    /// Tables that have ended since the process began.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.matched + self.mismatched + self.failed + self.timeout + self.cancelled
    }
}

/// What this process's runs of embedded functions do now, and how many tables
/// have ended in each way since the process began.
///
/// ```
/// use coordinator::parallel::{Failure, Findings, ParallelReconciler, parallel_reconciliation_stats};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let before = parallel_reconciliation_stats();
/// ParallelReconciler::default()
///     .run(["a", "b"], |_, _| async {
///         assert!(parallel_reconciliation_stats().active_workers >= 1);
///         Ok::<_, Failure>(Findings::of_counts(5, 5))
///     })
///     .await?;
/// let after = parallel_reconciliation_stats();
/// assert_eq!(after.matched - before.matched, 2);
/// assert_eq!((after.active_workers, after.queue_size), (0, 0));
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn parallel_reconciliation_stats() -> ParallelStats {
    let ended = |status: TableStatus| ENDED[status as usize].load(Ordering::Relaxed);
    ParallelStats {
        active_runs: RUNS.load(Ordering::Relaxed),
        active_workers: WORKERS.load(Ordering::Relaxed),
        queue_size: QUEUED.load(Ordering::Relaxed),
        matched: ended(TableStatus::Matched),
        mismatched: ended(TableStatus::Mismatched),
        failed: ended(TableStatus::Failed),
        timeout: ended(TableStatus::Timeout),
        cancelled: ended(TableStatus::Cancelled),
    }
}

pub(super) static RUNS: AtomicU64 = AtomicU64::new(0);
pub(super) static WORKERS: AtomicU64 = AtomicU64::new(0);
static QUEUED: AtomicU64 = AtomicU64::new(0);
/// Tables that have ended, by status.
static ENDED: [AtomicU64; TableStatus::ALL.len()] =
    [const { AtomicU64::new(0) }; TableStatus::ALL.len()];

/// Increments a gauge, and decrements it when dropped.
#[derive(Debug)]
pub(super) struct Counted(&'static AtomicU64);

impl Counted {
    pub(super) fn new(gauge: &'static AtomicU64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub(super) struct TableCounter {
    /// This run's share of the queue; 0 when it has ended.
    queued: u64,
}

impl TableCounter {
    fn set_queued(&mut self, queued: u64) {
        if queued > self.queued {
            QUEUED.fetch_add(queued - self.queued, Ordering::Relaxed);
        } else {
            QUEUED.fetch_sub(self.queued - queued, Ordering::Relaxed);
        }
        self.queued = queued;
    }
}

impl RunObserver for TableCounter {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        for effect in effects {
            if let Effect::TableEnded(id) = effect
                && let Some(record) = state.record(*id)
            {
                ENDED[record.status() as usize].fetch_add(1, Ordering::Relaxed);
            }
        }
        let unclaimed = state.outstanding() - state.activities().count();
        self.set_queued((state.waiting() + unclaimed) as u64);
    }
}

impl Drop for TableCounter {
    fn drop(&mut self) {
        self.set_queued(0);
    }
}

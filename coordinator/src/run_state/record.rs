//! How a table of a run ended.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::failure::FailureKind;
use shared::ids::{Attempt, TableId, WorkerId};
use shared::outcome::{Comparison, Difference, Failure, OpenSession};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableRecord {
    pub verdict: Verdict,
    pub attempt: Attempt,
    /// The worker that made that attempt; absent when none claimed it.
    pub worker: Option<WorkerId>,
    /// How long that attempt took; absent when no worker claimed it.
    pub duration: Option<Duration>,
    /// The time from the cancellation until no statement ran in the databases
    /// any more; absent until the worker has reported that the databases confirmed it.
    pub quiet_after: Option<Duration>,
    /// The sessions whose statements may still run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<OpenSession>,
    /// The attempts that ended without a result, oldest first. The last one of
    /// a failed table is the failure itself.
    pub history: Vec<AttemptFailure>,
}

impl TableRecord {
    #[must_use]
    pub fn status(&self) -> TableStatus {
        self.verdict.status()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptFailure {
    pub attempt: Attempt,
    /// The worker that made it; absent when none had claimed it.
    pub worker: Option<WorkerId>,
    pub failure: Failure,
}

/// How a table ended. There is exactly one for every table of a completed run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Both sides were compared to the end.
    Compared {
        comparison: Box<Comparison>,
        /// The differing rows that are listed.
        differences: Vec<Difference>,
    },
    /// It could not be compared.
    Failed(Failure),
    /// It was not done by its deadline.
    TimedOut {
        /// The table's timeout.
        allowed: Duration,
    },
    /// The run was cancelled before it was done.
    Cancelled(CancelReason),
}

impl Verdict {
    #[must_use]
    pub fn status(&self) -> TableStatus {
        match self {
            Self::Compared { comparison, .. } if comparison.is_match() => TableStatus::Matched,
            Self::Compared { .. } => TableStatus::Mismatched,
            Self::Failed(_) => TableStatus::Failed,
            Self::TimedOut { .. } => TableStatus::Timeout,
            Self::Cancelled(_) => TableStatus::Cancelled,
        }
    }
}

/// The five ways in which a table can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableStatus {
    /// Verified, and equal.
    Matched,
    /// Verified, and different.
    Mismatched,
    /// Not verified: an error.
    Failed,
    /// Not verified: too slow.
    Timeout,
    /// Not verified: the run was cancelled.
    Cancelled,
}

impl TableStatus {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 5] = [
        Self::Matched,
        Self::Mismatched,
        Self::Failed,
        Self::Timeout,
        Self::Cancelled,
    ];

    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Mismatched => "mismatched",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the table was compared to the end.
    #[must_use]
    pub fn is_verified(self) -> bool {
        matches!(self, Self::Matched | Self::Mismatched)
    }
}

impl fmt::Display for TableStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// A table ended in a way that ends the run.
    FailFast,
    Requested,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootCause {
    pub table: TableId,
    pub kind: FailureKind,
    pub error: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
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
}

impl Counts {
    #[must_use]
    pub fn total(&self) -> usize {
        self.matched + self.mismatched + self.failed + self.timeout + self.cancelled
    }

    #[must_use]
    pub fn of(&self, status: TableStatus) -> usize {
        let mut copy = *self;
        *copy.count_mut(status)
    }

    pub(crate) fn add(&mut self, status: TableStatus, count: usize) {
        *self.count_mut(status) += count;
    }

    fn count_mut(&mut self, status: TableStatus) -> &mut usize {
        match status {
            TableStatus::Matched => &mut self.matched,
            TableStatus::Mismatched => &mut self.mismatched,
            TableStatus::Failed => &mut self.failed,
            TableStatus::Timeout => &mut self.timeout,
            TableStatus::Cancelled => &mut self.cancelled,
        }
    }
}

//! How a whole run ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::Counts;

/// The verdict on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    /// Every table was verified and is equal.
    Pass,
    /// Every table was verified and some differ.
    Fail,
    /// Some table was not verified.
    Incomplete,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Fail, Self::Incomplete];

    /// The status of a run whose tables have these counts. A table that was not
    /// verified takes precedence over one that differs.
    #[must_use]
    pub fn of(counts: &Counts) -> Self {
        let unverified = counts.failed + counts.timeout + counts.cancelled;
        match (unverified, counts.mismatched) {
            (0, 0) => Self::Pass,
            (0, _) => Self::Fail,
            _ => Self::Incomplete,
        }
    }

    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Incomplete => "INCOMPLETE",
        }
    }
}

/// What the store keeps of a run that has ended, beside the records of its tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    pub status: RunStatus,
    /// Whether the run was cancelled on request.
    pub interrupted: bool,
    pub duration: Duration,
    /// The most tables that could run at a time.
    pub max_workers: u32,
    pub counts: Counts,
    #[serde(default)]
    pub notes: Vec<String>,
    /// The identifier of its trace, when traces were sent.
    #[serde(default)]
    pub trace_id: Option<String>,
}

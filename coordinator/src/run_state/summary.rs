//! How a whole run ended.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::identity::DatabaseIdentity;
use shared::message::TableSpec;
use shared::outcome::Depth;

use super::record::{Counts, TableRecord, TableStatus, Verdict};

/// The verdict on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// What a run or a table shows, in the terms of the depth to which it was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportVerdict {
    /// The values are equal, by their checksums or row by row.
    Equal,
    /// The numbers of rows are equal; values were not compared.
    CountsEqual,
    /// Everything was verified, and something differs.
    Different,
    /// Something was not verified.
    Incomplete,
}

impl ReportVerdict {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Equal,
        Self::CountsEqual,
        Self::Different,
        Self::Incomplete,
    ];

    /// What a run with this status shows at this depth.
    #[must_use]
    pub fn of(status: RunStatus, depth: Depth) -> Self {
        match (status, depth) {
            (RunStatus::Pass, Depth::Counts) => Self::CountsEqual,
            (RunStatus::Pass, Depth::Checksum | Depth::Rows) => Self::Equal,
            (RunStatus::Fail, _) => Self::Different,
            (RunStatus::Incomplete, _) => Self::Incomplete,
        }
    }

    /// What a table with this status shows at this depth.
    #[must_use]
    pub fn of_table(status: TableStatus, depth: Depth) -> Self {
        let mut counts = Counts::default();
        counts.add(status, 1);
        Self::of(RunStatus::of(&counts), depth)
    }

    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::CountsEqual => "counts_equal",
            Self::Different => "different",
            Self::Incomplete => "incomplete",
        }
    }
}

/// The depth of a run: the lowest of its tables, as far as they were compared; of a run without a
/// compared table the lowest that was requested.
pub(crate) fn depth_of<'a>(
    tables: impl Iterator<Item = (&'a TableSpec, Option<&'a TableRecord>)>,
) -> Depth {
    let (mut compared, mut requested) = (None, None);
    let lower = |known: Option<Depth>, depth| Some(known.map_or(depth, |known| known.min(depth)));
    for (spec, record) in tables {
        requested = lower(requested, spec.depth);
        if let Some(Verdict::Compared { comparison, .. }) = record.map(|record| &record.verdict) {
            compared = lower(compared, comparison.depth());
        }
    }
    compared.or(requested).unwrap_or(Depth::Counts)
}

/// Who carried a run out, where, and with which program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// The version of the coordinator.
    pub tool_version: String,
    /// The user of the operating system under whom the coordinator ran.
    pub user: Option<String>,
    /// The name of the coordinator's machine.
    pub host: String,
}

impl Origin {
    /// This process.
    pub(crate) fn of_this_process() -> Self {
        Self {
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            user: whoami::username().ok().filter(|user| !user.is_empty()),
            host: gethostname::gethostname().to_string_lossy().into_owned(),
        }
    }
}

impl RunSummary {
    /// What the run shows; unknown of runs of earlier versions.
    pub(crate) fn verdict(&self) -> Option<ReportVerdict> {
        Some(ReportVerdict::of(self.status, self.depth?))
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
    /// The depth of its tables; absent from runs of earlier versions.
    #[serde(default)]
    pub depth: Option<Depth>,
    /// Who carried it out; absent from runs of earlier versions.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// The source and the target, as the workers found them; absent where they are not known.
    #[serde(default)]
    pub databases: Option<(DatabaseIdentity, DatabaseIdentity)>,
}

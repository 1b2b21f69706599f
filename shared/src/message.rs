//! The messages between coordinators, workers and users. [`crate::envelope`] encodes them.
//!
//! No message contains a credential or a connection string. A task names endpoints; each worker
//! resolves the names in its own configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::endpoint_state::CheckedEndpoints;
use crate::identity::DatabaseIdentity;
use crate::ids::{Attempt, RunId, TableId, TableName, WorkerId};
use crate::options::TableOptions;
use crate::outcome::{Depth, Difference, OpenSession, Outcome, RepairStatement};

/// The value of [`TableSpec::max_differences`] for every differing row, however many there are.
pub const ALL_ROWS: u32 = u32::MAX;

/// A request to compare one table of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The run.
    pub run: RunId,
    /// The table in the run.
    pub table: TableId,
    /// Which dispatch of the table this is.
    pub attempt: Attempt,
    /// Which part of the table is compared.
    pub scope: Scope,
    /// What is compared.
    pub spec: TableSpec,
    /// The databases of the run that are known so far. A worker whose endpoint leads to another
    /// one returns the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseIdentity>,
    /// Workers that failed at the table for a reason of their own. They return the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoid: Vec<WorkerId>,
}

impl Task {
    /// Identifies the work in events and control messages.
    #[must_use]
    pub fn work(&self) -> WorkId {
        WorkId {
            run: self.run,
            table: self.table,
            attempt: self.attempt,
        }
    }
}

/// Which part of a table is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every row.
    WholeTable,
}

/// A table that is compared, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableSpec {
    /// The table that is taken as correct.
    pub source: Side,
    /// The table that should be equal to it.
    pub target: Side,
    /// How detailed the result is.
    pub depth: Depth,
    /// Key columns by their source names. `None`: the primary key, or a unique index over columns
    /// that are NOT NULL.
    pub key: Option<Vec<String>>,
    /// Which columns take part.
    #[serde(default)]
    pub columns: ColumnSelection,
    /// The most differing rows that are listed; [`ALL_ROWS`]: all of them. All are counted.
    pub max_differences: u32,
    /// How many keys one statement contains that reads differing rows.
    pub chunk_size: u32,
    /// How long an attempt may take from its claim; whole milliseconds in the message.
    #[serde(with = "duration_millis")]
    pub timeout: Duration,
    /// Rules, filters and limits of the comparison.
    #[serde(default)]
    pub options: TableOptions,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Name of an endpoint in the worker's own configuration.
    pub endpoint: String,
    /// The table at that endpoint.
    pub table: TableName,
}

/// Which columns take part, by source names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSelection {
    /// Only these columns; empty: all.
    #[serde(default)]
    pub include: Vec<String>,
    /// Not these columns.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Source name to target name, for names that differ by more than upper and lower case.
    #[serde(default)]
    pub map: std::collections::BTreeMap<String, String>,
}

/// Identifies one attempt at one table of a run. Events of another attempt are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkId {
    /// The run.
    pub run: RunId,
    /// The table in the run.
    pub table: TableId,
    /// Which dispatch of the table.
    pub attempt: Attempt,
}

/// From a worker to the coordinator of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The attempt.
    pub work: WorkId,
    /// The worker that makes the attempt.
    pub worker: WorkerId,
    /// What happened.
    pub body: EventBody,
    /// The databases behind the endpoints of the task, as this worker finds them. Empty if it could
    /// not connect, and from older workers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseIdentity>,
}

/// What happened in an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventBody {
    /// The worker owns the attempt from now on.
    Claimed,
    /// A batch of differing rows, numbered from 0.
    Differences {
        /// Number of the batch in this attempt.
        batch: u32,
        /// The rows.
        rows: Vec<Difference>,
    },
    /// A batch of statements that repair the target, numbered in the same sequence.
    Repair {
        /// Number of the batch in this attempt.
        batch: u32,
        /// The statements.
        statements: Vec<RepairStatement>,
    },
    /// A part of one statement that is too large for one message, numbered in the same sequence.
    RepairPart {
        /// Number of the batch in this attempt.
        batch: u32,
        /// The part.
        part: StatementPart,
    },
    /// The attempt ended.
    Finished {
        /// How it ended.
        outcome: Box<Outcome>,
        /// How many batches, of differences, of repair statements and of their parts together, were
        /// sent before.
        batches: u32,
        /// Milliseconds from claim to end, by the worker's clock.
        duration_ms: u64,
        /// Sessions in which a statement of the attempt may still run.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unconfirmed: Vec<OpenSession>,
    },
}

/// A part of the JSON of a [`RepairStatement`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementPart {
    /// The batch number of the statement's first part.
    pub first: u32,
    /// The position of the part in the JSON, in bytes.
    pub offset: u64,
    /// The length of the whole JSON in bytes.
    pub total: u64,
    /// The part itself.
    pub text: String,
}

/// From a coordinator to every worker, or from a user to every coordinator and worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Stop all attempts of a run and claim no more of its tasks.
    CancelRun {
        /// The run.
        run: RunId,
    },
    /// Stop one attempt.
    CancelAttempt {
        /// The attempt.
        work: WorkId,
    },
    /// Send a heartbeat now.
    Announce,
    /// Connect to these endpoints and send a heartbeat with what was found. Workers before this
    /// message existed do not answer it.
    CheckEndpoints {
        /// A number that the answers repeat.
        request: u64,
        /// The endpoints of a run.
        endpoints: Vec<String>,
    },
    /// Ask the coordinator of a run to cancel it. Workers ignore this message; the coordinator sends
    /// them `CancelRun`.
    StopRun {
        /// The run.
        run: RunId,
    },
    /// Ask one worker to claim no more tasks, to finish or return its attempts, and to exit.
    Drain {
        /// The worker.
        worker: WorkerId,
    },
}

/// From a worker to every coordinator, periodically and on [`Control::Announce`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The worker.
    pub worker: WorkerId,
    /// Name of its host.
    pub host: String,
    /// Process id on that host.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// The most attempts that it runs at the same time.
    pub capacity: u32,
    /// Whether it claims no more tasks.
    pub draining: bool,
    /// Milliseconds until the next periodic heartbeat.
    pub period_ms: u64,
    /// The attempts that it owns.
    pub owned: Vec<OwnedWork>,
    /// The names of its endpoints. `None` if it takes tasks of all endpoints, and from older
    /// workers.
    #[serde(default)]
    pub endpoints: Option<Vec<String>>,
    /// The endpoints whose tasks it returns until it can connect to them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unavailable: Vec<UnavailableEndpoint>,
    /// The answer to [`Control::CheckEndpoints`]; only in the heartbeat that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<CheckedEndpoints>,
}

/// An endpoint that a worker could not use several times in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnavailableEndpoint {
    /// Its name.
    pub endpoint: String,
    /// Why the last attempt to connect failed.
    pub reason: String,
}

/// An attempt that a worker has claimed and not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedWork {
    /// The attempt.
    pub work: WorkId,
    /// Rows read from the source so far.
    pub source_rows: u64,
    /// Rows read from the target so far.
    pub target_rows: u64,
    /// What the comparison does. `None` from older workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<WorkPhase>,
    /// The rows of the larger side, as the databases estimate them. `None` before that is known,
    /// if a condition selects rows, and from older workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_rows: Option<u64>,
}

/// What a comparison does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkPhase {
    /// It connects, and reads the columns and keys of both tables.
    Describing,
    /// It reads all rows of both sides.
    Scanning,
    /// Too many rows differ for the first pass: it reads them once more and compares on disk.
    ComparingExactly,
    /// It reads differing rows again.
    Rechecking,
    /// It reads the rows that are listed, and names their differing columns.
    Locating,
    /// It makes the statements that repair the target.
    Repairing,
}

impl WorkPhase {
    /// All of them, in the order of a comparison.
    pub const ALL: [Self; 6] = [
        Self::Describing,
        Self::Scanning,
        Self::ComparingExactly,
        Self::Rechecking,
        Self::Locating,
        Self::Repairing,
    ];

    /// The words for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Describing => "describing",
            Self::Scanning => "scanning",
            Self::ComparingExactly => "comparing exactly",
            Self::Rechecking => "rechecking",
            Self::Locating => "locating",
            Self::Repairing => "repairing",
        }
    }
}

/// Serialises durations as whole milliseconds.
mod duration_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

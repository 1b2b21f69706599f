//! The messages on the wire: JSON with an explicit protocol version.
//!
//! No credential and no connection string is part of any message. A task names
//! endpoints; each worker resolves the names in its own configuration.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ids::{Attempt, RunId, TableId, TableName, WorkerId};
use crate::options::TableOptions;
use crate::outcome::{Depth, Difference, Outcome, RepairStatement};

/// Version of all messages. A message of another version is dead-lettered.
pub const PROTOCOL_VERSION: u32 = 1;

/// One piece of work: compare one table of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The run that it belongs to.
    pub run: RunId,
    /// The table's place in the run.
    pub table: TableId,
    /// Which dispatch of the table this is.
    pub attempt: Attempt,
    /// Which part of the table is meant.
    pub scope: Scope,
    /// What is compared.
    pub spec: TableSpec,
}

impl Task {
    /// The identity under which events of this task are accepted.
    #[must_use]
    pub fn work(&self) -> WorkId {
        WorkId {
            run: self.run,
            table: self.table,
            attempt: self.attempt,
        }
    }
}

/// Which part of a table a task covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every row.
    WholeTable,
}

/// What is compared, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableSpec {
    /// Where the truth is.
    pub source: Side,
    /// Where the copy is.
    pub target: Side,
    /// How deep to look.
    pub depth: Depth,
    /// Key columns by their source names. Absent: primary key, or a unique index over not-null columns.
    pub key: Option<Vec<String>>,
    /// Which columns take part.
    #[serde(default)]
    pub columns: ColumnSelection,
    /// How many differing rows are listed; all are counted.
    pub max_differences: u32,
    /// How many keys one statement fetches when differing rows are looked up.
    pub chunk_size: u32,
    /// How long the table may take from its claim.
    #[serde(with = "duration_millis")]
    pub timeout: Duration,
    /// What is particular to the comparison.
    #[serde(default)]
    pub options: TableOptions,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Name of an endpoint in the worker's own configuration.
    pub endpoint: String,
    /// The table there.
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
    /// Source name to target name, where they differ by more than case.
    #[serde(default)]
    pub map: std::collections::BTreeMap<String, String>,
}

/// Identity of a piece of work; the fence against stale events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkId {
    /// The run.
    pub run: RunId,
    /// The table in the run.
    pub table: TableId,
    /// The dispatch of the table.
    pub attempt: Attempt,
}

/// From a worker to the coordinator of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The work it is about.
    pub work: WorkId,
    /// Who says so.
    pub worker: WorkerId,
    /// What happened.
    pub body: EventBody,
}

/// What happened to a piece of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventBody {
    /// The worker owns the work from now on.
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
    /// The attempt ended.
    Finished {
        /// How.
        outcome: Box<Outcome>,
        /// How many batches, of differences and of repair statements, were sent before.
        batches: u32,
        /// Milliseconds from claim to end, by the worker's clock.
        duration_ms: u64,
    },
}

/// From a coordinator to every worker, or from a person to all of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Stop all tables of a run and take no more of it.
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
    /// Ask the coordinator of a run to end it. Workers wait for what it says.
    StopRun {
        /// The run.
        run: RunId,
    },
    /// Ask one worker to take no more, to finish or hand back what it holds, and to end.
    Drain {
        /// Which one.
        worker: WorkerId,
    },
}

/// From a worker to every coordinator, periodically and when asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who.
    pub worker: WorkerId,
    /// The host's name.
    pub host: String,
    /// Process id on that host.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// How many tables it runs at once.
    pub capacity: u32,
    /// Whether it takes no more work.
    pub draining: bool,
    /// Milliseconds until the next periodic heartbeat.
    pub period_ms: u64,
    /// What it owns.
    pub owned: Vec<OwnedWork>,
}

/// A table that a worker has claimed and not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedWork {
    /// The work.
    pub work: WorkId,
    /// Rows read from the source so far.
    pub source_rows: u64,
    /// Rows read from the target so far.
    pub target_rows: u64,
}

/// Why bytes are not a message of ours.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or not of the expected shape.
    #[error("undecodable message: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written by another version of this program.
    #[error("message of protocol version {found}, this program speaks {PROTOCOL_VERSION}")]
    Version {
        /// The version it says.
        found: u32,
    },
}

#[derive(Serialize)]
struct EnvelopeRef<'a, T> {
    version: u32,
    body: &'a T,
}

#[derive(Deserialize)]
struct Envelope<T> {
    body: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// The bytes of a message.
///
/// # Panics
///
/// Never: every message type serialises.
#[must_use]
pub fn encode<T: Serialize>(body: &T) -> Vec<u8> {
    serde_json::to_vec(&EnvelopeRef {
        version: PROTOCOL_VERSION,
        body,
    })
    .expect("message types have string keys and no failing serializers")
}

/// The message in `bytes`.
///
/// # Errors
///
/// When the version is another one or the bytes are not such a message. The
/// version is looked at first, so that a newer message is named as such.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let VersionOnly { version } = serde_json::from_slice(bytes)?;
    if version != PROTOCOL_VERSION {
        return Err(DecodeError::Version { found: version });
    }
    let Envelope { body } = serde_json::from_slice(bytes)?;
    Ok(body)
}

/// Durations as whole milliseconds.
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

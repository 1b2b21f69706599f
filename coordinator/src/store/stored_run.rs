//! What the store keeps of a run, in its stored form.

use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use shared::endpoint::Endpoint;
use shared::identity::DatabaseIdentity;
use shared::ids::{RunId, TableId, WorkerId};
use shared::message::WorkPhase;

use crate::pace::Overview;
use crate::run_state::{CancelReason, Counts, Limits, RootCause, RunSummary, TableScope};

/// The name of the run that started last.
pub(crate) const LATEST: &str = "latest";

/// What is needed to resume a run, beside its tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredSettings {
    pub limits: Limits,
    /// Where its tables are compared.
    pub location: WorkerLocation,
    pub source: StoredSide,
    pub target: StoredSide,
    /// The directory of its repair scripts, if it writes any.
    #[serde(default)]
    pub output_dir: Option<PathBuf>,
    /// The file for all differing rows, if there is one.
    #[serde(default)]
    pub rows_output: Option<PathBuf>,
    /// What is left out of its tables, and what only the target has.
    #[serde(default)]
    pub scope: TableScope,
    /// The name that the user gave it.
    #[serde(default)]
    pub name: Option<String>,
}

/// Where the workers of a run are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerLocation {
    /// In the coordinator's process.
    Local {
        /// How many tables run at a time.
        concurrency: u16,
    },
    /// At a broker.
    Broker {
        /// The prefix of the names of its queues and exchanges.
        prefix: String,
    },
}

/// One side of all comparisons of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSide {
    pub name: String,
    /// Whether it was given as a URL and not by the configuration.
    pub from_url: bool,
    /// Its database; absent where only the workers know it.
    pub database: Option<String>,
}

/// Identifies a database, without any secret.
pub(crate) fn database_identity(endpoint: &Endpoint) -> String {
    format!(
        "{}://{}/{}, schema {}",
        endpoint.kind.scheme(),
        endpoint.server(),
        endpoint.database,
        endpoint.schema
    )
}

/// The default schema in a [`database_identity`].
pub(crate) fn schema_of_identity(identity: &str) -> Option<&str> {
    identity.rsplit_once(", schema ").map(|(_, schema)| schema)
}

#[derive(Debug, Clone)]
pub struct StoredRun {
    pub id: RunId,
    pub started_at: DateTime<Utc>,
    /// What is needed to resume it.
    pub settings: StoredSettings,
    pub tables: usize,
    /// How many of them have ended in each way.
    pub counts: Counts,
    /// Why it was being cancelled, if it was.
    pub cancelling: Option<Cancellation>,
    /// The last snapshot of its running tables.
    pub running: Option<Snapshot>,
    /// Its databases, as far as workers have named them.
    pub databases: Vec<DatabaseIdentity>,
    /// How it ended; absent while it has not.
    pub summary: Option<RunSummary>,
    /// Whether its coordinator is alive on this machine.
    pub is_alive: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    pub reason: CancelReason,
    /// The table that ended it, when fail-fast did.
    pub root_cause: Option<RootCause>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub at: DateTime<Utc>,
    pub workers: usize,
    pub activities: Vec<RunningTable>,
    /// How far the run was; absent from runs of earlier versions.
    #[serde(default)]
    pub overview: Option<Overview>,
    /// Whether the run was paused then.
    #[serde(default)]
    pub is_paused: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningTable {
    pub table: TableId,
    pub worker: WorkerId,
    /// When it claimed the table.
    pub since: DateTime<Utc>,
    /// Rows read from the source so far.
    pub source_rows: u64,
    /// Rows read from the target so far.
    pub target_rows: u64,
    /// What the comparison does; unknown of older workers.
    #[serde(default)]
    pub phase: Option<WorkPhase>,
    /// The rows of the larger side, if they are estimated.
    #[serde(default)]
    pub expected_rows: Option<u64>,
}

/// A time as text that sorts by time.
pub(super) fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("stored values have string keys and no failing serialisers")
}

//! What is kept of a run, in the form in which it is kept.

use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use shared::endpoint::{DatabaseKind, Endpoint};
use shared::ids::{RunId, TableId, WorkerId};

use crate::run_state::{
    CancelReason, Counts, Limits, PlannedTable, RestoredTable, RootCause, RunSummary,
};

/// What a run needs to go on, beside its tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptSettings {
    /// Its limits.
    pub limits: Limits,
    /// Where its tables are compared.
    pub place: Place,
    /// Where the truth is.
    pub source: KeptSide,
    /// Where the copy is.
    pub target: KeptSide,
    /// Where its repair scripts are written, if they are.
    #[serde(default)]
    pub output_dir: Option<PathBuf>,
}

/// Where tables are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the coordinator's process.
    Local {
        /// So many at a time.
        concurrency: u16,
    },
    /// By the workers of a broker.
    Broker {
        /// What the names of its queues and exchanges begin with.
        prefix: String,
    },
}

/// One side of all comparisons of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSide {
    /// The endpoint's name.
    pub name: String,
    /// Whether it was given as a URL and not in the configuration.
    pub from_url: bool,
    /// Which database it was; absent where only the workers know it.
    pub database: Option<String>,
}

/// Tells two databases apart, without any secret.
#[must_use]
pub fn database_of(endpoint: &Endpoint) -> String {
    let Endpoint {
        engine,
        host,
        port,
        database,
        schema,
        ..
    } = endpoint;
    let engine = match engine {
        DatabaseKind::SqlServer => "mssql",
        DatabaseKind::Postgres => "postgres",
    };
    format!("{engine}://{host}:{port}/{database}, schema {schema}")
}

/// A run as the store knows it.
#[derive(Debug, Clone)]
pub struct KeptRun {
    /// The run.
    pub id: RunId,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// What it needs to go on.
    pub settings: KeptSettings,
    /// How many tables it has.
    pub tables: usize,
    /// How many of them have ended, and how.
    pub counts: Counts,
    /// Why it was being cancelled, if it was.
    pub cancelling: Option<Cancelling>,
    /// What ran when the coordinator last looked.
    pub running: Option<Running>,
    /// How it ended; absent until it has.
    pub ended: Option<RunSummary>,
    /// Whether its coordinator lives, on this machine.
    pub is_alive: bool,
}

/// The tables of a run, each with where it stands.
pub type KeptTables = Vec<(PlannedTable, RestoredTable)>;

/// Why a run is being cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelling {
    /// In a word.
    pub reason: CancelReason,
    /// The table that ended it, when fail-fast did.
    pub root_cause: Option<RootCause>,
}

/// What ran at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The moment.
    pub at: DateTime<Utc>,
    /// How many workers were alive.
    pub workers: usize,
    /// What they were at.
    pub activities: Vec<Activity>,
}

/// A table that a worker is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The table.
    pub table: TableId,
    /// Who has it.
    pub worker: WorkerId,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Rows read from the source so far.
    pub source_rows: u64,
    /// Rows read from the target so far.
    pub target_rows: u64,
}

/// Times sort as texts.
pub(super) fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is kept has text keys and no failing serialisers")
}

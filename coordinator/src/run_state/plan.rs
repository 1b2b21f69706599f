//! The plan of a run: its tables, its limits, and its measure of time.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::config::FailFast;
use shared::ids::{RunId, TableId};
use shared::message::TableSpec;

/// Milliseconds since the run began. The state machine reads no clock; its
/// caller passes the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// The beginning of the run.
    pub const START: Self = Self(0);

    /// This time plus `duration`, saturating.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The time from `earlier` to this; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

pub(crate) fn table_ids() -> impl Iterator<Item = TableId> {
    (0..=u32::MAX).map(TableId)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Everything that determines a run, apart from its inputs.
#[derive(Debug, Clone)]
pub(crate) struct RunPlan {
    pub(crate) run: RunId,
    /// Its tables, in the order in which they are reported.
    pub(crate) tables: Vec<PlannedTable>,
    pub(crate) limits: Limits,
    /// The name of the work queue in messages to users.
    pub(crate) task_queue: String,
    /// The seed of the jitter of retries.
    pub(crate) seed: u64,
}

/// A table of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedTable {
    /// What is compared.
    pub spec: TableSpec,
    /// A higher priority is dispatched first.
    pub priority: i32,
    /// Among equal priorities the largest table is dispatched first, so that it
    /// does not run alone at the end.
    pub estimated_rows: Option<u64>,
}

impl PlannedTable {
    /// A table without preference in the order of dispatch.
    #[must_use]
    pub fn new(spec: TableSpec) -> Self {
        Self {
            spec,
            priority: 0,
            estimated_rows: None,
        }
    }
}

/// The limits of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// How many tables are dispatched and unfinished at a time.
    pub window: Window,
    /// How many attempts a table has, when their failures are retryable.
    pub max_attempts: NonZeroU32,
    /// How long published work may wait without a worker, or while a worker is idle.
    pub claim_timeout: Duration,
    /// What ends the whole run.
    pub fail_fast: FailFast,
    /// The wait before the second attempt; doubles with every further one.
    pub backoff: Duration,
    /// The longest wait between two attempts.
    pub max_backoff: Duration,
    /// How long workers may take to answer a cancellation.
    pub cancel_grace: Duration,
    /// The heartbeat period of a worker that has not announced its own yet.
    pub heartbeat_period: Duration,
    /// How many differing rows of a table the report lists, if workers send all of them and the
    /// others are only kept on disk. `None`: as many as its task lets the worker send.
    #[serde(default)]
    pub listed_rows: Option<u32>,
    /// Whether the only worker is in the process of the run, so that no other one can take over.
    #[serde(default)]
    pub lone_worker: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: Window::Fixed(NonZeroU32::MIN),
            max_attempts: NonZeroU32::MIN.saturating_add(2),
            claim_timeout: Duration::from_secs(60),
            fail_fast: FailFast::Off,
            backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(30),
            cancel_grace: Duration::from_secs(10),
            heartbeat_period: Duration::from_secs(5),
            listed_rows: None,
            lone_worker: false,
        }
    }
}

/// How many tables are dispatched and unfinished at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// This many.
    Fixed(NonZeroU32),
    /// As many as the workers that send heartbeats can run, at least one.
    Fleet,
}

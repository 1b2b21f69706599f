//! The settings of a worker.

use std::time::Duration;

use shared::config::WorkerLimits;
use shared::ids::WorkerId;

/// The settings of a worker.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The worker's identifier, unique among all workers of the broker.
    pub id: WorkerId,
    /// The host's name, as heartbeats report it.
    pub host: String,
    /// Maximum number of tables that are compared at once, from 1.
    pub concurrency: u16,
    /// Time between two heartbeats. After three missing ones the leases expire.
    pub heartbeat_period: Duration,
    /// How long running attempts may continue after a drain begins.
    pub drain_grace: Duration,
    /// How long after a table's own timeout the worker stops the attempt, should
    /// the coordinator, which enforces the timeout, be gone.
    pub backstop: Duration,
    /// Whether other workers may run what this one cannot. If not, it tries every table.
    pub has_peers: bool,
    /// The most that a task may ask for.
    pub limits: WorkerLimits,
}

impl WorkerOptions {
    /// The options of a worker that compares up to `concurrency` tables at once,
    /// with defaults for the rest.
    #[must_use]
    pub fn new(id: WorkerId, concurrency: u16) -> Self {
        Self {
            id,
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            concurrency,
            heartbeat_period: Duration::from_secs(5),
            drain_grace: Duration::from_secs(25),
            backstop: Duration::from_secs(30),
            has_peers: true,
            limits: WorkerLimits::default(),
        }
    }
}

//! The worker as a service: takes tasks from a transport, runs an engine on
//! each, and answers for what it took.
//!
//! An actor supervises ([`actor`]); what it decides is plain data ([`ledger`]);
//! each attempt is a tokio task ([`attempt`]). How many run at once is bounded
//! by the transport, which hands out no more deliveries than there are slots.

mod actor;
mod attempt;
mod attempt_span;
mod findings;
mod ledger;
mod metrics;
mod panics;
mod stop;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::AsyncContext as _;
use actix::{Actor as _, Addr, Context};
use shared::ids::WorkerId;
use shared::transport::{Transport, TransportError};
use tokio_util::sync::CancellationToken;

use self::actor::{Drain, WorkerActor};
use crate::engine::Engine;

pub use self::metrics::WorkerMetrics;

/// What a user sets.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Who this worker is; unique over the fleet.
    pub id: WorkerId,
    /// The host's name, for heartbeats.
    pub host: String,
    /// How many tables run at once, from 1.
    pub concurrency: u16,
    /// The time between two heartbeats. Three missing ones cost the lease.
    pub heartbeat_period: Duration,
    /// How long running tables may go on once the worker is asked to drain.
    pub drain_grace: Duration,
    /// How long after a table's own timeout the worker stops it by itself, in
    /// case the coordinator, whose task that is, is gone.
    pub backstop: Duration,
}

impl WorkerOptions {
    /// A worker for `concurrency` tables at once, with defaults for the rest.
    #[must_use]
    pub fn new(id: WorkerId, concurrency: u16) -> Self {
        Self {
            id,
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            concurrency,
            heartbeat_period: Duration::from_secs(5),
            drain_grace: Duration::from_secs(25),
            backstop: Duration::from_secs(30),
        }
    }
}

/// Starts a worker. Must be called inside an actix system whose tokio runtime
/// has several threads, or the tables run on one.
///
/// # Errors
///
/// When the transport refuses to deliver.
///
/// # Panics
///
/// When `concurrency` is 0: the worker would wait for ever.
pub async fn start(
    options: WorkerOptions,
    transport: Arc<dyn Transport>,
    engine: Arc<dyn Engine>,
) -> Result<WorkerHandle, TransportError> {
    assert!(options.concurrency > 0, "a worker for no table at a time");
    // Listening first: a run that is cancelled from now on is known as cancelled.
    let control = transport.consume_control(&options.id).await?;
    let tasks = transport.consume_tasks(options.concurrency).await?;
    let (drain_asked, stopped) = (CancellationToken::new(), CancellationToken::new());
    let metrics = Arc::new(WorkerMetrics::new(options.concurrency));
    let worker = WorkerActor::new(
        options,
        transport,
        engine,
        Arc::clone(&metrics),
        drain_asked.clone(),
        stopped.clone(),
    );
    let address = WorkerActor::create(|context: &mut Context<WorkerActor>| {
        worker.listen(&context.address(), tasks, control);
        worker
    });
    Ok(WorkerHandle {
        address,
        drain_asked,
        stopped,
        metrics,
    })
}

/// A running worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerHandle {
    address: Addr<WorkerActor>,
    drain_asked: CancellationToken,
    stopped: CancellationToken,
    metrics: Arc<WorkerMetrics>,
}

impl WorkerHandle {
    /// What the worker measures of itself.
    #[must_use]
    pub fn metrics(&self) -> &Arc<WorkerMetrics> {
        &self.metrics
    }

    /// Takes no more tasks, lets running ones finish within the grace, hands
    /// back the rest, and returns when all of it is said.
    pub async fn drain(&self) {
        // An error says that the worker has stopped already.
        self.address.send(Drain).await.ok();
        self.stopped.cancelled().await;
    }

    /// Returns when somebody has asked this worker, by its name and over the
    /// transport, to drain. Whoever started it then calls [`drain`](Self::drain).
    pub async fn drain_asked(&self) {
        self.drain_asked.cancelled().await;
    }

    /// Returns when the worker has stopped: after a drain, or when the
    /// transport was closed.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }
}

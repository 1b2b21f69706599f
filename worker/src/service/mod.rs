//! The worker as a service: takes tasks from a transport, runs an engine on
//! each, and publishes what becomes of them.
//!
//! An actor supervises ([`actor`]); its decisions are pure functions over plain
//! data ([`ledger`]); each attempt is a tokio task ([`attempt`]). The transport
//! bounds how many run at once: it delivers no more tasks than there are slots.

mod actor;
mod attempt;
mod attempt_span;
mod endpoint_check;
mod findings;
mod health;
mod ledger;
mod limits;
mod metrics;
mod options;
mod outcome_size;
mod panics;
mod resources;
mod stop;

use std::sync::{Arc, Mutex};

use actix::prelude::AsyncContext as _;
use actix::{Actor as _, Addr, Context};
use shared::transport::{Transport, TransportError};
use tokio_util::sync::CancellationToken;

use self::actor::{Input, WorkerActor};
use self::resources::WorkerResources;
use crate::engine::Engine;

pub use self::metrics::WorkerMetrics;
pub use self::options::WorkerOptions;

/// Starts a worker. Must be called inside an actix system. Its tokio runtime
/// needs several threads, or all tables are compared on one.
///
/// # Errors
///
/// When the transport refuses to deliver.
///
/// # Panics
///
/// When `concurrency` is 0, because no task would ever be delivered.
pub async fn start(
    options: WorkerOptions,
    transport: Arc<dyn Transport>,
    engine: Arc<dyn Engine>,
) -> Result<WorkerHandle, TransportError> {
    assert!(options.concurrency > 0, "concurrency must be at least 1");
    // Control messages first: no run that is cancelled from now on is missed.
    let control = transport.consume_control().await?;
    let tasks = transport.consume_tasks(options.concurrency).await?;
    let (drain_requested, stopped) = (CancellationToken::new(), CancellationToken::new());
    let metrics = Arc::new(WorkerMetrics::new(options.concurrency));
    let resources = Arc::new(WorkerResources {
        options,
        transport,
        engine,
        metrics: Arc::clone(&metrics),
        health: Mutex::default(),
    });
    let worker = WorkerActor::new(resources, drain_requested.clone(), stopped.clone());
    let address = WorkerActor::create(|context: &mut Context<WorkerActor>| {
        worker.listen(&context.address(), tasks, control);
        worker
    });
    Ok(WorkerHandle {
        address,
        drain_requested,
        stopped,
        metrics,
    })
}

/// A running worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerHandle {
    address: Addr<WorkerActor>,
    drain_requested: CancellationToken,
    stopped: CancellationToken,
    metrics: Arc<WorkerMetrics>,
}

impl WorkerHandle {
    /// The worker's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<WorkerMetrics> {
        &self.metrics
    }

    /// Takes no more tasks, lets running attempts finish within the grace
    /// period, hands back the rest, and returns when the worker has stopped.
    pub async fn drain(&self) {
        // An error means that the worker has stopped already.
        self.address.send(Input::Drain).await.ok();
        self.stopped.cancelled().await;
    }

    /// Returns when a control message has asked this worker to drain. The
    /// caller then calls [`drain`](Self::drain).
    pub async fn drain_asked(&self) {
        self.drain_requested.cancelled().await;
    }

    /// Returns when the worker has stopped: after a drain, or when the
    /// transport was closed.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }
}

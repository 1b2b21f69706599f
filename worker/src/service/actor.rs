//! The actor: keeps the ledger, and carries out what it decides. It never
//! waits; whatever takes time is a task of its own that reports back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use futures::StreamExt as _;
use shared::message::{Control, Heartbeat, Task, WorkId};
use shared::transport::{Deliveries, Delivery, Messages, Transport};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::WorkerOptions;
use super::attempt::{AttemptRun, settle};
use super::ledger::{Admission, Job, Ledger};
use super::metrics::WorkerMetrics;
use crate::engine::Engine;

/// How long the last heartbeat may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Takes tasks, and answers for what it took.
#[derive(Debug)]
pub(super) struct WorkerActor {
    options: WorkerOptions,
    transport: Arc<dyn Transport>,
    engine: Arc<dyn Engine>,
    metrics: Arc<WorkerMetrics>,
    ledger: Ledger,
    /// Triggered to take no more tasks.
    full_stop: CancellationToken,
    /// Triggered when somebody asks this worker to drain. Whoever started it does that.
    drain_asked: CancellationToken,
    /// Whether a heartbeat is on its way.
    beating: Arc<AtomicBool>,
    /// Tells [`super::WorkerHandle::stopped`], also after a panic.
    _stopped: DropGuard,
}

impl WorkerActor {
    pub(super) fn new(
        options: WorkerOptions,
        transport: Arc<dyn Transport>,
        engine: Arc<dyn Engine>,
        metrics: Arc<WorkerMetrics>,
        drain_asked: CancellationToken,
        stopped: CancellationToken,
    ) -> Self {
        Self {
            options,
            transport,
            engine,
            ledger: Ledger::new(Arc::clone(&metrics)),
            metrics,
            full_stop: CancellationToken::new(),
            drain_asked,
            beating: Arc::default(),
            _stopped: stopped.drop_guard(),
        }
    }

    /// Forwards both streams into the mailbox. Every message is answered
    /// before the next is sent, so that the mailbox stays short.
    pub(super) fn listen(
        &self,
        address: &Addr<Self>,
        mut tasks: Deliveries<Task>,
        mut control: Messages<Control>,
    ) {
        let (to, full_stop) = (address.clone(), self.full_stop.clone());
        tokio::spawn(async move {
            while let Some(Some(delivery)) = full_stop.run_until_cancelled(tasks.next()).await {
                if to.send(Delivered(delivery)).await.is_err() {
                    return;
                }
            }
            // The stream ends here, and with it the consumer at the broker.
            drop(tasks);
            to.do_send(Drain);
        });
        let to = address.clone();
        tokio::spawn(async move {
            while let Some(message) = control.next().await {
                if to.send(Received(message)).await.is_err() {
                    return;
                }
            }
        });
    }

    fn heartbeat(&self) -> Heartbeat {
        let WorkerOptions {
            id,
            host,
            concurrency,
            heartbeat_period,
            ..
        } = &self.options;
        Heartbeat {
            worker: id.clone(),
            host: host.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capacity: u32::from(*concurrency),
            draining: self.ledger.is_draining(),
            period_ms: u64::try_from(heartbeat_period.as_millis()).unwrap_or(u64::MAX),
            owned: self.ledger.owned(),
        }
    }

    /// Sends a heartbeat, unless the last one is still on its way.
    fn beat(&self) {
        if self.beating.swap(true, Ordering::AcqRel) {
            return;
        }
        let (heartbeat, transport, beating) = (
            self.heartbeat(),
            Arc::clone(&self.transport),
            Arc::clone(&self.beating),
        );
        tokio::spawn(async move {
            if let Err(error) = transport.publish_heartbeat(&heartbeat).await {
                tracing::debug!("a heartbeat was not sent: {error}");
            }
            beating.store(false, Ordering::Release);
        });
    }

    /// Leaves when nothing is left to do.
    fn leave_if_done(&self, address: Addr<Self>) {
        if !self.ledger.is_draining() || self.ledger.len() > 0 {
            return;
        }
        let (heartbeat, transport) = (self.heartbeat(), Arc::clone(&self.transport));
        tokio::spawn(async move {
            if let Ok(Err(error)) =
                tokio::time::timeout(FAREWELL, transport.publish_heartbeat(&heartbeat)).await
            {
                tracing::debug!("the last heartbeat was not sent: {error}");
            }
            address.do_send(Leave);
        });
    }
}

impl Actor for WorkerActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.beat();
        context.run_interval(self.options.heartbeat_period, |actor, _| actor.beat());
    }
}

/// A task was delivered.
#[derive(Message)]
#[rtype(result = "()")]
struct Delivered(Delivery<Task>);

impl Handler<Delivered> for WorkerActor {
    type Result = ();

    fn handle(&mut self, Delivered(delivery): Delivered, context: &mut Self::Context) {
        let work = delivery.message.work();
        match self.ledger.admit(work) {
            Admission::Claim(job) => {
                let attempt = AttemptRun {
                    delivery,
                    job: Arc::clone(&job),
                    worker: self.options.id.clone(),
                    transport: Arc::clone(&self.transport),
                    engine: Arc::clone(&self.engine),
                    metrics: Arc::clone(&self.metrics),
                    backstop: self.options.backstop,
                };
                let address = context.address();
                // Watched by a second task, so that the end is reported whatever it is.
                let running = tokio::spawn(attempt.run());
                tokio::spawn(async move {
                    if let Err(error) = running.await {
                        tracing::error!("an attempt ended without a result: {error}");
                    }
                    address.do_send(Ended { work, job });
                });
            }
            Admission::Settle => {
                tracing::debug!(run = %work.run, table = work.table.0, "dropped a task that is cancelled or runs here already");
                tokio::spawn(async move { settle(&delivery).await });
            }
            Admission::Return => drop(delivery),
        }
    }
}

/// A control message came.
#[derive(Message)]
#[rtype(result = "()")]
struct Received(Control);

impl Handler<Received> for WorkerActor {
    type Result = ();

    fn handle(&mut self, Received(control): Received, _: &mut Self::Context) {
        self.ledger.cancel(&control);
        match control {
            Control::Announce => self.beat(),
            Control::Drain { worker } if worker == self.options.id => self.drain_asked.cancel(),
            Control::Drain { .. }
            | Control::CancelRun { .. }
            | Control::CancelAttempt { .. }
            | Control::StopRun { .. } => {}
        }
    }
}

/// An attempt ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Ended {
    work: WorkId,
    job: Arc<Job>,
}

impl Handler<Ended> for WorkerActor {
    type Result = ();

    fn handle(&mut self, Ended { work, job }: Ended, context: &mut Self::Context) {
        self.ledger.release(work, &job);
        self.leave_if_done(context.address());
    }
}

/// Take no more; finish or hand back what is there; leave.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Drain;

impl Handler<Drain> for WorkerActor {
    type Result = ();

    fn handle(&mut self, _: Drain, context: &mut Self::Context) {
        if self.ledger.is_draining() {
            return;
        }
        self.ledger.drain();
        self.full_stop.cancel();
        self.beat();
        context.run_later(self.options.drain_grace, |actor, _| {
            actor.ledger.hand_back()
        });
        self.leave_if_done(context.address());
    }
}

/// Everything is done.
#[derive(Message)]
#[rtype(result = "()")]
struct Leave;

impl Handler<Leave> for WorkerActor {
    type Result = ();

    fn handle(&mut self, _: Leave, context: &mut Self::Context) {
        context.stop();
    }
}

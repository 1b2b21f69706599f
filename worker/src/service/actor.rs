//! The actor: owns the ledger and carries out its decisions. It never waits;
//! everything that takes time is a task of its own, which sends a message at its end.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures::StreamExt as _;
use shared::endpoint_state::CheckedEndpoints;
use shared::message::{Control, Heartbeat, Task, WorkId};
use shared::transport::{Deliveries, Delivery, Messages};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::attempt::{AttemptRun, discard};
use super::endpoint_check::check_all;
use super::ledger::{Admission, Job, Ledger};
use super::options::WorkerOptions;
use super::resources::WorkerResources;

/// How long the last heartbeat may take.
const LAST_HEARTBEAT_LIMIT: Duration = Duration::from_secs(2);

/// Supervises the attempts of one worker.
#[derive(Debug)]
pub(super) struct WorkerActor {
    resources: Arc<WorkerResources>,
    ledger: Ledger,
    /// Triggered to take no more tasks.
    stop_consuming: CancellationToken,
    /// Triggered when a control message asks this worker to drain. The owner of
    /// the handle then drains it.
    drain_requested: CancellationToken,
    heartbeats: Heartbeats,
    /// Whether endpoints are being checked.
    is_checking: bool,
    /// Triggers the handle's `stopped` when the actor is dropped, also by a panic.
    _stopped: DropGuard,
}

/// Whether a heartbeat is being published. One at a time: a slow broker must
/// not collect them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heartbeats {
    Idle,
    Publishing,
    /// Another one was requested meanwhile, which must show the state as of then.
    Requested,
}

impl Heartbeats {
    /// Whether a heartbeat that is requested now is to be published at once.
    fn request(&mut self) -> bool {
        let is_idle = *self == Self::Idle;
        *self = if is_idle {
            Self::Publishing
        } else {
            Self::Requested
        };
        is_idle
    }

    /// Whether another one is to be requested after one was published.
    fn end_publishing(&mut self) -> bool {
        std::mem::replace(self, Self::Idle) == Self::Requested
    }
}

impl WorkerActor {
    /// An actor without work, which triggers both tokens.
    pub(super) fn new(
        resources: Arc<WorkerResources>,
        drain_requested: CancellationToken,
        stopped: CancellationToken,
    ) -> Self {
        Self {
            ledger: Ledger::new(Arc::clone(&resources.metrics)),
            resources,
            stop_consuming: CancellationToken::new(),
            drain_requested,
            heartbeats: Heartbeats::Idle,
            is_checking: false,
            _stopped: stopped.drop_guard(),
        }
    }

    /// Forwards both streams into the mailbox. Each message is answered before
    /// the next is sent, so the mailbox stays short.
    pub(super) fn listen(
        &self,
        address: &Addr<Self>,
        mut tasks: Deliveries<Task>,
        mut control: Messages<Control>,
    ) {
        let (to, stop) = (address.clone(), self.stop_consuming.clone());
        tokio::spawn(async move {
            while let Some(Some(delivery)) = stop.run_until_cancelled(tasks.next()).await {
                if to.send(Input::Task(Box::new(delivery))).await.is_err() {
                    return;
                }
            }
            // Dropping the stream cancels the consumer at the broker.
            drop(tasks);
            to.do_send(Input::Drain);
        });
        let to = address.clone();
        tokio::spawn(async move {
            while let Some(message) = control.next().await {
                if to.send(Input::Control(message)).await.is_err() {
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
        } = &self.resources.options;
        Heartbeat {
            worker: id.clone(),
            host: host.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capacity: u32::from(*concurrency),
            draining: self.ledger.is_draining(),
            period_ms: u64::try_from(heartbeat_period.as_millis()).unwrap_or(u64::MAX),
            owned: self.ledger.owned(),
            endpoints: self.resources.served_endpoints(),
            unavailable: self.resources.health().unavailable(),
            checked: None,
        }
    }

    /// Publishes a heartbeat, after the one that is being published.
    fn send_heartbeat(&mut self, address: Addr<Self>) {
        if !self.heartbeats.request() {
            return;
        }
        let (heartbeat, resources) = (self.heartbeat(), Arc::clone(&self.resources));
        tokio::spawn(async move {
            if let Err(error) = resources.transport.publish_heartbeat(&heartbeat).await {
                tracing::debug!("a heartbeat could not be published: {error}");
            }
            address.do_send(Input::HeartbeatPublished);
        });
    }

    /// Checks endpoints, and then sends itself the answer. While it does, further requests are
    /// not answered: a request costs connections.
    fn check_endpoints(&mut self, request: u64, endpoints: Vec<String>, address: Addr<Self>) {
        if std::mem::replace(&mut self.is_checking, true) {
            tracing::debug!("a request to check endpoints came during another one");
            return;
        }
        let resources = Arc::clone(&self.resources);
        tokio::spawn(async move {
            let endpoints = check_all(&resources, endpoints).await;
            address.do_send(Input::EndpointsChecked(CheckedEndpoints {
                request,
                endpoints,
            }));
        });
    }

    fn publish_checked(&mut self, checked: CheckedEndpoints) {
        self.is_checking = false;
        let heartbeat = Heartbeat {
            checked: Some(checked),
            ..self.heartbeat()
        };
        let resources = Arc::clone(&self.resources);
        tokio::spawn(async move {
            if let Err(error) = resources.transport.publish_heartbeat(&heartbeat).await {
                tracing::debug!("the result of a check of endpoints was not published: {error}");
            }
        });
    }

    /// Publishes the last heartbeat and stops the actor, if it is draining and
    /// owns no attempt any more.
    fn stop_if_drained(&self, address: Addr<Self>) {
        if !self.ledger.is_draining() || self.ledger.len() > 0 {
            return;
        }
        let (heartbeat, resources) = (self.heartbeat(), Arc::clone(&self.resources));
        tokio::spawn(async move {
            let published = resources.transport.publish_heartbeat(&heartbeat);
            if let Ok(Err(error)) = tokio::time::timeout(LAST_HEARTBEAT_LIMIT, published).await {
                tracing::debug!("the last heartbeat could not be published: {error}");
            }
            address.do_send(Input::Drained);
        });
    }

    fn admit(&mut self, delivery: Delivery<Task>, address: Addr<Self>) {
        let work = delivery.message.work();
        match self.ledger.admit(work) {
            Admission::Claim(job) => {
                let attempt = AttemptRun {
                    delivery,
                    job: Arc::clone(&job),
                    resources: Arc::clone(&self.resources),
                };
                let running = tokio::spawn(attempt.run());
                // A second task reports the end, so that a panic of the first is reported too.
                tokio::spawn(async move {
                    if let Err(error) = running.await {
                        tracing::error!("an attempt ended without an outcome: {error}");
                    }
                    address.do_send(Input::AttemptEnded { work, job });
                });
            }
            Admission::Discard => {
                tracing::debug!(run = %work.run, table = work.table.0, "discarded a task that is cancelled or runs here already");
                tokio::spawn(async move { discard(&delivery).await });
            }
            Admission::Requeue => drop(delivery),
        }
    }

    fn obey(&mut self, control: &Control, address: Addr<Self>) {
        self.ledger.cancel(control);
        match control {
            Control::Announce => self.send_heartbeat(address),
            Control::CheckEndpoints { request, endpoints } => {
                self.check_endpoints(*request, endpoints.clone(), address)
            }
            Control::Drain { worker } if *worker == self.resources.options.id => {
                self.drain_requested.cancel()
            }
            Control::Drain { .. }
            | Control::CancelRun { .. }
            | Control::CancelAttempt { .. }
            | Control::StopRun { .. } => {}
        }
    }
}

impl Actor for WorkerActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.send_heartbeat(context.address());
        context.run_interval(self.resources.options.heartbeat_period, |actor, context| {
            actor.send_heartbeat(context.address())
        });
    }
}

/// What happens to the worker.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) enum Input {
    Task(Box<Delivery<Task>>),
    Control(Control),
    /// A heartbeat was published, or could not be.
    HeartbeatPublished,
    /// Endpoints were checked.
    EndpointsChecked(CheckedEndpoints),
    AttemptEnded {
        work: WorkId,
        job: Arc<Job>,
    },
    /// Take no more tasks, finish or hand back the running attempts, then stop.
    Drain,
    /// The last heartbeat was published, or could not be.
    Drained,
}

impl Handler<Input> for WorkerActor {
    type Result = ();

    fn handle(&mut self, input: Input, context: &mut Self::Context) {
        match input {
            Input::Task(delivery) => self.admit(*delivery, context.address()),
            Input::Control(control) => self.obey(&control, context.address()),
            Input::HeartbeatPublished => {
                if self.heartbeats.end_publishing() {
                    self.send_heartbeat(context.address());
                }
            }
            Input::EndpointsChecked(checked) => self.publish_checked(checked),
            Input::AttemptEnded { work, job } => {
                self.ledger.release(work, &job);
                self.stop_if_drained(context.address());
            }
            Input::Drain if self.ledger.is_draining() => {}
            Input::Drain => {
                self.ledger.drain();
                self.stop_consuming.cancel();
                self.send_heartbeat(context.address());
                context.run_later(self.resources.options.drain_grace, |actor, _| {
                    actor.ledger.hand_back()
                });
                self.stop_if_drained(context.address());
            }
            Input::Drained => context.stop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Heartbeats;

    #[test]
    fn a_heartbeat_requested_during_a_publication_follows_it_once() {
        let mut heartbeats = Heartbeats::Idle;
        assert!(heartbeats.request());
        assert!(!heartbeats.request());
        assert!(!heartbeats.request());
        assert!(heartbeats.end_publishing(), "a request was dropped");
        assert!(heartbeats.request());
        assert!(!heartbeats.end_publishing());
        assert_eq!(heartbeats, Heartbeats::Idle);
    }
}

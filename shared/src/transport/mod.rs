//! How messages travel between coordinator and workers.
//!
//! One interface, two implementations with the same semantics: RabbitMQ and
//! in-process. Neither coordinator nor worker can tell which one it has.

pub mod local;
pub mod rabbit;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures::Stream;

use crate::ids::{RunId, WorkerId};
use crate::message::{Control, Event, Heartbeat, Task};

/// A stream of deliveries that ends when the transport is closed for good.
/// Reconnecting is the transport's business and is not seen here.
pub type Deliveries<T> = Pin<Box<dyn Stream<Item = Delivery<T>> + Send>>;

/// A stream of messages that need no acknowledgement.
pub type Messages<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// Events of one run that are delivered and not yet acknowledged.
const EVENT_PREFETCH: u16 = 256;

/// Carries messages. Cheap to share.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Puts a task into the work queue. Returns when the broker has it safely.
    async fn publish_task(&self, task: &Task, trace: &TraceContext) -> Result<(), TransportError>;

    /// Sends an event to the coordinator of its run. Returns when the broker
    /// has it safely. `TransportError::Unroutable` when the run's queue is gone.
    async fn publish_event(
        &self,
        event: &Event,
        trace: &TraceContext,
    ) -> Result<(), TransportError>;

    /// Sends a control message to every worker that is connected now.
    async fn publish_control(&self, control: &Control) -> Result<(), TransportError>;

    /// Sends a heartbeat to every coordinator that is connected now.
    async fn publish_heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), TransportError>;

    /// Takes tasks, at most `prefetch` at a time: a delivery counts until it is
    /// dropped, not only until it is acknowledged, so that a worker that holds
    /// on to each delivery while it works is never sent more than it can do.
    ///
    /// Dropping the stream stops taking. A delivery that is still held can
    /// still be answered; one that is dropped unanswered goes back into the queue.
    async fn consume_tasks(&self, prefetch: u16) -> Result<Deliveries<Task>, TransportError>;

    /// Receives a run's events, from the first one on: what was published
    /// since the queue was first declared waits there.
    async fn consume_events(&self, run: RunId) -> Result<Deliveries<Event>, TransportError>;

    /// Receives control messages sent after this call returns.
    async fn consume_control(&self, worker: &WorkerId)
    -> Result<Messages<Control>, TransportError>;

    /// Receives heartbeats sent after this call returns.
    async fn consume_heartbeats(&self) -> Result<Messages<Heartbeat>, TransportError>;

    /// Removes a run's event queue. Events published later are unroutable.
    async fn forget_run(&self, run: RunId) -> Result<(), TransportError>;

    /// What users know the work queue by, for messages: "queue reconcile.tasks on host:port".
    fn task_queue(&self) -> String;

    /// How the connection stands.
    fn health(&self) -> Health;

    /// Ends all streams and the connection, after what was published is safe.
    async fn close(&self);
}

/// How the connection of a transport stands, and what happened to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether there is one now.
    pub connected: bool,
    /// How often it was lost and made again.
    pub reconnects: u64,
    /// Messages that were moved to the dead-letter queue by this process.
    pub dead_lettered: u64,
}

/// Where a message belongs in a distributed trace (W3C Trace Context).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// The `traceparent` header.
    pub traceparent: Option<String>,
    /// With a task of a further attempt: the span of the attempt before it, written like a `traceparent`.
    pub previous: Option<String>,
}

impl TraceContext {
    /// The trace's number in hexadecimal, if there is one.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        let id = self.traceparent.as_deref()?.split('-').nth(1)?;
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then_some(id)
    }
}

/// A message that somebody must answer for.
#[derive(Debug)]
pub struct Delivery<T> {
    /// The message.
    pub message: T,
    /// The trace that it belongs to.
    pub trace: TraceContext,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    acknowledger: Arc<dyn Acknowledge>,
}

impl<T> Delivery<T> {
    /// A delivery that is answered through `acknowledger`.
    pub fn new(
        message: T,
        trace: TraceContext,
        redelivered: bool,
        acknowledger: Arc<dyn Acknowledge>,
    ) -> Self {
        Self {
            message,
            trace,
            redelivered,
            acknowledger,
        }
    }

    /// The message, and what is left to answer for.
    pub fn into_parts(self) -> (T, Delivery<()>) {
        let Self {
            message,
            trace,
            redelivered,
            acknowledger,
        } = self;
        (message, Delivery::new((), trace, redelivered, acknowledger))
    }

    /// Done: never deliver it again.
    pub async fn ack(&self) -> Ownership {
        self.acknowledger.ack().await
    }

    /// Not done: deliver it again, to anybody.
    pub async fn requeue(&self) -> Ownership {
        self.acknowledger.requeue().await
    }

    /// Whether an acknowledgement could still succeed: false after the
    /// connection on which it came was lost.
    pub fn is_current(&self) -> bool {
        self.acknowledger.is_current()
    }
}

/// Answers for one delivery.
#[async_trait]
pub trait Acknowledge: fmt::Debug + Send + Sync {
    /// See [`Delivery::ack`].
    async fn ack(&self) -> Ownership;
    /// See [`Delivery::requeue`].
    async fn requeue(&self) -> Ownership;
    /// See [`Delivery::is_current`].
    fn is_current(&self) -> bool;
}

/// Whether an answer to a delivery reached the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "work whose delivery was lost belongs to somebody else"]
pub enum Ownership {
    /// The answer counts.
    Held,
    /// The delivery was no longer ours: it has been or will be delivered again.
    Lost,
}

/// Why a message could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The broker has no queue for this message.
    #[error("nobody receives this message: {destination} does not exist")]
    Unroutable {
        /// The queue that is missing.
        destination: String,
    },
    /// The broker cannot be reached, refused the login, or lacks a permission. Says what to do.
    #[error("{message}")]
    Broker {
        /// What happened, with the broker's address and without the password.
        message: String,
    },
    /// The transport was closed by this process.
    #[error("the connection to the broker was closed")]
    Closed,
}

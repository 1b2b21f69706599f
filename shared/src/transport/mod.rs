//! How messages travel between coordinator and workers.
//!
//! One interface with two implementations that have the same semantics: RabbitMQ and in-process.
//! Coordinator and worker do not know which one they use.

pub mod local;
pub mod rabbit;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::Stream;

use crate::ids::RunId;
use crate::message::{Control, Event, Heartbeat, Task};

/// A stream of deliveries that ends when the transport is closed. The transport reconnects by
/// itself; a reconnect does not end the stream.
pub type Deliveries<T> = Pin<Box<dyn Stream<Item = Delivery<T>> + Send>>;

/// A stream of messages that need no acknowledgement.
pub type Messages<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// The largest number of unacknowledged deliveries of one consumer of events, control messages or
/// heartbeats. A receiver keeps them in memory, also if a hostile sender has filled them.
const PREFETCH: u16 = 32;

/// Carries messages between coordinators and workers.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Puts a task into the work queue. Returns when the broker has stored it.
    async fn publish_task(&self, task: &Task, trace: &TraceContext) -> Result<(), TransportError>;

    /// Sends an event to the coordinator of its run. Returns when the broker has stored it.
    /// Fails with `TransportError::Unroutable` if the run's queue no longer exists.
    async fn publish_event(
        &self,
        event: &Event,
        trace: &TraceContext,
    ) -> Result<(), TransportError>;

    /// Sends a control message to every receiver that is connected now.
    async fn publish_control(&self, control: &Control) -> Result<(), TransportError>;

    /// Sends a heartbeat to every receiver that is connected now.
    async fn publish_heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), TransportError>;

    /// Receives tasks, at most `prefetch` at a time. A delivery counts until it is dropped, even if
    /// it was acknowledged before. A worker keeps the delivery while it runs the task, so it
    /// receives no more tasks than it can run.
    ///
    /// Dropping the stream ends the consumer. Deliveries that were already received can still be
    /// answered. A delivery that is dropped without an answer is requeued.
    async fn consume_tasks(&self, prefetch: u16) -> Result<Deliveries<Task>, TransportError>;

    /// Receives a run's events, including those that were published since the run's queue was first
    /// declared.
    async fn consume_events(&self, run: RunId) -> Result<Deliveries<Event>, TransportError>;

    /// Receives control messages sent after this call returns.
    async fn consume_control(&self) -> Result<Messages<Control>, TransportError>;

    /// Receives heartbeats sent after this call returns.
    async fn consume_heartbeats(&self) -> Result<Messages<Heartbeat>, TransportError>;

    /// Deletes a run's event queue. Events that are published later are unroutable.
    async fn forget_run(&self, run: RunId) -> Result<(), TransportError>;

    /// Bytes of the largest message that [`publish_event`](Self::publish_event) accepts;
    /// `usize::MAX` without a limit.
    fn message_limit(&self) -> usize;

    /// The name of the work queue for messages to users: "queue reconcile.tasks on host:port".
    fn task_queue(&self) -> String;

    /// The state of the connection.
    fn health(&self) -> Health;

    /// Waits until the broker has stored all published messages, then ends all streams and the
    /// connection.
    async fn close(&self);
}

/// The state of a transport's connection, and counts since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether there is a connection now.
    pub connected: bool,
    /// How often the connection was lost and established again.
    pub reconnects: u64,
    /// Messages that this process moved to the dead-letter queue.
    pub dead_lettered: u64,
}

/// The place of a message in a distributed trace (W3C Trace Context).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// The `traceparent` header.
    pub traceparent: Option<String>,
    /// The span of the previous attempt, as a `traceparent`; only after the first attempt.
    pub previous: Option<String>,
}

impl TraceContext {
    /// The trace's identifier, 32 hexadecimal digits, if there is a trace.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        let id = self.traceparent.as_deref()?.split('-').nth(1)?;
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then_some(id)
    }
}

/// A message that its receiver must answer: acknowledge or requeue.
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
    pub(crate) fn new(
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

    /// Separates the message from the delivery, which must still be answered.
    pub fn into_parts(self) -> (T, Delivery<()>) {
        let rest = Delivery::new((), self.trace, self.redelivered, self.acknowledger);
        (self.message, rest)
    }

    /// Acknowledges the delivery: the message is done and is not delivered again.
    pub async fn ack(&self) -> Ownership {
        self.acknowledger.ack().await
    }

    /// Requeues the message: it is delivered again, to any consumer.
    pub async fn requeue(&self) -> Ownership {
        self.acknowledger.requeue().await
    }

    /// Whether an answer can still succeed. It cannot if the connection over which the delivery was
    /// received has been lost.
    pub fn is_current(&self) -> bool {
        self.acknowledger.is_current()
    }
}

/// Answers one delivery.
#[async_trait]
pub(crate) trait Acknowledge: fmt::Debug + Send + Sync {
    /// See [`Delivery::ack`].
    async fn ack(&self) -> Ownership;
    /// See [`Delivery::requeue`].
    async fn requeue(&self) -> Ownership;
    /// See [`Delivery::is_current`].
    fn is_current(&self) -> bool;
}

/// Whether this process still owned the delivery that it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lost delivery belongs to another consumer"]
pub enum Ownership {
    /// The broker accepted the answer.
    Owned,
    /// The delivery was already lost. The broker delivers the message again.
    Lost,
}

/// Locks a mutex, poisoned or not: no critical section can panic between two changes, so the value
/// is consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a message could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The broker has no queue for this message.
    #[error("the message has no receiver: {0} does not exist")]
    Unroutable(String),
    /// The broker cannot be reached, or refused the login or an operation: what happened and what
    /// to do, with the broker's address and without the password.
    #[error("{0}")]
    Broker(String),
    /// The message is larger than this process or the broker allows: which message, its size, and
    /// which option to change.
    #[error("{0}")]
    TooLarge(String),
    /// The transport was closed by this process.
    #[error("the connection to the broker was closed")]
    Closed,
}

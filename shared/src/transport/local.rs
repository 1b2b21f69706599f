//! The transport inside one process: the same semantics as RabbitMQ, without a broker, a socket or
//! an encoding.
//!
//! Every queue has a limit. A publisher waits while [`TASK_LIMIT`] tasks or [`EVENT_LIMIT`] events
//! of one run are not acknowledged. A receiver that is more than [`BROADCAST_LIMIT`] control
//! messages or heartbeats behind loses the oldest ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use super::{
    Acknowledge, Deliveries, Delivery, Health, Messages, Ownership, PREFETCH, TraceContext,
    Transport, TransportError, lock,
};
use crate::ids::RunId;
use crate::message::{Control, Event, Heartbeat, Task};

/// The most tasks that are published and not acknowledged.
const TASK_LIMIT: usize = 16_384;

/// The most events of one run that are published and not acknowledged.
const EVENT_LIMIT: usize = 256;

/// The most control messages or heartbeats that wait for one receiver.
const BROADCAST_LIMIT: usize = 1_024;

/// Carries messages between the actors of one process.
#[derive(Debug)]
pub struct LocalTransport {
    tasks: Arc<Queue<Task>>,
    runs: Mutex<HashMap<RunId, Arc<Queue<Event>>>>,
    control: broadcast::Sender<Control>,
    heartbeats: broadcast::Sender<Heartbeat>,
    closed: CancellationToken,
}

impl LocalTransport {
    /// A transport with empty queues.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let closed = CancellationToken::new();
        Arc::new(Self {
            tasks: Queue::new(TASK_LIMIT, closed.child_token()),
            runs: Mutex::default(),
            control: broadcast::Sender::new(BROADCAST_LIMIT),
            heartbeats: broadcast::Sender::new(BROADCAST_LIMIT),
            closed,
        })
    }

    fn ensure_open(&self) -> Result<(), TransportError> {
        if self.closed.is_cancelled() {
            Err(TransportError::Closed)
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Transport for LocalTransport {
    async fn publish_task(&self, task: &Task, trace: &TraceContext) -> Result<(), TransportError> {
        self.ensure_open()?;
        self.tasks.push(task.clone(), trace.clone()).await
    }

    async fn publish_event(
        &self,
        event: &Event,
        trace: &TraceContext,
    ) -> Result<(), TransportError> {
        self.ensure_open()?;
        let run = event.work.run;
        let unroutable = || TransportError::Unroutable(format!("the event queue of run {run}"));
        let queue = lock(&self.runs).get(&run).cloned().ok_or_else(unroutable)?;
        queue
            .push(event.clone(), trace.clone())
            .await
            .map_err(|_| self.ensure_open().err().unwrap_or_else(unroutable))
    }

    async fn publish_control(&self, control: &Control) -> Result<(), TransportError> {
        self.ensure_open()?;
        // An error means that there is no receiver, which is allowed.
        self.control.send(control.clone()).ok();
        Ok(())
    }

    async fn publish_heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), TransportError> {
        self.ensure_open()?;
        self.heartbeats.send(heartbeat.clone()).ok();
        Ok(())
    }

    async fn consume_tasks(&self, prefetch: u16) -> Result<Deliveries<Task>, TransportError> {
        self.ensure_open()?;
        Ok(deliveries(&self.tasks, prefetch))
    }

    async fn consume_events(&self, run: RunId) -> Result<Deliveries<Event>, TransportError> {
        self.ensure_open()?;
        let queue = Arc::clone(
            lock(&self.runs)
                .entry(run)
                .or_insert_with(|| Queue::new(EVENT_LIMIT, self.closed.child_token())),
        );
        Ok(deliveries(&queue, PREFETCH))
    }

    async fn consume_control(&self) -> Result<Messages<Control>, TransportError> {
        self.ensure_open()?;
        Ok(messages(self.control.subscribe(), self.closed.clone()))
    }

    async fn consume_heartbeats(&self) -> Result<Messages<Heartbeat>, TransportError> {
        self.ensure_open()?;
        Ok(messages(self.heartbeats.subscribe(), self.closed.clone()))
    }

    async fn forget_run(&self, run: RunId) -> Result<(), TransportError> {
        self.ensure_open()?;
        if let Some(queue) = lock(&self.runs).remove(&run) {
            queue.removed.cancel();
        }
        Ok(())
    }

    fn health(&self) -> Health {
        Health {
            connected: !self.closed.is_cancelled(),
            ..Health::default()
        }
    }

    fn message_limit(&self) -> usize {
        usize::MAX
    }

    fn task_queue(&self) -> String {
        "the work queue of this process".to_owned()
    }

    async fn close(&self) {
        self.closed.cancel();
    }
}

/// The messages of one broadcast receiver, until the transport is closed.
fn messages<T: Clone + Send + 'static>(
    receiver: broadcast::Receiver<T>,
    closed: CancellationToken,
) -> Messages<T> {
    let received = stream::unfold(receiver, |mut receiver| async move {
        loop {
            match receiver.recv().await {
                Ok(message) => return Some((message, receiver)),
                Err(broadcast::error::RecvError::Lagged(lost)) => tracing::warn!(
                    lost,
                    "a receiver is too slow; its oldest messages were dropped"
                ),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    });
    Box::pin(received.take_until(closed.cancelled_owned()))
}

/// Messages in the order of their publication. Each is delivered to one consumer.
#[derive(Debug)]
struct Queue<T> {
    ready: Mutex<Ready<T>>,
    /// One permit for every message in `ready`.
    available: Semaphore,
    /// One permit for every message that may still be published.
    free: Arc<Semaphore>,
    /// Triggered when the queue is removed.
    removed: CancellationToken,
}

#[derive(Debug)]
struct Ready<T> {
    next_position: u64,
    /// By position in the order of publication, which a requeued message keeps.
    entries: BTreeMap<u64, Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    message: T,
    trace: TraceContext,
    redelivered: bool,
    _permit: OwnedSemaphorePermit,
}

impl<T> Queue<T> {
    fn new(limit: usize, removed: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            ready: Mutex::new(Ready {
                next_position: 0,
                entries: BTreeMap::new(),
            }),
            available: Semaphore::new(0),
            free: Arc::new(Semaphore::new(limit)),
            removed,
        })
    }

    /// Waits for the limit; fails when the queue is removed meanwhile.
    async fn push(&self, message: T, trace: TraceContext) -> Result<(), TransportError> {
        let permit = tokio::select! {
            biased;
            () = self.removed.cancelled() => return Err(TransportError::Closed),
            permit = Arc::clone(&self.free).acquire_owned() => permit.expect("the semaphore is never closed"),
        };
        let mut ready = lock(&self.ready);
        let position = ready.next_position;
        ready.next_position += 1;
        ready.entries.insert(
            position,
            Entry {
                message,
                trace,
                redelivered: false,
                _permit: permit,
            },
        );
        drop(ready);
        self.available.add_permits(1);
        Ok(())
    }

    fn requeue(&self, position: u64, entry: Entry<T>) {
        lock(&self.ready).entries.insert(
            position,
            Entry {
                redelivered: true,
                ..entry
            },
        );
        self.available.add_permits(1);
    }

    /// The oldest message; waits for one. Dropping the future loses no message.
    async fn pop(&self) -> (u64, Entry<T>) {
        self.available
            .acquire()
            .await
            .expect("the semaphore is never closed")
            .forget();
        lock(&self.ready)
            .entries
            .pop_first()
            .expect("there is a message for every permit")
    }
}

/// Delivers the messages of `queue` to one consumer, which keeps at most `prefetch` of them.
fn deliveries<T: Clone + Send + std::fmt::Debug + 'static>(
    queue: &Arc<Queue<T>>,
    prefetch: u16,
) -> Deliveries<T> {
    // One permit for every further delivery that the consumer may receive.
    let slots = Arc::new(Semaphore::new(prefetch.into()));
    let consumer = (Arc::clone(queue), slots);
    let taken = stream::unfold(consumer, |(queue, slots)| async move {
        let slot = Arc::clone(&slots)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let (position, entry) = queue.pop().await;
        let (message, trace) = (entry.message.clone(), entry.trace.clone());
        let redelivered = entry.redelivered;
        let acknowledger = Acknowledger {
            queue: Arc::clone(&queue),
            position,
            entry: Mutex::new(Some(entry)),
            _slot: slot,
        };
        let delivery = Delivery::new(message, trace, redelivered, Arc::new(acknowledger));
        Some((delivery, (queue, slots)))
    });
    Box::pin(taken.take_until(queue.removed.clone().cancelled_owned()))
}

/// Answers one delivery; requeues it when it is dropped without an answer.
#[derive(Debug)]
struct Acknowledger<T> {
    queue: Arc<Queue<T>>,
    position: u64,
    /// `None` after the answer.
    entry: Mutex<Option<Entry<T>>>,
    _slot: OwnedSemaphorePermit,
}

impl<T> Acknowledger<T> {
    fn take(&self) -> Option<Entry<T>> {
        lock(&self.entry)
            .take()
            .filter(|_| !self.queue.removed.is_cancelled())
    }
}

#[async_trait]
impl<T: Send + std::fmt::Debug> Acknowledge for Acknowledger<T> {
    async fn ack(&self) -> Ownership {
        self.take().map_or(Ownership::Lost, |_| Ownership::Owned)
    }

    async fn requeue(&self) -> Ownership {
        self.take().map_or(Ownership::Lost, |entry| {
            self.queue.requeue(self.position, entry);
            Ownership::Owned
        })
    }

    fn is_current(&self) -> bool {
        !self.queue.removed.is_cancelled() && lock(&self.entry).is_some()
    }
}

impl<T> Drop for Acknowledger<T> {
    fn drop(&mut self) {
        if let Some(entry) = self.take() {
            self.queue.requeue(self.position, entry);
        }
    }
}

//! The transport inside one process: the same semantics as RabbitMQ, without
//! a broker, a socket or an encoding.
//!
//! Nothing in it grows without limit: a publisher waits while [`TASKS_HELD`]
//! tasks or [`EVENTS_HELD`] events of one run are not yet acknowledged, and a
//! receiver of control messages or heartbeats that stays behind by more than
//! [`BROADCAST_HELD`] loses the oldest ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use super::{
    Acknowledge, Deliveries, Delivery, EVENT_PREFETCH, Health, Messages, Ownership, TraceContext,
    Transport, TransportError,
};
use crate::ids::{RunId, WorkerId};
use crate::message::{Control, Event, Heartbeat, Task};

/// Tasks that may be published and not yet acknowledged.
const TASKS_HELD: usize = 16_384;

/// Events of one run that may be published and not yet acknowledged.
const EVENTS_HELD: usize = 256;

/// Control messages and heartbeats that wait for one receiver.
const BROADCAST_HELD: usize = 1_024;

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
            tasks: Queue::new(TASKS_HELD, closed.child_token()),
            runs: Mutex::default(),
            control: broadcast::Sender::new(BROADCAST_HELD),
            heartbeats: broadcast::Sender::new(BROADCAST_HELD),
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
        self.tasks
            .push(task.clone(), trace.clone())
            .await
            .map_err(|QueueGone| TransportError::Closed)
    }

    async fn publish_event(
        &self,
        event: &Event,
        trace: &TraceContext,
    ) -> Result<(), TransportError> {
        self.ensure_open()?;
        let run = event.work.run;
        let unroutable = || TransportError::Unroutable {
            destination: format!("the event queue of run {run}"),
        };
        let queue = lock(&self.runs).get(&run).cloned().ok_or_else(unroutable)?;
        queue
            .push(event.clone(), trace.clone())
            .await
            .map_err(|QueueGone| match self.ensure_open() {
                Ok(()) => unroutable(),
                Err(closed) => closed,
            })
    }

    async fn publish_control(&self, control: &Control) -> Result<(), TransportError> {
        self.ensure_open()?;
        // An error says that nobody listens, which is no error here.
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
        Ok(Consumer::deliveries(&self.tasks, prefetch))
    }

    async fn consume_events(&self, run: RunId) -> Result<Deliveries<Event>, TransportError> {
        self.ensure_open()?;
        let queue = Arc::clone(
            lock(&self.runs)
                .entry(run)
                .or_insert_with(|| Queue::new(EVENTS_HELD, self.closed.child_token())),
        );
        Ok(Consumer::deliveries(&queue, EVENT_PREFETCH))
    }

    async fn consume_control(
        &self,
        _worker: &WorkerId,
    ) -> Result<Messages<Control>, TransportError> {
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
            queue.gone.cancel();
        }
        Ok(())
    }

    fn health(&self) -> Health {
        Health {
            connected: !self.closed.is_cancelled(),
            ..Health::default()
        }
    }

    fn task_queue(&self) -> String {
        "the work queue of this process".to_owned()
    }

    async fn close(&self) {
        self.closed.cancel();
    }
}

/// What one broadcast receiver sees, until the transport is closed.
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

/// The queue was removed while somebody waited for room in it.
#[derive(Debug)]
struct QueueGone;

/// Messages in the order of their publication, each for one consumer.
#[derive(Debug)]
struct Queue<T> {
    ready: Mutex<Ready<T>>,
    /// One permit for every message in `ready`.
    available: Semaphore,
    /// Room for messages that are published and not acknowledged.
    room: Arc<Semaphore>,
    /// Triggered when the queue is removed.
    gone: CancellationToken,
}

#[derive(Debug)]
struct Ready<T> {
    next: u64,
    /// By publication, so that what comes back takes its old place.
    entries: BTreeMap<u64, Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    message: T,
    trace: TraceContext,
    redelivered: bool,
    _room: OwnedSemaphorePermit,
}

impl<T> Queue<T> {
    fn new(room: usize, gone: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            ready: Mutex::new(Ready {
                next: 0,
                entries: BTreeMap::new(),
            }),
            available: Semaphore::new(0),
            room: Arc::new(Semaphore::new(room)),
            gone,
        })
    }

    async fn push(&self, message: T, trace: TraceContext) -> Result<(), QueueGone> {
        let room = tokio::select! {
            biased;
            () = self.gone.cancelled() => return Err(QueueGone),
            room = Arc::clone(&self.room).acquire_owned() => room.expect("the semaphore is never closed"),
        };
        let mut ready = lock(&self.ready);
        let place = ready.next;
        ready.next += 1;
        ready.entries.insert(
            place,
            Entry {
                message,
                trace,
                redelivered: false,
                _room: room,
            },
        );
        drop(ready);
        self.available.add_permits(1);
        Ok(())
    }

    fn put_back(&self, place: u64, entry: Entry<T>) {
        lock(&self.ready).entries.insert(
            place,
            Entry {
                redelivered: true,
                ..entry
            },
        );
        self.available.add_permits(1);
    }

    /// The oldest message; waits for one. Losing this future loses no message.
    async fn pop(&self) -> (u64, Entry<T>) {
        self.available
            .acquire()
            .await
            .expect("the semaphore is never closed")
            .forget();
        lock(&self.ready)
            .entries
            .pop_first()
            .expect("every permit stands for a message")
    }
}

/// One consumer of a queue.
#[derive(Debug)]
struct Consumer<T> {
    queue: Arc<Queue<T>>,
    /// One permit for every delivery that may be handed out.
    slots: Arc<Semaphore>,
}

impl<T: Clone + Send + std::fmt::Debug + 'static> Consumer<T> {
    fn deliveries(queue: &Arc<Queue<T>>, prefetch: u16) -> Deliveries<T> {
        let consumer = Self {
            queue: Arc::clone(queue),
            slots: Arc::new(Semaphore::new(prefetch.into())),
        };
        let gone = queue.gone.clone();
        let taken = stream::unfold(consumer, |consumer| async move {
            let slot = Arc::clone(&consumer.slots)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            let (place, entry) = consumer.queue.pop().await;
            let (message, trace, redelivered) = (
                entry.message.clone(),
                entry.trace.clone(),
                entry.redelivered,
            );
            let held = Held {
                queue: Arc::clone(&consumer.queue),
                place,
                entry: Mutex::new(Some(entry)),
                _slot: slot,
            };
            Some((
                Delivery::new(message, trace, redelivered, Arc::new(held)),
                consumer,
            ))
        });
        Box::pin(taken.take_until(gone.cancelled_owned()))
    }
}

/// A delivery that was handed out: back into the queue unless it is acknowledged.
#[derive(Debug)]
struct Held<T> {
    queue: Arc<Queue<T>>,
    place: u64,
    /// Absent once it has been answered.
    entry: Mutex<Option<Entry<T>>>,
    _slot: OwnedSemaphorePermit,
}

impl<T> Held<T> {
    fn take(&self) -> Option<Entry<T>> {
        lock(&self.entry)
            .take()
            .filter(|_| !self.queue.gone.is_cancelled())
    }
}

#[async_trait]
impl<T: Send + std::fmt::Debug> Acknowledge for Held<T> {
    async fn ack(&self) -> Ownership {
        self.take().map_or(Ownership::Lost, |_| Ownership::Held)
    }

    async fn requeue(&self) -> Ownership {
        self.take().map_or(Ownership::Lost, |entry| {
            self.queue.put_back(self.place, entry);
            Ownership::Held
        })
    }

    fn is_current(&self) -> bool {
        !self.queue.gone.is_cancelled() && lock(&self.entry).is_some()
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        if let Some(entry) = self.take() {
            self.queue.put_back(self.place, entry);
        }
    }
}

/// Every critical section is a few moves that cannot panic half-way, so a
/// poisoned lock still guards a whole value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The transport over RabbitMQ (AMQP 0-9-1).
//!
//! One connection at a time, a [`link::Link`]. A supervisor replaces a broken
//! link with a new one, for ever, with backoff; publishes wait for it and are
//! published again, consumers subscribe again. So a message may arrive twice,
//! and none is lost: a publish returns only after the broker's confirm.

mod broadcast;
mod events;
mod explain;
mod held;
mod link;
mod options;
mod tasks;
mod topology;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lapin::BasicProperties;
use lapin::options::QueueDeleteOptions;
use lapin::types::{AMQPValue, FieldTable};
use tokio::sync::{RwLock, watch};
use tokio_util::sync::CancellationToken;

use self::link::{Link, Outgoing, Routing};
use self::options::Address;
pub use self::options::{DEFAULT_PREFIX, RabbitOptions};
use self::topology::Topology;
use super::{Deliveries, Health, Messages, TraceContext, Transport, TransportError};
use crate::ids::{RunId, WorkerId};
use crate::message::{Control, Event, Heartbeat, Task, encode};
use crate::signing::{Purpose, SigningKey};

/// The first pause before another try; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause before another try.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long [`Transport::close`] waits for publishes that are not yet confirmed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a queue that was deleted stays so before it is declared again.
const REDECLARE: Duration = Duration::from_millis(500);

/// How long the broker may take to answer before the log says so.
const PATIENCE: Duration = Duration::from_secs(20);

/// The header with the place in a trace (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";

/// Beside it, the span of the attempt before.
const PREVIOUS_TRACEPARENT: &str = "reconcile-previous-traceparent";

/// The header with the signature of the body.
const SIGNATURE: &str = "x-signature";

/// AMQP's delivery mode of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// Carries messages over a RabbitMQ broker.
#[derive(Debug)]
pub struct RabbitTransport {
    shared: Arc<Shared>,
}

impl RabbitTransport {
    /// Connects, logs in and declares the queues and exchanges.
    ///
    /// # Errors
    ///
    /// When the first connection fails, within about 10 s. Later cuts are
    /// mended for as long as it takes and are not errors.
    pub async fn connect(options: RabbitOptions) -> Result<Arc<Self>, TransportError> {
        let address = Address::resolve(&options)?;
        let topology = Topology::under(&options.prefix);
        let link = Link::establish(&address, &topology)
            .await
            .map_err(|error| explain::connecting(&address, &error))?;
        let link = Arc::new(link);
        let shared = Arc::new(Shared {
            address,
            topology,
            link: watch::Sender::new(Some(Arc::clone(&link))),
            signing_key: options.signing_key,
            reconnects: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
            publishing: RwLock::new(()),
            closing: CancellationToken::new(),
        });
        tokio::spawn(Arc::clone(&shared).supervise(link));
        Ok(Arc::new(Self { shared }))
    }
}

impl Drop for RabbitTransport {
    fn drop(&mut self) {
        // Ends the supervisor, and with it the connection.
        self.shared.closing.cancel();
    }
}

/// What the transport, its supervisor and its consumers have in common.
#[derive(Debug)]
struct Shared {
    address: Address,
    topology: Topology,
    /// The current link; absent while there is none.
    link: watch::Sender<Option<Arc<Link>>>,
    signing_key: Option<SigningKey>,
    reconnects: AtomicU64,
    dead_lettered: AtomicU64,
    /// Held for reading by every publish, so that closing can wait for all of them.
    publishing: RwLock<()>,
    closing: CancellationToken,
}

impl Shared {
    /// Replaces the link whenever it breaks, until the transport is closed.
    async fn supervise(self: Arc<Self>, mut link: Arc<Link>) {
        loop {
            let reason = tokio::select! {
                () = self.closing.cancelled() => {
                    self.link.send_replace(None);
                    link.close().await;
                    return;
                }
                reason = link.lost(&self.address) => reason,
            };
            let since = Instant::now();
            self.link.send_replace(None);
            link.broken().cancel();
            tracing::warn!(
                "lost the connection to the broker at {}: {reason}; reconnecting",
                self.address
            );
            let mut backoff = Backoff::default();
            link = loop {
                tokio::select! {
                    () = self.closing.cancelled() => return,
                    () = backoff.pause() => {}
                }
                match Link::establish(&self.address, &self.topology).await {
                    Ok(link) => break Arc::new(link),
                    Err(error) => tracing::warn!(
                        "{}; trying again",
                        explain::connecting(&self.address, &error)
                    ),
                }
            };
            tracing::info!(
                "connected to the broker at {} again after {:.1} s",
                self.address,
                since.elapsed().as_secs_f64()
            );
            self.reconnects.fetch_add(1, Ordering::Relaxed);
            self.link.send_replace(Some(Arc::clone(&link)));
        }
    }

    /// The current link; waits while there is none.
    async fn link(&self) -> Result<Arc<Link>, TransportError> {
        let mut link = self.link.subscribe();
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(TransportError::Closed),
            found = link.wait_for(|link| link.as_ref().is_some_and(|link| !link.broken().is_cancelled())) => {
                let found = found.map_err(|_| TransportError::Closed)?;
                found.clone().ok_or(TransportError::Closed)
            }
        }
    }

    /// Publishes until the broker has confirmed it, over as many links as it takes.
    async fn publish(&self, message: &Outgoing<'_>) -> Result<Routing, TransportError> {
        let _publishing = self.publishing.read().await;
        let mut backoff = Backoff::default();
        loop {
            let link = self.link().await?;
            match self
                .patiently("confirm a message", link.publish(message))
                .await
            {
                Ok(Routing::Refused) => {
                    tracing::warn!(
                        "the broker at {} could not store a message; trying again",
                        self.address
                    );
                }
                Ok(routing) => return Ok(routing),
                Err(error) if explain::is_refusal(&error) => {
                    return Err(explain::refused(&self.address, &error));
                }
                Err(error) => {
                    tracing::debug!("publishing again after: {error}");
                    if !link.broken().is_cancelled() {
                        self.declare_again(&link).await;
                    }
                }
            }
            backoff.pause().await;
        }
    }

    /// `operation`, however long it takes, but not in silence: a broker that is
    /// connected and does not answer is short of memory or disk, or has a queue
    /// without a leader.
    async fn patiently<T>(&self, what: &str, operation: impl Future<Output = T>) -> T {
        let mut operation = std::pin::pin!(operation);
        let since = Instant::now();
        loop {
            match tokio::time::timeout(PATIENCE, operation.as_mut()).await {
                Ok(done) => return done,
                Err(_) => tracing::warn!(
                    "the broker at {} is connected and does not {what} for {} s: look for alarms (`rabbitmq-diagnostics alarms`) and for queues without a leader in its log",
                    self.address,
                    since.elapsed().as_secs()
                ),
            }
        }
    }

    /// Declares what somebody may have deleted while we were connected.
    async fn declare_again(&self, link: &Link) {
        let declared = async {
            let channel = link.open_channel().await?;
            self.topology.declare(&channel).await
        };
        if let Err(error) = link.while_connected(declared).await {
            tracing::debug!("declaring queues and exchanges again: {error}");
        }
    }

    /// Runs `operation` on a channel of its own until it is done, over as many
    /// links as it takes.
    async fn on_channel<T, F>(
        &self,
        operation: impl Fn(lapin::Channel) -> F,
    ) -> Result<(Arc<Link>, T), TransportError>
    where
        F: Future<Output = lapin::Result<T>>,
    {
        let mut backoff = Backoff::default();
        loop {
            let link = self.link().await?;
            let attempt = async {
                let channel = link.open_channel().await?;
                operation(channel).await
            };
            match self
                .patiently("answer", link.while_connected(attempt))
                .await
            {
                Ok(done) => return Ok((link, done)),
                Err(error) if explain::is_refusal(&error) => {
                    return Err(explain::refused(&self.address, &error));
                }
                Err(error) => tracing::debug!("trying again after: {error}"),
            }
            backoff.pause().await;
        }
    }

    /// Signs a message body, with a key.
    fn add_signature(&self, headers: &mut FieldTable, purpose: Purpose, body: &[u8]) {
        if let Some(key) = &self.signing_key {
            let signature = AMQPValue::LongString(key.sign(purpose, body).into());
            headers.insert(SIGNATURE.into(), signature);
        }
    }

    /// Puts bytes that are no message of ours where an administrator can look at them.
    async fn dead_letter(
        &self,
        payload: &[u8],
        from: &str,
        reason: &str,
    ) -> Result<(), TransportError> {
        tracing::error!(
            "a message on {from} was moved to {}: {reason}",
            self.topology.dead
        );
        let mut headers = FieldTable::default();
        headers.insert("x-reason".into(), AMQPValue::LongString(reason.into()));
        headers.insert("x-from".into(), AMQPValue::LongString(from.into()));
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_headers(headers);
        self.publish(&Outgoing {
            exchange: "",
            routing_key: &self.topology.dead,
            mandatory: false,
            properties,
            payload,
        })
        .await?;
        self.dead_lettered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl Transport for RabbitTransport {
    async fn publish_task(&self, task: &Task, trace: &TraceContext) -> Result<(), TransportError> {
        let Shared { topology, .. } = &*self.shared;
        let payload = encode(task);
        let mut headers = trace_header(trace);
        self.shared
            .add_signature(&mut headers, Purpose::Task, &payload);
        let message = Outgoing {
            exchange: "",
            routing_key: &topology.tasks,
            mandatory: true,
            properties: persistent(headers),
            payload: &payload,
        };
        if self.shared.publish(&message).await? == Routing::Returned {
            // Somebody deleted the queue under us. Once is worth a second try,
            // after the broker has told everybody who consumed from it.
            tokio::time::sleep(REDECLARE).await;
            let link = self.shared.link().await?;
            self.shared.declare_again(&link).await;
            if self.shared.publish(&message).await? == Routing::Returned {
                return Err(TransportError::Unroutable {
                    destination: self.task_queue(),
                });
            }
        }
        Ok(())
    }

    async fn publish_event(
        &self,
        event: &Event,
        trace: &TraceContext,
    ) -> Result<(), TransportError> {
        let Shared {
            topology, address, ..
        } = &*self.shared;
        let run = event.work.run;
        let (payload, routing_key) = (encode(event), run.to_string());
        let message = Outgoing {
            exchange: &topology.events,
            routing_key: &routing_key,
            mandatory: true,
            properties: persistent(trace_header(trace)),
            payload: &payload,
        };
        match self.shared.publish(&message).await? {
            Routing::Returned => Err(TransportError::Unroutable {
                destination: format!("queue {} on {address}", topology.run_queue(run)),
            }),
            Routing::Queued | Routing::Refused => Ok(()),
        }
    }

    async fn publish_control(&self, control: &Control) -> Result<(), TransportError> {
        let payload = encode(control);
        let mut headers = FieldTable::default();
        self.shared
            .add_signature(&mut headers, Purpose::Control, &payload);
        let message = Outgoing {
            exchange: &self.shared.topology.control,
            routing_key: "",
            mandatory: false,
            properties: json().with_headers(headers),
            payload: &payload,
        };
        self.shared.publish(&message).await.map(drop)
    }

    async fn publish_heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), TransportError> {
        let _publishing = self.shared.publishing.read().await;
        // Not repeated: once the broker is back, a newer one says more.
        let Some(link) = self.shared.link.borrow().clone() else {
            return Err(TransportError::Broker {
                message: format!("not connected to the broker at {}", self.shared.address),
            });
        };
        let payload = encode(heartbeat);
        let message = Outgoing {
            exchange: &self.shared.topology.presence,
            routing_key: "worker",
            mandatory: false,
            properties: json(),
            payload: &payload,
        };
        link.publish(&message)
            .await
            .map(drop)
            .map_err(|error| explain::refused(&self.shared.address, &error))
    }

    async fn consume_tasks(&self, prefetch: u16) -> Result<Deliveries<Task>, TransportError> {
        tasks::consume(&self.shared, prefetch).await
    }

    async fn consume_events(&self, run: RunId) -> Result<Deliveries<Event>, TransportError> {
        events::consume(&self.shared, run).await
    }

    async fn consume_control(
        &self,
        _worker: &WorkerId,
    ) -> Result<Messages<Control>, TransportError> {
        broadcast::consume(
            &self.shared,
            self.shared.topology.control.clone(),
            Some(Purpose::Control),
        )
        .await
    }

    async fn consume_heartbeats(&self) -> Result<Messages<Heartbeat>, TransportError> {
        broadcast::consume(&self.shared, self.shared.topology.presence.clone(), None).await
    }

    async fn forget_run(&self, run: RunId) -> Result<(), TransportError> {
        let queue = self.shared.topology.run_queue(run);
        let queue = queue.as_str();
        let delete = |channel: lapin::Channel| async move {
            channel
                .queue_delete(queue.into(), QueueDeleteOptions::default())
                .await
        };
        self.shared.on_channel(delete).await.map(drop)
    }

    fn task_queue(&self) -> String {
        format!(
            "queue {} on {}",
            self.shared.topology.tasks, self.shared.address
        )
    }

    fn health(&self) -> Health {
        let Shared {
            link,
            reconnects,
            dead_lettered,
            ..
        } = &*self.shared;
        let connected = link
            .borrow()
            .as_ref()
            .is_some_and(|link| !link.broken().is_cancelled());
        Health {
            connected,
            reconnects: reconnects.load(Ordering::Relaxed),
            dead_lettered: dead_lettered.load(Ordering::Relaxed),
        }
    }

    async fn close(&self) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.shared.publishing.write())
            .await
            .is_err()
        {
            tracing::warn!(
                "gave up on messages that the broker at {} did not confirm within {} s",
                self.shared.address,
                CLOSE_TIMEOUT.as_secs()
            );
        }
        // The supervisor ends the connection; wait until it has.
        let link = self.shared.link.borrow().clone();
        self.shared.closing.cancel();
        if let Some(link) = link {
            link.broken().cancelled().await;
        }
    }
}

fn json() -> BasicProperties {
    BasicProperties::default().with_content_type("application/json".into())
}

fn persistent(headers: FieldTable) -> BasicProperties {
    json().with_delivery_mode(PERSISTENT).with_headers(headers)
}

fn trace_header(trace: &TraceContext) -> FieldTable {
    let mut headers = FieldTable::default();
    let spans = [
        (TRACEPARENT, &trace.traceparent),
        (PREVIOUS_TRACEPARENT, &trace.previous),
    ];
    for (name, span) in spans {
        if let Some(span) = span {
            headers.insert(name.into(), AMQPValue::LongString(span.as_str().into()));
        }
    }
    headers
}

/// Pauses between tries: doubling, and scattered so that a fleet does not come back in step.
#[derive(Debug, Default)]
struct Backoff {
    tries: u32,
}

impl Backoff {
    async fn pause(&mut self) {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << self.tries.min(16))
            .min(LONGEST_PAUSE);
        self.tries += 1;
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }
}

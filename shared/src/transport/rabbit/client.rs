//! The client of the broker: keeps one [`Link`], and repeats operations on the next one.
//!
//! A supervisor replaces a broken link, with backoff, until the transport is closed. Publishes wait
//! for the new link and are repeated. So a message may arrive twice, and none is lost: a publish
//! returns only after the broker's confirm.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lapin::BasicProperties;
use lapin::types::FieldTable;
use tokio::sync::{RwLock, watch};
use tokio_util::sync::CancellationToken;

use super::broker_error::{connect_error, is_refusal, refusal};
use super::headers;
use super::link::{Link, Outgoing, Routing};
use super::options::{Address, RabbitOptions};
use super::topology::Topology;
use crate::signing::{Purpose, SigningKey};
use crate::transport::{Health, TransportError};

/// Bytes of the longest reason that is put into the header of a dead letter.
const LONGEST_REASON: usize = 256;

/// The first pause before another try; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long [`Client::close`] waits for publishes that are not yet confirmed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the broker may take to answer before a warning is logged.
const SLOW_ANSWER: Duration = Duration::from_secs(20);

/// AMQP's delivery mode of a message that survives a restart of the broker.
pub(super) const PERSISTENT: u8 = 2;

/// The state that the transport, the supervisor and the consumers share.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: Address,
    pub(super) topology: Topology,
    /// The current link. `None` while there is no connection.
    link: watch::Sender<Option<Arc<Link>>>,
    pub(super) signing_key: Option<SigningKey>,
    reconnects: AtomicU64,
    dead_lettered: AtomicU64,
    /// Locked for reading by every publish, so that closing can wait for all of them.
    publishing: RwLock<()>,
    /// Triggered when the transport is being closed. Then the supervisor ends the connection.
    pub(super) closing: CancellationToken,
}

impl Client {
    /// Connects, logs in, declares the queues and exchanges, and spawns the supervisor.
    pub(super) async fn connect(options: RabbitOptions) -> Result<Arc<Self>, TransportError> {
        let address = Address::resolve(&options)?;
        let topology = Topology::new(&options.prefix);
        let link = Link::establish(&address, &topology)
            .await
            .map_err(|error| connect_error(&address, &error))?;
        let link = Arc::new(link);
        let client = Arc::new(Self {
            address,
            topology,
            link: watch::Sender::new(Some(Arc::clone(&link))),
            signing_key: options.signing_key,
            reconnects: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
            publishing: RwLock::new(()),
            closing: CancellationToken::new(),
        });
        tokio::spawn(Arc::clone(&client).supervise(link));
        Ok(client)
    }

    pub(super) fn health(&self) -> Health {
        Health {
            connected: self
                .link
                .borrow()
                .as_ref()
                .is_some_and(|link| !link.broken.is_cancelled()),
            reconnects: self.reconnects.load(Ordering::Relaxed),
            dead_lettered: self.dead_lettered.load(Ordering::Relaxed),
        }
    }

    /// Replaces the link whenever it breaks, until the transport is closed.
    async fn supervise(self: Arc<Self>, mut link: Arc<Link>) {
        loop {
            let reason = tokio::select! {
                () = self.closing.cancelled() => {
                    self.link.send_replace(None);
                    link.close().await;
                    return;
                }
                reason = link.wait_until_lost(&self.address) => reason,
            };
            let since = Instant::now();
            self.link.send_replace(None);
            link.broken.cancel();
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
                    Err(error) => {
                        tracing::warn!("{}; trying again", connect_error(&self.address, &error))
                    }
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
    pub(super) async fn link(&self) -> Result<Arc<Link>, TransportError> {
        let mut link = self.link.subscribe();
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(TransportError::Closed),
            found = link.wait_for(|link| link.as_ref().is_some_and(|link| !link.broken.is_cancelled())) => {
                let found = found.map_err(|_| TransportError::Closed)?;
                found.clone().ok_or(TransportError::Closed)
            }
        }
    }

    /// Publishes until the broker has confirmed it, over as many links as it takes.
    pub(super) async fn publish(&self, message: &Outgoing<'_>) -> Result<Routing, TransportError> {
        let _publishing = self.publishing.read().await;
        let mut backoff = Backoff::default();
        loop {
            let link = self.link().await?;
            match self
                .warn_when_slow("confirm a message", link.publish(message))
                .await
            {
                Ok(Routing::Refused) => {
                    tracing::warn!(
                        "the broker at {} could not store a message; trying again",
                        self.address
                    );
                }
                Ok(routing) => return Ok(routing),
                Err(error) if is_refusal(&error) => return Err(refusal(&self.address, &error)),
                Err(error) => {
                    tracing::debug!("publishing again after: {error}");
                    if !link.broken.is_cancelled() {
                        self.declare_again(&link).await;
                    }
                }
            }
            backoff.pause().await;
        }
    }

    /// Publishes once, and only if there is a connection now.
    pub(super) async fn publish_once(&self, message: &Outgoing<'_>) -> Result<(), TransportError> {
        let _publishing = self.publishing.read().await;
        let Some(link) = self.link.borrow().clone() else {
            let address = &self.address;
            return Err(TransportError::Broker(format!(
                "not connected to the broker at {address}"
            )));
        };
        let published = link.publish(message).await.map(drop);
        published.map_err(|error| refusal(&self.address, &error))
    }

    /// Runs `operation` and logs a warning in intervals while it takes long: a broker that is
    /// connected and does not answer lacks memory or disk, or has a queue without a leader.
    async fn warn_when_slow<T>(&self, what: &str, operation: impl Future<Output = T>) -> T {
        let mut operation = std::pin::pin!(operation);
        let since = Instant::now();
        loop {
            match tokio::time::timeout(SLOW_ANSWER, operation.as_mut()).await {
                Ok(done) => return done,
                Err(_) => tracing::warn!(
                    "the broker at {} is connected and does not {what} for {} s: look for alarms (`rabbitmq-diagnostics alarms`) and for queues without a leader in its log",
                    self.address,
                    since.elapsed().as_secs()
                ),
            }
        }
    }

    /// Declares queues and exchanges that may have been deleted during the connection.
    pub(super) async fn declare_again(&self, link: &Link) {
        let declared = async {
            let channel = link.open_channel().await?;
            self.topology.declare(&channel).await
        };
        if let Err(error) = link.while_connected(declared).await {
            tracing::debug!("declaring queues and exchanges again: {error}");
        }
    }

    /// Runs `operation` on a new channel until it succeeds, over as many links as it takes.
    pub(super) async fn on_channel<T, F>(
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
                .warn_when_slow("answer", link.while_connected(attempt))
                .await
            {
                Ok(done) => return Ok((link, done)),
                Err(error) if is_refusal(&error) => return Err(refusal(&self.address, &error)),
                Err(error) => tracing::debug!("trying again after: {error}"),
            }
            backoff.pause().await;
        }
    }

    /// Adds the signature of a message body, if this process has a key.
    pub(super) fn sign(&self, headers: &mut FieldTable, purpose: Purpose, body: &[u8]) {
        if let Some(key) = &self.signing_key {
            headers::insert(headers, headers::SIGNATURE, &key.sign(purpose, body));
        }
    }

    /// Moves the bytes of a message from `from` to the dead-letter queue, for an administrator.
    pub(super) async fn dead_letter(
        &self,
        payload: &[u8],
        from: &str,
        reason: &str,
    ) -> Result<(), TransportError> {
        let reason = shortened(reason);
        tracing::error!(
            "a message on {from} was moved to {}: {reason}",
            self.topology.dead
        );
        let mut headers = FieldTable::default();
        headers::insert(&mut headers, "x-reason", &reason);
        headers::insert(&mut headers, "x-from", from);
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

    /// Ends the connection after the publishes in progress are confirmed.
    pub(super) async fn close(&self) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.publishing.write())
            .await
            .is_err()
        {
            tracing::warn!(
                "gave up on messages that the broker at {} did not confirm within {} s",
                self.address,
                CLOSE_TIMEOUT.as_secs()
            );
        }
        let link = self.link.borrow().clone();
        self.closing.cancel();
        if let Some(link) = link {
            // The supervisor breaks the link when it has closed the connection.
            link.broken.cancelled().await;
        }
    }
}

/// Pauses between tries. They double, and are randomised so that the workers of a fleet do not
/// reconnect at the same moment.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    pub(super) async fn pause(&mut self) {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << self.tries.min(16))
            .min(LONGEST_PAUSE);
        self.tries += 1;
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }
}

/// A reason may quote the message, and headers that do not fit into one frame close the channel.
fn shortened(reason: &str) -> Cow<'_, str> {
    match reason.char_indices().find(|(at, _)| *at >= LONGEST_REASON) {
        Some((end, _)) => format!("{}…", &reason[..end]).into(),
        None => reason.into(),
    }
}

//! The client of the broker: keeps one [`Link`], and repeats operations on the next one.
//!
//! A supervisor replaces a broken link, with backoff, until the transport is closed. Publishes wait
//! for the new link and are repeated. So a message may arrive twice, and none is lost: a publish
//! returns only after the broker's confirm.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lapin::BasicProperties;
use lapin::types::FieldTable;
use tokio::sync::{RwLock, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::broker_error::{connect_error, is_refusal, publish_refusal, refusal};
use super::headers;
use super::link::{Link, Outgoing, Routing};
use super::options::{Address, RabbitOptions};
use super::topology::Topology;
use crate::bounds::shortened;
use crate::envelope::{Message, encode};
use crate::ids::RunId;
use crate::transport::{Health, TransportError, lock};
use crate::verification::Verifier;

/// Bytes of the longest reason that is put into the header of a dead letter.
const LONGEST_REASON: usize = 256;

/// The first pause before another try; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long [`Client::close`] waits for publishes that are not yet confirmed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the supervisor waits for the consumers to end before it ends the connection.
const CONSUMERS_END: Duration = Duration::from_secs(2);

/// How long the broker may take to answer before a warning is logged.
const SLOW_ANSWER: Duration = Duration::from_secs(20);

/// How many dead letters are logged in [`LOG_WINDOW`], each in a line of its own.
const LOGGED_DEAD_LETTERS: u32 = 20;

const LOG_WINDOW: Duration = Duration::from_secs(60);

/// AMQP's delivery mode of a message that survives a restart of the broker.
pub(super) const PERSISTENT: u8 = 2;

/// The state that the transport, the supervisor and the consumers share.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: Address,
    pub(super) topology: Topology,
    /// The current link. `None` while there is no connection.
    link: watch::Sender<Option<Arc<Link>>>,
    pub(super) verifier: Verifier,
    /// Bytes of the largest message that this process publishes.
    pub(super) max_message_size: usize,
    /// See [`RabbitOptions::patience`].
    patience: Option<Duration>,
    /// Runs whose event queues this process has deleted.
    pub(super) forgotten: Mutex<BTreeSet<RunId>>,
    dead_letter_log: Mutex<LogBudget>,
    reconnects: AtomicU64,
    dead_lettered: AtomicU64,
    /// Locked for reading by every publish, so that closing can wait for all of them.
    publishing: RwLock<()>,
    /// The tasks that receive messages. They end before the connection does.
    pub(super) consumers: TaskTracker,
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
            verifier: Verifier::new(options.signing_key, options.signing_max_age),
            max_message_size: options.max_message_size,
            patience: options.patience,
            forgotten: Mutex::default(),
            dead_letter_log: Mutex::default(),
            reconnects: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
            publishing: RwLock::new(()),
            consumers: TaskTracker::new(),
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
                    self.consumers.close();
                    if tokio::time::timeout(CONSUMERS_END, self.consumers.wait()).await.is_err() {
                        tracing::debug!("the consumers did not end in time");
                    }
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
        self.check_size(message)?;
        self.within_patience(&format!("confirm {}", message.what), async {
            let _publishing = self.publishing.read().await;
            self.publish_over_links(message).await
        })
        .await
    }

    /// Refuses a message that is larger than the limit of this process.
    fn check_size(&self, message: &Outgoing<'_>) -> Result<(), TransportError> {
        let (size, limit) = (message.payload.len(), self.max_message_size);
        if size <= limit {
            return Ok(());
        }
        Err(TransportError::TooLarge(format!(
            "{} of {size} bytes exceeds max_message_size under [broker], which is {limit} bytes: raise it, and that of the broker if it is less",
            message.what
        )))
    }

    async fn publish_over_links(&self, message: &Outgoing<'_>) -> Result<Routing, TransportError> {
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
                Err(error) if is_refusal(&error) => {
                    let size = message.payload.len();
                    return Err(publish_refusal(&self.address, &error, message.what, size));
                }
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
        self.check_size(message)?;
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

    /// The result of `operation`, or an error that names the broker's reason once the patience of
    /// this process has ended.
    async fn within_patience<T>(
        &self,
        what: &str,
        operation: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let Some(patience) = self.patience else {
            return operation.await;
        };
        if let Ok(done) = tokio::time::timeout(patience, operation).await {
            return done;
        }
        let (address, seconds) = (&self.address, patience.as_secs());
        let link = self.link.borrow().clone();
        let reason = match link.map(|link| link.blocked()) {
            None => "there is no connection to it".to_owned(),
            Some(None) => "look for alarms (`rabbitmq-diagnostics alarms`) and for queues without a leader in its log".to_owned(),
            Some(Some(reason)) => format!(
                "it has stopped accepting messages ({reason}): `rabbitmq-diagnostics alarms` shows the alarm; free memory or disk there and repeat the command"
            ),
        };
        Err(TransportError::Broker(format!(
            "the broker at {address} did not {what} within {seconds} s: {reason}"
        )))
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
        self.within_patience("answer", async {
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
        })
        .await
    }

    /// The encoded message. Its signature is added to `headers`, if this process has a key.
    pub(super) fn seal<T: Message>(&self, message: &T, headers: &mut FieldTable) -> Vec<u8> {
        let encoded = encode(message);
        if let Some(signature) = self.verifier.sign(T::KIND, &encoded) {
            headers::insert(headers, headers::SIGNATURE, &signature);
        }
        encoded
    }

    /// Moves the bytes of a message from `from` to the dead-letter queue, for an administrator.
    pub(super) async fn dead_letter(
        &self,
        payload: &[u8],
        from: &str,
        reason: &str,
    ) -> Result<(), TransportError> {
        // A reason may quote the message, and headers that do not fit into one frame close the
        // channel.
        let short = shortened(reason, LONGEST_REASON);
        let reason = short.as_deref().unwrap_or(reason);
        let logged = lock(&self.dead_letter_log).take(Instant::now());
        if let Some(skipped) = logged {
            let skipped = match skipped {
                0 => String::new(),
                _ => format!(" (and {skipped} more before it)"),
            };
            tracing::error!(
                "a message on {from} was moved to {}: {reason}{skipped}",
                self.topology.dead
            );
        }
        let mut headers = FieldTable::default();
        headers::insert(&mut headers, "x-reason", reason);
        headers::insert(&mut headers, "x-from", from);
        let size = payload.len();
        let kept = &payload[..size.min(self.max_message_size)];
        if kept.len() < size {
            // The broker may refuse the whole of it, and then it would be delivered for ever.
            headers::insert(&mut headers, "x-cut-from-bytes", &size.to_string());
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_headers(headers);
        self.publish(&Outgoing {
            what: "a dead letter",
            exchange: "",
            routing_key: &self.topology.dead,
            mandatory: false,
            properties,
            payload: kept,
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

/// Limits the lines that are logged about dead letters: a hostile sender must not fill the log.
#[derive(Debug, Default)]
struct LogBudget {
    window: Option<Instant>,
    used: u32,
    skipped: u64,
}

impl LogBudget {
    /// Whether a line is logged at `now`: the number of lines that were left out before it.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let is_over = |begin| now.duration_since(begin) >= LOG_WINDOW;
        if self.window.is_none_or(is_over) {
            self.window = Some(now);
            self.used = 0;
        }
        if self.used >= LOGGED_DEAD_LETTERS {
            self.skipped += 1;
            return None;
        }
        self.used += 1;
        Some(std::mem::take(&mut self.skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_dead_letters_is_logged_in_a_few_lines() {
        let (mut budget, begin) = (LogBudget::default(), Instant::now());
        let logged = (0..10_000).filter_map(|_| budget.take(begin)).count();
        assert_eq!(logged, LOGGED_DEAD_LETTERS as usize);
        let skipped = budget.take(begin + LOG_WINDOW);
        assert_eq!(skipped, Some(10_000 - u64::from(LOGGED_DEAD_LETTERS)));
        assert_eq!(budget.take(begin + LOG_WINDOW), Some(0));
    }
}

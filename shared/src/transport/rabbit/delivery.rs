//! A delivery of the broker, from its arrival to its acknowledgement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use lapin::Acker;
use lapin::message::Delivery as AmqpDelivery;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::headers;
use super::link::Link;
use crate::envelope::{IssueTime, Message};
use crate::transport::{Acknowledge, Delivery, Ownership, TraceContext, TransportError};

/// Acknowledges one delivery, and reports when its receiver has dropped it.
#[derive(Debug)]
struct Acknowledger {
    acker: Acker,
    broken: CancellationToken,
    answered: AtomicBool,
    dropped: DroppedSender,
}

/// Receives, exactly once of each delivery, that its receiver has dropped it: its acker if it was
/// not answered before, so that the consumer must requeue it. The channel needs no bound, because
/// the broker's prefetch limits the number of deliveries.
pub(super) type DroppedSender = mpsc::UnboundedSender<Option<Acker>>;

/// A delivery of `link` with its decoded message, for its receiver.
pub(super) fn deliver<T>(
    (message, trace): (T, TraceContext),
    delivery: AmqpDelivery,
    link: &Link,
    dropped: &DroppedSender,
) -> Delivery<T> {
    let acknowledger = Acknowledger {
        acker: delivery.acker,
        broken: link.broken.clone(),
        answered: AtomicBool::new(false),
        dropped: dropped.clone(),
    };
    Delivery::new(message, trace, delivery.redelivered, Arc::new(acknowledger))
}

impl Acknowledger {
    async fn answer(&self, answer: impl Future<Output = lapin::Result<bool>>) -> Ownership {
        self.answered.store(true, Ordering::Release);
        tokio::select! {
            biased;
            () = self.broken.cancelled() => Ownership::Lost,
            sent = answer => match sent {
                Ok(true) => Ownership::Owned,
                // lapin returns false, not an error, when the delivery was answered before or its
                // channel is closed.
                Ok(false) => Ownership::Lost,
                Err(error) => {
                    tracing::debug!("a delivery could not be answered: {error}");
                    Ownership::Lost
                }
            },
        }
    }
}

#[async_trait]
impl Acknowledge for Acknowledger {
    async fn ack(&self) -> Ownership {
        self.answer(self.acker.ack(BasicAckOptions::default()))
            .await
    }

    async fn requeue(&self) -> Ownership {
        self.answer(requeue(&self.acker)).await
    }

    fn is_current(&self) -> bool {
        self.acker.usable() && !self.broken.is_cancelled()
    }
}

impl Drop for Acknowledger {
    fn drop(&mut self) {
        let is_answered = self.answered.load(Ordering::Acquire);
        let dropped = (!is_answered).then(|| self.acker.clone());
        // The consumer may have ended, and its channel with it: the broker requeues the delivery.
        self.dropped.send(dropped).ok();
    }
}

pub(super) async fn requeue(acker: &Acker) -> lapin::Result<bool> {
    acker
        .nack(BasicNackOptions {
            requeue: true,
            ..BasicNackOptions::default()
        })
        .await
}

/// Decodes and verifies the message of a delivery from the queue or exchange `from`. A delivery that
/// may not be acted upon is moved to the dead-letter queue and acknowledged: `None`.
pub(super) async fn accept<T: Message>(
    client: &Client,
    from: &str,
    delivery: &AmqpDelivery,
) -> Result<Option<(T, TraceContext)>, TransportError> {
    let signature = headers::text(&delivery.properties, headers::SIGNATURE);
    let accepted = client
        .verifier
        .accept(&delivery.data, signature.as_deref(), IssueTime::now());
    match accepted {
        Ok(message) => Ok(Some((message, headers::trace(&delivery.properties)))),
        Err(reason) => {
            reject(client, from, delivery, &reason.to_string()).await?;
            Ok(None)
        }
    }
}

/// Moves the message of a delivery to the dead-letter queue and acknowledges the delivery.
pub(super) async fn reject(
    client: &Client,
    from: &str,
    delivery: &AmqpDelivery,
    reason: &str,
) -> Result<(), TransportError> {
    client.dead_letter(&delivery.data, from, reason).await?;
    if let Err(error) = delivery.acker.ack(BasicAckOptions::default()).await {
        tracing::debug!("a dead-lettered delivery could not be acknowledged: {error}");
    }
    Ok(())
}

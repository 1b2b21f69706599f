//! A delivery of the broker between its arrival and its answer.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::AMQPValue;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{PREVIOUS_TRACEPARENT, SIGNATURE, Shared, TRACEPARENT, TransportError};
use crate::message::decode;
use crate::signing::Purpose;
use crate::transport::{Acknowledge, Ownership, TraceContext};

/// Answers for one delivery, and reports when nobody holds it any more.
#[derive(Debug)]
pub(super) struct Held {
    acker: Acker,
    broken: CancellationToken,
    answered: AtomicBool,
    released: mpsc::UnboundedSender<Released>,
}

/// Nobody holds a delivery any more.
#[derive(Debug)]
pub(super) enum Released {
    /// It was answered.
    Answered,
    /// It was not, and should go back into its queue.
    Unanswered(Acker),
}

impl Held {
    /// `released` hears of the end exactly once. It needs no bound: the
    /// broker's prefetch limits how many deliveries are out.
    pub(super) fn new(
        acker: Acker,
        broken: CancellationToken,
        released: mpsc::UnboundedSender<Released>,
    ) -> Self {
        Self {
            acker,
            broken,
            answered: AtomicBool::new(false),
            released,
        }
    }

    async fn answer(&self, answer: impl Future<Output = lapin::Result<bool>>) -> Ownership {
        self.answered.store(true, Ordering::Release);
        tokio::select! {
            biased;
            () = self.broken.cancelled() => Ownership::Lost,
            sent = answer => match sent {
                Ok(true) => Ownership::Held,
                // Already answered, or its channel is gone: the library says so without an error.
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
impl Acknowledge for Held {
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

impl Drop for Held {
    fn drop(&mut self) {
        let released = if self.answered.load(Ordering::Acquire) {
            Released::Answered
        } else {
            Released::Unanswered(self.acker.clone())
        };
        // An error says that the consumer is gone, and with it the channel:
        // the broker takes the delivery back by itself.
        self.released.send(released).ok();
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

/// The message of a delivery. What is none of ours, or is not signed where a
/// signature of this purpose is demanded, is dead-lettered and answered: `None`.
pub(super) async fn message<T: DeserializeOwned>(
    shared: &Shared,
    from: &str,
    delivery: &lapin::message::Delivery,
    purpose: Option<Purpose>,
) -> Result<Option<(T, TraceContext)>, TransportError> {
    let accepted = match check_signature(shared, delivery, purpose) {
        Ok(()) => decode(&delivery.data).map_err(|error| error.to_string()),
        Err(reason) => Err(reason.to_owned()),
    };
    match accepted {
        Ok(message) => Ok(Some((message, trace(delivery)))),
        Err(reason) => {
            shared.dead_letter(&delivery.data, from, &reason).await?;
            if let Err(error) = delivery.acker.ack(BasicAckOptions::default()).await {
                tracing::debug!("a dead-lettered delivery could not be acknowledged: {error}");
            }
            Ok(None)
        }
    }
}

/// Whether the delivery may be acted on. Without a key everything may.
fn check_signature(
    shared: &Shared,
    delivery: &lapin::message::Delivery,
    purpose: Option<Purpose>,
) -> Result<(), &'static str> {
    let (Some(key), Some(purpose)) = (&shared.signing_key, purpose) else {
        return Ok(());
    };
    let signature = header(delivery, SIGNATURE)
        .ok_or("it is not signed, and this process has a signing key")?;
    if key.verify(purpose, &delivery.data, &signature) {
        Ok(())
    } else {
        Err("its signature is wrong: it was signed with another key, or changed")
    }
}

fn trace(delivery: &lapin::message::Delivery) -> TraceContext {
    TraceContext {
        traceparent: header(delivery, TRACEPARENT),
        previous: header(delivery, PREVIOUS_TRACEPARENT),
    }
}

fn header(delivery: &lapin::message::Delivery, name: &str) -> Option<String> {
    let headers = delivery.properties.headers().as_ref()?;
    match headers.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

//! Receives control messages and heartbeats, which every subscriber gets.
//!
//! The queue of a subscriber lives as long as its connection. Messages that are published during
//! an interruption are lost, so no receiver may depend on seeing every message.

use std::sync::Arc;

use lapin::options::BasicAckOptions;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::client::Client;
use super::delivery::accept;
use super::subscription::{Source, Subscription, Subscriptions};
use crate::envelope::Message;
use crate::transport::{Messages, PREFETCH, TransportError};

pub(super) async fn consume<T: Message + Send + 'static>(
    client: &Arc<Client>,
    exchange: &str,
) -> Result<Messages<T>, TransportError> {
    let (out, messages) = mpsc::channel(PREFETCH.into());
    let source = Source::Exchange(exchange.to_owned());
    let mut subscriptions = Subscriptions::open(client, source).await?;
    let (client, exchange) = (Arc::clone(client), exchange.to_owned());
    // Ends when the receiver is dropped or the transport is closed.
    let consumers = client.consumers.clone();
    consumers.spawn(async move {
        while !out.is_closed() && !client.closing.is_cancelled() {
            let next = tokio::select! {
                () = out.closed() => return,
                next = subscriptions.next() => next,
            };
            let Some(mut subscription) = next else { return };
            forward(&client, &exchange, &out, &mut subscription).await;
            subscription.end().await;
        }
    });
    Ok(Box::pin(ReceiverStream::new(messages)))
}

/// Forwards messages until the subscription ends or the receiver is dropped.
async fn forward<T: Message>(
    client: &Client,
    exchange: &str,
    out: &mpsc::Sender<T>,
    subscription: &mut Subscription,
) {
    loop {
        let next = tokio::select! {
            () = out.closed() => return,
            next = subscription.next(client) => next,
        };
        let Ok(delivery) = next else { return };
        match accept::<T>(client, exchange, &delivery).await {
            Ok(Some((message, _trace))) => {
                if out.send(message).await.is_err() {
                    return;
                }
                let ack = delivery.acker.ack(BasicAckOptions::default());
                if let Err(error) = subscription.link.while_connected(ack).await {
                    tracing::debug!("a message on {exchange} was not acknowledged: {error}");
                    return;
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(
                    "a message on {exchange} that cannot be decoded was not moved to the dead-letter queue: {error}"
                );
                return;
            }
        }
    }
}

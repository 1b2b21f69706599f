//! Receives what is sent to everybody: control messages and heartbeats.
//!
//! The queue lives as long as the connection. What is sent during a cut is
//! missed, so nobody may depend on seeing every message.

use std::sync::Arc;

use futures::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::held::message;
use super::link::Link;
use super::{Backoff, Shared};
use crate::signing::Purpose;
use crate::transport::{Messages, TransportError};

/// Messages on their way to one receiver.
const PREFETCH: u16 = 256;

pub(super) async fn consume<T: DeserializeOwned + Send + 'static>(
    shared: &Arc<Shared>,
    exchange: String,
    purpose: Option<Purpose>,
) -> Result<Messages<T>, TransportError> {
    let (out, messages) = mpsc::channel(PREFETCH.into());
    let first = subscribe(shared, &exchange).await?;
    tokio::spawn(pump(Arc::clone(shared), exchange, purpose, out, first));
    Ok(Box::pin(ReceiverStream::new(messages)))
}

type Subscription = (Arc<Link>, (Channel, Consumer));

async fn subscribe(shared: &Shared, exchange: &str) -> Result<Subscription, TransportError> {
    shared
        .on_channel(|channel| async move {
            shared.topology.declare(&channel).await?;
            let queue = shared.topology.declare_listener(&channel, exchange).await?;
            channel
                .basic_qos(PREFETCH, BasicQosOptions::default())
                .await?;
            let consumer = channel
                .basic_consume(
                    queue.as_str().into(),
                    "".into(),
                    BasicConsumeOptions::default(),
                    FieldTable::default(),
                )
                .await?;
            Ok((channel, consumer))
        })
        .await
}

/// Forwards messages, over as many links as it takes. Ends when nobody listens
/// any more or the transport is closed.
async fn pump<T: DeserializeOwned>(
    shared: Arc<Shared>,
    exchange: String,
    purpose: Option<Purpose>,
    out: mpsc::Sender<T>,
    first: Subscription,
) {
    let mut next = Some(first);
    let mut backoff = Backoff::default();
    loop {
        let (link, (_channel, consumer)) = match next.take() {
            Some(subscription) => subscription,
            None => match tokio::select! {
                () = out.closed() => return,
                subscription = subscribe(&shared, &exchange) => subscription,
            } {
                Ok(subscription) => subscription,
                Err(TransportError::Closed) => return,
                Err(error) => {
                    tracing::warn!("listening on {exchange}: {error}; trying again");
                    backoff.pause().await;
                    continue;
                }
            },
        };
        forward(&shared, &exchange, purpose, &out, &link, consumer).await;
        if out.is_closed() || shared.closing.is_cancelled() {
            return;
        }
        if !link.broken().is_cancelled() {
            backoff.pause().await;
        }
    }
}

/// Forwards until the consumer ends or nobody listens.
async fn forward<T: DeserializeOwned>(
    shared: &Shared,
    exchange: &str,
    purpose: Option<Purpose>,
    out: &mpsc::Sender<T>,
    link: &Link,
    mut consumer: Consumer,
) {
    loop {
        let delivery = tokio::select! {
            () = out.closed() => return,
            () = link.broken().cancelled() => return,
            delivery = consumer.next() => match delivery {
                Some(Ok(delivery)) => delivery,
                Some(Err(error)) => {
                    tracing::debug!("listening on {exchange}: {error}");
                    return;
                }
                None => return,
            },
        };
        match message::<T>(shared, exchange, &delivery, purpose).await {
            Ok(Some((message, _trace))) => {
                if out.send(message).await.is_err() {
                    return;
                }
                if let Err(error) = link
                    .while_connected(delivery.acker.ack(BasicAckOptions::default()))
                    .await
                {
                    tracing::debug!("listening on {exchange}: {error}");
                    return;
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!("an unreadable message on {exchange}: {error}");
                return;
            }
        }
    }
}

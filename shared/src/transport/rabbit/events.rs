//! Receives the events of one run.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::client::Client;
use super::delivery::{accept, deliver, reject, requeue};
use super::subscription::{Source, Subscription, Subscriptions};
use crate::ids::RunId;
use crate::message::Event;
use crate::transport::{Deliveries, Delivery, TransportError, lock};

pub(super) async fn consume(
    client: &Arc<Client>,
    run: RunId,
) -> Result<Deliveries<Event>, TransportError> {
    let (out, deliveries) = mpsc::channel(1);
    let mut subscriptions = Subscriptions::open(client, Source::Run(run)).await?;
    let client = Arc::clone(client);
    // Ends when the receiver is dropped, the transport is closed or this process forgets the run.
    // If the queue is deleted otherwise, it is declared again.
    let consumers = client.consumers.clone();
    consumers.spawn(async move {
        loop {
            let next = tokio::select! {
                () = out.closed() => return,
                next = subscriptions.next() => next,
            };
            let Some(mut subscription) = next else { return };
            let another = forward(&client, run, &out, &mut subscription).await;
            subscription.end().await;
            if !another {
                return;
            }
        }
    });
    Ok(Box::pin(ReceiverStream::new(deliveries)))
}

/// Forwards events until the subscription ends. Returns whether another one is needed.
async fn forward(
    client: &Client,
    run: RunId,
    out: &mpsc::Sender<Delivery<Event>>,
    subscription: &mut Subscription,
) -> bool {
    let queue = client.topology.run_queue(run);
    let (dropped_in, mut dropped) = mpsc::unbounded_channel();
    loop {
        let delivery = tokio::select! {
            () = out.closed() => return false,
            Some(end) = dropped.recv() => {
                if let Some(acker) = end
                    && let Err(error) = subscription.link.while_connected(requeue(&acker)).await
                {
                    tracing::debug!("an event could not be requeued: {error}");
                }
                continue;
            }
            next = subscription.next(client) => match next {
                Ok(delivery) => delivery,
                Err(_) => return !lock(&client.forgotten).contains(&run),
            },
        };
        match accept::<Event>(client, &queue, &delivery).await {
            Ok(Some((event, _))) if event.work.run != run => {
                let reason = format!("it is an event of run {}", event.work.run);
                if let Err(error) = reject(client, &queue, &delivery, &reason).await {
                    tracing::error!("an event of another run stays in {queue}: {error}");
                }
            }
            Ok(Some(event)) => {
                let delivery = deliver(event, delivery, &subscription.link, &dropped_in);
                if out.send(delivery).await.is_err() {
                    return false;
                }
            }
            Ok(None) => {}
            Err(TransportError::Closed) => return false,
            Err(error) => tracing::error!(
                "an event of run {run} that cannot be decoded stays in its queue: {error}"
            ),
        }
    }
}

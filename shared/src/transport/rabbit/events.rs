//! Receives the events of one run.

use std::sync::Arc;

use futures::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::held::{Held, Released, message, requeue};
use super::link::Link;
use super::{Backoff, Shared};
use crate::ids::RunId;
use crate::message::Event;
use crate::transport::{Deliveries, Delivery, EVENT_PREFETCH, TransportError};

pub(super) async fn consume(
    shared: &Arc<Shared>,
    run: RunId,
) -> Result<Deliveries<Event>, TransportError> {
    let (out, deliveries) = mpsc::channel(1);
    let first = subscribe(shared, run).await?;
    tokio::spawn(pump(Arc::clone(shared), run, out, first));
    Ok(Box::pin(ReceiverStream::new(deliveries)))
}

type Subscription = (Arc<Link>, (Channel, Consumer));

async fn subscribe(shared: &Shared, run: RunId) -> Result<Subscription, TransportError> {
    shared
        .on_channel(|channel| async move {
            shared.topology.declare(&channel).await?;
            shared.topology.declare_run(&channel, run).await?;
            channel
                .basic_qos(EVENT_PREFETCH, BasicQosOptions::default())
                .await?;
            let queue = shared.topology.run_queue(run);
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

/// Forwards events, over as many links as it takes. Ends when nobody listens
/// any more or the transport is closed.
async fn pump(
    shared: Arc<Shared>,
    run: RunId,
    out: mpsc::Sender<Delivery<Event>>,
    first: Subscription,
) {
    let mut next = Some(first);
    let mut backoff = Backoff::default();
    loop {
        let (link, (_channel, consumer)) = match next.take() {
            Some(subscription) => subscription,
            None => match tokio::select! {
                () = out.closed() => return,
                subscription = subscribe(&shared, run) => subscription,
            } {
                Ok(subscription) => subscription,
                Err(TransportError::Closed) => return,
                Err(error) => {
                    tracing::warn!("receiving the events of run {run}: {error}; trying again");
                    backoff.pause().await;
                    continue;
                }
            },
        };
        if let Err(End::Nobody) = forward(&shared, run, &out, &link, consumer).await {
            return;
        }
        if !link.broken().is_cancelled() {
            backoff.pause().await;
        }
    }
}

/// Why forwarding ended for good.
enum End {
    /// Nobody listens any more, or the transport is closed, or the run was forgotten.
    Nobody,
}

/// Forwards until the consumer ends.
async fn forward(
    shared: &Shared,
    run: RunId,
    out: &mpsc::Sender<Delivery<Event>>,
    link: &Link,
    mut consumer: Consumer,
) -> Result<(), End> {
    let queue = shared.topology.run_queue(run);
    let (released_in, mut released) = mpsc::unbounded_channel();
    loop {
        let delivery = tokio::select! {
            () = out.closed() => return Err(End::Nobody),
            () = link.broken().cancelled() => return Ok(()),
            Some(end) = released.recv() => {
                if let Released::Unanswered(acker) = end
                    && let Err(error) = link.while_connected(requeue(&acker)).await
                {
                    tracing::debug!("an event could not be put back: {error}");
                }
                continue;
            }
            delivery = consumer.next() => match delivery {
                Some(Ok(delivery)) => delivery,
                Some(Err(error)) => {
                    tracing::debug!("receiving the events of run {run}: {error}");
                    return Ok(());
                }
                // The broker cancels a consumer when its queue is deleted: the run was forgotten.
                None if !link.broken().is_cancelled() => return Err(End::Nobody),
                None => return Ok(()),
            },
        };
        match message::<Event>(shared, &queue, &delivery, None).await {
            Ok(Some((event, trace))) => {
                let held = Held::new(delivery.acker, link.broken().clone(), released_in.clone());
                if out
                    .send(Delivery::new(
                        event,
                        trace,
                        delivery.redelivered,
                        Arc::new(held),
                    ))
                    .await
                    .is_err()
                {
                    return Err(End::Nobody);
                }
            }
            Ok(None) => {}
            Err(TransportError::Closed) => return Err(End::Nobody),
            Err(error) => {
                tracing::error!("an unreadable event of run {run} stays in its queue: {error}")
            }
        }
    }
}

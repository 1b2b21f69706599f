//! Takes tasks, as many at a time as there are free slots.
//!
//! A broker's prefetch limits the unacknowledged deliveries, but a task is acknowledged when it is
//! claimed and then runs for hours. With prefetch alone the broker would send further tasks to a
//! busy worker, which cannot claim them, while another worker is idle. So every slot has its own
//! consumer. It takes one task, is cancelled before the task can be acknowledged, and is replaced
//! when the delivery is dropped. The broker then sees one consumer for every free slot of the
//! fleet.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, poll};
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, ConnectionState, Consumer, ErrorKind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::client::{Backoff, Client};
use super::delivery::{accept, deliver, requeue};
use super::link::Link;
use crate::message::Task;
use crate::transport::{Deliveries, Delivery, TransportError};

/// An idle slot replaces its consumer after this time. A queue that is deleted and declared again
/// within milliseconds can leave a consumer that never learns of it.
const RENEWAL: Duration = Duration::from_secs(30);

pub(super) async fn consume(
    client: &Arc<Client>,
    slots: u16,
) -> Result<Deliveries<Task>, TransportError> {
    let (out, deliveries) = mpsc::channel(1);
    // The first slot is opened here, so that the caller sees a refusal.
    let first = client.on_channel(open).await?;
    let consumers = &client.consumers;
    consumers.spawn(run_slot(Arc::clone(client), out.clone(), Some(first)));
    for _ in 1..slots {
        consumers.spawn(run_slot(Arc::clone(client), out.clone(), None));
    }
    Ok(Box::pin(ReceiverStream::new(deliveries)))
}

/// Prepares a channel for one unacknowledged delivery at a time.
async fn open(channel: Channel) -> lapin::Result<Channel> {
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    Ok(channel)
}

/// One slot, over as many links as it takes. Ends when the receiver is dropped or the transport is
/// closed.
async fn run_slot(
    client: Arc<Client>,
    out: mpsc::Sender<Delivery<Task>>,
    first: Option<(Arc<Link>, Channel)>,
) {
    let mut next = first;
    let mut backoff = Backoff::default();
    loop {
        let (link, channel) = match next.take() {
            Some(opened) => opened,
            None => match tokio::select! {
                () = out.closed() => return,
                opened = client.on_channel(open) => opened,
            } {
                Ok(opened) => opened,
                Err(TransportError::Closed) => return,
                Err(error) => {
                    tracing::warn!("taking tasks: {error}; trying again");
                    backoff.pause().await;
                    continue;
                }
            },
        };
        match take_tasks(&client, &out, &link, &channel).await {
            Ok(()) | Err(SlotError::Transport(TransportError::Closed)) => {
                // The broker requeues what this slot has not handed out.
                let closed = channel.close(200, "OK".into());
                if let Err(error) = link.while_connected(closed).await {
                    tracing::debug!("a slot could not close its channel: {error}");
                }
                return;
            }
            Err(error) => {
                if !link.broken.is_cancelled() {
                    tracing::warn!("taking tasks: {error}; trying again");
                    backoff.pause().await;
                    client.declare_again(&link).await;
                }
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum SlotError {
    #[error(transparent)]
    Amqp(#[from] lapin::Error),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("the queue was deleted")]
    QueueDeleted,
}

/// Takes one task after another on `channel`. Returns when the receiver is dropped, or with
/// [`TransportError::Closed`], and leaves no consumer on the channel then.
async fn take_tasks(
    client: &Client,
    out: &mpsc::Sender<Delivery<Task>>,
    link: &Link,
    channel: &Channel,
) -> Result<(), SlotError> {
    let queue = &client.topology.tasks;
    let (dropped_in, mut dropped) = mpsc::unbounded_channel();
    for turn in 0_u64.. {
        let tag = format!("slot-{turn}");
        let stop = async {
            tokio::select! {
                () = out.closed() => {}
                () = client.closing.cancelled() => {}
            }
        };
        let taken = wait_for_delivery(queue, link, channel, &tag, stop).await?;
        if client.closing.is_cancelled() {
            return Err(TransportError::Closed.into());
        }
        if out.is_closed() {
            return Ok(());
        }
        // The consumer cancels itself when it is dropped, so it is kept until that is done here.
        let Some((_consumer, delivery)) = taken else {
            continue;
        };
        // The first poll sends the cancel before any answer to the delivery, so that the answer
        // cannot bring in another task.
        let mut cancel = pin!(cancel(channel, &tag));
        let cancelled = poll!(cancel.as_mut());
        let accepted = accept::<Task>(client, queue, &delivery).await?;
        let Some(task) = accepted else {
            if cancelled.is_pending() {
                link.while_connected(cancel).await?;
            }
            continue;
        };
        let delivery = deliver(task, delivery, link, &dropped_in);
        let is_received = out.send(delivery).await.is_ok();
        if cancelled.is_pending()
            && let Err(error) = link.while_connected(cancel).await
        {
            // The link is lost; the next operation on this channel returns the error.
            tracing::debug!("a slot could not cancel its consumer: {error}");
        }
        if !is_received {
            return Ok(());
        }
        // The slot is taken until the delivery is dropped, even if the link breaks before.
        let end = tokio::select! {
            end = dropped.recv() => end,
            () = client.closing.cancelled() => return Err(TransportError::Closed.into()),
        };
        if let Some(Some(acker)) = end {
            link.while_connected(requeue(&acker)).await?;
        }
    }
    Ok(())
}

/// Consumes until a delivery comes, at most for [`RENEWAL`] and until `stop`; `None` after that.
async fn wait_for_delivery(
    queue: &str,
    link: &Link,
    channel: &Channel,
    tag: &str,
    stop: impl Future<Output = ()>,
) -> Result<Option<(Consumer, lapin::message::Delivery)>, SlotError> {
    let consume = channel.basic_consume(
        queue.into(),
        tag.into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut consumer = link.while_connected(consume).await?;
    let delivery = tokio::select! {
        biased;
        () = link.broken.cancelled() => {
            return Err(SlotError::Amqp(ErrorKind::InvalidConnectionState(ConnectionState::Closed).into()));
        }
        delivery = consumer.next() => Some(delivery.ok_or(SlotError::QueueDeleted)?),
        () = stop => {
            link.while_connected(cancel(channel, tag)).await?;
            None
        }
        () = tokio::time::sleep(RENEWAL) => {
            link.while_connected(cancel(channel, tag)).await?;
            // A task that arrived before the cancel is still in the stream.
            consumer.next().await
        }
    };
    Ok(delivery.transpose()?.map(|delivery| (consumer, delivery)))
}

async fn cancel(channel: &Channel, tag: &str) -> lapin::Result<()> {
    channel
        .basic_cancel(tag.into(), BasicCancelOptions::default())
        .await
}

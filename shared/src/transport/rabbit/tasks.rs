//! Takes tasks, as many at a time as there are free slots.
//!
//! A broker's prefetch limits what is unacknowledged, but a task is
//! acknowledged when it is claimed and then runs for hours: by prefetch alone
//! a busy worker would be sent tasks that sit there unclaimed while another
//! worker is idle. So every slot is a consumer of its own that takes one task,
//! cancels itself before the task can be acknowledged, and consumes again when
//! the task is let go. The broker then sees one consumer per free slot of the
//! whole fleet, and gives a task only to a free one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, poll};
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, ErrorKind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::held::{Held, Released, message, requeue};
use super::link::Link;
use super::{Backoff, Shared};
use crate::message::Task;
use crate::signing::Purpose;
use crate::transport::{Deliveries, Delivery, TransportError};

/// An idle slot consumes anew after so long. A queue that is deleted and
/// declared again within milliseconds can leave a consumer behind that nobody
/// told of it.
const RENEWAL: Duration = Duration::from_secs(30);

pub(super) async fn consume(
    shared: &Arc<Shared>,
    slots: u16,
) -> Result<Deliveries<Task>, TransportError> {
    let (out, deliveries) = mpsc::channel(1);
    // The first slot is opened here, so that a refusal is the caller's to see.
    let first = shared.on_channel(open).await?;
    tokio::spawn(run_slot(Arc::clone(shared), out.clone(), Some(first)));
    for _ in 1..slots {
        tokio::spawn(run_slot(Arc::clone(shared), out.clone(), None));
    }
    Ok(Box::pin(ReceiverStream::new(deliveries)))
}

/// Prepares a channel for one unacknowledged delivery at a time.
async fn open(channel: Channel) -> lapin::Result<Channel> {
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    Ok(channel)
}

/// One slot, over as many links as it takes. Ends when nobody listens any more
/// or the transport is closed.
async fn run_slot(
    shared: Arc<Shared>,
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
                opened = shared.on_channel(open) => opened,
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
        match take_tasks(&shared, &out, &link, &channel).await {
            Ok(()) | Err(SlotError::Transport(TransportError::Closed)) => return,
            Err(error) => {
                if !link.broken().is_cancelled() {
                    tracing::warn!("taking tasks: {error}; trying again");
                    backoff.pause().await;
                    shared.declare_again(&link).await;
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

async fn take_tasks(
    shared: &Shared,
    out: &mpsc::Sender<Delivery<Task>>,
    link: &Link,
    channel: &Channel,
) -> Result<(), SlotError> {
    let queue = &shared.topology.tasks;
    let (released_in, mut released) = mpsc::unbounded_channel();
    for turn in 0_u64.. {
        if out.is_closed() {
            return Ok(());
        }
        let tag = format!("slot-{turn}");
        let consume = channel.basic_consume(
            queue.as_str().into(),
            tag.as_str().into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let mut consumer = link.while_connected(consume).await?;
        let delivery = tokio::select! {
            biased;
            () = out.closed() => return Ok(()),
            () = link.broken().cancelled() => return Err(lapin::Error::from(ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed)).into()),
            delivery = consumer.next() => delivery.ok_or(SlotError::QueueDeleted)??,
            () = tokio::time::sleep(RENEWAL) => {
                let cancel = channel.basic_cancel(tag.as_str().into(), BasicCancelOptions::default());
                link.while_connected(cancel).await?;
                // What came just before is still in the stream.
                match consumer.next().await {
                    Some(delivery) => delivery?,
                    None => continue,
                }
            }
        };
        // The first poll puts the cancel on the wire, ahead of any answer to
        // the delivery, so that the answer cannot bring in another task.
        let mut cancel =
            pin!(channel.basic_cancel(tag.as_str().into(), BasicCancelOptions::default()));
        let cancelled = poll!(cancel.as_mut());
        if let Some((task, trace)) =
            message::<Task>(shared, queue, &delivery, Some(Purpose::Task)).await?
        {
            let held = Held::new(delivery.acker, link.broken().clone(), released_in.clone());
            if out
                .send(Delivery::new(
                    task,
                    trace,
                    delivery.redelivered,
                    Arc::new(held),
                ))
                .await
                .is_err()
            {
                return Ok(());
            }
            if cancelled.is_pending() {
                // Lost with the link; the error shows up at the next step on this channel.
                if let Err(error) = link.while_connected(cancel).await {
                    tracing::debug!("a slot could not cancel its consumer: {error}");
                }
            }
            // Also over the end of the link: the slot is taken until the work is let go.
            let end = tokio::select! {
                end = released.recv() => end,
                () = shared.closing.cancelled() => return Err(TransportError::Closed.into()),
            };
            if let Some(Released::Unanswered(acker)) = end {
                link.while_connected(requeue(&acker)).await?;
            }
        } else if cancelled.is_pending() {
            link.while_connected(cancel).await?;
        }
    }
    Ok(())
}

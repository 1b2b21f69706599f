//! Subscriptions to an event queue or a fan-out exchange, renewed when their link breaks.

use std::fmt;
use std::sync::Arc;

use futures::StreamExt as _;
use lapin::message::Delivery as AmqpDelivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};

use super::client::{Backoff, Client};
use super::link::Link;
use crate::ids::RunId;
use crate::transport::{PREFETCH, TransportError};

#[derive(Debug)]
pub(super) enum Source {
    /// The queue of a run's events.
    Run(RunId),
    /// Everything that is published to an exchange while the subscription lasts.
    Exchange(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(run) => write!(f, "the events of run {run}"),
            Self::Exchange(exchange) => write!(f, "exchange {exchange}"),
        }
    }
}

pub(super) struct Subscription {
    pub(super) link: Arc<Link>,
    channel: Channel,
    consumer: Consumer,
}

/// The subscription has ended: its link or channel broke, or its queue was deleted.
#[derive(Debug)]
pub(super) struct Ended;

impl Subscription {
    async fn open(client: &Client, source: &Source) -> Result<Self, TransportError> {
        let topology = &client.topology;
        let (link, (channel, consumer)) = client
            .on_channel(|channel| async move {
                topology.declare(&channel).await?;
                let queue = match source {
                    Source::Run(run) => topology.declare_run(&channel, *run).await?,
                    Source::Exchange(exchange) => {
                        topology.declare_listener(&channel, exchange).await?
                    }
                };
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
            .await?;
        Ok(Self {
            link,
            channel,
            consumer,
        })
    }

    /// The next delivery. Dropping the future loses no delivery.
    pub(super) async fn next(&mut self, client: &Client) -> Result<AmqpDelivery, Ended> {
        tokio::select! {
            () = self.link.broken.cancelled() => Err(Ended),
            () = client.closing.cancelled() => Err(Ended),
            delivery = self.consumer.next() => match delivery {
                Some(Ok(delivery)) => Ok(delivery),
                Some(Err(error)) => {
                    tracing::debug!("a subscription ended: {error}");
                    Err(Ended)
                }
                None => Err(Ended),
            },
        }
    }
}

impl Subscription {
    /// Ends the consumer and then its channel, and waits for the broker's answers.
    ///
    /// If they are only dropped, lapin ends both at once, and may take the answer of the one for an
    /// error in the protocol, which ends the connection.
    pub(super) async fn end(self) {
        let tag = self.consumer.tag();
        end(&self.link, &self.channel, tag.as_str()).await;
    }
}

/// Ends the consumer `tag` and then its channel. The broker requeues what was not acknowledged.
pub(super) async fn end(link: &Link, channel: &Channel, tag: &str) {
    let ended = async {
        channel
            .basic_cancel(tag.into(), BasicCancelOptions::default())
            .await?;
        channel.close(200, "OK".into()).await
    };
    if let Err(error) = link.while_connected(ended).await {
        tracing::debug!("a consumer could not be ended: {error}");
    }
}

pub(super) struct Subscriptions {
    client: Arc<Client>,
    source: Source,
    first: Option<Subscription>,
    last_link: Option<Arc<Link>>,
    backoff: Backoff,
}

impl Subscriptions {
    /// Opens the first subscription, so that the caller sees a refusal.
    pub(super) async fn open(client: &Arc<Client>, source: Source) -> Result<Self, TransportError> {
        let first = Subscription::open(client, &source).await?;
        Ok(Self {
            client: Arc::clone(client),
            source,
            first: Some(first),
            last_link: None,
            backoff: Backoff::default(),
        })
    }

    /// The next subscription, over as many links as it takes. `None` when the transport is closed.
    pub(super) async fn next(&mut self) -> Option<Subscription> {
        if self
            .last_link
            .take()
            .is_some_and(|link| !link.broken.is_cancelled())
        {
            self.backoff.pause().await;
        }
        let subscription = loop {
            if let Some(first) = self.first.take() {
                break first;
            }
            match Subscription::open(&self.client, &self.source).await {
                Ok(subscription) => break subscription,
                Err(TransportError::Closed) => return None,
                Err(error) => {
                    tracing::warn!("receiving {}: {error}; trying again", self.source);
                    self.backoff.pause().await;
                }
            }
        };
        self.last_link = Some(Arc::clone(&subscription.link));
        Some(subscription)
    }
}

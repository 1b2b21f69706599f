//! One connection to the broker, from login until it is lost.
//!
//! A link is never repaired: when its connection breaks, a new link replaces it. So every
//! acknowledgement and confirm belongs to exactly one connection, and a delivery of an earlier
//! connection is never taken for a current one.

use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt as _;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::tcp::AMQPUriTcpExt as _;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, ConnectionState, ErrorKind,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::options::Address;
use super::topology::Topology;
use crate::transport::lock;

/// How many messages may wait for the broker's confirm at the same time.
const CONCURRENT_PUBLISHES: usize = 32;

/// How long TCP, TLS and login may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(9);

/// How often the state of the connection is polled, because lapin closes some connections without
/// an event.
const STATUS_PERIOD: Duration = Duration::from_secs(1);

/// What the broker did with a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Routing {
    /// It put the message into every queue that is bound for it.
    Queued,
    /// It returned the message: no queue is bound for it.
    Returned,
    /// It refused the message: a queue could not store it.
    Refused,
}

#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    /// What it is, for messages to users: "a task".
    pub(super) what: &'static str,
    pub(super) exchange: &'a str,
    pub(super) routing_key: &'a str,
    pub(super) mandatory: bool,
    pub(super) properties: BasicProperties,
    pub(super) payload: &'a [u8],
}

#[derive(Debug)]
pub(super) struct Link {
    connection: Connection,
    /// Channels in confirm mode without a publish in flight.
    ///
    /// A channel carries one publish at a time. If it carried several, the broker could confirm
    /// them together, and lapin could attribute a returned message to the wrong publish.
    idle: Mutex<Vec<Channel>>,
    publishes: Semaphore,
    /// Why the broker has stopped accepting messages, in its own words; while it has.
    blocked: Mutex<Option<String>>,
    /// Triggered when the link is lost or closed.
    pub(super) broken: CancellationToken,
}

impl Link {
    /// Connects, logs in and declares the queues and exchanges that every process needs.
    pub(super) async fn establish(
        address: &Address,
        topology: &Topology,
    ) -> Result<Self, LinkError> {
        let connection = tokio::time::timeout(CONNECT_TIMEOUT, connect(address))
            .await
            .map_err(|_| LinkError::Timeout(CONNECT_TIMEOUT))??;
        let link = Self {
            connection,
            idle: Mutex::default(),
            publishes: Semaphore::new(CONCURRENT_PUBLISHES),
            blocked: Mutex::default(),
            broken: CancellationToken::new(),
        };
        let declared = async {
            let channel = link.open_channel().await?;
            topology.declare(&channel).await
        };
        tokio::time::timeout(CONNECT_TIMEOUT, declared)
            .await
            .map_err(|_| LinkError::Timeout(CONNECT_TIMEOUT))??;
        Ok(link)
    }

    /// A new channel. It closes when it is dropped; the broker then requeues its unacknowledged
    /// deliveries.
    pub(super) async fn open_channel(&self) -> lapin::Result<Channel> {
        self.while_connected(self.connection.create_channel()).await
    }

    /// Publishes and waits for the broker's confirm. When the future is dropped, the message may
    /// have been published or not.
    pub(super) async fn publish(&self, message: &Outgoing<'_>) -> lapin::Result<Routing> {
        let _permit = self
            .publishes
            .acquire()
            .await
            .expect("the semaphore is never closed");
        // A variable of its own, so that the guard is dropped before the await below.
        let idle = lock(&self.idle).pop();
        let channel = match idle {
            Some(channel) => channel,
            None => {
                let channel = self.open_channel().await?;
                self.while_connected(channel.confirm_select(ConfirmSelectOptions::default()))
                    .await?;
                channel
            }
        };
        let options = BasicPublishOptions {
            mandatory: message.mandatory,
            ..BasicPublishOptions::default()
        };
        let published = async {
            channel
                .basic_publish(
                    message.exchange.into(),
                    message.routing_key.into(),
                    options,
                    message.payload,
                    message.properties.clone(),
                )
                .await?
                .await
        };
        let confirmation = self.while_connected(published).await?;
        // The channel is reused only after the confirm. If the publish fails or is abandoned, the
        // channel is dropped, which closes it.
        lock(&self.idle).push(channel);
        Ok(if confirmation.is_nack() {
            Routing::Refused
        } else if confirmation.take_message().is_some() {
            Routing::Returned
        } else {
            Routing::Queued
        })
    }

    /// The result of `operation`, or an error as soon as the link is broken.
    pub(super) async fn while_connected<T>(
        &self,
        operation: impl Future<Output = lapin::Result<T>>,
    ) -> lapin::Result<T> {
        tokio::select! {
            biased;
            () = self.broken.cancelled() => Err(ErrorKind::InvalidConnectionState(ConnectionState::Closed).into()),
            done = operation => done,
        }
    }

    /// Waits until the connection is lost, and returns the reason.
    pub(super) async fn wait_until_lost(&self, address: &Address) -> String {
        let mut events = self.connection.events_listener();
        let mut status = tokio::time::interval(STATUS_PERIOD);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(lapin::Event::Error(error)) if !self.connection.status().connected() => return error.to_string(),
                    Some(lapin::Event::ConnectionBlocked(reason)) => {
                        tracing::warn!("the broker at {address} has stopped accepting messages: {reason}");
                        *lock(&self.blocked) = Some(reason);
                    }
                    Some(lapin::Event::ConnectionUnblocked) => {
                        tracing::info!("the broker at {address} accepts messages again");
                        *lock(&self.blocked) = None;
                    }
                    Some(_) => {}
                    None => return "the connection ended".to_owned(),
                },
                // The library closes some connections without an event.
                _ = status.tick() => if !self.connection.status().connected() {
                    return "the broker closed the connection".to_owned();
                },
            }
        }
    }

    /// Why the broker accepts no messages, if it has said so (`connection.blocked`). Then nothing
    /// that this process sends is read.
    pub(super) fn blocked(&self) -> Option<String> {
        lock(&self.blocked).clone()
    }

    /// Closes the connection. Waits at most 2 s for the broker's answer.
    pub(super) async fn close(&self) {
        let closed = self.connection.close(200, "OK".into());
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(2), closed).await {
            tracing::debug!("cannot close the connection to the broker: {error}");
        }
        self.broken.cancel();
    }
}

async fn connect(address: &Address) -> lapin::Result<Connection> {
    let properties = ConnectionProperties::default()
        .with_connection_name(address.connection_name.as_str().into())
        .with_client_property("product".into(), env!("CARGO_PKG_NAME").into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let tls = address.tls.clone();
    let open_socket = async move |uri: lapin::uri::AMQPUri, runtime| {
        // lapin runs this future on its own thread, and dropping `connect` does not stop it.
        // Without this timeout, it would wait as long as the operating system allows.
        tokio::time::timeout(
            CONNECT_TIMEOUT,
            uri.connect_with_config_async(tls.as_ref(), &runtime),
        )
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(lapin::Error::from)
    };
    Connection::connector(
        address.uri.clone(),
        lapin::runtime::default_runtime()?,
        open_socket,
        properties,
    )
    .await
}

#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Amqp(#[from] lapin::Error),
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
}

//! The transport over RabbitMQ (AMQP 0-9-1).

mod broadcast;
mod broker_error;
mod client;
mod delivery;
mod events;
mod headers;
mod link;
mod options;
mod subscription;
mod tasks;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::BasicProperties;
use lapin::options::QueueDeleteOptions;
use lapin::types::FieldTable;

use self::client::{Client, PERSISTENT};
use self::link::{Outgoing, Routing};
pub use self::options::{DEFAULT_MAX_MESSAGE_SIZE, DEFAULT_PREFIX, RabbitOptions};
use super::{Deliveries, Health, Messages, TraceContext, Transport, TransportError, lock};
use crate::ids::RunId;
use crate::message::{Control, Event, Heartbeat, Task};

/// The pause before a deleted queue is declared again: the broker informs the consumers of the
/// deletion meanwhile.
const REDECLARE: Duration = Duration::from_millis(500);

/// How long the coordinator of a run may take to declare a deleted event queue again.
const EVENT_QUEUE_RETURNS: Duration = Duration::from_secs(1);

/// After this time without a confirm, a control message is made again with the present time: a
/// receiver refuses an old one.
const LIVE_CONFIRM: Duration = Duration::from_secs(60);

/// Carries messages over a RabbitMQ broker.
#[derive(Debug)]
pub struct RabbitTransport {
    client: Arc<Client>,
}

impl RabbitTransport {
    /// Connects, logs in and declares the queues and exchanges.
    ///
    /// # Errors
    ///
    /// When the first connection fails, within about 10 s. After a later failure the transport
    /// reconnects for as long as it takes.
    pub async fn connect(options: RabbitOptions) -> Result<Arc<Self>, TransportError> {
        let client = Client::connect(options).await?;
        Ok(Arc::new(Self { client }))
    }
}

impl Drop for RabbitTransport {
    fn drop(&mut self) {
        self.client.closing.cancel();
    }
}

#[async_trait]
impl Transport for RabbitTransport {
    async fn publish_task(&self, task: &Task, trace: &TraceContext) -> Result<(), TransportError> {
        let mut headers = headers::of_trace(trace);
        let payload = self.client.seal(task, &mut headers);
        let message = Outgoing {
            what: "a task",
            exchange: "",
            routing_key: &self.client.topology.tasks,
            mandatory: true,
            properties: persistent(headers),
            payload: &payload,
        };
        if self.client.publish(&message).await? == Routing::Returned {
            // The queue was deleted during the connection. One more try is worth it.
            tokio::time::sleep(REDECLARE).await;
            let link = self.client.link().await?;
            self.client.declare_again(&link).await;
            if self.client.publish(&message).await? == Routing::Returned {
                return Err(TransportError::Unroutable(self.task_queue()));
            }
        }
        Ok(())
    }

    async fn publish_event(
        &self,
        event: &Event,
        trace: &TraceContext,
    ) -> Result<(), TransportError> {
        let topology = &self.client.topology;
        let run = event.work.run;
        let routing_key = run.to_string();
        let mut headers = headers::of_trace(trace);
        let payload = self.client.seal(event, &mut headers);
        let message = Outgoing {
            what: "an event",
            exchange: &topology.events,
            routing_key: &routing_key,
            mandatory: true,
            properties: persistent(headers),
            payload: &payload,
        };
        if self.client.publish(&message).await? != Routing::Returned {
            return Ok(());
        }
        // Either the run is over, or its queue was deleted and its coordinator declares it again.
        tokio::time::sleep(EVENT_QUEUE_RETURNS).await;
        match self.client.publish(&message).await? {
            Routing::Returned => Err(TransportError::Unroutable(format!(
                "queue {} on {}",
                topology.run_queue(run),
                self.client.address
            ))),
            Routing::Queued | Routing::Refused => Ok(()),
        }
    }

    async fn publish_control(&self, control: &Control) -> Result<(), TransportError> {
        loop {
            let mut headers = FieldTable::default();
            let payload = self.client.seal(control, &mut headers);
            let message = Outgoing {
                what: "a control message",
                exchange: &self.client.topology.control,
                routing_key: "",
                mandatory: false,
                properties: json().with_headers(headers),
                payload: &payload,
            };
            match tokio::time::timeout(LIVE_CONFIRM, self.client.publish(&message)).await {
                Ok(published) => return published.map(drop),
                Err(_) => tracing::debug!("a control message is published again"),
            }
        }
    }

    async fn publish_heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), TransportError> {
        let mut headers = FieldTable::default();
        let payload = self.client.seal(heartbeat, &mut headers);
        // A heartbeat is not repeated: after a reconnect, the next one is more recent.
        self.client
            .publish_once(&Outgoing {
                what: "a heartbeat",
                exchange: &self.client.topology.presence,
                routing_key: "worker",
                mandatory: false,
                properties: json().with_headers(headers),
                payload: &payload,
            })
            .await
    }

    async fn consume_tasks(&self, prefetch: u16) -> Result<Deliveries<Task>, TransportError> {
        tasks::consume(&self.client, prefetch).await
    }

    async fn consume_events(&self, run: RunId) -> Result<Deliveries<Event>, TransportError> {
        events::consume(&self.client, run).await
    }

    async fn consume_control(&self) -> Result<Messages<Control>, TransportError> {
        let exchange = &self.client.topology.control;
        broadcast::consume(&self.client, exchange).await
    }

    async fn consume_heartbeats(&self) -> Result<Messages<Heartbeat>, TransportError> {
        broadcast::consume(&self.client, &self.client.topology.presence).await
    }

    async fn forget_run(&self, run: RunId) -> Result<(), TransportError> {
        lock(&self.client.forgotten).insert(run);
        let queue = self.client.topology.run_queue(run);
        let queue = queue.as_str();
        let delete = |channel: lapin::Channel| async move {
            channel
                .queue_delete(queue.into(), QueueDeleteOptions::default())
                .await
        };
        self.client.on_channel(delete).await.map(drop)
    }

    fn message_limit(&self) -> usize {
        self.client.max_message_size
    }

    fn task_queue(&self) -> String {
        format!(
            "queue {} on {}",
            self.client.topology.tasks, self.client.address
        )
    }

    fn health(&self) -> Health {
        self.client.health()
    }

    async fn close(&self) {
        self.client.close().await;
    }
}

fn json() -> BasicProperties {
    BasicProperties::default().with_content_type("application/json".into())
}

fn persistent(headers: FieldTable) -> BasicProperties {
    json().with_delivery_mode(PERSISTENT).with_headers(headers)
}

//! Queues and exchanges: their names, and how they are declared.
//!
//! Every process declares what it uses. Declaring is idempotent, so the order does not matter; the
//! broker refuses a version that declares different arguments.

use lapin::Channel;
use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::ids::RunId;

/// How often a task is delivered before the broker moves it to the dead-letter queue.
const DELIVERY_LIMIT: i32 = 20;

/// The most dead letters that are kept; then the oldest are dropped.
const DEAD_LETTERS: i32 = 10_000;

/// How long a run's queue is kept without a consumer: 7 days, in milliseconds.
const RUN_EXPIRES: i32 = 7 * 24 * 3600 * 1000;

/// The most control messages or heartbeats that wait for one receiver; then the oldest are dropped.
const BROADCAST_LIMIT: i32 = 10_000;

/// The most bytes of them.
const BROADCAST_BYTES: i32 = 64 << 20;

#[derive(Debug, Clone)]
pub(super) struct Topology {
    pub(super) tasks: String,
    pub(super) dead: String,
    pub(super) events: String,
    pub(super) control: String,
    pub(super) presence: String,
    run_prefix: String,
}

impl Topology {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            tasks: format!("{prefix}.tasks"),
            dead: format!("{prefix}.dead"),
            events: format!("{prefix}.events"),
            control: format!("{prefix}.control"),
            presence: format!("{prefix}.presence"),
            run_prefix: format!("{prefix}.run."),
        }
    }

    pub(super) fn run_queue(&self, run: RunId) -> String {
        format!("{}{run}", self.run_prefix)
    }

    /// Declares the queues and exchanges that every process needs.
    pub(super) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        let dead = [("x-max-length", AMQPValue::LongInt(DEAD_LETTERS))];
        declare_quorum(channel, &self.dead, dead).await?;
        let tasks = [
            ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&self.dead)),
        ];
        declare_quorum(channel, &self.tasks, tasks).await?;
        for (name, kind) in [
            (&self.events, ExchangeKind::Topic),
            (&self.control, ExchangeKind::Fanout),
            (&self.presence, ExchangeKind::Topic),
        ] {
            let durable = ExchangeDeclareOptions {
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            channel
                .exchange_declare(name.as_str().into(), kind, durable, FieldTable::default())
                .await?;
        }
        Ok(())
    }

    /// Declares the queue of a run, binds it to the events of that run, and returns its name.
    pub(super) async fn declare_run(&self, channel: &Channel, run: RunId) -> lapin::Result<String> {
        let queue = self.run_queue(run);
        let expires = [("x-expires", AMQPValue::LongInt(RUN_EXPIRES))];
        declare_quorum(channel, &queue, expires).await?;
        bind(channel, &queue, &self.events, &run.to_string()).await?;
        Ok(queue)
    }

    /// Declares a queue that only this connection can use and that receives every message published
    /// to `exchange` from now on. Returns its name.
    pub(super) async fn declare_listener(
        &self,
        channel: &Channel,
        exchange: &str,
    ) -> lapin::Result<String> {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(BROADCAST_LIMIT));
        arguments.insert(
            "x-max-length-bytes".into(),
            AMQPValue::LongInt(BROADCAST_BYTES),
        );
        let exclusive = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel
            .queue_declare("".into(), exclusive, arguments)
            .await?;
        let name = queue.name().as_str().to_owned();
        // A fan-out exchange ignores the key; in a topic exchange "#" matches every key.
        bind(channel, &name, exchange, "#").await?;
        Ok(name)
    }
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            options,
            arguments,
        )
        .await
}

/// A quorum queue survives the loss of a broker node. Messages to a classic queue are unroutable
/// while its node is down, and an unroutable event means that the run is over.
async fn declare_quorum<const N: usize>(
    channel: &Channel,
    name: &str,
    arguments: [(&str, AMQPValue); N],
) -> lapin::Result<()> {
    let mut table = FieldTable::default();
    for (key, value) in arguments
        .into_iter()
        .chain([("x-queue-type", text("quorum"))])
    {
        table.insert(key.into(), value);
    }
    let options = QueueDeclareOptions::durable();
    channel
        .queue_declare(name.into(), options, table)
        .await
        .map(drop)
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

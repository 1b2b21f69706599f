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

/// The names under one prefix.
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

    /// The queue of a run's events.
    pub(super) fn run_queue(&self, run: RunId) -> String {
        format!("{}{run}", self.run_prefix)
    }

    /// Declares the queues and exchanges that every process needs.
    pub(super) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        let mut dead = FieldTable::default();
        dead.insert("x-max-length".into(), AMQPValue::LongInt(DEAD_LETTERS));
        channel
            .queue_declare(
                self.dead.as_str().into(),
                QueueDeclareOptions::durable(),
                quorum(dead),
            )
            .await?;

        let mut tasks = FieldTable::default();
        tasks.insert(
            "x-delivery-limit".into(),
            AMQPValue::LongInt(DELIVERY_LIMIT),
        );
        tasks.insert("x-dead-letter-exchange".into(), text(""));
        tasks.insert("x-dead-letter-routing-key".into(), text(&self.dead));
        channel
            .queue_declare(
                self.tasks.as_str().into(),
                QueueDeclareOptions::durable(),
                quorum(tasks),
            )
            .await?;

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
        let mut arguments = FieldTable::default();
        arguments.insert("x-expires".into(), AMQPValue::LongInt(RUN_EXPIRES));
        channel
            .queue_declare(
                queue.as_str().into(),
                QueueDeclareOptions::durable(),
                quorum(arguments),
            )
            .await?;
        channel
            .queue_bind(
                queue.as_str().into(),
                self.events.as_str().into(),
                run.to_string().into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
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
        channel
            .queue_bind(
                name.as_str().into(),
                exchange.into(),
                "#".into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok(name)
    }
}

/// A quorum queue survives the loss of a broker node. Messages to a classic queue are unroutable
/// while its node is down, and an unroutable event means that the run is over.
fn quorum(mut arguments: FieldTable) -> FieldTable {
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

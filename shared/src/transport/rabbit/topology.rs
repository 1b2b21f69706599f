//! Queues and exchanges: their names, and how they are declared.
//!
//! Everybody declares what they use. Declaring is idempotent, so it does not
//! matter who comes first; two versions that want different arguments are told
//! so by the broker.

use lapin::Channel;
use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::ids::RunId;

/// After so many failed deliveries a task goes to the dead-letter queue.
const DELIVERY_LIMIT: i32 = 20;

/// Dead letters that are kept; the oldest make room.
const DEAD_LETTERS: i32 = 10_000;

/// A run's events are kept so long while nobody listens: 7 days, in milliseconds.
const RUN_EXPIRES: i32 = 7 * 24 * 3600 * 1000;

/// Control messages and heartbeats that wait for one receiver; the oldest make room.
const BROADCAST_HELD: i32 = 10_000;

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
    pub(super) fn under(prefix: &str) -> Self {
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

    /// Declares what every process needs.
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

    /// Declares the queue of a run and connects it to the events of that run.
    pub(super) async fn declare_run(&self, channel: &Channel, run: RunId) -> lapin::Result<()> {
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
            .await
    }

    /// Declares a queue of this connection alone that receives everything
    /// published to `exchange` from now on; gives its name.
    pub(super) async fn declare_listener(
        &self,
        channel: &Channel,
        exchange: &str,
    ) -> lapin::Result<String> {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(BROADCAST_HELD));
        let exclusive = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel
            .queue_declare("".into(), exclusive, arguments)
            .await?;
        let name = queue.name().as_str().to_owned();
        // A fan-out exchange ignores the key, a topic exchange takes everything for "#".
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

/// Quorum queues survive the loss of a broker node; a classic queue would be
/// unroutable while its node is down, and unroutable means that a run is over.
fn quorum(mut arguments: FieldTable) -> FieldTable {
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

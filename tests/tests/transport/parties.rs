//! Two processes on one transport, for suites that run over both transports.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use harness::services::shared_rabbitmq;
use shared::ids::{Attempt, RunId, TableId, TableName};
use shared::message::{ColumnSelection, Scope, Side, TableSpec, Task};
use shared::outcome::Depth;
use shared::transport::local::LocalTransport;
use shared::transport::rabbit::{RabbitOptions, RabbitTransport};
use shared::transport::{Deliveries, Delivery, Transport};

/// How long anything may take that should happen.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// How long to wait for an event that must not happen.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// Two processes on one broker, or one process twice.
pub(crate) struct Parties {
    pub(crate) one: Arc<dyn Transport>,
    pub(crate) other: Arc<dyn Transport>,
}

impl Parties {
    pub(crate) async fn local() -> Self {
        let transport: Arc<dyn Transport> = LocalTransport::new();
        Self {
            one: Arc::clone(&transport),
            other: transport,
        }
    }

    pub(crate) async fn rabbit() -> Self {
        let broker = shared_rabbitmq();
        let prefix = broker.unique_prefix();
        Self {
            one: connect(broker.amqp_url(), &prefix).await,
            other: connect(broker.amqp_url(), &prefix).await,
        }
    }
}

/// A separate process on the broker.
pub(crate) async fn connect(url: &str, prefix: &str) -> Arc<RabbitTransport> {
    let options = RabbitOptions {
        prefix: prefix.to_owned(),
        ..RabbitOptions::new(url, "test")
    };
    RabbitTransport::connect(options).await.unwrap()
}

/// A task of a run.
pub(crate) fn task(run: RunId, table: u32) -> Task {
    let side = |endpoint: &str| Side {
        endpoint: endpoint.into(),
        table: TableName {
            schema: None,
            name: format!("table_{table}"),
        },
    };
    Task {
        run,
        table: TableId(table),
        attempt: Attempt::FIRST,
        scope: Scope::WholeTable,
        spec: TableSpec {
            source: side("erp"),
            target: side("copy"),
            depth: Depth::Rows,
            key: None,
            columns: ColumnSelection::default(),
            max_differences: 100,
            chunk_size: 500,
            timeout: Duration::from_secs(3600),
            options: shared::options::TableOptions::default(),
        },
        databases: Vec::new(),
        avoid: Vec::new(),
    }
}

/// The next delivery, within [`BOUND`].
pub(crate) async fn next<T>(deliveries: &mut Deliveries<T>) -> Delivery<T> {
    tokio::time::timeout(BOUND, deliveries.next())
        .await
        .expect("nothing was delivered")
        .expect("the stream ended")
}

/// Looks for [`QUIET`] that nothing is delivered.
pub(crate) async fn nothing<T>(deliveries: &mut Deliveries<T>) {
    let early = tokio::time::timeout(QUIET, deliveries.next()).await;
    assert!(early.is_err(), "a delivery came that should not have");
}

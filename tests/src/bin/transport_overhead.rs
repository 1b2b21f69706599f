//! `transport-overhead`: the cost of a table apart from its comparison, from the
//! publication of its task to the receipt of its result.
//!
//! Keeps as many tables outstanding as all workers together run. With
//! `--broker`, the workers are `idle-worker` processes started by hand; without
//! it, two workers of this process, over the in-process transport.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use futures::StreamExt as _;
use shared::ids::{Attempt, RunId, TableId, TableName, WorkerId};
use shared::message::{ColumnSelection, EventBody, Scope, Side, TableSpec, Task};
use shared::outcome::Depth;
use shared::transport::local::LocalTransport;
use shared::transport::rabbit::{DEFAULT_PREFIX, RabbitOptions, RabbitTransport};
use shared::transport::{Ownership, TraceContext, Transport};
use tests::idle::IdleEngine;
use worker::service::{self, WorkerOptions};

#[derive(Debug, Parser)]
#[command(name = "transport-overhead")]
struct Flags {
    /// amqp://user:password@host:5672/vhost; without it, in-process
    #[arg(long, env = "RECONCILE_BROKER", hide_env_values = true)]
    broker: Option<String>,
    /// Begins the name of every queue and exchange
    #[arg(long, default_value = DEFAULT_PREFIX)]
    prefix: String,
    /// Tables in all
    #[arg(long, default_value_t = 5000)]
    tables: u32,
    /// Tables outstanding
    #[arg(long, default_value_t = 8)]
    outstanding: u32,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing was installed before");
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("the operating system gives threads and a reactor")
    };
    actix_rt::System::with_tokio_rt(runtime).block_on(async {
        // Not on the thread of the actor system, which the actors need.
        tokio::spawn(measure(
            transport(&flags).await?,
            flags.tables,
            flags.outstanding,
        ))
        .await?
    })
}

async fn transport(flags: &Flags) -> anyhow::Result<Arc<dyn Transport>> {
    if let Some(broker) = &flags.broker {
        let options = RabbitOptions {
            prefix: flags.prefix.clone(),
            ..RabbitOptions::new(broker, "transport-overhead")
        };
        return Ok(RabbitTransport::connect(options).await?);
    }
    let transport = LocalTransport::new();
    for _ in 0..2 {
        let options = WorkerOptions::new(WorkerId::generate(), 4);
        service::start(options, transport.clone(), Arc::new(IdleEngine)).await?;
    }
    Ok(transport)
}

async fn measure(
    transport: Arc<dyn Transport>,
    tables: u32,
    outstanding: u32,
) -> anyhow::Result<()> {
    let run = RunId::generate();
    let mut events = transport.consume_events(run).await?;
    let begin = Instant::now();
    let mut published_at = Vec::new();
    let mut latencies: Vec<Duration> = Vec::new();
    while latencies.len() < tables as usize {
        while published_at.len() < tables as usize
            && published_at.len() - latencies.len() < outstanding as usize
        {
            let table = u32::try_from(published_at.len())?;
            published_at.push(Instant::now());
            let (transport, task) = (Arc::clone(&transport), task(run, table));
            tokio::spawn(async move {
                if let Err(error) = transport
                    .publish_task(&task, &TraceContext::default())
                    .await
                {
                    tracing::error!("a task was not published: {error}");
                }
            });
        }
        let delivery = tokio::time::timeout(Duration::from_secs(60), events.next())
            .await
            .context("no event for a minute; are there workers?")?
            .context("the transport was closed")?;
        anyhow::ensure!(
            delivery.ack().await == Ownership::Owned,
            "an event was lost and comes again"
        );
        if let EventBody::Finished { .. } = delivery.message.body {
            latencies.push(published_at[delivery.message.work.table.index()].elapsed());
        }
    }
    let wall = begin.elapsed();
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    writeln!(
        std::io::stdout(),
        "{tables} tables, {outstanding} outstanding: {:.3} ms of wall time a table; from publishing to result {:.3} ms median, {:.3} ms 99th percentile",
        wall.as_secs_f64() * 1e3 / f64::from(tables),
        at(50),
        at(99),
    )?;
    transport.forget_run(run).await?;
    transport.close().await;
    Ok(())
}

fn task(run: RunId, table: u32) -> Task {
    let side = |endpoint: &str| Side {
        endpoint: endpoint.into(),
        table: TableName {
            schema: Some("dbo".into()),
            name: format!("table_{table}"),
        },
    };
    Task {
        run,
        table: TableId(table),
        attempt: Attempt::FIRST,
        scope: Scope::WholeTable,
        spec: TableSpec {
            source: side("source"),
            target: side("target"),
            depth: Depth::Rows,
            key: None,
            columns: ColumnSelection::default(),
            max_differences: 1000,
            chunk_size: 1000,
            timeout: Duration::from_secs(3600),
            options: shared::options::TableOptions::default(),
        },
        databases: Vec::new(),
        avoid: Vec::new(),
    }
}

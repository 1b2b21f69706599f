//! What a table costs apart from its comparison: a run in one process with an
//! engine that does nothing. `cargo run --release --example overhead [TABLES] [AT ONCE]`

use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use coordinator::run::{self, RunRequest, Unobserved};
use coordinator::run_state::{Limits, PlannedTable, Window};
use shared::ids::{TableName, WorkerId};
use shared::message::{ColumnSelection, Side, TableSpec, Task};
use shared::outcome::{Comparison, Depth};
use shared::transport::local::LocalTransport;
use worker::engine::{Engine, Stop, TaskContext};
use worker::service::{self, WorkerOptions};

#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Engine for Nothing {
    async fn reconcile(&self, _: &Task, _: &TaskContext) -> Result<Comparison, Stop> {
        Ok(Comparison {
            source_count: 1,
            target_count: 1,
            checksums: None,
            rows: None,
            key: Vec::new(),
            notes: Vec::new(),
        })
    }
}

fn table(number: u32) -> PlannedTable {
    let side = || Side {
        endpoint: "e".to_owned(),
        table: TableName {
            schema: None,
            name: format!("t{number}"),
        },
    };
    PlannedTable::new(TableSpec {
        source: side(),
        target: side(),
        depth: Depth::Counts,
        key: None,
        columns: ColumnSelection::default(),
        max_differences: 10,
        chunk_size: 10,
        timeout: Duration::from_secs(60),
    })
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u32| arguments.next().map_or(Ok(default), |text| text.parse());
    let (tables, at_once) = (number(5_000)?, number(16)?);
    let window = NonZeroU32::new(at_once).context("at least one at a time")?;
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("the operating system gives threads and a reactor")
    };
    actix_rt::System::with_tokio_rt(runtime).block_on(async move {
        let transport = LocalTransport::new();
        let options = WorkerOptions::new(WorkerId::named("w"), u16::try_from(at_once)?);
        let worker = service::start(options, transport.clone(), Arc::new(Nothing)).await?;
        let limits = Limits {
            window: Window::Fixed(window),
            ..Limits::default()
        };
        let start = Instant::now();
        let request = RunRequest::new((0..tables).map(table).collect(), limits);
        let report = run::start(request, transport, Box::new(Unobserved))
            .await?
            .report()
            .await?;
        let each = start.elapsed() / tables.max(1);
        worker.drain().await;
        anyhow::ensure!(
            report.matched == tables as usize,
            "not every table was compared"
        );
        writeln!(
            std::io::stdout(),
            "{tables} tables, {at_once} at once: {each:?} a table"
        )?;
        Ok(())
    })
}

//! The cost of a table in one process apart from its comparison: a run over the
//! in-process transport with an engine that does nothing.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use coordinator::run::{self, RunRequest};
use coordinator::run_state::{Limits, PlannedTable, Window};
use coordinator::store::Recorder;
use shared::ids::{TableName, WorkerId};
use shared::message::{ColumnSelection, Side, TableSpec};
use shared::outcome::Depth;
use shared::transport::local::LocalTransport;
use tests::idle::IdleEngine;
use worker::service::{self, WorkerOptions};

use crate::measure::median;
use crate::output::{print_line, print_number};

const TABLES: u32 = 5000;

const AT_ONCE: u16 = 8;

pub(crate) fn overhead(runs: usize) -> anyhow::Result<()> {
    print_line(&format!(
        "overhead: {TABLES} tables that cost nothing, {AT_ONCE} at once, in one process"
    ));
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("the operating system gives threads and a reactor")
    };
    let system = actix_rt::System::with_tokio_rt(runtime);
    let mut times = Vec::new();
    for _ in 0..runs {
        times.push(system.block_on(one_run())?);
    }
    let time = median(times);
    print_number("a run, median", &format!("{time:.2} s"), "-");
    print_number(
        "a table",
        &format!("{:.3} ms", time * 1000.0 / f64::from(TABLES)),
        "0.1 ms",
    );
    Ok(())
}

async fn one_run() -> anyhow::Result<Duration> {
    let transport = LocalTransport::new();
    let options = WorkerOptions::new(WorkerId::named("idle"), AT_ONCE);
    let worker = service::start(options, transport.clone(), Arc::new(IdleEngine)).await?;
    let window = NonZeroU32::new(AT_ONCE.into()).expect("a constant above 0");
    let limits = Limits {
        window: Window::Fixed(window),
        ..Limits::default()
    };
    let request = RunRequest::new((0..TABLES).map(table).collect(), limits);
    let start = Instant::now();
    let report = run::start(request, transport, Box::new(None::<Recorder>))
        .await?
        .report()
        .await?;
    let elapsed = start.elapsed();
    worker.drain().await;
    ensure!(
        report.matched == TABLES as usize,
        "not every table was compared"
    );
    Ok(elapsed)
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
        options: shared::options::TableOptions::default(),
    })
}

//! The cost of storing a run: tables with an engine that does nothing, over the
//! in-process transport, with and without the store.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use coordinator::run::{self, RunObserver, RunRequest};
use coordinator::run_state::{Limits, PlannedTable, TableScope, Window};
use coordinator::store::{
    Recorder, RunStore, RunWriter, StoredSettings, StoredSide, WorkerLocation,
};
use shared::ids::{TableName, WorkerId};
use shared::message::{ColumnSelection, Side, TableSpec};
use shared::outcome::Depth;
use shared::transport::local::LocalTransport;
use tests::idle::IdleEngine;
use worker::service::{self, WorkerOptions};

/// Tables of each run.
const TABLES: u32 = 5_000;

/// What keeping a table may cost at most, in a debug build on a busy machine.
/// A store that waited for the disk once a table would cost more.
const BOUND: Duration = Duration::from_millis(1);

fn tables() -> Vec<PlannedTable> {
    let side = |endpoint: &str, n: u32| Side {
        endpoint: endpoint.to_owned(),
        table: TableName {
            schema: None,
            name: format!("t{n}"),
        },
    };
    (0..TABLES)
        .map(|n| {
            PlannedTable::new(TableSpec {
                source: side("source", n),
                target: side("target", n),
                depth: Depth::Counts,
                key: None,
                columns: ColumnSelection::default(),
                max_differences: 100,
                chunk_size: 100,
                timeout: Duration::from_secs(600),
                options: shared::options::TableOptions::default(),
            })
        })
        .collect()
}

/// Runs all tables; returns the time from the start to the report.
async fn run_all(directory: Option<&Path>) -> Duration {
    let transport = LocalTransport::new();
    let options = WorkerOptions::new(WorkerId::generate(), 8);
    let worker = service::start(options, transport.clone(), Arc::new(IdleEngine))
        .await
        .unwrap();
    let limits = Limits {
        window: Window::Fixed(NonZeroU32::new(8).unwrap()),
        ..Limits::default()
    };
    let request = RunRequest::new(tables(), limits.clone());
    let side = |name: &str| StoredSide {
        name: name.to_owned(),
        from_url: false,
        database: None,
    };
    let begin = Instant::now();
    let writer = directory.map(|directory| {
        let mut store = RunStore::open(directory).unwrap();
        let settings = StoredSettings {
            output_dir: None,
            rows_output: None,
            scope: TableScope::default(),
            name: None,
            limits,
            location: WorkerLocation::Local { concurrency: 8 },
            source: side("source"),
            target: side("target"),
        };
        store
            .create(request.run, Utc::now(), &settings, &request.tables)
            .unwrap();
        Arc::new(RunWriter::start(&store.path(), request.run).unwrap())
    });
    let observer: Box<dyn RunObserver> = match &writer {
        None => Box::new(None::<Recorder>),
        Some(writer) => Box::new(Recorder::new(Arc::clone(writer))),
    };
    let handle = run::start(request, transport, observer).await.unwrap();
    let mut report = handle.report().await.unwrap();
    if let Some(writer) = &writer {
        writer.finish(&mut report).await;
    }
    let elapsed = begin.elapsed();
    worker.drain().await;
    assert_eq!((report.matched, report.notes.len()), (TABLES as usize, 0));
    elapsed
}

#[test]
fn keeping_a_run_costs_little_a_table() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (without, with) = actix_rt::System::with_tokio_rt(runtime).block_on(async {
        // The first one warms up.
        run_all(None).await;
        (run_all(None).await, run_all(Some(directory.path())).await)
    });
    let store = RunStore::find(directory.path()).unwrap().unwrap();
    let kept = store.run("latest").unwrap();
    assert_eq!(kept.counts.matched, TABLES as usize);
    assert!(kept.summary.is_some());
    let cost = with.saturating_sub(without) / TABLES;
    println!(
        "{TABLES} tables: {:?} a table without the store, {:?} with it, {cost:?} more",
        without / TABLES,
        with / TABLES
    );
    assert!(cost < BOUND, "keeping a table costs {cost:?}");
}

//! Whole runs in one process, with a scripted engine.

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shared::config::FailFast;
use shared::ids::{Attempt, TableId, TableName, WorkerId};
use shared::message::{ColumnSelection, Event, EventBody, Side, TableSpec, Task, WorkId};
use shared::outcome::{
    Checksums, Comparison, Depth, Difference, DifferenceKind, Failure, FailureKind, RowCounts,
};
use shared::transport::local::LocalTransport;
use shared::transport::{Ownership, TraceContext, Transport};
use worker::engine::{Engine, FindingBatch, Stop, TaskContext};
use worker::service::{self, WorkerHandle, WorkerOptions};

use super::*;
use crate::report::RunStatus;
use crate::run_state::{Effect, TableStatus, Window};

/// What the engine does with a table, by the table's name.
#[derive(Debug, Clone, Copy)]
enum Act {
    Match,
    Differ,
    Fail,
    Panic,
    /// Fails so many times with what may pass, then matches.
    Flaky(u32),
    /// Runs until it is cancelled.
    Hang,
    /// Does so at the first time, then matches.
    HangOnce,
}

#[derive(Debug, Default)]
struct Scripted {
    acts: BTreeMap<String, Act>,
    calls: AtomicU32,
    failures: Mutex<BTreeMap<String, u32>>,
}

fn comparison(modified: u64) -> Comparison {
    Comparison {
        source_count: 5,
        target_count: 5,
        checksums: Some(Checksums {
            source: format!("{:032x}", 1),
            target: format!("{:032x}", 1 + modified),
            checksum_key: Some("0f1e2d3c".to_owned()),
        }),
        rows: Some(RowCounts {
            missing: 0,
            extra: 0,
            modified,
            settled: 0,
            truncated: false,
        }),
        key: vec!["id".to_owned()],
        notes: Vec::new(),
        causes: Vec::new(),
        reads: None,
        repair: None,
        coverage: None,
    }
}

fn failure(kind: FailureKind) -> Stop {
    let message = format!("{kind} happened");
    Stop::Failed(Failure::new(kind, message))
}

#[async_trait]
impl Engine for Scripted {
    async fn reconcile(&self, task: &Task, context: &TaskContext) -> Result<Comparison, Stop> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let name = &task.spec.source.table.name;
        match self.acts[name] {
            Act::Match => Ok(comparison(0)),
            Act::Differ => {
                let key = serde_json::Map::from_iter([("id".to_owned(), 7.into())]);
                let row = Difference {
                    kind: DifferenceKind::Modified,
                    key,
                    columns: Vec::new(),
                };
                for _ in 0..2 {
                    context
                        .findings
                        .send(FindingBatch::Rows(vec![row.clone()]))
                        .await
                        .map_err(|_| Stop::Cancelled)?;
                }
                Ok(comparison(2))
            }
            Act::Fail => Err(failure(FailureKind::TableNotFound)),
            Act::Panic => panic!("the script says so"),
            Act::Flaky(times) => {
                let mut failures = self
                    .failures
                    .lock()
                    .expect("no panic while the lock is held");
                let seen = failures.entry(name.clone()).or_default();
                *seen += 1;
                if *seen > times {
                    Ok(comparison(0))
                } else {
                    Err(failure(FailureKind::ConnectionError))
                }
            }
            Act::HangOnce if task.attempt > Attempt::FIRST => Ok(comparison(0)),
            Act::Hang | Act::HangOnce => {
                context.cancel.cancelled().await;
                Err(Stop::Cancelled)
            }
        }
    }
}

/// A transport, workers on it, and the tables of a script.
struct Stage {
    transport: Arc<LocalTransport>,
    engine: Arc<Scripted>,
    tables: Vec<PlannedTable>,
}

impl Stage {
    fn new(acts: &[(&str, Act)]) -> Self {
        let tables = acts
            .iter()
            .map(|(name, _)| PlannedTable::new(spec(name)))
            .collect();
        let acts = acts
            .iter()
            .map(|(name, act)| ((*name).to_owned(), *act))
            .collect();
        let engine = Arc::new(Scripted {
            acts,
            ..Scripted::default()
        });
        Self {
            transport: LocalTransport::new(),
            engine,
            tables,
        }
    }

    async fn worker(&self, name: &str, concurrency: u16) -> WorkerHandle {
        let options = WorkerOptions {
            heartbeat_period: Duration::from_millis(50),
            drain_grace: Duration::ZERO,
            ..WorkerOptions::new(WorkerId::named(name), concurrency)
        };
        service::start(options, self.transport.clone(), self.engine.clone())
            .await
            .unwrap()
    }

    async fn start(&self, limits: Limits) -> RunHandle {
        let request = RunRequest::new(self.tables.clone(), limits);
        start(request, self.transport.clone(), Box::new(None::<Recorder>))
            .await
            .unwrap()
    }

    /// Waits until the engine has been called so many times.
    async fn calls(&self, count: u32) {
        soon(async {
            while self.engine.calls.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// One worker, one run, its report.
    async fn run(&self, limits: Limits) -> RunReport {
        let worker = self.worker("w", 4).await;
        let report = soon(self.start(limits).await.report()).await.unwrap();
        soon(worker.drain()).await;
        report
    }
}

fn spec(name: &str) -> TableSpec {
    let side = || Side {
        endpoint: "e".to_owned(),
        table: TableName {
            schema: None,
            name: name.to_owned(),
        },
    };
    TableSpec {
        source: side(),
        target: side(),
        depth: Depth::Rows,
        key: None,
        columns: ColumnSelection::default(),
        max_differences: 10,
        chunk_size: 10,
        timeout: Duration::from_secs(60),
        options: shared::options::TableOptions::default(),
    }
}

fn limits(window: u32) -> Limits {
    Limits {
        window: Window::Fixed(NonZeroU32::new(window).unwrap()),
        backoff: Duration::from_millis(10),
        heartbeat_period: Duration::from_millis(50),
        ..Limits::default()
    }
}

/// Waits for what must not take long.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it takes no 20 seconds")
}

fn on_a_system<T>(story: impl Future<Output = T>) -> T {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    };
    actix_rt::System::with_tokio_rt(runtime).block_on(story)
}

fn statuses(report: &RunReport) -> Vec<TableStatus> {
    report.results.iter().map(|result| result.status).collect()
}

#[test]
fn every_table_gets_its_verdict() {
    let stage = Stage::new(&[
        ("a", Act::Match),
        ("b", Act::Differ),
        ("c", Act::Fail),
        ("d", Act::Flaky(2)),
        ("e", Act::Flaky(9)),
        ("f", Act::Panic),
    ]);
    let report = on_a_system(stage.run(limits(3)));
    use TableStatus::{Failed, Matched, Mismatched};
    assert_eq!(
        statuses(&report),
        [Matched, Mismatched, Failed, Matched, Failed, Failed]
    );
    assert_eq!(report.status, RunStatus::Incomplete);
    assert_eq!(report.results[1].differences.len(), 2);
    assert_eq!(report.results[3].attempt, 3);
    assert_eq!(report.results[0].worker.as_deref(), Some("w"));
    let errors: Vec<(&str, u32, usize)> = report
        .errors
        .iter()
        .map(|error| (error.kind.as_str(), error.attempt, error.history.len()))
        .collect();
    assert_eq!(
        errors[..2],
        [("TableNotFound", 1, 0), ("ConnectionError", 3, 2)]
    );
}

#[test]
fn fail_fast_stops_what_runs() {
    let stage = Stage::new(&[
        ("a", Act::Hang),
        ("b", Act::Fail),
        ("c", Act::Match),
        ("d", Act::Match),
    ]);
    let report = on_a_system(stage.run(Limits {
        fail_fast: FailFast::Error,
        ..limits(2)
    }));
    let cause = report.root_cause.as_ref().expect("a root cause");
    assert_eq!(
        (cause.table.as_str(), cause.kind.as_str()),
        ("b", "TableNotFound")
    );
    use TableStatus::{Cancelled, Failed};
    assert_eq!(statuses(&report), [Cancelled, Failed, Cancelled, Cancelled]);
    assert!(report.results[0].quiet_after_ms.is_some());
    assert_eq!(stage.engine.calls.load(Ordering::Relaxed), 2);
}

#[test]
fn a_table_that_takes_too_long_times_out_alone() {
    let mut stage = Stage::new(&[("a", Act::Hang), ("b", Act::Match)]);
    stage.tables[0].spec.timeout = Duration::from_millis(300);
    let report = on_a_system(stage.run(limits(1)));
    assert_eq!(
        statuses(&report),
        [TableStatus::Timeout, TableStatus::Matched]
    );
    assert_eq!(report.errors[0].kind, FailureKind::TimeoutError);
}

#[test]
fn a_cancelled_run_reports_what_it_knows() {
    let stage = Stage::new(&[("a", Act::Match), ("b", Act::Hang), ("c", Act::Match)]);
    let report = on_a_system(async {
        let worker = stage.worker("w", 1).await;
        let handle = stage.start(limits(1)).await;
        let control = handle.control();
        stage.calls(2).await;
        control.cancel();
        control.cancel();
        let report = soon(handle.report()).await.unwrap();
        soon(worker.drain()).await;
        report
    });
    use TableStatus::{Cancelled, Matched};
    assert_eq!(statuses(&report), [Matched, Cancelled, Cancelled]);
    assert!(report.interrupted);
}

#[test]
fn a_table_that_is_handed_back_goes_to_another_worker() {
    let stage = Stage::new(&[("a", Act::HangOnce)]);
    let report = on_a_system(async {
        let first = stage.worker("first", 1).await;
        let handle = stage.start(limits(1)).await;
        stage.calls(1).await;
        soon(first.drain()).await;
        let second = stage.worker("second", 1).await;
        let report = soon(handle.report()).await.unwrap();
        soon(second.drain()).await;
        report
    });
    let result = &report.results[0];
    assert_eq!((result.status, result.attempt), (TableStatus::Matched, 2));
    assert_eq!(result.worker.as_deref(), Some("second"));
}

#[test]
fn a_run_over_a_closed_transport_ends() {
    let stage = Stage::new(&[("a", Act::Match)]);
    let report = on_a_system(async {
        let handle = stage.start(limits(1)).await;
        stage.transport.close().await;
        soon(handle.report()).await.unwrap()
    });
    assert_eq!(report.errors[0].kind, FailureKind::BrokerError);
}

#[test]
fn a_run_leaves_nothing_at_the_transport() {
    let stage = Stage::new(&[("a", Act::Match)]);
    on_a_system(async {
        let worker = stage.worker("w", 1).await;
        let handle = stage.start(limits(1)).await;
        let run = handle.run;
        soon(handle.report()).await.unwrap();
        soon(worker.drain()).await;
        let event = Event {
            work: WorkId {
                run,
                table: TableId(0),
                attempt: Attempt::FIRST,
            },
            worker: WorkerId::named("late"),
            body: EventBody::Claimed,
            databases: Vec::new(),
        };
        let late = stage
            .transport
            .publish_event(&event, &Default::default())
            .await;
        assert!(
            matches!(late, Err(TransportError::Unroutable(_))),
            "{late:?}"
        );
    });
}

#[test]
fn a_worker_that_dies_loses_its_table_to_another() {
    let stage = Stage::new(&[("a", Act::Match)]);
    let report = on_a_system(async {
        let handle = stage.start(limits(1)).await;
        let mut tasks = stage.transport.consume_tasks(1).await.unwrap();
        let delivery = soon(tasks.next()).await.expect("a task");
        let claim = Event {
            work: delivery.message.work(),
            worker: WorkerId::named("dead"),
            body: EventBody::Claimed,
            databases: Vec::new(),
        };
        let trace = TraceContext::default();
        stage.transport.publish_event(&claim, &trace).await.unwrap();
        assert_eq!(delivery.ack().await, Ownership::Owned);
        drop(tasks);
        let worker = stage.worker("w", 1).await;
        let report = soon(handle.report()).await.unwrap();
        soon(worker.drain()).await;
        report
    });
    let result = &report.results[0];
    assert_eq!((result.status, result.attempt), (TableStatus::Matched, 2));
    assert_eq!(result.worker.as_deref(), Some("w"));
}

/// Writes down what it sees.
struct Recorder(Arc<Mutex<Vec<Effect>>>);

impl RunObserver for Recorder {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        for effect in effects {
            if let Effect::TableEnded(table) = effect {
                assert!(
                    state.record(*table).is_some(),
                    "the record exists when the end is observed"
                );
            }
        }
        self.0
            .lock()
            .expect("no panic while the lock is held")
            .extend_from_slice(effects);
    }
}

#[test]
fn an_observer_sees_every_effect_of_a_run() {
    let stage = Stage::new(&[("a", Act::Match), ("b", Act::Fail)]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    on_a_system(async {
        let worker = stage.worker("w", 1).await;
        let request = RunRequest::new(stage.tables.clone(), limits(1));
        let observer = Box::new(Recorder(seen.clone()));
        let handle = start(request, stage.transport.clone(), observer)
            .await
            .unwrap();
        soon(handle.report()).await.unwrap();
        soon(worker.drain()).await;
    });
    let seen = seen.lock().unwrap();
    let ended = seen
        .iter()
        .filter(|effect| matches!(effect, Effect::TableEnded(_)))
        .count();
    assert_eq!((ended, seen.last()), (2, Some(&Effect::Complete)));
}

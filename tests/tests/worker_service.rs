//! The worker service with an engine that each test scripts, over both transports.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "transport/parties.rs"]
mod parties;
#[path = "worker_service/script.rs"]
mod script;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use harness::poll::poll;
use harness::services::RabbitMq;
use shared::ids::{RunId, WorkerId};
use shared::message::{Control, Event, EventBody};
use shared::outcome::{Comparison, Difference, DifferenceKind, Failure, FailureKind, Outcome};
use shared::transport::{Deliveries, Ownership, TraceContext};
use worker::engine::{FindingBatch, Stop};
use worker::service::{WorkerHandle, WorkerOptions, start};

use parties::{BOUND, Parties, QUIET, connect, next, nothing, task};
use script::{ScriptedEngine, Step, equal, in_system};

/// Every test of the list, over both transports.
macro_rules! over_both {
    ($($test:ident),* $(,)?) => {
        mod in_process {
            $(#[test]
            fn $test() { super::in_system(async || super::$test(super::Parties::local().await).await); })*
        }
        mod rabbitmq {
            $(#[test]
            fn $test() { super::in_system(async || super::$test(super::Parties::rabbit().await).await); })*
        }
    };
}

over_both!(
    as_many_tables_run_as_allowed_and_never_more,
    a_panic_is_the_outcome_of_its_table_alone,
    a_cancelled_attempt_stops_and_says_how_long_it_took,
    an_error_after_a_cancel_is_its_consequence,
    a_cancelled_run_stops_and_its_later_tasks_are_dropped,
    work_that_runs_already_is_not_started_again,
    a_task_of_a_run_that_is_over_is_dropped,
    differences_arrive_in_order_and_complete,
    a_worker_stops_a_table_at_its_own_time_limit,
    a_drain_lets_tables_finish_and_takes_no_more,
    a_drain_hands_back_what_does_not_finish,
    heartbeats_list_what_is_owned_and_come_when_asked,
    a_closed_transport_ends_the_worker,
);

/// A worker on one side, and the coordinator's half of a run on the other.
struct Stage {
    parties: Parties,
    run: RunId,
    events: Deliveries<Event>,
    engine: Arc<ScriptedEngine>,
    worker: WorkerHandle,
}

impl Stage {
    async fn set<F>(
        parties: Parties,
        concurrency: u16,
        script: impl Fn(Step) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Comparison, Stop>> + Send + 'static,
    {
        Self::with(
            parties,
            WorkerOptions::new(WorkerId::named("worker"), concurrency),
            script,
        )
        .await
    }

    async fn with<F>(
        parties: Parties,
        options: WorkerOptions,
        script: impl Fn(Step) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Comparison, Stop>> + Send + 'static,
    {
        let run = RunId::generate();
        let events = parties.one.consume_events(run).await.unwrap();
        let engine = ScriptedEngine::new(script);
        let worker = start(options, parties.other.clone(), engine.clone())
            .await
            .unwrap();
        Self {
            parties,
            run,
            events,
            engine,
            worker,
        }
    }

    async fn publish(&self, tables: impl IntoIterator<Item = u32>) {
        for table in tables {
            self.parties
                .one
                .publish_task(&task(self.run, table), &TraceContext::default())
                .await
                .unwrap();
        }
    }

    async fn control(&self, control: Control) {
        self.parties.one.publish_control(&control).await.unwrap();
    }

    /// The table and the body of the next event.
    async fn event(&mut self) -> (u32, EventBody) {
        let delivery = next(&mut self.events).await;
        assert_eq!(delivery.ack().await, Ownership::Owned);
        (delivery.message.work.table.0, delivery.message.body.clone())
    }

    /// Waits until a table ended; other events on the way are let go.
    async fn finished(&mut self) -> (u32, Outcome, u32) {
        loop {
            if let (
                table,
                EventBody::Finished {
                    outcome, batches, ..
                },
            ) = self.event().await
            {
                return (table, *outcome, batches);
            }
        }
    }

    async fn claimed(&mut self, tables: usize) {
        for _ in 0..tables {
            assert_eq!(self.event().await.1, EventBody::Claimed);
        }
    }
}

fn row(id: u32, text: &str) -> Difference {
    let key = serde_json::Map::from_iter([
        ("id".to_owned(), id.into()),
        ("text".to_owned(), text.into()),
    ]);
    Difference {
        kind: DifferenceKind::Missing,
        key,
        columns: Vec::new(),
    }
}

async fn as_many_tables_run_as_allowed_and_never_more(parties: Parties) {
    let mut stage = Stage::set(parties, 3, |step: Step| async move {
        step.gate().await;
        Ok(equal())
    })
    .await;
    stage.publish(0..12).await;
    stage.engine.running(3).await;
    tokio::time::timeout(QUIET, stage.engine.running(4))
        .await
        .expect_err("a fourth table runs");
    stage.engine.open(12);
    let mut tables = Vec::new();
    for _ in 0..12 {
        let (table, outcome, _) = stage.finished().await;
        assert_eq!(outcome, Outcome::Compared(equal()));
        tables.push(table);
    }
    tables.sort_unstable();
    assert_eq!(tables, (0..12).collect::<Vec<_>>());
    assert_eq!(stage.engine.most(), 3);
}

async fn a_panic_is_the_outcome_of_its_table_alone(parties: Parties) {
    let mut stage = Stage::set(parties, 1, |step: Step| async move {
        assert!(step.task.table.0 != 0, "the first table is cursed");
        Ok(equal())
    })
    .await;
    stage.publish([0, 1]).await;
    let (table, outcome, batches) = stage.finished().await;
    let Outcome::Failed(failure) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((table, batches), (0, 0));
    assert_eq!(
        (
            failure.kind.as_str(),
            failure.retryable,
            failure.counts_against_budget
        ),
        ("Panic", false, true)
    );
    assert!(
        failure.message.contains("table_0") && failure.message.contains("cursed"),
        "{failure}"
    );
    assert_eq!(stage.finished().await, (1, Outcome::Compared(equal()), 0));
}

async fn a_cancelled_attempt_stops_and_says_how_long_it_took(parties: Parties) {
    let mut stage = Stage::set(parties, 2, |step: Step| async move {
        step.until_cancelled().await
    })
    .await;
    stage.publish([0, 1]).await;
    stage.claimed(2).await;
    stage
        .control(Control::CancelAttempt {
            work: task(stage.run, 1).work(),
        })
        .await;
    let (table, outcome, _) = stage.finished().await;
    let Outcome::Cancelled { quiet_after_ms } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(table, 1);
    // Cancelled before the engine began takes no time; else as long as the engine does.
    assert!(
        quiet_after_ms < 5_000 && (quiet_after_ms >= 40 || stage.engine.most() < 2),
        "{quiet_after_ms} ms"
    );
    nothing(&mut stage.events).await;
}

async fn an_error_after_a_cancel_is_its_consequence(parties: Parties) {
    let mut stage = Stage::set(parties, 1, |step: Step| async move {
        step.context.cancel.cancelled().await;
        Err(Stop::Failed(Failure::new(
            FailureKind::ConnectionError,
            "connection closed",
        )))
    })
    .await;
    stage.publish([0]).await;
    stage.engine.running(1).await;
    stage.control(Control::CancelRun { run: stage.run }).await;
    let (_, outcome, _) = stage.finished().await;
    assert!(matches!(outcome, Outcome::Cancelled { .. }), "{outcome:?}");
}

async fn a_cancelled_run_stops_and_its_later_tasks_are_dropped(parties: Parties) {
    let mut stage = Stage::set(parties, 2, |step: Step| async move {
        match step.task.table.0 {
            0 | 1 => step.until_cancelled().await,
            _ => Ok(equal()),
        }
    })
    .await;
    stage.publish([0, 1]).await;
    stage.engine.running(2).await;
    stage.control(Control::CancelRun { run: stage.run }).await;
    for _ in 0..2 {
        let (_, outcome, _) = stage.finished().await;
        assert!(matches!(outcome, Outcome::Cancelled { .. }), "{outcome:?}");
    }
    // The rest of the run is dropped without a word; another run is served.
    stage.publish([2, 3]).await;
    let other = RunId::generate();
    let mut others = stage.parties.one.consume_events(other).await.unwrap();
    stage
        .parties
        .one
        .publish_task(&task(other, 9), &TraceContext::default())
        .await
        .unwrap();
    assert_eq!(next(&mut others).await.message.body, EventBody::Claimed);
    nothing(&mut stage.events).await;
    assert_eq!(stage.engine.seen(), [0, 1, 9].into());
}

async fn work_that_runs_already_is_not_started_again(parties: Parties) {
    let mut stage = Stage::set(parties, 2, |step: Step| async move {
        step.gate().await;
        Ok(equal())
    })
    .await;
    stage.publish([0]).await;
    stage.claimed(1).await;
    stage.engine.running(1).await;
    stage.publish([0]).await;
    nothing(&mut stage.events).await;
    stage.engine.open(2);
    assert_eq!(stage.finished().await, (0, Outcome::Compared(equal()), 0));
    nothing(&mut stage.events).await;
    assert_eq!(stage.engine.begun(), 1);
}

async fn a_task_of_a_run_that_is_over_is_dropped(parties: Parties) {
    let mut stage = Stage::set(parties, 1, |_: Step| async { Ok(equal()) }).await;
    let over = RunId::generate();
    stage
        .parties
        .one
        .publish_task(&task(over, 7), &TraceContext::default())
        .await
        .unwrap();
    stage.publish([1]).await;
    assert_eq!(stage.finished().await.0, 1);
    assert_eq!(stage.engine.seen(), [1].into());
}

async fn differences_arrive_in_order_and_complete(parties: Parties) {
    fn batches() -> Vec<Vec<Difference>> {
        let large = "ä".repeat(100_000);
        vec![
            vec![row(0, "small"), row(1, "small")],
            Vec::new(),
            (2..9).map(|id| row(id, &large)).collect(),
            vec![row(9, &"x".repeat(600_000)), row(10, "last")],
        ]
    }
    let mut stage = Stage::set(parties, 1, |step: Step| async move {
        for batch in batches() {
            step.context
                .findings
                .send(FindingBatch::Rows(batch))
                .await
                .unwrap();
        }
        Ok(equal())
    })
    .await;
    stage.publish([0]).await;
    stage.claimed(1).await;
    let mut received = Vec::new();
    let mut expected_batch = 0;
    loop {
        match stage.event().await.1 {
            EventBody::Differences { batch, rows } => {
                assert_eq!(batch, expected_batch);
                let size = serde_json::to_vec(&rows).unwrap().len();
                assert!(
                    rows.len() == 1 || size <= 257 * 1024,
                    "{} rows in {size} bytes",
                    rows.len()
                );
                expected_batch += 1;
                received.extend(rows);
            }
            EventBody::Finished { batches, .. } => {
                assert_eq!(batches, expected_batch);
                break;
            }
            other @ (EventBody::Claimed
            | EventBody::Repair { .. }
            | EventBody::RepairPart { .. }) => panic!("{other:?}"),
        }
    }
    assert!(expected_batch > 4);
    assert!(
        received == batches().concat(),
        "{} rows came",
        received.len()
    );
}

async fn a_worker_stops_a_table_at_its_own_time_limit(parties: Parties) {
    let options = WorkerOptions {
        backstop: Duration::from_millis(50),
        ..WorkerOptions::new(WorkerId::named("worker"), 1)
    };
    let mut stage = Stage::with(parties, options, |step: Step| async move {
        step.until_cancelled().await
    })
    .await;
    let mut short = task(stage.run, 0);
    short.spec.timeout = Duration::from_millis(10);
    stage
        .parties
        .one
        .publish_task(&short, &TraceContext::default())
        .await
        .unwrap();
    let (_, outcome, _) = stage.finished().await;
    assert!(
        matches!(outcome, Outcome::TimedOut { quiet_after_ms } if quiet_after_ms >= 40),
        "{outcome:?}"
    );
}

async fn a_drain_lets_tables_finish_and_takes_no_more(parties: Parties) {
    let mut stage = Stage::set(parties, 1, |step: Step| async move {
        step.gate().await;
        Ok(equal())
    })
    .await;
    stage.publish([0, 1]).await;
    stage.engine.running(1).await;
    let draining = tokio::spawn({
        let worker = stage.worker.clone();
        async move { worker.drain().await }
    });
    // Once it drains, another worker gets the second table.
    let mut elsewhere = stage.parties.one.consume_tasks(1).await.unwrap();
    let second = next(&mut elsewhere).await;
    assert_eq!(second.message.table.0, 1);
    assert!(!draining.is_finished());
    stage.engine.open(1);
    assert_eq!(stage.finished().await, (0, Outcome::Compared(equal()), 0));
    tokio::time::timeout(BOUND, draining)
        .await
        .expect("the drain does not end")
        .unwrap();
    assert_eq!(stage.engine.seen(), [0].into());
}

async fn a_drain_hands_back_what_does_not_finish(parties: Parties) {
    let options = WorkerOptions {
        drain_grace: Duration::from_millis(50),
        ..WorkerOptions::new(WorkerId::named("worker"), 2)
    };
    let mut stage = Stage::with(parties, options, |step: Step| async move {
        step.until_cancelled().await
    })
    .await;
    stage.publish([0, 1]).await;
    stage.engine.running(2).await;
    let mut presence = stage.parties.one.consume_heartbeats().await.unwrap();
    tokio::time::timeout(BOUND, stage.worker.drain())
        .await
        .expect("the drain does not end");
    for _ in 0..2 {
        assert_eq!(stage.finished().await.1, Outcome::HandedBack);
    }
    let farewell = async {
        loop {
            let heartbeat = presence.next().await.unwrap();
            assert!(heartbeat.draining);
            if heartbeat.owned.is_empty() {
                return;
            }
        }
    };
    tokio::time::timeout(BOUND, farewell)
        .await
        .expect("no last heartbeat without work");
}

async fn heartbeats_list_what_is_owned_and_come_when_asked(parties: Parties) {
    let mut presence = parties.one.consume_heartbeats().await.unwrap();
    let options = WorkerOptions {
        heartbeat_period: Duration::from_secs(3600),
        ..WorkerOptions::new(WorkerId::named("worker"), 4)
    };
    let stage = Stage::with(parties, options, |step: Step| async move {
        step.context.progress.add_rows(5, 3);
        step.gate().await;
        Ok(equal())
    })
    .await;
    let first = tokio::time::timeout(BOUND, presence.next())
        .await
        .expect("no first heartbeat")
        .unwrap();
    assert_eq!(
        (
            first.capacity,
            first.draining,
            first.period_ms,
            first.owned.len()
        ),
        (4, false, 3_600_000, 0)
    );
    stage.publish([0, 1]).await;
    stage.engine.running(2).await;
    let listed = async {
        loop {
            stage.control(Control::Announce).await;
            let heartbeat = presence.next().await.unwrap();
            let owned: Vec<_> = heartbeat
                .owned
                .iter()
                .map(|owned| (owned.work.table.0, owned.source_rows, owned.target_rows))
                .collect();
            if owned == [(0, 5, 3), (1, 5, 3)] {
                return;
            }
        }
    };
    tokio::time::timeout(BOUND, listed)
        .await
        .expect("no heartbeat lists both tables with their rows");
    stage.engine.open(2);
}

async fn a_closed_transport_ends_the_worker(parties: Parties) {
    let stage = Stage::set(parties, 1, |_: Step| async { Ok(equal()) }).await;
    stage.parties.other.close().await;
    tokio::time::timeout(BOUND, stage.worker.stopped())
        .await
        .expect("the worker goes on");
}

/// Whether the broker has written down that a quorum queue exists. It does so
/// some seconds after it said so; killed earlier, a single node comes back
/// with a queue that never elects a leader.
fn is_registered(broker: &RabbitMq, queue: &str) -> bool {
    let data = broker.node().directory().join("mnesia");
    let node = std::fs::read_dir(data)
        .unwrap()
        .filter_map(Result::ok)
        .find(|entry| entry.path().join("quorum").is_dir());
    let Some(node) = node else { return false };
    let names = node
        .path()
        .join("quorum")
        .join(node.file_name())
        .join("names.dets");
    std::fs::read(names).is_ok_and(|bytes| {
        bytes
            .windows(queue.len())
            .any(|window| window == queue.as_bytes())
    })
}

/// The broker is killed while a table runs; the table ends meanwhile.
#[test]
fn a_result_survives_a_crash_of_the_broker() {
    in_system(async || {
        let broker = RabbitMq::start().unwrap();
        let url = broker.amqp_url();
        let parties = Parties {
            one: connect(&url, "crash").await,
            other: connect(&url, "crash").await,
        };
        let mut stage = Stage::set(parties, 1, |step: Step| async move {
            step.gate().await;
            step.context
                .findings
                .send(FindingBatch::Rows(vec![row(1, "found during the cut")]))
                .await
                .unwrap();
            Ok(equal())
        })
        .await;
        stage.publish([0]).await;
        stage.claimed(1).await;
        stage.engine.running(1).await;
        let run_queue = format!("crash.run.{}", stage.run);
        poll(BOUND, || is_registered(&broker, &run_queue).then_some(()))
            .expect("the broker does not write down the run's queue");
        broker.kill().unwrap();
        stage.engine.open(2);
        // Elsewhere: the runtime has to notice the cut meanwhile.
        let restart = tokio::task::spawn_blocking(move || broker.restart().map(|()| broker));
        let _broker = restart.await.unwrap().unwrap();
        let (table, outcome, batches) = stage.finished().await;
        assert_eq!(
            (table, outcome, batches),
            (0, Outcome::Compared(equal()), 1)
        );
        // And the worker goes on with the next.
        stage.publish([1]).await;
        assert_eq!(stage.finished().await.0, 1);
    });
}

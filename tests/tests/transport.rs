//! One suite for both transports: what holds for RabbitMQ holds in-process.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "transport/broker.rs"]
mod broker;
#[path = "transport/parties.rs"]
mod parties;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use shared::ids::{RunId, WorkerId};
use shared::message::{Control, Event, EventBody, Heartbeat};
use shared::outcome::{Difference, DifferenceKind};
use shared::transport::{Messages, Ownership, TraceContext, TransportError};

use parties::{BOUND, Parties, next, nothing, task};

/// Every test of the list, over both transports.
macro_rules! over_both {
    ($($test:ident),* $(,)?) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(super::Parties::local().await).await; })*
        }
        mod rabbitmq {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(super::Parties::rabbit().await).await; })*
        }
    };
}

over_both!(
    tasks_arrive_in_order_and_whole,
    deliveries_are_limited_until_they_are_let_go,
    a_requeued_task_comes_back_marked,
    an_unanswered_task_comes_back,
    a_dropped_consumer_gives_back_what_it_held,
    an_answer_counts_once,
    a_free_slot_gets_the_task_when_other_workers_are_busy,
    events_wait_for_their_coordinator_and_survive_it,
    events_of_a_run_without_a_queue_are_unroutable,
    only_the_unroutable_event_of_many_is_refused,
    control_messages_reach_every_worker,
    heartbeats_reach_every_coordinator,
    a_closed_transport_ends_its_streams,
);

fn event(run: RunId, table: u32, body: EventBody) -> Event {
    Event {
        work: task(run, table).work(),
        worker: WorkerId::named("w"),
        body,
        databases: Vec::new(),
    }
}

fn traced(number: u32) -> TraceContext {
    TraceContext {
        traceparent: Some(format!("00-{number:032x}-00f067aa0ba902b7-01")),
        previous: Some(format!("00-{number:032x}-00f067aa0ba902b6-01")),
    }
}

async fn next_message<T>(messages: &mut Messages<T>) -> T {
    tokio::time::timeout(BOUND, messages.next())
        .await
        .expect("no message came")
        .expect("the stream ended")
}

async fn tasks_arrive_in_order_and_whole(parties: Parties) {
    let run = RunId::generate();
    let mut large = task(run, 20);
    large.spec.columns.exclude = (0..4000)
        .map(|n| format!("a_column_with_a_long_name_and_umlauts_äöü_{n}"))
        .collect();
    for number in 0..20 {
        parties
            .one
            .publish_task(&task(run, number), &traced(number))
            .await
            .unwrap();
    }
    parties
        .one
        .publish_task(&large, &TraceContext::default())
        .await
        .unwrap();

    let mut deliveries = parties.other.consume_tasks(1).await.unwrap();
    for number in 0..20 {
        let delivery = next(&mut deliveries).await;
        assert_eq!(
            (&delivery.message, &delivery.trace),
            (&task(run, number), &traced(number))
        );
        assert!(!delivery.redelivered && delivery.is_current());
        assert_eq!(delivery.ack().await, Ownership::Owned);
    }
    let delivery = next(&mut deliveries).await;
    assert_eq!(
        (&delivery.message, &delivery.trace),
        (&large, &TraceContext::default())
    );
}

async fn deliveries_are_limited_until_they_are_let_go(parties: Parties) {
    let run = RunId::generate();
    for number in 0..6 {
        parties
            .one
            .publish_task(&task(run, number), &TraceContext::default())
            .await
            .unwrap();
    }
    let mut deliveries = parties.other.consume_tasks(3).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        let delivery = next(&mut deliveries).await;
        assert_eq!(delivery.ack().await, Ownership::Owned);
        held.push(delivery);
    }
    nothing(&mut deliveries).await;
    held.pop();
    held.push(next(&mut deliveries).await);
    nothing(&mut deliveries).await;
    held.clear();
    let seen: BTreeSet<u32> = [next(&mut deliveries).await, next(&mut deliveries).await]
        .iter()
        .map(|delivery| delivery.message.table.0)
        .collect();
    // The fourth was let go unanswered, so two of the last three are here.
    assert!(seen.is_subset(&BTreeSet::from([3, 4, 5])), "{seen:?}");
}

async fn a_requeued_task_comes_back_marked(parties: Parties) {
    let run = RunId::generate();
    parties
        .one
        .publish_task(&task(run, 0), &traced(7))
        .await
        .unwrap();
    let mut deliveries = parties.other.consume_tasks(2).await.unwrap();
    let first = next(&mut deliveries).await;
    assert!(!first.redelivered);
    assert_eq!(first.requeue().await, Ownership::Owned);
    drop(first);
    let second = next(&mut deliveries).await;
    assert_eq!(
        (&second.message, &second.trace, second.redelivered),
        (&task(run, 0), &traced(7), true)
    );
}

async fn an_unanswered_task_comes_back(parties: Parties) {
    let run = RunId::generate();
    parties
        .one
        .publish_task(&task(run, 0), &TraceContext::default())
        .await
        .unwrap();
    let mut deliveries = parties.other.consume_tasks(1).await.unwrap();
    drop(next(&mut deliveries).await);
    let again = next(&mut deliveries).await;
    assert!(again.redelivered);
    assert_eq!(again.ack().await, Ownership::Owned);
}

async fn a_dropped_consumer_gives_back_what_it_held(parties: Parties) {
    let run = RunId::generate();
    for number in 0..4 {
        parties
            .one
            .publish_task(&task(run, number), &TraceContext::default())
            .await
            .unwrap();
    }
    let mut deliveries = parties.one.consume_tasks(3).await.unwrap();
    let acknowledged = next(&mut deliveries).await;
    let held = next(&mut deliveries).await;
    let (acknowledged_table, held_table) = (acknowledged.message.table.0, held.message.table.0);
    assert_eq!(acknowledged.ack().await, Ownership::Owned);
    drop(deliveries);

    // Still answerable, although nothing more is taken.
    let mut elsewhere = parties.other.consume_tasks(4).await.unwrap();
    let others = [next(&mut elsewhere).await, next(&mut elsewhere).await];
    let mut seen: BTreeSet<u32> = others
        .iter()
        .map(|delivery| delivery.message.table.0)
        .collect();
    assert!(
        !seen.contains(&held_table) && !seen.contains(&acknowledged_table),
        "{seen:?}"
    );
    assert!(held.is_current());
    drop(held);
    let back = next(&mut elsewhere).await;
    assert!(back.redelivered);
    assert_eq!(back.message.table.0, held_table);
    seen.extend([held_table, acknowledged_table]);
    assert_eq!(seen, BTreeSet::from([0, 1, 2, 3]));
}

async fn an_answer_counts_once(parties: Parties) {
    let run = RunId::generate();
    parties
        .one
        .publish_task(&task(run, 0), &TraceContext::default())
        .await
        .unwrap();
    let mut deliveries = parties.other.consume_tasks(1).await.unwrap();
    let delivery = next(&mut deliveries).await;
    assert_eq!(delivery.ack().await, Ownership::Owned);
    assert!(!delivery.is_current());
    assert_eq!(delivery.ack().await, Ownership::Lost);
    assert_eq!(delivery.requeue().await, Ownership::Lost);
    drop(delivery);
    nothing(&mut deliveries).await;
}

async fn a_free_slot_gets_the_task_when_other_workers_are_busy(parties: Parties) {
    let run = RunId::generate();
    let mut one = parties.one.consume_tasks(1).await.unwrap();
    parties
        .one
        .publish_task(&task(run, 0), &TraceContext::default())
        .await
        .unwrap();
    let busy = next(&mut one).await;
    assert_eq!(busy.ack().await, Ownership::Owned);
    // One worker is busy and has nothing unacknowledged; all the rest is the other's.
    let mut other = parties.other.consume_tasks(1).await.unwrap();
    for number in 1..10 {
        parties
            .one
            .publish_task(&task(run, number), &TraceContext::default())
            .await
            .unwrap();
        let delivery = next(&mut other).await;
        assert_eq!(
            (delivery.message.table.0, delivery.redelivered),
            (number, false)
        );
        assert_eq!(delivery.ack().await, Ownership::Owned);
    }
}

async fn events_wait_for_their_coordinator_and_survive_it(parties: Parties) {
    let run = RunId::generate();
    drop(parties.one.consume_events(run).await.unwrap());
    let rows = |batch: u32| {
        let key = serde_json::from_value(serde_json::json!({ "id": batch })).unwrap();
        vec![
            Difference {
                kind: DifferenceKind::Missing,
                key,
                columns: Vec::new()
            };
            2000
        ]
    };
    let body = |batch: u32| EventBody::Differences {
        batch,
        rows: rows(batch),
    };
    for batch in 0..5 {
        parties
            .other
            .publish_event(&event(run, 0, body(batch)), &traced(batch))
            .await
            .unwrap();
    }
    let mut first = parties.one.consume_events(run).await.unwrap();
    for batch in 0..2 {
        let delivery = next(&mut first).await;
        assert_eq!(
            (&delivery.message, &delivery.trace),
            (&event(run, 0, body(batch)), &traced(batch))
        );
        assert_eq!(delivery.ack().await, Ownership::Owned);
    }
    let unanswered = next(&mut first).await;
    assert_eq!(unanswered.message.body, body(2));
    drop((first, unanswered));

    let mut second = parties.one.consume_events(run).await.unwrap();
    let mut seen = Vec::new();
    for _ in 2..5 {
        let delivery = next(&mut second).await;
        let EventBody::Differences { batch, .. } = delivery.message.body else {
            panic!("{:?}", delivery.message)
        };
        assert!(batch != 2 || delivery.redelivered);
        assert_eq!(delivery.ack().await, Ownership::Owned);
        seen.push(batch);
    }
    // The broker may requeue deliveries of a lost consumer after later ones.
    seen.sort_unstable();
    assert_eq!(seen, [2, 3, 4]);
}

async fn events_of_a_run_without_a_queue_are_unroutable(parties: Parties) {
    let run = RunId::generate();
    let claimed = event(run, 0, EventBody::Claimed);
    let refused = |result| {
        assert!(
            matches!(result, Err(TransportError::Unroutable(_))),
            "{result:?}"
        )
    };
    refused(
        parties
            .other
            .publish_event(&claimed, &TraceContext::default())
            .await,
    );

    let mut events = parties.one.consume_events(run).await.unwrap();
    parties
        .other
        .publish_event(&claimed, &TraceContext::default())
        .await
        .unwrap();
    assert_eq!(next(&mut events).await.ack().await, Ownership::Owned);

    parties.one.forget_run(run).await.unwrap();
    refused(
        parties
            .other
            .publish_event(&claimed, &TraceContext::default())
            .await,
    );
}

/// The broker may confirm many publishes at once; the return of one must not
/// be taken for the return of another.
async fn only_the_unroutable_event_of_many_is_refused(parties: Parties) {
    let (run, gone) = (RunId::generate(), RunId::generate());
    let mut events = parties.one.consume_events(run).await.unwrap();
    let results = join_all((0..300).map(|number| {
        let other = &parties.other;
        let run = if number % 3 == 0 { gone } else { run };
        async move {
            (
                run,
                other
                    .publish_event(
                        &event(run, number, EventBody::Claimed),
                        &TraceContext::default(),
                    )
                    .await,
            )
        }
    }));
    let receive = async {
        let mut seen = BTreeSet::new();
        while seen.len() < 200 {
            let delivery = next(&mut events).await;
            assert_eq!(delivery.ack().await, Ownership::Owned);
            seen.insert(delivery.message.work.table.0);
        }
        seen
    };
    let (results, seen) = tokio::join!(results, receive);
    for (to, result) in results {
        assert_eq!(
            matches!(result, Err(TransportError::Unroutable(_))),
            to == gone,
            "{result:?}"
        );
        assert_eq!(result.is_ok(), to == run, "{result:?}");
    }
    assert!(seen.iter().all(|number| number % 3 != 0));
}

async fn control_messages_reach_every_worker(parties: Parties) {
    let mut one = parties.one.consume_control().await.unwrap();
    let mut other = parties.other.consume_control().await.unwrap();
    let run = RunId::generate();
    let sent = [
        Control::Announce,
        Control::CancelRun { run },
        Control::CancelAttempt {
            work: task(run, 3).work(),
        },
    ];
    for control in &sent {
        parties.one.publish_control(control).await.unwrap();
    }
    for listener in [&mut one, &mut other] {
        for control in &sent {
            assert_eq!(&next_message(listener).await, control);
        }
    }
}

fn heartbeat(pid: u32) -> Heartbeat {
    Heartbeat {
        worker: WorkerId::named("w"),
        host: "h".into(),
        pid,
        version: "1".into(),
        capacity: 4,
        draining: false,
        period_ms: 5000,
        owned: Vec::new(),
        endpoints: None,
        unavailable: Vec::new(),
        checked: None,
    }
}

async fn heartbeats_reach_every_coordinator(parties: Parties) {
    // A heartbeat without a receiver is no error.
    parties.one.publish_heartbeat(&heartbeat(0)).await.unwrap();
    let mut one = parties.one.consume_heartbeats().await.unwrap();
    let mut other = parties.other.consume_heartbeats().await.unwrap();
    for pid in 1..4 {
        parties
            .one
            .publish_heartbeat(&heartbeat(pid))
            .await
            .unwrap();
    }
    for listener in [&mut one, &mut other] {
        for pid in 1..4 {
            assert_eq!(next_message(listener).await, heartbeat(pid));
        }
    }
}

async fn a_closed_transport_ends_its_streams(parties: Parties) {
    let run = RunId::generate();
    let mut tasks = parties.one.consume_tasks(2).await.unwrap();
    let mut events = parties.one.consume_events(run).await.unwrap();
    let mut control = parties.one.consume_control().await.unwrap();
    parties
        .one
        .publish_task(&task(run, 0), &TraceContext::default())
        .await
        .unwrap();
    let held = next(&mut tasks).await;
    parties.one.close().await;
    let ended = async {
        (
            tasks.next().await.is_none(),
            events.next().await.is_none(),
            control.next().await.is_none(),
        )
    };
    let ended = tokio::time::timeout(BOUND, ended)
        .await
        .expect("a stream went on");
    assert_eq!(ended, (true, true, true));
    assert!(!held.is_current());
    assert_eq!(held.ack().await, Ownership::Lost);
    let refused = parties
        .one
        .publish_task(&task(run, 1), &TraceContext::default())
        .await;
    assert!(
        matches!(refused, Err(TransportError::Closed)),
        "{refused:?}"
    );
}

/// Every number of tables, and how often it was delivered.
fn counted(seen: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for number in seen {
        *counts.entry(*number).or_insert(0) += 1;
    }
    counts
}

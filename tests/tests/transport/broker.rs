//! Situations that only a broker has: cut connections, refused logins, and bodies
//! that are no message.

use harness::poll::poll;
use harness::services::{Broker, shared_rabbitmq};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use shared::signing::SigningKey;
use shared::transport::Transport as _;
use shared::transport::rabbit::{RabbitOptions, RabbitTransport};

use super::parties::{QUIET, connect};
use super::*;

/// Closes every connection of a virtual host, as an administrator can; says how many there were.
fn cut(broker: &Broker) {
    let list = ["list_connections", "--vhost", broker.vhost(), "name"];
    let connected = || !broker.node().ctl(&list).unwrap().trim().is_empty();
    poll(BOUND, || connected().then_some(())).expect("no connection to cut");
    broker
        .node()
        .ctl(&[
            "close_all_connections",
            "--vhost",
            broker.vhost(),
            "test cut",
        ])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_cut_nothing_is_lost_and_old_deliveries_are_stale() {
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let coordinator = connect(broker.amqp_url(), "cut").await;
    let worker = connect(broker.amqp_url(), "cut").await;
    let run = RunId::generate();
    let mut tasks = worker.consume_tasks(1).await.unwrap();
    let mut control = worker.consume_control().await.unwrap();
    let mut events = coordinator.consume_events(run).await.unwrap();
    coordinator
        .publish_task(&task(run, 0), &TraceContext::default())
        .await
        .unwrap();
    let held = next(&mut tasks).await;

    cut(&broker);

    // The work goes on publishing straight through the cut.
    worker
        .publish_event(&event(run, 0, EventBody::Claimed), &TraceContext::default())
        .await
        .unwrap();
    assert_eq!(next(&mut events).await.message.body, EventBody::Claimed);
    assert!(!held.is_current());
    assert_eq!(held.ack().await, Ownership::Lost);
    drop(held);
    let again = next(&mut tasks).await;
    assert_eq!((again.message.table.0, again.redelivered), (0, true));
    assert_eq!(again.ack().await, Ownership::Owned);
    drop(again);

    // Control messages arrive again once the queue exists; earlier ones are lost.
    let heard = async {
        loop {
            coordinator
                .publish_control(&Control::Announce)
                .await
                .unwrap();
            if tokio::time::timeout(QUIET, control.next())
                .await
                .is_ok_and(|message| message == Some(Control::Announce))
            {
                return;
            }
        }
    };
    tokio::time::timeout(BOUND, heard)
        .await
        .expect("no control message arrives after the cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_published_through_three_cuts_all_arrive() {
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let coordinator = connect(broker.amqp_url(), "cuts").await;
    let worker = connect(broker.amqp_url(), "cuts").await;
    let run = RunId::generate();
    let publisher = tokio::spawn(async move {
        for number in 0..600 {
            coordinator
                .publish_task(&task(run, number), &TraceContext::default())
                .await
                .unwrap();
        }
    });
    let cutter = std::thread::spawn(move || {
        for _ in 0..3 {
            cut(&broker);
        }
        broker
    });
    let mut deliveries = worker.consume_tasks(4).await.unwrap();
    let mut acknowledged = Vec::new();
    while counted(&acknowledged).len() < 600 {
        let delivery = next(&mut deliveries).await;
        if delivery.ack().await == Ownership::Owned {
            acknowledged.push(delivery.message.table.0);
        }
    }
    publisher.await.unwrap();
    drop(cutter.join().unwrap());
    // Duplicates are allowed, gaps are not.
    assert_eq!(
        counted(&acknowledged).keys().copied().collect::<Vec<_>>(),
        (0..600).collect::<Vec<_>>()
    );
}

/// Takes this many messages from the dead-letter queue: content and reason.
async fn dead_letters(channel: &Channel, prefix: &str, count: usize) -> Vec<(Vec<u8>, String)> {
    let queue = format!("{prefix}.dead");
    let mut letters: Vec<(Vec<u8>, String)> = Vec::new();
    let take = async {
        while letters.len() < count {
            let options = BasicGetOptions { no_ack: true };
            let taken = channel.basic_get(queue.as_str().into(), options);
            let Some(letter) = taken.await.unwrap() else {
                tokio::task::yield_now().await;
                continue;
            };
            let headers = letter.delivery.properties.headers().clone().unwrap();
            let Some(AMQPValue::LongString(reason)) = headers.inner().get("x-reason") else {
                panic!("{headers:?}")
            };
            letters.push((letter.delivery.data, reason.to_string()));
        }
    };
    let taken = tokio::time::timeout(BOUND, take).await;
    let of = |(body, reason): &(Vec<u8>, String)| format!("{} bytes: {reason}", body.len());
    let found: Vec<String> = letters.iter().map(of).collect();
    assert!(
        taken.is_ok(),
        "of {count} dead letters there are {found:#?}"
    );
    letters
}

/// Publishes bytes to exchanges with routing keys, and returns when they are in their queues.
async fn publish_raw(
    channel: &Channel,
    messages: impl IntoIterator<Item = (String, String, &[u8])>,
) {
    let confirms = ConfirmSelectOptions::default();
    channel.confirm_select(confirms).await.unwrap();
    for (exchange, key, body) in messages {
        let publish = channel.basic_publish(
            exchange.as_str().into(),
            key.as_str().into(),
            BasicPublishOptions::default(),
            body,
            BasicProperties::default(),
        );
        publish.await.unwrap().await.unwrap();
    }
}

/// A connection to the shared broker that is not the product's, and a channel of it.
async fn raw_channel() -> (Connection, Channel) {
    let url = shared_rabbitmq().amqp_url().to_owned();
    let raw = Connection::connect(&url, ConnectionProperties::default())
        .await
        .unwrap();
    let channel = raw.create_channel().await.unwrap();
    (raw, channel)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_message_is_dead_lettered_with_the_reason() {
    let shared = shared_rabbitmq();
    let prefix = shared.unique_prefix();
    let transport = connect(shared.amqp_url(), &prefix).await;
    let run = RunId::generate();
    let mut tasks = transport.consume_tasks(1).await.unwrap();
    let mut events = transport.consume_events(run).await.unwrap();
    let (_raw, channel) = raw_channel().await;
    let newer = br#"{"version":99,"body":{"shape":"unknown"}}"#;
    let to_tasks = || (String::new(), format!("{prefix}.tasks"));
    let to_events = (format!("{prefix}.events"), run.to_string());
    let messages = [
        (to_tasks().0, to_tasks().1, b"not json".as_slice()),
        (to_tasks().0, to_tasks().1, newer),
        (to_events.0, to_events.1, b"\xff\x00".as_slice()),
    ];
    publish_raw(&channel, messages).await;
    // Later messages are still delivered.
    let trace = TraceContext::default();
    transport.publish_task(&task(run, 1), &trace).await.unwrap();
    assert_eq!(next(&mut tasks).await.message, task(run, 1));
    let claimed = event(run, 1, EventBody::Claimed);
    transport.publish_event(&claimed, &trace).await.unwrap();
    assert_eq!(next(&mut events).await.message.work.table.0, 1);

    let letters = dead_letters(&channel, &prefix, 3).await;
    let reasons: BTreeMap<_, _> = letters.into_iter().collect();
    for (body, expected) in [
        (b"not json".as_slice(), "undecodable"),
        (newer, "protocol version 99"),
        (b"\xff\x00", "undecodable"),
    ] {
        assert!(reasons[body].contains(expected), "{reasons:?}");
    }
}

/// The reason quotes the message, and a header of this size does not fit into a frame.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_of_all_kinds_are_dead_lettered_and_the_next_are_delivered() {
    let shared = shared_rabbitmq();
    let prefix = shared.unique_prefix();
    let transport = connect(shared.amqp_url(), &prefix).await;
    let run = RunId::generate();
    let mut tasks = transport.consume_tasks(1).await.unwrap();
    let mut events = transport.consume_events(run).await.unwrap();
    let mut control = transport.consume_control().await.unwrap();
    let mut heartbeats = transport.consume_heartbeats().await.unwrap();
    let (_raw, channel) = raw_channel().await;
    let large = |bytes| format!(r#"{{"version":3,"body":"{}"}}"#, "a".repeat(bytes)).into_bytes();
    let bodies = [large(150_000), large(1_000_000)];
    let messages = bodies.iter().flat_map(|body| {
        [
            (String::new(), format!("{prefix}.tasks")),
            (format!("{prefix}.events"), run.to_string()),
            (format!("{prefix}.control"), String::new()),
            (format!("{prefix}.presence"), "worker".to_owned()),
        ]
        .map(|(exchange, key)| (exchange, key, body.as_slice()))
    });
    publish_raw(&channel, messages).await;

    let trace = TraceContext::default();
    transport.publish_task(&task(run, 1), &trace).await.unwrap();
    assert_eq!(next(&mut tasks).await.message, task(run, 1));
    let claimed = event(run, 1, EventBody::Claimed);
    transport.publish_event(&claimed, &trace).await.unwrap();
    assert_eq!(next(&mut events).await.message.work.table.0, 1);
    let announce = Control::Announce;
    transport.publish_control(&announce).await.unwrap();
    assert_eq!(next_message(&mut control).await, announce);
    transport.publish_heartbeat(&heartbeat(1)).await.unwrap();
    assert_eq!(next_message(&mut heartbeats).await, heartbeat(1));

    let letters = dead_letters(&channel, &prefix, 8).await;
    for body in &bodies {
        let of_body = letters.iter().filter(|(letter, _)| letter == body);
        assert_eq!(of_body.count(), 4);
    }
    for (_, reason) in &letters {
        let is_short = reason.len() <= 256;
        assert!(reason.contains("undecodable") && is_short, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_is_refused_with_its_size_and_the_option() {
    let shared = shared_rabbitmq();
    let process = async |max_message_size: usize| {
        let options = RabbitOptions {
            prefix: shared.unique_prefix(),
            max_message_size,
            ..RabbitOptions::new(shared.amqp_url(), "test")
        };
        RabbitTransport::connect(options).await.unwrap()
    };
    let mut large = task(RunId::generate(), 1);
    large.spec.columns.exclude = vec!["c".repeat(1_000); 1_200];
    for (limit, by) in [
        (1 << 20, "exceeds max_message_size"),
        (16 << 20, "the broker at"),
    ] {
        let transport = process(limit).await;
        let refused = transport
            .publish_task(&large, &TraceContext::default())
            .await
            .unwrap_err();
        assert!(
            matches!(refused, TransportError::TooLarge(_)),
            "{refused:?}"
        );
        let text = refused.to_string();
        let says = [by, "a task of 120", "1048576", "[broker]"];
        assert!(says.iter().all(|part| text.contains(part)), "{text}");
        // The connection goes on.
        transport
            .publish_task(&task(RunId::generate(), 2), &TraceContext::default())
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_work_queue_is_declared_again() {
    let shared = shared_rabbitmq();
    let prefix = shared.unique_prefix();
    let transport = connect(shared.amqp_url(), &prefix).await;
    let mut tasks = transport.consume_tasks(2).await.unwrap();
    let raw = Connection::connect(shared.amqp_url(), ConnectionProperties::default())
        .await
        .unwrap();
    let channel = raw.create_channel().await.unwrap();
    channel
        .queue_delete(
            format!("{prefix}.tasks").as_str().into(),
            QueueDeleteOptions::default(),
        )
        .await
        .unwrap();

    let run = RunId::generate();
    transport
        .publish_task(&task(run, 5), &TraceContext::default())
        .await
        .unwrap();
    assert_eq!(next(&mut tasks).await.message, task(run, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_connection_that_fails_says_what_to_check() {
    let shared = shared_rabbitmq();
    let url: url::Url = shared.amqp_url().parse().unwrap();
    let password = url.password().unwrap().to_owned();
    let changed = |change: &dyn Fn(&mut url::Url)| {
        let mut url = url.clone();
        change(&mut url);
        url.to_string()
    };
    let at = format!("127.0.0.1:{}", url.port().unwrap());
    for (url, expected) in [
        (
            changed(&|url| url.set_password(Some("wrong-secret")).unwrap()),
            [at.as_str(), "refused the login of user"],
        ),
        (
            changed(&|url| url.set_path("/nowhere")),
            [at.as_str(), "virtual host `nowhere`"],
        ),
        (
            changed(&|url| url.set_port(Some(1)).unwrap()),
            ["127.0.0.1:1", "cannot reach the broker"],
        ),
        (
            changed(&|url| url.set_host(Some("no-such-host.invalid")).unwrap()),
            ["no-such-host.invalid", "cannot reach the broker"],
        ),
        (
            shared.amqp_url().replace("amqp://", "amqps://"),
            [at.as_str(), "TLS"],
        ),
    ] {
        let begin = std::time::Instant::now();
        let error = RabbitTransport::connect(RabbitOptions::new(&url, "test"))
            .await
            .unwrap_err()
            .to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        assert!(
            !error.contains(&password) && !error.contains("wrong-secret"),
            "{error}"
        );
        assert!(
            begin.elapsed() < Duration::from_secs(12),
            "took {:?}: {error}",
            begin.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_another_kind_is_named() {
    let shared = shared_rabbitmq();
    let prefix = shared.unique_prefix();
    let raw = Connection::connect(shared.amqp_url(), ConnectionProperties::default())
        .await
        .unwrap();
    let channel = raw.create_channel().await.unwrap();
    let queue = format!("{prefix}.tasks");
    channel
        .queue_declare(
            queue.as_str().into(),
            lapin::options::QueueDeclareOptions::durable(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    let options = RabbitOptions {
        prefix,
        ..RabbitOptions::new(shared.amqp_url(), "test")
    };
    let error = RabbitTransport::connect(options)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&queue) && error.contains("another prefix"),
        "{error}"
    );
    channel
        .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
        .await
        .unwrap();
}

/// A process on a broker, with a key made of `secret`.
async fn process_with_key(prefix: &str, secret: Option<&str>) -> std::sync::Arc<RabbitTransport> {
    let directory = tempfile::tempdir().unwrap();
    let signing_key = secret.map(|secret| {
        let file = directory.path().join("key");
        std::fs::write(&file, secret.repeat(32)).unwrap();
        SigningKey::read(&file).unwrap()
    });
    let shared = shared_rabbitmq();
    let options = RabbitOptions {
        prefix: prefix.to_owned(),
        signing_key,
        ..RabbitOptions::new(shared.amqp_url(), "test")
    };
    RabbitTransport::connect(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key_only_signed_messages_count() {
    let shared = shared_rabbitmq();
    let prefix = shared.unique_prefix();
    let receiver = process_with_key(&prefix, Some("a")).await;
    let run = RunId::generate();
    let mut tasks = receiver.consume_tasks(1).await.unwrap();
    let mut events = receiver.consume_events(run).await.unwrap();
    let mut control = receiver.consume_control().await.unwrap();
    let mut heartbeats = receiver.consume_heartbeats().await.unwrap();

    // Messages of a process without the key, or with another one, are rejected.
    let forged = Control::CancelRun { run };
    for (number, secret) in [(0, None), (1, Some("b")), (2, Some("a"))] {
        let sender = process_with_key(&prefix, secret).await;
        let trace = TraceContext::default();
        sender
            .publish_task(&task(run, number), &trace)
            .await
            .unwrap();
        let claimed = event(run, number, EventBody::Claimed);
        sender.publish_event(&claimed, &trace).await.unwrap();
        sender.publish_heartbeat(&heartbeat(number)).await.unwrap();
        let message = if secret == Some("a") {
            Control::Announce
        } else {
            forged.clone()
        };
        sender.publish_control(&message).await.unwrap();
        sender.close().await;
    }
    let delivery = next(&mut tasks).await;
    assert_eq!(delivery.message, task(run, 2));
    assert_eq!(delivery.ack().await, Ownership::Owned);
    let delivery = next(&mut events).await;
    assert_eq!(delivery.message.work.table.0, 2);
    assert_eq!(delivery.ack().await, Ownership::Owned);
    assert_eq!(next_message(&mut control).await, Control::Announce);
    assert_eq!(next_message(&mut heartbeats).await, heartbeat(2));

    let raw = Connection::connect(shared.amqp_url(), ConnectionProperties::default())
        .await
        .unwrap();
    let channel = raw.create_channel().await.unwrap();
    let letters = dead_letters(&channel, &prefix, 8).await;
    let counted = |word: &str| {
        letters
            .iter()
            .filter(|(_, reason)| reason.contains(word))
            .count()
    };
    assert_eq!(
        (counted("not signed"), counted("signature is wrong")),
        (4, 4),
        "{letters:?}"
    );
}

//! A client with all rights at the broker and without the signing key.

use std::process::Command;

use lapin::BasicProperties;
use lapin::options::{
    BasicGetOptions, BasicNackOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;
use shared::envelope::{IssueTime, Message, encode, encode_at};
use shared::ids::{Attempt, RunId, TableId, WorkerId};
use shared::message::{
    Control, Event, EventBody, Heartbeat, OwnedWork, StatementPart, Task, WorkId,
};
use shared::outcome::{Comparison, Outcome, RepairAction, RepairStatement};

use super::*;

const MESSAGES: usize = 10_000;

/// Every so many messages is as large as the broker accepts.
const HUGE_EVERY: usize = 200;

/// How much memory a process may use more after all messages.
const GROWTH: u64 = 64 << 10;

/// A message on its way to an exchange.
#[derive(Clone)]
struct Sent {
    exchange: String,
    key: String,
    body: Vec<u8>,
    properties: BasicProperties,
}

/// The largest resident memory of a process so far, in KiB.
fn peak_memory(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no VmHWM in {status}"))
}

fn unsigned<T: Message>((exchange, key): (&str, &str), message: &T) -> Sent {
    signed_with(exchange, key, encode(message), None)
}

fn signed_with(exchange: &str, key: &str, body: Vec<u8>, signature: Option<String>) -> Sent {
    let mut headers = FieldTable::default();
    if let Some(signature) = signature {
        headers.insert(
            "x-signature".into(),
            AMQPValue::LongString(signature.into()),
        );
    }
    Sent {
        exchange: exchange.to_owned(),
        key: key.to_owned(),
        body,
        properties: BasicProperties::default().with_headers(headers),
    }
}

impl Client {
    /// The task in the queue, which stays there.
    fn copy_of_the_task(&self) -> Sent {
        self.runtime.block_on(async {
            let taken = poll_task(&self.channel).await;
            let requeue = BasicNackOptions {
                requeue: true,
                ..BasicNackOptions::default()
            };
            taken.delivery.acker.nack(requeue).await.unwrap();
            Sent {
                exchange: String::new(),
                key: "reconcile.tasks".to_owned(),
                body: taken.delivery.data.clone(),
                properties: taken.delivery.properties.clone(),
            }
        })
    }

    /// Binds a queue that receives a copy of every message of `exchange`.
    fn tap(&self, exchange: &str) -> String {
        self.runtime.block_on(async {
            let exclusive = QueueDeclareOptions {
                exclusive: true,
                ..QueueDeclareOptions::default()
            };
            let declared = self
                .channel
                .queue_declare("".into(), exclusive, FieldTable::default());
            let name = declared.await.unwrap().name().as_str().to_owned();
            let bound = self.channel.queue_bind(
                name.as_str().into(),
                exchange.into(),
                "#".into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            bound.await.unwrap();
            name
        })
    }

    /// The next message of a queue of [`Self::tap`].
    fn tapped(&self, queue: &str) -> Sent {
        self.runtime.block_on(async {
            let deadline = tokio::time::Instant::now() + BOUND;
            loop {
                let options = BasicGetOptions { no_ack: true };
                let taken = self.channel.basic_get(queue.into(), options);
                if let Some(taken) = taken.await.unwrap() {
                    return Sent {
                        exchange: taken.delivery.exchange.as_str().to_owned(),
                        key: taken.delivery.routing_key.as_str().to_owned(),
                        body: taken.delivery.data.clone(),
                        properties: taken.delivery.properties.clone(),
                    };
                }
                assert!(
                    tokio::time::Instant::now() < deadline,
                    "no message in {queue}"
                );
                tokio::task::yield_now().await;
            }
        })
    }

    fn send_all(&self, messages: impl Iterator<Item = Sent>) {
        self.runtime.block_on(async {
            for message in messages {
                let published = self.channel.basic_publish(
                    message.exchange.as_str().into(),
                    message.key.as_str().into(),
                    BasicPublishOptions::default(),
                    &message.body,
                    message.properties,
                );
                published.await.unwrap();
            }
        });
    }
}

async fn poll_task(channel: &Channel) -> lapin::message::BasicGetMessage {
    let deadline = tokio::time::Instant::now() + BOUND;
    loop {
        let taken = channel.basic_get("reconcile.tasks".into(), BasicGetOptions::default());
        if let Some(taken) = taken.await.unwrap() {
            return taken;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "no task in the queue"
        );
        tokio::task::yield_now().await;
    }
}

/// The result of a comparison that has not happened.
fn invented() -> Comparison {
    Comparison {
        source_count: 4_711,
        target_count: 4_711,
        checksums: None,
        rows: None,
        key: Vec::new(),
        notes: Vec::new(),
        causes: Vec::new(),
        reads: None,
        repair: None,
        coverage: None,
    }
}

/// Events that a coordinator without a key would act upon.
fn forged_events(work: WorkId) -> Vec<Sent> {
    let run = work.run.to_string();
    let statement = RepairStatement {
        action: RepairAction::Delete,
        key: String::new(),
        sql: "DROP TABLE bait".to_owned(),
        undo: String::new(),
    };
    let part = StatementPart {
        first: 1,
        offset: 0,
        total: 1 << 29,
        text: "{".to_owned(),
    };
    let equal = EventBody::Finished {
        outcome: Box::new(Outcome::Compared(invented())),
        batches: 0,
        duration_ms: 1,
        unconfirmed: Vec::new(),
    };
    let repair = EventBody::Repair {
        batch: 0,
        statements: vec![statement],
    };
    [
        ("w", equal),
        ("stranger", EventBody::Claimed),
        ("w", repair),
        ("w", EventBody::RepairPart { batch: 1, part }),
    ]
    .into_iter()
    .map(|(worker, body)| {
        let event = Event {
            work,
            worker: WorkerId::named(worker),
            body,
            databases: Vec::new(),
        };
        unsigned(("reconcile.events", &run), &event)
    })
    .collect()
}

/// Messages that a process without a key would act upon.
fn forgeries(work: WorkId, task: &Task) -> Vec<Sent> {
    let (tasks, control) = (("", "reconcile.tasks"), ("reconcile.control", ""));
    let mut bait = task.clone();
    for side in [&mut bait.spec.source, &mut bait.spec.target] {
        side.table.name = "bait".to_owned();
    }
    bait.attempt = bait.attempt.next();
    let invented_worker = Heartbeat {
        worker: WorkerId::named("stranger"),
        host: "h".to_owned(),
        pid: 1,
        version: "1".to_owned(),
        capacity: 60_000,
        draining: false,
        period_ms: 300_000,
        owned: vec![OwnedWork {
            work,
            source_rows: 1,
            target_rows: 1,
            phase: None,
            expected_rows: None,
        }],
        endpoints: None,
        unavailable: Vec::new(),
        checked: None,
    };
    let stop = Control::StopRun { run: work.run };
    let worker = WorkerId::named("w");
    let mut all = vec![
        unsigned(tasks, &bait),
        unsigned(control, &Control::CancelRun { run: work.run }),
        unsigned(control, &stop),
        unsigned(control, &Control::Drain { worker }),
        unsigned(("reconcile.presence", "worker"), &invented_worker),
        // A signature that is none, on an old message, and one of a wrong length.
        signed_with(
            control.0,
            control.1,
            encode_at(&stop, IssueTime(1)),
            Some("ab".repeat(32)),
        ),
        signed_with(tasks.0, tasks.1, encode(&bait), Some("ab".repeat(5))),
    ];
    all.extend(forged_events(work));
    all
}

/// The `number`-th hostile message: random bytes, half a message, a forgery, a repeated message or a
/// large one.
fn hostile(number: usize, forgeries: &[Sent], genuine: &[Sent]) -> Sent {
    let mut random = fastrand::Rng::with_seed(number as u64);
    let mut message = if number.is_multiple_of(3) {
        genuine[random.usize(..genuine.len())].clone()
    } else {
        forgeries[random.usize(..forgeries.len())].clone()
    };
    match number % 6 {
        // Genuine messages are repeated as they are, and with one changed byte.
        0 | 1 => {}
        3 => {
            let at = random.usize(..message.body.len());
            message.body[at] ^= 1;
        }
        2 => message.body = std::iter::repeat_with(|| random.u8(..)).take(200).collect(),
        4 => message.body.truncate(random.usize(..message.body.len())),
        _ => message.body = serde_json::to_vec(&json!({ "version": 3, "body": number })).unwrap(),
    }
    if number.is_multiple_of(HUGE_EVERY) {
        message.body = vec![b'['; 1_000_000];
    }
    message
}

#[test]
fn ten_thousand_messages_without_the_key_change_nothing() {
    let bait = "CREATE TABLE bait (id int PRIMARY KEY);";
    let scene = Scene::new(&format!("{GATED}{bait}"), &format!("{OPEN}{bait}")).unwrap();
    let key = scene.here.path().join("key");
    fs::write(&key, "a secret that the broker does not know").unwrap();
    configure(
        &scene,
        &format!("[broker]\nsigning_key_file = '{}'", key.display()),
    );
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let (url, watch) = (broker.amqp_url(), scene.watch().unwrap());
    let gates = Gates::closed(&scene.source, 1).unwrap();

    // A worker declares the queue of tasks, and a run without workers leaves its task there.
    drop(scene.start_worker(url, "first", 1).unwrap());
    let client = Client::connect(url);
    let taps =
        ["control", "presence", "events"].map(|name| client.tap(&format!("reconcile.{name}")));
    let mut run = scene.start_run(url, &["--tables", "held"]).unwrap();
    let id: RunId = run_id(&mut run).parse().unwrap();
    let mut genuine = vec![client.copy_of_the_task()];
    let mut worker = scene.start_worker(url, "w", 2).unwrap();
    watch.wait_until("reading", BOUND, |running| {
        running.iter().any(|running| running.reads("held"))
    });
    genuine.extend(taps.iter().map(|tap| client.tapped(tap)));

    let (task, _) = shared::envelope::decode::<Task>(&genuine[0].body).unwrap();
    let work = WorkId {
        run: id,
        table: TableId(0),
        attempt: Attempt::FIRST,
    };
    let forgeries = forgeries(work, &task);
    let before = [&run, &worker].map(peak_memory);
    client.send_all((0..MESSAGES).map(|number| hostile(number, &forgeries, &genuine)));

    let queues = ["reconcile.tasks".to_owned(), format!("reconcile.run.{id}")];
    let mut left = Vec::new();
    let answered = poll(BOUND, || {
        left = queues.iter().map(|queue| client.waiting(queue)).collect();
        left.iter().all(|left| *left == Some(0)).then_some(())
    });
    assert!(answered.is_some(), "still in the queues: {left:?}");
    let after = [&run, &worker].map(peak_memory);
    for (before, after) in before.iter().zip(after) {
        assert!(after < before + GROWTH, "{before} KiB became {after} KiB");
    }
    let running = watch.running().unwrap();
    assert!(
        running.iter().all(|running| running.reads("held")),
        "{running:#?}"
    );
    assert!(
        client.waiting("reconcile.dead").unwrap() > 5_000,
        "{:?} dead letters",
        client.waiting("reconcile.dead")
    );

    gates.open(0).unwrap();
    let (code, report) = finish(&mut run);
    let result = &report["results"][0];
    assert_eq!(code, 0, "{report:#}\n{}", run.stderr());
    assert_eq!(
        (&result["worker"], &result["attempt"]),
        (&json!("w"), &json!(1))
    );
    assert_eq!(
        (&result["source_count"], &result["match"]),
        (&json!(1), &json!(true))
    );
    worker.signal("TERM");
    assert!(worker.wait(BOUND).unwrap().success(), "{}", worker.stderr());
    let lines = worker.stderr().lines().count() + run.stderr().lines().count();
    assert!(lines < 500, "{lines} lines were logged");
}

/// The product's own commands work with the key, and only with it.
#[test]
fn a_command_without_the_key_drains_no_worker() {
    let scene = Scene::new("", "").unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let url = broker.amqp_url();
    let command = |name: &str| -> Command {
        scene
            .here
            .command("reconcile", &["drain", name, "--broker", url])
    };
    let key = scene.here.path().join("key");
    fs::write(&key, "a secret that the broker does not know").unwrap();
    let file = scene.here.path().join("reconcile.toml");
    let without = fs::read_to_string(&file).unwrap();
    configure(
        &scene,
        &format!("[broker]\nsigning_key_file = '{}'", key.display()),
    );
    let with = fs::read_to_string(&file).unwrap();
    let mut worker = scene.start_worker(url, "w", 1).unwrap();

    fs::write(&file, without).unwrap();
    let refused = tests::product::finish(&mut command("w"));
    assert_eq!(refused.code, 2, "{refused:?}");
    fs::write(&file, with).unwrap();
    let drained = tests::product::finish(&mut command("w"));
    assert_eq!(drained.code, 0, "{drained:?}");
    assert!(worker.wait(BOUND).unwrap().success(), "{}", worker.stderr());
}

//! What travels over the broker does no harm: a client without the signing key, a broker that
//! accepts nothing, a deleted queue, and values that are larger than a message.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

#[path = "messages/alarm.rs"]
mod alarm;
#[path = "messages/hostile.rs"]
mod hostile;

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::poll::poll;
use harness::process::Process;
use harness::services::shared_rabbitmq;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use serde_json::Value as Json;
use tests::product::check_counts;
use tests::scene::{Gates, Scene};
use tokio::runtime::Runtime;

/// How long anything may take that should happen.
const BOUND: Duration = Duration::from_secs(120);

/// A client of the broker.
struct Client {
    runtime: Runtime,
    channel: Channel,
    _connection: Connection,
}

impl Client {
    fn connect(url: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let (connection, channel) = runtime.block_on(async {
            let connection = Connection::connect(url, ConnectionProperties::default())
                .await
                .unwrap();
            let channel = connection.create_channel().await.unwrap();
            (connection, channel)
        });
        Self {
            runtime,
            channel,
            _connection: connection,
        }
    }

    /// How many messages wait in a queue; `None` if the queue does not exist.
    fn waiting(&self, queue: &str) -> Option<u32> {
        self.runtime.block_on(async {
            let passive = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::default()
            };
            // A queue that does not exist closes the channel.
            let channel = self._connection.create_channel().await.ok()?;
            let declared = channel.queue_declare(queue.into(), passive, FieldTable::default());
            Some(declared.await.ok()?.message_count())
        })
    }
}

/// Appends lines to the configuration of a scene.
fn configure(scene: &Scene, lines: &str) {
    let file = scene.here.path().join("reconcile.toml");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{before}\n{lines}\n")).unwrap();
}

/// The identifier of a run that has been started.
fn run_id(run: &mut Process) -> String {
    let line = run.wait_for_line("run ", BOUND).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

/// Waits for the end of a run; its exit code and its report.
fn finish(run: &mut Process) -> (i32, Json) {
    let status = run.wait(BOUND).unwrap();
    let report = serde_json::from_str(&run.stdout())
        .unwrap_or_else(|error| panic!("no report ({error}): {}", run.stderr()));
    check_counts(&report);
    (status.code().unwrap(), report)
}

/// A view of one row that is read when gate 0 is open.
const GATED: &str = "CREATE VIEW held AS SELECT 1 AS id, gate(0)::text AS v;";

/// The same row without a gate.
const OPEN: &str = "CREATE VIEW held AS SELECT 1 AS id, '0'::text AS v;";

#[test]
fn a_run_whose_event_queue_was_deleted_goes_on() {
    let scene = Scene::new(GATED, OPEN).unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let (url, watch) = (broker.amqp_url(), scene.watch().unwrap());
    let gates = Gates::closed(&scene.source, 1).unwrap();
    let _worker = scene.start_worker(url, "w", 1).unwrap();
    let mut run = scene.start_run(url, &["--tables", "held"]).unwrap();
    let queue = format!("reconcile.run.{}", run_id(&mut run));
    watch.wait_until("reading", BOUND, |running| {
        running.iter().any(|running| running.reads("held"))
    });
    let client = Client::connect(url);
    // The claim must have arrived: it is deleted with the queue otherwise.
    poll(BOUND, || (client.waiting(&queue) == Some(0)).then_some(())).unwrap();
    client.runtime.block_on(async {
        let delete = client
            .channel
            .queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
        delete.await.unwrap();
    });
    poll(BOUND, || client.waiting(&queue).map(drop)).expect("the queue does not come back");
    gates.open(0).unwrap();
    let (code, report) = finish(&mut run);
    assert_eq!(code, 0, "{report:#}\n{}", run.stderr());
    assert_eq!(report["results"][0]["attempt"], 1, "{report:#}");
}

/// Bytes of the large value: in a repair statement it is written in hexadecimal digits, twice.
const LARGE: usize = 3 << 20;

/// The text of all repair scripts below a directory.
fn scripts(directory: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&scripts(&path));
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    text
}

#[test]
fn a_repair_of_a_large_value_travels_in_parts() {
    let table = |value: &str| {
        format!(
            "CREATE TABLE big (id int PRIMARY KEY, v bytea);
             INSERT INTO big VALUES (1, '\\x01'), (2, {value});"
        )
    };
    let large = format!("decode(repeat('c3a9', {}), 'hex')", LARGE / 2);
    let scene = Scene::new(&table(&large), &table("'\\x02'")).unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let url = broker.amqp_url();
    let arguments = [
        "--tables",
        "big",
        "--generate-repair",
        "--output-dir",
        "out",
    ];
    {
        let _worker = scene.start_worker(url, "w", 1).unwrap();
        let mut run = scene.start_run(url, &arguments).unwrap();
        let (code, report) = finish(&mut run);
        assert_eq!(code, 1, "{report:#}\n{}", run.stderr());
        assert_eq!(report["results"][0]["attempt"], 1, "{report:#}");
        let text = scripts(&scene.here.path().join("out"));
        let at = text.to_ascii_lowercase().find(&"c3a9".repeat(LARGE / 2));
        assert!(at.is_some(), "{} bytes of scripts", text.len());
    }

    // A worker that sends larger messages than the broker accepts says so, and which option helps.
    configure(&scene, "[broker]\nmax_message_size = '4MiB'");
    let _worker = scene.start_worker(url, "w2", 1).unwrap();
    let mut run = scene
        .start_run(
            url,
            &[
                "--tables",
                "big",
                "--generate-repair",
                "--output-dir",
                "out2",
            ],
        )
        .unwrap();
    let (code, report) = finish(&mut run);
    assert_eq!(code, 3, "{report:#}");
    let error = report["errors"][0]["error"].as_str().unwrap();
    assert!(
        error.contains("max_message_size") && error.contains("1048576"),
        "{error}"
    );
    assert_eq!(report["errors"][0]["attempt"], 1, "{report:#}");
}

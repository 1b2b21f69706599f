//! Log lines: in JSON each line is an object that names its table, and no line
//! holds a secret.

use std::time::Duration;

use harness::process::Process;
use harness::services::{Standin, StandinTls, shared_postgres, shared_rabbitmq};
use serde_json::{Map, Value as Json};
use tests::collector::Collector;
use tests::product::{Workplace, finish};
use tests::scene::Scene;

/// How long anything may take that should happen soon.
const BOUND: Duration = Duration::from_secs(60);

const TABLES: &str = "CREATE TABLE equal (id int PRIMARY KEY, v text); INSERT INTO equal VALUES (1, 'a'); \
    CREATE TABLE only_here (id int PRIMARY KEY);";

/// Every line as an object.
fn objects(stderr: &str) -> Vec<Map<String, Json>> {
    stderr
        .lines()
        .map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}: {stderr}"))
        })
        .collect()
}

#[test]
fn every_line_is_an_object_that_says_what_it_is_about() {
    let scene = Scene::new(TABLES, "CREATE TABLE equal (id int PRIMARY KEY, v text);").unwrap();
    let (collector, broker) = (
        Collector::start().unwrap(),
        shared_rabbitmq().create_vhost().unwrap(),
    );
    let endpoint = collector.grpc_url();
    let traced = |arguments: &[&str], program: &str| {
        let mut command = scene.here.command(program, arguments);
        command.env("RECONCILE_LOG_FORMAT", "json").args([
            "--otlp-endpoint",
            &endpoint,
            "--broker",
            broker.amqp_url(),
        ]);
        Process::start(program, &mut command).unwrap()
    };
    let mut worker = traced(&["--name", "w1"], "reconcile-worker");
    worker.wait_for_line("ready", BOUND).unwrap();
    let mut run = traced(&["run", "--tables", "equal,only_here"], "reconcile");
    run.wait(BOUND).unwrap();
    worker.signal("TERM");
    worker.wait(BOUND).unwrap();

    let report: Json = serde_json::from_str(&run.stdout()).unwrap();
    assert!(!objects(&run.stderr()).is_empty(), "{}", run.stderr());
    let lines = objects(&worker.stderr());
    for line in &lines {
        for field in ["timestamp", "level", "message"] {
            assert!(line.contains_key(field), "{line:?}");
        }
    }
    let about: Vec<&Map<String, Json>> = lines
        .iter()
        .filter(|line| line.contains_key("table"))
        .collect();
    assert_eq!(about.len(), 2, "one line a table: {lines:#?}");
    for line in about {
        assert_eq!(line["run"], report["run_id"], "{line:?}");
        assert_eq!(line["trace_id"], report["trace_id"], "{line:?}");
        assert_eq!(line["attempt"], 1, "{line:?}");
        assert_eq!(line["worker"], "w1", "{line:?}");
        assert_eq!(line["target"], "worker::table", "{line:?}");
        if line["table"] == "equal" {
            assert_eq!(line["level"], "INFO", "{line:?}");
            assert_eq!(line["result"], "mismatched", "{line:?}");
            assert_eq!(line["source_count"], 1, "{line:?}");
        } else {
            assert_eq!(line["table"], "only_here", "{line:?}");
            assert_eq!(line["level"], "WARN", "{line:?}");
            assert_eq!(line["type"], "TableNotFound", "{line:?}");
            let message = line["message"].as_str().unwrap();
            let error = report["errors"][0]["error"].as_str().unwrap();
            assert_eq!(message, format!("failed: {error}"));
        }
    }
}

#[test]
fn a_worker_without_traces_logs_the_trace_that_it_works_for() {
    let scene = Scene::new(TABLES, TABLES).unwrap();
    let (collector, broker) = (
        Collector::start().unwrap(),
        shared_rabbitmq().create_vhost().unwrap(),
    );
    let worker = scene.start_worker(broker.amqp_url(), "w1", 1).unwrap();
    let endpoint = collector.grpc_url();
    let arguments = ["--tables", "equal", "--otlp-endpoint", &endpoint];
    let mut run = scene.start_run(broker.amqp_url(), &arguments).unwrap();
    run.wait(BOUND).unwrap();
    let report: Json = serde_json::from_str(&run.stdout()).unwrap();
    let trace = report["trace_id"].as_str().unwrap();
    let line = worker
        .stderr()
        .lines()
        .find(|line| line.contains("compared"))
        .map(str::to_owned)
        .unwrap();
    assert!(line.contains("[table=equal attempt=1 worker=w1 "), "{line}");
    assert!(line.ends_with(&format!("trace_id={trace}]")), "{line}");
}

#[test]
fn no_secret_is_in_any_line() {
    let database = shared_postgres().create_database("secrets").unwrap();
    let standin = Standin::start(&database.url(), "secrets", StandinTls::Off).unwrap();
    let host = url::Url::parse(&database.url()).unwrap();
    let (name, port) = (host.host_str().unwrap(), host.port().unwrap());
    let vhost = shared_rabbitmq().create_vhost().unwrap();
    let broker = url::Url::parse(vhost.amqp_url()).unwrap();
    let postgres = format!("postgres://reader:hunter2@{name}:{port}/secrets");
    let mssql = format!(
        "mssql://sa:hunter2@127.0.0.1:{}/secrets?encrypt=false",
        standin.port()
    );
    let here = Workplace::new(&format!(
        "[endpoints.a]\nurl = '{postgres}'\n[endpoints.b]\nurl = '{mssql}'\n\
         [broker]\nurl = 'amqp://reader:hunter2@127.0.0.1:{}/none'\n\
         [telemetry]\notlp_endpoint = 'http://reader:hunter2@127.0.0.1:1/?token=hunter2'\n",
        broker.port().unwrap()
    ));
    let local = ["run", "--local", "--tables", "t"];
    let ends: [(&str, &[&str]); 5] = [
        ("reconcile", &["--source", "a", "--target", "b"]),
        ("reconcile", &["--source", "b", "--target", "a"]),
        (
            "reconcile",
            &["--source-url", &postgres, "--target-url", &mssql],
        ),
        ("reconcile", &["--broker"]),
        ("reconcile-worker", &["--concurrency", "1"]),
    ];
    for (program, flags) in ends {
        for (variable, value) in [
            ("RECONCILE_LOG_FORMAT", "json"),
            (
                "RUST_LOG",
                "info,shared=trace,worker=trace,coordinator=trace",
            ),
        ] {
            let arguments: Vec<&str> = match (program, flags) {
                ("reconcile", ["--broker"]) => {
                    vec!["run", "--source", "a", "--target", "b", "--tables", "t"]
                }
                ("reconcile", flags) => [&local[..], flags].concat(),
                (_, flags) => flags.to_vec(),
            };
            let mut command = here.command(program, &arguments);
            command.env(variable, value);
            let ended = finish(&mut command);
            assert!(
                ended.code == 2 || ended.code == 3,
                "{arguments:?}: {ended:?}"
            );
            assert!(!ended.stderr.is_empty(), "{arguments:?}: {ended:?}");
            for output in [&ended.stderr, &ended.stdout] {
                assert!(!output.contains("hunter2"), "{arguments:?}: {ended:?}");
            }
        }
    }
}

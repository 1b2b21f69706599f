//! The metrics and the health of the product's processes: what is served, what
//! remains after a run, and that metrics do not change the result.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

#[path = "metrics/documented.rs"]
mod documented;
#[path = "metrics/gateway.rs"]
mod gateway;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::http;
use harness::poll::poll;
use harness::process::Process;
use harness::services::shared_rabbitmq;
use shared::signals::SAME_REQUEST;
use tests::product::{Run, finish};
use tests::proxy::Proxy;
use tests::scene::{Gates, Scene, metrics_address};

use gateway::Gateway;

/// How long anything may take that should happen soon.
const BOUND: Duration = Duration::from_secs(60);

/// Every value of an exposition by its name and labels.
fn values(text: &str) -> BTreeMap<String, f64> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[track_caller]
fn assert_values(text: &str, expected: &[(&str, f64)]) {
    let values = values(text);
    for (name, value) in expected {
        assert_eq!(values.get(*name), Some(value), "{name} in {text}");
    }
}

fn scrape(address: &str) -> String {
    let answer = http::get(&format!("http://{address}/metrics")).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.content_type,
        "text/plain; version=0.0.4; charset=utf-8"
    );
    answer.body
}

/// Waits until `address` shows these values.
#[track_caller]
fn until_shown(address: &str, expected: &[(&str, f64)]) {
    let mut last = String::new();
    let shown = poll(BOUND, || {
        last = scrape(address);
        let values = values(&last);
        let all = expected
            .iter()
            .all(|(name, value)| values.get(*name) == Some(value));
        all.then_some(())
    });
    assert!(shown.is_some(), "not {expected:?}: {last}");
}

/// Waits until `address` answers `/readyz` with this status, and returns the body.
#[track_caller]
fn until_ready_is(address: &str, status: u16) -> String {
    let mut last = String::new();
    let answered = poll(BOUND, || {
        let answer = http::get(&format!("http://{address}/readyz"));
        last = format!("{answer:?}");
        answer
            .ok()
            .filter(|answer| answer.status == status)
            .map(|answer| answer.body)
    });
    answered.unwrap_or_else(|| panic!("not {status}: {last}"))
}

fn is_alive(address: &str) -> bool {
    http::get(&format!("http://{address}/healthz")).is_ok_and(|answer| answer.status == 200)
}

/// A view of `rows` rows that is read when gate `gate` is open.
fn gated(name: &str, gate: u32, rows: u32) -> String {
    format!(
        "CREATE VIEW {name} AS SELECT row AS id FROM (SELECT gate({gate}) OFFSET 0) wait, generate_series(1, {rows}) row;"
    )
}

fn table(name: &str, rows: u32) -> String {
    format!(
        "CREATE TABLE {name} (id int PRIMARY KEY, v text); INSERT INTO {name} SELECT row, 'v' FROM generate_series(1, {rows}) row;"
    )
}

/// Runs in one process.
fn local(scene: &Scene, arguments: &[&str]) -> Run {
    let arguments = [&["run", "--no-store"][..], arguments].concat();
    scene.here.reconcile(&arguments)
}

/// A port that is in use.
fn taken() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn a_worker_shows_what_it_does_and_whether_it_takes_work() {
    let scene = Scene::new(
        &(gated("first", 0, 5000) + &gated("second", 1, 1)),
        &(table("first", 5000) + &table("second", 1)),
    )
    .unwrap();
    let gates = Gates::closed(&scene.source, 2).unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let (mut worker, address) = scene
        .start_watched_worker(broker.amqp_url(), "watched", 2)
        .unwrap();
    assert!(is_alive(&address));
    assert_eq!(until_ready_is(&address, 200), "ready\n");
    assert_values(
        &scrape(&address),
        &[
            ("reconcile_worker_capacity", 2.0),
            ("reconcile_worker_busy", 0.0),
            ("reconcile_broker_connected", 1.0),
            ("reconcile_rows_scanned_total{side=\"source\"}", 0.0),
            ("reconcile_worker_attempts_total{status=\"compared\"}", 0.0),
            ("reconcile_cancel_latency_seconds_count", 0.0),
        ],
    );
    // The view leaves out the column `v`, so it is not compared.
    let mut run = scene
        .start_run(
            broker.amqp_url(),
            &["--tables", "first,second", "--validate-checksums"],
        )
        .unwrap();
    until_shown(&address, &[("reconcile_worker_busy", 2.0)]);
    gates.open(0).unwrap();
    until_shown(
        &address,
        &[
            ("reconcile_worker_busy", 1.0),
            ("reconcile_worker_attempts_total{status=\"compared\"}", 1.0),
            ("reconcile_rows_scanned_total{side=\"source\"}", 5000.0),
        ],
    );
    let values = values(&scrape(&address));
    let bytes = values["reconcile_bytes_scanned_total{side=\"source\"}"];
    assert!((10_000.0..50_000.0).contains(&bytes), "{values:#?}");

    worker.signal("TERM");
    let reason = until_ready_is(&address, 503);
    assert!(reason.contains("draining"), "{reason}");
    assert!(is_alive(&address), "a worker that drains is alive");
    gates.open(1).unwrap();
    assert_eq!(worker.wait(BOUND).unwrap().code(), Some(0));
    assert_eq!(run.wait(BOUND).unwrap().code(), Some(0), "{}", run.stderr());
    assert!(!is_alive(&address));
}

#[test]
fn a_worker_without_its_broker_is_alive_and_not_ready() {
    let scene = Scene::new("", "").unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let port = url::Url::parse(broker.amqp_url()).unwrap().port().unwrap();
    let proxy = Proxy::to(port).unwrap();
    let (_worker, address) = scene
        .start_watched_worker(&proxy.through(broker.amqp_url()), "cut", 1)
        .unwrap();
    until_ready_is(&address, 200);
    proxy.stall();
    proxy.cut();
    let reason = until_ready_is(&address, 503);
    assert!(reason.contains("not connected to queue"), "{reason}");
    assert!(is_alive(&address));
    assert_values(&scrape(&address), &[("reconcile_broker_connected", 0.0)]);
    proxy.resume();
    until_ready_is(&address, 200);
    assert_values(
        &scrape(&address),
        &[
            ("reconcile_broker_connected", 1.0),
            ("reconcile_broker_reconnects_total", 1.0),
        ],
    );
}

#[test]
fn a_healthcheck_says_whether_the_worker_is_alive() {
    let scene = Scene::new("", "").unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let (mut worker, address) = scene
        .start_watched_worker(broker.amqp_url(), "checked", 1)
        .unwrap();
    let check = |arguments: &[&str]| {
        let arguments = [&["healthcheck"][..], arguments].concat();
        finish(&mut scene.here.command("reconcile-worker", &arguments))
    };
    let alive = check(&["--metrics-addr", &address]);
    assert_eq!(alive.code, 0, "{alive:?}");
    worker.kill();
    let dead = check(&["--metrics-addr", &address]);
    assert!(
        dead.code == 1 && dead.stderr.contains("not alive"),
        "{dead:?}"
    );
    let off = check(&["--metrics-addr", "off"]);
    assert!(off.code == 1 && off.stderr.contains("off"), "{off:?}");
}

#[test]
fn an_address_that_was_asked_for_must_be_free() {
    let scene = Scene::new(&table("t", 1), &table("t", 1)).unwrap();
    let (_listener, address) = taken();
    let mut worker = scene.here.command(
        "reconcile-worker",
        // No broker is there: the address comes first.
        &["--broker", "amqp://127.0.0.1:1", "--metrics-addr", &address],
    );
    let worker = finish(&mut worker);
    assert!(
        worker.code == 2 && worker.stderr.contains(&address) && worker.stderr.contains("off"),
        "{worker:?}"
    );
    let run = local(&scene, &["--tables", "t", "--metrics-addr", &address]);
    assert!(
        run.code == 2 && run.stderr.contains(&address) && run.stdout.is_empty(),
        "{run:?}"
    );
    // A configuration is shared by the processes of a machine.
    let mut run = scene
        .here
        .command("reconcile", &["run", "--no-store", "--tables", "t"]);
    run.env_remove("RECONCILE_METRICS_ADDR");
    run.env("RECONCILE_TELEMETRY_METRICS_ADDR", &address);
    let run = finish(&mut run);
    assert!(
        run.code == 0 && run.stderr.matches(&address).count() == 1,
        "{run:?}"
    );
}

#[test]
fn an_ended_run_leaves_its_figures_in_a_file_and_at_a_gateway() {
    let scene = Scene::new(
        &(table("equal", 10) + &table("different", 10)),
        &(table("equal", 10) + &table("different", 7)),
    )
    .unwrap();
    let gateway = Gateway::start(200);
    let file = scene.here.path().join("reconcile.prom");
    let run = local(
        &scene,
        &[
            "--tables",
            "equal,different,absent",
            "--metrics-file",
            file.to_str().unwrap(),
            "--push-gateway",
            &gateway.url(),
        ],
    );
    assert_eq!(run.code, 3, "{run:?}");
    let expected = [
        ("reconcile_tables_total{status=\"matched\"}", 1.0),
        ("reconcile_tables_total{status=\"mismatched\"}", 1.0),
        ("reconcile_tables_total{status=\"failed\"}", 1.0),
        ("parallel_tables_processed_total{status=\"success\"}", 2.0),
        ("parallel_tables_processed_total{status=\"failed\"}", 1.0),
        ("parallel_tables_processed_total{status=\"timeout\"}", 0.0),
        ("reconcile_differences_total{kind=\"missing\"}", 3.0),
        ("reconcile_differences_total{kind=\"extra\"}", 0.0),
        ("reconcile_run_rows{side=\"source\"}", 20.0),
        ("reconcile_run_rows{side=\"target\"}", 17.0),
        ("reconcile_runs_total{status=\"INCOMPLETE\"}", 1.0),
        ("reconcile_runs_total{status=\"PASS\"}", 0.0),
        ("reconcile_run_in_progress", 0.0),
        (
            "parallel_reconciliation_seconds_count{worker_count=\"1\"}",
            1.0,
        ),
        (
            "parallel_table_reconciliation_seconds_count{table=\"equal\"}",
            1.0,
        ),
        ("reconcile_rows_scanned_total{side=\"target\"}", 17.0),
    ];
    let text = std::fs::read_to_string(&file).unwrap();
    assert_values(&text, &expected);
    assert!(
        values(&text)["reconcile_run_last_finished_timestamp_seconds"] > 1.6e9,
        "{text}"
    );
    // Names that node-exporter has itself, and what no longer holds.
    for absent in ["process_", "reconcile_broker_connected", "worker_capacity"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);

    let pushed = gateway.received();
    assert_eq!(pushed.len(), 1, "{pushed:?}");
    let prefix = "PUT /metrics/job/reconcile/instance/";
    assert!(
        pushed[0].request.starts_with(prefix) && pushed[0].request.len() > prefix.len(),
        "{pushed:?}"
    );
    assert!(
        pushed[0]
            .content_type
            .starts_with("text/plain; version=0.0.4"),
        "{pushed:?}"
    );
    assert_values(&pushed[0].body, &expected);
}

#[test]
fn a_run_that_cannot_begin_leaves_word_of_it() {
    let scene = Scene::new("", "").unwrap();
    let file = scene.here.path().join("reconcile.prom");
    let arguments = [
        "run",
        "--broker",
        "amqp://127.0.0.1:1",
        "--tables",
        "t",
        "--metrics-file",
        file.to_str().unwrap(),
    ];
    let run = scene.here.reconcile(&arguments);
    assert_eq!(run.code, 2, "{run:?}");
    assert_values(
        &std::fs::read_to_string(&file).unwrap(),
        &[
            ("reconcile_runs_total{status=\"INCOMPLETE\"}", 1.0),
            ("reconcile_run_in_progress", 0.0),
            ("parallel_active_workers", 0.0),
        ],
    );
}

/// A run over two gated tables and one that waits behind them, on a worker;
/// all are watched, and both tables run.
struct Underway {
    scene: Scene,
    _gates: Gates,
    worker: (Process, String),
    run: Process,
    file: std::path::PathBuf,
    // At last: workers and runs end before their broker.
    _broker: harness::services::Broker,
}

impl Underway {
    fn start() -> Self {
        let names = ["one", "two", "three"];
        let sql = |make: &dyn Fn(&str) -> String| names.map(make).concat();
        let scene = Scene::new(
            &sql(&|name| gated(name, 0, 1)),
            &sql(&|name| table(name, 1)),
        )
        .unwrap();
        let gates = Gates::closed(&scene.source, 1).unwrap();
        let broker = shared_rabbitmq().create_vhost().unwrap();
        let worker = scene
            .start_watched_worker(broker.amqp_url(), "worker", 2)
            .unwrap();
        let file = scene.here.path().join("reconcile.prom");
        let mut run = scene
            .start_run(
                broker.amqp_url(),
                &[
                    "--tables",
                    "one,two,three",
                    "--parallel-workers",
                    "2",
                    "--metrics-addr",
                    "127.0.0.1:0",
                    "--metrics-file",
                    file.to_str().unwrap(),
                ],
            )
            .unwrap();
        let address = metrics_address(&mut run).unwrap();
        until_shown(
            &address,
            &[
                ("parallel_active_workers", 2.0),
                ("parallel_queue_size", 1.0),
                ("reconcile_run_in_progress", 1.0),
                ("reconcile_run_tables{status=\"running\"}", 2.0),
                ("reconcile_run_tables{status=\"waiting\"}", 1.0),
            ],
        );
        assert_eq!(until_ready_is(&address, 200), "ready\n");
        assert!(is_alive(&address));
        let values = values(&scrape(&address));
        let age = values["reconcile_worker_heartbeat_age_seconds{worker=\"worker\"}"];
        assert!((0.0..60.0).contains(&age), "{age}");
        until_shown(&worker.1, &[("reconcile_worker_busy", 2.0)]);
        Self {
            scene,
            _gates: gates,
            worker,
            run,
            file,
            _broker: broker,
        }
    }
}

fn assert_all_is_over(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    assert_values(
        &text,
        &[
            ("parallel_active_workers", 0.0),
            ("parallel_queue_size", 0.0),
            ("reconcile_run_in_progress", 0.0),
            ("reconcile_run_tables{status=\"running\"}", 0.0),
            ("reconcile_run_tables{status=\"waiting\"}", 0.0),
            ("reconcile_runs_total{status=\"INCOMPLETE\"}", 1.0),
        ],
    );
    assert!(!text.contains("heartbeat_age"), "{text}");
}

#[test]
fn gauges_return_to_zero_after_a_run_that_was_cancelled() {
    let mut underway = Underway::start();
    let cancel = underway.scene.here.reconcile(&["cancel", "latest"]);
    assert_eq!(cancel.code, 0, "{cancel:?}");
    let code = underway.run.wait(BOUND).unwrap().code();
    assert_eq!(code, Some(130), "{}", underway.run.stderr());
    assert_all_is_over(&underway.file);
    assert_values(
        &std::fs::read_to_string(&underway.file).unwrap(),
        &[
            ("reconcile_tables_total{status=\"cancelled\"}", 3.0),
            ("reconcile_run_tables{status=\"cancelled\"}", 3.0),
            ("parallel_tables_processed_total{status=\"failed\"}", 0.0),
        ],
    );
    let (_, address) = &underway.worker;
    until_shown(
        address,
        &[
            ("reconcile_worker_busy", 0.0),
            ("reconcile_worker_attempts_total{status=\"cancelled\"}", 2.0),
            ("reconcile_cancel_latency_seconds_count", 2.0),
        ],
    );
}

#[test]
fn a_resumed_run_leaves_what_had_ended_before_it_was_resumed() {
    let scene = Scene::new(
        &(table("differs", 1) + &gated("held", 0, 1)),
        &(table("differs", 2) + &table("held", 1)),
    )
    .unwrap();
    let gates = Gates::closed(&scene.source, 1).unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let (_worker, _) = scene
        .start_watched_worker(broker.amqp_url(), "worker", 2)
        .unwrap();
    let mut run = scene
        .start_run(
            broker.amqp_url(),
            &["--tables", "differs,held", "--metrics-addr", "127.0.0.1:0"],
        )
        .unwrap();
    let address = metrics_address(&mut run).unwrap();
    until_shown(
        &address,
        &[
            ("reconcile_run_tables{status=\"mismatched\"}", 1.0),
            ("reconcile_run_tables{status=\"running\"}", 1.0),
        ],
    );
    run.signal("KILL");
    run.wait(BOUND).unwrap();
    let gateway = Gateway::start(200);
    gates.open(0).unwrap();
    let resumed = scene.here.reconcile(&[
        "resume",
        "latest",
        "--broker",
        broker.amqp_url(),
        "--push-gateway",
        &gateway.url(),
        "--push-instance",
        "nightly",
    ]);
    assert_eq!(resumed.code, 1, "{resumed:?}");
    assert_eq!(
        gateway.received()[0].request,
        "PUT /metrics/job/reconcile/instance/nightly"
    );
    // Each table once: what alerts and dashboard ask for.
    assert_values(
        &gateway.received()[0].body,
        &[
            ("reconcile_run_tables{status=\"mismatched\"}", 1.0),
            ("reconcile_run_tables{status=\"matched\"}", 1.0),
            ("reconcile_runs_total{status=\"FAIL\"}", 1.0),
        ],
    );
}

#[test]
fn a_run_that_is_ended_at_once_leaves_its_figures_too() {
    let mut underway = Underway::start();
    // A worker that does not answer keeps the run waiting.
    underway.worker.0.signal("STOP");
    underway.run.signal("INT");
    underway.run.wait_for_line("pausing", BOUND).unwrap();
    // Signals that follow at once are the same request.
    let start = Instant::now();
    let code = poll(BOUND, || {
        underway.run.signal("INT");
        underway.run.wait(Duration::from_millis(100)).ok()
    });
    let code = code.expect("a later signal ends the run").code();
    assert_eq!(code, Some(130), "{}", underway.run.stderr());
    assert!(
        start.elapsed() > SAME_REQUEST / 2,
        "{}",
        underway.run.stderr()
    );
    assert_all_is_over(&underway.file);
    underway.worker.0.signal("CONT");
    drop(underway.scene);
}

#[test]
fn nothing_of_it_changes_the_answer() {
    let scene = Scene::new(&table("t", 10), &table("t", 10)).unwrap();
    let (listener, refused) = taken();
    drop(listener);
    let broken = Gateway::start(400);
    for (gateway, said) in [
        (format!("http://{refused}"), refused.clone()),
        (broken.url(), "refused the metrics with 400: no".to_owned()),
    ] {
        let run = local(
            &scene,
            &[
                "--tables",
                "t",
                "--metrics-file",
                "no/such/directory/reconcile.prom",
                "--push-gateway",
                &gateway,
            ],
        );
        assert_eq!((run.code, &run.report()["status"]), (0, &"PASS".into()));
        for said in ["no/such/directory/reconcile.prom", &said] {
            assert_eq!(run.stderr.matches(said).count(), 1, "{said}: {run:?}");
        }
        let warnings = run.stderr.lines().filter(|line| line.contains("WARN"));
        assert_eq!(warnings.count(), 2, "{run:?}");
    }
}

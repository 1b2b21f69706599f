//! Workers that cannot run the tables of a run, for a reason of their own: a login that is
//! refused, limits. Other workers run them.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::time::{Duration, Instant};

use harness::poll::poll;
use harness::process::Process;
use harness::services::{Postgres, shared_rabbitmq};
use serde_json::{Value as Json, json};
use tests::product::{Workplace, check_counts};
use tests::scene::Scene;

const BOUND: Duration = Duration::from_secs(60);

const TABLES: u32 = 40;

fn tables() -> String {
    (0..TABLES)
        .map(|number| format!("CREATE TABLE t{number} AS SELECT generate_series(1, 10) AS id;"))
        .collect()
}

fn names() -> String {
    let names: Vec<String> = (0..TABLES).map(|number| format!("t{number}")).collect();
    names.join(",")
}

fn finish(run: &mut Process) -> (Option<i32>, Json) {
    let status = run.wait(BOUND).unwrap();
    let report = serde_json::from_str(&run.stdout())
        .unwrap_or_else(|error| panic!("no report ({error}): {}", run.stderr()));
    check_counts(&report);
    (status.code(), report)
}

/// A server that refuses a login, and logs that it did.
struct Refusing {
    server: Postgres,
    /// Its URL with a wrong password.
    url: String,
}

impl Refusing {
    fn start() -> Self {
        let server = Postgres::start().unwrap();
        let mut url = url::Url::parse(&server.url()).unwrap();
        url.set_password(Some("wrong")).unwrap();
        let url = url.into();
        Self { server, url }
    }

    fn refused_logins(&self) -> usize {
        let log = std::fs::read_to_string(self.server.log()).unwrap();
        let refused = "FATAL:  password authentication failed";
        log.lines().filter(|line| line.contains(refused)).count()
    }
}

/// A worker with other settings than the scene's.
fn worker(
    scene: &Scene,
    broker: &str,
    name: &str,
    target: &str,
    more: &str,
) -> (Workplace, Process) {
    let source = scene.source.url();
    let place = Workplace::new(&format!(
        "[endpoints.source]\nurl = '{source}'\n[endpoints.target]\nurl = '{target}'\n{more}"
    ));
    let arguments = ["--broker", broker, "--name", name, "--concurrency", "4"];
    let mut process = place.worker(&arguments);
    process.wait_for_line("ready", BOUND).unwrap();
    (place, process)
}

fn seen(scene: &Scene, broker: &str, name: &str) -> Json {
    let workers = scene
        .here
        .reconcile(&["workers", "--broker", broker, "--format", "json"]);
    let workers: Vec<Json> = serde_json::from_str(&workers.stdout).unwrap();
    let found = workers.into_iter().find(|worker| worker["worker"] == name);
    found.unwrap_or(Json::Null)
}

#[test]
fn one_worker_with_a_wrong_password_fails_no_table_and_logs_in_once() {
    let scene = Scene::new(&tables(), &tables()).unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let url = broker.amqp_url();
    let refusing = Refusing::start();
    let (_place, _bad) = worker(&scene, url, "bad", &refusing.url, "");
    let _good = scene.start_worker(url, "good", 1).unwrap();
    let tables = names();
    let mut run = scene
        .start_run(url, &["--tables", &tables, "--max-attempts", "1"])
        .unwrap();
    let (code, report) = finish(&mut run);
    assert_eq!(
        (code, &report["matched"], &report["errors"]),
        (Some(0), &json!(TABLES), &json!([])),
        "{report:#}"
    );
    let all_good = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .all(|result| result["worker"] == "good");
    assert!(all_good, "{report:#}");
    run.wait_for_line("worker bad failed for a reason of its own", BOUND)
        .unwrap();

    let unavailable = &seen(&scene, url, "bad")["unavailable"][0];
    assert_eq!(unavailable["endpoint"], "target");
    let listed = scene.here.reconcile(&["workers", "--broker", url]).stdout;
    assert!(
        listed.contains("target (not available: cannot connect"),
        "{listed}"
    );
    assert!(!listed.contains("wrong"), "{listed}");

    // Probes do not repeat it either.
    let repeated = poll(Duration::from_secs(3), || {
        (refusing.refused_logins() != 1).then(|| refusing.refused_logins())
    });
    assert_eq!(repeated, None, "accounts lock out after a few");
}

#[test]
fn a_login_that_every_worker_lacks_ends_the_tables_with_that_reason() {
    let scene = Scene::new(&tables(), &tables()).unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let url = broker.amqp_url();
    let refusing = Refusing::start();
    let _one = worker(&scene, url, "one", &refusing.url, "");
    let _two = worker(&scene, url, "two", &refusing.url, "");
    let start = Instant::now();
    let mut run = scene.start_run(url, &["--tables", &names()]).unwrap();
    let (code, report) = finish(&mut run);
    assert_eq!(
        (code, &report["failed"]),
        (Some(3), &json!(TABLES)),
        "{report:#}"
    );
    for error in report["errors"].as_array().unwrap() {
        assert_eq!(error["type"], "AuthenticationError", "{error}");
    }
    assert_eq!(refusing.refused_logins(), 2, "one for each worker");
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_task_above_the_limits_of_a_worker_goes_to_another_one_or_fails_with_both_numbers() {
    let scene = Scene::new(&tables(), &tables()).unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let url = broker.amqp_url();
    let target = scene.target.url();
    let limits = "[limits]\nmax_memory = '16MiB'\nschemas = ['public']\n";
    let (place, _small) = worker(&scene, url, "small", &target, limits);
    let config = place.reconcile(&["config"]).stdout;
    assert!(
        config.contains("[limits]\nmax_memory = \"16MiB\""),
        "{config}"
    );
    let two = ["--tables", "t0,t1"];
    let (code, report) = finish(&mut scene.start_run(url, &two).unwrap());
    let error = &report["errors"][0];
    assert_eq!(
        (code, &error["type"]),
        (Some(3), &json!("LimitExceeded")),
        "{report:#}"
    );
    let message = error["error"].as_str().unwrap();
    assert!(
        message.contains("`64MiB`") && message.contains("`16MiB`"),
        "{message}"
    );
    let within = [&two[..], &["--memory-limit", "16MiB"]].concat();
    let (code, report) = finish(&mut scene.start_run(url, &within).unwrap());
    assert_eq!(
        (code, &report["matched"]),
        (Some(0), &json!(2)),
        "{report:#}"
    );
    let elsewhere = ["--tables", "pg_catalog.pg_am", "--memory-limit", "16MiB"];
    let (_, report) = finish(&mut scene.start_run(url, &elsewhere).unwrap());
    let message = report["errors"][0]["error"].to_string();
    assert!(
        message.contains("`pg_catalog`") && message.contains("`public`"),
        "{message}"
    );
    let _large = scene.start_worker(url, "large", 1).unwrap();
    let (code, report) = finish(&mut scene.start_run(url, &two).unwrap());
    assert_eq!(
        (code, &report["matched"]),
        (Some(0), &json!(2)),
        "{report:#}"
    );
}

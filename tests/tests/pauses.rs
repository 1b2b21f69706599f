//! Ctrl-C pauses a run: its statements stop, nothing is lost, and resumed it gives the same report
//! as without the pauses. `PAUSES` is how often each test pauses, `SEED` draws the moments.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::time::Duration;

use harness::poll::poll;
use harness::process::Process;
use harness::services::{Broker, Database, shared_postgres, shared_rabbitmq};
use serde_json::Value as Json;
use tests::product::{Run, Workplace, check_counts, comparable};

/// How long a command may take to have its effect.
const BOUND: Duration = Duration::from_secs(60);

/// How many tables a run has.
const TABLES: usize = 30;

/// The longest time between the last table that is waited for and the signal.
const LATER_MS: u64 = 120;

fn number(variable: &str, default: u64) -> u64 {
    let value = std::env::var(variable);
    value.map_or(default, |text| text.parse().expect("a number"))
}

/// Two databases with views that take a moment, one table that is missing in the target, and a
/// configuration that names the databases.
struct Scene {
    source: Database,
    target: Database,
    here: Workplace,
}

impl Scene {
    fn new() -> Self {
        let server = shared_postgres();
        let (source, target) = (
            server.create_database("source").unwrap(),
            server.create_database("target").unwrap(),
        );
        let view = |at: usize, rows: usize, seconds: f64| {
            format!(
                "CREATE VIEW t{at} AS SELECT i AS id, CASE WHEN i = 1 THEN pg_sleep({seconds})::text ELSE 'v' END AS v FROM generate_series(1, {rows}) i;"
            )
        };
        let names = 0..TABLES - 1;
        let of_source: String = names.clone().map(|at| view(at, 20, 0.15)).collect();
        let of_target: String = names
            .map(|at| view(at, if at % 3 == 0 { 20 } else { 19 }, 0.0))
            .collect();
        let lost = "CREATE TABLE lost (id int PRIMARY KEY)";
        source.execute(&format!("{of_source}{lost}")).unwrap();
        target.execute(&of_target).unwrap();
        let here = Workplace::new(&format!(
            "[endpoints.source]\nurl = '{}'\n[endpoints.target]\nurl = '{}'\n[run]\nsource = 'source'\ntarget = 'target'\nrow_level = true\nformat = 'json'\n",
            source.url(),
            target.url()
        ));
        Self {
            source,
            target,
            here,
        }
    }

    /// Statements of the product that run in either database.
    fn statements(&self) -> i64 {
        const COUNT: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND application_name LIKE 'reconcile%' AND state = 'active'";
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut sum = 0;
            for database in [&self.source, &self.target] {
                let client = database.connect().await.unwrap();
                let count: i64 = client.query_one(COUNT, &[]).await.unwrap().get(0);
                sum += count;
            }
            sum
        })
    }

    fn command(&self, arguments: &[&str]) -> Run {
        self.here.reconcile(arguments)
    }

    fn run_arguments<'a>(&self, transport: &[&'a str]) -> Vec<&'a str> {
        let fixed = [
            "run",
            "--tables",
            "*",
            "--include-views",
            "--parallel-workers",
            "4",
        ];
        [&fixed[..], transport].concat()
    }
}

/// How many tables have ended, as a run has printed.
fn ended(run: &Process) -> usize {
    let of = |line: &&str| {
        let statuses = ["matched ", "mismatched ", "failed "];
        statuses.iter().any(|status| line.starts_with(status))
    };
    run.stderr().lines().filter(of).count()
}

/// Interrupts a run when `tables` more tables have ended, and a moment later. Returns its exit code.
fn interrupt(run: &mut Process, tables: usize, later: Duration) -> i32 {
    run.wait_for_line("run ", BOUND).unwrap();
    let mut code = None;
    poll(BOUND, || {
        code = run.wait(Duration::ZERO).ok();
        (code.is_some() || ended(run) >= tables).then_some(())
    })
    .expect("the tables end");
    std::thread::sleep(later);
    run.signal("INT");
    let status = run.wait(BOUND).unwrap();
    status.code().unwrap()
}

/// Runs that are paused again and again until they end, `PAUSES` times in all.
fn pause_and_resume(scene: &Scene, transport: &[&str]) {
    let reference = scene.command(&scene.run_arguments(transport));
    assert_eq!(reference.code, 3, "{reference:?}");
    let reference = comparable(reference.report(), &[]);
    let (mut left, seed) = (number("PAUSES", 20), number("SEED", 1));
    let mut random = fastrand::Rng::with_seed(seed);
    while left > 0 {
        let mut run = scene.here.start(&scene.run_arguments(transport));
        let report = loop {
            let later = Duration::from_millis(random.u64(0..LATER_MS));
            // Beyond the pauses, the run ends undisturbed.
            let tables = if left == 0 {
                TABLES
            } else {
                random.usize(0..10)
            };
            let code = interrupt(&mut run, tables, later);
            if code != 130 {
                assert_eq!(code, 3, "seed {seed}: {}", run.stderr());
                break serde_json::from_str::<Json>(&run.stdout()).unwrap();
            }
            left = left.saturating_sub(1);
            assert_paused(scene, &run, seed);
            run = scene
                .here
                .start(&[&["resume", "latest"][..], transport].concat());
        };
        check_counts(&report);
        assert_eq!(comparable(report, &[]), reference, "seed {seed}");
    }
}

/// The run says last how it is resumed, prints no report, and runs no statement any more.
fn assert_paused(scene: &Scene, run: &Process, seed: u64) {
    let stderr = run.stderr();
    let last = stderr.lines().last().unwrap_or_default();
    assert!(
        last.contains("is paused") && last.contains("`reconcile resume "),
        "seed {seed}: {stderr}"
    );
    assert!(!stderr.contains("cancelled"), "seed {seed}: {stderr}");
    assert_eq!(run.stdout(), "", "seed {seed}");
    assert_eq!(scene.statements(), 0, "seed {seed}: {stderr}");
    let status = scene.command(&["status", "latest"]);
    assert!(
        status.stdout.contains("paused, started") && status.stdout.contains("reconcile resume "),
        "seed {seed}: {status:?}"
    );
}

#[test]
fn a_run_in_one_process_is_paused_at_any_moment() {
    pause_and_resume(&Scene::new(), &[]);
}

#[test]
fn a_distributed_run_is_paused_at_any_moment() {
    let scene = Scene::new();
    let broker: Broker = shared_rabbitmq().create_vhost().unwrap();
    let url = broker.amqp_url();
    let worker = |name: &str| {
        let arguments = ["--broker", url, "--concurrency", "2", "--name", name];
        scene.here.worker(&arguments)
    };
    let _workers = [worker("one"), worker("two")];
    pause_and_resume(&scene, &["--broker", url]);
}

#[test]
fn a_run_that_is_not_stored_is_cancelled_and_reported() {
    let scene = Scene::new();
    let mut run = scene.here.start(&scene.run_arguments(&["--no-store"]));
    assert_eq!(interrupt(&mut run, 3, Duration::ZERO), 130);
    let report: Json = serde_json::from_str(&run.stdout()).unwrap();
    check_counts(&report);
    assert!(report["cancelled"].as_u64() > Some(0), "{report:#}");
    let lines = run.stderr();
    let cancelled: Vec<&str> = lines
        .lines()
        .filter(|line| line.starts_with("cancelled "))
        .collect();
    assert_eq!(cancelled.len(), 1, "one line for all of them: {lines}");
}

#[test]
fn a_paused_run_can_be_cancelled() {
    let scene = Scene::new();
    let mut run = scene.here.start(&scene.run_arguments(&[]));
    assert_eq!(interrupt(&mut run, 2, Duration::ZERO), 130);
    let cancel = scene.command(&["cancel", "latest"]);
    assert_eq!(cancel.code, 0, "{cancel:?}");
    let report = scene.command(&["report", "latest"]);
    assert_eq!(report.code, 130, "{report:?}");
    assert!(
        report.report()["cancelled"].as_u64() > Some(0),
        "{report:?}"
    );
}

//! Runs that survive their coordinator, and the commands around runs, with the
//! product's processes, RabbitMQ and PostgreSQL.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::collections::BTreeSet;
use std::time::Duration;

use harness::poll::poll;
use harness::process::Process;
use harness::services::{Broker, Database, shared_postgres, shared_rabbitmq};
use serde_json::{Value as Json, json};
use tests::product::{Run, Workplace, check_counts, comparable, finish, result};

/// How long a command may take to have its effect.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two databases and a configuration that names them.
struct Scene {
    source: Database,
    target: Database,
    here: Workplace,
}

impl Scene {
    fn new(source_sql: &str, target_sql: &str) -> Self {
        let server = shared_postgres();
        let (source, target) = (
            server.create_database("source").unwrap(),
            server.create_database("target").unwrap(),
        );
        source.execute(source_sql).unwrap();
        target.execute(target_sql).unwrap();
        let here = Workplace::new(&format!(
            "[endpoints.source]\nurl = '{}'\n[endpoints.target]\nurl = '{}'\n[run]\nsource = 'source'\ntarget = 'target'\n",
            source.url(),
            target.url()
        ));
        Self {
            source,
            target,
            here,
        }
    }

    fn command(&self, arguments: &[&str]) -> Run {
        self.here.reconcile(arguments)
    }

    /// Starts a run and returns it with its identifier.
    fn start(&self, arguments: &[&str]) -> (Process, String) {
        let mut run = self
            .here
            .start(&[&["run", "--format", "json"][..], arguments].concat());
        let line = run.wait_for_line("run ", PATIENCE).unwrap();
        (run, line.trim_start_matches("run ").to_owned())
    }

    fn statements(&self) -> i64 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let client = self.source.connect().await.unwrap();
            let statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                             AND query LIKE 'COPY%' AND state = 'active'";
            client.query_one(statement, &[]).await.unwrap().get(0)
        })
    }

    fn wait_for_statements(&self, what: &str, holds: impl Fn(i64) -> bool) {
        let mut last = 0;
        let found = poll(PATIENCE, || {
            last = self.statements();
            holds(last).then_some(())
        });
        assert!(found.is_some(), "{what}: {last} statements run");
    }
}

/// Tables of three outcomes, each of which takes a moment; the last ones take longer.
fn mixed(tables: u32, seconds: f64) -> Scene {
    let view = |i: u32, rows: &str, sleep: f64| {
        format!(
            "CREATE VIEW t{i} AS SELECT i AS id, CASE WHEN i = 1 THEN pg_sleep({sleep})::text ELSE 'v' END AS v FROM generate_series(1, {rows}) i;"
        )
    };
    let source: String = (0..tables).map(|i| view(i, "20", seconds)).collect();
    let target: String = (0..tables)
        .map(|i| view(i, if i % 3 == 0 { "20" } else { "19" }, 0.0))
        .collect();
    Scene::new(&source, &target)
}

/// A private broker with workers.
struct Fleet {
    broker: Broker,
    workers: Vec<Process>,
}

impl Fleet {
    fn new(scene: &Scene, workers: usize, concurrency: &str) -> Self {
        let broker = shared_rabbitmq().create_vhost().unwrap();
        let workers = (0..workers)
            .map(|n| {
                let name = format!("hand-{n}");
                scene.here.worker(&[
                    "--broker",
                    broker.amqp_url(),
                    "--concurrency",
                    concurrency,
                    "--name",
                    &name,
                ])
            })
            .collect();
        Self { broker, workers }
    }

    fn url(&self) -> &str {
        self.broker.amqp_url()
    }
}

/// The fingerprints of the keys under which the tables of a report were hashed.
fn checksum_keys(report: &Json) -> BTreeSet<String> {
    let results = report["results"].as_array().unwrap().iter();
    results
        .filter_map(|result| result["checksum_key"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_coordinator_that_is_killed_is_resumed_and_the_report_is_the_same() {
    let scene = mixed(24, 0.2);
    scene
        .source
        .execute("CREATE TABLE lost (id int PRIMARY KEY)")
        .unwrap();
    let fleet = Fleet::new(&scene, 2, "2");
    let arguments = [
        "--tables",
        "*",
        "--include-views",
        "--row-level",
        "--broker",
        fleet.url(),
        "--parallel-workers",
        "4",
    ];
    let reference = scene.command(&[&["run", "--format", "json"][..], &arguments].concat());
    assert_eq!(reference.code, 3, "{reference:?}");

    let (mut first, id) = scene.start(&arguments);
    first.wait_for_line("matched", PATIENCE).unwrap();
    first.kill();
    let ended_before = first.stderr().matches("matched").count();
    assert!(ended_before < 24, "it was killed too late");

    let status = scene.command(&["status", &id]);
    assert!(
        status.stdout.contains("stopped") && status.stdout.contains("reconcile resume"),
        "{status:?}"
    );
    let report = scene.command(&["report", &id]);
    assert_eq!(report.code, 2, "no report before the end: {report:?}");

    let resumed = scene.command(&[
        "resume",
        &id[..18],
        "--broker",
        fleet.url(),
        "--format",
        "json",
    ]);
    assert_eq!(resumed.code, 3, "{resumed:?}");
    assert_eq!(resumed.report()["run_id"], json!(id));
    let again = resumed.stderr.matches("matched ").count();
    assert!(again < 24, "what had ended is not done again: {resumed:?}");
    assert_eq!(
        comparable(resumed.report(), &["history"]),
        comparable(reference.report(), &["history"])
    );
    assert_eq!(checksum_keys(&resumed.report()).len(), 1);
    assert_ne!(
        checksum_keys(&resumed.report()),
        checksum_keys(&reference.report())
    );

    let repeated = scene.command(&["report", "latest", "--format", "json"]);
    assert_eq!(repeated.code, 3, "{repeated:?}");
    assert_eq!(repeated.report(), resumed.report(), "the same report again");
    let finished = scene.command(&["resume", &id, "--format", "json"]);
    assert_eq!((finished.code, finished.report()), (3, resumed.report()));
}

#[test]
fn a_table_that_went_on_without_its_coordinator_is_not_begun_again() {
    let scene = Scene::new(
        "CREATE VIEW slow AS SELECT 1 AS id, pg_sleep(4)::text AS v",
        "CREATE VIEW slow AS SELECT 1 AS id, ''::text AS v",
    );
    let fleet = Fleet::new(&scene, 1, "2");
    let arguments = ["--tables", "slow", "--row-level", "--broker", fleet.url()];
    let (mut first, _) = scene.start(&arguments);
    scene.wait_for_statements("the table begins", |count| count == 1);
    first.kill();
    let resumed = scene.command(&[
        "resume",
        "latest",
        "--broker",
        fleet.url(),
        "--format",
        "json",
    ]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(
        result(&resumed.report(), "slow")["attempt"],
        1,
        "{resumed:?}"
    );
}

#[test]
fn a_run_that_sigterm_left_is_continued_by_the_next_start_that_asks_for_the_same() {
    let slow = |v: &str| format!("CREATE VIEW slow AS SELECT 1 AS id, {v}::text AS v;");
    let quick = "CREATE VIEW quick AS SELECT 1 AS id;";
    let scene = Scene::new(&(slow("pg_sleep(3)") + quick), &(slow("''") + quick));
    let fleet = Fleet::new(&scene, 1, "2");
    let arguments = |within, tables| {
        [
            "--tables",
            tables,
            "--row-level",
            "--broker",
            fleet.url(),
            "--resume-within",
            within,
        ]
    };
    let leave = || {
        let (mut run, id) = scene.start(&arguments("1h", "quick,slow"));
        run.wait_for_line("quick", PATIENCE).unwrap();
        scene.wait_for_statements("the table begins", |count| count == 1);
        run.signal("TERM");
        let status = run.wait(PATIENCE).unwrap();
        assert_eq!(status.code(), Some(143), "{}", run.stderr());
        assert!(run.stderr().contains("left unfinished"), "{}", run.stderr());
        id
    };
    let start = |within, tables| {
        scene.command(&[&["run", "--format", "json"][..], &arguments(within, tables)].concat())
    };

    let id = leave();
    // Neither other tables nor an older run.
    for (within, tables) in [("1h", "quick"), ("1ms", "quick,slow")] {
        let other = start(within, tables);
        assert_eq!(other.code, 0, "{other:?}");
        assert_ne!(other.report()["run_id"], json!(id), "{within} {tables}");
    }
    let continued = start("1h", "quick,slow");
    assert_eq!(continued.code, 0, "{continued:?}");
    let report = continued.report();
    assert_eq!(report["run_id"], json!(id), "{continued:?}");
    assert_eq!(result(&report, "slow")["attempt"], 1, "{continued:?}");
    // It has ended: the next start is a new run.
    let next = start("1h", "quick");
    assert_ne!(next.report()["run_id"], json!(id), "{next:?}");

    // A person's Ctrl-C pauses.
    let (mut run, _) = scene.start(&arguments("1h", "slow"));
    scene.wait_for_statements("the table begins", |count| count == 1);
    run.signal("INT");
    let status = run.wait(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(130), "{}", run.stderr());
}

#[test]
fn a_run_in_one_process_is_resumed_too_and_needs_its_urls() {
    let scene = mixed(8, 0.3);
    let urls = [scene.source.url(), scene.target.url()];
    let by_name = ["--tables", "t0,t1,t2,t3,t4,t5,t6,t7", "--row-level"];
    let reference = scene.command(&[&["run", "--format", "json"][..], &by_name].concat());
    let by_url = [
        &by_name[..],
        &["--source-url", &urls[0], "--target-url", &urls[1]],
    ]
    .concat();
    for (arguments, resume) in [(&by_name[..], &[][..]), (&by_url, &by_url[3..])] {
        let (mut first, _) = scene.start(arguments);
        first.wait_for_line("t2", PATIENCE).unwrap();
        first.kill();
        if !resume.is_empty() {
            let refused = scene.command(&["resume", "latest"]);
            assert!(
                refused.code == 2 && refused.stderr.contains("--source-url"),
                "{refused:?}"
            );
            let swapped = [
                "resume",
                "latest",
                "--source-url",
                &urls[1],
                "--target-url",
                &urls[0],
            ];
            let refused = scene.command(&swapped);
            assert!(
                refused.code == 2 && refused.stderr.contains("another database"),
                "{refused:?}"
            );
        }
        let command = [&["resume", "latest", "--format", "json"][..], resume].concat();
        let resumed = scene.command(&command);
        assert_eq!(resumed.code, 1, "{resumed:?}");
        assert_eq!(
            comparable(resumed.report(), &["history"]),
            comparable(reference.report(), &["history"])
        );
    }
}

#[test]
fn history_report_and_errors_about_runs() {
    let scene = mixed(3, 0.0);
    assert!(scene.command(&["history"]).stdout.contains("no runs"));
    let run = scene.command(&[
        "run",
        "--tables",
        "t0,t1",
        "--row-level",
        "--name",
        "nightly",
    ]);
    assert_eq!(run.code, 1, "{run:?}");
    let equal = scene.command(&[
        "run",
        "--tables",
        "t0",
        "--row-level",
        "--state-dir",
        "elsewhere",
    ]);
    assert_eq!(equal.code, 0, "{equal:?}");
    let unkept = scene.command(&["run", "--tables", "t0", "--no-store"]);
    assert_eq!(unkept.code, 0, "{unkept:?}");

    let history = scene.command(&["history"]);
    let lines: Vec<&str> = history.stdout.lines().collect();
    assert!(
        lines.len() == 3 && lines[1].contains("different"),
        "{history:?}"
    );
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{history:?}"
    );
    let history: Json =
        serde_json::from_str(&scene.command(&["history", "--format", "json"]).stdout).unwrap();
    assert_eq!(
        (
            &history[0]["status"],
            &history[0]["total_tables"],
            &history[0]["matched"],
            &history[0]["mismatched"]
        ),
        (&json!("FAIL"), &json!(2), &json!(1), &json!(1))
    );
    let again = scene.command(&["report", "nightly"]);
    assert_eq!(
        (again.code, &again.stdout),
        (1, &run.stdout),
        "the very same text"
    );
    let file = scene.command(&[
        "report",
        "latest",
        "--format",
        "csv",
        "--output",
        "report.csv",
    ]);
    assert_eq!(file.code, 1, "{file:?}");
    let csv = std::fs::read_to_string(scene.here.path().join("report.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let status = scene.command(&["status"]);
    assert!(
        status
            .stdout
            .contains("2 of 2 tables have ended: 1 matched, 1 mismatched"),
        "{status:?}"
    );
    for arguments in [
        ["report", "ffff"],
        ["resume", "ffff"],
        ["status", "ffff"],
        ["cancel", "ffff"],
    ] {
        let unknown = scene.command(&arguments);
        assert!(
            unknown.code == 2 && unknown.stderr.contains("reconcile history"),
            "{unknown:?}"
        );
    }
}

#[test]
fn a_quiet_run_prints_nothing_but_its_report() {
    let scene = mixed(1, 0.0);
    let run = scene.command(&["run", "--tables", "t0", "--row-level", "--quiet"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(!run.stdout.is_empty(), "{run:?}");
}

#[test]
fn a_command_that_connects_to_no_database_needs_no_password() {
    let here = Workplace::new(
        "[endpoints.erp]\nengine = 'postgres'\nhost = 'h'\ndatabase = 'd'\nuser = 'u'\npassword_env = 'NOT_SET_HERE'\n\
         [run]\nsource = 'erp'\ntarget = 'erp'\n",
    );
    let history = here.reconcile(&["history"]);
    assert_eq!(history.code, 0, "{history:?}");
    let unknown = here.reconcile(&["status"]);
    assert!(unknown.stderr.contains("there is no run"), "{unknown:?}");
    let run = here.reconcile(&["run", "--tables", "t"]);
    assert!(
        run.code == 2 && run.stderr.contains("password_env"),
        "{run:?}"
    );
}

#[test]
fn a_run_is_watched_and_cancelled_from_another_terminal() {
    let views = "CREATE VIEW stuck AS SELECT 1 AS id, pg_sleep(60)::text AS v; CREATE TABLE equal (id int PRIMARY KEY)";
    let scene = Scene::new(views, views);
    let fleet = Fleet::new(&scene, 1, "2");
    for transport in [&["--broker", fleet.url()][..], &[]] {
        let tables = ["--tables", "equal,stuck", "--row-level"];
        let (mut run, id) = scene.start(&[&tables[..], transport].concat());
        run.wait_for_line("equal", PATIENCE).unwrap();
        let mut last = None;
        let seen = poll(PATIENCE, || {
            let status = scene.command(&["status", &id, "--format", "json"]);
            let status: Json = serde_json::from_str(&status.stdout).unwrap();
            let running = status["running"][0]["table"] == "stuck" && status["matched"] == 1;
            last = Some(status);
            running.then_some(())
        });
        assert!(seen.is_some(), "{last:#?}");
        let text = scene.command(&["status", &id]).stdout;
        assert!(text.contains("running") && text.contains("stuck"), "{text}");
        let busy = scene.command(&["resume", &id]);
        assert!(
            busy.code == 2 && busy.stderr.contains("going on"),
            "{busy:?}"
        );

        let cancel = scene.command(&[&["cancel", &id][..], transport].concat());
        assert_eq!(cancel.code, 0, "{cancel:?}");
        assert_eq!(
            run.wait(PATIENCE).unwrap().code(),
            Some(130),
            "{}",
            run.stderr()
        );
        let report: Json = serde_json::from_str(&run.stdout()).unwrap();
        check_counts(&report);
        assert_eq!(
            (&report["matched"], &report["cancelled"]),
            (&json!(1), &json!(1)),
            "{report:#}"
        );
        scene.wait_for_statements("all is quiet", |count| count == 0);
        let again = scene.command(&["report", &id, "--format", "json"]);
        assert_eq!((again.code, again.report()), (130, report));
    }
}

#[test]
fn a_cancel_reaches_a_coordinator_elsewhere_and_ends_a_run_without_one() {
    let views = "CREATE VIEW stuck AS SELECT 1 AS id, pg_sleep(60)::text AS v";
    let scene = Scene::new(views, views);
    let fleet = Fleet::new(&scene, 1, "2");
    let arguments = ["--tables", "stuck", "--row-level", "--broker", fleet.url()];
    let (mut run, id) = scene.start(&arguments);
    scene.wait_for_statements("the table begins", |count| count >= 1);
    let cancel = scene.command(&[
        "cancel",
        &id,
        "--broker",
        fleet.url(),
        "--state-dir",
        "elsewhere",
    ]);
    assert_eq!(cancel.code, 0, "{cancel:?}");
    assert_eq!(
        run.wait(PATIENCE).unwrap().code(),
        Some(130),
        "{}",
        run.stderr()
    );
    scene.wait_for_statements("all is quiet", |count| count == 0);

    let (mut run, id) = scene.start(&arguments);
    scene.wait_for_statements("the table begins", |count| count >= 1);
    run.kill();
    let cancel = scene.command(&["cancel", &id, "--broker", fleet.url()]);
    assert_eq!(cancel.code, 0, "{cancel:?}");
    scene.wait_for_statements("all is quiet", |count| count == 0);
    let report = scene.command(&["report", &id, "--format", "json"]);
    assert_eq!(
        (report.code, &report.report()["cancelled"]),
        (130, &json!(1)),
        "{report:?}"
    );
}

#[test]
fn workers_are_listed_and_drained_by_name() {
    let scene = Scene::new(
        "CREATE VIEW slow AS SELECT 1 AS id, pg_sleep(2)::text AS v",
        "CREATE VIEW slow AS SELECT 1 AS id, ''::text AS v",
    );
    let mut fleet = Fleet::new(&scene, 2, "3");
    let broker = fleet.url().to_owned();
    let workers = || -> Json {
        let listed = scene.command(&["workers", "--format", "json", "--broker", &broker]);
        serde_json::from_str(&listed.stdout).unwrap()
    };
    let (mut run, _) = scene.start(&["--tables", "slow", "--row-level", "--broker", &broker]);
    scene.wait_for_statements("the table begins", |count| count == 1);
    let listed = workers();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed:#}");
    let busy = listed
        .as_array()
        .unwrap()
        .iter()
        .position(|worker| worker["owned"][0]["table"] == "slow");
    let busy = busy.unwrap_or_else(|| panic!("no worker owns the table: {listed:#}"));
    for worker in listed.as_array().unwrap() {
        assert_eq!(
            (&worker["capacity"], &worker["draining"]),
            (&json!(3), &json!(false))
        );
        assert!(
            worker["heartbeat_age_seconds"].as_f64().unwrap() < 2.0,
            "{worker}"
        );
    }
    let text = scene.command(&["workers", "--broker", &broker]).stdout;
    assert!(
        text.contains("hand-0") && text.contains("hand-1") && text.contains("slow"),
        "{text}"
    );

    let name = listed[busy]["worker"].as_str().unwrap();
    let drain = scene.command(&["drain", name, "--broker", &broker]);
    assert_eq!(drain.code, 0, "{drain:?}");
    assert_eq!(
        fleet.workers[busy].wait(PATIENCE).unwrap().code(),
        Some(0),
        "{}",
        fleet.workers[busy].stderr()
    );
    assert_eq!(
        run.wait(PATIENCE).unwrap().code(),
        Some(0),
        "{}",
        run.stderr()
    );
    let report: Json = serde_json::from_str(&run.stdout()).unwrap();
    assert_eq!(
        result(&report, "slow")["attempt"],
        1,
        "it was finished first: {report:#}"
    );
    assert_eq!(workers().as_array().unwrap().len(), 1);
    let unknown = scene.command(&["drain", "unknown", "--broker", &broker]);
    assert!(
        unknown.code == 2 && unknown.stderr.contains("hand-"),
        "{unknown:?}"
    );
}

#[test]
fn a_store_that_cannot_be_written_is_an_error_before_the_run_and_a_note_after_it() {
    let scene = mixed(300, 0.0);
    let before = scene.command(&["run", "--tables", "t0", "--state-dir", "/proc/none"]);
    assert!(
        before.code == 2 && before.stderr.contains("--no-store"),
        "{before:?}"
    );
    assert_eq!(before.stdout, "");

    // A limit on the size of files, as a full disk would be; the signal that comes with it is ignored.
    let program = scene
        .here
        .command("reconcile", &[])
        .get_program()
        .to_owned();
    let script = "trap '' XFSZ; program=$1; shift; exec prlimit --fsize=400000 \"$program\" \"$@\"";
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", script, "sh"]).arg(program);
    limited.args(["run", "--tables", "*", "--include-views", "--row-level"]);
    limited.args(["--format", "json"]);
    limited.args(["--parallel", "--parallel-workers", "4"]);
    limited
        .current_dir(scene.here.path())
        .env("XDG_STATE_HOME", scene.here.path());
    let run = finish(&mut limited);
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(
        run.stderr.matches("cannot be written").count(),
        1,
        "said once: {}",
        run.stderr
    );
    let report = run.report();
    assert_eq!(report["matched"], 100, "the run went on: {}", run.stderr);
    let history = scene.command(&["history"]);
    assert!(history.stdout.contains("stopped"), "{history:?}");
    assert!(
        report["notes"][0].as_str().unwrap().contains("run store"),
        "{}",
        report["notes"]
    );
}

#[test]
fn the_store_is_private_and_holds_no_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = mixed(3, 0.0);
    let secret = "correct-horse-battery";
    let with_password = |url: &str| -> String {
        let mut url: url::Url = url.parse().unwrap();
        url.set_password(Some(secret)).unwrap();
        url.to_string()
    };
    let (source, target) = (
        with_password(&scene.source.url()),
        with_password(&scene.target.url()),
    );
    let run = scene.command(&[
        "run",
        "--tables",
        "t0,t1,nowhere",
        "--row-level",
        "--source-url",
        &source,
        "--target-url",
        &target,
    ]);
    assert_eq!(run.code, 3, "{run:?}");
    let directory = scene.here.path().join("reconcile");
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
        let bytes = std::fs::read(&path).unwrap();
        let held = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!held, "{} holds the password", path.display());
        files += 1;
    }
    assert!(files > 0);
}

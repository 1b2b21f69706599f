//! `reconcile check` end to end: what it finds, its exit codes, its estimate, and the configuration
//! that it writes.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::time::Duration;

use harness::services::{Standin, StandinTls, shared_postgres, shared_rabbitmq};
use serde_json::Value as Json;
use tests::product::{Run, Workplace, finish};
use tests::scene::Scene;

/// How much the estimate may differ from the run on a machine that does other work too.
const FACTOR: f64 = 3.0;

/// How long a check of 300 tables may take on such a machine. Alone it takes a tenth.
const LOADED: Duration = Duration::from_secs(60);

fn report(run: &Run) -> Json {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("no report ({error}): {run:?}"))
}

/// The findings as `rule table object`, sorted.
fn found(report: &Json) -> Vec<String> {
    let text = |value: &Json| value.as_str().unwrap_or("-").to_owned();
    let findings = report["findings"].as_array().unwrap();
    let mut found: Vec<String> = findings
        .iter()
        .map(|it| {
            let [rule, table, object] = ["rule", "table", "object"].map(|key| text(&it[key]));
            format!("{rule} {table} {object}")
        })
        .collect();
    found.sort();
    found
}

fn finding<'a>(report: &'a Json, rule: &str) -> &'a Json {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .find(|it| it["rule"] == rule)
        .unwrap_or_else(|| panic!("no {rule} in {report:#}"))
}

/// The URL of the target for a user of this name who may read nothing yet.
fn reader(scene: &Scene, name: &str, password: &str) -> String {
    scene
        .target
        .execute(&format!(
            "DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN PASSWORD 'right';"
        ))
        .unwrap();
    let mut url = url::Url::parse(&scene.target.url()).unwrap();
    url.set_username(name).unwrap();
    url.set_password(Some(password)).unwrap();
    url.into()
}

/// Tables with a fault of each kind, and the target's URL for a user of this name who may not read
/// all of them.
fn faulty(user: &str) -> (Scene, String) {
    let scene = Scene::new(
        "CREATE TABLE good (id int PRIMARY KEY, v text);
         CREATE TABLE lost (id int PRIMARY KEY);
         CREATE TABLE unpaired (id int PRIMARY KEY, a text, b text);
         CREATE TABLE keyless (v int);
         CREATE TABLE odd (id int PRIMARY KEY, p point, q box);
         CREATE TABLE hidden (id int PRIMARY KEY);
         CREATE TABLE partly (id int PRIMARY KEY, v text)",
        "CREATE TABLE good (id int PRIMARY KEY, v text);
         CREATE TABLE unpaired (id int PRIMARY KEY, a text, must int NOT NULL);
         CREATE TABLE keyless (v int);
         CREATE TABLE odd (id int PRIMARY KEY, p point, q box);
         CREATE TABLE hidden (id int PRIMARY KEY);
         CREATE TABLE partly (id int PRIMARY KEY, v text)",
    )
    .unwrap();
    let url = reader(&scene, user, "right");
    scene
        .target
        .execute(&format!(
            "GRANT SELECT ON good, unpaired, keyless, odd TO {user};
             GRANT SELECT (id) ON partly TO {user}",
        ))
        .unwrap();
    (scene, url)
}

/// All tables of [`faulty`].
const LIST: &str = "good,lost,unpaired,keyless,odd,hidden,partly";

#[test]
fn all_problems_of_a_list_are_found_at_once() {
    let (scene, url) = faulty("check_reader");
    let arguments = ["check", "--tables", LIST, "--target-url", &url];
    let check = scene.here.reconcile(&arguments);
    let report = report(&check);
    assert_eq!(check.code, 3, "{report:#}");
    assert_eq!(report["status"], "UNVERIFIABLE", "{report:#}");
    assert_eq!(
        found(&report),
        [
            "incomparable-column odd p",
            "incomparable-column odd q",
            "missing-column unpaired b",
            "no-key keyless -",
            "permission-denied hidden -",
            "permission-denied partly -",
            "required-target-column unpaired must",
            "table-not-found lost -",
        ],
        "{report:#}"
    );
    // The worst come first, and every effect is named.
    assert_eq!(report["findings"][0]["effect"], "unverified");
    assert_eq!(finding(&report, "missing-column")["effect"], "different");
    assert_eq!(finding(&report, "no-key")["effect"], "none");
    let good = &report["tables"][0];
    assert_eq!(good["key"][0], "id", "{good:#}");
    assert!(
        good["estimated_seconds"].as_f64().unwrap() > 0.0,
        "{good:#}"
    );
    assert!(!check.stdout.contains("right"), "a password: {report:#}");
}

#[test]
fn rules_are_turned_off_and_every_format_has_all_findings() {
    let (scene, url) = faulty("check_formats");
    // Without the tables that cannot be verified, a structural difference is left.
    let arguments = ["check", "--tables", "good,unpaired", "--target-url", &url];
    let check = scene.here.reconcile(&arguments);
    assert_eq!(check.code, 1, "{check:?}");
    let ignored = ["--ignore", "missing-column,required-target-column,nothing"];
    let check = scene.here.reconcile(&[&arguments[..], &ignored].concat());
    assert_eq!(check.code, 0, "{check:?}");
    let report = report(&check);
    assert_eq!(report["ignored"].as_array().unwrap().len(), 3, "{report:#}");

    let check = scene.here.reconcile(&[
        "check",
        "--tables",
        LIST,
        "--target-url",
        &url,
        "--format",
        "console",
    ]);
    let last = check.stdout.lines().last().unwrap();
    assert!(last.starts_with("NOT READY"), "{}", check.stdout);
    let csv = scene.here.reconcile(&[
        "check",
        "--tables",
        LIST,
        "--target-url",
        &url,
        "--format",
        "csv",
    ]);
    assert_eq!(csv.stdout.lines().count(), 9, "{}", csv.stdout);
}

#[test]
fn sql_server_is_checked_as_a_source() {
    let database = shared_postgres().create_database("check_standin").unwrap();
    let target = shared_postgres().create_database("check_target").unwrap();
    database
        .execute("CREATE SCHEMA dbo; CREATE TABLE dbo.a (id int PRIMARY KEY, v text, w text); INSERT INTO dbo.a SELECT i, 'x', 'y' FROM generate_series(1, 3000) i")
        .unwrap();
    target
        .execute("CREATE TABLE a (id int PRIMARY KEY, v text, w text); INSERT INTO a SELECT i, 'x', 'y' FROM generate_series(1, 3000) i; ANALYZE a")
        .unwrap();
    let standin = Standin::start(&database.url(), "erp", StandinTls::Off).unwrap();
    let here = Workplace::new(&format!(
        "[endpoints.source]\nurl = '{}'\n[endpoints.target]\nurl = '{}'\n\
         [run]\nsource = 'source'\ntarget = 'target'\nrow_level = true\nformat = 'json'\n",
        standin.url(),
        target.url()
    ));
    let check = here.reconcile(&["check", "--tables", "dbo.*"]);
    let good = report(&check);
    let usual = "collation-default - -".to_owned();
    assert_eq!(
        (check.code, found(&good)),
        (0, vec![usual.clone()]),
        "{good:#}"
    );
    let table = &good["tables"][0];
    assert_eq!(table["target_rows"], 3000, "{table:#}");
    assert!(table["source_bytes"].as_u64().unwrap() > 8192, "{table:#}");
    assert_eq!(good["endpoints"][0]["isolation"], "SNAPSHOT", "{good:#}");

    database
        .execute("COMMENT ON SCHEMA dbo IS 'no SELECT of [dbo].[a].v'")
        .unwrap();
    let check = here.reconcile(&["check", "--tables", "dbo.*"]);
    let bad = report(&check);
    assert_eq!(
        (check.code, found(&bad)),
        (3, vec![usual, "permission-denied dbo.a -".to_owned()]),
        "{bad:#}"
    );
    // A column that is left out needs no right.
    std::fs::write(
        here.path().join("left_out.toml"),
        std::fs::read_to_string(here.path().join("reconcile.toml")).unwrap()
            + "[[tables]]\nsource = 'dbo.a'\ncolumns.exclude = ['v']\n",
    )
    .unwrap();
    let check = here.reconcile(&["check", "--config", "left_out.toml"]);
    assert_eq!(check.code, 0, "{check:?}");
}

#[test]
fn endpoints_that_cannot_be_reached_are_all_named() {
    let scene = Scene::new("CREATE TABLE t (id int PRIMARY KEY)", "").unwrap();
    let wrong = reader(&scene, "check_wrong", "wrong");
    let check = scene.here.reconcile(&[
        "check",
        "--tables",
        "t",
        "--source-url",
        "postgres://reader:secret@127.0.0.1:1/nowhere",
        "--target-url",
        &wrong,
    ]);
    let report = report(&check);
    assert_eq!(check.code, 3, "{report:#}");
    assert_eq!(
        found(&report),
        [
            "authentication-error - endpoint `target` of this process",
            "connection-error - endpoint `source` of this process",
        ],
        "{report:#}"
    );
    assert_eq!(report["tables_checked"], false);
    assert!(!check.stdout.contains("secret") && !check.stdout.contains(":wrong"));
}

#[test]
fn every_worker_checks_the_endpoints_of_its_own_configuration() {
    let tables = "CREATE TABLE t (id int PRIMARY KEY)";
    let scene = Scene::new(tables, tables).unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let broker = broker.amqp_url();
    let arguments = ["check", "--tables", "t", "--broker", broker];
    let check = scene.here.reconcile(&arguments);
    let none = report(&check);
    assert_eq!(
        (check.code, found(&none)),
        (3, vec!["no-worker-error - -".to_owned()])
    );

    let target = reader(&scene, "check_worker", "wrong");
    let place = Workplace::new(&format!(
        "[endpoints.source]\nurl = '{}'\n[endpoints.target]\nurl = '{target}'\n",
        scene.source.url()
    ));
    let bad = place.worker(&["--broker", broker, "--name", "bad"]);
    let expected = "authentication-error - endpoint `target` of worker bad";
    let check = scene.here.reconcile(&arguments);
    let alone = report(&check);
    assert_eq!(
        (check.code, found(&alone)),
        (3, vec![expected.to_owned()]),
        "{alone:#}"
    );

    let good = scene.start_worker(broker, "good", 3).unwrap();
    let check = scene.here.reconcile(&arguments);
    let both = report(&check);
    assert_eq!(
        (check.code, found(&both)),
        (0, vec![expected.to_owned()]),
        "{both:#}"
    );
    assert_eq!(
        finding(&both, "authentication-error")["severity"],
        "warning"
    );
    let processes: Vec<&str> = both["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["process"].as_str().unwrap())
        .collect();
    for process in ["worker bad", "worker good", "this process"] {
        assert_eq!(
            processes.iter().filter(|it| **it == process).count(),
            2,
            "{both:#}"
        );
    }
    // The endpoints of this process are not needed for those of the workers.
    let elsewhere =
        Workplace::new("[run]\nsource = 'source'\ntarget = 'target'\nformat = 'json'\n");
    let check = elsewhere.reconcile(&arguments);
    let without = report(&check);
    assert_eq!(check.code, 3, "{without:#}");
    assert_eq!(without["status"], "INCOMPLETE", "{without:#}");
    finding(&without, "tables-not-checked");
    drop((bad, good));
}

#[test]
fn the_run_after_a_check_starts_only_if_it_can_verify_every_table() {
    let scene = Scene::new(
        "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE lost (id int PRIMARY KEY)",
        "CREATE TABLE t (id int PRIMARY KEY)",
    )
    .unwrap();
    let run = scene
        .here
        .reconcile(&["run", "--check", "--tables", "t,lost"]);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{run:?}");
    assert!(run.stderr.contains("table-not-found"), "{}", run.stderr);
    assert!(run.stderr.contains("was not started"), "{}", run.stderr);
    let history = scene.here.reconcile(&["history", "--format", "json"]);
    assert_eq!(history.stdout.trim(), "[]", "{history:?}");

    let run = scene.here.reconcile(&["run", "--check", "--tables", "t"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(run.report()["mismatched"], 1);
    assert!(run.stderr.contains("missing-column"), "{}", run.stderr);
}

#[test]
fn a_written_configuration_is_accepted_and_has_no_password() {
    let scene = Scene::new(
        "CREATE SCHEMA erp; CREATE TABLE erp.a (id int PRIMARY KEY); CREATE TABLE erp.tmp_a (id int);
         CREATE TABLE erp.odd (id int PRIMARY KEY, p point); INSERT INTO erp.odd VALUES (1, '(1,2)');
         CREATE TABLE erp.lost (id int PRIMARY KEY)",
        "CREATE SCHEMA new; CREATE TABLE new.a (id int PRIMARY KEY);
         CREATE TABLE new.odd (id int PRIMARY KEY, p point); INSERT INTO new.odd VALUES (1, '(1,2)')",
    )
    .unwrap();
    let here = Workplace::new("");
    let (source, target) = (scene.source.url(), scene.target.url());
    let urls = ["--source-url", &source, "--target-url", &target];
    let list = [
        "--tables",
        "erp.*=new.*,!erp.tmp_*,!erp.lost",
        "--row-level",
    ];
    let write = ["check", "--write-config", "starter.toml"];
    let check = here.reconcile(&[&write[..], &urls, &list].concat());
    assert_eq!(check.code, 3, "{check:?}");
    let text = std::fs::read_to_string(here.path().join("starter.toml")).unwrap();
    assert!(text.contains("type = \"point\"\nas_text = true"), "{text}");
    for url in [&source, &target] {
        let url = url::Url::parse(url).unwrap();
        if let Some(password) = url.password() {
            assert!(!text.contains(password), "{text}");
        }
    }

    let mut command = here.command("reconcile", &["run", "--config", "starter.toml"]);
    for (name, url) in [("SOURCE", &source), ("TARGET", &target)] {
        let url = url::Url::parse(url).unwrap();
        let variable = format!("RECONCILE_ENDPOINTS_{name}_PASSWORD");
        command.env(variable, url.password().unwrap_or("none"));
    }
    command.args(["--format", "json", "--no-store"]);
    let run = finish(&mut command);
    assert_eq!(run.code, 0, "{run:?}\n{text}");
    assert_eq!(run.report()["matched"], 2);

    let again = here.reconcile(&[&write[..], &urls, &list].concat());
    assert_eq!(again.code, 2, "{again:?}");
    assert!(again.stderr.contains("is not replaced"), "{}", again.stderr);
}

#[test]
fn three_hundred_tables_are_checked_quickly() {
    let tables = |from: u32| -> String {
        (from..300)
            .map(|number| {
                format!("CREATE TABLE t{number} (id int PRIMARY KEY, a text, b numeric(10, 2), c timestamp);")
            })
            .collect()
    };
    let scene = Scene::new(&tables(0), &tables(20)).unwrap();
    let check = scene.here.reconcile(&["check", "--tables", "*"]);
    let report = report(&check);
    println!("300 tables were checked in {:.2?}", check.elapsed);
    assert_eq!(report["tables"].as_array().unwrap().len(), 300);
    assert_eq!(report["errors"], 20, "{report:#}");
    assert!(check.elapsed < LOADED, "{:?}", check.elapsed);
    let console = scene
        .here
        .reconcile(&["check", "--tables", "*", "--format", "console"]);
    assert!(console.stdout.lines().count() < 30, "{}", console.stdout);
}

#[test]
fn the_estimate_is_near_the_time_of_the_run() {
    let rows = "INSERT INTO large SELECT i, i % 1000, repeat('x', 40), now() FROM generate_series(1, 600000) i;
         INSERT INTO other SELECT i, repeat('y', 100) FROM generate_series(1, 200000) i; ANALYZE";
    let tables = format!(
        "CREATE TABLE large (id int PRIMARY KEY, a int, b text, c timestamptz);
         CREATE TABLE other (id bigint PRIMARY KEY, v text); {rows}"
    );
    let same = |text: &str| text.replace("now()", "'2026-01-01 00:00:00+00'");
    let scene = Scene::new(&same(&tables), &same(&tables)).unwrap();
    let check = scene.here.reconcile(&["check", "--tables", "*"]);
    let report = report(&check);
    let estimated = report["estimate"]["seconds"].as_f64().unwrap();
    let run = scene.here.reconcile(&["run", "--tables", "*"]);
    assert_eq!(run.code, 0, "{run:?}");
    let taken = run.report()["duration_seconds"].as_f64().unwrap();
    println!(
        "estimated {estimated:.2} s, the run took {taken:.2} s: factor {:.2}",
        estimated / taken
    );
    assert!(
        estimated < taken * FACTOR && taken < estimated * FACTOR,
        "{estimated} {taken}"
    );
    let by_workers = report["estimate"]["by_workers"].as_array().unwrap();
    assert_eq!(by_workers.len(), 4, "{report:#}");
}

//! Which databases a run compares: workers whose endpoints lead elsewhere or are not configured,
//! and tables that are compared with themselves.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::process::Process;
use harness::services::{
    Database, ServiceError, Standin, StandinTls, shared_postgres, shared_rabbitmq,
};
use serde_json::{Value as Json, json};
use shared::endpoint::Endpoint;
use shared::identity::DatabaseIdentity;
use tests::engine::Bench;
use tests::product::{Workplace, check_counts, result};
use tests::scene::{Gates, Scene};
use worker::engine::{Engine, ReconcileEngine};

const BOUND: Duration = Duration::from_secs(60);

const TABLES: u32 = 200;

/// Views of one row each.
fn views(value: &str) -> String {
    (0..TABLES)
        .map(|number| format!("CREATE VIEW t{number} AS SELECT 1 AS id, {value} AS v;"))
        .collect()
}

fn finish(run: &mut Process) -> (Option<i32>, Json) {
    let status = run.wait(BOUND).unwrap();
    let report = serde_json::from_str(&run.stdout())
        .unwrap_or_else(|error| panic!("no report ({error}): {}", run.stderr()));
    check_counts(&report);
    (status.code(), report)
}

/// A directory whose endpoints `source` and, with a URL, `target` are these.
fn workplace(source: &str, target: Option<&str>) -> Workplace {
    let mut configuration = format!("[endpoints.source]\nurl = '{source}'\n");
    if let Some(target) = target {
        configuration += &format!("[endpoints.target]\nurl = '{target}'\n");
    }
    Workplace::new(&configuration)
}

#[test]
fn only_workers_with_the_databases_of_the_run_compare_its_tables() {
    let scene = Scene::new(&views("gate(0)"), &views("0")).unwrap();
    let other = shared_postgres().create_database("other").unwrap();
    other.execute(&views("9")).unwrap();
    let gates = Gates::closed(&scene.source, 1).unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let url = broker.amqp_url();
    let tables: Vec<String> = (0..TABLES).map(|number| format!("t{number}")).collect();

    // The first claim decides which databases the run compares.
    let _first = scene.start_worker(url, "right-1", 2).unwrap();
    let mut run = scene
        .start_run(url, &["--tables", &tables.join(",")])
        .unwrap();
    run.wait_for_line("target     PostgreSQL", BOUND).unwrap();
    let wrong_place = workplace(&scene.source.url(), Some(&other.url()));
    let bare_place = workplace(&scene.source.url(), None);
    let arguments = |name| ["--broker", url, "--concurrency", "2", "--name", name];
    let mut wrong = wrong_place.worker(&arguments("wrong"));
    let mut bare = bare_place.worker(&arguments("bare"));
    // The window counts `wrong` until it returns a task.
    run.wait_for_line("worker wrong cannot compare", BOUND)
        .unwrap();
    let _second = scene.start_worker(url, "right-2", 2).unwrap();
    let _third = scene.start_worker(url, "right-3", 2).unwrap();
    gates.open(0).unwrap();

    let (code, report) = finish(&mut run);
    assert_eq!(
        (code, &report["matched"], &report["errors"]),
        (Some(0), &json!(TABLES), &json!([])),
        "{report:#}"
    );
    let workers: BTreeSet<&str> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["worker"].as_str().unwrap())
        .collect();
    assert!(
        workers.iter().all(|name| name.starts_with("right-")),
        "{workers:?}"
    );
    let notes = report["notes"].to_string();
    for part in [
        "worker wrong",
        "`target`",
        "database `source",
        "database `other",
    ] {
        // The source is the same database for all workers.
        let is_named = notes.contains(part);
        assert_eq!(is_named, part != "database `source", "{part}: {notes}");
    }
    assert!(!notes.contains("worker bare"), "{notes}");
    for worker in [&mut wrong, &mut bare] {
        worker.wait_for_line("handed back", BOUND).unwrap();
    }
}

#[test]
fn a_run_ends_when_no_live_worker_has_its_endpoint() {
    let table = "CREATE TABLE t (id int PRIMARY KEY)";
    let scene = Scene::new(table, table).unwrap();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let url = broker.amqp_url();
    let bare_place = workplace(&scene.source.url(), None);
    let _bare = bare_place.worker(&["--broker", url, "--name", "bare"]);
    let workers = scene.here.reconcile(&["workers", "--broker", url]);
    assert!(
        workers.stdout.contains("endpoints") && workers.stdout.contains("source"),
        "{workers:?}"
    );
    let mut run = scene
        .start_run(url, &["--tables", "t", "--claim-timeout", "3s"])
        .unwrap();
    let (code, report) = finish(&mut run);
    let error = &report["errors"][0];
    assert_eq!(
        (code, &error["type"]),
        (Some(3), &json!("NoWorkerError")),
        "{report:#}"
    );
    let message = error["error"].as_str().unwrap();
    for part in [
        "worker bare",
        "no endpoint `target`",
        "endpoints are: source",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_table_is_not_compared_with_itself_unless_that_is_allowed() {
    let server = shared_postgres();
    let database = server.create_database("same").unwrap();
    let standin = Standin::start(&database.url(), "same", StandinTls::Off).unwrap();
    let table = |name| format!("CREATE TABLE dbo.{name} (id int PRIMARY KEY);");
    database.execute(&(table("a") + &table("b"))).unwrap();
    for url in [database.url(), standin.url()] {
        let here = Workplace::new(&format!(
            "[endpoints.one]\nurl = '{url}'\n[endpoints.two]\nurl = '{url}'\n\
             [run]\nsource = 'one'\ntarget = 'two'\nformat = 'json'\n"
        ));
        let refused = here.reconcile(&["run", "--tables", "dbo.a"]);
        let report = refused.report();
        assert_eq!(
            (refused.code, &report["errors"][0]["type"]),
            (3, &json!("SameTable")),
            "{report:#}"
        );
        let message = report["errors"][0]["error"].as_str().unwrap();
        assert!(
            message.contains("dbo.a") && message.contains("--allow-same"),
            "{message}"
        );
        let allowed = here.reconcile(&["run", "--tables", "dbo.a", "--allow-same"]);
        assert_eq!(allowed.code, 0, "{allowed:?}");
        let two = here.reconcile(&["run", "--tables", "dbo.a=dbo.b"]);
        assert_eq!(result(&two.report(), "dbo.a")["status"], "matched");
    }
}

/// The databases behind two URLs, as an engine finds them.
async fn found(source: &str, target: &str) -> [DatabaseIdentity; 2] {
    let endpoint = |name: &str, url: &str| {
        let endpoint = Endpoint::from_url(name, url).unwrap();
        (name.to_owned(), endpoint)
    };
    let endpoints = BTreeMap::from([endpoint("source", source), endpoint("target", target)]);
    let engine = ReconcileEngine::new(endpoints, 1);
    let spec = Bench::new(source, target).spec;
    engine.databases(&spec).await.unwrap().try_into().unwrap()
}

/// A user without rights, by whom `database` is reached through the URL that is returned.
fn plain_user(database: &Database, name: &str) -> Result<String, ServiceError> {
    database.execute(&format!(
        "DO $$ BEGIN CREATE ROLE {name} LOGIN PASSWORD 'reads'; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    ))?;
    let mut url = url::Url::parse(&database.url()).expect("the URL of a test server");
    url.set_username(name).expect("a URL with a host");
    url.set_password(Some("reads")).expect("a URL with a host");
    Ok(url.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_has_one_identity_for_all_users_and_another_one_than_its_neighbours() {
    let server = shared_postgres();
    let databases = ["first", "second"].map(|name| server.create_database(name).unwrap());
    let plain = plain_user(&databases[0], "databases_reader").unwrap();
    let [admin, reader] = found(&databases[0].url(), &plain).await;
    assert!(admin.is_same_database(&reader), "{admin} and {reader}");
    assert_eq!(reader.user, "databases_reader");
    assert!(admin.id.contains("system identifier"), "{admin}");
    let [first, second] = found(&databases[0].url(), &databases[1].url()).await;
    assert!(!first.is_same_database(&second), "{first} and {second}");
    assert_eq!(
        (first.endpoint.as_str(), first.kind.name()),
        ("source", "postgres")
    );

    // Without the permission to call the function, the oid still distinguishes the databases.
    for database in &databases {
        database
            .execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
            .unwrap();
    }
    let other = plain_user(&databases[1], "databases_reader").unwrap();
    let [first, second] = found(&plain, &other).await;
    assert!(!first.is_same_database(&second), "{first} and {second}");
    assert!(first.id.contains("not readable"), "{first}");

    let standins = ["first", "second"].map(|name| {
        let at = usize::from(name == "second");
        Standin::start(&databases[at].url(), name, StandinTls::Off).unwrap()
    });
    let [first, second] = found(&standins[0].url(), &standins[1].url()).await;
    assert!(!first.is_same_database(&second), "{first} and {second}");
    assert_eq!(first.kind.name(), "sqlserver");
    assert_eq!(
        (first.database.as_str(), first.version.as_str()),
        ("first", "15.0.2000.5")
    );
    let [again, _] = found(&standins[0].url(), &standins[1].url()).await;
    assert!(first.is_same_database(&again), "{first} and {again}");
}

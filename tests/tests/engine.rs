//! The engine against a real PostgreSQL: cancellation, failures by kind, and
//! what happens to its sessions.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::services::{Database, shared_postgres};
use shared::endpoint::Endpoint;
use shared::ids::{Attempt, RunId, TableId};
use shared::message::{ColumnSelection, Scope, Side, TableSpec, Task};
use shared::outcome::{Comparison, Depth, Failure, FailureKind};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use worker::engine::{Engine, Progress, ReconcileEngine, Stop, TaskContext};

fn endpoint(name: &str, url: &str) -> (String, Endpoint) {
    (name.to_owned(), Endpoint::from_url(name, url).unwrap())
}

/// An engine whose source and target are the same database.
fn engine(url: &str) -> ReconcileEngine {
    ReconcileEngine::new(
        BTreeMap::from([endpoint("source", url), endpoint("target", url)]),
        4,
    )
}

fn task(source: &str, target: &str) -> Task {
    let side = |endpoint: &str, table: &str| Side {
        endpoint: endpoint.to_owned(),
        table: table.parse().unwrap(),
    };
    let spec = TableSpec {
        source: side("source", source),
        target: side("target", target),
        depth: Depth::Rows,
        key: None,
        columns: ColumnSelection::default(),
        max_differences: 10,
        chunk_size: 100,
        timeout: Duration::from_secs(60),
        options: shared::options::TableOptions {
            allow_same: true,
            ..shared::options::TableOptions::default()
        },
    };
    Task {
        run: RunId::generate(),
        table: TableId(0),
        attempt: Attempt::FIRST,
        scope: Scope::WholeTable,
        spec,
        databases: Vec::new(),
        avoid: Vec::new(),
    }
}

async fn run(
    engine: &ReconcileEngine,
    task: &Task,
    cancel: &CancellationToken,
) -> Result<Comparison, Stop> {
    let (sender, mut receiver) = mpsc::channel(4);
    let context = TaskContext {
        cancel: cancel.clone(),
        progress: Arc::new(Progress::default()),
        running: Arc::default(),
        findings: sender,
    };
    let gather = tokio::spawn(async move { while receiver.recv().await.is_some() {} });
    let result = engine.reconcile(task, &context).await;
    drop(context);
    gather.await.unwrap();
    result
}

async fn reconcile(
    engine: &ReconcileEngine,
    source: &str,
    target: &str,
) -> Result<Comparison, Stop> {
    run(engine, &task(source, target), &CancellationToken::new()).await
}

fn failure(result: Result<Comparison, Stop>) -> Failure {
    match result {
        Err(Stop::Failed(failure)) => failure,
        other => panic!("no failure but {other:?}"),
    }
}

fn database(statements: &str) -> Database {
    let database = shared_postgres().create_database("engine").unwrap();
    database.execute(statements).unwrap();
    database
}

/// Statements of the product that run in a database now.
async fn running(client: &tokio_postgres::Client) -> Vec<String> {
    let rows = client
        .query(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND application_name LIKE 'reconcile%' AND state = 'active'",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Polls until `ready`, at most ten seconds.
async fn until(what: &str, client: &tokio_postgres::Client, ready: impl Fn(&[String]) -> bool) {
    let start = Instant::now();
    loop {
        let statements = running(client).await;
        if ready(&statements) {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{what} did not come; running: {statements:?}"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_comparison_leaves_no_statement_behind() {
    let database = database(
        "CREATE VIEW slow AS SELECT 1 AS id, pg_sleep(60)::text AS v; CREATE VIEW fast AS SELECT 1 AS id, ''::text AS v; \
         CREATE VIEW endless AS SELECT id, ''::text AS v FROM generate_series(1, 1000000000) AS id",
    );
    let client = database.connect().await.unwrap();
    let engine = Arc::new(engine(&database.url()));
    for (source, target, statements) in [
        ("slow", "slow", 2),
        ("fast", "slow", 1),
        ("endless", "endless", 2),
    ] {
        let cancel = CancellationToken::new();
        let running = tokio::spawn({
            let (engine, cancel, task) =
                (Arc::clone(&engine), cancel.clone(), task(source, target));
            async move { run(&engine, &task, &cancel).await }
        });
        until("the scans", &client, |active| {
            active.iter().filter(|query| query.contains("COPY")).count() == statements
        })
        .await;
        let start = Instant::now();
        cancel.cancel();
        assert_eq!(running.await.unwrap(), Err(Stop::Cancelled));
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{source}: quiet only after {:?}",
            start.elapsed()
        );
        let left = self::running(&client).await;
        assert!(left.is_empty(), "{source}: still running: {left:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sides_failure_stops_the_other_and_is_what_is_told() {
    let database = database(
        "CREATE VIEW slow AS SELECT 1 AS id, pg_sleep(60)::text AS v; CREATE VIEW broken AS SELECT 1 AS id, (1 / (random() * 0)::int)::text AS v",
    );
    let client = database.connect().await.unwrap();
    let start = Instant::now();
    let failure = failure(reconcile(&engine(&database.url()), "slow", "broken").await);
    assert_eq!(failure.kind, FailureKind::QueryError);
    assert!(
        failure.message.contains("division by zero")
            && failure.message.contains("endpoint `target`"),
        "{}",
        failure.message
    );
    assert!(!failure.retryable);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "took {:?}",
        start.elapsed()
    );
    let left = running(&client).await;
    assert!(left.is_empty(), "still running: {left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_say_their_kind_and_whether_to_try_again() {
    let database =
        database("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE secret (id int PRIMARY KEY)");
    let user = format!("reader_{}", database.name());
    database
        .execute(&format!(
            "CREATE ROLE \"{user}\" LOGIN PASSWORD 'hunter2'; GRANT SELECT ON t TO \"{user}\""
        ))
        .unwrap();
    let Endpoint { host, port, .. } = endpoint("x", &database.url()).1;
    let url = |user: &str, password: &str, port: u16| {
        format!(
            "postgres://{user}:{password}@{host}:{port}/{}",
            database.name()
        )
    };

    assert!(
        reconcile(&engine(&url(&user, "hunter2", port)), "t", "t")
            .await
            .unwrap()
            .is_match()
    );
    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let cases = [
        (
            url(&user, "hunter3", port),
            "t",
            "AuthenticationError",
            false,
        ),
        (
            url(&user, "hunter2", port),
            "secret",
            "PermissionDenied",
            false,
        ),
        (
            url(&user, "hunter2", port),
            "missing",
            "TableNotFound",
            false,
        ),
        (url(&user, "hunter2", unused), "t", "ConnectionError", true),
        (
            format!("postgres://{user}:hunter2@{host}:{port}/nowhere"),
            "t",
            "DatabaseNotFound",
            false,
        ),
        (
            format!("{}?sslmode=require", url(&user, "hunter2", port)),
            "t",
            "TlsError",
            false,
        ),
    ];
    for (url, table, kind, retryable) in cases {
        let failure = failure(reconcile(&engine(&url), table, table).await);
        assert_eq!(
            (failure.kind.as_str(), failure.retryable),
            (kind, retryable),
            "{}",
            failure.message
        );
        assert!(
            failure.message.contains("endpoint `"),
            "{}",
            failure.message
        );
        assert!(!failure.message.contains("hunter"), "{}", failure.message);
    }
    database
        .execute(&format!("DROP OWNED BY \"{user}\"; DROP ROLE \"{user}\""))
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_without_configuration_is_a_failure_that_names_it() {
    let database = database("CREATE TABLE t (id int PRIMARY KEY)");
    let unknown = ReconcileEngine::new(BTreeMap::from([endpoint("source", &database.url())]), 1);
    let failure = failure(reconcile(&unknown, "t", "t").await);
    assert_eq!(failure.kind, FailureKind::ConfigurationError);
    assert!(failure.message.contains("`target`"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_reused_and_replaced_when_lost() {
    let database = database("CREATE TABLE t (id int PRIMARY KEY)");
    let client = database.connect().await.unwrap();
    let engine = engine(&database.url());
    let sessions = async || -> Vec<i32> {
        let rows = client
            .query(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY pid",
                &[],
            )
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    assert!(reconcile(&engine, "t", "t").await.unwrap().is_match());
    let first = sessions().await;
    for _ in 0..5 {
        assert!(reconcile(&engine, "t", "t").await.unwrap().is_match());
    }
    assert_eq!(
        sessions().await,
        first,
        "one session a side serves all tables"
    );

    client
        .query(
            "SELECT pg_terminate_backend(pid) FROM unnest($1::int4[]) AS pid",
            &[&first],
        )
        .await
        .unwrap();
    assert!(
        reconcile(&engine, "t", "t").await.unwrap().is_match(),
        "a lost idle session fails no comparison"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sessions_cannot_write_and_say_who_they_are() {
    let database = database(
        "CREATE TABLE log (t text); \
         CREATE FUNCTION note() RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES ('x'); RETURN 'x'; END $$; \
         CREATE VIEW writes AS SELECT 1 AS id, note() AS v; \
         CREATE VIEW name AS SELECT 1 AS id, regexp_replace(current_setting('application_name'), ' #[0-9a-f]{4}$', '') AS v; \
         CREATE TABLE expected (id int, v text)",
    );
    let engine = engine(&database.url());
    let failure = failure(reconcile(&engine, "writes", "writes").await);
    assert!(
        failure.message.contains("read-only transaction"),
        "{}",
        failure.message
    );

    let task = task("name", "expected");
    let run_end = &task.run.to_string()[24..];
    database
        .execute(&format!(
            "INSERT INTO expected VALUES (1, 'reconcile {run_end} name')"
        ))
        .unwrap();
    let comparison = run(&engine, &task, &CancellationToken::new())
        .await
        .unwrap();
    assert!(comparison.is_match(), "{comparison:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_under_a_scan_is_worth_another_attempt() {
    let database =
        database("CREATE VIEW endless AS SELECT id FROM generate_series(1, 1000000000) AS id");
    let engine = engine(&database.url());
    let client = database.connect().await.unwrap();
    let running = tokio::spawn(async move { reconcile(&engine, "endless", "endless").await });
    until("the scans", &client, |active| {
        active.iter().filter(|query| query.contains("COPY")).count() == 2
    })
    .await;
    client
        .query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'",
            &[],
        )
        .await
        .unwrap();
    let failure = failure(running.await.unwrap());
    assert_eq!(
        (failure.kind.as_str(), failure.retryable),
        ("ConnectionError", true),
        "{}",
        failure.message
    );
    until("the end of the scans", &client, <[String]>::is_empty).await;
}

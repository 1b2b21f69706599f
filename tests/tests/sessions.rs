//! Time limits of statements and locks, and isolation levels of SQL Server, on
//! sessions with PostgreSQL and with the SQL Server stand-in.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::time::{Duration, Instant};

use harness::services::standin::{Standin, StandinTls};
use harness::services::{Database, shared_postgres};
use shared::endpoint::Endpoint;
use shared::options::{ColumnRule, Recheck};
use shared::outcome::{Depth, Failure};
use tests::engine::{Bench, Finding};
use worker::engine::Stop;

/// A database, the stand-in over it, and the URLs of both.
struct Scene {
    database: Database,
    standin: Standin,
}

impl Scene {
    fn new(statements: &str) -> Self {
        let database = shared_postgres().create_database("sessions").unwrap();
        let standin = Standin::start(&database.url(), "sessions", StandinTls::Off).unwrap();
        let statements =
            format!("CREATE SCHEMA IF NOT EXISTS dbo; SET search_path TO dbo; {statements}");
        database.execute(&statements).unwrap();
        Self { database, standin }
    }

    /// Comparisons of `a` with itself in which PostgreSQL, and in which SQL
    /// Server is the one that matters; `parameter` is one of its URL.
    fn both(&self, parameter: &str) -> [(&'static str, Bench); 2] {
        let postgres = format!("{}?{parameter}", self.database.url());
        let sql_server = format!("{}&{parameter}", self.standin.url());
        [
            (
                "PostgreSQL",
                Bench::new(&postgres, &postgres).tables("dbo.a", "dbo.a"),
            ),
            (
                "SQL Server",
                Bench::new(&sql_server, &sql_server).tables("dbo.a", "dbo.a"),
            ),
        ]
    }
}

fn failure(result: Result<Finding, Stop>) -> Failure {
    match result {
        Err(Stop::Failed(failure)) => failure,
        other => panic!("no failure but {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_is_stopped() {
    let scene = Scene::new(
        "CREATE VIEW a AS SELECT i AS id, pg_sleep(60)::text AS v FROM generate_series(1, 3) AS i",
    );
    let client = scene.database.connect().await.unwrap();
    for (name, bench) in scene.both("statement_timeout=1") {
        let start = Instant::now();
        let failure = failure(bench.run().await);
        assert_eq!(
            (failure.kind.as_str(), failure.retryable),
            ("StatementTimeout", false),
            "{name}: {}",
            failure.message
        );
        assert!(
            failure.message.contains("statement_timeout"),
            "{name}: {}",
            failure.message
        );
        let elapsed = start.elapsed();
        assert!(
            (Duration::from_secs(1)..Duration::from_secs(8)).contains(&elapsed),
            "{name}: {elapsed:?}"
        );
        let running: i64 = client
            .query_one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(running, 0, "{name}: a statement goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_waited_for_only_so_long_and_is_worth_another_attempt() {
    let scene = Scene::new("CREATE TABLE a (id int PRIMARY KEY)");
    for (name, bench) in scene.both("statement_timeout=2") {
        assert!(bench.run().await.unwrap().comparison.is_match(), "{name}");
        let client = scene.database.connect().await.unwrap();
        client
            .batch_execute("BEGIN; LOCK TABLE dbo.a IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        let start = Instant::now();
        let failure = failure(bench.run().await);
        assert_eq!(
            (failure.kind.as_str(), failure.retryable),
            ("LockTimeout", true),
            "{name}: {}",
            failure.message
        );
        let elapsed = start.elapsed();
        assert!(
            (Duration::from_millis(900)..Duration::from_secs(8)).contains(&elapsed),
            "{name}: {elapsed:?}"
        );
        client.batch_execute("ROLLBACK").await.unwrap();
        assert!(bench.run().await.unwrap().comparison.is_match(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_server_is_read_uncommitted_only_when_asked_and_for_that_table_alone() {
    let scene = Scene::new("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)");
    let [_, (_, mut bench)] = scene.both("statement_timeout=60");
    for (asked, level) in [
        (false, "SNAPSHOT"),
        (true, "READ UNCOMMITTED"),
        (false, "SNAPSHOT"),
    ] {
        bench.spec.options.read_uncommitted = asked;
        for depth in [Depth::Counts, Depth::Rows] {
            bench.spec.depth = depth;
            let comparison = bench.run().await.unwrap().comparison;
            let reads = comparison.reads.unwrap();
            assert_eq!(
                (
                    reads.source.isolation.as_str(),
                    reads.target.isolation.as_str()
                ),
                (level, level)
            );
        }
    }
    let [(_, mut postgres), _] = scene.both("statement_timeout=60");
    postgres.spec.options.read_uncommitted = true;
    let reads = postgres.run().await.unwrap().comparison.reads.unwrap();
    assert_eq!(reads.source.isolation, "REPEATABLE READ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_database_change_neither_texts_nor_conditions() {
    let databases = [
        "extra_float_digits = 0; DateStyle = 'SQL, DMY'; IntervalStyle = 'iso_8601'; bytea_output = 'escape'; TimeZone = 'Asia/Tokyo'",
        "extra_float_digits = 0; DateStyle = 'German'; IntervalStyle = 'sql_standard'; bytea_output = 'hex'; TimeZone = 'America/New_York'",
    ]
    .map(|settings| {
        let database = shared_postgres().create_database("settings").unwrap();
        for setting in settings.split("; ") {
            let statement = format!("ALTER DATABASE {} SET {setting}", database.name());
            database.execute(&statement).unwrap();
        }
        database
    });
    let rows = |last: &str| {
        format!(
            "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; CREATE TABLE t (id int PRIMARY KEY, seen timestamptz, floats float8[], dates date[], spans interval[], bytes bytea[], moments tstzrange); \
             INSERT INTO t SELECT i, timestamptz '2020-01-01' + i * interval '1 hour', ARRAY[0.1 + 0.2, {last}], '{{2020-02-01}}', '{{1 mon 2 days}}', ARRAY['\\x0041ff'::bytea], '[2020-01-01 12:00, 2020-01-02)' FROM generate_series(-20, 20) AS i"
        )
    };
    let [source, target] = &databases;
    // The last float differs in its 17th digit.
    source.execute(&rows("0.3")).unwrap();
    target.execute(&rows("0.30000000000000004")).unwrap();
    let bench = Bench::new(&source.url(), &target.url()).with(|spec| {
        for column in ["floats", "dates", "spans", "bytes", "moments"] {
            let rule = ColumnRule {
                as_text: true,
                ..ColumnRule::default()
            };
            spec.options.rules.insert(column.to_owned(), rule);
        }
        let condition = "seen >= '2020-01-01'";
        spec.options.filters.source = Some(condition.to_owned());
        spec.options.filters.target = Some(condition.to_owned());
        spec.max_differences = 100;
    });
    let found = bench.run().await.unwrap();
    assert_eq!(found.comparison.source_count, 21);
    assert_eq!(found.counts(), (0, 0, 21));
    for row in &found.listed {
        let columns: Vec<&str> = row.columns.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(columns, ["floats"], "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_waits_for_the_other_is_not_ended_for_being_idle() {
    let scene = Scene::new(
        "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 5); \
         CREATE VIEW b AS SELECT i AS id FROM (SELECT i, pg_sleep(0.3) FROM generate_series(1, 4) AS i OFFSET 0) AS slow",
    );
    let name = scene.database.name();
    scene
        .database
        .execute(&format!(
            "ALTER DATABASE \"{name}\" SET idle_in_transaction_session_timeout = '200ms'; \
             ALTER DATABASE \"{name}\" SET idle_session_timeout = '200ms'"
        ))
        .unwrap();
    let url = scene.database.url();
    let bench = Bench::new(&url, &url)
        .tables("dbo.a", "dbo.b")
        .with(|spec| {
            spec.options.recheck = Recheck {
                times: 1,
                delay_ms: 600,
            }
        });
    assert_eq!(bench.run().await.unwrap().counts(), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_policy_hides_are_a_failure_and_not_a_smaller_table() {
    let scene = Scene::new(
        "CREATE TABLE a (id int PRIMARY KEY, tenant int); INSERT INTO a VALUES (1, 1), (2, 2); \
         CREATE VIEW whole AS TABLE a; \
         ALTER TABLE a ENABLE ROW LEVEL SECURITY; CREATE POLICY one ON a USING (tenant = 1)",
    );
    let Endpoint { host, port, .. } = Endpoint::from_url("x", &scene.database.url()).unwrap();
    let name = scene.database.name();
    let user = format!("reader_{name}");
    scene
        .database
        .execute(&format!(
            "CREATE ROLE \"{user}\" LOGIN PASSWORD 'hunter2'; GRANT USAGE ON SCHEMA dbo TO \"{user}\"; \
             GRANT SELECT ON dbo.a, dbo.whole TO \"{user}\""
        ))
        .unwrap();
    let url = format!("postgres://{user}:hunter2@{host}:{port}/{name}");
    let bench = || Bench::new(&url, &url);
    for depth in [Depth::Counts, Depth::Checksum, Depth::Rows] {
        let hidden = bench()
            .tables("dbo.a", "dbo.a")
            .with(|spec| spec.depth = depth);
        let failure = failure(hidden.run().await);
        assert_eq!(
            (failure.kind.as_str(), failure.retryable),
            ("PermissionDenied", false),
            "{}",
            failure.message
        );
        for word in ["BYPASSRLS", "view"] {
            assert!(failure.message.contains(word), "{}", failure.message);
        }
    }
    // What the message offers.
    let whole = bench()
        .tables("dbo.whole", "dbo.whole")
        .run()
        .await
        .unwrap();
    assert_eq!(whole.comparison.source_count, 2);
    scene
        .database
        .execute(&format!("ALTER ROLE \"{user}\" BYPASSRLS"))
        .unwrap();
    let found = bench().tables("dbo.a", "dbo.a").run().await.unwrap();
    assert_eq!(found.comparison.source_count, 2);
    scene
        .database
        .execute(&format!("DROP OWNED BY \"{user}\"; DROP ROLE \"{user}\""))
        .unwrap();
}

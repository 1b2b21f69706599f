//! Tables that are truncated and reloaded, swapped, or altered while they are compared.
//! Their rows are the same after each change, so every comparison must find the same:
//! never an empty table, and never values that were read under another type.
//!
//! `RELOADS=n` sets the number of comparisons of each scene, `SEED` the random choices.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a missing value is a failure, and the counts are of interest"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::services::standin::{Standin, StandinTls};
use harness::services::{Database, shared_postgres};
use shared::endpoint::Endpoint;
use shared::options::Recheck;
use shared::outcome::{Depth, Failure};
use tests::engine::{Bench, Finding};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use worker::engine::Stop;

/// Rows of each table.
const ROWS: u64 = 1000;

/// Rows of a damaged target that differ from the source.
const DAMAGED: u64 = 700;

/// How a table is changed without a change of its rows.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// It is truncated and loaded again.
    Reload,
    /// Another table is loaded and takes its name.
    Swap,
    /// A column gets another type, which rewrites the table, and its own again.
    Retype,
    /// A column is dropped and added with another type, which does not rewrite the table.
    Replace,
    /// A materialized view of it is refreshed.
    Refresh,
}

/// One table of a scene.
#[derive(Debug, Clone, Copy)]
struct Table {
    name: &'static str,
    rows: u64,
    /// How many of its rows differ from those of an undamaged one.
    damaged: u64,
    /// What follows its columns in its declaration, and further statements.
    declared: &'static str,
}

/// Two partitions of table `b`, each with half of the rows.
const PARTITIONS: &str = "PARTITION BY RANGE (id); \
    CREATE TABLE low PARTITION OF b FOR VALUES FROM (MINVALUE) TO (501); \
    CREATE TABLE high PARTITION OF b FOR VALUES FROM (501) TO (MAXVALUE)";

impl Table {
    fn plain(name: &'static str) -> Self {
        Self {
            name,
            rows: ROWS,
            damaged: 0,
            declared: "",
        }
    }

    fn create(self, name: &str) -> String {
        format!(
            "CREATE TABLE {name} (id int PRIMARY KEY, n int, v text, w text DEFAULT 'x') {}",
            self.declared
        )
    }

    fn load(self, name: &str) -> String {
        format!(
            "INSERT INTO {name} (id, n, v) SELECT i, i, CASE WHEN i > {} THEN 'v' ELSE 'd' END || i FROM generate_series(1, {}) AS i",
            self.damaged, self.rows
        )
    }

    /// The transactions of one change, each with a random pause before it ends.
    fn change(self, change: Change, random: &mut Rng) -> Vec<String> {
        let name = self.name;
        let mut transaction = |statements: &str| {
            let pause = f64::from(random.u32(0..4)) / 1000.0;
            format!("BEGIN; {statements}; SELECT pg_sleep({pause}); COMMIT")
        };
        let load = self.load(name);
        match change {
            Change::Reload => vec![transaction(&format!("TRUNCATE {name}; {load}"))],
            Change::Swap => {
                let new = format!("new_{name}");
                let (create, load) = (self.create(&new), self.load(&new));
                vec![transaction(&format!(
                    "{create}; {load}; DROP TABLE {name}; ALTER TABLE {new} RENAME TO {name}"
                ))]
            }
            Change::Retype => ["bigint", "int"]
                .map(|kind| transaction(&format!("ALTER TABLE {name} ALTER n TYPE {kind}")))
                .into(),
            Change::Replace => ["varchar(9)", "text"]
                .map(|kind| {
                    transaction(&format!(
                        "ALTER TABLE {name} DROP w; ALTER TABLE {name} ADD w {kind} DEFAULT 'x'"
                    ))
                })
                .into(),
            Change::Refresh => vec![transaction(&format!(
                "REFRESH MATERIALIZED VIEW seen_{name}"
            ))],
        }
    }
}

/// What the comparisons of one scene found.
#[derive(Debug, Default)]
struct Tally {
    right: u64,
    wrong: Vec<String>,
    /// The kinds of failures.
    failed: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, result: Result<Finding, Stop>, depth: Depth, damaged: u64) {
        let comparison = match result {
            Ok(found) => found.comparison,
            Err(Stop::Failed(failure)) => {
                assert!(failure.retryable, "{failure:?}");
                *self.failed.entry(failure.kind.to_string()).or_default() += 1;
                return;
            }
            Err(Stop::Cancelled) => panic!("not cancelled"),
        };
        let rows = comparison.rows.as_ref();
        let modified = rows.map_or(0, |rows| rows.modified);
        let is_right = comparison.source_count == ROWS
            && comparison.target_count == ROWS
            && match depth {
                Depth::Counts => true,
                Depth::Checksum => comparison.is_match() == (damaged == 0),
                Depth::Rows => rows.is_some_and(|rows| rows.total() == damaged),
            };
        if is_right {
            self.right += 1;
        } else {
            self.wrong.push(format!(
                "{depth:?}: {} and {} rows, {modified} modified, {}",
                comparison.source_count,
                comparison.target_count,
                if comparison.is_match() {
                    "equal"
                } else {
                    "different"
                }
            ));
        }
    }
}

fn variable(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(otherwise, |value| value.parse().unwrap())
}

/// How often a usual scene is compared.
fn reloads() -> u64 {
    variable("RELOADS", 60)
}

/// Changes a table again and again until `stop`.
async fn keep_changing(client: Client, table: Table, change: Change, stop: CancellationToken) {
    let mut random = Rng::with_seed(variable("SEED", 1));
    for number in 1.. {
        if stop.is_cancelled() {
            return;
        }
        // A table can have 1600 columns, and those that were dropped count.
        let change = match change {
            Change::Replace if number % 500 == 0 => Change::Swap,
            other => other,
        };
        for transaction in table.change(change, &mut random) {
            client.batch_execute(&transaction).await.unwrap();
        }
    }
}

/// Compares `number` times while all of `changing` change.
async fn compare_during(
    database: &Database,
    bench: Bench,
    number: u64,
    change: Change,
    changing: &[Table],
) -> Tally {
    let damaged = changing.iter().map(|table| table.damaged).max().unwrap();
    let stop = CancellationToken::new();
    let mut writers = Vec::new();
    for table in changing {
        let client = database.connect().await.unwrap();
        writers.push(tokio::spawn(keep_changing(
            client,
            *table,
            change,
            stop.clone(),
        )));
    }
    let mut bench = bench;
    let mut tally = Tally::default();
    for number in 0..number {
        bench.spec.depth = match number % 4 {
            0 => Depth::Counts,
            1 => Depth::Checksum,
            _ => Depth::Rows,
        };
        let result = bench.run().await;
        tally.add(result, bench.spec.depth, damaged);
    }
    stop.cancel();
    for writer in writers {
        writer.await.unwrap();
    }
    println!("{change:?}: {tally:?}");
    tally
}

async fn created(tables: &[Table]) -> Database {
    let database = shared_postgres().create_database("reloads").unwrap();
    let client = database.connect().await.unwrap();
    for table in tables {
        let (create, load) = (table.create(table.name), table.load(table.name));
        client
            .batch_execute(&format!("{create}; {load}"))
            .await
            .unwrap();
    }
    database
}

fn bench(database: &Database) -> Bench {
    Bench::new(&database.url(), &database.url()).tables("a", "b")
}

/// Each comparison found what is there; with `may_fail`, or that the table changes.
fn assert_right(change: Change, tally: &Tally, may_fail: bool) {
    assert!(tally.wrong.is_empty(), "{change:?}: {tally:#?}");
    let mut failed = tally.failed.clone();
    if may_fail {
        failed.remove("TableChanged");
    }
    assert!(failed.is_empty(), "{change:?}: {tally:#?}");
}

const CHANGES: [Change; 4] = [
    Change::Reload,
    Change::Swap,
    Change::Retype,
    Change::Replace,
];

fn damaged(name: &'static str) -> Table {
    Table {
        damaged: DAMAGED,
        ..Table::plain(name)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_changes_is_never_read_as_empty() {
    let (a, b) = (Table::plain("a"), Table::plain("b"));
    for change in CHANGES {
        let database = created(&[a, b]).await;
        let tally = compare_during(&database, bench(&database), reloads(), change, &[b]).await;
        assert_right(change, &tally, false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sides_that_change_at_once_are_never_equal_because_both_look_empty() {
    let (a, b) = (Table::plain("a"), damaged("b"));
    for change in CHANGES {
        let database = created(&[a, b]).await;
        let tally = compare_during(&database, bench(&database), reloads(), change, &[a, b]).await;
        assert_right(change, &tally, false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rechecks_of_a_table_that_changes_find_the_same_or_that_it_changes() {
    let (a, b) = (Table::plain("a"), damaged("b"));
    for change in CHANGES {
        let database = created(&[a, b]).await;
        let bench = bench(&database).with(|spec| {
            spec.options.recheck = Recheck {
                times: 1,
                delay_ms: 1,
            };
        });
        let tally = compare_during(&database, bench, reloads() / 3, change, &[b]).await;
        // A table that is loaded again is the same table at the next look.
        assert_right(change, &tally, !matches!(change, Change::Reload));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_views_and_other_spellings_of_a_name_are_locked_as_well() {
    let (a, b) = (Table::plain("a"), Table::plain("b"));
    let partitioned = Table {
        declared: PARTITIONS,
        ..b
    };
    let low = Table {
        name: "low",
        rows: ROWS / 2,
        ..b
    };
    for (tables, target, changing, change) in [
        ([a, partitioned], "b", b, Change::Reload),
        ([a, partitioned], "b", b, Change::Retype),
        // One partition of two: half of the rows would be missing.
        ([a, partitioned], "b", low, Change::Reload),
        ([a, b], "seen", b, Change::Reload),
        ([a, b], "B", b, Change::Swap),
    ] {
        let database = created(&tables).await;
        if target == "seen" {
            database.execute("CREATE VIEW seen AS TABLE b").unwrap();
        }
        let bench = bench(&database).tables("a", target);
        let tally = compare_during(&database, bench, reloads() / 3, change, &[changing]).await;
        assert_right(change, &tally, false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_cannot_be_locked_first_is_read_right_or_not_at_all() {
    let (a, b) = (Table::plain("a"), Table::plain("b"));
    for (change, target) in [
        (Change::Reload, "b"),
        (Change::Swap, "b"),
        (Change::Retype, "b"),
        (Change::Replace, "b"),
        (Change::Refresh, "seen_b"),
    ] {
        let database = created(&[a, b]).await;
        let Endpoint { host, port, .. } = Endpoint::from_url("x", &database.url()).unwrap();
        let (name, user) = (database.name(), format!("reader_{}", database.name()));
        database
            .execute(&format!(
                "CREATE MATERIALIZED VIEW seen_b AS TABLE b; \
                 CREATE ROLE \"{user}\" LOGIN PASSWORD 'hunter2'; \
                 GRANT SELECT (id, n, v) ON a, b, seen_b TO \"{user}\"; \
                 CREATE FUNCTION again() RETURNS event_trigger LANGUAGE plpgsql \
                   AS 'BEGIN EXECUTE ''GRANT SELECT (id, n, v) ON b TO \"{user}\"''; END'; \
                 CREATE EVENT TRIGGER again ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION again()"
            ))
            .unwrap();
        if !matches!(change, Change::Refresh) {
            // Its columns could not be altered otherwise.
            database.execute("DROP MATERIALIZED VIEW seen_b").unwrap();
        }
        let url = format!("postgres://{user}:hunter2@{host}:{port}/{name}");
        let bench = Bench::new(&url, &url).tables("a", target).with(|spec| {
            spec.columns.exclude = vec!["w".to_owned()];
        });
        let tally = compare_during(&database, bench, reloads() / 3, change, &[b]).await;
        database
            .execute(&format!("DROP OWNED BY \"{user}\"; DROP ROLE \"{user}\""))
            .unwrap();
        assert_right(change, &tally, true);
    }
}

/// Polls until `count` sessions of this database are as `condition` says.
async fn wait_for(client: &Client, count: i64, condition: &str) {
    let statement = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {condition}"
    );
    let begin = Instant::now();
    loop {
        let found: i64 = client.query_one(&statement, &[]).await.unwrap().get(0);
        if found == count {
            return;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{found} sessions instead of {count}: {condition}"
        );
    }
}

fn failure(result: Result<Finding, Stop>) -> Failure {
    match result {
        Err(Stop::Failed(failure)) => failure,
        other => panic!("no failure but {other:?}"),
    }
}

fn assert_changed(result: Result<Finding, Stop>, name: &str) {
    let failure = failure(result);
    assert_eq!(
        (failure.kind.as_str(), failure.retryable),
        ("TableChanged", true),
        "{}",
        failure.message
    );
    assert!(failure.message.contains(name), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_changes_between_two_looks_is_not_read_as_it_was() {
    for (statement, is_changed) in [
        // The four bytes of the text are those of the source's integer.
        ("ALTER TABLE b ALTER n TYPE text USING '1234'", true),
        (
            "ALTER TABLE b DROP n; ALTER TABLE b ADD n text DEFAULT '1234'",
            true,
        ),
        ("ALTER TABLE b DROP CONSTRAINT b_pkey", true),
        ("DROP TABLE b; CREATE TABLE b AS TABLE a", true),
        ("TRUNCATE b; INSERT INTO b TABLE a", false),
        ("UPDATE b SET n = 825373492; CREATE INDEX ON b (n)", false),
    ] {
        let database = shared_postgres().create_database("reloads").unwrap();
        database
            .execute(
                "CREATE TABLE a (id int PRIMARY KEY, n int); INSERT INTO a VALUES (1, 825373492); \
                 CREATE TABLE b (id int PRIMARY KEY, n int); INSERT INTO b VALUES (1, 5)",
            )
            .unwrap();
        let client = database.connect().await.unwrap();
        let bench = bench(&database).with(|spec| {
            spec.options.recheck = Recheck {
                times: 1,
                delay_ms: 1500,
            };
        });
        let change = async {
            let surveyed =
                "application_name LIKE 'reconcile%' AND query LIKE 'COMMIT%' AND state = 'idle'";
            wait_for(&client, 2, surveyed).await;
            client.batch_execute(statement).await.unwrap();
        };
        let (result, ()) = tokio::join!(bench.run(), change);
        if is_changed {
            assert_changed(result, "public.b");
        } else {
            let found = result.unwrap();
            assert_eq!(found.counts(), (0, 0, 0), "{statement}");
            assert_eq!(found.comparison.rows.unwrap().settled, 1, "{statement}");
        }
    }
}

/// Runs `statement` after the source was described and before it is read, while the
/// target is locked. `last` is part of the last query of a description.
async fn compare_after(
    database: &Database,
    bench: Bench,
    statement: &str,
    last: &str,
) -> Result<Finding, Stop> {
    let client = database.connect().await.unwrap();
    client
        .batch_execute("BEGIN; LOCK TABLE b IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let change = async {
        let other = database.connect().await.unwrap();
        let described = format!(
            "state = 'idle in transaction' AND pid <> pg_backend_pid() AND query LIKE '%{last}%'"
        );
        wait_for(&other, 1, "wait_event_type = 'Lock'").await;
        wait_for(&other, 1, &described).await;
        other
            .batch_execute("SET lock_timeout = '20s'")
            .await
            .unwrap();
        other.batch_execute(statement).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
    };
    tokio::join!(bench.run(), change).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_another_table_gets_after_the_description_is_found_out() {
    let database = shared_postgres().create_database("reloads").unwrap();
    let rows = "INSERT INTO a SELECT generate_series(1, 3)";
    database
        .execute(&format!(
            "CREATE SCHEMA live; CREATE SCHEMA next; CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b SELECT generate_series(1, 3); \
             SET search_path TO live; CREATE TABLE a (id int PRIMARY KEY); {rows}; \
             SET search_path TO next; CREATE TABLE a (id int PRIMARY KEY); {rows}"
        ))
        .unwrap();
    let rename = "ALTER SCHEMA live RENAME TO old; ALTER SCHEMA next RENAME TO live";
    let bench = bench(&database).tables("live.a", "public.b");
    assert_changed(
        compare_after(&database, bench, rename, "pg_index").await,
        "live.a",
    );
    // The next attempt reads the other table.
    let bench = self::bench(&database).tables("live.a", "public.b");
    assert!(bench.run().await.unwrap().comparison.is_match());
}

/// A target in PostgreSQL, tables of a source in schema `dbo`, and the stand-in over them.
fn with_standin() -> (Database, Standin) {
    const COLUMNS: &str = "(id int PRIMARY KEY, v int)";
    let database = shared_postgres().create_database("reloads").unwrap();
    database
        .execute(&format!(
            "CREATE SCHEMA dbo; CREATE TABLE b {COLUMNS}; CREATE TABLE dbo.a {COLUMNS}; CREATE TABLE dbo.next {COLUMNS}; \
             INSERT INTO b VALUES (1, 1); INSERT INTO dbo.a TABLE b"
        ))
        .unwrap();
    let standin = Standin::start(&database.url(), "reloads", StandinTls::Off).unwrap();
    (database, standin)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_server_without_snapshots_is_asked_again_after_it_was_read() {
    for (statement, is_changed) in [
        ("DROP TABLE dbo.a; ALTER TABLE dbo.next RENAME TO a", true),
        ("ALTER TABLE dbo.a ALTER v TYPE bigint", true),
        ("INSERT INTO dbo.a VALUES (9, 9)", false),
    ] {
        let (database, standin) = with_standin();
        let bench = Bench::new(&standin.url(), &database.url())
            .tables("dbo.a", "public.b")
            .with(|spec| spec.options.read_uncommitted = true);
        let result = compare_after(&database, bench, statement, "partitions").await;
        if is_changed {
            assert_changed(result, "dbo.a");
        } else {
            assert_eq!(result.unwrap().counts(), (1, 0, 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_sql_server_that_is_older_than_the_table_is_worth_another_attempt() {
    for statement in [
        "BEGIN; TRUNCATE dbo.a; INSERT INTO dbo.a VALUES (1, 1); COMMIT",
        "DROP TABLE dbo.a; ALTER TABLE dbo.next RENAME TO a",
    ] {
        let (database, standin) = with_standin();
        let bench = || Bench::new(&standin.url(), &database.url()).tables("dbo.a", "public.b");
        let result = compare_after(&database, bench(), statement, "partitions").await;
        assert_changed(result, "error 3961");
        assert!(bench().run().await.is_ok(), "{statement}");
    }
}

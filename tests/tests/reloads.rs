//! Tables that are truncated and reloaded, swapped, or altered while they are compared.
//! Their rows are the same after each change, so every comparison must find the same:
//! never an empty table, and never values that were read under another type.
//!
//! `RELOADS=n` sets the number of comparisons of each scene, `SEED` the random choices.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::collections::BTreeMap;

use fastrand::Rng;
use harness::services::{Database, shared_postgres};
use shared::outcome::Depth;
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
}

/// One table of a scene.
#[derive(Debug, Clone, Copy)]
struct Table {
    name: &'static str,
    /// How many of its rows differ from those of an undamaged one.
    damaged: u64,
    /// What follows its columns in its declaration.
    declared: &'static str,
}

impl Table {
    fn plain(name: &'static str) -> Self {
        Self {
            name,
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
            "INSERT INTO {name} (id, n, v) SELECT i, i, CASE WHEN i > {} THEN 'v' ELSE 'd' END || i FROM generate_series(1, {ROWS}) AS i",
            self.damaged
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

/// Changes a table again and again until `stop`.
async fn keep_changing(client: Client, table: Table, change: Change, stop: CancellationToken) {
    let mut random = Rng::with_seed(variable("SEED", 1));
    while !stop.is_cancelled() {
        for transaction in table.change(change, &mut random) {
            client.batch_execute(&transaction).await.unwrap();
        }
    }
}

/// Compares while all of `changing` change.
async fn compare_during(
    database: &Database,
    bench: Bench,
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
    for number in 0..variable("RELOADS", 60) {
        bench.spec.depth = match number % 4 {
            0 => Depth::Counts,
            1 => Depth::Checksum,
            _ => Depth::Rows,
        };
        let result = bench.run().await;
        // Checksums are rechecked row by row.
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

/// Every change of the tables `changing`, among `tables`: each comparison found what is there.
async fn assert_right(tables: &[Table], changing: &[Table]) {
    let mut not_right = Vec::new();
    for change in [
        Change::Reload,
        Change::Swap,
        Change::Retype,
        Change::Replace,
    ] {
        let database = created(tables).await;
        let tally = compare_during(&database, bench(&database), change, changing).await;
        if !(tally.wrong.is_empty() && tally.failed.is_empty()) {
            not_right.push((change, tally));
        }
    }
    assert!(not_right.is_empty(), "{not_right:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_changes_is_never_read_as_empty() {
    let (a, b) = (Table::plain("a"), Table::plain("b"));
    assert_right(&[a, b], &[b]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sides_that_change_at_once_are_never_equal_because_both_look_empty() {
    let a = Table::plain("a");
    let b = Table {
        damaged: DAMAGED,
        ..Table::plain("b")
    };
    assert_right(&[a, b], &[a, b]).await;
}

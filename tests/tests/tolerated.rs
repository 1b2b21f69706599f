//! Columns with a tolerance: rows within it are equal, in any number and on every
//! path that finds them.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use harness::services::{Database, shared_postgres};
use shared::message::TableSpec;
use shared::options::{ColumnRule, Tolerance};
use shared::outcome::{Depth, FailureKind};
use tests::engine::Bench;
use worker::engine::Stop;

fn database(statements: &str) -> Database {
    let database = shared_postgres().create_database("tolerated").unwrap();
    database.execute(statements).unwrap();
    database
}

/// A comparison in which `v` may be 0.01 apart.
fn bench(database: &Database) -> Bench {
    Bench::new(&database.url(), &database.url())
        .tables("a", "b")
        .with(|spec| {
            let rule = ColumnRule {
                tolerance: Some(Tolerance::Absolute("0.01".to_owned())),
                ..ColumnRule::default()
            };
            spec.options.rules.insert("v".to_owned(), rule);
        })
}

fn small(spec: &mut TableSpec) {
    spec.options.limits.memory_bytes = 512 << 10;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_which_every_row_is_near() {
    let database = database(
        "CREATE TABLE a (id int PRIMARY KEY, v numeric(12, 4), w int); INSERT INTO a SELECT i, i, i FROM generate_series(1, 30000) AS i; \
         CREATE TABLE b (id int PRIMARY KEY, v numeric(12, 4), w int); INSERT INTO b SELECT i, i + 0.0042, i FROM generate_series(1, 30000) AS i; \
         UPDATE b SET v = v + 0.01 WHERE id = 7; UPDATE b SET w = 0 WHERE id = 8; DELETE FROM b WHERE id = 9; ANALYZE",
    );
    for small_limits in [true, false] {
        let mut bench = bench(&database);
        if small_limits {
            small(&mut bench.spec);
        }
        let found = bench.run().await.unwrap();
        assert_eq!(found.counts(), (1, 0, 2));
        assert_eq!(found.keys("id"), [7, 8, 9]);
        // A column that is near enough does not differ, where the row differs otherwise.
        let names: Vec<Vec<&str>> = found
            .listed
            .iter()
            .map(|row| {
                row.columns
                    .iter()
                    .map(|column| column.name.as_str())
                    .collect()
            })
            .collect();
        assert_eq!(names, [vec!["v"], vec!["w"], vec![]]);
    }
    database
        .execute("UPDATE b SET v = id, w = id; INSERT INTO b VALUES (9, 9.01, 9)")
        .unwrap();
    let found = bench(&database).run().await.unwrap();
    assert_eq!(found.counts(), (0, 0, 0));
    assert!(found.comparison.is_match(), "{:?}", found.comparison);
    let sums = found.comparison.checksums.unwrap();
    assert_ne!(
        sums.source, sums.target,
        "the checksums are of what is stored"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checksum_goes_on_to_the_rows_and_lists_none() {
    let database = database(
        "CREATE TABLE a (id int PRIMARY KEY, v numeric); INSERT INTO a VALUES (1, 1), (2, 2); \
         CREATE TABLE b (id int PRIMARY KEY, v numeric); INSERT INTO b VALUES (1, 1.005), (2, 2)",
    );
    let bench = bench(&database).with(|spec| spec.depth = Depth::Checksum);
    let found = bench.run().await.unwrap();
    assert!(found.comparison.is_match(), "{:?}", found.comparison);
    database.execute("UPDATE b SET v = 3 WHERE id = 2").unwrap();
    let found = bench.run().await.unwrap();
    assert!(!found.comparison.is_match(), "{:?}", found.comparison);
    assert_eq!((found.counts(), found.listed.len()), ((0, 0, 1), 0));
    let notes = found.comparison.notes;
    assert!(
        notes
            .iter()
            .any(|note| note.contains("tolerance") && note.contains("not listed")),
        "{notes:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_share_a_key_are_matched_by_value_and_rows_without_a_key_are_refused() {
    let database = database(
        "CREATE TABLE a (id int NOT NULL, v numeric); INSERT INTO a VALUES (1, 1), (1, 5), (1, 9), (2, 1); \
         CREATE TABLE b (id int NOT NULL, v numeric); INSERT INTO b VALUES (1, 9.001), (1, 1.001), (1, 5.001), (2, 2), (1, 7)",
    );
    let keyed = bench(&database).with(|spec| spec.key = Some(vec!["id".to_owned()]));
    let found = keyed.run().await.unwrap();
    assert_eq!(found.counts(), (0, 1, 1));
    let Err(Stop::Failed(failure)) = bench(&database).run().await else {
        panic!("compared without a key")
    };
    assert_eq!(failure.kind, FailureKind::KeyNeeded);
    assert!(
        failure.message.contains("--pk-columns"),
        "{}",
        failure.message
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_rows_of_a_key_as_can_are_near_each_other_whatever_their_order() {
    let database = database(
        "CREATE TABLE a (id int NOT NULL, v numeric, w numeric); CREATE TABLE b (LIKE a); \
         INSERT INTO a SELECT i, i + x, 0 FROM generate_series(1, 50) AS i, unnest(ARRAY[0, 0.010]) AS x; \
         INSERT INTO b SELECT i, i + x, 0 FROM generate_series(1, 50) AS i, unnest(ARRAY[0.009, -0.005]) AS x; \
         INSERT INTO a SELECT 100, i * 0.006, 1 FROM generate_series(1, 3000) AS i; \
         INSERT INTO b SELECT 100, i * 0.006 + 0.008, 1 FROM generate_series(1, 3000) AS i; \
         INSERT INTO a VALUES (100, 1000, 1); INSERT INTO b VALUES (100, 1000.011, 1), (100, 50, 2)",
    );
    let keyed = bench(&database).with(|spec| spec.key = Some(vec!["id".to_owned()]));
    // The last pair is too far apart, and the last row is the copy of no row.
    let found = keyed.run().await.unwrap();
    assert_eq!(found.counts(), (0, 1, 1));
    // The same where both columns have a tolerance.
    database
        .execute(
            "DELETE FROM a WHERE id = 100; DELETE FROM b WHERE id = 100; UPDATE b SET w = -0.001",
        )
        .unwrap();
    let both = keyed.with(|spec| {
        let rule = spec.options.rules["v"].clone();
        spec.options.rules.insert("w".to_owned(), rule);
    });
    let found = both.run().await.unwrap();
    assert_eq!(found.counts(), (0, 0, 0));
}

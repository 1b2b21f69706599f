//! Rows that are looked up by their keys, for keys of every type, also if many rows
//! share a key.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use harness::services::{Database, shared_postgres};
use shared::options::Recheck;
use tests::engine::Bench;
use worker::engine::RowEncoder;
use worker::engine::Stop;

fn database(statements: &str) -> Database {
    let database = shared_postgres().create_database("look_ups").unwrap();
    database.execute(statements).unwrap();
    database
}

fn bench(database: &Database) -> Bench {
    Bench::new(&database.url(), &database.url()).tables("a", "b")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backslash_in_a_key_means_itself_whatever_the_database_is_set_to() {
    let database = database(
        r"CREATE TABLE a (k text PRIMARY KEY); INSERT INTO a VALUES ('a\b'), ('a\nb'), ('it''s'), ('x');
          CREATE TABLE b (k text PRIMARY KEY); INSERT INTO b VALUES ('x')",
    );
    let name = database.name();
    database
        .execute(&format!(
            "ALTER DATABASE \"{name}\" SET standard_conforming_strings = off"
        ))
        .unwrap();
    let found = bench(&database)
        .with(|spec| {
            spec.options.recheck = Recheck {
                times: 1,
                delay_ms: 10,
            }
        })
        .run()
        .await
        .unwrap();
    assert_eq!(found.counts(), (3, 0, 0), "{:?}", found.comparison);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_a_row_count_when_a_repair_is_verified() {
    let database = database(
        "CREATE TABLE a (grp int NOT NULL, v text); INSERT INTO a VALUES (1, 'a'), (1, 'a'), (2, 'b'); \
         CREATE TABLE b (grp int NOT NULL, v text); INSERT INTO b VALUES (1, 'a'), (1, 'a'), (1, 'a'), (2, 'b')",
    );
    let bench = bench(&database).with(|spec| spec.key = Some(vec!["grp".to_owned()]));
    let keys: Vec<Vec<u8>> = [1, 2]
        .map(|number| {
            let mut key = RowEncoder::default();
            key.start_row();
            key.int(number);
            key.end_key();
            key.key().to_vec()
        })
        .to_vec();
    let (counts, all) = bench.verify(&keys).await.unwrap();
    assert_eq!((counts.missing, counts.extra, counts.modified), (0, 1, 0));
    assert!(!all, "the rows were not looked up by their keys");
    database
        .execute("DELETE FROM b; INSERT INTO b TABLE a")
        .unwrap();
    assert_eq!(bench.verify(&keys).await.unwrap().0.total(), 0);
    // No row has a number as its key any more.
    database
        .execute("ALTER TABLE a ALTER grp TYPE text; ALTER TABLE b ALTER grp TYPE text; INSERT INTO b VALUES ('1', 'c')")
        .unwrap();
    let (counts, all) = bench.verify(&keys).await.unwrap();
    assert_eq!((counts.missing, counts.extra, counts.modified), (0, 1, 0));
    assert!(all, "the rows were looked up by keys of another type");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_rows_that_share_a_key_those_are_read_that_differ() {
    let database = database(
        "CREATE TABLE a (tenant int NOT NULL, id int, v int); INSERT INTO a SELECT 1, i, i FROM generate_series(1, 5000) AS i; \
         CREATE TABLE b (LIKE a); INSERT INTO b TABLE a",
    );
    // Few rows are looked up; more are found in a pass over the table.
    for changed in [1, 20] {
        database
            .execute(&format!(
                "UPDATE b SET v = id; UPDATE b SET v = -1 WHERE id <= {changed}"
            ))
            .unwrap();
        let found = bench(&database)
            .with(|spec| {
                spec.key = Some(vec!["tenant".to_owned()]);
                spec.max_differences = 100;
            })
            .run()
            .await
            .unwrap();
        assert_eq!(found.counts(), (0, 0, changed));
        assert_eq!(found.listed.len() as u64, changed);
        for row in &found.listed {
            let value = row.columns.iter().find(|column| column.name == "v");
            assert_eq!(value.unwrap().target, -1, "{row:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_null_in_a_key_that_is_declared_without_is_a_failure_that_names_it() {
    // The declared type of a foreign table is not checked; this catalog change imitates one.
    let database = database(
        "CREATE TABLE a (ident uuid, v int); INSERT INTO a VALUES (gen_random_uuid(), 1), (NULL, 2); \
         CREATE TABLE b (LIKE a); \
         UPDATE pg_attribute SET attnotnull = true WHERE attname = 'ident'",
    );
    let bench = bench(&database).with(|spec| spec.key = Some(vec!["ident".to_owned()]));
    let Err(Stop::Failed(failure)) = bench.run().await else {
        panic!("compared a key that is NULL")
    };
    assert_eq!(
        (failure.kind.as_str(), failure.retryable),
        ("ValueError", false)
    );
    assert!(failure.message.contains("`ident`"), "{}", failure.message);
}

//! Tables that change while they are compared: replicated changes settle, and
//! planted differences are reported.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use harness::services::{Database, shared_postgres};
use shared::options::{ColumnRule, Recheck, Tolerance};
use shared::outcome::Depth;
use tests::engine::{Bench, Finding};
use tokio_util::sync::CancellationToken;
use worker::engine::Stop;

/// How much later the copy has what the source has.
const LAG: Duration = Duration::from_millis(300);

fn bench(database: &Database, times: u32, delay_ms: u64) -> Bench {
    Bench::new(&database.url(), &database.url())
        .tables("a", "b")
        .with(|spec| {
            spec.max_differences = 1000;
            spec.options.recheck = Recheck { times, delay_ms };
        })
}

/// Changes `a` all the time, and `b` in the same way a while later, until it is cancelled.
async fn write(client: tokio_postgres::Client, keys: u32, stop: CancellationToken) -> u32 {
    let mut waiting: VecDeque<(Instant, String)> = VecDeque::new();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut written, mut hot) = (0, Instant::now());
    loop {
        while let Some((due, statement)) = waiting.front()
            && (*due <= Instant::now() || stop.is_cancelled())
        {
            client
                .batch_execute(&statement.replace("TABLE", "b"))
                .await
                .unwrap();
            waiting.pop_front();
        }
        if stop.is_cancelled() {
            return written;
        }
        // One row that changes all the time, and others now and then.
        let key = if hot.elapsed() > Duration::from_millis(50) {
            hot = Instant::now();
            0
        } else {
            random.u32(1..keys)
        };
        let statement = match random.u32(0..4) {
            0 if key != 0 => format!("DELETE FROM TABLE WHERE id = {key}"),
            _ => format!(
                "INSERT INTO TABLE VALUES ({key}, {written}) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v"
            ),
        };
        client
            .batch_execute(&statement.replace("TABLE", "a"))
            .await
            .unwrap();
        waiting.push_back((Instant::now() + LAG, statement));
        written += 1;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(4)) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// What was broken on purpose was found, and nothing else.
fn assert_broken(found: &Finding) {
    let keys: BTreeSet<i64> = found
        .keys("id")
        .iter()
        .map(|id| id.as_i64().unwrap())
        .collect();
    assert_eq!(
        keys,
        BTreeSet::from([15_001, 15_002, 15_003, 30_000]),
        "{:?}",
        found.comparison
    );
    assert_eq!(found.counts(), (1, 1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_under_way_settle_and_broken_rows_are_found() {
    let database = shared_postgres().create_database("recheck").unwrap();
    database
        .execute(
            "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT i, i FROM generate_series(0, 20000) AS i; \
             CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO b SELECT * FROM a; \
             UPDATE b SET v = -1 WHERE id IN (15001, 15002); DELETE FROM b WHERE id = 15003; INSERT INTO b VALUES (30000, 1); ANALYZE",
        )
        .unwrap();
    let stop = CancellationToken::new();
    let writing = {
        let client = database.connect().await.unwrap();
        tokio::spawn(write(client, 10_000, stop.clone()))
    };
    let mut settled = 0;
    for _ in 0..4 {
        let found = bench(&database, 2, 800).run().await.unwrap();
        assert_broken(&found);
        settled += found.comparison.rows.unwrap().settled;
    }
    stop.cancel();
    let written = writing.await.unwrap();
    assert!(written > 100, "only {written} changes were made");
    assert!(
        settled > 0,
        "nothing was under way, so that nothing was tested"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_a_key_and_one_with_long_keys_are_rechecked() {
    let database = shared_postgres().create_database("recheck").unwrap();
    database
        .execute(
            "CREATE TABLE a (id text PRIMARY KEY, v int); INSERT INTO a SELECT 'a long key ' || i, i FROM generate_series(1, 2000) AS i; \
             CREATE TABLE b (LIKE a INCLUDING ALL); INSERT INTO b SELECT * FROM a WHERE v > 3; UPDATE b SET v = 0 WHERE v > 1999; \
             CREATE VIEW p AS TABLE a; CREATE VIEW q AS TABLE b",
        )
        .unwrap();
    for (source, target, counts) in [("a", "b", (1, 0, 1)), ("p", "q", (2, 1, 0))] {
        let bench = bench(&database, 4, 300).tables(source, target);
        let client = database.connect().await.unwrap();
        client
            .batch_execute("DELETE FROM b WHERE v IN (2, 3)")
            .await
            .unwrap();
        let start: std::time::SystemTime = client
            .query_one("SELECT clock_timestamp()", &[])
            .await
            .unwrap()
            .get(0);
        let late = async {
            // Once the survey is done: then its transaction has ended.
            let ended = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                         AND query LIKE 'COMMIT%' AND state = 'idle' AND backend_start > $1";
            let begin = Instant::now();
            loop {
                let count: i64 = client.query_one(ended, &[&start]).await.unwrap().get(0);
                if count == 2 {
                    break;
                }
                assert!(
                    begin.elapsed() < Duration::from_secs(10),
                    "the survey did not end"
                );
            }
            client
                .batch_execute("INSERT INTO b SELECT * FROM a WHERE v IN (2, 3)")
                .await
                .unwrap();
        };
        let (found, ()) = tokio::join!(bench.run(), late);
        let found = found.unwrap();
        assert_eq!(found.counts(), counts, "{source}: {:?}", found.comparison);
        assert_eq!(found.comparison.rows.unwrap().settled, 2, "{source}");
        // In a table that is known by counting the rows of the scan stay as they were.
        assert_eq!(found.comparison.source_count, 2000);
        assert_eq!(found.comparison.target_count, 1997);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_differences_are_looked_at_part_by_part() {
    let database = shared_postgres().create_database("recheck").unwrap();
    database
        .execute(
            "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT i, i FROM generate_series(1, 5000) AS i; \
             CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO b SELECT i, -i FROM generate_series(1, 5000) AS i; ANALYZE",
        )
        .unwrap();
    let found = bench(&database, 2, 1)
        .with(|spec| {
            spec.options.limits.memory_bytes = 4 << 20;
            spec.max_differences = 3;
        })
        .run()
        .await
        .unwrap();
    assert_eq!((found.counts(), found.listed.len()), ((0, 0, 5000), 3));
    let keys = found.keys("id");
    assert_eq!(keys.len(), 3);
    assert_eq!(found.comparison.rows.unwrap().settled, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_share_a_key_are_counted_once_however_many_there_are() {
    let database = shared_postgres().create_database("recheck").unwrap();
    database
        .execute(
            "CREATE TABLE a (n int); INSERT INTO a SELECT i % 5000 FROM generate_series(1, 10000) AS i; CREATE TABLE b (n int); \
             CREATE TABLE c (n int); INSERT INTO c SELECT 1 FROM generate_series(1, 20000); CREATE TABLE d (n int); INSERT INTO d VALUES (1)",
        )
        .unwrap();
    for (source, target, counts) in [
        ("a", "b", (10_000, 0, 0)),
        ("b", "a", (0, 10_000, 0)),
        ("c", "d", (19_999, 0, 0)),
        ("d", "c", (0, 19_999, 0)),
    ] {
        let found = bench(&database, 1, 1)
            .tables(source, target)
            .with(|spec| {
                spec.options.limits.memory_bytes = 4 << 20;
                spec.max_differences = 3;
            })
            .run()
            .await
            .unwrap();
        assert_eq!(found.counts(), counts, "{source} and {target}");
        assert_eq!(found.comparison.rows.unwrap().settled, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recheck_reads_a_table_without_a_key_once_and_does_not_poll_rows_at_rest() {
    let database = shared_postgres().create_database("recheck").unwrap();
    database
        .execute(
            "CREATE TABLE a (n int); INSERT INTO a SELECT generate_series(1, 20000); \
             CREATE TABLE one (n int); INSERT INTO one SELECT generate_series(1, 19999); \
             CREATE TABLE many (n int); INSERT INTO many SELECT generate_series(10001, 30000)",
        )
        .unwrap();
    for (target, counts) in [("one", (1, 0, 0)), ("many", (10_000, 10_000, 0))] {
        let found = bench(&database, 2, 1)
            .tables("a", target)
            .with(|spec| {
                spec.options.limits.memory_bytes = 4 << 20;
                spec.max_differences = 3;
            })
            .run()
            .await
            .unwrap();
        assert_eq!(found.counts(), counts);
        // Two passes at most to find what differs, two looks, and one to show it.
        let passes = found.read.0 / 20_000;
        assert!(passes <= 5, "{target}: {passes} passes over the source");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_under_way_settle_though_the_copy_is_always_a_little_off() {
    let database = shared_postgres().create_database("recheck").unwrap();
    database
        .execute(
            "CREATE TABLE a (id int PRIMARY KEY, v numeric(12, 3)); INSERT INTO a SELECT i, i FROM generate_series(0, 20000) AS i; \
             CREATE TABLE b (id int PRIMARY KEY, v numeric(12, 3)); INSERT INTO b SELECT id, v + 0.001 FROM a; \
             UPDATE b SET v = -1 WHERE id IN (15001, 15002); DELETE FROM b WHERE id = 15003; INSERT INTO b VALUES (30000, 1); \
             CREATE FUNCTION off() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v := NEW.v + 0.001; RETURN NEW; END'; \
             CREATE TRIGGER off BEFORE INSERT ON b FOR EACH ROW EXECUTE FUNCTION off(); ANALYZE",
        )
        .unwrap();
    let stop = CancellationToken::new();
    let writing = {
        let client = database.connect().await.unwrap();
        tokio::spawn(write(client, 10_000, stop.clone()))
    };
    for _ in 0..3 {
        let bench = bench(&database, 2, 800).with(|spec| {
            let rule = ColumnRule {
                tolerance: Some(Tolerance::Absolute("0.01".to_owned())),
                ..ColumnRule::default()
            };
            spec.options.rules.insert("v".to_owned(), rule);
        });
        let found = bench.run().await.unwrap();
        assert_broken(&found);
    }
    stop.cancel();
    let written = writing.await.unwrap();
    assert!(written > 100, "only {written} changes were made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settled_differences_make_a_checksum_a_match() {
    let database = shared_postgres().create_database("recheck").unwrap();
    database
        .execute(
            "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a VALUES (1, 1), (2, 2); \
             CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO b VALUES (1, 1), (2, 3)",
        )
        .unwrap();
    let checksum = |times| bench(&database, times, 50).with(|spec| spec.depth = Depth::Checksum);
    let found = checksum(1).run().await.unwrap();
    assert!(!found.comparison.is_match());
    assert!(found.listed.is_empty(), "{:?}", found.listed);
    assert!(
        found
            .comparison
            .notes
            .iter()
            .any(|note| note.contains("not listed")),
        "{:?}",
        found.comparison.notes
    );
    let plain = checksum(0).run().await.unwrap();
    assert!(plain.comparison.rows.is_none() && !plain.comparison.is_match());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_the_next_look_can_be_cancelled() {
    let database = shared_postgres().create_database("recheck").unwrap();
    database
        .execute("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1); CREATE TABLE b (id int PRIMARY KEY)")
        .unwrap();
    let bench = bench(&database, 3, 3_600_000);
    let cancel = CancellationToken::new();
    let client = database.connect().await.unwrap();
    let interrupt = async {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND query LIKE 'COMMIT%' AND state = 'idle' AND application_name LIKE 'reconcile%'";
        let start = Instant::now();
        loop {
            let count: i64 = client.query_one(waits, &[]).await.unwrap().get(0);
            if count == 2 {
                break;
            }
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "it does not wait"
            );
        }
        cancel.cancel();
        Instant::now()
    };
    let (result, start) = tokio::join!(bench.run_until(&cancel), interrupt);
    assert!(matches!(result, Err(Stop::Cancelled)), "{result:?}");
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

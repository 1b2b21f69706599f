//! Tables that differ much, within small limits: the numbers are right, what is
//! listed is right, and neither memory nor disk is used beyond what was allowed.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::sync::atomic::{AtomicU64, Ordering};

use harness::services::{Database, shared_postgres};
use shared::hash_key::HashKey;
use shared::message::TableSpec;
use shared::options::EngineLimits;
use shared::outcome::{Depth, Difference, DifferenceKind};
use tests::engine::Bench;
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use worker::engine::Stop;

fn database(statements: &str) -> Database {
    let database = shared_postgres().create_database("survey").unwrap();
    database.execute(statements).unwrap();
    database
}

fn bench(database: &Database) -> Bench {
    Bench::new(&database.url(), &database.url()).tables("a", "b")
}

/// So little memory that hardly anything of a table fits.
fn small(spec: &mut TableSpec) {
    spec.options.limits = EngineLimits {
        memory_bytes: 256 << 10,
        spill_bytes: 64 << 20,
        ..EngineLimits::default()
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_which_every_row_differs() {
    let database = database(
        "CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, 40000) AS i; \
         CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO b SELECT i, 'b' || i FROM generate_series(1, 40000) AS i; ANALYZE",
    );
    let found = bench(&database).with(small).run().await.unwrap();
    assert_eq!(found.counts(), (0, 0, 40_000));
    assert!(found.is_truncated());
    assert!(!found.comparison.is_match());
    assert_eq!(found.listed.len(), 10);
    for row in &found.listed {
        let id = row.key["id"].as_i64().unwrap();
        let [column] = &row.columns[..] else {
            panic!("{row:?}")
        };
        assert_eq!(
            (column.source.clone(), column.target.clone()),
            (format!("a{id}").into(), format!("b{id}").into())
        );
    }

    // What is listed does not depend on the way in which it was found.
    let roomy = bench(&database).run().await.unwrap();
    assert_eq!(roomy.listed, found.listed);
    // All of them, in one pass over the table through files.
    let all = bench(&database)
        .with(small)
        .with(|spec| spec.max_differences = 50_000)
        .run()
        .await
        .unwrap();
    assert_eq!((all.listed.len(), all.is_truncated()), (40_000, false));
    let mut ids: Vec<i64> = all
        .keys("id")
        .iter()
        .map(|id| id.as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(1..=40_000), "every row is listed once");
    let right = |row: &&Difference| {
        let id = row.key["id"].as_i64().unwrap();
        row.columns[0].source == format!("a{id}") && row.columns[0].target == format!("b{id}")
    };
    assert_eq!(all.listed.iter().filter(right).count(), 40_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_side_is_empty() {
    let database = database(
        "CREATE TABLE a (id text PRIMARY KEY, v int); INSERT INTO a SELECT 'a rather long number ' || i, i FROM generate_series(1, 30000) AS i; \
         CREATE TABLE b (LIKE a INCLUDING ALL); ANALYZE",
    );
    for (source, target, counts) in [("a", "b", (30_000, 0, 0)), ("b", "a", (0, 30_000, 0))] {
        let found = bench(&database)
            .tables(source, target)
            .with(small)
            .run()
            .await
            .unwrap();
        assert_eq!(found.counts(), counts, "{source} to {target}");
        assert_eq!((found.listed.len(), found.is_truncated()), (10, true));
        // The keys are too long to be carried in the sketch.
        for key in found.keys("id") {
            assert!(
                key.as_str().unwrap().starts_with("a rather long number "),
                "{key}"
            );
        }
        let comparison = found.comparison;
        assert_eq!(comparison.source_count.max(comparison.target_count), 30_000);
    }
    let both = bench(&database).tables("b", "b").run().await.unwrap();
    assert!(both.comparison.is_match());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_ten_times_the_size() {
    let database = database(
        "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT i * 10, i FROM generate_series(1, 4000) AS i; \
         CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO b SELECT i, i / 10 FROM generate_series(1, 40000) AS i; \
         UPDATE b SET v = -1 WHERE id IN (10, 20); DELETE FROM b WHERE id = 30; ANALYZE",
    );
    let found = bench(&database)
        .with(small)
        .with(|spec| spec.max_differences = 37_000)
        .run()
        .await
        .unwrap();
    assert_eq!(found.counts(), (1, 36_000, 2));
    let of =
        |kind| -> Vec<&Difference> { found.listed.iter().filter(|row| row.kind == kind).collect() };
    assert_eq!(of(DifferenceKind::Extra).len(), 36_000);
    assert_eq!(of(DifferenceKind::Missing)[0].key["id"], 30);
    let modified: Vec<_> = of(DifferenceKind::Modified)
        .iter()
        .map(|row| row.key["id"].as_i64().unwrap())
        .collect();
    assert_eq!(modified, [10, 20]);
    assert!(!found.is_truncated());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_whose_every_row_is_there_twice() {
    let database = database(
        "CREATE TABLE a (id int, v text); INSERT INTO a SELECT i, 'v' || i FROM generate_series(1, 20000) AS i; \
         CREATE TABLE b (id int, v text); INSERT INTO b SELECT * FROM a; INSERT INTO b SELECT * FROM a; \
         CREATE TABLE same (id int, v text); INSERT INTO same SELECT 1, 'v' FROM generate_series(1, 30000); \
         CREATE TABLE more (id int, v text); INSERT INTO more SELECT 1, 'v' FROM generate_series(1, 30007); ANALYZE",
    );
    let found = bench(&database).with(small).run().await.unwrap();
    assert_eq!(found.counts(), (0, 20_000, 0));
    assert_eq!(found.listed.len(), 10);
    for row in &found.listed {
        assert_eq!(
            (row.kind, row.key.len(), row.columns.len()),
            (DifferenceKind::Extra, 0, 2)
        );
        let id = row.columns[0].target.as_i64().unwrap();
        assert_eq!(row.columns[1].target, format!("v{id}"));
    }
    // With a key that is none: each row has one that it shares.
    let keyed = bench(&database)
        .with(small)
        .with(|spec| spec.key = Some(vec!["id".to_owned()]))
        .run()
        .await
        .unwrap();
    assert_eq!(keyed.counts(), (0, 20_000, 0));

    // The disk limit is enough to hold all rows once.
    let copies = bench(&database)
        .tables("same", "more")
        .with(small)
        .with(|spec| spec.options.limits.spill_bytes = 60_007 * 32);
    for key in [None, Some(vec!["id".to_owned()])] {
        let found = bench(&database)
            .tables("same", "more")
            .with(|spec| {
                *spec = TableSpec {
                    key: key.clone(),
                    ..copies.spec.clone()
                }
            })
            .run()
            .await
            .unwrap();
        assert_eq!(found.counts(), (0, 7, 0), "{key:?}");
        assert_eq!(found.listed.len(), 7);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_on_disk_than_allowed_is_a_failure_that_names_the_flag() {
    let database = database(
        "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT i, i FROM generate_series(1, 30000) AS i; \
         CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO b SELECT i, -i FROM generate_series(1, 30000) AS i; ANALYZE",
    );
    let limited = |bytes| {
        bench(&database)
            .with(small)
            .with(move |spec| spec.options.limits.spill_bytes = bytes)
    };
    let Err(Stop::Failed(failure)) = limited(500_000).run().await else {
        panic!("30,000 differing rows fit in 500 kB")
    };
    assert_eq!(
        (failure.kind.as_str(), failure.retryable),
        ("SpillLimit", false)
    );
    for part in ["500000 bytes", "--spill-limit"] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
    // Twice 30,000 elements of 32 bytes, and no second copy of any.
    let found = limited(60_000 * 32).run().await.unwrap();
    assert_eq!(found.counts(), (0, 0, 30_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listing_a_thousand_rows_of_a_large_table_takes_no_other_rows_to_disk() {
    let database = database(
        "CREATE TABLE a (id int, v text); INSERT INTO a SELECT i, repeat('v', 100) || i FROM generate_series(1, 100000) AS i; \
         CREATE TABLE b (id int, v text); INSERT INTO b SELECT id, CASE WHEN id % 100 = 0 THEN 'no' ELSE v END FROM a; ANALYZE",
    );
    // 2,000 rows of 160 bytes and their differences; of other rows there are 198,000.
    let found = bench(&database)
        .with(|spec| {
            spec.max_differences = 2_000;
            spec.options.limits.spill_bytes = 600_000;
        })
        .run()
        .await
        .unwrap();
    assert_eq!(
        (found.counts(), found.listed.len()),
        ((1000, 1000, 0), 2000)
    );
    for row in &found.listed {
        let of = |at: usize| match row.kind {
            DifferenceKind::Missing => &row.columns[at].source,
            _ => &row.columns[at].target,
        };
        let (id, v) = (of(0).as_i64().unwrap(), of(1).as_str().unwrap());
        assert_eq!(id % 100, 0);
        match row.kind {
            DifferenceKind::Missing => assert_eq!(v, format!("{}{id}", "v".repeat(100))),
            _ => assert_eq!(v, "no"),
        }
    }
}

/// Cancels a comparison at the moment when it begins to compare exactly.
struct CancelsExact {
    cancel: CancellationToken,
    exact: AtomicU64,
    spans: AtomicU64,
}

impl Subscriber for CancelsExact {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        struct IsExact(bool);
        impl Visit for IsExact {
            fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
            fn record_bool(&mut self, field: &Field, value: bool) {
                self.0 |= field.name() == "exact" && value;
            }
        }
        let id = self.spans.fetch_add(1, Ordering::SeqCst) + 1;
        let mut is_exact = IsExact(false);
        span.record(&mut is_exact);
        if is_exact.0 {
            self.exact.store(id, Ordering::SeqCst);
        }
        Id::from_u64(id)
    }

    fn enter(&self, span: &Id) {
        if span.into_u64() == self.exact.load(Ordering::SeqCst) {
            self.cancel.cancel();
        }
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn exit(&self, _: &Id) {}
}

/// On one thread, so that all recorded spans belong to this test.
#[tokio::test]
async fn an_exact_comparison_that_is_cancelled_ends_and_leaves_nothing_open() {
    let database = database(
        "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT i, i FROM generate_series(1, 40000) AS i; \
         CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO b SELECT i, -i FROM generate_series(1, 40000) AS i; ANALYZE",
    );
    // Nothing is listed, so that no statement follows that could be cancelled.
    let bench = bench(&database)
        .with(small)
        .with(|spec| spec.max_differences = 0);
    let cancel = CancellationToken::new();
    let cancels = || CancelsExact {
        cancel: cancel.clone(),
        exact: AtomicU64::new(0),
        spans: AtomicU64::new(0),
    };
    // While a process has only one subscriber, `tracing` asks the current thread's
    // subscriber whether a span is wanted. If a thread of another test is the first to reach
    // the span, that is none, and the span stays off for this thread too.
    let _second = tracing::Dispatch::new(cancels());
    let ended = {
        let _watched = tracing::subscriber::set_default(cancels());
        bench.run_until(&cancel).await
    };
    assert!(cancel.is_cancelled(), "it was not compared exactly");
    assert!(matches!(ended, Err(Stop::Cancelled)), "{ended:?}");
    let client = database.connect().await.unwrap();
    let start = std::time::Instant::now();
    loop {
        let sessions: Vec<String> = client
            .query(
                "SELECT state || ': ' || query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'reconcile %'",
                &[],
            )
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        if sessions.is_empty() {
            break;
        }
        assert!(
            start.elapsed() < std::time::Duration::from_secs(30),
            "sessions go on: {sessions:?}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_texts_are_listed_a_few_at_a_time_and_cut() {
    let database = database(
        "CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, repeat('é', 300000) || i || repeat('x', 1000) FROM generate_series(1, 60) AS i; \
         CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO b SELECT i, repeat('é', 300000) || 'no ' || i FROM generate_series(1, 60) AS i",
    );
    let found = bench(&database)
        .with(small)
        .with(|spec| spec.max_differences = 100)
        .run()
        .await
        .unwrap();
    assert_eq!((found.counts(), found.listed.len()), ((0, 0, 60), 60));
    for (row, id) in found.listed.iter().zip(1..) {
        assert_eq!(row.key["id"], id);
        let (source, target) = (
            row.columns[0].source.as_str().unwrap(),
            row.columns[0].target.as_str().unwrap(),
        );
        assert!(
            source.len() < 1000 && target.len() < 1000,
            "{}",
            source.len()
        );
        assert!(source.contains(&format!("é{id}xxx")), "{source}");
        assert!(
            target.contains(&format!("éno {id} (characters 299971 to ")),
            "{target}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_an_index_is_not_looked_up_row_by_row() {
    let database = database(
        "CREATE TABLE a (id int NOT NULL, v int); INSERT INTO a SELECT i, i FROM generate_series(1, 20000) AS i; \
         CREATE TABLE b (id int NOT NULL, v int); INSERT INTO b SELECT i, CASE WHEN i % 20 = 0 THEN -i ELSE i END FROM generate_series(1, 20000) AS i; ANALYZE",
    );
    let found = bench(&database)
        .with(|spec| {
            spec.key = Some(vec!["id".to_owned()]);
            spec.max_differences = 2000;
        })
        .run()
        .await
        .unwrap();
    assert_eq!((found.counts(), found.listed.len()), ((0, 0, 1000), 1000));
    for row in &found.listed {
        let id = row.key["id"].as_i64().unwrap();
        assert_eq!(
            (
                row.columns[0].source.as_i64(),
                row.columns[0].target.as_i64()
            ),
            (Some(id), Some(-id))
        );
    }
    // A scan for the sketch and one for the rows, of each side.
    let scans: i64 = {
        let client = database.connect().await.unwrap();
        let mut scans = 0;
        let start = std::time::Instant::now();
        // The server counts when the session is idle, and a moment later.
        while scans < 4 && start.elapsed() < std::time::Duration::from_secs(10) {
            scans = client
                .query_one("SELECT sum(seq_scan)::bigint FROM pg_stat_user_tables WHERE relname IN ('a', 'b')", &[])
                .await
                .unwrap()
                .get(0);
        }
        scans
    };
    assert_eq!(scans, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_and_when_the_sides_were_read_is_told() {
    let database =
        database("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)");
    for depth in [Depth::Counts, Depth::Checksum, Depth::Rows] {
        let before = chrono::Utc::now() - chrono::TimeDelta::milliseconds(1);
        let found = bench(&database)
            .with(|spec| spec.depth = depth)
            .run()
            .await
            .unwrap();
        let reads = found.comparison.reads.unwrap();
        for side in [&reads.source, &reads.target] {
            assert_eq!(side.isolation, "REPEATABLE READ", "{depth:?}");
            let moment = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap();
            let (start, end) = (moment(&side.started_at), moment(&side.finished_at));
            assert!(
                before <= start && start <= end && end <= chrono::Utc::now(),
                "{side:?}"
            );
            assert!(
                side.started_at.ends_with('Z') && side.started_at.len() == 24,
                "{side:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checksums_depend_on_the_key_of_the_run() {
    let database = database(
        "CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'v' || i FROM generate_series(1, 100) AS i; \
         CREATE TABLE b AS SELECT * FROM a",
    );
    let (one, other) = (HashKey::generate(), HashKey::generate());
    let mut found = Vec::new();
    for key in [Some(&one), Some(&one), Some(&other), None, None] {
        let bench = bench(&database).with(|spec| spec.options.hash_key = key.cloned());
        let sums = bench.run().await.unwrap().comparison.checksums.unwrap();
        assert_eq!(sums.source, sums.target);
        found.push(sums);
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0].checksum_key, Some(one.fingerprint()));
    assert_eq!(found[2].checksum_key, Some(other.fingerprint()));
    for (at, sums) in found.iter().enumerate().skip(1) {
        for later in &found[at + 1..] {
            assert_ne!(sums.source, later.source);
            assert_ne!(sums.checksum_key, later.checksum_key);
        }
    }
}

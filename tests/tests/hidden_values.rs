//! What the endpoint's user may not see of a table of SQL Server: masked columns and rows that a
//! policy hides fail the table or are noted. Memory-optimized tables are read.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use harness::services::standin::{Standin, StandinTls};
use harness::services::{Database, shared_postgres};
use shared::outcome::{Comparison, Depth, Failure};
use tests::engine::Bench;
use worker::engine::Stop;

/// A database, and the URL of the stand-in over it.
struct Scene {
    database: Database,
    standin: Standin,
}

impl Scene {
    /// `a` and its copy `b`.
    fn new(statements: &str) -> Self {
        let database = shared_postgres().create_database("hidden").unwrap();
        let standin = Standin::start(&database.url(), "hidden", StandinTls::Off).unwrap();
        let tables = "SET search_path TO dbo; \
            CREATE TABLE a (id int PRIMARY KEY, v varchar(20)); INSERT INTO a VALUES (1, 'x'), (2, 'y'); \
            CREATE TABLE b (id int PRIMARY KEY, v varchar(20)); INSERT INTO b SELECT * FROM a; ";
        database.execute(&format!("{tables}{statements}")).unwrap();
        Self { database, standin }
    }

    fn bench(&self, source: &str) -> Bench {
        Bench::new(&self.standin.url(), &self.database.url()).tables(source, "dbo.b")
    }
}

async fn failure(bench: Bench) -> Failure {
    match bench.run().await {
        Err(Stop::Failed(failure)) => failure,
        other => panic!("no failure but {other:?}"),
    }
}

async fn compared(bench: Bench) -> Comparison {
    bench.run().await.unwrap().comparison
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_masked_column_is_not_compared_without_the_permission_to_unmask() {
    let scene = Scene::new(
        "COMMENT ON COLUMN a.v IS 'varchar(20) MASKED'; CREATE VIEW w AS SELECT * FROM a; \
         COMMENT ON SCHEMA dbo IS 'no UNMASK'",
    );
    for depth in [Depth::Checksum, Depth::Rows] {
        let failure = failure(scene.bench("dbo.a").with(|spec| spec.depth = depth)).await;
        assert_eq!(
            (failure.kind.as_str(), failure.retryable),
            ("PermissionDenied", false),
            "{failure}"
        );
        for word in ["`v`", "source", "UNMASK", "columns.exclude"] {
            assert!(failure.message.contains(word), "{word}: {failure}");
        }
    }
    let without = compared(
        scene
            .bench("dbo.a")
            .with(|spec| spec.columns.exclude = vec!["v".to_owned()]),
    )
    .await;
    assert!(without.is_match(), "{without:?}");
    // No value is read to count.
    let counted = compared(scene.bench("dbo.a").with(|spec| spec.depth = Depth::Counts)).await;
    assert!(counted.is_match(), "{counted:?}");
    // The catalog does not say what a view reads.
    let view = compared(scene.bench("dbo.w")).await;
    assert!(
        view.notes
            .iter()
            .any(|note| note.contains("dbo.w") && note.contains("UNMASK")),
        "{:?}",
        view.notes
    );
    // With the permission, values are read.
    scene
        .database
        .execute("COMMENT ON SCHEMA dbo IS NULL")
        .unwrap();
    for table in ["dbo.a", "dbo.w"] {
        let found = compared(scene.bench(table)).await;
        assert!(
            found.is_match() && found.notes.iter().all(|note| !note.contains("mask")),
            "{found:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_with_a_masked_column_is_not_repaired() {
    let scene = Scene::new(
        "ALTER TABLE a ADD m varchar(20); COMMENT ON COLUMN a.m IS 'varchar(20) MASKED'; \
         DELETE FROM a WHERE id = 1; COMMENT ON SCHEMA dbo IS 'no UNMASK'",
    );
    let bench = Bench::new(&scene.database.url(), &scene.standin.url())
        .tables("dbo.b", "dbo.a")
        .with(|spec| spec.options.repair = true);
    let plan = compared(bench).await.repair.unwrap();
    assert_eq!(plan.statements, 0);
    assert!(
        plan.notes.iter().any(|note| note.contains("UNMASK")),
        "{:?}",
        plan.notes
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_whose_rows_a_policy_filters_fails() {
    let scene = Scene::new(
        "CREATE POLICY tenants ON a USING (id = 1); ALTER TABLE a ENABLE ROW LEVEL SECURITY; \
         CREATE VIEW w AS SELECT * FROM a",
    );
    for depth in [Depth::Counts, Depth::Checksum, Depth::Rows] {
        let failure = failure(scene.bench("dbo.a").with(|spec| spec.depth = depth)).await;
        assert_eq!(
            (failure.kind.as_str(), failure.retryable),
            ("PermissionDenied", false),
            "{failure}"
        );
        assert!(failure.message.contains("tenants"), "{failure}");
    }
    let view = compared(scene.bench("dbo.w")).await;
    assert!(
        view.notes.iter().any(|note| note.contains("tenants")),
        "{:?}",
        view.notes
    );
    scene
        .database
        .execute("ALTER TABLE dbo.a DISABLE ROW LEVEL SECURITY")
        .unwrap();
    let found = compared(scene.bench("dbo.a")).await;
    assert!(found.is_match() && found.notes.is_empty(), "{found:?}");
    // Without the permission, the catalog shows no policy.
    scene
        .database
        .execute("COMMENT ON SCHEMA dbo IS 'no VIEW DEFINITION, no ALTER ANY SECURITY POLICY'")
        .unwrap();
    let found = compared(scene.bench("dbo.a")).await;
    assert!(found.is_match(), "{found:?}");
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("VIEW DEFINITION")),
        "{:?}",
        found.notes
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_optimized_table_is_read_and_the_next_table_in_a_snapshot_again() {
    let scene = Scene::new(
        "COMMENT ON TABLE a IS 'memory_optimized'; CREATE TABLE c (LIKE b); INSERT INTO c SELECT * FROM b",
    );
    let mut bench = scene.bench("dbo.a");
    for read_uncommitted in [false, true] {
        for depth in Depth::ALL {
            bench.spec.options.read_uncommitted = read_uncommitted;
            bench.spec.depth = depth;
            let found = bench.run().await.unwrap().comparison;
            assert!(found.is_match(), "{found:?}");
        }
    }
    scene
        .database
        .execute("UPDATE dbo.b SET v = 'z' WHERE id = 2")
        .unwrap();
    bench.spec.options.read_uncommitted = false;
    assert_eq!(bench.run().await.unwrap().counts(), (0, 0, 1));
    // The same sessions.
    bench.spec.source.table = "dbo.c".parse().unwrap();
    let found = bench.run().await.unwrap();
    assert_eq!(found.counts(), (0, 0, 1));
    assert_eq!(found.comparison.reads.unwrap().source.isolation, "SNAPSHOT");
}

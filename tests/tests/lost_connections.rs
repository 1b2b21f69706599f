//! Connections that are lost without a sign, as by a firewall that forgets them: what that costs,
//! and what is said about the statements that ran in them.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::services::standin::{Standin, StandinTls};
use harness::services::{Database, shared_postgres};
use shared::endpoint::Endpoint;
use shared::outcome::OpenSession;
use tests::engine::Bench;
use tests::proxy::Proxy;
use tokio_util::sync::CancellationToken;
use worker::engine::{RunningStatements, Stop};

/// A view whose statement runs for a minute.
const SLOW: &str =
    "CREATE VIEW slow AS SELECT i AS id, pg_sleep(60)::text AS v FROM generate_series(1, 3) AS i;";

/// How long the test waits for what must come.
const BOUND: Duration = Duration::from_secs(20);

/// A database, the stand-in over it, and a proxy in front of each.
struct Scene {
    database: Database,
    _standin: Standin,
    /// The name of the kind, the proxy, and the URL through it.
    sides: [(&'static str, Proxy, String); 2],
}

impl Scene {
    fn new(statements: &str) -> Self {
        let database = shared_postgres().create_database("lost").unwrap();
        let statements =
            format!("CREATE SCHEMA IF NOT EXISTS dbo; SET search_path TO dbo; {statements}");
        database.execute(&statements).unwrap();
        let standin = Standin::start(&database.url(), "lost", StandinTls::Off).unwrap();
        let proxied = |name, url: String| {
            let port = Endpoint::from_url("x", &url).unwrap().port;
            let proxy = Proxy::to(port).unwrap();
            let through = proxy.through(&url);
            let with = if through.contains('?') { '&' } else { '?' };
            (name, proxy, format!("{through}{with}connect_timeout=2"))
        };
        let sides = [
            proxied("PostgreSQL", database.url()),
            proxied("SQL Server", standin.url()),
        ];
        Self {
            database,
            _standin: standin,
            sides,
        }
    }

    /// Waits until statements that sleep run in so many sessions; returns their process ids.
    async fn sleeping(&self, count: usize) -> Vec<i32> {
        let client = self.database.connect().await.unwrap();
        let look = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
            AND state = 'active' AND wait_event = 'PgSleep' ORDER BY pid";
        let start = Instant::now();
        loop {
            let rows = client.query(look, &[]).await.unwrap();
            let pids: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
            if pids.len() == count {
                return pids;
            }
            assert!(start.elapsed() < BOUND, "{count} awaited, not {pids:?}");
            tokio::task::yield_now().await;
        }
    }
}

/// A comparison of `dbo.slow` with itself that is cancelled after `meanwhile` was done while both
/// of its statements ran; returns the sessions that are not confirmed to have ended, the process
/// ids of both, and the time from the cancellation.
async fn cancelled(
    scene: &Scene,
    url: &str,
    meanwhile: impl FnOnce(),
) -> (Vec<OpenSession>, Vec<i32>, Duration) {
    let bench = Bench::new(url, url).tables("dbo.slow", "dbo.slow");
    let (cancel, running) = (
        CancellationToken::new(),
        Arc::new(RunningStatements::default()),
    );
    let cancelling = async {
        let pids = scene.sleeping(2).await;
        meanwhile();
        cancel.cancel();
        (pids, Instant::now())
    };
    let (result, (pids, since)) = tokio::join!(bench.run_listed(&cancel, &running), cancelling);
    assert!(matches!(result, Err(Stop::Cancelled)), "{result:?}");
    (running.unconfirmed(), pids, since.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_forgotten_between_two_tables_costs_a_new_one() {
    let scene = Scene::new("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1), (2)");
    for (name, proxy, url) in &scene.sides {
        let bench = Bench::new(url, url).tables("dbo.a", "dbo.a");
        assert!(bench.run().await.unwrap().comparison.is_match(), "{name}");
        proxy.forget();
        let start = Instant::now();
        assert!(bench.run().await.unwrap().comparison.is_match(), "{name}");
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(5), "{name}: {elapsed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_forgotten_before_a_recheck_costs_a_new_one() {
    let scene = Scene::new(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); INSERT INTO a VALUES (1)",
    );
    let client = scene.database.connect().await.unwrap();
    for (name, proxy, url) in &scene.sides {
        let bench = Bench::new(url, url).tables("dbo.a", "dbo.b").with(|spec| {
            spec.options.recheck.times = 1;
            spec.options.recheck.delay_ms = 1500;
        });
        let forget = async {
            let paused = "SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = current_database() \
                AND application_name LIKE 'reconcile%' AND state = 'idle' AND query LIKE 'COMMIT%'";
            let start = Instant::now();
            while !client
                .query_one(paused, &[])
                .await
                .unwrap()
                .get::<_, bool>(0)
            {
                assert!(
                    start.elapsed() < BOUND,
                    "{name}: no pause before the recheck"
                );
                tokio::task::yield_now().await;
            }
            proxy.forget();
            Instant::now()
        };
        let (found, since) = tokio::join!(bench.run(), forget);
        assert_eq!(found.unwrap().counts(), (1, 0, 0), "{name}");
        let elapsed = since.elapsed();
        assert!(elapsed < Duration::from_secs(7), "{name}: {elapsed:?}");
        // The sessions of this side are not idle for the other one.
        client
            .query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()", &[])
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_was_stopped_is_confirmed_to_have_ended() {
    let scene = Scene::new(SLOW);
    for (name, _, url) in &scene.sides {
        let (unconfirmed, _, elapsed) = cancelled(&scene, url, || {}).await;
        assert_eq!(unconfirmed, [], "{name}");
        assert!(elapsed < Duration::from_secs(2), "{name}: {elapsed:?}");
        scene.sleeping(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_statement_behind_a_stalled_connection_is_not_confirmed() {
    let scene = Scene::new(SLOW);
    for (name, proxy, url) in &scene.sides {
        let (mut unconfirmed, pids, elapsed) = cancelled(&scene, url, || proxy.stall()).await;
        unconfirmed.sort_by_key(|session| session.number);
        let mut expected: Vec<i64> = pids
            .iter()
            .map(|pid| {
                i64::from(if *name == "SQL Server" {
                    pid % 32_767
                } else {
                    *pid
                })
            })
            .collect();
        expected.sort_unstable();
        let numbers: Vec<i64> = unconfirmed.iter().map(|session| session.number).collect();
        assert_eq!(numbers, expected, "{name}: {unconfirmed:?}");
        for session in &unconfirmed {
            assert!(session.name.starts_with("reconcile "), "{name}: {session}");
        }
        assert_ne!(unconfirmed[0].name, unconfirmed[1].name, "{name}");
        assert!(elapsed < Duration::from_secs(8), "{name}: {elapsed:?}");
        proxy.cut();
        proxy.resume();
        let client = scene.database.connect().await.unwrap();
        client
            .query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()", &[])
            .await
            .unwrap();
        scene.sleeping(0).await;
    }
}

/// The cancel request and the question whether the statement ended take connections of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_behind_a_forgotten_connection_is_ended_over_another_one() {
    let scene = Scene::new(SLOW);
    let (_, proxy, url) = &scene.sides[0];
    let (unconfirmed, _, elapsed) = cancelled(&scene, url, || proxy.forget()).await;
    assert_eq!(unconfirmed, []);
    scene.sleeping(0).await;
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");

    // An attention travels on the session's own connection.
    let (_, proxy, url) = &scene.sides[1];
    let (unconfirmed, ..) = cancelled(&scene, url, || proxy.forget()).await;
    assert_eq!(unconfirmed.len(), 2, "{unconfirmed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_stalls_while_it_is_made_is_given_up() {
    let scene = Scene::new("CREATE TABLE a (id int PRIMARY KEY)");
    for (name, proxy, url) in &scene.sides {
        for bytes in [0, 1, 400] {
            proxy.stall_after(bytes);
            let running = Arc::new(RunningStatements::default());
            let bench = Bench::new(url, url).tables("dbo.a", "dbo.a");
            let start = Instant::now();
            let result = bench.run_listed(&CancellationToken::new(), &running).await;
            let Err(Stop::Failed(failure)) = result else {
                panic!("{name}, {bytes} bytes: {result:?}");
            };
            assert_eq!(
                (failure.kind.as_str(), failure.retryable),
                ("ConnectionError", true),
                "{name}, {bytes} bytes: {failure}"
            );
            assert_eq!(running.unconfirmed(), [], "{name}");
            let elapsed = start.elapsed();
            assert!(elapsed < Duration::from_secs(5), "{name}: {elapsed:?}");
            proxy.cut();
            proxy.resume();
        }
    }
}

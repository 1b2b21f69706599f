//! Many connections, the smallest and the largest packets, and a client that does not read.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use harness::services::{Standin, StandinTls, shared_postgres};
use standin::TlsMode;

use crate::fixture::{self, DATABASE, Fixture, connect, number, rows, run};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_connections_at_once() {
    let fixture = Fixture::start(TlsMode::On).await;
    let mut first = fixture.connect().await;
    run(&mut first, "CREATE TABLE t (id int)").await;
    let work = (0..50).map(|id| {
        let fixture = &fixture;
        async move {
            let mut client = fixture.connect().await;
            for _ in 0..5 {
                run(&mut client, &format!("INSERT INTO t VALUES ({id})")).await;
            }
            number(
                &mut client,
                &format!("SELECT COUNT(*) FROM t WHERE id = {id}"),
            )
            .await
        }
    });
    assert_eq!(join_all(work).await, [5; 50]);
    assert_eq!(number(&mut first, "SELECT COUNT(*) FROM t").await, 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_of_every_size() {
    let fixture = Fixture::start(TlsMode::Off).await;
    for size in [512, 4096, 32_767] {
        let mut config = fixture.config();
        config.packet_size(size);
        let mut client = connect(config).await.unwrap();
        // The request too is longer than any packet.
        let long = "ä€z".repeat(30_000);
        let query = format!("SELECT N'{long}' AS a, 1 AS b UNION ALL SELECT N'', 2");
        let found = rows(&mut client, &query).await.unwrap();
        assert_eq!(found.len(), 2, "{size}");
        assert!(found[0].get::<&str, _>(0) == Some(long.as_str()), "{size}");
        assert_eq!(found[1].get::<&str, _>(0), Some(""), "{size}");
        assert_eq!(found[1].get::<i32, _>(1), Some(2), "{size}");
    }
}

/// The resident memory of a process in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_costs_no_memory() {
    const GROWTH: u64 = 50 << 10;
    let database = shared_postgres()
        .create_database("standin_clients")
        .unwrap();
    let postgres = database.connect().await.unwrap();
    // A separate process, because its memory is measured.
    let server = Standin::start(&database.url(), DATABASE, StandinTls::Off).unwrap();
    let password = std::fs::read_to_string(server.password_file()).unwrap();
    let mut client = connect(fixture::config(server.port(), &password))
        .await
        .unwrap();
    run(
        &mut client,
        "CREATE TABLE wide (id int, filler nvarchar(500))",
    )
    .await;
    postgres
        .execute(
            "INSERT INTO dbo.wide SELECT g, repeat('x', 500) FROM generate_series(1, 1000) g",
            &[],
        )
        .await
        .unwrap();
    let before = resident(server.pid());

    // A million rows of a kilobyte.
    let mut stream = client
        .simple_query("SELECT a.id, b.filler FROM wide AS a CROSS JOIN wide AS b")
        .await
        .unwrap()
        .into_row_stream();
    assert!(stream.next().await.unwrap().is_ok());
    // PostgreSQL waits for the stand-in, which waits for the client.
    let end = Instant::now() + Duration::from_secs(20);
    let mut waits = 0;
    while waits < 20 {
        let states = postgres
            .query(
                "SELECT coalesce(wait_event, 'none') FROM pg_stat_activity
                 WHERE datname = current_database() AND query LIKE 'COPY%' AND state = 'active'",
                &[],
            )
            .await
            .unwrap();
        let states: Vec<String> = states.iter().map(|row| row.get(0)).collect();
        waits = if states == ["ClientWrite"] {
            waits + 1
        } else {
            0
        };
        assert!(
            Instant::now() < end,
            "PostgreSQL does not wait for the stand-in: {states:?}"
        );
    }
    let after = resident(server.pid());
    assert!(
        after < before + GROWTH,
        "memory grew from {before} to {after} KiB while a gigabyte was unread"
    );

    // The stream continues, and the memory still does not grow.
    for _ in 0..20_000 {
        assert!(stream.next().await.unwrap().is_ok());
    }
    let after = resident(server.pid());
    assert!(
        after < before + GROWTH,
        "memory grew from {before} to {after} KiB"
    );
}

//! ATTENTION and lost connections cancel the statement in PostgreSQL.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use standin::TlsMode;

use crate::external;
use crate::fixture::{Fixture, Tiberius, number, run};

/// The time limit for a cancellation.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The time limit for a state that a test waits for.
const BOUND: Duration = Duration::from_secs(10);

/// Starts a statement that takes minutes, and returns when it runs in PostgreSQL.
async fn begin_waiting(fixture: &Fixture, client: &mut Tiberius) {
    let statement = async {
        let outcome = client.simple_query("WAITFOR DELAY '00:05:00'").await;
        panic!("the statement ended: {:?}", outcome.err());
    };
    let started = async {
        let end = Instant::now() + BOUND;
        loop {
            let active = fixture.active_in_postgres().await;
            if active.iter().any(|query| query.contains("pg_sleep")) {
                return;
            }
            assert!(
                Instant::now() < end,
                "the statement does not run: {active:?}"
            );
        }
    };
    tokio::select! {
        () = statement => {}
        () = started => {}
    }
}

/// Creates the table for a scan of two million rows of a kilobyte.
async fn prepare_long_scan(fixture: &Fixture, client: &mut Tiberius) {
    run(client, "CREATE TABLE wide (id int, filler nvarchar(500))").await;
    let postgres = fixture.database.connect().await.unwrap();
    postgres
        .execute(
            "INSERT INTO dbo.wide SELECT g, repeat('x', 500) FROM generate_series(1, 1500) g",
            &[],
        )
        .await
        .unwrap();
}

/// Starts the long scan and reads its first rows.
async fn read_first_rows(client: &mut Tiberius) {
    let mut stream = client
        .simple_query("SELECT a.id, b.filler FROM wide AS a CROSS JOIN wide AS b")
        .await
        .unwrap()
        .into_row_stream();
    for _ in 0..100 {
        let row = stream.next().await.unwrap().unwrap();
        assert_eq!(row.get::<&str, _>(1).map(str::len), Some(500));
    }
}

/// Sends an attention. SQL Server ends the interrupted response and acknowledges the attention in
/// a message of its own. tiberius 0.13 does not read that message: it returns an error at the end of
/// the response, and the connection cannot be used any more.
async fn cancel_at_once(client: &mut Tiberius) {
    let begin = Instant::now();
    let outcome = client.cancel_query().await;
    let took = begin.elapsed();
    let ended = matches!(&outcome, Err(tiberius::error::Error::Protocol(what))
        if what.contains("acknowledging the Attention"));
    assert!(ended || outcome.is_ok(), "{outcome:?}");
    assert!(took < AT_ONCE, "the attention was answered after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_waits_is_stopped() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    begin_waiting(&fixture, &mut client).await;
    cancel_at_once(&mut client).await;
    fixture.wait_until_idle(AT_ONCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_is_stopped_in_the_middle() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    prepare_long_scan(&fixture, &mut client).await;
    read_first_rows(&mut client).await;
    cancel_at_once(&mut client).await;
    fixture.wait_until_idle(AT_ONCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_goes_on_after_an_attention() {
    let fixture = Fixture::start(TlsMode::Off).await;
    prepare_long_scan(&fixture, &mut fixture.connect().await).await;
    let scan = "SELECT a.id, b.filler FROM wide AS a CROSS JOIN wide AS b";
    // The attention arrives at a different position of the stream each time.
    let mut requests = Vec::new();
    for after in [0, 1, 10, 100, 1000] {
        requests.push(json!({"cancel": scan, "after": after}));
        requests.push(json!("SELECT COUNT(*) FROM wide"));
    }
    let answers = external::pytds(fixture.port(), json!({}), requests).await;
    assert_eq!(answers.len(), 11, "{answers:?}");
    for pair in answers[1..].chunks(2) {
        let seconds = pair[0]["seconds"].as_f64();
        assert!(
            seconds.is_some_and(|seconds| seconds < AT_ONCE.as_secs_f64()),
            "{pair:?}"
        );
        assert_eq!(pair[1], json!({"rows": [["1500"]]}));
    }
    fixture.wait_until_idle(AT_ONCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attention_that_comes_too_late_stops_nothing_else() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    for _ in 0..20 {
        assert_eq!(number(&mut client, "SELECT 1").await, 1);
        cancel_at_once(&mut client).await;
    }
    assert_eq!(number(&mut client, "SELECT 42").await, 42);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attention_ends_the_transaction() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    run(&mut client, "CREATE TABLE t (id int)").await;
    run(&mut client, "BEGIN TRAN INSERT INTO t VALUES (1)").await;
    begin_waiting(&fixture, &mut client).await;
    cancel_at_once(&mut client).await;
    fixture.wait_until_idle(AT_ONCE).await;
    // The locks have been released too.
    let mut other = fixture.connect().await;
    run(&mut other, "SET LOCK_TIMEOUT 1000 DELETE FROM t").await;
    assert_eq!(number(&mut other, "SELECT @@ROWCOUNT").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_takes_its_statement_along() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut waiting = fixture.connect().await;
    begin_waiting(&fixture, &mut waiting).await;
    drop(waiting);
    fixture.wait_until_idle(BOUND).await;

    let mut reading = fixture.connect().await;
    prepare_long_scan(&fixture, &mut reading).await;
    read_first_rows(&mut reading).await;
    drop(reading);
    fixture.wait_until_idle(BOUND).await;

    let mut holding = fixture.connect().await;
    run(&mut holding, "BEGIN TRAN DELETE FROM wide").await;
    drop(holding);
    fixture.wait_until_idle(BOUND).await;
    let mut after = fixture.connect().await;
    assert_eq!(number(&mut after, "SELECT COUNT(*) FROM wide").await, 1500);
}

//! ATTENTION and lost connections stop what runs underneath.

use std::time::{Duration, Instant};

use futures::StreamExt;
use standin::TlsMode;

use crate::fixture::{Fixture, Tiberius, number, run};

/// What a user would call at once.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a test waits for a state before it fails.
const BOUND: Duration = Duration::from_secs(10);

/// Starts a statement that does not end, and returns when it runs underneath.
async fn begin_endless(fixture: &Fixture, client: &mut Tiberius) {
    let statement = async {
        let outcome = client.simple_query("WAITFOR DELAY '00:05:00'").await;
        panic!("it ended: {:?}", outcome.err());
    };
    let started = async {
        let end = Instant::now() + BOUND;
        loop {
            let active = fixture.active_underneath().await;
            if active.iter().any(|query| query.contains("pg_sleep")) {
                return;
            }
            assert!(Instant::now() < end, "it does not run: {active:?}");
        }
    };
    tokio::select! {
        () = statement => {}
        () = started => {}
    }
}

/// Makes a query of two million rows of a kilobyte, which nobody can read at once.
async fn prepare_long_scan(fixture: &Fixture, client: &mut Tiberius) {
    run(client, "CREATE TABLE wide (id int, filler nvarchar(500))").await;
    let underneath = fixture.database.connect().await.unwrap();
    underneath
        .execute(
            "INSERT INTO dbo.wide SELECT g, repeat('x', 500) FROM generate_series(1, 1500) g",
            &[],
        )
        .await
        .unwrap();
}

/// Starts the long scan and reads its first rows.
async fn read_a_little(client: &mut Tiberius) {
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

async fn cancel_at_once(client: &mut Tiberius) {
    let begin = Instant::now();
    client.cancel_query().await.unwrap();
    let took = begin.elapsed();
    assert!(took < AT_ONCE, "the attention was answered after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_waits_is_stopped() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    begin_endless(&fixture, &mut client).await;
    cancel_at_once(&mut client).await;
    fixture.wait_until_idle(AT_ONCE).await;
    assert_eq!(number(&mut client, "SELECT 42").await, 42);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_is_stopped_in_the_middle() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    prepare_long_scan(&fixture, &mut client).await;
    // Again and again: the attention meets the stream at another place each time.
    for _ in 0..5 {
        read_a_little(&mut client).await;
        cancel_at_once(&mut client).await;
        fixture.wait_until_idle(AT_ONCE).await;
        assert_eq!(number(&mut client, "SELECT COUNT(*) FROM wide").await, 1500);
    }
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
    begin_endless(&fixture, &mut client).await;
    cancel_at_once(&mut client).await;
    assert_eq!(number(&mut client, "SELECT @@TRANCOUNT").await, 0);
    assert_eq!(number(&mut client, "SELECT COUNT(*) FROM t").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_takes_its_statement_along() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut waiting = fixture.connect().await;
    begin_endless(&fixture, &mut waiting).await;
    drop(waiting);
    fixture.wait_until_idle(BOUND).await;

    let mut reading = fixture.connect().await;
    prepare_long_scan(&fixture, &mut reading).await;
    read_a_little(&mut reading).await;
    drop(reading);
    fixture.wait_until_idle(BOUND).await;

    let mut holding = fixture.connect().await;
    run(&mut holding, "BEGIN TRAN DELETE FROM wide").await;
    drop(holding);
    fixture.wait_until_idle(BOUND).await;
    let mut after = fixture.connect().await;
    assert_eq!(number(&mut after, "SELECT COUNT(*) FROM wide").await, 1500);
}

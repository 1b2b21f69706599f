//! Transactions, as statements and as requests of the protocol.

use standin::TlsMode;
use tiberius::IsolationLevel;

use crate::fixture::{Fixture, error_of, number, run};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_stays_and_the_rest_goes() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let (mut one, mut two) = (fixture.connect().await, fixture.connect().await);
    run(&mut one, "CREATE TABLE t (id int)").await;

    run(&mut one, "BEGIN TRANSACTION INSERT INTO t VALUES (1)").await;
    assert_eq!(number(&mut one, "SELECT @@TRANCOUNT").await, 1);
    assert_eq!(number(&mut one, "SELECT COUNT(*) FROM t").await, 1);
    assert_eq!(number(&mut two, "SELECT COUNT(*) FROM t").await, 0);
    run(&mut one, "ROLLBACK TRANSACTION").await;
    assert_eq!(number(&mut one, "SELECT COUNT(*) FROM t").await, 0);

    // The outermost COMMIT is the one that counts.
    run(
        &mut one,
        "BEGIN TRAN BEGIN TRAN INSERT INTO t VALUES (2) COMMIT",
    )
    .await;
    assert_eq!(number(&mut two, "SELECT COUNT(*) FROM t").await, 0);
    run(&mut one, "COMMIT TRAN").await;
    assert_eq!(number(&mut one, "SELECT @@TRANCOUNT").await, 0);
    assert_eq!(number(&mut two, "SELECT COUNT(*) FROM t").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_the_protocol_do_the_same() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let (mut one, mut two) = (fixture.connect().await, fixture.connect().await);
    run(&mut one, "CREATE TABLE t (id int)").await;
    one.begin_transaction().await.unwrap();
    run(&mut one, "INSERT INTO t VALUES (1)").await;
    one.rollback_transaction().await.unwrap();
    assert_eq!(number(&mut two, "SELECT COUNT(*) FROM t").await, 0);
    one.begin_transaction_with_isolation(IsolationLevel::Serializable)
        .await
        .unwrap();
    run(&mut one, "INSERT INTO t VALUES (1)").await;
    assert_eq!(number(&mut two, "SELECT COUNT(*) FROM t").await, 0);
    one.commit_transaction().await.unwrap();
    assert_eq!(number(&mut two, "SELECT COUNT(*) FROM t").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_sees_nothing_that_comes_later() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let (mut reader, mut writer) = (fixture.connect().await, fixture.connect().await);
    run(
        &mut writer,
        "CREATE TABLE t (id int) INSERT INTO t VALUES (1)",
    )
    .await;
    run(
        &mut reader,
        "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN",
    )
    .await;
    assert_eq!(number(&mut reader, "SELECT COUNT(*) FROM t").await, 1);
    run(&mut writer, "INSERT INTO t VALUES (2)").await;
    assert_eq!(number(&mut reader, "SELECT COUNT(*) FROM t").await, 1);
    run(&mut reader, "COMMIT").await;
    assert_eq!(number(&mut reader, "SELECT COUNT(*) FROM t").await, 2);

    // Read committed does see it.
    run(
        &mut reader,
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN TRAN",
    )
    .await;
    assert_eq!(number(&mut reader, "SELECT COUNT(*) FROM t").await, 2);
    run(&mut writer, "INSERT INTO t VALUES (3)").await;
    assert_eq!(number(&mut reader, "SELECT COUNT(*) FROM t").await, 3);
    run(&mut reader, "ROLLBACK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_rolls_the_transaction_back() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    run(&mut client, "CREATE TABLE t (id int)").await;
    run(&mut client, "BEGIN TRAN INSERT INTO t VALUES (1)").await;
    assert_eq!(error_of(&mut client, "SELECT 1 / 0 AS a").await, Some(8134));
    assert_eq!(number(&mut client, "SELECT @@TRANCOUNT").await, 0);
    assert_eq!(error_of(&mut client, "COMMIT").await, Some(3902));
    assert_eq!(number(&mut client, "SELECT COUNT(*) FROM t").await, 0);
}

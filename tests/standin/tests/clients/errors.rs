//! Errors have SQL Server's numbers, and the connection can be used after them.

use serde_json::json;
use standin::TlsMode;

use crate::external;
use crate::fixture::{Fixture, config, connect, error_of, number, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_login_is_refused() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let refused = connect(config(fixture.port(), "wrong")).await.err();
    assert_eq!(refused.and_then(|error| error.code()), Some(18456));

    let mut elsewhere = fixture.config();
    elsewhere.database("nowhere");
    let refused = connect(elsewhere).await.err();
    assert_eq!(refused.and_then(|error| error.code()), Some(4060));
}

#[tokio::test(flavor = "multi_thread")]
async fn pytds_sees_the_numbers_too() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let answers = external::pytds(fixture.port(), json!({"password": "wrong"}), Vec::new()).await;
    assert_eq!(answers[0]["error"], json!(18456), "{answers:?}");
    let answers = external::pytds(fixture.port(), json!({"database": "nowhere"}), Vec::new()).await;
    assert_eq!(answers[0]["error"], json!(4060), "{answers:?}");
    let answers = external::pytds(
        fixture.port(),
        json!({}),
        vec![
            json!("SELECT * FROM nothing"),
            json!("SELECT 1 / 0 AS a"),
            json!("SELECT 7 AS a"),
        ],
    )
    .await;
    assert_eq!(answers[1]["error"], json!(208), "{answers:?}");
    assert_eq!(answers[2]["error"], json!(8134), "{answers:?}");
    assert_eq!(answers[3], json!({"rows": [["7"]]}));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_has_its_number_and_ends_nothing_else() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    run(
        &mut client,
        "CREATE TABLE t (id int NOT NULL PRIMARY KEY, name nvarchar(3), small tinyint)
         INSERT INTO t VALUES (1, N'one', 0)",
    )
    .await;
    for (batch, expected) in [
        ("SELEC 1", 102),
        ("SELECT FROM WHERE", 102),
        ("DECLARE @a int", 102),
        ("SELECT nothing FROM t", 207),
        ("UPDATE t SET nothing = 1", 207),
        ("SELECT * FROM nothing", 208),
        ("SELECT * FROM elsewhere.dbo.t", 208),
        ("INSERT INTO t VALUES (1)", 213),
        ("SELECT CAST('yesterday' AS datetime2) AS a", 241),
        ("SELECT CAST('x' AS int) AS a", 245),
        ("INSERT INTO t (name) VALUES (N'x')", 515),
        ("USE elsewhere", 911),
        ("INSERT INTO t VALUES (1, N'x', 0)", 2627),
        ("INSERT INTO t VALUES (2, N'four', 0)", 2628),
        ("CREATE TABLE t (id int)", 2714),
        ("CREATE TABLE u (id jsonb)", 2715),
        ("COMMIT", 3902),
        ("ROLLBACK", 3903),
        ("SELECT 1 / 0 AS a", 8134),
        ("SELECT id / (id - id) AS a FROM t", 8134),
        ("INSERT INTO t VALUES (3, N'x', 99999)", 8115),
    ] {
        assert_eq!(
            error_of(&mut client, batch).await,
            Some(expected),
            "{batch}"
        );
        assert_eq!(
            number(&mut client, "SELECT COUNT(*) FROM t").await,
            1,
            "{batch}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_rows_is_still_an_error() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    run(&mut client, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)").await;
    let postgres = fixture.database.connect().await.unwrap();
    postgres
        .execute(
            "INSERT INTO dbo.t SELECT g FROM generate_series(1, 50000) g",
            &[],
        )
        .await
        .unwrap();
    let late = "SELECT 100 / (id - 40000) AS a FROM t";
    assert_eq!(error_of(&mut client, late).await, Some(8134));
    assert_eq!(number(&mut client, "SELECT COUNT(*) FROM t").await, 50_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_for_as_long_as_was_said() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let (mut one, mut two) = (fixture.connect().await, fixture.connect().await);
    run(&mut one, "CREATE TABLE t (id int) INSERT INTO t VALUES (1)").await;
    run(&mut one, "BEGIN TRAN UPDATE t SET id = 2").await;
    run(&mut two, "SET LOCK_TIMEOUT 50").await;
    assert_eq!(error_of(&mut two, "UPDATE t SET id = 3").await, Some(1222));
    run(&mut one, "COMMIT").await;
    run(&mut two, "UPDATE t SET id = 3").await;
    assert_eq!(number(&mut one, "SELECT id FROM t").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_in_a_deadlock_is_its_victim() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let (mut one, mut two) = (fixture.connect().await, fixture.connect().await);
    run(
        &mut one,
        "CREATE TABLE t (id int, v int) INSERT INTO t VALUES (1, 0), (2, 0)",
    )
    .await;
    run(&mut one, "BEGIN TRAN UPDATE t SET v = 1 WHERE id = 1").await;
    run(&mut two, "BEGIN TRAN UPDATE t SET v = 2 WHERE id = 2").await;
    let (first, second) = tokio::join!(
        error_of(&mut one, "UPDATE t SET v = 1 WHERE id = 2"),
        error_of(&mut two, "UPDATE t SET v = 2 WHERE id = 1"),
    );
    let victims = [first, second];
    assert!(
        victims == [Some(1205), None] || victims == [None, Some(1205)],
        "{victims:?}"
    );
    // Only the victim's transaction has been rolled back.
    let open = [
        number(&mut one, "SELECT @@TRANCOUNT").await,
        number(&mut two, "SELECT @@TRANCOUNT").await,
    ];
    let expected = victims.map(|victim| i32::from(victim.is_none()));
    assert_eq!(open, expected);
}

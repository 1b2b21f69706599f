//! What a server answers is not believed before it was checked: each answer to a comparison is made
//! wrong once, in every way. The result is a failure with a name, or the right one; never a panic.

use std::sync::Arc;

use harness::services::shared_postgres;
use shared::endpoint::Endpoint;
use shared::outcome::{Depth, FailureKind};
use standin::{LoginOptions, Mangling, Options, Server, TlsMode};
use tests::engine::{Bench, Finding};
use tests::mangler::{self, Mangler};
use worker::engine::Stop;

const TABLES: &str = "CREATE SCHEMA dbo; \
    CREATE TABLE dbo.a (id int PRIMARY KEY, v text NOT NULL UNIQUE, w numeric(9, 2)); \
    INSERT INTO dbo.a SELECT i, 'text ' || i, i / 4.0 FROM generate_series(1, 20) AS i; \
    CREATE TABLE dbo.b (LIKE dbo.a INCLUDING ALL); INSERT INTO dbo.b SELECT * FROM dbo.a";

/// The most answers that a comparison of a table may have.
const MOST: usize = 40;

/// Whether the failure says that the server's answer was not as expected, or that what it did not
/// show is absent.
fn is_named(kind: &FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::ProtocolError
            | FailureKind::QueryError
            | FailureKind::ConnectionError
            | FailureKind::ValueError
            | FailureKind::TableNotFound
            | FailureKind::TableChanged
            | FailureKind::PermissionDenied
            | FailureKind::NothingToCompare
            | FailureKind::IncomparableColumn
            | FailureKind::InternalError
    )
}

/// Fails unless two equal tables match, or the comparison failed with a name. `of_rows`: the wrong
/// answer has the table's rows, so that they may differ.
fn check(what: &str, result: &Result<Finding, Stop>, of_rows: bool) {
    match result {
        Ok(found) => assert!(
            found.comparison.is_match() || of_rows,
            "{what}: {:?}",
            found.comparison
        ),
        Err(Stop::Failed(failure)) => {
            assert!(is_named(&failure.kind), "{what}: {failure:?}");
            assert!(
                failure.kind != FailureKind::InternalError || of_rows,
                "{what}: {failure:?}"
            );
        }
        Err(Stop::Cancelled) => panic!("{what}: cancelled"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wrong_answer_of_postgres_is_believed() {
    let database = shared_postgres().create_database("wrong").unwrap();
    database.execute(TABLES).unwrap();
    let endpoint = Endpoint::from_url("x", &database.url()).unwrap();
    let mangler = Mangler::to(endpoint.port).await.unwrap();
    let through = database
        .url()
        .replace(&endpoint.port.to_string(), &mangler.port().to_string());
    let url = format!("{through}?sslmode=disable");
    let mut failed = 0;
    for depth in [Depth::Counts, Depth::Rows] {
        for wrong in mangler::Wrong::ALL {
            for answer in 0..MOST {
                mangler.order(answer, wrong);
                let bench = Bench::new(&url, &database.url())
                    .tables("dbo.a", "dbo.b")
                    .with(|spec| spec.depth = depth);
                let result = bench.run().await;
                if !mangler.has_mangled() {
                    break;
                }
                failed += usize::from(result.is_err());
                check(
                    &format!("{wrong:?} in answer {answer}, {depth:?}"),
                    &result,
                    false,
                );
                assert!(answer + 1 < MOST, "{wrong:?}: too many answers");
            }
        }
    }
    // A proxy that changes nothing finds nothing.
    assert!(failed > 20, "only {failed} comparisons failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wrong_answer_of_sql_server_is_believed() {
    let database = shared_postgres().create_database("wrong").unwrap();
    database.execute(TABLES).unwrap();
    let mangling = Arc::new(Mangling::default());
    let server = Server::start(Options {
        listen: ([127, 0, 0, 1], 0).into(),
        postgres: database.url(),
        user: "sa".to_owned(),
        password: "secret".to_owned(),
        database: "wrong".to_owned(),
        tls: TlsMode::Off,
        certificate_directory: None,
        statements: None,
        allow_snapshot: true,
        login: LoginOptions::default(),
        mangling: Some(Arc::clone(&mangling)),
    })
    .await
    .unwrap();
    let url = format!(
        "mssql://sa:secret@127.0.0.1:{}/wrong?encrypt=false",
        server.address().port()
    );
    let mut failed = 0;
    for depth in [Depth::Counts, Depth::Rows] {
        for wrong in standin::Wrong::ALL {
            for answer in 0..MOST {
                mangling.order(answer, wrong);
                let bench = Bench::new(&url, &database.url())
                    .tables("dbo.a", "dbo.b")
                    .with(|spec| spec.depth = depth);
                let result = bench.run().await;
                let Some(statement) = mangling.mangled() else {
                    break;
                };
                failed += usize::from(result.is_err());
                let of_rows = statement.contains("\"dbo\".\"a\"") && depth == Depth::Rows
                    || statement.contains("count(") && statement.contains("\"dbo\".\"a\"");
                let what = format!("{wrong:?} in answer {answer}, {depth:?}: {statement}");
                check(&what, &result, of_rows);
                assert!(answer + 1 < MOST, "{wrong:?}: too many answers");
            }
        }
    }
    assert!(failed > 20, "only {failed} comparisons failed");
    server.shutdown().await;
}

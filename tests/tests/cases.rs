//! Every case under `tests/cases`, through the real engine and real databases:
//! as it is written, and mirrored.

#![expect(
    clippy::unwrap_used,
    reason = "what a test needs and does not get is its failure"
)]

use std::path::Path;

use shared::endpoint::Endpoint;
use tests::cases::{Case, compare, execute, load};
use tests::services::{Database, Standin, StandinTls, shared_postgres};

/// Empties a database of whatever the case before made in it.
const RESET: &str = "\
DO $$ DECLARE s text; BEGIN \
  FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP \
    EXECUTE format('DROP SCHEMA %I CASCADE', s); \
  END LOOP; \
END $$; \
CREATE SCHEMA public";

/// The databases that all cases use, one after the other.
struct Databases {
    postgres: [Database; 2],
    /// What the stand-in keeps its tables in, and the stand-in.
    sql_server: [(Database, Standin); 2],
}

impl Databases {
    fn start() -> Self {
        let server = shared_postgres();
        let database = |purpose: &str| server.create_database(purpose).unwrap();
        let standin = |purpose: &str| {
            let database = database(purpose);
            let standin = Standin::start(&database.url(), "cases", StandinTls::Off).unwrap();
            (database, standin)
        };
        Self {
            postgres: [database("cases_a"), database("cases_b")],
            sql_server: [standin("cases_c"), standin("cases_d")],
        }
    }

    fn postgres(&self, at: usize) -> Endpoint {
        Endpoint::from_url("postgres", &self.postgres[at].url()).unwrap()
    }

    fn sql_server(&self, at: usize) -> Endpoint {
        Endpoint::from_url("sqlserver", &self.sql_server[at].1.url()).unwrap()
    }
}

/// Makes one side in each dialect that the case has; gives where it is.
async fn make(databases: &Databases, case: &Case, at: usize) -> anyhow::Result<Vec<Endpoint>> {
    let side = if at == 0 { &case.source } else { &case.target };
    let mut made = Vec::new();
    if let Some(sql) = &side.postgres {
        databases.postgres[at].execute(RESET)?;
        execute(&databases.postgres(at), sql).await?;
        made.push(databases.postgres(at));
    }
    if let Some(sql) = &side.sqlserver {
        execute(&databases.sql_server(at), "DROP TABLE IF EXISTS t").await?;
        execute(&databases.sql_server(at), sql).await?;
        made.push(databases.sql_server(at));
    }
    anyhow::ensure!(!made.is_empty(), "the case makes no side {at}");
    Ok(made)
}

async fn run(databases: &Databases, case: &Case) -> anyhow::Result<usize> {
    let (sources, targets) = (
        make(databases, case, 0).await?,
        make(databases, case, 1).await?,
    );
    let mut comparisons = 0;
    for source in &sources {
        for target in &targets {
            for mirrored in [false, true] {
                let (left, right) = if mirrored {
                    (target, source)
                } else {
                    (source, target)
                };
                let answer = compare(left, right, case.spec(mirrored)?).await;
                let what = format!(
                    "{} to {}{}",
                    source.engine,
                    target.engine,
                    if mirrored { ", mirrored" } else { "" }
                );
                case.check(&answer, mirrored)
                    .map_err(|error| error.context(what))?;
                comparisons += 1;
            }
        }
    }
    Ok(comparisons)
}

#[test]
fn every_case_comes_out_as_expected() {
    let cases = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")).unwrap();
    assert!(cases.len() >= 20, "only {} cases were found", cases.len());
    let databases = Databases::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut failures = Vec::new();
    let mut comparisons = 0;
    for (name, case) in &cases {
        match runtime.block_on(run(&databases, case)) {
            Ok(done) => comparisons += done,
            Err(error) => failures.push(format!("{name} ({}): {error:#}", case.about)),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    println!("{} cases, {comparisons} comparisons", cases.len());
}

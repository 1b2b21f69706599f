//! Every case under `tests/cases`, through the real engine and real databases:
//! as it is written, and mirrored.

#![expect(
    clippy::unwrap_used,
    reason = "what a test needs and does not get is its failure"
)]

use std::collections::BTreeMap;
use std::path::Path;

use shared::endpoint::Endpoint;
use tests::cases::{Case, Maker, SideSql, compare, engine, load};
use tests::services::{Database, Standin, StandinTls, shared_postgres};
use worker::engine::ReconcileEngine;

/// Empties a database of whatever the case before made in it.
const RESET: &str = "\
DO $$ DECLARE s text; BEGIN \
  FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP \
    EXECUTE format('DROP SCHEMA %I CASCADE', s); \
  END LOOP; \
END $$; \
CREATE SCHEMA public";

/// The databases that all cases use, one after the other: for either side a
/// PostgreSQL database and one behind the stand-in, in this order.
struct Databases {
    endpoints: [Endpoint; 4],
    makers: Vec<Maker>,
    /// Between each two of them, so that not every comparison connects anew.
    engines: BTreeMap<(usize, usize), ReconcileEngine>,
    /// What ends with the test, the stand-ins before their databases.
    _services: (Vec<Standin>, Vec<Database>),
}

impl Databases {
    async fn start() -> Self {
        let server = shared_postgres();
        let (mut standins, mut databases) = (Vec::new(), Vec::new());
        let mut endpoints = Vec::new();
        for _ in ["source", "target"] {
            let plain = server.create_database("cases").unwrap();
            endpoints.push(Endpoint::from_url("postgres", &plain.url()).unwrap());
            let backing = server.create_database("cases_standin").unwrap();
            let standin = Standin::start(&backing.url(), "cases", StandinTls::Off).unwrap();
            endpoints.push(Endpoint::from_url("sqlserver", &standin.url()).unwrap());
            standins.push(standin);
            databases.extend([plain, backing]);
        }
        let mut makers = Vec::new();
        for endpoint in &endpoints {
            makers.push(Maker::connect(endpoint).await.unwrap());
        }
        Self {
            endpoints: endpoints.try_into().unwrap(),
            makers,
            engines: BTreeMap::new(),
            _services: (standins, databases),
        }
    }

    /// Makes one side in each dialect that the case has; gives where it is.
    async fn make(&mut self, side: &SideSql, first: usize) -> anyhow::Result<Vec<usize>> {
        let mut made = Vec::new();
        for (at, reset, sql) in [
            (first, RESET, &side.postgres),
            (first + 1, "DROP TABLE IF EXISTS t", &side.sqlserver),
        ] {
            if let Some(sql) = sql {
                self.makers[at].execute(reset).await?;
                self.makers[at].execute(sql).await?;
                made.push(at);
            }
        }
        anyhow::ensure!(!made.is_empty(), "the case does not make both sides");
        Ok(made)
    }

    fn engine(&mut self, left: usize, right: usize) -> &ReconcileEngine {
        let endpoints = &self.endpoints;
        self.engines
            .entry((left, right))
            .or_insert_with(|| engine(&endpoints[left], &endpoints[right], 1))
    }

    async fn run(&mut self, case: &Case) -> anyhow::Result<usize> {
        let sources = self.make(&case.source, 0).await?;
        let targets = self.make(&case.target, 2).await?;
        let mut comparisons = 0;
        for source in sources {
            for target in &targets {
                for mirrored in [false, true] {
                    if mirrored && case.one_way {
                        continue;
                    }
                    let (left, right) = if mirrored {
                        (*target, source)
                    } else {
                        (source, *target)
                    };
                    let answer = compare(self.engine(left, right), case.spec(mirrored)?).await;
                    let what = format!(
                        "{} to {}{}",
                        self.endpoints[source].engine,
                        self.endpoints[*target].engine,
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
}

#[test]
fn every_case_comes_out_as_expected() {
    let cases = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")).unwrap();
    assert!(cases.len() >= 250, "only {} cases were found", cases.len());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut databases = runtime.block_on(Databases::start());
    let mut failures = Vec::new();
    let mut comparisons = 0;
    // CASES=word: only those whose names hold it, while one is being written.
    let wanted = std::env::var("CASES").unwrap_or_default();
    for (name, case) in cases.iter().filter(|(name, _)| name.contains(&wanted)) {
        match runtime.block_on(databases.run(case)) {
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

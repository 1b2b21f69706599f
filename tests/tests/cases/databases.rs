//! The databases of the cases.

use std::collections::BTreeMap;

use harness::services::{Database, Standin, StandinTls, shared_postgres};
use shared::endpoint::Endpoint;
use tests::cases::{Case, Maker, SideSql, engine};
use worker::engine::ReconcileEngine;

/// Drops everything that the previous case created in a database.
const RESET: &str = "\
DO $$ DECLARE s text; BEGIN \
  FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP \
    EXECUTE format('DROP SCHEMA %I CASCADE', s); \
  END LOOP; \
END $$; \
CREATE SCHEMA public";

/// A source and a target, as positions among the databases.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meeting {
    left: usize,
    right: usize,
    /// The case's target is the source, and its source the target.
    pub(crate) mirrored: bool,
}

/// The databases that all cases use, one after the other: for either side a
/// PostgreSQL database and one behind the stand-in, in this order.
pub(crate) struct Databases {
    endpoints: [Endpoint; 4],
    makers: Vec<Maker>,
    /// Between each two of them, so that not every comparison connects anew.
    engines: BTreeMap<(usize, usize), ReconcileEngine>,
    /// Dropped with the test, the stand-ins before their databases.
    _services: (Vec<Standin>, Vec<Database>),
}

impl Databases {
    pub(crate) async fn start() -> Self {
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
    async fn side(&mut self, side: &SideSql, first: usize) -> anyhow::Result<Vec<usize>> {
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

    /// The engine between two of the databases.
    pub(crate) fn engine(&mut self, meeting: &Meeting) -> &ReconcileEngine {
        let endpoints = &self.endpoints;
        let Meeting { left, right, .. } = *meeting;
        self.engines
            .entry((left, right))
            .or_insert_with(|| engine(&endpoints[left], &endpoints[right], 1))
    }

    /// The database that is the target.
    pub(crate) fn target(&self, meeting: &Meeting) -> &Endpoint {
        &self.endpoints[meeting.right]
    }

    /// Makes both sides of a case in all their dialects, and says what can be
    /// compared with what: as it is written, and mirrored.
    pub(crate) async fn make(&mut self, case: &Case) -> anyhow::Result<Vec<Meeting>> {
        let sources = self.side(&case.source, 0).await?;
        let targets = self.side(&case.target, 2).await?;
        let mut meetings = Vec::new();
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
                    meetings.push(Meeting {
                        left,
                        right,
                        mirrored,
                    });
                }
            }
        }
        Ok(meetings)
    }

    /// What is compared with what, in words.
    pub(crate) fn words(&self, meeting: &Meeting) -> String {
        let Meeting {
            left,
            right,
            mirrored,
        } = *meeting;
        format!(
            "{} to {}{}",
            self.endpoints[left].kind,
            self.endpoints[right].kind,
            if mirrored { ", mirrored" } else { "" }
        )
    }
}

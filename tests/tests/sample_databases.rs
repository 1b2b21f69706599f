//! Three sample databases in the styles that people know: each is verified with three lines of
//! configuration at most, and every planted difference is found.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::path::Path;

use harness::services::{Database, Standin, StandinTls, shared_postgres};
use serde_json::Value as Json;
use shared::endpoint::Endpoint;
use tests::cases::Maker;
use tests::product::{Run, Workplace};

/// A migrated database. The services end with it.
struct Sample {
    here: Workplace,
    target: Database,
    _source: (Standin, Database),
}

impl Sample {
    /// Creates both sides. `settings` is the configuration beside the two endpoints.
    fn new(name: &str, settings: &str) -> Self {
        let server = shared_postgres();
        let backing = server.create_database(name).unwrap();
        let target = server.create_database("target").unwrap();
        let standin = Standin::start(&backing.url(), "shop", StandinTls::Off).unwrap();
        let endpoint = Endpoint::from_url("sqlserver", &standin.url()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut maker = Maker::connect(&endpoint).await.unwrap();
            for batch in sql(name, "source").split("\nGO\n") {
                maker.execute(batch).await.unwrap();
            }
        });
        target.execute(&sql(name, "target")).unwrap();
        let here = Workplace::new(&format!(
            "[endpoints.source]\nurl = '{}'\n[endpoints.target]\nurl = '{}'\n[run]\nsource = 'source'\ntarget = 'target'\n{settings}",
            standin.url(),
            target.url(),
        ));
        Self {
            here,
            target,
            _source: (standin, backing),
        }
    }

    fn run(&self, tables: &str) -> Run {
        self.here
            .reconcile(&["run", "--row-level", "--format", "json", "--tables", tables])
    }
}

fn sql(sample: &str, file: &str) -> String {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    std::fs::read_to_string(samples.join(sample).join(format!("{file}.sql"))).unwrap()
}

/// The tables that differ: name, missing, extra and modified rows, missing columns.
fn different(report: &Json) -> Vec<(String, [u64; 3])> {
    let results = report["results"].as_array().unwrap();
    results
        .iter()
        .filter(|result| result["status"] == "mismatched")
        .map(|result| {
            let counts =
                ["missing", "extra", "modified"].map(|kind| result[kind].as_u64().unwrap());
            (result["table"].as_str().unwrap().to_owned(), counts)
        })
        .collect()
}

/// Verifies a sample, plants differences in it, and expects these to be found.
fn verify(name: &str, tables: &str, count: usize, settings: &str, planted: &[(&str, [u64; 3])]) {
    let sample = Sample::new(name, settings);
    let run = sample.run(tables);
    assert_eq!(run.code, 0, "{run:?}");
    let report = run.report();
    assert_eq!(report["matched"], count, "{report:#}");
    sample.target.execute(&sql(name, "planted")).unwrap();
    let run = sample.run(tables);
    assert_eq!(run.code, 1, "{run:?}");
    let expected: Vec<(String, [u64; 3])> = planted
        .iter()
        .map(|(table, counts)| ((*table).to_owned(), *counts))
        .collect();
    assert_eq!(different(&run.report()), expected, "{run:?}");
}

#[test]
fn a_music_shop() {
    let planted = [
        ("dbo.Customer", [0, 0, 0]),
        ("dbo.Genre", [0, 1, 0]),
        ("dbo.InvoiceLine", [0, 0, 1]),
        ("dbo.Play List Track", [1, 0, 0]),
    ];
    verify("music", "dbo.*", 11, "", &planted);
}

#[test]
fn an_office_supplies_shop() {
    let planted = [
        ("dbo.Categories", [0, 0, 1]),
        ("dbo.Customers", [0, 0, 1]),
        ("dbo.Order Details", [0, 0, 1]),
        ("dbo.Territories", [1, 0, 0]),
    ];
    verify("office", "dbo.*", 11, "", &planted);
}

#[test]
fn a_bicycle_maker() {
    let planted = [
        ("Person.Person", [0, 0, 1]),
        ("Production.Product", [0, 0, 1]),
        ("Sales.Currency", [1, 0, 0]),
        ("Sales.SalesOrderDetail", [0, 1, 0]),
    ];
    let tables = "Person.*,Production.*,Sales.*";
    verify("bicycles", tables, 10, "", &planted);
}

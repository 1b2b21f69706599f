//! The engine reports exactly the differences planted in TPC-H, with their values.

use std::time::Duration;

use harness::services::shared_postgres;
use harness::tpch::TABLES;
use harness::tpch::check::check;
use harness::tpch::load::Load;
use harness::tpch::side;
use serde_json::{Value, json};
use shared::endpoint::Endpoint;
use shared::message::{ColumnSelection, Side, TableSpec};
use shared::outcome::{Comparison, Depth, Difference};
use tests::cases::{compare, engine};

fn spec(table: &str) -> TableSpec {
    let side = |endpoint: &str| Side {
        endpoint: endpoint.to_owned(),
        table: table.parse().expect("TPC-H's names are plain"),
    };
    TableSpec {
        source: side("source"),
        target: side("target"),
        depth: Depth::Rows,
        key: None,
        columns: ColumnSelection::default(),
        max_differences: 10_000,
        chunk_size: 100,
        timeout: Duration::from_secs(600),
        options: shared::options::TableOptions::default(),
    }
}

/// A table's entry in a report.
fn result(table: &str, comparison: &Comparison, differences: &[Difference]) -> Value {
    let rows = comparison.rows.expect("the depth was rows");
    json!({
        "table": table,
        "status": if comparison.is_match() { "matched" } else { "mismatched" },
        "match": comparison.is_match(),
        "source_count": comparison.source_count,
        "target_count": comparison.target_count,
        "missing": rows.missing,
        "extra": rows.extra,
        "modified": rows.modified,
        "truncated": rows.truncated,
        "differences": differences,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_finds_exactly_what_was_planted() {
    let database = |purpose: &str| {
        shared_postgres()
            .create_database(purpose)
            .expect("a database")
    };
    let (source, target) = (database("tpch_source"), database("tpch_target"));
    let mut sides = (
        side::Side::postgres(&source.url()).await.unwrap(),
        side::Side::postgres(&target.url()).await.unwrap(),
    );
    let load = Load {
        scale: 0.01,
        differences: 1100,
        seed: 20,
        tables: TABLES.to_vec(),
    };
    let plan = Box::pin(load.run(&mut sides.0, &mut sides.1, |_| {}))
        .await
        .unwrap();

    let endpoint =
        |name: &str, url: &str| Endpoint::from_url(name, url).expect("the URL of a test server");
    let (source, target) = (
        endpoint("source", &source.url()),
        endpoint("target", &target.url()),
    );
    let engine = engine(&source, &target, 1);
    let mut results = Vec::new();
    for table in TABLES {
        let answer = Box::pin(compare(&engine, spec(table.name))).await;
        let (comparison, differences) =
            answer.unwrap_or_else(|stop| panic!("{}: {stop}", table.name));
        results.push(result(table.name, &comparison, &differences));
    }
    let report = json!({ "status": "FAIL", "total_tables": results.len(), "results": results, "errors": [] });
    let problems = check(&plan, &serde_json::from_value(report).unwrap());
    assert!(
        problems.is_empty(),
        "{} deviations:\n{}",
        problems.len(),
        problems[..problems.len().min(20)].join("\n")
    );
}

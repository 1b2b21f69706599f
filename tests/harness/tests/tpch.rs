//! What the plan says was planted is what differs, as PostgreSQL itself sees it.

use std::process::Command;

use harness::executable::binary;
use harness::services::{Standin, StandinTls, shared_postgres};
use harness::tpch::load::Load;
use harness::tpch::side::Side;
use harness::tpch::{TABLES, Table};
use shared::outcome::DifferenceKind;

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_is_what_was_planted() {
    let (source, target) = (
        shared_postgres().create_database("s").unwrap(),
        shared_postgres().create_database("t").unwrap(),
    );
    let load = Load {
        // Below 0.005 the benchmark's own rule gives a part the same supplier twice.
        scale: 0.01,
        differences: 110,
        seed: 7,
        tables: TABLES.to_vec(),
    };
    let mut sides = (
        Side::postgres(&source.url()).await.unwrap(),
        Side::postgres(&target.url()).await.unwrap(),
    );
    let plan = load.run(&mut sides.0, &mut sides.1, |_| {}).await.unwrap();

    let (source, target) = (
        source.connect().await.unwrap(),
        target.connect().await.unwrap(),
    );
    let mut all = 0;
    for table in &plan.tables {
        // Rows as text, so that every change counts: one letter's case, one blank, a decimal.
        let rows = async |client: &tokio_postgres::Client| -> Vec<String> {
            let rows = client
                .query(
                    &format!("SELECT t::text FROM {} t ORDER BY 1", table.name),
                    &[],
                )
                .await
                .unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        };
        let (source, target) = (rows(&source).await, rows(&target).await);
        assert_eq!(
            (source.len() as u64, target.len() as u64),
            (table.source_count, table.target_count),
            "{}",
            table.name
        );
        let only_in = |these: &[String], those: &[String]| {
            let mut those = those.to_vec();
            let missing = |row: &&String| {
                those
                    .binary_search(row)
                    .map(|found| those.remove(found))
                    .is_err()
            };
            these.iter().filter(missing).count()
        };
        let count = |kind| table.count(kind);
        assert_eq!(
            only_in(&source, &target),
            count(DifferenceKind::Missing) + count(DifferenceKind::Modified),
            "{}",
            table.name
        );
        assert_eq!(
            only_in(&target, &source),
            count(DifferenceKind::Extra) + count(DifferenceKind::Modified),
            "{}",
            table.name
        );
        all += table.differences.len();
    }
    assert_eq!(plan.tables.len(), 9);
    // 110 line items, 5 parts, 5 customers, 1 order, 6 rows of the table without a key.
    assert_eq!(all, 127);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_through_tds_as_they_come_by_copy() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let (source, target) = (
        shared_postgres().create_database("s").unwrap(),
        shared_postgres().create_database("t").unwrap(),
    );
    let standin = Standin::start(&source.url(), "erp", StandinTls::Required).unwrap();
    let tables = ["region", "supplier_log", "customer", "orders"];
    let load = Load {
        scale: 0.005,
        differences: 0,
        seed: 7,
        tables: tables.map(|name| Table::named(name).unwrap()).to_vec(),
    };
    let mut sides = (
        Side::sql_server(&standin.url()).await.unwrap(),
        Side::postgres(&target.url()).await.unwrap(),
    );
    let plan = load.run(&mut sides.0, &mut sides.1, |_| {}).await.unwrap();

    let (source, target) = (
        source.connect().await.unwrap(),
        target.connect().await.unwrap(),
    );
    for table in &plan.tables {
        let rows = async |client: &tokio_postgres::Client, schema: &str| -> Vec<String> {
            let select = format!("SELECT t::text FROM {schema}.{} t ORDER BY 1", table.name);
            let rows = client.query(&select, &[]).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        };
        let (source, target) = (rows(&source, "dbo").await, rows(&target, "public").await);
        assert_eq!(source.len() as u64, table.source_count, "{}", table.name);
        assert_eq!(source, target, "{}", table.name);
    }
    // More than one statement's worth of rows in the largest.
    assert_eq!(plan.tables[3].source_count, 7500);
}

#[test]
fn what_is_loaded_already_is_left_alone_where_that_is_asked_for() {
    let server = shared_postgres();
    let (source, target) = (
        server.create_database("s").unwrap(),
        server.create_database("t").unwrap(),
    );
    let standin = Standin::start(&source.url(), "erp", StandinTls::Required).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let load = |more: &[&str]| {
        let output = Command::new(binary("tpch").unwrap())
            .args(["load", "--scale=0.01", "--unless-loaded"])
            .args(["--tables=region,nation,supplier"])
            .args(["--source-sql-server", &standin.url()])
            .args(["--target", &target.url()])
            .arg("--plan")
            .arg(directory.path().join("plan.json"))
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    // Shows whether a table is the one that was loaded at first.
    let touch = || {
        target
            .execute("UPDATE region SET r_comment = 'touched'")
            .unwrap();
    };
    let is_touched = || {
        let asked = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM region WHERE r_comment = 'touched') THEN RAISE 'loaded again'; END IF; END $$";
        target.execute(asked).is_ok()
    };
    load(&[]);
    touch();
    load(&[]);
    assert!(is_touched(), "a second load is none");
    load(&["--seed=2"]);
    assert!(!is_touched(), "something else is loaded");
    // A load that was ended half way is done again: the table that it was at is new.
    touch();
    target
        .execute("DROP TABLE nation; CREATE TABLE nation (n_nationkey bigint)")
        .unwrap();
    load(&["--seed=2"]);
    assert!(!is_touched(), "half a load is none");
    touch();
    source.execute("DROP TABLE dbo.region").unwrap();
    load(&["--seed=2"]);
    assert!(!is_touched(), "a load into one side is none");
}

//! Random tables with random differences: the report names the planted ones, and
//! a repair makes the tables equal and can be undone.
//!
//! `TABLES=n` sets the number of pairs, `SEED=n` the seed of the first one. A
//! failure names the seed of its pair.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a missing value is a failure, and the seed repeats it"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt};
use harness::services::{Standin, StandinTls, shared_postgres};
use shared::endpoint::{DatabaseKind, Endpoint};
use shared::message::{ColumnSelection, Side, TableSpec};
use shared::options::TableOptions;
use shared::outcome::Depth;
use tests::cases::{Answer, Maker, compare, engine};
use tests::random_tables::{Pair, in_words};
use tests::repairs;
use worker::engine::ReconcileEngine;

/// How many pairs are made at a time.
const BATCH: usize = 50;

/// One of how many is repaired too.
const REPAIRED: u64 = 8;

/// How many are compared at a time.
const AT_ONCE: u32 = 4;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    number("SEED", now.as_secs() * 1_000_000)
}

/// Makes `pairs` pairs of tables and compares them.
async fn run(source: &Endpoint, target: &Endpoint, pairs: u64) {
    let first = seed();
    println!("{pairs} pairs of tables from SEED={first}");
    let engine = engine(source, target, AT_ONCE);
    let mut makers = (
        Maker::connect(source).await.unwrap(),
        Maker::connect(target).await.unwrap(),
    );
    for begin in (first..first + pairs).step_by(BATCH) {
        let seeds = begin..(begin + BATCH as u64).min(first + pairs);
        let made: Vec<(u64, Pair)> = seeds
            .map(|seed| (seed, Pair::random(&format!("t{seed}"), seed)))
            .collect();
        let sql = |write: &dyn Fn(&Pair) -> String| -> String {
            made.iter().map(|(_, pair)| write(pair)).collect()
        };
        let (left, right) = (
            sql(&|pair| pair.source_sql(source.kind)),
            sql(&|pair| pair.target_sql(DatabaseKind::Postgres)),
        );
        let (left, right) = tokio::join!(makers.0.execute(&left), makers.1.execute(&right));
        left.and(right).unwrap();
        let checked: Result<Vec<()>, String> =
            futures::stream::iter(made.iter().map(|(seed, pair)| {
                let engine = &engine;
                async move {
                    let mut checked = check(engine, pair).await;
                    if checked.is_ok() && seed % REPAIRED == 0 {
                        checked = check_repair(engine, target, pair).await;
                    }
                    checked.map_err(|what| {
                        format!(
                            "SEED={seed} TABLES=1: {what}\n{}\n{}",
                            pair.source_sql(DatabaseKind::Postgres),
                            pair.target_sql(DatabaseKind::Postgres)
                        )
                    })
                }
            }))
            .buffer_unordered(AT_ONCE as usize)
            .try_collect()
            .await;
        checked.unwrap_or_else(|what| panic!("{what}"));
    }
}

fn spec(pair: &Pair) -> TableSpec {
    let side = |endpoint: &str| Side {
        endpoint: endpoint.to_owned(),
        table: pair.name().parse().unwrap(),
    };
    TableSpec {
        source: side("source"),
        target: side("target"),
        depth: Depth::Rows,
        key: pair.named_key(),
        columns: ColumnSelection::default(),
        max_differences: 1000,
        chunk_size: 3,
        timeout: Duration::from_secs(60),
        options: TableOptions::default(),
    }
}

async fn check_repair(
    engine: &ReconcileEngine,
    target: &Endpoint,
    pair: &Pair,
) -> Result<(), String> {
    let way = repairs::there_and_back(engine, target, spec(pair))
        .await
        .map_err(|error| format!("{error:#}"))?;
    let is_match = |answer: &Option<Answer>| match answer {
        Some(Ok((comparison, _))) => comparison.is_match(),
        // Nothing was to be done.
        None => pair.expected().is_empty(),
        Some(Err(_)) => false,
    };
    let found = |answer: &Option<Answer>| match answer {
        Some(Ok((_, differences))) => in_words(differences),
        _ => Default::default(),
    };
    let whole = way.unrepaired.is_empty() && way.skipped.is_empty();
    if whole && is_match(&way.repaired) && found(&way.undone) == pair.expected() {
        return Ok(());
    }
    Err(format!("{way:#?}"))
}

async fn check(engine: &ReconcileEngine, pair: &Pair) -> Result<(), String> {
    let (comparison, differences) = compare(engine, spec(pair))
        .await
        .map_err(|stop| format!("{stop:?}"))?;
    let counts = (comparison.source_count, comparison.target_count);
    if counts != pair.counts() {
        return Err(format!("{counts:?} rows, not {:?}", pair.counts()));
    }
    let (found, expected) = (in_words(&differences), pair.expected());
    if found != expected {
        return Err(format!("expected {expected:#?}\nfound {found:#?}"));
    }
    let rows = comparison.rows.ok_or("no rows")?;
    if rows.truncated || rows.total() != expected.len() as u64 {
        return Err(format!("{rows:?} for {} differences", expected.len()));
    }
    if comparison.is_match() != expected.is_empty() {
        return Err(format!("match is {}", comparison.is_match()));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_databases_of_postgresql() {
    let server = shared_postgres();
    let (source, target) = (
        server.create_database("random_a").unwrap(),
        server.create_database("random_b").unwrap(),
    );
    let endpoint = |url: &str| Endpoint::from_url("postgres", url).unwrap();
    run(
        &endpoint(&source.url()),
        &endpoint(&target.url()),
        number("TABLES", 2000),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_sql_server_to_postgresql() {
    let server = shared_postgres();
    let (backing, target) = (
        server.create_database("random_c").unwrap(),
        server.create_database("random_d").unwrap(),
    );
    let standin = Standin::start(&backing.url(), "random", StandinTls::Off).unwrap();
    run(
        &Endpoint::from_url("sqlserver", &standin.url()).unwrap(),
        &Endpoint::from_url("postgres", &target.url()).unwrap(),
        number("TABLES", 2000).div_ceil(20),
    )
    .await;
}

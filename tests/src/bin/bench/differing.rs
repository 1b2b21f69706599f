//! The cost of many differing rows.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use harness::executable::binary;
use harness::services::{Database, Postgres};
use serde_json::Value as Json;

use crate::measure::{Usage, measure, median};
use crate::output::{print_line, print_number};

/// The default of `--memory-limit`, in MiB.
const MEMORY_LIMIT: u64 = 64;

/// How many rows of a hundred differ, the table that they are in, and how many
/// times as long as without differences it may take.
const SHARES: [(u64, &str, Option<f64>); 3] = [
    (0, "none_differ", None),
    (1, "some_differ", Some(2.0)),
    (100, "all_differ", Some(4.0)),
];

/// One table of PostgreSQL against three copies, row level.
pub(crate) fn much_differing(rows: u64, runs: usize) -> anyhow::Result<()> {
    print_line(&format!(
        "differing: {rows} rows a side, row level, both sides in one PostgreSQL"
    ));
    let server = Postgres::start()?;
    let (source, target) = (
        server.create_database("source")?,
        server.create_database("target")?,
    );
    let begin = Instant::now();
    load(&source, "origin", rows, 0)?;
    for (share, table, _) in SHARES {
        load(&target, table, rows, share)?;
    }
    print_line(&format!(
        " loaded all in {:.1} s",
        begin.elapsed().as_secs_f64()
    ));
    // The first run is not measured: it fills the caches of the server and the kernel.
    compare(&source, &target, "none_differ", 0)?;
    let mut used: [Vec<Usage>; SHARES.len()] = Default::default();
    for _ in 0..runs {
        for ((share, table, _), used) in SHARES.into_iter().zip(&mut used) {
            used.push(compare(&source, &target, table, differing(rows, share))?);
        }
    }
    let mut reference = f64::NAN;
    for ((share, _, limit), used) in SHARES.into_iter().zip(&used) {
        let time = median(used.iter().map(|usage| usage.wall));
        let peak = used.iter().map(|usage| usage.peak_kib).max();
        let what = format!("{share} % of the rows differ");
        print_number(&what, &format!("{time:.2} s"), "-");
        match limit {
            None => reference = time,
            Some(limit) => print_number(
                &format!("{what}: against none"),
                &format!("{:.2}", time / reference),
                &limit.to_string(),
            ),
        }
        print_number(
            &format!("{what}: peak memory of reconcile"),
            &format!("{} MiB", peak.unwrap_or_default() / 1024),
            &format!("{MEMORY_LIMIT} MiB"),
        );
    }
    Ok(())
}

fn differing(rows: u64, share: u64) -> u64 {
    rows * share / 100
}

/// A table whose first rows of every hundred differ from those of the source.
fn load(database: &Database, table: &str, rows: u64, share: u64) -> anyhow::Result<()> {
    database.execute(&format!(
        "CREATE TABLE {table} (id bigint PRIMARY KEY, customer int, amount numeric(12, 2), placed timestamp, note text);
         INSERT INTO {table}
         SELECT i, i % 90001, i % 700000 * 0.01 + CASE WHEN i % 100 < {share} THEN 1 ELSE 0 END,
                timestamp '2020-01-01' + i * interval '1 s', 'order ' || i || ' of customer ' || i % 90001
         FROM generate_series(0, {rows} - 1) AS i;
         ANALYZE {table}"
    ))?;
    Ok(())
}

/// One comparison, which must count exactly the rows that differ.
fn compare(
    source: &Database,
    target: &Database,
    table: &str,
    differing: u64,
) -> anyhow::Result<Usage> {
    let directory = tempfile::tempdir()?;
    let (log, report) = (
        directory.path().join("log"),
        directory.path().join("report.json"),
    );
    let mut command = Command::new(binary("reconcile")?);
    command
        .current_dir(directory.path())
        .env("XDG_STATE_HOME", directory.path());
    command.args(["run", "--source-url", &source.url()]);
    command.args(["--target-url", &target.url()]);
    command.args(["--tables", &format!("origin={table}"), "--row-level"]);
    command.args(["--format", "json", "--output"]).arg(&report);
    let usage = measure(&mut command, &log)?;
    ensure!(
        matches!(usage.status.code(), Some(0 | 1)),
        "reconcile ended with {}: {}",
        usage.status,
        std::fs::read_to_string(&log)?
    );
    let report: Json = serde_json::from_slice(&std::fs::read(&report).context("no report")?)
        .context("an unreadable report")?;
    let result = &report["results"][0];
    let found = ["missing", "extra", "modified"].map(|name| result[name].as_u64());
    ensure!(
        found == [Some(0), Some(0), Some(differing)],
        "{differing} rows of {table} differ, but the report counts {found:?}: {report}"
    );
    Ok(usage)
}

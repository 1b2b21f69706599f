//! What reading and comparing every row costs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use harness::executable::binary;
use harness::services::{Postgres, Standin, StandinTls};
use harness::tpch::check::{Report, check};
use harness::tpch::plan::Plan;

use crate::measure::{Usage, measure, median};
use crate::output::{print_line, print_number};

/// How many line items differ in the comparisons with differences.
pub(crate) const DIFFERENCES: u32 = 1100;

/// Two PostgreSQL databases on one server, against COPY of both tables to /dev/null.
pub(crate) fn postgres_to_postgres(scale: f64, runs: usize) -> anyhow::Result<()> {
    print_line(&format!(
        "pg-pg: lineitem at scale {scale}, row level, both sides in one PostgreSQL"
    ));
    let server = Postgres::start()?;
    let (source, target) = (
        server.create_database("source")?,
        server.create_database("target")?,
    );
    for differences in [0, DIFFERENCES] {
        let plan = load(
            scale,
            differences,
            &["--source-postgres", &source.url()],
            &target.url(),
        )?;
        let rows = plan.tables[0].source_count;
        let urls = (source.url(), target.url());
        // The first run is not measured: it fills the caches of the server and the kernel.
        floor(&urls.0, &urls.1)?;
        let (mut floors, mut compared) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            floors.push(floor(&urls.0, &urls.1)?);
            compared.push(compare(&urls.0, &urls.1, &plan, &[])?);
        }
        let floor = median(floors);
        let time = median(compared.iter().map(|usage| usage.wall));
        let peak = compared
            .iter()
            .map(|usage| usage.peak_kib)
            .max()
            .unwrap_or_default();
        print_line(&format!(
            " {rows} rows a side, {differences} differences, exactly these reported; median of {runs}"
        ));
        print_number(
            "COPY of both tables to /dev/null, the lower bound",
            &format!("{floor:.2} s"),
            "-",
        );
        print_number("reconcile run --row-level", &format!("{time:.2} s"), "-");
        print_number(
            "time against the lower bound",
            &format!("{:.2}", time / floor),
            "1.35",
        );
        print_number(
            "peak memory of reconcile",
            &format!("{} MiB", peak / 1024),
            "64 MiB",
        );
    }
    Ok(())
}

/// The stand-in and PostgreSQL, against the two drivers alone.
pub(crate) fn sql_server_to_postgres(runs: usize) -> anyhow::Result<()> {
    print_line("mssql-pg: a million line items, row level, SQL Server stand-in against PostgreSQL");
    let server = Postgres::start()?;
    let (source, target) = (
        server.create_database("source")?,
        server.create_database("target")?,
    );
    let standin = Standin::start(&source.url(), "source", StandinTls::Off)?;
    let side = [
        "--source-tds",
        &standin.url(),
        "--source-backing",
        &source.url(),
    ];
    let plan = load(1.0 / 6.0, DIFFERENCES, &side, &target.url())?;
    let directory = tempfile::tempdir()?;
    let bare = || -> anyhow::Result<Usage> {
        let log = directory.path().join("log");
        let mut command = Command::new(binary("bare-drain")?);
        let usage = measure(
            command.args([
                "--source-url",
                &standin.url(),
                "--target-url",
                &target.url(),
            ]),
            &log,
        )?;
        ensure!(
            usage.status.success(),
            "bare-drain: {}",
            std::fs::read_to_string(&log)?
        );
        Ok(usage)
    };
    bare()?;
    let (mut drained, mut compared) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        drained.push(bare()?);
        compared.push(compare(&standin.url(), &target.url(), &plan, &[])?);
    }
    let floor = median(drained.iter().map(|usage| usage.user));
    let time = median(compared.iter().map(|usage| usage.user));
    print_line(&format!(
        " {} rows a side, {DIFFERENCES} differences, exactly these reported; median of {runs}",
        plan.tables[0].source_count
    ));
    print_number(
        "user CPU of the drivers alone",
        &format!("{floor:.2} s"),
        "-",
    );
    print_number(
        "user CPU of reconcile run --row-level",
        &format!("{time:.2} s"),
        "-",
    );
    print_number(
        "user CPU against the drivers alone",
        &format!("{:.2}", time / floor),
        "1.35",
    );
    print_number(
        "elapsed, drivers alone",
        &format!("{:.2} s", median(drained.iter().map(|usage| usage.wall))),
        "-",
    );
    print_number(
        "elapsed, reconcile",
        &format!("{:.2} s", median(compared.iter().map(|usage| usage.wall))),
        "-",
    );
    Ok(())
}

/// Loads both sides in a separate process: the generator's texts take 300 MiB,
/// and the peak that the kernel reports for a child starts with the memory that
/// its parent had.
pub(crate) fn load(
    scale: f64,
    differences: u32,
    source: &[&str],
    target: &str,
) -> anyhow::Result<Plan> {
    let begin = Instant::now();
    let directory = tempfile::tempdir()?;
    let plan = directory.path().join("plan.json");
    let mut command = Command::new(binary("tpch")?);
    command
        .args(["load", "--tables", "lineitem", "--target", target])
        .args(source);
    command
        .args([
            "--scale",
            &scale.to_string(),
            "--differences",
            &differences.to_string(),
            "--plan",
        ])
        .arg(&plan);
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cannot start tpch")?;
    ensure!(status.success(), "tpch ended with {status}");
    print_line(&format!(
        " loaded both sides in {:.1} s",
        begin.elapsed().as_secs_f64()
    ));
    Plan::read(&plan)
}

/// How long two clients take to read both tables at the same time and discard them.
fn floor(source: &str, target: &str) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let read = |url: &str| {
        let statement = "COPY public.lineitem TO STDOUT (FORMAT binary)";
        Command::new("psql")
            .args(["-qX", url, "-c", statement])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
    };
    let (mut source, mut target) = (
        read(source).context("cannot start psql")?,
        read(target).context("cannot start psql")?,
    );
    ensure!(
        source.wait()?.success() & target.wait()?.success(),
        "psql failed"
    );
    Ok(begin.elapsed())
}

/// One comparison with `more` arguments, whose report must be exact.
pub(crate) fn compare(
    source: &str,
    target: &str,
    plan: &Plan,
    more: &[&str],
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
    command.args([
        "run",
        "--source-url",
        source,
        "--target-url",
        target,
        "--tables",
        "lineitem",
    ]);
    command
        .args([
            "--row-level",
            "--max-differences",
            "100000",
            "--format",
            "json",
            "--output",
        ])
        .arg(&report)
        .args(more);
    let usage = measure(&mut command, &log)?;
    ensure!(
        matches!(usage.status.code(), Some(0 | 1)),
        "reconcile ended with {}: {}",
        usage.status,
        std::fs::read_to_string(&log)?
    );
    must_be_exact(plan, &report)?;
    Ok(usage)
}

fn must_be_exact(plan: &Plan, report: &Path) -> anyhow::Result<()> {
    let report: Report = serde_json::from_slice(&std::fs::read(report).context("no report")?)
        .context("an unreadable report")?;
    let problems = check(plan, &report);
    if let Some(first) = problems.first() {
        bail!(
            "the report is not exact in {} places; {first}",
            problems.len()
        );
    }
    Ok(())
}

//! The cost of dispatching a table, and the gain of comparing several at once.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use harness::executable::binary;
use harness::process::Process;
use harness::services::{Database, Postgres, RabbitMq};

use crate::measure::{measure, median};
use crate::output::{print_line, print_number};

/// How long a worker may take to be ready.
const START: Duration = Duration::from_secs(30);

/// Tables that a worker finds equal at once, over the broker.
pub(crate) fn overhead(runs: usize) -> anyhow::Result<()> {
    const TABLES: u32 = 5000;
    print_line(&format!(
        "overhead: {TABLES} tables that cost nothing, two workers with 4 at once, over RabbitMQ"
    ));
    let broker = RabbitMq::start()?;
    let directory = tempfile::tempdir()?;
    let _workers = workers("idle-worker", &broker, directory.path(), 2, 4)?;
    // No connection is made: these workers read no table.
    write_configuration(directory.path(), "postgres://u:p@127.0.0.1:1/d")?;
    let mut times = Vec::new();
    for _ in 0..runs {
        times.push(run(directory.path(), &names(TABLES), Some(&broker), 8)?);
    }
    let time = median(times);
    print_number("a run, median", &format!("{time:.2} s"), "-");
    print_number(
        "a table",
        &format!("{:.3} ms", time * 1000.0 / f64::from(TABLES)),
        "2 ms",
    );
    Ok(())
}

/// Empty tables of PostgreSQL, in one process.
pub(crate) fn empty_tables(runs: usize) -> anyhow::Result<()> {
    const TABLES: u32 = 2000;
    print_line(&format!(
        "empty: {TABLES} empty tables, row level, in one process, 4 at once"
    ));
    let server = Postgres::start()?;
    let database = server.create_database("empty")?;
    let make = |from: u32| {
        let statements = (from..from + 100)
            .map(|number| format!("CREATE TABLE t{number} (id int PRIMARY KEY, v text);"));
        database.execute(&statements.collect::<String>())
    };
    (0..TABLES).step_by(100).try_for_each(make)?;
    let directory = tempfile::tempdir()?;
    write_configuration(directory.path(), &database.url())?;
    let mut times = Vec::new();
    for _ in 0..runs {
        times.push(run(directory.path(), &names(TABLES), None, 4)?);
    }
    let time = median(times);
    print_number("a run, median", &format!("{time:.2} s"), "-");
    print_number(
        "a table",
        &format!("{:.3} ms", time * 1000.0 / f64::from(TABLES)),
        "8 ms",
    );
    Ok(())
}

/// Tables that take a fifth of a second each on any machine.
pub(crate) fn speedup() -> anyhow::Result<()> {
    const TABLES: u32 = 100;
    print_line(&format!(
        "speedup: {TABLES} views that take 0.2 s to read, one after another and several at once"
    ));
    let server = Postgres::start()?;
    let database = server.create_database("slow")?;
    make_slow_views(&database, TABLES)?;
    let broker = RabbitMq::start()?;
    let directory = tempfile::tempdir()?;
    write_configuration(directory.path(), &database.url())?;
    let _workers = workers("reconcile-worker", &broker, directory.path(), 2, 4)?;
    for (transport, broker) in [
        ("in one process", None),
        ("over RabbitMQ, two workers", Some(&broker)),
    ] {
        let time = |parallel| run(directory.path(), &names(TABLES), broker, parallel);
        let (one, four, eight) = (
            time(1)?.as_secs_f64(),
            time(4)?.as_secs_f64(),
            time(8)?.as_secs_f64(),
        );
        print_number(
            &format!("one after another, {transport}"),
            &format!("{one:.2} s"),
            "-",
        );
        print_number(
            &format!("4 at once, {transport}"),
            &format!("{four:.2} s, {:.2}x", one / four),
            "3.8x",
        );
        print_number(
            &format!("8 at once, {transport}"),
            &format!("{eight:.2} s, {:.2}x", one / eight),
            "7.2x",
        );
    }
    Ok(())
}

fn make_slow_views(database: &Database, count: u32) -> anyhow::Result<()> {
    let views = (0..count).map(|number| {
        format!("CREATE VIEW t{number} AS SELECT v.id FROM (SELECT 1 AS id, pg_sleep(0.2)) AS v;")
    });
    Ok(database.execute(&views.collect::<String>())?)
}

fn names(count: u32) -> Vec<String> {
    (0..count).map(|number| format!("t{number}")).collect()
}

/// Both endpoints are the same database: every table is equal to itself.
fn write_configuration(directory: &Path, url: &str) -> anyhow::Result<()> {
    let text = format!(
        "[endpoints.source]\nurl = \"{url}\"\n\n[endpoints.target]\nurl = \"{url}\"\n\n[run]\nallow_same = true\n"
    );
    Ok(std::fs::write(directory.join("reconcile.toml"), text)?)
}

fn workers(
    program: &str,
    broker: &RabbitMq,
    directory: &Path,
    count: u32,
    concurrency: u32,
) -> anyhow::Result<Vec<Process>> {
    let mut workers = Vec::new();
    for number in 0..count {
        let mut command = Command::new(binary(program)?);
        command.env("RECONCILE_METRICS_ADDR", "off");
        command.current_dir(directory).args([
            "--broker",
            &broker.amqp_url(),
            "--concurrency",
            &concurrency.to_string(),
        ]);
        let mut worker = Process::start(&format!("{program} {number}"), &mut command)?;
        worker.wait_for_line("ready", START)?;
        workers.push(worker);
    }
    Ok(workers)
}

/// One run over all tables, which must report all of them equal.
fn run(
    directory: &Path,
    tables: &[String],
    broker: Option<&RabbitMq>,
    parallel: u32,
) -> anyhow::Result<Duration> {
    let (list, log) = (directory.join("tables"), directory.join("log"));
    std::fs::write(&list, tables.join("\n"))?;
    let mut command = Command::new(binary("reconcile")?);
    command
        .current_dir(directory)
        .env("XDG_STATE_HOME", directory);
    command
        .args([
            "run",
            "--source",
            "source",
            "--target",
            "target",
            "--row-level",
            "--format",
            "json",
            "--tables-file",
        ])
        .arg(&list);
    command.arg("--output").arg(directory.join("report.json"));
    command.args(["--parallel", "--parallel-workers", &parallel.to_string()]);
    if let Some(broker) = broker {
        command.args(["--broker", &broker.amqp_url()]);
    }
    let usage = measure(&mut command, &log)?;
    ensure!(
        usage.status.success(),
        "reconcile ended with {}: {}",
        usage.status,
        std::fs::read_to_string(&log)?
    );
    Ok(usage.wall)
}

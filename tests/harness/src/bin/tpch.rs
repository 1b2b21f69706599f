//! Loads TPC-H into two sides with known differences, and checks a report against them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use harness::tpch::check::{Report, check};
use harness::tpch::load::Load;
use harness::tpch::plan::Plan;
use harness::tpch::side::Side;
use harness::tpch::{TABLES, Table};
use shared::outcome::DifferenceKind;
use url::Url;

#[derive(Debug, Parser)]
#[command(about)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load both sides and plant differences in the target.
    Load(LoadOptions),
    /// Compare a JSON report with what was planted; exit code 1 if it is not exact.
    Check {
        /// The file that `load` wrote.
        #[arg(long)]
        plan: PathBuf,
        /// The file that `reconcile run --format json` wrote.
        #[arg(long)]
        report: PathBuf,
    },
    /// Print the names of all tables, separated by commas.
    Tables,
}

#[derive(Debug, Args)]
struct LoadOptions {
    /// TPC-H's scale factor: 1 is 6 million line items.
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
    /// The source: a SQL Server, as mssql://…; --source-password-file may hold its password.
    #[arg(long, value_name = "URL", conflicts_with_all = ["source_postgres", "source_tds"])]
    source_sql_server: Option<String>,
    /// The source: a SQL Server stand-in, as mssql://…
    #[arg(
        long,
        value_name = "URL",
        requires = "source_backing",
        conflicts_with = "source_postgres"
    )]
    source_tds: Option<String>,
    /// The PostgreSQL database behind the stand-in.
    #[arg(long, value_name = "URL")]
    source_backing: Option<String>,
    /// The source: a PostgreSQL database.
    #[arg(long, value_name = "URL")]
    source_postgres: Option<String>,
    /// The target: a PostgreSQL database.
    #[arg(long, value_name = "URL")]
    target: String,
    /// A file with the password of the source, if its URL has none.
    #[arg(long, value_name = "FILE")]
    source_password_file: Option<PathBuf>,
    /// A file with the password of the target, if its URL has none.
    #[arg(long, value_name = "FILE")]
    target_password_file: Option<PathBuf>,
    /// Where to write what was planted.
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// How many line items differ; 0 for two equal sides.
    #[arg(long, default_value_t = 1100)]
    differences: u32,
    /// The same seed plants the same differences.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these tables.
    #[arg(long, value_delimiter = ',')]
    tables: Vec<String>,
    /// Do nothing if the same data has been loaded already.
    #[arg(long)]
    unless_loaded: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Options::parse().command {
        Command::Load(options) => load(&options).await,
        Command::Check { plan, report } => {
            let plan = Plan::read(&plan)?;
            let text = std::fs::read(&report)
                .with_context(|| format!("cannot read {}", report.display()))?;
            let report: Report = serde_json::from_slice(&text)
                .with_context(|| format!("{} is no report", report.display()))?;
            Ok(print_verdict(&plan, &report, &check(&plan, &report)))
        }
        Command::Tables => {
            let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
            print_line(&names.join(","));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn load(options: &LoadOptions) -> anyhow::Result<ExitCode> {
    // A process has one TLS provider; an earlier choice is no error.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let source_password = options.source_password_file.as_deref();
    let source = |url: &str| with_password(url, source_password);
    let mut source = match options {
        LoadOptions {
            source_sql_server: Some(url),
            ..
        } => Side::sql_server(&source(url)?).await?,
        LoadOptions {
            source_tds: Some(url),
            source_backing: Some(backing),
            ..
        } => Side::standin(&source(url)?, backing).await?,
        LoadOptions {
            source_postgres: Some(url),
            ..
        } => Side::postgres(&source(url)?).await?,
        _ => bail!(
            "give --source-postgres, --source-sql-server, or --source-tds with --source-backing"
        ),
    };
    let target = with_password(&options.target, options.target_password_file.as_deref())?;
    let mut target = Side::postgres(&target).await?;
    let tables = if options.tables.is_empty() {
        TABLES.to_vec()
    } else {
        let find =
            |name: &String| Table::named(name).with_context(|| format!("there is no table {name}"));
        options
            .tables
            .iter()
            .map(find)
            .collect::<anyhow::Result<_>>()?
    };
    let load = Load {
        scale: options.scale,
        differences: options.differences,
        seed: options.seed,
        tables,
    };
    if options.unless_loaded && load.is_done(&mut source, &target).await? {
        print_line("the data has been loaded already");
        return Ok(ExitCode::SUCCESS);
    }
    let mut begin = Instant::now();
    let plan = load
        .run(&mut source, &mut target, |table| {
            let count = |kind| table.count(kind);
            print_line(&format!(
                "{:<14} {:>8} rows in {:>5.1} s; planted {} modified, {} missing, {} extra",
                table.name,
                table.source_count,
                begin.elapsed().as_secs_f64(),
                count(DifferenceKind::Modified),
                count(DifferenceKind::Missing),
                count(DifferenceKind::Extra)
            ));
            begin = Instant::now();
        })
        .await?;
    plan.write(&options.plan)?;
    Ok(ExitCode::SUCCESS)
}

/// `url` with the password that `file` holds, if a file is given.
fn with_password(url: &str, file: Option<&Path>) -> anyhow::Result<String> {
    let Some(file) = file else {
        return Ok(url.to_owned());
    };
    let password = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the password in {}", file.display()))?;
    let mut url = Url::parse(url).with_context(|| format!("`{url}` is no URL"))?;
    if url.set_password(Some(password.trim_end())).is_err() {
        bail!("{url} cannot have a password");
    }
    Ok(url.into())
}

/// Prints what was planted and reported in each table, and whether both agree.
fn print_verdict(plan: &Plan, report: &Report, problems: &[String]) -> ExitCode {
    print_line("               planted                     reported");
    print_line("table          modified missing   extra    modified missing   extra");
    let mut planted = 0;
    for table in &plan.tables {
        planted += table.differences.len();
        let count = |kind| table.count(kind);
        let found = report.counts(&table.name);
        let found = found.map_or(
            "not in the report".to_owned(),
            |[modified, missing, extra]| format!("{modified:>8} {missing:>7} {extra:>7}"),
        );
        print_line(&format!(
            "{:<14} {:>8} {:>7} {:>7}    {found}",
            table.name,
            count(DifferenceKind::Modified),
            count(DifferenceKind::Missing),
            count(DifferenceKind::Extra)
        ));
    }
    for problem in problems.iter().take(50) {
        print_line(problem);
    }
    let tables = plan.tables.len();
    if problems.is_empty() {
        print_line(&format!(
            "exact: {tables} tables, all {planted} planted differences reported and nothing else"
        ));
        return ExitCode::SUCCESS;
    }
    print_line(&format!(
        "not exact: {} deviations from the plan of {planted} differences in {tables} tables",
        problems.len()
    ));
    ExitCode::FAILURE
}

#[expect(
    clippy::print_stdout,
    reason = "the result of this program is its output"
)]
fn print_line(line: &str) {
    println!("{line}");
}

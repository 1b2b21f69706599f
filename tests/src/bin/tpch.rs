//! Loads TPC-H into two sides with known differences, and checks a report against them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use shared::outcome::DifferenceKind;
use tests::tpch::check::{Report, check};
use tests::tpch::load::Load;
use tests::tpch::plan::Plan;
use tests::tpch::side::Side;
use tests::tpch::{TABLES, Table};

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
    /// Compare a JSON report with what was planted; exit code 1 when it is not exact.
    Check {
        /// What `load` wrote.
        #[arg(long)]
        plan: PathBuf,
        /// What `reconcile run --format json` wrote.
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
    /// The source: a SQL Server stand-in, as mssql://…
    #[arg(
        long,
        value_name = "URL",
        requires = "source_backing",
        conflicts_with = "source_postgres"
    )]
    source_tds: Option<String>,
    /// The PostgreSQL database under the stand-in.
    #[arg(long, value_name = "URL")]
    source_backing: Option<String>,
    /// The source: a PostgreSQL database.
    #[arg(long, value_name = "URL")]
    source_postgres: Option<String>,
    /// The target: a PostgreSQL database.
    #[arg(long, value_name = "URL")]
    target: String,
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
            Ok(say_verdict(&plan, &check(&plan, &report)))
        }
        Command::Tables => {
            let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
            say(&names.join(","));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn load(options: &LoadOptions) -> anyhow::Result<ExitCode> {
    // The provider of TLS is chosen once a process; that another has been chosen is no error.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut source = match (
        &options.source_tds,
        &options.source_backing,
        &options.source_postgres,
    ) {
        (Some(tds), Some(backing), _) => Side::standin(tds, backing).await?,
        (_, _, Some(postgres)) => Side::postgres(postgres).await?,
        _ => bail!("give --source-postgres, or --source-tds with --source-backing"),
    };
    let mut target = Side::postgres(&options.target).await?;
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
    let mut begin = Instant::now();
    let plan = load
        .run(&mut source, &mut target, |table| {
            let count = |kind| table.count(kind);
            say(&format!(
                "{:<13} {:>9} rows in {:>5.1} s; planted {} modified, {} missing, {} extra",
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

fn say_verdict(plan: &Plan, problems: &[String]) -> ExitCode {
    let planted: usize = plan
        .tables
        .iter()
        .map(|table| table.differences.len())
        .sum();
    if problems.is_empty() {
        say(&format!(
            "exact: {} tables, all {planted} planted differences reported and nothing else",
            plan.tables.len()
        ));
        return ExitCode::SUCCESS;
    }
    for problem in problems.iter().take(50) {
        say(problem);
    }
    say(&format!(
        "not exact: {} deviations from the plan of {planted} differences in {} tables",
        problems.len(),
        plan.tables.len()
    ));
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "what this program says is its result")]
fn say(line: &str) {
    println!("{line}");
}

//! Measures the cost of a comparison against a lower bound of that cost.
//!
//! Every number is the median of alternating runs of one invocation, on private
//! services, and is printed beside its limit. A number beyond its limit is no
//! error; a wrong report is one.

mod databases;
mod differing;
mod fleet;
mod in_process;
mod measure;
mod output;
mod telemetry;

use clap::{Parser, ValueEnum};

/// Prints measurements beside their limits.
#[derive(Debug, Parser)]
struct Options {
    /// What to measure.
    #[arg(value_enum, default_value_t = Subject::All)]
    subject: Subject,
    /// TPC-H's scale factor for `pg-pg` and `telemetry`: 1 is 6 million line items.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Rows of the table for `differing`; a multiple of 100.
    #[arg(long, default_value_t = 2_000_000)]
    rows: u64,
    /// Runs of each kind.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Row level between two PostgreSQL databases: time against reading both, memory.
    PgPg,
    /// Row level between the SQL Server stand-in and PostgreSQL: processor time against the bare drivers.
    MssqlPg,
    /// A table of which no, some or all rows differ: time, memory.
    Differing,
    /// The cost of a table apart from its comparison.
    Overhead,
    /// Tables without rows.
    Empty,
    /// Tables that take a while, several at once.
    Speedup,
    /// Row level between two PostgreSQL databases, with telemetry and without.
    Telemetry,
    /// All of these.
    All,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let wanted = |subject| options.subject == subject || options.subject == Subject::All;
    if wanted(Subject::PgPg) {
        databases::postgres_to_postgres(options.scale, options.runs)?;
    }
    if wanted(Subject::MssqlPg) {
        databases::sql_server_to_postgres(options.runs)?;
    }
    if wanted(Subject::Differing) {
        differing::much_differing(options.rows, options.runs)?;
    }
    if wanted(Subject::Overhead) {
        fleet::overhead(options.runs)?;
        in_process::overhead(options.runs)?;
    }
    if wanted(Subject::Empty) {
        fleet::empty_tables(options.runs)?;
    }
    if wanted(Subject::Speedup) {
        fleet::speedup()?;
    }
    if wanted(Subject::Telemetry) {
        telemetry::overhead(options.scale, options.runs)?;
    }
    Ok(())
}

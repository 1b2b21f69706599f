//! The command line as it is written, before anything is decided.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use shared::config::{ByteSize, FailFast, ReportFormat, parse_duration};
use shared::logging::LogFormat;
use shared::telemetry::trace::TraceFlags;

use super::estimate::EstimateFlags;
use super::telemetry::TelemetryFlags;
use crate::parallel::MAX_WORKERS;

/// Tells whether every row of a list of tables arrived unchanged.
///
/// Exit codes: 0 every table verified and equal; 1 differences found; 2 usage
/// or configuration error; 3 some table could not be verified; 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "reconcile", version, max_term_width = 100)]
pub(super) struct Flags {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Configuration file [default: reconcile.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE", env = "RECONCILE_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Where runs are kept [default: $XDG_STATE_HOME/reconcile, or ~/.local/state/reconcile]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Form of the log lines on standard error: human or json [default: human]
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "RECONCILE_LOG_FORMAT",
        hide_env = true
    )]
    pub(super) log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Compare tables and report
    Run(Box<RunFlags>),
    /// Carry repair scripts out in the target, in one transaction, and look at the rows again
    ///
    /// Exit codes: 0 applied, and the rows are equal; 1 applied, and rows were
    /// skipped or still differ; 2 usage or configuration error, or a script that
    /// cannot be applied, the target is as it was; 3 not applied, the target is as
    /// it was; 4 applied, but the rows could not be compared again, the result not
    /// shown, or what takes it back not put in place; 5 the commit was not answered:
    /// applied or not, look at the target before you repeat.
    Apply(ApplyFlags),
    /// Go on with a run whose coordinator was killed
    Resume(ResumeFlags),
    /// List the runs that are kept
    History(HistoryFlags),
    /// Show the report of a run again
    Report(ReportFlags),
    /// Show how far a run is, and what runs where
    Status(StatusFlags),
    /// End a run from another terminal; what runs is stopped
    Cancel(CancelFlags),
    /// Show the workers of a broker and what they are at
    Workers(WorkersFlags),
    /// Have a worker finish or hand back what it holds, and end
    Drain(DrainFlags),
    /// Show the configuration that is in force, without its secrets
    Config,
    /// Say how many workers a run needs to be done in time
    Estimate(EstimateFlags),
    /// Show which types are compared with each other, how, and the options of columns
    Types,
}

#[derive(Debug, Default, Args)]
pub(super) struct RunFlags {
    /// Tables: `table`, `schema.table` or `source=target`, separated by commas; `*` stands for any
    /// text in the names of the source [default: the [[tables]] of the configuration]
    #[arg(
        long,
        value_name = "LIST",
        conflicts_with = "tables_file",
        help_heading = "What"
    )]
    pub(super) tables: Option<String>,
    /// File with one entry of such a list per line; # begins a comment
    #[arg(long, value_name = "FILE", help_heading = "What")]
    pub(super) tables_file: Option<PathBuf>,
    /// Endpoint of the source [default: the SQLSERVER_… variables]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "source_url",
        help_heading = "What"
    )]
    pub(super) source: Option<String>,
    /// Endpoint of the target [default: the POSTGRES_… variables]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "target_url",
        help_heading = "What"
    )]
    pub(super) target: Option<String>,
    /// The source as mssql://… or postgres://…; not with --broker
    #[arg(long, value_name = "URL", help_heading = "What")]
    pub(super) source_url: Option<String>,
    /// The target as postgres://… or mssql://…; not with --broker
    #[arg(long, value_name = "URL", help_heading = "What")]
    pub(super) target_url: Option<String>,

    /// Compare every row by checksum, not only the number of rows
    #[arg(long, help_heading = "How deep")]
    pub(super) validate_checksums: bool,
    /// Find the rows that differ
    #[arg(long, help_heading = "How deep")]
    pub(super) row_level: bool,
    /// Keys that one statement fetches when differing rows are looked up [default: 1000]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "How deep")]
    pub(super) row_level_chunk_size: Option<NonZeroU32>,
    /// Key columns by their source names, separated by commas [default: the primary key]
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "How deep"
    )]
    pub(super) pk_columns: Option<Vec<String>>,
    /// Differing rows of a table that are listed; all are counted [default: 1000]
    #[arg(long, value_name = "N", help_heading = "How deep")]
    pub(super) max_differences: Option<u32>,

    /// Look at differing rows again up to N times before they count: copies lag
    #[arg(long, value_name = "N", help_heading = "How deep")]
    pub(super) recheck: Option<u32>,
    /// How long to wait before the first of these looks; it doubles [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "How deep")]
    pub(super) recheck_delay: Option<Duration>,
    /// Memory that comparing one table may take [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = ByteSize::from_str, help_heading = "How deep")]
    pub(super) memory_limit: Option<ByteSize>,
    /// Disk that comparing one table may take when very much differs [default: 16GiB]
    #[arg(long, value_name = "SIZE", value_parser = ByteSize::from_str, help_heading = "How deep")]
    pub(super) spill_limit: Option<ByteSize>,
    /// Read SQL Server under READ UNCOMMITTED: takes no locks, and what it reads may never have been true
    #[arg(long, help_heading = "How deep")]
    pub(super) read_uncommitted: bool,

    /// Write a script per table that makes the target equal to the source, and one that takes it back
    #[arg(long, help_heading = "Repair")]
    pub(super) generate_repair: bool,
    /// Where these scripts are written [default: .]
    #[arg(long, value_name = "DIR", help_heading = "Repair")]
    pub(super) output_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(super) broker: BrokerFlags,
    /// Compare in this process, whatever broker flags, environment or configuration name
    #[arg(long, help_heading = "Where")]
    pub(super) local: bool,
    /// Do not keep the run: it cannot be resumed or reported again
    #[arg(long, conflicts_with = "state_dir", help_heading = "Where")]
    pub(super) no_store: bool,

    /// Several tables at a time in this process
    #[arg(long, help_heading = "How many")]
    pub(super) parallel: bool,
    /// Tables at a time [default: 4; with --broker as many as its workers can]
    #[arg(long, value_name = "N", value_parser = workers, help_heading = "How many")]
    pub(super) parallel_workers: Option<NonZeroU32>,
    /// How long one table may take: seconds, or 30s, 5m, 2h [default: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = parse_duration, help_heading = "How many")]
    pub(super) parallel_timeout: Option<Duration>,

    /// Go on after a table that fails or differs (the default)
    #[arg(
        long,
        conflicts_with = "fail_fast",
        help_heading = "When something is wrong"
    )]
    pub(super) continue_on_error: bool,
    /// End the run with the first table that fails, or with `mismatch` also the first that differs
    #[arg(long, value_name = "error|mismatch", num_args = 0..=1, default_missing_value = "error",
          value_parser = FailFast::from_str, help_heading = "When something is wrong")]
    pub(super) fail_fast: Option<FailFast>,
    /// How often a table is tried when an attempt fails in a way that may pass [default: 3]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "When something is wrong")]
    pub(super) max_attempts: Option<NonZeroU32>,
    /// How long tables may wait where no worker claims them [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "When something is wrong")]
    pub(super) claim_timeout: Option<Duration>,

    /// console, json or csv [default: console]
    #[arg(long, value_name = "FORMAT", value_parser = ReportFormat::from_str, help_heading = "Report")]
    pub(super) format: Option<ReportFormat>,
    /// Write the report to this file and not to standard output
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(super) output: Option<PathBuf>,
    /// Keep the values of rows out of reports and logs: show a keyed hash, the length and where they part
    #[arg(long, help_heading = "Report")]
    pub(super) redact: bool,

    #[command(flatten)]
    pub(super) telemetry: TelemetryFlags,

    #[command(flatten)]
    pub(super) traces: TraceFlags,

    /// How often a worker shows that it is alive
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide = true)]
    pub(super) heartbeat_period: Option<Duration>,
}

/// Where the broker is.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct BrokerFlags {
    /// Spread the run over the workers of this broker, amqp://… or amqps://…
    #[arg(
        id = "broker",
        long = "broker",
        value_name = "URL",
        env = "RECONCILE_BROKER",
        hide_env_values = true,
        help_heading = "Where"
    )]
    pub(super) url: Option<String>,
    /// Begins the name of every queue and exchange [default: reconcile]
    #[arg(long, value_name = "TEXT", help_heading = "Where")]
    pub(super) prefix: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ResumeFlags {
    /// The run: its id, the beginning of it, or `latest`
    pub(super) run: String,
    #[command(flatten)]
    pub(super) broker: BrokerFlags,
    /// The source, if the run had it as a URL
    #[arg(long, value_name = "URL", help_heading = "Where")]
    pub(super) source_url: Option<String>,
    /// The target, if the run had it as a URL
    #[arg(long, value_name = "URL", help_heading = "Where")]
    pub(super) target_url: Option<String>,
    #[command(flatten)]
    pub(super) report: DeliveryFlags,
    #[command(flatten)]
    pub(super) telemetry: TelemetryFlags,
    #[command(flatten)]
    pub(super) traces: TraceFlags,
}

/// What `reconcile apply` is told.
#[derive(Debug, Args)]
pub(super) struct ApplyFlags {
    /// Scripts that `run --generate-repair` wrote, or the directory that they are in
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Take repairs back: of a directory, use the .undo.sql scripts
    #[arg(long)]
    pub(super) undo: bool,
    /// Take for done what is not known to have been: a repair that was applied with psql or
    /// sqlcmd and is to be taken back, or a commit that was not answered
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) assume_applied: bool,
    /// Carry everything out, say what would have happened, and take it back
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not look at the rows again
    #[arg(long)]
    pub(super) no_verify: bool,
    /// Endpoint of the target, with a user who may write [default: the run's]
    #[arg(long, value_name = "NAME", conflicts_with = "target_url")]
    pub(super) target: Option<String>,
    /// The target as a URL
    #[arg(long, value_name = "URL")]
    pub(super) target_url: Option<String>,
    /// Endpoint of the source, which the rows are compared with afterwards [default: the run's]
    #[arg(long, value_name = "NAME", conflicts_with = "source_url")]
    pub(super) source: Option<String>,
    /// The source as a URL
    #[arg(long, value_name = "URL")]
    pub(super) source_url: Option<String>,
    /// console or json
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: ListFormat,
}

/// What becomes of a report.
#[derive(Debug, Args)]
pub(super) struct DeliveryFlags {
    /// console, json or csv [default: console]
    #[arg(long, value_name = "FORMAT", value_parser = ReportFormat::from_str, help_heading = "Report")]
    pub(super) format: Option<ReportFormat>,
    /// Write the report to this file and not to standard output
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct HistoryFlags {
    /// console or json
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: ListFormat,
}

#[derive(Debug, Args)]
pub(super) struct ReportFlags {
    /// The run: its id, the beginning of it, or `latest`
    pub(super) run: String,
    #[command(flatten)]
    pub(super) report: DeliveryFlags,
}

#[derive(Debug, Args)]
pub(super) struct StatusFlags {
    /// The run: its id, the beginning of it, or `latest`
    #[arg(default_value = "latest")]
    pub(super) run: String,
    /// console or json
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: ListFormat,
}

#[derive(Debug, Args)]
pub(super) struct CancelFlags {
    /// The run: its id, the beginning of it, or `latest`
    pub(super) run: String,
    #[command(flatten)]
    pub(super) broker: BrokerFlags,
}

#[derive(Debug, Args)]
pub(super) struct WorkersFlags {
    #[command(flatten)]
    pub(super) broker: BrokerFlags,
    /// console or json
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: ListFormat,
}

#[derive(Debug, Args)]
pub(super) struct DrainFlags {
    /// The worker, as `reconcile workers` names it, or the beginning of its name
    pub(super) worker: String,
    #[command(flatten)]
    pub(super) broker: BrokerFlags,
}

/// The form of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ListFormat {
    /// For people.
    #[default]
    Console,
    /// For programs.
    Json,
}

fn positive(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .map_err(|_| "write a whole number above 0".to_owned())
}

fn workers(text: &str) -> Result<NonZeroU32, String> {
    match positive(text)? {
        count if count.get() <= MAX_WORKERS => Ok(count),
        _ => Err(format!("at most {MAX_WORKERS} tables run at a time")),
    }
}

//! The options of `reconcile run` that the section `[run]` can set.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::choices::{FailFast, ReportFormat};
use super::options::options;
use super::units::ByteSize;
use crate::naming::Naming;
use crate::options::MissingColumns;
use crate::options::{EngineLimits, Recheck};

/// The most tables that a run compares at the same time.
pub const MAX_PARALLEL_WORKERS: u32 = 1024;

options! {
    /// `[run]`: what a run compares, how, and what becomes of errors.
    pub struct RunOptions in "run";

    heading "Databases";
    /// Endpoint of the source
    #[arg(value_name = "NAME", conflicts_with = "source_url")]
    source: String, else "the SQLSERVER_… or MSSQL_… variables";
    /// Endpoint of the target
    #[arg(value_name = "NAME", conflicts_with = "target_url")]
    target: String, else "the POSTGRES_… or PG… variables";

    heading "Tables";
    /// Tables that are left out of the list, as `--tables` names them
    #[arg(value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(String))]
    exclude: Vec<String>, else "none";
    /// Let patterns select views too; a view that is listed by its name is always compared
    #[arg(num_args = 0, default_missing_value = "true")]
    include_views: bool = false;
    /// Count tables as a difference that only the target has, where a pattern selects the tables
    #[arg(num_args = 0, default_missing_value = "true")]
    strict_tables: bool = false;

    heading "Comparison";
    /// Compare the checksum of every row, not only the number of rows
    #[arg(num_args = 0, default_missing_value = "true")]
    validate_checksums: bool = false;
    /// Find the rows that differ
    #[arg(num_args = 0, default_missing_value = "true")]
    row_level: bool = false;
    /// Number of keys in one statement that fetches differing rows
    #[arg(value_name = "N")]
    row_level_chunk_size: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);
    /// Key columns by their source names, separated by commas
    #[arg(value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(String))]
    pk_columns: Vec<String>, else "the primary key";
    /// How far names of tables and columns may differ and still be paired: not at all, in case, or also in `_`, blanks and `-`
    #[arg(value_name = "exact|ignore-case|normalised")]
    naming: Naming = Naming::Normalised;
    /// Whether a source column without a partner in the target makes its table different
    #[arg(value_name = "difference|note")]
    missing_columns: MissingColumns = MissingColumns::Difference;
    /// Compare a table with itself: source and target may be the same table of the same database
    #[arg(num_args = 0, default_missing_value = "true")]
    allow_same: bool = false;
    /// Number of differing rows per table that the report lists; all are counted
    #[arg(value_name = "N")]
    max_differences: u32 = 1000;
    /// Read differing rows again up to N times before they count, for replicas that lag behind
    #[arg(value_name = "N")]
    recheck: u32 = Recheck::default().times;
    /// Time before the first recheck; it doubles with every further one
    #[arg(value_name = "DURATION")]
    recheck_delay: Duration = Duration::from_millis(Recheck::default().delay_ms);
    /// Memory for the comparison of one table
    #[arg(value_name = "SIZE")]
    memory_limit: ByteSize = ByteSize(EngineLimits::default().memory_bytes);
    /// Longest value that is kept in memory, at least 64KiB; of longer ones length and hash are compared where the driver hands them out in parts, otherwise the table fails
    #[arg(value_name = "SIZE")]
    max_value_size: ByteSize = ByteSize(EngineLimits::default().value_bytes);
    /// Disk space for the comparison of one table, used when very many rows differ
    #[arg(value_name = "SIZE")]
    spill_limit: ByteSize = ByteSize(EngineLimits::default().spill_bytes);
    /// Directory of the temporary files of comparisons in this process, which is not in memory unless it is named here; workers have an option of their own
    #[arg(value_name = "DIR", value_parser = clap::value_parser!(PathBuf))]
    spill_dir: PathBuf, else "$TMPDIR or /tmp, or /var/tmp if that is in memory";
    /// Read SQL Server at READ UNCOMMITTED: without locks, and possibly rows that were never committed
    #[arg(num_args = 0, default_missing_value = "true")]
    read_uncommitted: bool = false;

    heading "Repair";
    /// Write two scripts per table: one makes the target equal to the source, one reverts that
    #[arg(num_args = 0, default_missing_value = "true")]
    generate_repair: bool = false;
    /// Also repair tables without a key: each statement counts the equal rows of the target
    #[arg(num_args = 0, default_missing_value = "true")]
    repair_keyless: bool = false;
    /// Directory for the repair scripts; each run writes into a directory of its own below it
    #[arg(value_name = "DIR", value_parser = clap::value_parser!(PathBuf))]
    output_dir: PathBuf, else ".";

    heading "Parallelism";
    /// Compare several tables at the same time in this process; `--parallel-workers` implies it
    #[arg(num_args = 0, default_missing_value = "true")]
    parallel: bool = false;
    /// Number of tables that are compared at the same time
    #[arg(value_name = "N", value_parser = parallel_workers)]
    parallel_workers: NonZeroU32, else "4; with --broker as many as its workers can take";
    /// Time limit of one table: seconds, or 30s, 5m, 2h
    #[arg(value_name = "SECONDS")]
    parallel_timeout: Duration = Duration::from_secs(3600);
    /// Interval of a worker's heartbeats
    #[arg(value_name = "DURATION", hide = true)]
    heartbeat_period: Duration, else "5s; without a broker 1s";

    heading "Errors and retries";
    /// Cancel the run at the first table that fails, or with `mismatch` also at the first that differs
    #[arg(value_name = "error|mismatch", num_args = 0..=1, default_missing_value = "error")]
    fail_fast: FailFast = FailFast::Off;
    /// Number of attempts at a table when an error may be temporary
    #[arg(value_name = "N")]
    max_attempts: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);
    /// Time limit for tables that no worker claims
    #[arg(value_name = "DURATION")]
    claim_timeout: Duration = Duration::from_secs(60);
    /// Continue an unfinished run of the same tables and settings that was started at most this long ago; with a broker, SIGTERM then leaves a run and its running tables to the next start
    #[arg(value_name = "DURATION")]
    resume_within: Duration, else "a new run is started, and SIGTERM pauses it";

    heading "Report";
    /// Redact the values of rows in reports and logs: print a keyed hash, the length and where they begin to differ
    #[arg(num_args = 0, default_missing_value = "true")]
    redact: bool = false;
    /// Write every row that differs to this file, one JSON object a line, or CSV if its name ends in .csv; the report still lists --max-differences of a table
    #[arg(value_name = "FILE", value_parser = clap::value_parser!(PathBuf))]
    rows_output: PathBuf, else "no such file";

    heading "Storage";
    /// Name of the run, by which other commands find it; the latest run with a name is meant
    #[arg(value_name = "NAME")]
    name: String, else "none";
}

options! {
    /// `[run]`: the form of a report and the files that it is written to.
    pub struct ReportOptions in "run";

    heading "Report";
    /// Form of the report on standard output: console, json, csv, html, junit or markdown; with `--output`, it is printed only if this option is set
    #[arg(value_name = "FORMAT")]
    format: ReportFormat = ReportFormat::Console;
    /// Write the report to this file, in the form that the end of its name tells: .json, .csv, .html, .xml (JUnit), .md or .txt; may be repeated
    #[arg(value_name = "FILE", value_parser = clap::value_parser!(PathBuf))]
    output: Vec<PathBuf>, else "standard output";
}

options! {
    /// `[run]`: what is printed during a run.
    pub struct ProgressOptions in "run";

    heading "Report";
    /// Print no progress and no messages except warnings and errors
    #[arg(short, num_args = 0, default_missing_value = "true")]
    quiet: bool = false;
}

options! {
    /// `[run]`: where runs are stored.
    pub struct StoreOptions in "run";

    heading "Storage";
    /// Directory of the stored runs
    #[arg(value_name = "DIR", global = true, value_parser = clap::value_parser!(PathBuf))]
    state_dir: PathBuf, else "$XDG_STATE_HOME/reconcile, or ~/.local/state/reconcile";
}

options! {
    /// `[check]`: which findings of a check count.
    pub struct CheckOptions in "check";

    heading "Check";
    /// Rules of `reconcile check` that are turned off, separated by commas
    #[arg(value_name = "RULES", value_delimiter = ',', value_parser = clap::value_parser!(String))]
    ignore: Vec<String>, else "none";
}

fn parallel_workers(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .ok()
        .filter(|count: &NonZeroU32| count.get() <= MAX_PARALLEL_WORKERS)
        .ok_or_else(|| format!("write a whole number above 0 and up to {MAX_PARALLEL_WORKERS}"))
}

//! The flags of every command, before anything is decided. The flags that the
//! configuration can set as well are declared in `shared::config`.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use shared::config::{
    CheckOptions, LogOptions, MetricsOptions, ProgressOptions, ReportOptions, RunOptions,
    StoreOptions,
};
use shared::endpoint::Secret;
use shared::outcome::RepairAction;
use shared::telemetry::trace::TraceFlags;

use super::estimate::EstimateFlags;

/// Verifies that every row of a list of tables arrived unchanged in another database.
///
/// Exit codes: 0 every table verified and equal to its depth; 1 differences found; 2 usage
/// or configuration error; 3 some table could not be verified; 130 paused by Ctrl-C or SIGTERM,
/// or cancelled; 143 left unfinished by SIGTERM, with --resume-within. Killed by signal N: 128 + N, as for every
/// program; nothing is known of the tables then.
#[derive(Debug, Parser)]
#[command(name = "reconcile", version, max_term_width = 100, after_help = EXAMPLES)]
pub(super) struct Flags {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Configuration file [default: reconcile.toml, if it exists]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "RECONCILE_CONFIG",
        help_heading = "Configuration"
    )]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) store: StoreOptions,
    #[command(flatten)]
    pub(super) log: LogOptions,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Compare tables and report
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunFlags>),
    /// Check whether a run of the same tables can verify them, and estimate how long it takes
    ///
    /// Takes the tables and options of `run`, reads catalogs, statistics and a short sample of rows,
    /// and prints all problems at once. Exit codes: 0 nothing prevents the run; 1 the run can verify
    /// all tables, and their structure differs; 2 usage or configuration error; 3 the run cannot
    /// verify some table, or the tables could not be checked.
    #[command(mut_arg("check", |arg| arg.hide(true)))]
    Check(Box<CheckFlags>),
    /// Execute repair scripts in the target, in one transaction, and compare the rows again
    ///
    /// Exit codes: 0 applied, and the rows are equal; 1 applied, and rows were
    /// skipped or still differ; 2 usage or configuration error, or a script that
    /// cannot be applied, nothing was changed; 3 not applied, nothing was changed;
    /// 4 applied, but the rows could not be compared again, the result could not be
    /// printed, or the undo scripts could not be renamed; 5 the database did not answer
    /// the commit: check whether the target was changed before you repeat; 130
    /// interrupted or not confirmed, nothing was changed.
    #[command(after_help = "\
Examples:
  reconcile apply repair/RUN --dry-run
  reconcile apply repair/RUN
  reconcile apply repair/RUN --undo")]
    Apply(ApplyFlags),
    /// Continue a run that was paused with Ctrl-C, or whose coordinator was killed
    #[command(after_help = "\
Examples:
  reconcile resume latest
  reconcile resume nightly --format json")]
    Resume(ResumeFlags),
    /// List the stored runs
    History(HistoryFlags),
    /// Print the report of a stored run, one of its tables, or its differing rows
    ///
    /// Exit codes: those of the run; with --table those of a run of this table alone.
    Report(ReportFlags),
    /// Print what changed between two stored runs
    ///
    /// Exit codes: 0 nothing changed; 1 something changed; 2 usage or configuration error, or a
    /// run without a report. That nothing changed does not mean that all tables are equal.
    Diff(DiffFlags),
    /// Print the progress of a run and the tables that are being compared
    Status(StatusFlags),
    /// Cancel a run from another terminal; running comparisons are stopped
    Cancel(CancelFlags),
    /// List the workers of a broker and the tables that they compare
    Workers(WorkersFlags),
    /// Drain a worker: it takes no more tables, and ends when its own are finished or handed back
    Drain(DrainFlags),
    /// Print the configuration of the file and the environment, without its secrets
    Config(ConfigFlags),
    /// Estimate how many workers a run needs to end in time
    Estimate(EstimateFlags),
    /// Print which types can be compared, how, and the options of columns
    Types(TypesFlags),
    /// Print the completion script of a shell
    #[command(after_help = "\
Examples:
  reconcile completions bash > /etc/bash_completion.d/reconcile
  reconcile completions zsh > ~/.zfunc/_reconcile")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write the pages of all commands to a directory
    Man(ManFlags),
}

#[derive(Debug, Args)]
pub(super) struct TypesFlags {
    /// Only pairs with a type that has this text in its name
    pub(super) name: Option<String>,
    /// Print the page of the documentation, with the options of columns
    #[arg(long, conflicts_with = "name", help_heading = "Output")]
    pub(super) markdown: bool,
}

#[derive(Debug, Args)]
pub(super) struct ManFlags {
    /// Write the pages of all commands to this directory
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ConfigFlags {
    /// Print only what applies to this table of the source: target, key, columns and rules
    #[arg(long, value_name = "TABLE", help_heading = "Output")]
    pub(super) table: Option<String>,
}

/// The examples at the end of the help.
const EXAMPLES: &str = "\
Examples:
  reconcile run --tables 'dbo.*' --row-level --parallel-workers 8
  reconcile status
  reconcile resume latest
  reconcile report latest --format json";

const RUN_EXAMPLES: &str = "\
Examples:
  Compare the rows of two tables:
    reconcile run --tables dbo.orders,dbo.customers --row-level
  Compare all tables of a schema, eight at a time, and name the run:
    reconcile run --tables 'dbo.*' --row-level --parallel-workers 8 --name nightly
  Let the workers of a broker compare, and write the report to a file:
    reconcile run --tables 'dbo.*' --row-level --broker amqp://host --output report.txt
  Compare a part of a table:
    reconcile run --tables dbo.orders --where 'dbo.orders: year >= 2024' --row-level";

#[derive(Debug, Default, Args)]
pub(super) struct RunFlags {
    /// Tables, separated by commas: `table`, `schema.table`, `source=target`, patterns such as
    /// `dbo.*`, and `!table` for those to leave out [default: `[[tables]]` of the configuration]
    ///
    /// In names of the source `*` stands for any text, `?` for one character and `[a-c]` for one
    /// of a set; square brackets around a whole name are quotes, as is "…". In a target `*` stands
    /// for what the last `*` of the source matched: dbo.*=public.erp_dbo_*. With ! before it an
    /// entry leaves tables out: dbo.*,!dbo.tmp_*. Patterns select no views and no tables of the
    /// system; a table that is listed by its name is taken from all patterns.
    #[arg(
        long,
        value_name = "LIST",
        conflicts_with = "tables_file",
        help_heading = "Tables"
    )]
    pub(super) tables: Option<String>,
    /// File with one entry of such a list per line; # begins a comment
    #[arg(long, value_name = "FILE", help_heading = "Tables")]
    pub(super) tables_file: Option<PathBuf>,
    /// Compare only the tables that differed or were not verified in this run, with the settings
    /// that it had: its id, the beginning of its id, or `latest`
    ///
    /// Of the flags for the comparison, only those count that do not make more rows equal: depth,
    /// recheck, limits, repair and the report. The report names the tables that are left out.
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with_all = [
            "tables", "tables_file", "source", "target", "exclude", "include_views",
            "strict_tables", "pk_columns", "naming", "missing_columns",
            "allow_missing_columns", "allow_same",
        ],
        help_heading = "Tables"
    )]
    pub(super) only_differing: Option<String>,
    /// Compare only rows of a table for which a condition holds on both sides; repeatable
    ///
    /// The condition is in SQL that both databases understand, without comments, and replaces
    /// `where` of the configuration. The table may be a pattern; the last condition that applies
    /// counts: --where 'dbo.orders: year >= 2024'.
    #[arg(
        long = "where",
        value_name = "TABLE: CONDITION",
        help_heading = "Tables"
    )]
    pub(super) conditions: Vec<String>,
    #[command(flatten)]
    pub(super) urls: UrlFlags,

    #[command(flatten)]
    pub(super) options: RunOptions,
    /// Continue after a table that fails or differs (the default)
    #[arg(
        long,
        conflicts_with = "fail_fast",
        help_heading = "Errors and retries"
    )]
    pub(super) continue_on_error: bool,

    /// Check everything first as `reconcile check` does, and do not start a run that cannot verify
    /// every table
    #[arg(long, help_heading = "Errors and retries")]
    pub(super) check: bool,

    /// The same as `--missing-columns note`
    #[arg(long, conflicts_with = "missing_columns", help_heading = "Comparison")]
    pub(super) allow_missing_columns: bool,

    #[command(flatten)]
    pub(super) report: ReportOptions,
    #[command(flatten)]
    pub(super) progress: ProgressOptions,

    #[command(flatten)]
    pub(super) broker: BrokerFlags,
    /// Compare in this process, even if flags, environment or configuration name a broker
    #[arg(long, help_heading = "Broker")]
    pub(super) local: bool,
    /// Do not store the run: it can neither be resumed nor reported again
    #[arg(
        long,
        conflicts_with_all = ["state_dir", "resume_within"],
        help_heading = "Storage"
    )]
    pub(super) no_store: bool,

    #[command(flatten)]
    pub(super) metrics: MetricsOptions,

    #[command(flatten)]
    pub(super) traces: TraceFlags,
}

/// The flags of `reconcile check`: those of a run, and a few of its own.
#[derive(Debug, Args)]
pub(super) struct CheckFlags {
    #[command(flatten)]
    pub(super) run: RunFlags,
    #[command(flatten)]
    pub(super) check: CheckOptions,
    /// Write a first configuration to this new file: the checked endpoints without their passwords,
    /// the list of tables, and the rules that suit their types
    #[arg(long, value_name = "FILE", help_heading = "Check")]
    pub(super) write_config: Option<PathBuf>,
}

/// Databases that are no configured endpoints.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct UrlFlags {
    /// The source as mssql://user@host/database, postgres://…, or an ADO.NET, JDBC or libpq
    /// connection string; not with a broker
    #[arg(long, value_name = "URL", help_heading = "Databases")]
    source_url: Option<Secret>,
    /// File that contains the password of --source-url [default: RECONCILE_SOURCE_PASSWORD, or a prompt]
    #[arg(
        long,
        value_name = "FILE",
        requires = "source_url",
        help_heading = "Databases"
    )]
    source_password_file: Option<PathBuf>,
    /// The target, written as the source; not with a broker
    #[arg(long, value_name = "URL", help_heading = "Databases")]
    target_url: Option<Secret>,
    /// File that contains the password of --target-url [default: RECONCILE_TARGET_PASSWORD, or a prompt]
    #[arg(
        long,
        value_name = "FILE",
        requires = "target_url",
        help_heading = "Databases"
    )]
    target_password_file: Option<PathBuf>,
}

/// The URL of one side, and the file with its password.
#[derive(Debug, Clone, Copy)]
pub(super) struct SideUrl<'a> {
    pub(super) url: &'a Secret,
    pub(super) password_file: Option<&'a Path>,
}

impl UrlFlags {
    pub(super) fn source(&self) -> Option<SideUrl<'_>> {
        let password_file = self.source_password_file.as_deref();
        self.source_url
            .as_ref()
            .map(|url| SideUrl { url, password_file })
    }

    pub(super) fn target(&self) -> Option<SideUrl<'_>> {
        let password_file = self.target_password_file.as_deref();
        self.target_url
            .as_ref()
            .map(|url| SideUrl { url, password_file })
    }
}

/// The broker.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct BrokerFlags {
    /// Use the workers of this broker, amqp://… or amqps://…
    #[arg(
        id = "broker",
        long = "broker",
        value_name = "URL",
        env = "RECONCILE_BROKER",
        hide_env_values = true,
        help_heading = "Broker"
    )]
    pub(super) url: Option<Secret>,
    /// Prefix of the names of queues and exchanges [default: reconcile]
    #[arg(long, value_name = "TEXT", help_heading = "Broker")]
    pub(super) prefix: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ResumeFlags {
    /// The run: its name, its id or the beginning of it, or `latest`
    pub(super) run: String,
    #[command(flatten)]
    pub(super) broker: BrokerFlags,
    #[command(flatten)]
    pub(super) urls: UrlFlags,
    #[command(flatten)]
    pub(super) report: ReportOptions,
    #[command(flatten)]
    pub(super) progress: ProgressOptions,
    #[command(flatten)]
    pub(super) metrics: MetricsOptions,
    #[command(flatten)]
    pub(super) traces: TraceFlags,
}

#[derive(Debug, Args)]
pub(super) struct ApplyFlags {
    /// Scripts that `run --generate-repair` wrote, or the directory of the run that contains them
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Revert repairs: use the .undo.sql scripts of a directory
    #[arg(long, help_heading = "Scripts")]
    pub(super) undo: bool,
    /// Assume that the repair to revert was applied, although `apply` has no record of it: it was
    /// applied with psql or sqlcmd, or the database did not answer the commit
    #[arg(long, conflicts_with = "dry_run", help_heading = "Scripts")]
    pub(super) assume_applied: bool,
    /// Apply scripts once more that were applied before
    #[arg(long, help_heading = "Scripts")]
    pub(super) again: bool,
    /// Execute only statements of these kinds: insert, update, delete
    #[arg(
        long,
        value_enum,
        value_name = "KINDS",
        value_delimiter = ',',
        help_heading = "Scripts"
    )]
    pub(super) only: Vec<StatementKind>,
    /// Do not ask before the target is changed; required without a terminal
    #[arg(long, short, help_heading = "Execution")]
    pub(super) yes: bool,
    /// Execute everything, print what would change, and roll back
    #[arg(long, help_heading = "Execution")]
    pub(super) dry_run: bool,
    /// Do not compare the rows again
    #[arg(long, help_heading = "Execution")]
    pub(super) no_verify: bool,
    /// Endpoint of the target, with a user who may write [default: the endpoint of the run]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "target_url",
        help_heading = "Databases"
    )]
    pub(super) target: Option<String>,
    /// Endpoint of the source, for comparing the rows afterwards [default: the endpoint of the run]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "source_url",
        help_heading = "Databases"
    )]
    pub(super) source: Option<String>,
    #[command(flatten)]
    pub(super) urls: UrlFlags,
    /// console or json
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    pub(super) format: ListFormat,
}

#[derive(Debug, Args)]
pub(super) struct HistoryFlags {
    /// console or json
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    pub(super) format: ListFormat,
}

#[derive(Debug, Args)]
pub(super) struct ReportFlags {
    /// The run: its name, its id or the beginning of it, or `latest`
    pub(super) run: String,
    /// Print only this table, with all that is stored of it: console or json
    #[arg(
        long,
        value_name = "TABLE",
        conflicts_with = "output",
        help_heading = "Output"
    )]
    pub(super) table: Option<String>,
    /// Print only the differing rows, as far as they are stored: console, or json for one object a
    /// line
    #[arg(long, conflicts_with = "output", help_heading = "Output")]
    pub(super) rows: bool,
    #[command(flatten)]
    pub(super) report: ReportOptions,
}

#[derive(Debug, Args)]
pub(super) struct DiffFlags {
    /// The earlier run: its id, the beginning of its id, or `latest`
    #[arg(value_name = "RUN")]
    pub(super) before: String,
    /// The later run
    #[arg(value_name = "RUN")]
    pub(super) after: String,
    /// console or json
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    pub(super) format: ListFormat,
}

#[derive(Debug, Args)]
pub(super) struct StatusFlags {
    /// The run: its name, its id or the beginning of it, or `latest`
    #[arg(default_value = "latest")]
    pub(super) run: String,
    /// console or json
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    pub(super) format: ListFormat,
}

#[derive(Debug, Args)]
pub(super) struct CancelFlags {
    /// The run: its name, its id or the beginning of it, or `latest`
    pub(super) run: String,
    #[command(flatten)]
    pub(super) broker: BrokerFlags,
}

#[derive(Debug, Args)]
pub(super) struct WorkersFlags {
    #[command(flatten)]
    pub(super) broker: BrokerFlags,
    /// console or json
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    pub(super) format: ListFormat,
}

#[derive(Debug, Args)]
pub(super) struct DrainFlags {
    /// The worker's name in `reconcile workers`, or the beginning of the name
    pub(super) worker: String,
    #[command(flatten)]
    pub(super) broker: BrokerFlags,
}

/// A kind of statements of repair scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum StatementKind {
    /// Statements that add rows.
    Insert,
    /// Statements that change rows.
    Update,
    /// Statements that delete rows.
    Delete,
}

impl From<StatementKind> for RepairAction {
    fn from(kind: StatementKind) -> Self {
        match kind {
            StatementKind::Insert => Self::Insert,
            StatementKind::Update => Self::Update,
            StatementKind::Delete => Self::Delete,
        }
    }
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Flags;

    /// `reconcile` and all its commands.
    fn commands() -> Vec<clap::Command> {
        let mut all = Flags::command();
        all.build();
        let commands: Vec<clap::Command> = all.get_subcommands().cloned().collect();
        [vec![all], commands].concat()
    }

    #[test]
    fn every_help_fits_the_terminal() {
        for width in [80, 100] {
            for command in commands() {
                let name = command.get_name().to_owned();
                let mut command = command.term_width(width);
                for help in [command.render_help(), command.render_long_help()] {
                    for line in help.to_string().lines() {
                        assert!(
                            line.chars().count() <= width,
                            "{name} at {width} columns: {line}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_flag_belongs_to_a_group() {
        for command in commands() {
            for flag in command.get_arguments() {
                let is_common = ["help", "version"].contains(&flag.get_id().as_str());
                let is_grouped = flag.get_help_heading().is_some();
                assert!(
                    is_grouped || is_common || flag.is_positional(),
                    "{}: {}",
                    command.get_name(),
                    flag.get_id()
                );
            }
        }
    }

    #[test]
    fn completions_and_manual_pages_have_every_command() {
        let names: Vec<String> = commands()
            .iter()
            .skip(1)
            .map(|command| command.get_name().to_owned())
            .collect();
        let mut script = Vec::new();
        let shell = clap_complete::Shell::Bash;
        clap_complete::generate(shell, &mut Flags::command(), "reconcile", &mut script);
        let script = String::from_utf8_lossy(&script).into_owned();
        let mut page = Vec::new();
        let manual = clap_mangen::Man::new(Flags::command());
        manual.render(&mut page).expect("memory can be written");
        let page = String::from_utf8_lossy(&page).into_owned();
        for name in names {
            assert!(script.contains(&name), "{name} in the completions");
            assert!(
                page.contains(&name.replace('-', "\\-")),
                "{name} in the page"
            );
        }
    }
}

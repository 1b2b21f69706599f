//! The settings of a run, resolved once from flags and configuration. The rest of
//! the program sees only these.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use shared::config::{Config, FailFast, RunOptions};
use shared::endpoint::Endpoint;
use shared::message::ALL_ROWS;
use shared::options::MissingColumns;

use super::conditions;
use super::connections::{LOCAL_HEARTBEAT, Mode, broker, side_settings};
use super::delivery::Delivery;
use super::differing_tables::{DifferingTables, Requested};
use super::flags::RunFlags;
use super::requested_tables::RequestedTables;
use super::selection::{TableSelection, entries, exclusions};
use super::state_dir::state_dir;
use super::table_options::{depth_of, table_options};
use super::table_settings::TableSettings;
use super::telemetry::TelemetrySettings;
use super::usage::UsageError;
use crate::run_state::{Limits, TableScope, Window};
use crate::store::{LATEST, StoredSettings, WorkerLocation};

/// The source's default schema if its endpoint is not known here.
pub(super) const DEFAULT_SCHEMA: &str = "dbo";

/// Tables at the same time with `--parallel` alone.
const DEFAULT_WORKERS: NonZeroU32 = NonZeroU32::new(4).expect("not zero");

/// Everything that is decided before a run.
#[derive(Debug)]
pub(super) struct RunSettings {
    pub(super) mode: Mode,
    pub(super) limits: Limits,
    /// Where the report goes.
    pub(super) delivery: Delivery,
    pub(super) tables: RequestedTables,
    /// The directory of stored runs; absent: the run is not stored.
    pub(super) state_dir: Option<PathBuf>,
    /// The directory for repair scripts; absent: none are written.
    pub(super) output_dir: Option<PathBuf>,
    /// The file for all differing rows; absent: only the report lists rows.
    pub(super) rows_output: Option<PathBuf>,
    /// How old an unfinished run may be that is continued instead; absent: none is.
    pub(super) resume_within: Option<Duration>,
    pub(super) telemetry: TelemetrySettings,
    /// The rules that are turned off in the check before the run; absent: there is no check.
    pub(super) check: Option<Vec<String>>,
    /// The name under which the run is stored.
    pub(super) name: Option<String>,
    /// Whether only warnings and errors are printed beside the report.
    pub(super) quiet: bool,
}

impl RunSettings {
    /// Decides everything that can be decided without a connection.
    pub(super) fn resolve(flags: RunFlags, config: Config) -> Result<Self, UsageError> {
        let state_dir = (!flags.no_store).then(|| state_dir(&config)).transpose()?;
        let telemetry =
            TelemetrySettings::resolve(flags.metrics.clone(), &config.telemetry.metrics)?;
        let broker = if flags.local {
            None
        } else {
            broker(&flags.broker, &config, "reconcile run")?
        };
        let check = flags
            .check
            .then(|| config.check.ignore.clone().unwrap_or_default());
        let mut given = imply_parallel(flags.options.clone());
        set_short_forms(
            &mut given,
            flags.continue_on_error,
            flags.allow_missing_columns,
        );
        let options = imply_parallel(given.clone().or(config.run.clone()));
        let name = options.name.as_deref().map(run_name).transpose()?;
        let quiet = flags.progress.clone().or(config.progress.clone()).quiet();
        let limits = limits(&options, broker.is_some());
        let report = flags.report.clone().or(config.report.clone());
        let tables = match &flags.only_differing {
            Some(run) => {
                let requested = Requested {
                    given: &given,
                    options: &options,
                    urls: &flags.urls,
                    distributed: broker.is_some(),
                };
                let tables = DifferingTables::of_run(run, &requested, &config)?;
                RequestedTables::OfRun(Box::new(tables))
            }
            None => {
                let selection = selection(&flags, &options, broker.is_some(), config)?;
                RequestedTables::Listed(Box::new(selection))
            }
        };
        let mode = match broker {
            Some(options) => Mode::Broker(Box::new(options)),
            None => in_this_process(tables.endpoints(), &limits, options.spill_dir.clone()),
        };
        // The run may be resumed from another working directory.
        let absolute = |named: PathBuf| std::path::absolute(&named).unwrap_or(named);
        let rows_output = options.rows_output.clone().map(absolute);
        let output_dir = options
            .generate_repair()
            .then(|| absolute(options.output_dir.unwrap_or_else(|| PathBuf::from("."))));
        Ok(Self {
            mode,
            limits,
            // Last, since it leaves files behind until the settings are dropped.
            delivery: Delivery::prepare(&report)?,
            tables,
            state_dir,
            output_dir,
            rows_output,
            resume_within: options.resume_within,
            telemetry,
            check,
            name,
            quiet,
        })
    }

    /// The settings that are stored, with which the run can be resumed.
    pub(super) fn to_stored(&self) -> StoredSettings {
        let (source, target) = self.tables.sides();
        StoredSettings {
            limits: self.limits.clone(),
            location: match &self.mode {
                Mode::Local { concurrency, .. } => WorkerLocation::Local {
                    concurrency: *concurrency,
                },
                Mode::Broker(options) => WorkerLocation::Broker {
                    prefix: options.prefix.clone(),
                },
            },
            source: source.to_stored(),
            target: target.to_stored(),
            output_dir: self.output_dir.clone(),
            rows_output: self.rows_output.clone(),
            scope: TableScope::default(),
            name: self.name.clone(),
        }
    }
}

/// The tables of the list, with the options of the command line and the configuration.
fn selection(
    flags: &RunFlags,
    options: &RunOptions,
    distributed: bool,
    config: Config,
) -> Result<TableSelection, UsageError> {
    let listed = entries(flags, &config.tables);
    let conditions = conditions::parse(&flags.conditions);
    let side = |side, name: &Option<String>, url| {
        side_settings(side, name.as_deref(), url, distributed, &config)
    };
    let source = side("source", &options.source, flags.urls.source())?;
    let target = side("target", &options.target, flags.urls.target())?;
    let depth = depth_of(options);
    let source_schema = source
        .endpoint
        .as_ref()
        .map_or_else(|| DEFAULT_SCHEMA.to_owned(), |it| it.schema.clone());
    let settings = TableSettings::new(config.tables, config.rules, source_schema);
    let entries = listed?;
    Ok(TableSelection {
        key: key_columns(options)?,
        options: table_options(options, &settings, depth)?,
        exclusions: exclusions(&entries, options)?,
        entries,
        conditions: conditions?,
        include_views: options.include_views(),
        strict_tables: options.strict_tables(),
        settings,
        depth,
        max_differences: match options.rows_output {
            Some(_) => ALL_ROWS,
            None => options.max_differences(),
        },
        chunk_size: options.row_level_chunk_size().get(),
        timeout: options.parallel_timeout(),
        source,
        target,
    })
}

/// The most characters of the name of a run.
const LONGEST_NAME: usize = 64;

/// The name of a run, by which other commands find it.
fn run_name(name: &str) -> Result<String, UsageError> {
    let name = name.trim();
    let is_usable = !name.is_empty()
        && name.chars().count() <= LONGEST_NAME
        && !name.chars().any(char::is_control)
        && !name.eq_ignore_ascii_case(LATEST)
        && !name.starts_with('-');
    if is_usable {
        Ok(name.to_owned())
    } else {
        Err(UsageError::RunName {
            name: name.escape_default().to_string(),
            longest: LONGEST_NAME,
        })
    }
}

/// Flags that stand for the value of another one.
fn set_short_forms(options: &mut RunOptions, continue_on_error: bool, allow_missing: bool) {
    if continue_on_error {
        options.fail_fast = Some(FailFast::Off);
    }
    if allow_missing {
        options.missing_columns = Some(MissingColumns::Note);
    }
}

/// `--parallel-workers` implies `--parallel`, also where the configuration says otherwise.
fn imply_parallel(mut options: RunOptions) -> RunOptions {
    if options.parallel_workers.is_some() {
        options.parallel.get_or_insert(true);
    }
    options
}

fn in_this_process(
    endpoints: BTreeMap<String, Endpoint>,
    limits: &Limits,
    spill_dir: Option<PathBuf>,
) -> Mode {
    Mode::Local {
        endpoints,
        concurrency: match limits.window {
            Window::Fixed(count) => u16::try_from(count.get()).unwrap_or(u16::MAX),
            Window::Fleet => 1,
        },
        heartbeat_period: limits.heartbeat_period,
        spill_dir,
    }
}

fn limits(options: &RunOptions, distributed: bool) -> Limits {
    let default = Limits::default();
    let workers = options.parallel_workers;
    Limits {
        window: match workers {
            Some(count) if distributed => Window::Fixed(count),
            None if distributed => Window::Fleet,
            count if options.parallel() => Window::Fixed(count.unwrap_or(DEFAULT_WORKERS)),
            _ => Window::Fixed(NonZeroU32::MIN),
        },
        max_attempts: options.max_attempts(),
        claim_timeout: options.claim_timeout(),
        fail_fast: options.fail_fast(),
        lone_worker: !distributed,
        heartbeat_period: options.heartbeat_period.unwrap_or(if distributed {
            default.heartbeat_period
        } else {
            LOCAL_HEARTBEAT
        }),
        listed_rows: options
            .rows_output
            .is_some()
            .then(|| options.max_differences()),
        ..default
    }
}

/// The key columns of every table that has none of its own.
fn key_columns(options: &RunOptions) -> Result<Option<Vec<String>>, UsageError> {
    let Some(columns) = &options.pk_columns else {
        return Ok(None);
    };
    let columns: Vec<String> = columns
        .iter()
        .map(|column| column.trim().to_owned())
        .filter(|column| !column.is_empty())
        .collect();
    if columns.is_empty() {
        return Err(UsageError::NoKeyColumns);
    }
    Ok(Some(columns))
}

//! The configuration: a TOML file, with environment variables over it.
//!
//! Every key of `[run]`, `[check]`, `[limits]`, `[broker]`, `[telemetry]` and `[endpoints.NAME]` can be
//! set by a variable: `run.parallel_workers` by `RECONCILE_RUN_PARALLEL_WORKERS`,
//! `endpoints.erp.password` by `RECONCILE_ENDPOINTS_ERP_PASSWORD`.

mod broker;
mod choices;
mod endpoint;
mod error;
mod keys;
mod metrics_addr;
mod nearest;
mod options;
#[cfg(test)]
mod options_page;
mod run_options;
mod section;
mod show;
mod table_rules;
mod tables;
mod telemetry_options;
#[cfg(test)]
mod tests;
mod units;
mod value;
mod worker_limits;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::endpoint::{DatabaseKind, Endpoint, LibpqEnvironment, Secret};

pub use broker::{BrokerConfig, KEYS as BROKER_KEYS};
pub(crate) use choices::parse_choice;
pub use choices::{FailFast, LogFormat, OtlpProtocol, ReportFormat};
pub use endpoint::{KEYS as ENDPOINT_KEYS, read_secret};
pub use error::{ConfigError, Origin};
pub use keys::DeclaredKey;
pub use metrics_addr::MetricsAddr;
pub use nearest::{nearest, suggestion};
pub use run_options::{
    CheckOptions, MAX_PARALLEL_WORKERS, ProgressOptions, ReportOptions, RunOptions, StoreOptions,
};
pub use table_rules::RuleEntry;
pub use tables::TableEntry;
pub use telemetry_options::{LogOptions, MetricsOptions, TelemetryConfig, TraceOptions};
pub use units::{ByteSize, parse_duration};
pub use worker_limits::WorkerLimits;

use section::{Passwords, Section, Sources};

/// The file that is read when none is named and it exists.
pub const DEFAULT_FILE: &str = "reconcile.toml";

/// The settings of the file and the environment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Databases by name. Those of the `SQLSERVER_…` or `MSSQL_…`, and `POSTGRES_…` or `PG…` variables
    /// are `sqlserver` and `postgres`, unless the file has endpoints of these names.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// `[run]`: how a run compares.
    pub run: RunOptions,
    /// `[run]`: the report of a run.
    pub report: ReportOptions,
    /// `[run]`: what is printed during a run.
    pub progress: ProgressOptions,
    /// `[run]`: where runs are stored.
    pub store: StoreOptions,
    /// `[check]`: which findings of a check count.
    pub check: CheckOptions,
    /// `[limits]`: the most that a task may ask of a worker.
    pub limits: WorkerLimits,
    /// `[[tables]]`.
    pub tables: Vec<TableEntry>,
    /// `[[rules]]`.
    pub rules: Vec<RuleEntry>,
    /// `[broker]`; absent when nothing in it is set.
    pub broker: Option<BrokerConfig>,
    /// `[telemetry]`.
    pub telemetry: TelemetryConfig,
    /// Why the `SQLSERVER_…` variables cannot be used; reported when they are needed.
    pub source_variables_error: Option<String>,
    /// Why the `POSTGRES_…` variables cannot be used; reported when they are needed.
    pub target_variables_error: Option<String>,
    /// What libpq's variables say of PostgreSQL connections, and where its files are.
    pub libpq: LibpqEnvironment,
    /// The password of `--source-url`, from the variable `RECONCILE_SOURCE_PASSWORD`.
    pub source_password: Option<Secret>,
    /// The password of `--target-url`, from the variable `RECONCILE_TARGET_PASSWORD`.
    pub target_password: Option<Secret>,
}

impl Config {
    /// What the user should know of the endpoints' descriptions, one sentence each.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.endpoints.iter().flat_map(|(name, endpoint)| {
            let warnings = endpoint.warnings.iter();
            warnings.map(move |warning| format!("endpoint `{name}`: {warning}"))
        })
    }
}

/// Reads `path`, or `reconcile.toml` in the working directory when that exists,
/// and the environment of this process over it.
///
/// # Errors
///
/// When a named file cannot be read, or when the file or a variable has an unknown key
/// or a wrong value. The message names the position and what to do.
pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    load_with(path, &process_environment())
}

fn process_environment() -> BTreeMap<String, String> {
    // All names and values of this program are UTF-8.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Like [`load`], for a command that connects to no database: the endpoints have no passwords,
/// and neither `password_file` nor `password_env` is read.
///
/// # Errors
///
/// As [`load`].
pub fn load_without_passwords(path: Option<&Path>) -> Result<Config, ConfigError> {
    read(path, &process_environment(), Passwords::Skipped)
}

/// Like [`load`], with the environment given.
///
/// # Errors
///
/// As [`load`].
pub fn load_with(
    path: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<Config, ConfigError> {
    read(path, environment, Passwords::Read)
}

fn read(
    path: Option<&Path>,
    environment: &BTreeMap<String, String>,
    passwords: Passwords,
) -> Result<Config, ConfigError> {
    let named = path.is_some();
    let path = path.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => {
            // The file may contain passwords.
            let text = Zeroizing::new(text);
            let config = parse_with(path, &text, environment, passwords)?;
            Ok(Config {
                file: Some(path.to_owned()),
                ..config
            })
        }
        Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => {
            parse_with(path, "", environment, passwords)
        }
        Err(reason) => Err(ConfigError::Unreadable {
            path: path.to_owned(),
            reason,
        }),
    }
}

/// Parses `text`, the content of the file `path`, with `environment` over it.
///
/// # Errors
///
/// As [`load`].
pub fn parse(
    path: &Path,
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Config, ConfigError> {
    parse_with(path, text, environment, Passwords::Read)
}

fn parse_with(
    path: &Path,
    text: &str,
    environment: &BTreeMap<String, String>,
    passwords: Passwords,
) -> Result<Config, ConfigError> {
    let mut sources = Sources::new(path.to_owned(), text, environment, passwords);
    let mut root = sources.root()?;
    let libpq = LibpqEnvironment::from_variables(environment);

    let mut section = sources.section(&mut root, "endpoints")?;
    let mut sections = sources.all_sections(&mut section)?;
    for name in endpoint::names_in_variables(environment, sections.keys().cloned()) {
        let described = sources.section(&mut section, &name)?;
        sections.insert(name, described);
    }
    let mut endpoints = BTreeMap::new();
    for (name, section) in sections {
        let endpoint = endpoint::read(&name, section, &mut sources, &libpq)?;
        endpoints.insert(name, endpoint);
    }
    let mut section = sources.section(&mut root, "run")?;
    let mut run = RunOptions::read(&mut section, &mut sources)?;
    let report = ReportOptions::read(&mut section, &mut sources)?;
    let progress = ProgressOptions::read(&mut section, &mut sources)?;
    let store = StoreOptions::read(&mut section, &mut sources)?;
    section.finish(&sources)?;
    let mut section = sources.section(&mut root, "check")?;
    let check = CheckOptions::read(&mut section, &mut sources)?;
    section.finish(&sources)?;
    let mut section = sources.section(&mut root, "limits")?;
    let limits = WorkerLimits::read(&mut section, &mut sources)?;
    section.finish(&sources)?;
    let section = sources.section(&mut root, "broker")?;
    let broker = broker::read(section, &mut sources)?;
    let section = sources.section(&mut root, "telemetry")?;
    let telemetry = read_telemetry(section, &mut sources)?;
    let tables = sources
        .array(&mut root, "tables")?
        .into_iter()
        .map(|section| tables::read(section, &mut sources))
        .collect::<Result<_, _>>()?;
    let rules = sources
        .array(&mut root, "rules")?
        .into_iter()
        .map(|section| table_rules::read_general_rule(section, &mut sources))
        .collect::<Result<_, _>>()?;
    root.finish(&sources)?;
    sources.finish()?;

    let mut adopt = |engine, default: &mut Option<String>| match endpoint::from_variables(
        engine,
        environment,
        &libpq,
    ) {
        Ok(None) => None,
        Ok(Some(endpoint)) => {
            default.get_or_insert_with(|| endpoint.name.clone());
            endpoints.entry(endpoint.name.clone()).or_insert(endpoint);
            None
        }
        Err(reason) => Some(reason),
    };
    let source_variables_error = adopt(DatabaseKind::SqlServer, &mut run.source);
    let target_variables_error = adopt(DatabaseKind::Postgres, &mut run.target);
    Ok(Config {
        file: None,
        endpoints,
        run,
        report,
        progress,
        store,
        check,
        limits,
        tables,
        rules,
        broker,
        telemetry,
        source_variables_error,
        target_variables_error,
        source_password: password_of_side(environment, "RECONCILE_SOURCE_PASSWORD"),
        target_password: password_of_side(environment, "RECONCILE_TARGET_PASSWORD"),
        libpq,
    })
}

fn read_telemetry(
    mut section: Section,
    sources: &mut Sources<'_>,
) -> Result<TelemetryConfig, ConfigError> {
    let telemetry = TelemetryConfig {
        metrics: MetricsOptions::read(&mut section, sources)?,
        traces: TraceOptions::read(&mut section, sources)?,
        log: LogOptions::read(&mut section, sources)?,
    };
    section.finish(sources)?;
    Ok(telemetry)
}

fn password_of_side(environment: &BTreeMap<String, String>, variable: &str) -> Option<Secret> {
    let password = environment.get(variable).filter(|text| !text.is_empty());
    password.map(Secret::new)
}

//! The configuration: a TOML file, environment variables over it.
//!
//! Every key of `[run]`, `[broker]`, `[telemetry]` and `[endpoints.NAME]` can be
//! set by a variable: `run.parallel_workers` by `RECONCILE_RUN_PARALLEL_WORKERS`,
//! `endpoints.erp.password` by `RECONCILE_ENDPOINTS_ERP_PASSWORD`.

mod endpoint;
mod error;
mod options;
mod section;
mod show;
mod telemetry;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::endpoint::{DatabaseKind, Endpoint, Secret};
use crate::ids::TableName;
use crate::message::ColumnSelection;
use crate::options::{ColumnRule, Filters, SoftDelete};
use crate::signing::{SigningKey, SigningKeyError};

pub use error::{ConfigError, Place};
pub use telemetry::{MetricsAddr, TelemetryConfig};
pub use values::{ByteSize, FailFast, ReportFormat, nearest, parse_duration};

use section::{Section, Sources};

/// The file that is read when none is named and it exists.
pub const DEFAULT_FILE: &str = "reconcile.toml";

/// What file and environment say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Databases by name. Those of the `SQLSERVER_…` and `POSTGRES_…` variables
    /// are `sqlserver` and `postgres`, unless the file has endpoints of these names.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Defaults of the flags of a run.
    pub run: RunDefaults,
    /// Tables, with what is particular to them.
    pub tables: Vec<TableEntry>,
    /// The broker.
    pub broker: Option<BrokerConfig>,
    /// How the process is seen from outside.
    pub telemetry: TelemetryConfig,
    /// What is wrong with the `SQLSERVER_…` variables, for when they are needed.
    pub source_variables_error: Option<String>,
    /// What is wrong with the `POSTGRES_…` variables, for when they are needed.
    pub target_variables_error: Option<String>,
}

/// `[run]`: defaults of the flags of a run. Absent means the flag's own default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunDefaults {
    /// Endpoint of the source.
    pub source: Option<String>,
    /// Endpoint of the target.
    pub target: Option<String>,
    /// Whether several tables run at a time in this process.
    pub parallel: Option<bool>,
    /// How many tables run at a time.
    pub parallel_workers: Option<NonZeroU32>,
    /// How long one table may take.
    pub parallel_timeout: Option<Duration>,
    /// Whether rows are compared by checksum.
    pub validate_checksums: Option<bool>,
    /// Whether differing rows are found.
    pub row_level: Option<bool>,
    /// How many keys one statement fetches.
    pub row_level_chunk_size: Option<NonZeroU32>,
    /// How many differing rows of a table are listed.
    pub max_differences: Option<u32>,
    /// Key columns of every table that has none of its own.
    pub pk_columns: Option<Vec<String>>,
    /// How often a table is tried.
    pub max_attempts: Option<NonZeroU32>,
    /// How long work may wait for a worker.
    pub claim_timeout: Option<Duration>,
    /// What ends the whole run.
    pub fail_fast: Option<FailFast>,
    /// The form of the report.
    pub format: Option<ReportFormat>,
    /// Where the report is written.
    pub output: Option<PathBuf>,
    /// How often a worker of this process shows that it is alive.
    pub heartbeat_period: Option<Duration>,
    /// Where runs are kept.
    pub state_dir: Option<PathBuf>,
    /// How often differing rows are looked at again.
    pub recheck: Option<u32>,
    /// How long after the scan the first time; it doubles.
    pub recheck_delay: Option<Duration>,
    /// Whether values are kept out of reports and logs.
    pub redact: Option<bool>,
    /// Memory of one comparison.
    pub memory_limit: Option<ByteSize>,
    /// Disk of one comparison.
    pub spill_limit: Option<ByteSize>,
    /// Whether SQL Server is read without locks and consistency.
    pub read_uncommitted: Option<bool>,
    /// Whether scripts are written that repair the targets.
    pub generate_repair: Option<bool>,
    /// Where these scripts are written.
    pub output_dir: Option<PathBuf>,
}

/// One `[[tables]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TableEntry {
    /// The table in the source.
    pub source: TableName,
    /// The table in the target; absent: of the same name.
    pub target: Option<TableName>,
    /// Key columns by their source names.
    pub key: Option<Vec<String>>,
    /// Which columns take part.
    pub columns: ColumnSelection,
    /// Higher goes first.
    pub priority: i32,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Rules of single columns.
    pub rules: BTreeMap<String, ColumnRule>,
    /// Which rows take part.
    pub filters: Filters,
    /// What marks rows of the target as deleted.
    pub soft_delete: Option<SoftDelete>,
}

/// `[broker]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Where it is, `amqp://…` or `amqps://…`; absent when only a flag says it.
    pub url: Option<Secret>,
    /// What the names of queues and exchanges begin with.
    pub prefix: String,
    /// Also trust the authorities in this PEM file, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Holds the key that signs tasks and control messages.
    pub signing_key_file: Option<PathBuf>,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            url: None,
            prefix: "reconcile".to_owned(),
            ca_file: None,
            signing_key_file: None,
        }
    }
}

impl BrokerConfig {
    /// The key in `signing_key_file`, if there is one.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or its key is too short.
    pub fn signing_key(&self) -> Result<Option<SigningKey>, SigningKeyError> {
        self.signing_key_file
            .as_deref()
            .map(SigningKey::read)
            .transpose()
    }
}

/// Reads `path`, or `reconcile.toml` in the working directory when that exists,
/// and the environment of this process over it.
///
/// # Errors
///
/// When a named file cannot be read, or when file or environment say something
/// that is not understood. The message names the place and what to do.
pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    // A variable that is not UTF-8 cannot be one of ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    load_with(path, &environment)
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
    let named = path.is_some();
    let path = path.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let config = parse(path, &text, environment)?;
            Ok(Config {
                file: Some(path.to_owned()),
                ..config
            })
        }
        Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => {
            parse(path, "", environment)
        }
        Err(reason) => Err(ConfigError::Unreadable {
            path: path.to_owned(),
            reason,
        }),
    }
}

/// Understands `text`, which stands in the file `path`.
///
/// # Errors
///
/// As [`load`].
pub fn parse(
    path: &Path,
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Config, ConfigError> {
    let mut sources = Sources::new(path.to_owned(), text, environment);
    let mut root = sources.root()?;

    let mut section = sources.section(&mut root, "endpoints", true)?;
    let mut sections = sources.all_sections(&mut section)?;
    for name in endpoint::names_in_variables(environment, sections.keys().cloned()) {
        let described = sources.section(&mut section, &name, true)?;
        sections.insert(name, described);
    }
    let mut endpoints = BTreeMap::new();
    for (name, section) in sections {
        let endpoint = endpoint::read(&name, section, &mut sources)?;
        endpoints.insert(name, endpoint);
    }
    let section = sources.section(&mut root, "run", true)?;
    let mut run = read_run(section, &mut sources)?;
    let section = sources.section(&mut root, "broker", true)?;
    let broker = read_broker(section, &mut sources)?;
    let section = sources.section(&mut root, "telemetry", true)?;
    let telemetry = telemetry::read(section, &mut sources)?;
    let tables = sources
        .array(&mut root, "tables")?
        .into_iter()
        .map(|section| read_table(section, &mut sources))
        .collect::<Result<_, _>>()?;
    root.finish(&sources)?;
    sources.finish()?;

    let mut adopt = |engine, default: &mut Option<String>| match endpoint::from_variables(
        engine,
        environment,
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
        tables,
        broker,
        telemetry,
        source_variables_error,
        target_variables_error,
    })
}

fn read_run(mut section: Section, sources: &mut Sources<'_>) -> Result<RunDefaults, ConfigError> {
    let run = RunDefaults {
        source: section.take(sources, "source")?,
        target: section.take(sources, "target")?,
        parallel: section.take(sources, "parallel")?,
        parallel_workers: section.take(sources, "parallel_workers")?,
        parallel_timeout: section.take(sources, "parallel_timeout")?,
        validate_checksums: section.take(sources, "validate_checksums")?,
        row_level: section.take(sources, "row_level")?,
        row_level_chunk_size: section.take(sources, "row_level_chunk_size")?,
        max_differences: section.take(sources, "max_differences")?,
        pk_columns: section.take(sources, "pk_columns")?,
        max_attempts: section.take(sources, "max_attempts")?,
        claim_timeout: section.take(sources, "claim_timeout")?,
        fail_fast: section.take(sources, "fail_fast")?,
        format: section.take(sources, "format")?,
        output: section.take(sources, "output")?,
        heartbeat_period: section.take(sources, "heartbeat_period")?,
        state_dir: section.take(sources, "state_dir")?,
        recheck: section.take(sources, "recheck")?,
        recheck_delay: section.take(sources, "recheck_delay")?,
        redact: section.take(sources, "redact")?,
        memory_limit: section.take(sources, "memory_limit")?,
        spill_limit: section.take(sources, "spill_limit")?,
        read_uncommitted: section.take(sources, "read_uncommitted")?,
        generate_repair: section.take(sources, "generate_repair")?,
        output_dir: section.take(sources, "output_dir")?,
    };
    section.finish(sources)?;
    Ok(run)
}

fn read_broker(
    mut section: Section,
    sources: &mut Sources<'_>,
) -> Result<Option<BrokerConfig>, ConfigError> {
    let url: Option<Secret> = section.take(sources, "url")?;
    let url_file: Option<PathBuf> = section.take(sources, "url_file")?;
    let prefix: Option<String> = section.take(sources, "prefix")?;
    let ca_file: Option<PathBuf> = section.take(sources, "ca_file")?;
    let signing_key_file: Option<PathBuf> = section.take(sources, "signing_key_file")?;
    section.finish(sources)?;
    let url = match (url, url_file) {
        (Some(_), Some(_)) => {
            return Err(section.error(sources, "has a url and a url_file; keep one of the two"));
        }
        (None, Some(file)) => Some(
            endpoint::read_secret(&file)
                .map_err(|reason| section.error(sources, format!("url_file: {reason}")))?,
        ),
        (url, None) => url,
    };
    if prefix.as_ref().is_some_and(String::is_empty) {
        return Err(section.error(sources, "has an empty prefix; leave it out for `reconcile`"));
    }
    if url.is_none() && prefix.is_none() && ca_file.is_none() && signing_key_file.is_none() {
        return Ok(None);
    }
    let prefix = prefix.unwrap_or(BrokerConfig::default().prefix);
    Ok(Some(BrokerConfig {
        url,
        prefix,
        ca_file,
        signing_key_file,
    }))
}

fn read_table(mut section: Section, sources: &mut Sources<'_>) -> Result<TableEntry, ConfigError> {
    let source: Option<TableName> = section.take(sources, "source")?;
    let target: Option<TableName> = section.take(sources, "target")?;
    let key: Option<Vec<String>> = section.take(sources, "key")?;
    let priority = section.take(sources, "priority")?.unwrap_or(0);
    let timeout = section.take(sources, "timeout")?;
    let mut columns = sources.section(&mut section, "columns", false)?;
    let rules = options::read_rules(&mut section, sources)?;
    let filters = options::read_filters(&mut section, sources)?;
    let soft_delete = section.take(sources, "soft_delete")?;
    section.finish(sources)?;
    let Some(source) = source else {
        return Err(section.error(
            sources,
            "lacks `source`, the name of the table in the source",
        ));
    };
    if key.as_ref().is_some_and(Vec::is_empty) {
        return Err(section.error(
            sources,
            "has an empty `key`; name its columns, or leave it out for the primary key",
        ));
    }
    let selection = ColumnSelection {
        include: columns.take(sources, "include")?.unwrap_or_default(),
        exclude: columns.take(sources, "exclude")?.unwrap_or_default(),
        map: columns.take(sources, "map")?.unwrap_or_default(),
    };
    columns.finish(sources)?;
    Ok(TableEntry {
        source,
        target,
        key,
        columns: selection,
        priority,
        timeout,
        rules,
        filters,
        soft_delete,
    })
}

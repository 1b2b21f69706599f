//! Turns flags and configuration into the settings of a run, once. The rest of
//! the program sees only these.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use shared::config::{BrokerConfig, Config, FailFast, ReportFormat, TableEntry, nearest};
use shared::endpoint::{Endpoint, EndpointError, Engine};
use shared::ids::{RunId, TableName};
use shared::message::{ColumnSelection, Side, TableSpec};
use shared::options::{Redaction, TableOptions};
use shared::outcome::{Depth, Failure};
use shared::signing::SigningKeyError;
use shared::telemetry::metrics::push::PushError;
use shared::transport::rabbit::RabbitOptions;
use worker::engine::catalog::CatalogTable;
use worker::engine::filter::{FilterError, validate};

use super::flags::{BrokerFlags, RunFlags};
use super::place::directory;
use super::table_list::{self, Entry, Listed, TableListError, identity, implied_target};
use super::table_options::{check_repair, options};
use super::telemetry::TelemetrySettings;
use crate::report::{Output, OutputError};
use crate::run_state::{Limits, PlannedTable, Window};
use crate::store::{KeptSettings, KeptSide, Place, StoreError, database_of};

/// Tables at a time with `--parallel` alone.
const DEFAULT_WORKERS: NonZeroU32 = NonZeroU32::new(4).expect("not zero");

/// How long one table may take.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);

/// Differing rows that are listed.
const DEFAULT_DIFFERENCES: u32 = 1000;

/// Keys that one statement fetches.
const DEFAULT_CHUNK: u32 = 1000;

/// Heartbeats inside one process cost nothing and feed the progress.
const LOCAL_HEARTBEAT: Duration = Duration::from_secs(1);

/// The schema that is taken for the source's default where its endpoint is not known.
const USUAL_SCHEMA: &str = "dbo";

/// Everything that is decided before a run.
#[derive(Debug)]
pub(super) struct RunSettings {
    pub(super) mode: Mode,
    pub(super) limits: Limits,
    pub(super) format: ReportFormat,
    /// Absent: standard output.
    pub(super) output: Option<Output>,
    pub(super) tables: TableSelection,
    /// Where runs are kept; absent: the run is not.
    pub(super) state_dir: Option<PathBuf>,
    /// Where repair scripts are written; absent: none are.
    pub(super) output_dir: Option<PathBuf>,
    pub(super) telemetry: TelemetrySettings,
}

/// Where tables are compared.
#[derive(Debug)]
pub(super) enum Mode {
    /// In this process, so many at a time.
    Local {
        endpoints: BTreeMap<String, Endpoint>,
        concurrency: u16,
        heartbeat_period: Duration,
    },
    /// By the workers of a broker.
    Broker(Box<RabbitOptions>),
}

impl Mode {
    /// For a run of which nothing is to be compared any more.
    pub(super) fn nowhere() -> Self {
        Self::Local {
            endpoints: BTreeMap::new(),
            concurrency: 1,
            heartbeat_period: LOCAL_HEARTBEAT,
        }
    }
}

/// Which tables are compared, and how; patterns still stand for themselves.
#[derive(Debug)]
pub(super) struct TableSelection {
    entries: Vec<Entry>,
    /// What the configuration says about particular tables.
    particulars: Vec<TableEntry>,
    source: SideSettings,
    target: SideSettings,
    depth: Depth,
    key: Option<Vec<String>>,
    max_differences: u32,
    chunk_size: u32,
    timeout: Duration,
    options: TableOptions,
}

/// One side of all comparisons.
#[derive(Debug)]
pub(super) struct SideSettings {
    name: String,
    /// Absent where only the workers know it.
    pub(super) endpoint: Option<Endpoint>,
    from_url: bool,
}

impl SideSettings {
    fn kept(&self) -> KeptSide {
        KeptSide {
            name: self.name.clone(),
            from_url: self.from_url,
            database: self.endpoint.as_ref().map(database_of),
        }
    }
}

/// Why a run cannot begin. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum UsageError {
    #[error(transparent)]
    Tables(#[from] TableListError),
    #[error(
        "no tables; name them with --tables or --tables-file, or as [[tables]] in the configuration"
    )]
    NoTables,
    #[error("cannot read the list of tables {}: {reason}", path.display())]
    TablesFile {
        path: PathBuf,
        reason: std::io::Error,
    },
    #[error("no {side}; name an endpoint with --{side}, give --{side}-url, or set {variables}{}", incomplete(reason.as_deref()))]
    NoSide {
        side: &'static str,
        variables: &'static str,
        reason: Option<String>,
    },
    #[error("there is no endpoint `{name}`{}", known_endpoints(nearest.as_deref(), known))]
    UnknownEndpoint {
        name: String,
        nearest: Option<String>,
        known: Vec<String>,
    },
    #[error(
        "--{side}-url cannot be used with a broker: no URL is sent to workers; name an endpoint of theirs with --{side}, or compare here with --local"
    )]
    UrlWithBroker { side: &'static str },
    #[error("--{side}-url: {reason}")]
    Url {
        side: &'static str,
        reason: EndpointError,
    },
    #[error("--prefix is empty; leave it out for `reconcile`")]
    EmptyPrefix,
    #[error("--recheck and --generate-repair need the rows that differ; add --row-level")]
    NeedsRows,
    #[error(
        "--redact and --generate-repair exclude each other: a repair holds the values in clear"
    )]
    RepairShowsValues,
    #[error(
        "--generate-repair excludes redact = true of column `{column}` of {table}: a repair holds the values in clear; leave one of them out"
    )]
    RepairShowsColumn { table: String, column: String },
    #[error(
         "the run had its {side} as `{name}`, which is not configured here; name it with --{side} or --{side}-url{}",
         if *side == "source" { ", or leave the comparison out with --no-verify" } else { "" }
     )]
    ScriptEndpoint { side: &'static str, name: String },
    #[error("{} is for {wanted}, and the target is {found}", file.display())]
    OtherDialect {
        file: PathBuf,
        wanted: Engine,
        found: Engine,
    },
    #[error("--pk-columns names no column; leave it out for the primary key")]
    NoKeyColumns,
    #[error(
        "the pattern `{pattern}` needs the source's catalog, and endpoint `{endpoint}` is not in this configuration; add it, or list the tables"
    )]
    PatternWithoutEndpoint { pattern: String, endpoint: String },
    #[error("the pattern `{pattern}` cannot be looked up: {reason}")]
    Catalog { pattern: String, reason: Failure },
    #[error("table {table}: where on the {side}: {reason}")]
    Filter {
        table: TableName,
        side: &'static str,
        // Boxed: errors are returned everywhere, and this one is large.
        reason: Box<FilterError>,
    },
    #[error("[broker] signing_key_file: {0}")]
    SigningKey(#[from] SigningKeyError),
    #[error("no broker; give --broker, or `url` under [broker] in the configuration")]
    NoBroker,
    #[error(
        "run {run} had its {side} from a URL, which is not kept; give it again with --{side}-url"
    )]
    UrlNeeded { run: RunId, side: &'static str },
    #[error(
        "run {run} has the endpoint `{name}` for its {side} and not a URL; leave --{side}-url out"
    )]
    UrlUnwanted {
        run: RunId,
        side: &'static str,
        name: String,
    },
    #[error(
        "run {run} compares {before} as its {side}, and this is {now}; a run cannot go on with another database"
    )]
    OtherDatabase {
        run: RunId,
        side: &'static str,
        before: String,
        now: String,
    },
    #[error(transparent)]
    Push(#[from] PushError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

fn incomplete(reason: Option<&str>) -> String {
    reason
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default()
}

fn known_endpoints(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None if known.is_empty() => {
            "; none is configured: write [endpoints.NAME] in reconcile.toml".to_owned()
        }
        None => format!("; known are {}", known.join(", ")),
    }
}

impl RunSettings {
    /// Decides everything that can be decided without a connection.
    pub(super) fn resolve(
        flags: RunFlags,
        state_dir: Option<PathBuf>,
        config: Config,
    ) -> Result<Self, UsageError> {
        let defaults = &config.run;
        let state_dir = if flags.no_store {
            None
        } else {
            Some(directory(state_dir, &config)?)
        };
        let telemetry = TelemetrySettings::resolve(flags.telemetry.clone(), &config.telemetry)?;
        let broker = if flags.local {
            None
        } else {
            broker(&flags.broker, config.broker.as_ref(), "reconcile run")?
        };
        let source = side(
            "source",
            &flags.source,
            &flags.source_url,
            broker.is_some(),
            &config,
        )?;
        let target = side(
            "target",
            &flags.target,
            &flags.target_url,
            broker.is_some(),
            &config,
        )?;

        let depth = if flags.row_level || defaults.row_level.unwrap_or(false) {
            Depth::Rows
        } else if flags.validate_checksums || defaults.validate_checksums.unwrap_or(false) {
            Depth::Checksum
        } else {
            Depth::Counts
        };
        let workers = flags.parallel_workers.or(defaults.parallel_workers);
        let parallel = flags.parallel || defaults.parallel.unwrap_or(false);
        let window = match (&broker, workers) {
            (Some(_), Some(count)) => Window::Fixed(count),
            (Some(_), None) => Window::Fleet,
            (None, count) if parallel => Window::Fixed(count.unwrap_or(DEFAULT_WORKERS)),
            (None, _) => Window::Fixed(NonZeroU32::MIN),
        };
        let fail_fast = match flags.fail_fast {
            Some(fail_fast) => fail_fast,
            None if flags.continue_on_error => FailFast::Off,
            None => defaults.fail_fast.unwrap_or_default(),
        };
        let usual = Limits::default();
        let period = flags.heartbeat_period.or(defaults.heartbeat_period);
        let heartbeat_period = period.unwrap_or(if broker.is_some() {
            usual.heartbeat_period
        } else {
            LOCAL_HEARTBEAT
        });
        let limits = Limits {
            window,
            max_attempts: flags
                .max_attempts
                .or(defaults.max_attempts)
                .unwrap_or(usual.max_attempts),
            claim_timeout: flags
                .claim_timeout
                .or(defaults.claim_timeout)
                .unwrap_or(usual.claim_timeout),
            fail_fast,
            heartbeat_period,
            ..usual
        };

        let key = match flags
            .pk_columns
            .clone()
            .or_else(|| defaults.pk_columns.clone())
        {
            None => None,
            Some(columns) => {
                let columns: Vec<String> = columns
                    .iter()
                    .map(|column| column.trim().to_owned())
                    .filter(|column| !column.is_empty())
                    .collect();
                if columns.is_empty() {
                    return Err(UsageError::NoKeyColumns);
                }
                Some(columns)
            }
        };
        let chunk_size = flags.row_level_chunk_size.or(defaults.row_level_chunk_size);
        let options = options(&flags, defaults, &config.tables, depth)?;
        let tables = TableSelection {
            options,
            entries: entries(&flags, &config.tables)?,
            depth,
            key,
            max_differences: flags
                .max_differences
                .or(defaults.max_differences)
                .unwrap_or(DEFAULT_DIFFERENCES),
            chunk_size: chunk_size.map_or(DEFAULT_CHUNK, NonZeroU32::get),
            timeout: flags
                .parallel_timeout
                .or(defaults.parallel_timeout)
                .unwrap_or(DEFAULT_TIMEOUT),
            source,
            target,
            particulars: config.tables,
        };
        let format = flags.format.or(defaults.format).unwrap_or_default();
        let mode = match broker {
            Some(options) => Mode::Broker(Box::new(options)),
            None => Mode::Local {
                endpoints: tables.endpoints(),
                concurrency: match window {
                    Window::Fixed(count) => u16::try_from(count.get()).unwrap_or(u16::MAX),
                    Window::Fleet => 1,
                },
                heartbeat_period,
            },
        };
        let output_dir = tables.options.repair.then(|| {
            let named = flags.output_dir.or_else(|| config.run.output_dir.clone());
            let named = named.unwrap_or_else(|| PathBuf::from("."));
            // A run may go on from elsewhere.
            std::path::absolute(&named).unwrap_or(named)
        });
        // Last, since it leaves a file behind until the settings are dropped.
        let output = flags.output.or_else(|| config.run.output.clone());
        let output = output.map(|path| Output::prepare(&path)).transpose()?;
        Ok(Self {
            mode,
            limits,
            format,
            output,
            tables,
            state_dir,
            output_dir,
            telemetry,
        })
    }

    /// What a new coordinator needs to go on.
    pub(super) fn kept(&self) -> KeptSettings {
        KeptSettings {
            limits: self.limits.clone(),
            place: match &self.mode {
                Mode::Local { concurrency, .. } => Place::Local {
                    concurrency: *concurrency,
                },
                Mode::Broker(options) => Place::Broker {
                    prefix: options.prefix.clone(),
                },
            },
            source: self.tables.source.kept(),
            target: self.tables.target.kept(),
            output_dir: self.output_dir.clone(),
        }
    }
}

/// The broker that is to be used, if any.
pub(super) fn broker(
    flags: &BrokerFlags,
    config: Option<&BrokerConfig>,
    connection_name: &str,
) -> Result<Option<RabbitOptions>, UsageError> {
    let configured = config
        .and_then(|broker| broker.url.as_ref())
        .map(|url| url.reveal().to_owned());
    let Some(url) = flags.url.clone().or(configured) else {
        return Ok(None);
    };
    let config = config.cloned().unwrap_or_default();
    let signing_key = config.signing_key()?;
    let prefix = flags.prefix.clone().unwrap_or(config.prefix);
    if prefix.is_empty() {
        return Err(UsageError::EmptyPrefix);
    }
    let ca_file = config.ca_file;
    Ok(Some(RabbitOptions {
        prefix,
        ca_file,
        signing_key,
        ..RabbitOptions::new(url, connection_name)
    }))
}

/// The endpoint of one side.
pub(super) fn side(
    side: &'static str,
    name: &Option<String>,
    url: &Option<String>,
    distributed: bool,
    config: &Config,
) -> Result<SideSettings, UsageError> {
    if let Some(url) = url {
        if distributed {
            return Err(UsageError::UrlWithBroker { side });
        }
        let endpoint =
            Endpoint::from_url(side, url).map_err(|reason| UsageError::Url { side, reason })?;
        return Ok(SideSettings {
            name: side.to_owned(),
            endpoint: Some(endpoint),
            from_url: true,
        });
    }
    let (default, variables, reason) = match side {
        "source" => (
            &config.run.source,
            "SQLSERVER_HOST, _DATABASE, _USER, _PASSWORD",
            &config.source_variables_error,
        ),
        _ => (
            &config.run.target,
            "POSTGRES_HOST, _DB, _USER, _PASSWORD",
            &config.target_variables_error,
        ),
    };
    let Some(name) = name.as_ref().or(default.as_ref()) else {
        return Err(UsageError::NoSide {
            side,
            variables,
            reason: reason.clone(),
        });
    };
    let endpoint = config.endpoints.get(name).cloned();
    if endpoint.is_none() && !distributed {
        return Err(UsageError::UnknownEndpoint {
            name: name.clone(),
            nearest: nearest(name, config.endpoints.keys().map(String::as_str)).map(str::to_owned),
            known: config.endpoints.keys().cloned().collect(),
        });
    }
    Ok(SideSettings {
        name: name.clone(),
        endpoint,
        from_url: false,
    })
}

/// The list of tables from the one place that has it.
fn entries(flags: &RunFlags, configured: &[TableEntry]) -> Result<Vec<Entry>, UsageError> {
    let entries = match (&flags.tables, &flags.tables_file) {
        (Some(list), _) => table_list::parse(list)?,
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|reason| UsageError::TablesFile {
                path: path.clone(),
                reason,
            })?;
            table_list::parse_file(&text)?
        }
        (None, None) if configured.is_empty() => return Err(UsageError::NoTables),
        (None, None) => configured
            .iter()
            .map(|entry| Entry::Table {
                source: entry.source.clone(),
                target: entry.target.clone(),
            })
            .collect(),
    };
    if entries.is_empty() {
        Err(TableListError::Empty.into())
    } else {
        Ok(entries)
    }
}

impl TableSelection {
    /// The databases of both sides by the names that tasks carry.
    fn endpoints(&self) -> BTreeMap<String, Endpoint> {
        [&self.source, &self.target]
            .into_iter()
            .filter_map(|side| Some((side.name.clone(), side.endpoint.clone()?)))
            .collect()
    }

    /// Whether the source's catalog is needed to know the tables.
    pub(super) fn needs_catalog(&self) -> Option<Result<&Endpoint, UsageError>> {
        let pattern = self.entries.iter().find_map(|entry| match entry {
            Entry::Pattern(pattern) => Some(pattern),
            Entry::Table { .. } => None,
        })?;
        Some(
            self.source
                .endpoint
                .as_ref()
                .ok_or_else(|| UsageError::PatternWithoutEndpoint {
                    pattern: pattern.text.clone(),
                    endpoint: self.source.name.clone(),
                }),
        )
    }

    /// What the failure of looking at the catalog means.
    pub(super) fn catalog_error(&self, reason: Failure) -> UsageError {
        let pattern = self.entries.iter().find_map(|entry| match entry {
            Entry::Pattern(pattern) => Some(pattern.text.clone()),
            Entry::Table { .. } => None,
        });
        UsageError::Catalog {
            pattern: pattern.unwrap_or_default(),
            reason,
        }
    }

    /// The tables of the run. A pattern leaves out what is listed by name;
    /// otherwise nothing may be listed twice.
    pub(super) fn plan(&self, catalog: &[CatalogTable]) -> Result<Vec<PlannedTable>, UsageError> {
        let mut listed = Listed::default();
        let mut named = Vec::new();
        for entry in &self.entries {
            if let Entry::Table { source, target } = entry {
                let planned = self.planned(source, target.as_ref(), None);
                if !listed.insert(self.identity(&planned)) {
                    return Err(TableListError::Twice(source.to_string()).into());
                }
                named.push(planned);
            }
        }
        let mut named = named.into_iter();
        let mut tables = Vec::new();
        for entry in &self.entries {
            match entry {
                Entry::Table { .. } => tables.extend(named.next()),
                Entry::Pattern(pattern) => {
                    let found = pattern.expand(catalog, self.source_schema());
                    if found.is_empty() {
                        return Err(TableListError::NoMatch {
                            pattern: pattern.text.clone(),
                            tables: catalog.len(),
                            endpoint: self.source.name.clone(),
                            schema: self.source_schema().to_owned(),
                        }
                        .into());
                    }
                    for (source, target, table) in found {
                        let planned = self.planned(&source, target.as_ref(), table.estimated_rows);
                        if listed.insert(self.identity(&planned)) {
                            tables.push(planned);
                        }
                    }
                }
            }
        }
        for planned in &tables {
            self.check_filters(&planned.spec)?;
            check_repair(&planned.spec)?;
        }
        Ok(tables)
    }

    /// Conditions are checked by the worker too, which knows every endpoint.
    fn check_filters(&self, spec: &TableSpec) -> Result<(), UsageError> {
        let filters = &spec.options.filters;
        for (side, settings, filter) in [
            ("source", &self.source, &filters.source),
            ("target", &self.target, &filters.target),
        ] {
            if let (Some(endpoint), Some(filter)) = (&settings.endpoint, filter) {
                validate(endpoint.engine, filter).map_err(|reason| UsageError::Filter {
                    table: spec.source.table.clone(),
                    side,
                    reason: Box::new(reason),
                })?;
            }
        }
        Ok(())
    }

    fn source_schema(&self) -> &str {
        self.source
            .endpoint
            .as_ref()
            .map_or(USUAL_SCHEMA, |endpoint| &endpoint.schema)
    }

    fn identity(&self, planned: &PlannedTable) -> table_list::Identity {
        let schema_of = |side: &SideSettings| {
            side.endpoint
                .as_ref()
                .map(|endpoint| endpoint.schema.clone())
        };
        let (source, target) = (schema_of(&self.source), schema_of(&self.target));
        let spec = &planned.spec;
        identity(
            &spec.source.table,
            &spec.target.table,
            [source.as_deref(), target.as_deref()],
        )
    }

    fn options_of(&self, particular: Option<&TableEntry>) -> TableOptions {
        let mut options = self.options.clone();
        if let Some(entry) = particular {
            options.rules.clone_from(&entry.rules);
            options.filters = entry.filters.clone();
            options.soft_delete.clone_from(&entry.soft_delete);
        }
        // A table that hides nothing has no key.
        let hides =
            |redaction: &Redaction| redaction.all || options.rules.values().any(|rule| rule.redact);
        if !options.redaction.as_ref().is_some_and(hides) {
            options.redaction = None;
        }
        options
    }

    fn planned(
        &self,
        source: &TableName,
        target: Option<&TableName>,
        estimated_rows: Option<u64>,
    ) -> PlannedTable {
        let schema = self.source_schema();
        let whole = |table: &TableName| {
            (
                table.schema.as_deref().unwrap_or(schema).to_owned(),
                table.name.clone(),
            )
        };
        let particular = self.particulars.iter().find(|entry| {
            whole(&entry.source) == whole(source)
                && target.is_none_or(|target| entry.target.as_ref().is_none_or(|it| it == target))
        });
        let target = target
            .or_else(|| particular.and_then(|entry| entry.target.as_ref()))
            .cloned()
            .unwrap_or_else(|| implied_target(source, schema));
        let spec = TableSpec {
            source: Side {
                endpoint: self.source.name.clone(),
                table: source.clone(),
            },
            target: Side {
                endpoint: self.target.name.clone(),
                table: target,
            },
            depth: self.depth,
            key: particular
                .and_then(|entry| entry.key.clone())
                .or_else(|| self.key.clone()),
            columns: particular
                .map_or_else(ColumnSelection::default, |entry| entry.columns.clone()),
            max_differences: self.max_differences,
            chunk_size: self.chunk_size,
            timeout: particular
                .and_then(|entry| entry.timeout)
                .unwrap_or(self.timeout),
            options: self.options_of(particular),
        };
        PlannedTable {
            spec,
            priority: particular.map_or(0, |entry| entry.priority),
            estimated_rows,
        }
    }
}

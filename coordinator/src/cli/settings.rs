//! Turns flags and configuration into the settings of a run, once. The rest of
//! the program sees only these.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use shared::config::{BrokerConfig, Config, FailFast, ReportFormat, nearest};
use shared::endpoint::Endpoint;
use shared::outcome::Depth;
use shared::transport::rabbit::RabbitOptions;

use super::flags::{BrokerFlags, RunFlags};
use super::place::directory;
use super::selection::{TableSelection, entries};
use super::table_options::options;
use super::telemetry::TelemetrySettings;
use super::usage::UsageError;
use crate::report::Output;
use crate::run_state::{Limits, Window};
use crate::store::{StoredSettings, StoredSide, WorkerLocation, database_identity};

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

/// One side of all comparisons.
#[derive(Debug)]
pub(super) struct SideSettings {
    pub(super) name: String,
    /// Absent where only the workers know it.
    pub(super) endpoint: Option<Endpoint>,
    from_url: bool,
}

impl SideSettings {
    fn kept(&self) -> StoredSide {
        StoredSide {
            name: self.name.clone(),
            from_url: self.from_url,
            database: self.endpoint.as_ref().map(database_identity),
        }
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
    pub(super) fn kept(&self) -> StoredSettings {
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

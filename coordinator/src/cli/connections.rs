//! Where tables are compared: the databases of both sides and the broker, from flags and
//! configuration, and for a stored run from what was stored of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use shared::config::{Config, suggestion};
use shared::endpoint::Endpoint;
use shared::ids::RunId;
use shared::masking::mask_quoted;
use shared::transport::rabbit::RabbitOptions;

use super::flags::{BrokerFlags, ResumeFlags, SideUrl};
use super::side_url::endpoint_of_url;
use super::usage::UsageError;
use crate::store::{StoredRun, StoredSettings, StoredSide, WorkerLocation, database_identity};

/// The heartbeat period of a worker in this process. Its heartbeats cost nothing and feed
/// the progress bar.
pub(super) const LOCAL_HEARTBEAT: Duration = Duration::from_secs(1);

/// Which workers compare the tables.
#[derive(Debug)]
pub(super) enum Mode {
    /// A worker in this process.
    Local {
        endpoints: BTreeMap<String, Endpoint>,
        /// Tables at the same time.
        concurrency: u16,
        heartbeat_period: Duration,
        /// The directory of temporary files, if one is named.
        spill_dir: Option<PathBuf>,
    },
    /// The workers of a broker.
    Broker(Box<RabbitOptions>),
}

#[derive(Debug)]
pub(super) struct SideSettings {
    pub(super) name: String,
    /// Absent where only the workers have it in their configuration.
    pub(super) endpoint: Option<Endpoint>,
    from_url: bool,
}

impl SideSettings {
    /// The part that is stored with a run: no URL and no password.
    pub(super) fn to_stored(&self) -> StoredSide {
        StoredSide {
            name: self.name.clone(),
            from_url: self.from_url,
            database: self.endpoint.as_ref().map(database_identity),
        }
    }
}

/// The source or the target, from a URL or else by the name of its endpoint. With
/// `distributed` the workers look the name up.
pub(super) fn side_settings(
    side: &'static str,
    name: Option<&str>,
    url: Option<SideUrl<'_>>,
    distributed: bool,
    config: &Config,
) -> Result<SideSettings, UsageError> {
    if let Some(url) = url {
        if distributed {
            return Err(UsageError::UrlWithBroker { side });
        }
        let endpoint = endpoint_of_url(side, url, config)?;
        return Ok(SideSettings {
            name: side.to_owned(),
            endpoint: Some(endpoint),
            from_url: true,
        });
    }
    let Some(name) = name else {
        let (variables, reason) = match side {
            "source" => (
                "SQLSERVER_HOST, _DATABASE, _USER, _PASSWORD",
                &config.source_variables_error,
            ),
            _ => (
                "POSTGRES_HOST, _DB, _USER, _PASSWORD, or PGHOST, PGDATABASE, PGUSER, PGPASSWORD",
                &config.target_variables_error,
            ),
        };
        return Err(UsageError::NoSide {
            side,
            variables,
            reason: reason.clone(),
        });
    };
    let masked = mask_quoted(name, name);
    if masked != name {
        return Err(UsageError::UnknownEndpoint {
            name: masked,
            suggestion: format!("; this looks like a connection: give it as --{side}-url"),
        });
    }
    let endpoint = config.endpoints.get(name).cloned();
    if endpoint.is_none() && !distributed {
        return Err(UsageError::UnknownEndpoint {
            suggestion: if config.endpoints.is_empty() {
                "; none is configured: write [endpoints.NAME] in reconcile.toml".to_owned()
            } else {
                suggestion(name, &Vec::from_iter(config.endpoints.keys()))
            },
            name: name.to_owned(),
        });
    }
    Ok(SideSettings {
        name: name.to_owned(),
        endpoint,
        from_url: false,
    })
}

/// The broker that flags or configuration name, if any.
pub(super) fn broker(
    flags: &BrokerFlags,
    config: &Config,
    connection_name: &str,
) -> Result<Option<RabbitOptions>, UsageError> {
    let config = config.broker.clone().unwrap_or_default();
    let Some(url) = flags.url.clone().or_else(|| config.url.clone()) else {
        return Ok(None);
    };
    let signing_key = config.signing_key()?;
    let max_message_size = config.message_limit();
    let prefix = flags.prefix.clone().unwrap_or(config.prefix);
    if prefix.is_empty() {
        return Err(UsageError::EmptyPrefix);
    }
    Ok(Some(RabbitOptions {
        prefix,
        ca_file: config.ca_file,
        signing_key,
        signing_max_age: config.signing_max_age,
        max_message_size,
        url,
        ..RabbitOptions::new("", connection_name)
    }))
}

/// Like [`broker`], for a command that cannot do without.
pub(super) fn required_broker(
    flags: &BrokerFlags,
    config: &Config,
    connection_name: &str,
) -> Result<RabbitOptions, UsageError> {
    broker(flags, config, connection_name)?.ok_or(UsageError::NoBroker)
}

/// The flags for the broker of a stored run, whose queues have the stored prefix.
pub(super) fn with_prefix(flags: &BrokerFlags, prefix: &str) -> BrokerFlags {
    BrokerFlags {
        prefix: Some(prefix.to_owned()),
        ..flags.clone()
    }
}

/// Which workers compare the remaining tables of a stored run.
pub(super) fn mode_of_stored(
    run: &StoredRun,
    flags: &ResumeFlags,
    config: &Config,
) -> Result<Mode, UsageError> {
    let StoredSettings {
        limits,
        location,
        source,
        target,
        output_dir: _,
        rows_output: _,
        scope: _,
        name: _,
    } = &run.settings;
    match location {
        WorkerLocation::Broker { prefix } => {
            let flags = with_prefix(&flags.broker, prefix);
            let options = required_broker(&flags, config, "reconcile resume")?;
            Ok(Mode::Broker(Box::new(options)))
        }
        WorkerLocation::Local { concurrency } => {
            let sides = [
                ("source", source, flags.urls.source()),
                ("target", target, flags.urls.target()),
            ];
            let mut endpoints = BTreeMap::new();
            for (name, stored, url) in sides {
                let endpoint = endpoint_of_stored(run.id, name, stored, url, config)?;
                endpoints.insert(stored.name.clone(), endpoint);
            }
            Ok(Mode::Local {
                endpoints,
                concurrency: *concurrency,
                heartbeat_period: limits.heartbeat_period,
                spill_dir: config.run.spill_dir.clone(),
            })
        }
    }
}

/// One side of a stored run: the same database as before.
fn endpoint_of_stored(
    run: RunId,
    side: &'static str,
    stored: &StoredSide,
    url: Option<SideUrl<'_>>,
    config: &Config,
) -> Result<Endpoint, UsageError> {
    if !stored.from_url && url.is_some() {
        let name = stored.name.clone();
        return Err(UsageError::UrlUnwanted { run, side, name });
    }
    let endpoint = match (stored.from_url, url) {
        (true, None) => None,
        _ => side_settings(side, Some(&stored.name), url, false, config)?.endpoint,
    };
    let endpoint = endpoint.ok_or(UsageError::UrlNeeded { run, side })?;
    let now = database_identity(&endpoint);
    match &stored.database {
        Some(before) if *before != now => Err(UsageError::OtherDatabase {
            run,
            side,
            before: before.clone(),
            now,
        }),
        _ => Ok(endpoint),
    }
}

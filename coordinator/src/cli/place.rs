//! Where runs are kept, and where one that is kept goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use shared::config::Config;
use shared::endpoint::Endpoint;
use shared::ids::RunId;

use super::flags::{BrokerFlags, ResumeFlags};
use super::settings::{self, Mode};
use super::usage::UsageError;
use crate::store::{
    StoreError, StoredRun, StoredSettings, StoredSide, WorkerLocation, database_identity,
};

/// Where runs are kept: flag, configuration, or where programs of this user keep theirs.
pub(super) fn directory(flag: Option<PathBuf>, config: &Config) -> Result<PathBuf, StoreError> {
    if let Some(directory) = flag.or_else(|| config.run.state_dir.clone()) {
        return Ok(directory);
    }
    let absolute = |variable: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("reconcile"))
        .ok_or(StoreError::NoDirectory)
}

/// How a run that is kept goes on.
pub(super) fn mode_of(
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
    } = &run.settings;
    match location {
        WorkerLocation::Broker { prefix } => {
            let flags = BrokerFlags {
                prefix: Some(prefix.clone()),
                ..flags.broker.clone()
            };
            settings::broker(&flags, config.broker.as_ref(), "reconcile resume")?
                .map(|options| Mode::Broker(Box::new(options)))
                .ok_or(UsageError::NoBroker)
        }
        WorkerLocation::Local { concurrency } => {
            let sides = [
                ("source", source, &flags.source_url),
                ("target", target, &flags.target_url),
            ];
            let mut endpoints = BTreeMap::new();
            for (name, kept, url) in sides {
                let endpoint = endpoint_of(run.id, name, kept, url, config)?;
                endpoints.insert(kept.name.clone(), endpoint);
            }
            Ok(Mode::Local {
                endpoints,
                concurrency: *concurrency,
                heartbeat_period: limits.heartbeat_period,
            })
        }
    }
}

/// One side of a run that goes on: the same database as before.
fn endpoint_of(
    run: RunId,
    side: &'static str,
    kept: &StoredSide,
    url: &Option<String>,
    config: &Config,
) -> Result<Endpoint, UsageError> {
    match (kept.from_url, url) {
        (true, None) => return Err(UsageError::UrlNeeded { run, side }),
        (false, Some(_)) => {
            let name = kept.name.clone();
            return Err(UsageError::UrlUnwanted { run, side, name });
        }
        (true, Some(_)) | (false, None) => {}
    }
    let name = (!kept.from_url).then(|| kept.name.clone());
    let found = settings::side(side, &name, url, false, config)?.endpoint;
    let Some(endpoint) = found else {
        return Err(UsageError::UrlNeeded { run, side });
    };
    let now = database_identity(&endpoint);
    match &kept.database {
        Some(before) if *before != now => Err(UsageError::OtherDatabase {
            run,
            side,
            before: before.clone(),
            now,
        }),
        _ => Ok(endpoint),
    }
}

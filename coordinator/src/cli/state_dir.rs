//! The directory of stored runs.

use std::path::PathBuf;

use shared::config::Config;

use crate::store::{RunStore, StoreError};

/// The directory of stored runs: as configured, or where programs of this user keep
/// their state.
pub(super) fn state_dir(config: &Config) -> Result<PathBuf, StoreError> {
    if let Some(directory) = &config.store.state_dir {
        return Ok(directory.clone());
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

/// The store that should contain the run `run`.
pub(super) fn open_store(run: &str, config: &Config) -> Result<RunStore, StoreError> {
    let path = state_dir(config)?;
    RunStore::find(&path)?.ok_or_else(|| StoreError::UnknownRun {
        name: run.to_owned(),
        path,
    })
}

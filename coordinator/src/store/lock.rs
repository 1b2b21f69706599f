//! Shows whether the coordinator of a run is alive: it holds a file lock, which
//! the system releases when the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use shared::ids::RunId;

use super::StoreError;

/// The lock that the coordinator of a run holds while it is alive.
#[derive(Debug)]
pub(crate) struct RunLock {
    path: PathBuf,
    /// The lock is held while the file is open.
    _file: File,
}

impl RunLock {
    /// Takes the lock of `run`.
    ///
    /// # Errors
    ///
    /// [`StoreError::GoesOn`] when another process holds it.
    pub(crate) fn take(directory: &Path, run: RunId) -> Result<Self, StoreError> {
        let path = path(directory, run);
        let failed = |reason| StoreError::Lock {
            path: path.clone(),
            reason,
        };
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::GoesOn(run)),
            Err(TryLockError::Error(reason)) => Err(failed(reason)),
        }
    }

    /// Removes the lock file of a coordinator that was killed.
    pub(super) fn clean_up(directory: &Path, run: RunId) {
        // Usually there is none.
        std::fs::remove_file(path(directory, run)).ok();
    }

    pub(crate) fn is_held(directory: &Path, run: RunId) -> bool {
        File::open(path(directory, run))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // It is removed before it is unlocked, so that no other process locks a removed file.
        std::fs::remove_file(&self.path).ok();
    }
}

fn path(directory: &Path, run: RunId) -> PathBuf {
    directory.join(format!("{run}.lock"))
}

//! Says whether the coordinator of a run lives: it holds a lock on a file,
//! which the system takes back with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use shared::ids::RunId;

use super::StoreError;

/// Held as long as the coordinator of a run lives.
#[derive(Debug)]
pub struct RunLock {
    path: PathBuf,
    /// Open, and thereby locked.
    _file: File,
}

impl RunLock {
    /// Takes the lock of `run`.
    ///
    /// # Errors
    ///
    /// [`StoreError::GoesOn`] when somebody holds it.
    pub fn take(directory: &Path, run: RunId) -> Result<Self, StoreError> {
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

    /// Removes what a coordinator that was killed has left behind.
    pub(super) fn clean_up(directory: &Path, run: RunId) {
        // Most leave nothing.
        std::fs::remove_file(path(directory, run)).ok();
    }

    /// Whether the coordinator of `run` lives.
    #[must_use]
    pub fn is_held(directory: &Path, run: RunId) -> bool {
        File::open(path(directory, run))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Before the lock is let go: nobody takes a file that is about to vanish.
        std::fs::remove_file(&self.path).ok();
    }
}

fn path(directory: &Path, run: RunId) -> PathBuf {
    directory.join(format!("{run}.lock"))
}

//! Shows whether the coordinator of a run is alive: it holds a file lock and the name of a socket,
//! which the system releases when the process ends.
//!
//! The lock works for all machines and containers that share the directory. It is that of a file,
//! and not of a path: who removes the file can lock a new one at its path. On one machine, the name
//! of the socket stays taken even then. It is in Linux' abstract namespace, where nothing can be
//! removed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use shared::ids::RunId;

use super::StoreError;

/// The lock that the coordinator of a run holds while it is alive.
#[derive(Debug)]
pub(crate) struct RunLock {
    path: PathBuf,
    /// The lock is held while the file is open.
    file: File,
    /// Its name is taken while it is open.
    _name: UnixDatagram,
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
        let name = match name(run).and_then(|name| UnixDatagram::bind_addr(&name)) {
            Ok(name) => name,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(StoreError::GoesOn(run));
            }
            Err(error) => return Err(failed(error)),
        };
        loop {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(StoreError::GoesOn(run)),
                Err(TryLockError::Error(reason)) => return Err(failed(reason)),
            }
            // Its last holder may have removed the file after it was opened here. Then a lock on
            // it excludes no other process.
            if is_at(&file, &path) {
                return Ok(Self {
                    path,
                    file,
                    _name: name,
                });
            }
        }
    }

    /// Removes the lock file of a coordinator that was killed.
    pub(super) fn clean_up(directory: &Path, run: RunId) {
        // Usually there is none.
        if path(directory, run).exists() {
            // Only the holder of the lock removes the file.
            Self::take(directory, run).ok();
        }
    }

    pub(crate) fn is_held(directory: &Path, run: RunId) -> bool {
        is_bound(run)
            || File::open(path(directory, run))
                .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // It is removed before it is unlocked, so that no other process locks a removed file.
        if is_at(&self.file, &self.path) {
            std::fs::remove_file(&self.path).ok();
        }
    }
}

/// Whether `file` is the file at `path`, by its inode.
fn is_at(file: &File, path: &Path) -> bool {
    let inode = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(there)) => inode(open) == inode(there),
        _ => false,
    }
}

/// The name of the socket of a run.
fn name(run: RunId) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("reconcile-run-{run}"))
}

/// Whether a process of this machine holds the name of `run`.
fn is_bound(run: RunId) -> bool {
    let connect = || UnixDatagram::unbound()?.connect_addr(&name(run)?);
    connect().is_ok()
}

fn path(directory: &Path, run: RunId) -> PathBuf {
    directory.join(format!("{run}.lock"))
}

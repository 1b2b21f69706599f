//! Writes a rendered report to a file or to standard output.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use shared::atomic_file::{Access, AtomicFile};

#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("cannot write the report to {}: {reason}; name a file in a directory that exists and is writable", path.display())]
    File { path: PathBuf, reason: io::Error },
    #[error("cannot write the report to standard output: {0}")]
    Stdout(io::Error),
}

impl OutputError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |reason| Self::File { path, reason }
    }
}

/// The file of the report, which only its owner may read: it contains rows. It is opened beside its path before the run, so that
/// an error is reported at once, and gets its path when it is complete.
#[derive(Debug)]
pub(crate) struct Output(AtomicFile);

impl Output {
    /// Checks that `path` can be written. A file there stays until
    /// [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// When there is a directory at `path` or no file can be created beside it.
    pub(crate) fn prepare(path: &Path) -> Result<Self, OutputError> {
        AtomicFile::create(path, Access::Owner)
            .map(Self)
            .map_err(OutputError::file(path))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes `text` and replaces the file at the path atomically.
    pub(crate) fn write(mut self, text: &str) -> Result<(), OutputError> {
        let failed = OutputError::file(self.path());
        match self.0.write_all(text.as_bytes()) {
            Ok(()) => self.0.commit().map_err(failed),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Writes to standard output. A closed pipe is no error: the reader needs no
/// more output.
pub(crate) fn write_stdout(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(OutputError::Stdout(error)),
        _ => Ok(()),
    }
}

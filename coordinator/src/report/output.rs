//! Puts a rendered report where it belongs.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// To a file.
    #[error("cannot write the report to {}: {reason}; name a file in a directory that exists and is writable", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// To standard output.
    #[error("cannot write the report to standard output: {0}")]
    Stdout(io::Error),
}

/// A file that will hold the report. It is opened beside its place before the
/// run, so that a mistake shows at once, and takes its place when it is whole.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    /// The file while it is written; absent once it has taken its place.
    temporary: Option<(PathBuf, File)>,
}

impl Output {
    /// Makes sure that `path` can be written. What stands there stays until
    /// [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// When there is a directory at `path` or no file can be made beside it.
    pub fn prepare(path: &Path) -> Result<Self, OutputError> {
        let failed = |reason| OutputError::File {
            path: path.to_owned(),
            reason,
        };
        if path.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let mut name = path
            .file_name()
            .ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?
            .to_owned();
        name.push(format!(
            ".{}-{:06x}.part",
            std::process::id(),
            fastrand::u32(0..1 << 24)
        ));
        let temporary = path.with_file_name(name);
        let file = File::create_new(&temporary).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            temporary: Some((temporary, file)),
        })
    }

    /// Where the report will be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `text` and puts it in place of what stood there, at once.
    ///
    /// # Errors
    ///
    /// When the disk is full, or the directory has gone.
    pub fn write(mut self, text: &str) -> Result<(), OutputError> {
        let Some((temporary, file)) = &mut self.temporary else {
            return Ok(());
        };
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(temporary, &self.path))
            .map_err(|reason| OutputError::File {
                path: self.path.clone(),
                reason,
            })?;
        self.temporary = None;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((temporary, _)) = self.temporary.take() {
            // Already gone is as good.
            std::fs::remove_file(temporary).ok();
        }
    }
}

/// Writes to standard output. A reader that has gone away is no error: it has
/// seen what it wanted.
///
/// # Errors
///
/// When standard output cannot be written for another reason.
pub fn write_stdout(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(OutputError::Stdout(error)),
        _ => Ok(()),
    }
}

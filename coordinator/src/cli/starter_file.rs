//! The file of `check --write-config`, which replaces no other file.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub(super) enum StarterFileError {
    #[error(
        "{} exists and is not replaced; name another file with --write-config, or move this one away",
        .0.display()
    )]
    Exists(PathBuf),
    #[error("cannot write the configuration to {}: {reason}; name a file in a directory that exists and is writable", path.display())]
    Unwritable { path: PathBuf, reason: io::Error },
}

/// Fails if there is a file at `path`, before anything is checked.
pub(super) fn refuse_existing(path: &Path) -> Result<(), StarterFileError> {
    match path.symlink_metadata() {
        Ok(_) => Err(StarterFileError::Exists(path.to_owned())),
        Err(_) => Ok(()),
    }
}

/// Writes a new file.
pub(super) fn write_new(path: &Path, text: &str) -> Result<(), StarterFileError> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|reason| match reason.kind() {
        io::ErrorKind::AlreadyExists => StarterFileError::Exists(path.to_owned()),
        _ => StarterFileError::Unwritable {
            path: path.to_owned(),
            reason,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_once_and_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reconcile.toml");
        refuse_existing(&path).unwrap();
        write_new(&path, "one").unwrap();
        assert!(matches!(
            refuse_existing(&path),
            Err(StarterFileError::Exists(_))
        ));
        let again = write_new(&path, "two").unwrap_err();
        assert!(matches!(again, StarterFileError::Exists(_)), "{again}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        let nowhere = directory.path().join("absent/reconcile.toml");
        let error = write_new(&nowhere, "").unwrap_err();
        assert!(matches!(error, StarterFileError::Unwritable { .. }));
    }
}

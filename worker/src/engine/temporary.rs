//! Where temporary files are: on a disk, since files in memory would take the memory that
//! they are to save.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Temporary files that may be large and outlive a restart, which is on a disk also where
/// `/tmp` is in memory.
const ON_DISK: &str = "/var/tmp";

/// The directory of temporary files.
#[derive(Debug, Clone, Default)]
pub struct SpillDirectory {
    named: Option<Arc<Path>>,
}

/// No directory of temporary files is on a disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is in memory and not on a disk", .directory.display())]
pub(crate) struct InMemory {
    directory: PathBuf,
}

impl SpillDirectory {
    /// The directory that the user has named, even if it is in memory. Without one, the
    /// directory that `TMPDIR` names, or else `/tmp`, or `/var/tmp` if that is in memory.
    #[must_use]
    pub fn new(named: Option<PathBuf>) -> Self {
        Self {
            named: named.map(Arc::from),
        }
    }

    /// Checks that the directory that the user has named can have temporary files.
    ///
    /// # Errors
    ///
    /// If no file can be created in it. The error names it.
    pub fn check(&self) -> io::Result<()> {
        match &self.named {
            Some(named) => TemporaryFile::new(named).map(drop),
            None => Ok(()),
        }
    }

    /// Creates a file without a name.
    ///
    /// # Errors
    ///
    /// If that fails, or if every directory is in memory ([`InMemory`]) and none was named.
    pub(crate) fn file(&self) -> io::Result<TemporaryFile> {
        if let Some(named) = &self.named {
            return TemporaryFile::new(named);
        }
        let file = TemporaryFile::new(&std::env::temp_dir())?;
        if !is_in_memory(&file.file)? {
            return Ok(file);
        }
        match TemporaryFile::new(Path::new(ON_DISK)) {
            Ok(file) if !is_in_memory(&file.file)? => Ok(file),
            _ => Err(io::Error::other(InMemory {
                directory: file.directory,
            })),
        }
    }
}

/// A file without a name. Its errors name its directory.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    file: File,
    directory: PathBuf,
}

impl TemporaryFile {
    fn new(directory: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(directory);
        Ok(Self {
            file: file.map_err(|error| in_directory(directory, &error))?,
            directory: directory.to_owned(),
        })
    }

    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|error| in_directory(&self.directory, &error))
    }

    pub(crate) fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = self.file.read_exact_at(&mut bytes, offset);
        read.map_err(|error| in_directory(&self.directory, &error))?;
        Ok(bytes)
    }
}

/// The error with the directory in its text.
fn in_directory(directory: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", directory.display()))
}

/// Whether the file system of a file is tmpfs or ramfs.
#[cfg(target_os = "linux")]
fn is_in_memory(file: &File) -> io::Result<bool> {
    // linux/magic.h
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58F6;
    let kind = rustix::fs::fstatfs(file)?.f_type;
    // The number has 32 bits.
    Ok(matches!(kind.cast_unsigned() & 0xFFFF_FFFF, TMPFS | RAMFS))
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_file: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    #[cfg(target_os = "linux")]
    fn files_in_memory_are_recognised_and_only_used_where_they_are_named() {
        let memory = Path::new("/dev/shm");
        let file = tempfile::tempfile_in(memory).unwrap();
        assert!(is_in_memory(&file).unwrap());
        let named = SpillDirectory::new(Some(memory.to_owned()));
        let file = named.file().unwrap();
        file.write(b"abc", 0).unwrap();
        assert_eq!(file.read(1, 2).unwrap(), b"bc");
        if let Ok(file) = SpillDirectory::default().file() {
            assert!(!is_in_memory(&file.file).unwrap());
        }
    }

    #[test]
    fn an_error_names_the_directory() {
        let absent = SpillDirectory::new(Some(PathBuf::from("/absent/directory")));
        let error = absent.file().unwrap_err();
        assert!(
            error.to_string().starts_with("/absent/directory: "),
            "{error}"
        );
    }
}

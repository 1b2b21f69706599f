//! Replaces files atomically: a reader, or a process that starts after a crash, sees the old
//! content or the new content, never a part of it.
//!
//! The content is written to a temporary file in the directory of the final path, synced, and
//! renamed. Then the directory is synced, because a rename is durable only after that.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

/// The longest part of a file's name in that of its temporary file, in bytes. File systems allow
/// names of 255 bytes.
const LONGEST_PREFIX: usize = 200;

/// Who may read the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only its owner: mode 0600, whatever the umask is. For files that hold rows of a table.
    Owner,
    /// Every user, whatever the umask is: mode 0644.
    Everyone,
}

/// A buffered writer for the new content of a file. The file appears at its final path on
/// [`commit`](Self::commit); dropping the writer before that removes the temporary file.
#[derive(Debug)]
#[must_use]
pub struct AtomicFile {
    file: BufWriter<File>,
    temporary: TempPath,
    path: PathBuf,
}

impl AtomicFile {
    /// Creates a temporary file with a random name next to `path`. The name starts with that of
    /// `path`, or the begin of a long one, and ends in `.part`. A link is never followed.
    ///
    /// # Errors
    ///
    /// When `path` is a directory or has no file name, or when no file can be created next to it.
    pub fn create(path: &Path, access: Access) -> io::Result<Self> {
        let name = file_name(path)?;
        let begin = &name.as_bytes()[..name.len().min(LONGEST_PREFIX)];
        let mut prefix = OsStr::from_bytes(begin).to_owned();
        prefix.push(".");
        let mut builder = Builder::new();
        builder.prefix(&prefix).suffix(".part");
        Self::open(&builder, directory(path), path, access)
    }

    /// Creates the temporary file at exactly `temporary`, which must be in the directory of
    /// `path`. Use it when other processes must recognise the temporary file.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create), and [`io::ErrorKind::AlreadyExists`] when there is a file at
    /// `temporary`; that file is not changed.
    pub fn create_at(temporary: &Path, path: &Path, access: Access) -> io::Result<Self> {
        let mut builder = Builder::new();
        builder.prefix(file_name(temporary)?).rand_bytes(0);
        Self::open(&builder, directory(temporary), path, access)
    }

    fn open(
        builder: &Builder<'_, '_>,
        directory: &Path,
        path: &Path,
        access: Access,
    ) -> io::Result<Self> {
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // `Builder::tempfile_in` would add the temporary path to the text of errors.
        let (file, temporary) = builder
            .make_in(directory, |temporary| {
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(match access {
                        Access::Owner => 0o600,
                        Access::Everyone => 0o666,
                    })
                    .open(temporary)
            })?
            .into_parts();
        if access == Access::Everyone {
            file.set_permissions(Permissions::from_mode(0o644))?;
        }
        Ok(Self {
            file: BufWriter::new(file),
            temporary,
            path: path.to_owned(),
        })
    }

    /// The final path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the content and renames the file to its final path, replacing a file there.
    ///
    /// # Errors
    ///
    /// When the content cannot be written or the file cannot be renamed. The file at the final
    /// path is unchanged then, unless only the sync of the directory failed.
    pub fn commit(mut self) -> io::Result<()> {
        self.sync()?;
        self.temporary
            .persist(&self.path)
            .map_err(|error| error.error)?;
        sync_directory(&self.path)
    }

    /// Syncs the content and the directory, and leaves the decision on the rename to the caller:
    /// the temporary file survives a crash.
    ///
    /// # Errors
    ///
    /// When the content or the directory cannot be synced; the temporary file is removed then.
    pub fn finish(mut self) -> io::Result<FinishedFile> {
        self.sync()?;
        sync_directory(&self.temporary)?;
        Ok(FinishedFile {
            temporary: self.temporary,
            path: self.path,
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A complete file next to its final path. Dropping it removes the file.
#[derive(Debug)]
#[must_use]
pub struct FinishedFile {
    temporary: TempPath,
    path: PathBuf,
}

impl FinishedFile {
    /// The final path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the file to its final path, replacing a file there, and syncs the directory.
    ///
    /// # Errors
    ///
    /// When the file cannot be renamed; it stays at its temporary path then.
    pub fn commit(self) -> io::Result<()> {
        let path = self.path.clone();
        rename(&self.keep()?, &path)
    }

    /// Leaves the file at its temporary path, and returns that path.
    ///
    /// # Errors
    ///
    /// Never on Unix.
    pub fn keep(self) -> io::Result<PathBuf> {
        self.temporary.keep().map_err(|error| error.error)
    }
}

/// Replaces the content of the file at `path` with `content`.
///
/// # Errors
///
/// When the directory does not exist, is full, or cannot be written to. The file at `path` is
/// unchanged then, unless only the sync of the directory failed.
pub fn replace(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let mut file = AtomicFile::create(path, access)?;
    file.write_all(content)?;
    file.commit()
}

/// Renames the complete file `from` to `to`, replacing a file there, and syncs the directory.
///
/// # Errors
///
/// When `from` cannot be renamed or the directory cannot be synced.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_directory(to)
}

fn file_name(path: &Path) -> io::Result<&OsStr> {
    path.file_name()
        .ok_or_else(|| io::ErrorKind::InvalidFilename.into())
}

/// The directory of the file at `path`.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reconcile.prom");
        for text in ["a 1\n", "b 2\n"] {
            replace(&path, text.as_bytes(), Access::Everyone).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(mode(&path), 0o644);
        assert_eq!(names(directory.path()), ["reconcile.prom"]);
    }

    #[test]
    fn a_file_for_its_owner_only_is_so_while_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.sql");
        fs::write(&path, "old").unwrap();
        let mut file = AtomicFile::create(&path, Access::Owner).unwrap();
        assert_eq!(mode(&file.temporary), 0o600);
        file.write_all(b"new").unwrap();
        file.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        file.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_file_that_is_not_committed_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        let mut file = AtomicFile::create(&path, Access::Owner).unwrap();
        file.write_all(b"{").unwrap();
        drop(file);
        AtomicFile::create(&path, Access::Owner)
            .unwrap()
            .finish()
            .map(drop)
            .unwrap();
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn a_file_may_have_the_longest_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ä".repeat(127));
        replace(&path, b"text", Access::Owner).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"text");
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        fs::write(path("victim"), "precious").unwrap();
        for link in ["report", "t.sql.pending"] {
            std::os::unix::fs::symlink(path("victim"), path(link)).unwrap();
        }
        replace(&path("report"), b"{}", Access::Owner).unwrap();
        let error = AtomicFile::create_at(&path("t.sql.pending"), &path("t.sql"), Access::Owner);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(path("victim")).unwrap(), b"precious");
        assert!(fs::symlink_metadata(path("report")).unwrap().is_file());
    }

    #[test]
    fn a_path_that_cannot_be_replaced_is_an_error_without_a_trace() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        let kind = |path: &Path| replace(path, b"", Access::Owner).unwrap_err().kind();
        assert_eq!(kind(&path("none/report")), io::ErrorKind::NotFound);
        assert_eq!(kind(Path::new("")), io::ErrorKind::InvalidFilename);
        fs::create_dir(path("taken")).unwrap();
        assert_eq!(kind(&path("taken")), io::ErrorKind::IsADirectory);
        let late = AtomicFile::create(&path("late"), Access::Owner).unwrap();
        fs::create_dir(path("late")).unwrap();
        late.commit().unwrap_err();
        assert_eq!(names(directory.path()), ["late", "taken"]);
    }

    #[test]
    fn a_finished_file_is_renamed_later_or_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (temporary, path) = (
            directory.path().join("t.sql.pending"),
            directory.path().join("t.sql"),
        );
        let finish = |text: &str| {
            let mut file = AtomicFile::create_at(&temporary, &path, Access::Owner).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.finish().unwrap()
        };
        finish("one").commit().unwrap();
        assert_eq!(names(directory.path()), ["t.sql"]);
        assert_eq!(finish("two").keep().unwrap(), temporary);
        let error = AtomicFile::create_at(&temporary, &path, Access::Owner).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        rename(&temporary, &path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(names(directory.path()), ["t.sql"]);
    }
}

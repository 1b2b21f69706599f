//! Leaves metrics in a file, for node-exporter's textfile collector.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Who may read the file: everybody, since the exporter runs as somebody else.
const MODE: u32 = 0o644;

/// Puts `text` in place of what is in `path`, all at once: the collector, which
/// may read at any time, sees the old file or the new one.
///
/// # Errors
///
/// When the directory is missing or full, or cannot be written to. What was in
/// `path` stays then.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let draft = draft_of(path);
    let write = || {
        let mut file = File::create(&draft)?;
        // The process' mask may be stricter.
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().inspect_err(|_| {
        // It may never have been made.
        fs::remove_file(&draft).ok();
    })
}

/// A name in the same directory, which the collector does not take for a file
/// of its own: those end in `.prom`.
fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_readable_by_all() {
        let directory =
            std::env::temp_dir().join(format!("reconcile-metrics-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("reconcile.prom");
        for text in ["a 1\n", "b 2\n"] {
            replace(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let error = replace(&directory.join("none/reconcile.prom"), "c 3\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        // A directory is in the way of the rename.
        fs::create_dir(directory.join("taken.prom")).unwrap();
        replace(&directory.join("taken.prom"), "d 4\n").unwrap_err();
        let mut left: Vec<_> = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["reconcile.prom", "taken.prom"]);
        fs::remove_dir_all(&directory).unwrap();
    }
}

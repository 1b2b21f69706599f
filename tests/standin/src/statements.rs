//! Records the T-SQL that the product sends, for a parser that is not ours.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A file with one JSON string a line: each text once.
#[derive(Debug)]
pub struct StatementLog {
    written: Mutex<(HashSet<String>, File)>,
}

impl StatementLog {
    /// Creates the file of this process in `directory`.
    ///
    /// # Errors
    ///
    /// When the file cannot be created.
    pub fn create(directory: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(directory.join(format!("{}.jsonl", std::process::id())))?;
        Ok(Self {
            written: Mutex::new((HashSet::new(), file)),
        })
    }

    /// Writes a text that was not written before.
    ///
    /// # Errors
    ///
    /// When the file cannot be written to.
    pub(crate) fn record(&self, text: &str) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, file) = &mut *written;
        if known.contains(text) {
            return Ok(());
        }
        known.insert(text.to_owned());
        let mut line = serde_json::to_string(text)?;
        line.push('\n');
        file.write_all(line.as_bytes())
    }
}

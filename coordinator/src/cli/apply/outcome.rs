//! The result of `reconcile apply`, as text and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::repair::{Direction, Effects, StatementCounts};

#[derive(Debug, Serialize)]
pub(super) struct Applied {
    pub(super) direction: Direction,
    pub(super) dry_run: bool,
    pub(super) tables: Vec<AppliedTable>,
    /// PASS: all rows of the scripts are equal; absent if they were not compared.
    pub(super) verification: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct AppliedTable {
    pub(super) table: String,
    pub(super) file: String,
    pub(super) applied: StatementCounts,
    /// Statements whose rows had changed since the comparison.
    pub(super) skipped: StatementCounts,
    pub(super) verified: Option<Verified>,
    #[serde(skip)]
    pub(super) keys: Vec<String>,
    #[serde(skip)]
    pub(super) effects: Effects,
}

/// The rows of one script, compared after it was applied.
#[derive(Debug, Serialize)]
pub(super) struct Verified {
    /// Number of compared rows; absent if the whole table was compared.
    pub(super) rows: Option<usize>,
    pub(super) missing: u64,
    pub(super) extra: u64,
    pub(super) modified: u64,
}

impl Verified {
    fn differing(&self) -> u64 {
        self.missing + self.extra + self.modified
    }
}

impl Applied {
    /// PASS if all compared rows are equal, else FAIL.
    pub(super) fn verdict(&self) -> &'static str {
        let mut verified = self
            .tables
            .iter()
            .filter_map(|table| table.verified.as_ref());
        if verified.any(|verified| verified.differing() > 0) {
            "FAIL"
        } else {
            "PASS"
        }
    }

    pub(super) fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("it has text keys");
        format!("{text}\n")
    }

    pub(super) fn to_console(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            text.push_str(&table.to_line(self.dry_run));
            text.push('\n');
        }
        if self.dry_run {
            text.push_str("nothing was changed: this was a dry run\n");
        }
        if let Some(verdict) = self.verification {
            text.push_str(verdict);
            text.push('\n');
        }
        text
    }
}

impl AppliedTable {
    fn to_line(&self, dry_run: bool) -> String {
        let Self {
            table,
            applied,
            skipped,
            ..
        } = self;
        if applied.total() + skipped.total() == 0 {
            return format!("{table}: there is nothing to revert");
        }
        let would = if dry_run { "would be " } else { "" };
        let mut line = format!(
            "{table}: {} rows {would}deleted, {} changed, {} added",
            applied.delete, applied.update, applied.insert
        );
        // Writing to memory cannot fail.
        if skipped.total() > 0 {
            write!(
                line,
                "; skipped, because the rows have changed since or other rows reference them: {} deletions, {} changes, {} additions",
                skipped.delete, skipped.update, skipped.insert
            )
            .ok();
        }
        if let Some(verified) = &self.verified {
            let rows = match verified.rows {
                Some(rows) => format!("{rows} rows"),
                None => "the whole table".to_owned(),
            };
            let result = if verified.differing() == 0 {
                "equal".to_owned()
            } else {
                format!(
                    "{} missing, {} extra, {} modified",
                    verified.missing, verified.extra, verified.modified
                )
            };
            write!(line, "; compared {rows} again: {result}").ok();
        }
        line
    }
}

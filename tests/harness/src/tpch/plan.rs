//! The planted differences, as a file.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use shared::outcome::{Difference, DifferenceKind};

/// Everything that a correct report contains.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Plan {
    /// One entry per loaded table, also for those that are equal.
    pub tables: Vec<PlannedTable>,
}

/// The differences planted in one table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlannedTable {
    /// The table's name without a schema.
    pub name: String,
    /// Rows in the source.
    pub source_count: u64,
    /// Rows in the target.
    pub target_count: u64,
    /// The differing rows. Those of a table without a key have no key and all
    /// columns; missing and extra rows of the others have a key only.
    pub differences: Vec<Difference>,
}

impl PlannedTable {
    /// How many differing rows are of this kind.
    #[must_use]
    pub fn count(&self, kind: DifferenceKind) -> usize {
        self.differences
            .iter()
            .filter(|difference| difference.kind == kind)
            .count()
    }
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is not a plan.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not a plan", path.display()))
    }

    /// Writes the plan.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

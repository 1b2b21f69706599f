//! The manifest in the directory of the scripts: which scripts a run has written.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::atomic_file::{self, Access};
use shared::endpoint::DatabaseKind;
use shared::ids::RunId;

use super::error::ScriptError;
use super::statement::{Direction, StatementCounts};
use crate::report::RepairReport;

pub(super) const MANIFEST: &str = "repair.json";

/// The format that this version writes and reads.
pub(super) const FORMAT: u32 = 2;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) run: String,
    pub(super) timestamp: String,
    pub(super) engine: Option<DatabaseKind>,
    pub(super) apply: String,
    /// Ordered by foreign keys: a referenced table comes before the tables that
    /// reference it, except in a cycle.
    pub(super) tables: Vec<ManifestTable>,
    /// What the report says of the repair of each table, by the table's position in it.
    pub(super) repairs: BTreeMap<usize, RepairReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ManifestTable {
    pub(super) table: String,
    pub(super) source: String,
    pub(super) repair: String,
    pub(super) undo: String,
    pub(super) statements: StatementCounts,
}

/// The directory of the scripts of `run` in an output directory.
pub(super) fn run_directory(output: &Path, run: RunId) -> PathBuf {
    output.join(run.to_string())
}

/// What the report says of the repairs of `run`, by the position of the table in it; empty
/// if the directory of its scripts is not there any more.
pub(crate) fn stored_repairs(output: &Path, run: RunId) -> BTreeMap<usize, RepairReport> {
    let manifest = Manifest::read(&run_directory(output, run).join(MANIFEST));
    manifest
        .map(|manifest| manifest.repairs)
        .unwrap_or_default()
}

impl Manifest {
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        atomic_file::replace(&directory.join(MANIFEST), text.as_bytes(), Access::Owner)
    }

    pub(super) fn read(path: &Path) -> Result<Self, ScriptError> {
        let text = std::fs::read(path).map_err(ScriptError::unreadable(path))?;
        serde_json::from_slice(&text)
            .ok()
            .filter(|manifest: &Self| manifest.format == FORMAT)
            .ok_or_else(|| ScriptError::Foreign(path.to_owned()))
    }
}

impl ManifestTable {
    pub(super) fn script(&self, direction: Direction) -> &str {
        match direction {
            Direction::Repair => &self.repair,
            Direction::Undo => &self.undo,
        }
    }
}

//! The header of a repair script: what the script is for, as one line of JSON.

use serde::{Deserialize, Serialize};
use shared::endpoint::DatabaseKind;
use shared::message::TableSpec;
use shared::outcome::{ForeignKey, Sequence, TableStructure};

use super::statement::{Direction, StatementCounts};
use worker::engine::{GuardedForm, ScriptDialect, script_dialect};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) direction: Direction,
    /// The run that found the differences.
    pub(crate) run: String,
    pub(crate) timestamp: String,
    /// The first word of the marks of this file.
    pub(crate) token: String,
    pub(crate) engine: DatabaseKind,
    /// The database of the target; absent where only the workers knew it.
    #[serde(default)]
    pub(crate) database: Option<String>,
    pub(crate) schema: String,
    pub(crate) table: String,
    /// Whether an undo script contains the inverse of what `reconcile apply` has
    /// done; otherwise it contains the inverse of the whole repair.
    #[serde(default)]
    pub(crate) applied: bool,
    /// How many statements the script had when it was written. Whole statements may have been
    /// deleted since.
    pub(crate) statements: StatementCounts,
    /// The columns of the key by their source names, for messages.
    #[serde(default)]
    pub(crate) key: Vec<String>,
    pub(crate) identity_insert: bool,
    /// The sequences that number the rows of the table.
    #[serde(default)]
    pub(crate) sequences: Vec<Sequence>,
    /// The structure of the table for which the script was written; absent where it is unknown.
    #[serde(default)]
    pub(crate) structure: Option<TableStructure>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// Those that must be checked at the end, when this script is executed alone.
    pub(crate) deferred: Vec<ForeignKey>,
    /// The scripts of this table and its related tables in the order in which they are
    /// executed one by one; empty without related tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) order: Vec<String>,
    pub(crate) spec: TableSpec,
}

impl Header {
    pub(super) fn token() -> String {
        let mut bytes = [0_u8; 12];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system has a source of random numbers");
        hex::encode(bytes)
    }

    /// The form of the statements of this script.
    pub(super) fn form(&self) -> GuardedForm<'_> {
        GuardedForm::new(self.engine, &self.schema, &self.table)
    }

    pub(crate) fn dialect(&self) -> &'static dyn ScriptDialect {
        script_dialect(self.engine)
    }

    /// Schema and name of the target, quoted.
    pub(crate) fn qualified(&self) -> String {
        let dialect = self.dialect();
        let (schema, table) = (dialect.quote(&self.schema), dialect.quote(&self.table));
        format!("{schema}.{table}")
    }

    /// Statements that defer the check of `keys`.
    pub(crate) fn defer_constraints(&self, keys: &[ForeignKey]) -> Vec<String> {
        let table = self.qualified();
        immediate(keys)
            .map(|key| self.dialect().defer_constraint(&table, key))
            .collect()
    }

    /// Statements that check `keys` and end their deferral.
    pub(crate) fn restore_constraints(&self, keys: &[ForeignKey]) -> Vec<String> {
        let table = self.qualified();
        immediate(keys)
            .map(|key| self.dialect().restore_constraint(&table, key))
            .collect()
    }

    /// Statements that advance sequences past the inserted rows, so that later
    /// inserts get new numbers.
    ///
    /// They never move a sequence back. A rollback does not undo them, so they
    /// must be the last statements before the commit.
    pub(crate) fn advance_sequences(&self) -> Vec<String> {
        if self.statements.insert == 0 {
            return Vec::new();
        }
        let table = self.qualified();
        self.sequences
            .iter()
            .filter_map(|sequence| self.dialect().advance_sequence(&table, sequence))
            .collect()
    }

    /// A statement that allows or forbids inserts into the identity column, if
    /// the script has such inserts.
    pub(crate) fn set_identity_insert(&self, allowed: bool) -> Option<String> {
        let table = self.qualified();
        self.identity_insert
            .then(|| self.dialect().identity_insert(&table, allowed))
            .flatten()
    }
}

/// The keys whose checks are not deferrable yet.
fn immediate(keys: &[ForeignKey]) -> impl Iterator<Item = &ForeignKey> {
    keys.iter().filter(|key| !key.deferrable)
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::run_state::testing::spec;

    pub(in crate::repair) fn header() -> Header {
        Header {
            direction: Direction::Repair,
            run: "run".to_owned(),
            timestamp: "now".to_owned(),
            token: Header::token(),
            engine: DatabaseKind::SqlServer,
            database: None,
            applied: false,
            schema: "dbo".to_owned(),
            table: "t".to_owned(),
            statements: StatementCounts::default(),
            key: Vec::new(),
            identity_insert: true,
            sequences: Vec::new(),
            structure: None,
            foreign_keys: Vec::new(),
            deferred: Vec::new(),
            order: Vec::new(),
            spec: spec("t"),
        }
    }
}

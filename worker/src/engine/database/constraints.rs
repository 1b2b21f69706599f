//! What must be known before a table is written to: columns that the database
//! fills itself, the sequences behind them, and foreign keys.

use std::collections::BTreeSet;

use shared::outcome::{ForeignKey, Sequence};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Constraints {
    pub is_view: bool,
    /// Columns whose values only the database sets: computed and generated
    /// ones, row versions.
    pub generated: BTreeSet<String>,
    pub identity: BTreeSet<String>,
    /// Identity columns that cannot be updated.
    pub fixed: BTreeSet<String>,
    /// PostgreSQL's sequences that belong to integer columns: a row that is
    /// inserted with a number does not advance them.
    pub sequences: Vec<Sequence>,
    pub foreign_keys: Vec<ForeignKey>,
    /// Foreign keys of other tables that reference this one with ON DELETE
    /// CASCADE, SET NULL or SET DEFAULT.
    pub dependents: Vec<Dependent>,
}

/// A foreign key that deletes or changes its own row when the referenced row is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependent {
    /// The schema of the referencing table.
    pub schema: String,
    /// The referencing table.
    pub table: String,
    /// Its columns, each with the column that it references.
    pub columns: Vec<(String, String)>,
}

impl Constraints {
    /// Adds a column of a foreign key. The columns of a key come one after the other.
    pub(crate) fn add_dependent_column(
        &mut self,
        key: &mut Option<i64>,
        id: i64,
        found: [String; 4],
    ) {
        let [schema, table, column, own] = found;
        if *key != Some(id) {
            *key = Some(id);
            self.dependents.push(Dependent {
                schema,
                table,
                columns: Vec::new(),
            });
        }
        if let Some(dependent) = self.dependents.last_mut() {
            dependent.columns.push((column, own));
        }
    }
}

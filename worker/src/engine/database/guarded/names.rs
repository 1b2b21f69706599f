//! The columns that repair statements name. PostgreSQL reads a name behind a table that is
//! none of its columns as a call of the function of that name. So the names are compared with
//! the catalog before the first statement is executed.

use std::collections::{BTreeMap, BTreeSet};

/// The columns that the statements of one script name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ColumnNames {
    /// Columns of the repaired table.
    pub(crate) own: BTreeSet<String>,
    /// Columns of the tables of guards, by schema and table.
    pub(crate) of_guards: BTreeMap<(String, String), BTreeSet<String>>,
}

impl ColumnNames {
    pub(super) fn add_own(&mut self, column: &str) {
        add(&mut self.own, column);
    }

    pub(super) fn add_of_guard(&mut self, table: &(String, String), column: &str) {
        if let Some(columns) = self.of_guards.get_mut(table) {
            add(columns, column);
        } else {
            let columns = BTreeSet::from([column.to_owned()]);
            self.of_guards.insert(table.clone(), columns);
        }
    }
}

fn add(columns: &mut BTreeSet<String>, column: &str) {
    if !columns.contains(column) {
        columns.insert(column.to_owned());
    }
}

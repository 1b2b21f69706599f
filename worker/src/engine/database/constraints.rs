//! What must be known before a table is written to: columns that the database
//! fills itself, the sequences behind them, foreign keys, unique constraints and triggers
//! that take the place of a change.

use std::collections::BTreeSet;

use shared::outcome::{ForeignKey, Sequence};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Constraints {
    pub is_view: bool,
    /// Whether reading the table also reads the rows of tables that inherit from it and
    /// are none of its partitions.
    pub is_inherited: bool,
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
    /// Foreign keys, also of this table, that reference it.
    pub dependents: Vec<Dependent>,
    /// Unique constraints and indexes that are checked at once, over columns of all rows.
    pub unique: Vec<UniqueConstraint>,
    /// Triggers that are executed instead of a change of the table.
    pub instead_of_triggers: Vec<String>,
}

/// A unique constraint or index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UniqueConstraint {
    pub name: String,
    pub columns: Vec<String>,
    /// Whether it refuses a second NULL.
    pub nulls_are_equal: bool,
}

/// A foreign key that references the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependent {
    /// The schema of the referencing table.
    pub schema: String,
    /// The referencing table.
    pub table: String,
    /// Its columns, each with the column that it references.
    pub columns: Vec<(String, String)>,
    /// Whether it deletes or changes its own row when the referenced row is deleted.
    pub acts_on_delete: bool,
    /// Whether it changes its own row when the referenced columns change.
    pub acts_on_update: bool,
    /// Whether the endpoint's user may read all rows of the referencing table.
    pub is_readable: bool,
}

/// The foreign keys that must not reference a row that changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Guarding {
    /// When the row is deleted.
    pub on_delete: Vec<Dependent>,
    /// When its referenced columns change.
    pub on_update: Vec<Dependent>,
}

impl Constraints {
    /// Adds a column of a foreign key that references the table. The columns of a key come
    /// one after the other.
    pub(crate) fn add_dependent_column(
        &mut self,
        key: &mut Option<i64>,
        id: i64,
        found: [String; 4],
        [acts_on_delete, acts_on_update, is_readable]: [bool; 3],
    ) {
        let [schema, table, column, own] = found;
        if *key != Some(id) {
            *key = Some(id);
            self.dependents.push(Dependent {
                schema,
                table,
                columns: Vec::new(),
                acts_on_delete,
                acts_on_update,
                is_readable,
            });
        }
        if let Some(dependent) = self.dependents.last_mut() {
            dependent.columns.push((column, own));
        }
    }

    /// Adds a column of a unique constraint. The columns of one come one after the other.
    pub(crate) fn add_unique_column(
        &mut self,
        constraint: &str,
        column: String,
        nulls_are_equal: bool,
    ) {
        match self.unique.last_mut() {
            Some(last) if last.name == constraint => last.columns.push(column),
            _ => self.unique.push(UniqueConstraint {
                name: constraint.to_owned(),
                columns: vec![column],
                nulls_are_equal,
            }),
        }
    }

    /// The foreign keys that must not reference a row of `schema`.`table` when it is deleted
    /// or its referenced columns change: those that would delete or change rows along, and
    /// those whose check would fail. A key of the table itself, or of a table that this one
    /// references in turn, can be checked at the end of the transaction.
    pub(crate) fn guarding(&self, schema: &str, table: &str) -> Guarding {
        let is_late = |of: &Dependent| {
            (of.schema == schema && of.table == table)
                || self
                    .foreign_keys
                    .iter()
                    .any(|key| key.schema == of.schema && key.table == of.table)
        };
        let guarding = |acts: fn(&Dependent) -> bool| {
            let dependents = self.dependents.iter();
            dependents
                .filter(|dependent| acts(dependent) || !is_late(dependent))
                .cloned()
                .collect()
        };
        Guarding {
            on_delete: guarding(|dependent| dependent.acts_on_delete),
            on_update: guarding(|dependent| dependent.acts_on_update),
        }
    }

    /// All names of the catalog that statements may contain.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let keys = self
            .foreign_keys
            .iter()
            .flat_map(|key| [&key.name, &key.schema, &key.table]);
        let sequences = self
            .sequences
            .iter()
            .flat_map(|sequence| [&sequence.schema, &sequence.name]);
        let dependents = self.dependents.iter().flat_map(|dependent| {
            let columns = dependent.columns.iter().map(|(column, _)| column);
            [&dependent.schema, &dependent.table]
                .into_iter()
                .chain(columns)
        });
        keys.chain(sequences).chain(dependents).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(table: &str, acts_on_delete: bool, acts_on_update: bool) -> Dependent {
        Dependent {
            schema: "s".to_owned(),
            table: table.to_owned(),
            columns: vec![("up".to_owned(), "id".to_owned())],
            acts_on_delete,
            acts_on_update,
            is_readable: true,
        }
    }

    #[test]
    fn a_key_of_the_table_itself_guards_what_it_acts_on() {
        for (on_delete, on_update) in [(false, false), (true, false), (false, true), (true, true)] {
            let own = key("t", on_delete, on_update);
            let constraints = Constraints {
                dependents: vec![own.clone()],
                ..Constraints::default()
            };
            let expected = |acts: bool| Vec::from_iter(acts.then(|| own.clone()));
            assert_eq!(
                constraints.guarding("s", "t"),
                Guarding {
                    on_delete: expected(on_delete),
                    on_update: expected(on_update),
                }
            );
        }
    }

    #[test]
    fn a_key_of_another_table_guards_both() {
        let constraints = Constraints {
            dependents: vec![key("child", false, false)],
            ..Constraints::default()
        };
        let guarding = constraints.guarding("s", "t");
        assert_eq!(guarding.on_delete, constraints.dependents);
        assert_eq!(guarding.on_update, constraints.dependents);
    }
}

//! The statements that mend one row of the target, and those that take it
//! back. Each is guarded: it changes nothing unless the row is as it was seen.

use crate::engine::database::constraints::Dependent;
use crate::engine::database::dialect::RepairDialect;
use crate::engine::repair::literal::{equals, holds, is_text};
use crate::engine::values::column::Column;
use crate::engine::values::raw::{RawValue, Unwritable};

/// A column of the target.
#[derive(Debug, Clone)]
pub(crate) struct TargetColumn {
    pub(crate) column: Column,
    /// The database makes its values: it is never written.
    pub(crate) generated: bool,
    /// It can be given a value when a row is added, and never again.
    pub(crate) fixed: bool,
}

/// The target's table, as statements see it.
#[derive(Debug, Clone)]
pub(crate) struct TargetTable {
    pub(crate) dialect: &'static dyn RepairDialect,
    /// Schema and name, quoted.
    pub(crate) name: String,
    pub(crate) columns: Vec<TargetColumn>,
    /// The columns, by position, that identify a row; empty for a multiset.
    pub(crate) key: Vec<usize>,
    /// Whether at most one row can have a key.
    pub(crate) unique: bool,
    /// Whether a column numbers the rows by itself.
    pub(crate) has_identity: bool,
    /// What the database would delete or change along with a row.
    pub(crate) dependents: Vec<Dependent>,
}

/// One column of a row that is written or looked for.
pub(crate) type Cell = (usize, RawValue);

/// The change of one column.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) at: usize,
    pub(crate) old: RawValue,
    pub(crate) new: RawValue,
}

/// A statement and its inverse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mend {
    pub(crate) sql: String,
    pub(crate) undo: String,
}

impl TargetTable {
    /// Adds a row.
    pub(crate) fn insert(&self, row: &[Cell]) -> Result<Mend, Unwritable> {
        Ok(Mend {
            sql: self.adding(row)?,
            undo: self.taking(row)?,
        })
    }

    /// Takes a row away; `row` is all that is known of it.
    pub(crate) fn delete(&self, row: &[Cell]) -> Result<Mend, Unwritable> {
        Ok(Mend {
            sql: self.taking(row)?,
            undo: self.adding(row)?,
        })
    }

    /// Changes a row. `key` are the values of its key's columns on the target.
    pub(crate) fn update(&self, key: &[Cell], changes: &[Change]) -> Result<Mend, Unwritable> {
        let turned: Vec<Change> = changes
            .iter()
            .map(|change| Change {
                at: change.at,
                old: change.new.clone(),
                new: change.old.clone(),
            })
            .collect();
        // The key's own columns may be among the changed ones.
        let new_key: Vec<Cell> = key
            .iter()
            .map(|(at, value)| {
                let changed = changes.iter().find(|change| change.at == *at);
                (
                    *at,
                    changed.map_or_else(|| value.clone(), |change| change.new.clone()),
                )
            })
            .collect();
        Ok(Mend {
            sql: self.changing(key, changes)?,
            undo: self.changing(&new_key, &turned)?,
        })
    }

    fn column(&self, at: usize) -> &Column {
        &self.columns[at].column
    }

    fn changing(&self, key: &[Cell], changes: &[Change]) -> Result<String, Unwritable> {
        let mut assignments = Vec::with_capacity(changes.len());
        let mut terms = self.key_terms(key)?;
        for Change { at, old, new } in changes {
            let column = self.column(*at);
            let name = self.dialect.identifier(&column.name);
            let value = self.dialect.assigned(column, new)?;
            assignments.push(format!("{name} = {value}"));
            terms.push(holds(self.dialect, column, old)?);
        }
        let (list, condition) = (assignments.join(", "), terms.join(" AND "));
        let table = &self.name;
        Ok(if self.unique {
            format!("UPDATE {table} SET {list} WHERE {condition};")
        } else {
            self.dialect.update_one(table, &list, &condition)
        })
    }

    fn taking(&self, row: &[Cell]) -> Result<String, Unwritable> {
        let key: Vec<Cell> = row
            .iter()
            .filter(|(at, _)| self.key.contains(at))
            .cloned()
            .collect();
        let mut terms = self.key_terms(&key)?;
        for (at, value) in row.iter().filter(|(at, _)| !self.key.contains(at)) {
            terms.push(holds(self.dialect, self.column(*at), value)?);
        }
        terms.extend(
            self.dependents
                .iter()
                .map(|dependent| self.independent(dependent)),
        );
        let (table, condition) = (&self.name, terms.join(" AND "));
        Ok(if self.unique {
            format!("DELETE FROM {table} WHERE {condition};")
        } else {
            self.dialect.delete_one(table, &condition)
        })
    }

    /// The condition that no row of another table hangs on the one that is
    /// looked at: a deletion would take it along, and nobody would bring it back.
    fn independent(&self, dependent: &Dependent) -> String {
        let name = |column: &str| self.dialect.identifier(column);
        let equal: Vec<String> = dependent
            .columns
            .iter()
            .map(|(column, own)| format!("d.{} = {}.{}", name(column), self.name, name(own)))
            .collect();
        let table = self.dialect.qualified(&dependent.schema, &dependent.table);
        let mut condition = equal.join(" AND ");
        // A row that hangs on itself goes with itself.
        if table == self.name
            && let Some((_, own)) = dependent.columns.first()
        {
            condition += &format!(" AND d.{} <> {}.{}", name(own), self.name, name(own));
        }
        format!("NOT EXISTS (SELECT 1 FROM {table} AS d WHERE {condition})")
    }

    fn adding(&self, row: &[Cell]) -> Result<String, Unwritable> {
        let mut names = Vec::with_capacity(row.len());
        let mut values = Vec::with_capacity(row.len());
        for (at, value) in row.iter().filter(|(at, _)| !self.columns[*at].generated) {
            let column = self.column(*at);
            names.push(self.dialect.identifier(&column.name));
            values.push(self.dialect.assigned(column, value)?);
        }
        let overriding = if self.has_identity {
            self.dialect.overriding_identity()
        } else {
            ""
        };
        let head = format!(
            "INSERT INTO {} ({}){overriding} SELECT {}",
            self.name,
            names.join(", "),
            values.join(", ")
        );
        if !self.unique {
            return Ok(format!("{head};"));
        }
        // Whatever the database takes for the same key would be refused by its index.
        let mut terms = Vec::new();
        for (at, value) in row.iter().filter(|(at, _)| self.key.contains(at)) {
            terms.push(equals(self.dialect, self.column(*at), value)?);
        }
        Ok(format!(
            "{head} WHERE NOT EXISTS (SELECT 1 FROM {} WHERE {});",
            self.name,
            terms.join(" AND ")
        ))
    }

    /// The exact key, in a form that the key's index answers.
    fn key_terms(&self, key: &[Cell]) -> Result<Vec<String>, Unwritable> {
        let mut terms = Vec::new();
        for (at, value) in key {
            let column = self.column(*at);
            let exact = holds(self.dialect, column, value)?;
            if is_text(column) && *value != RawValue::Null {
                let indexed = equals(self.dialect, column, value)?;
                if indexed != exact {
                    terms.push(indexed);
                }
            }
            terms.push(exact);
        }
        Ok(terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::database::kinds::database;
    use crate::engine::repair::testing::column;
    use crate::engine::values::column::ColumnType;
    use shared::endpoint::DatabaseKind;

    fn table(engine: DatabaseKind, unique: bool) -> TargetTable {
        let plain = |column| TargetColumn {
            column,
            generated: false,
            fixed: false,
        };
        TargetTable {
            dialect: database(engine),
            name: database(engine).qualified("s", "t"),
            columns: vec![
                plain(column("id", ColumnType::Int, "integer")),
                plain(column(
                    "note",
                    ColumnType::Text { padded: false },
                    "varchar(9)",
                )),
                TargetColumn {
                    generated: true,
                    ..plain(column("twice", ColumnType::Int, "integer"))
                },
            ],
            key: if unique { vec![0] } else { Vec::new() },
            unique,
            has_identity: true,
            dependents: Vec::new(),
        }
    }

    fn row() -> Vec<Cell> {
        vec![
            (0, RawValue::Int(7)),
            (1, RawValue::Text("it's".to_owned())),
            (2, RawValue::Int(14)),
        ]
    }

    #[test]
    fn a_row_is_added_where_its_key_is_free_and_taken_where_it_is_the_same() {
        let mend = table(DatabaseKind::Postgres, true).insert(&row()).unwrap();
        assert_eq!(
            mend.sql,
            "INSERT INTO \"s\".\"t\" (\"id\", \"note\") OVERRIDING SYSTEM VALUE SELECT 7, 'it''s' WHERE NOT EXISTS (SELECT 1 FROM \"s\".\"t\" WHERE \"id\" = 7);"
        );
        assert_eq!(
            mend.undo,
            "DELETE FROM \"s\".\"t\" WHERE \"id\" = 7 AND \"note\"::text COLLATE \"C\" = 'it''s' AND \"twice\" = 14;"
        );
        let delete = table(DatabaseKind::Postgres, true).delete(&row()).unwrap();
        assert_eq!((delete.sql, delete.undo), (mend.undo, mend.sql));
    }

    #[test]
    fn an_update_names_only_what_changes_and_turns_around() {
        let changes = [Change {
            at: 1,
            old: RawValue::Null,
            new: RawValue::Text("new".to_owned()),
        }];
        let mend = table(DatabaseKind::SqlServer, true)
            .update(&row()[..1], &changes)
            .unwrap();
        assert_eq!(
            mend.sql,
            "UPDATE [s].[t] SET [note] = N'new' WHERE [id] = 7 AND [note] IS NULL;"
        );
        assert_eq!(
            mend.undo,
            "UPDATE [s].[t] SET [note] = NULL WHERE [id] = 7 AND CAST(CAST([note] AS nvarchar(max)) AS varbinary(max)) = CAST(CAST(N'new' AS nvarchar(max)) AS varbinary(max));"
        );
    }

    #[test]
    fn of_equal_rows_one_is_taken() {
        let row = &row()[..1];
        let taken = |engine| table(engine, false).delete(row).unwrap().sql;
        assert_eq!(
            taken(DatabaseKind::SqlServer),
            "DELETE TOP (1) FROM [s].[t] WHERE [id] = 7;"
        );
        assert_eq!(
            taken(DatabaseKind::Postgres),
            "DELETE FROM \"s\".\"t\" WHERE (tableoid, ctid) = (SELECT tableoid, ctid FROM \"s\".\"t\" WHERE \"id\" = 7 LIMIT 1);"
        );
    }
}

//! The statements that repair one row of the target, and those that undo it. Each
//! is guarded: it changes nothing unless the row is as it was read.

use crate::engine::database::constraints::Dependent;
use crate::engine::database::dialect::RepairDialect;
use crate::engine::repair::literal::{exact_term, indexed_term};
use crate::engine::values::column::Column;
use crate::engine::values::value::{Unwritable, Value};

#[derive(Debug, Clone)]
pub(crate) struct TargetColumn {
    pub(crate) column: Column,
    /// The database generates its values: it is never written.
    pub(crate) generated: bool,
    /// It can be written by an INSERT only.
    pub(crate) fixed: bool,
}

/// The target's table, as far as statements depend on it.
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
    pub(crate) has_identity: bool,
    /// Foreign keys that would delete or change other rows together with a row.
    pub(crate) dependents: Vec<Dependent>,
}

/// The value of one column, by position, that is written or compared.
pub(crate) type ColumnValue = (usize, Value);

#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) at: usize,
    pub(crate) old: Value,
    pub(crate) new: Value,
}

/// A statement, and the statement that undoes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UndoableStatement {
    pub(crate) sql: String,
    pub(crate) undo: String,
}

impl TargetTable {
    pub(crate) fn insert(&self, row: &[ColumnValue]) -> Result<UndoableStatement, Unwritable> {
        Ok(UndoableStatement {
            sql: self.insert_sql(row)?,
            undo: self.delete_sql(row)?,
        })
    }

    /// Deletes a row; `row` is all that was read of it.
    pub(crate) fn delete(&self, row: &[ColumnValue]) -> Result<UndoableStatement, Unwritable> {
        Ok(UndoableStatement {
            sql: self.delete_sql(row)?,
            undo: self.insert_sql(row)?,
        })
    }

    /// Updates a row. `key` are the values of its key's columns on the target.
    pub(crate) fn update(
        &self,
        key: &[ColumnValue],
        changes: &[Change],
    ) -> Result<UndoableStatement, Unwritable> {
        let reversed: Vec<Change> = changes
            .iter()
            .map(|change| Change {
                at: change.at,
                old: change.new.clone(),
                new: change.old.clone(),
            })
            .collect();
        // The key's own columns may be among the changed ones.
        let new_key: Vec<ColumnValue> = key
            .iter()
            .map(|(at, value)| {
                let changed = changes.iter().find(|change| change.at == *at);
                (
                    *at,
                    changed.map_or_else(|| value.clone(), |change| change.new.clone()),
                )
            })
            .collect();
        Ok(UndoableStatement {
            sql: self.update_sql(key, changes)?,
            undo: self.update_sql(&new_key, &reversed)?,
        })
    }

    fn column(&self, at: usize) -> &Column {
        &self.columns[at].column
    }

    fn update_sql(&self, key: &[ColumnValue], changes: &[Change]) -> Result<String, Unwritable> {
        let mut assignments = Vec::with_capacity(changes.len());
        let mut terms = self.key_terms(key)?;
        for Change { at, old, new } in changes {
            let column = self.column(*at);
            let name = self.dialect.identifier(&column.name);
            let value = self.dialect.assigned(column, new)?;
            assignments.push(format!("{name} = {value}"));
            terms.push(exact_term(self.dialect, column, old)?);
        }
        let (list, condition) = (assignments.join(", "), terms.join(" AND "));
        let table = &self.name;
        Ok(if self.unique {
            format!("UPDATE {table} SET {list} WHERE {condition};")
        } else {
            self.dialect.update_one(table, &list, &condition)
        })
    }

    fn delete_sql(&self, row: &[ColumnValue]) -> Result<String, Unwritable> {
        let key: Vec<ColumnValue> = row
            .iter()
            .filter(|(at, _)| self.key.contains(at))
            .cloned()
            .collect();
        let mut terms = self.key_terms(&key)?;
        for (at, value) in row.iter().filter(|(at, _)| !self.key.contains(at)) {
            terms.push(exact_term(self.dialect, self.column(*at), value)?);
        }
        terms.extend(
            self.dependents
                .iter()
                .map(|dependent| self.unreferenced(dependent)),
        );
        let (table, condition) = (&self.name, terms.join(" AND "));
        Ok(if self.unique {
            format!("DELETE FROM {table} WHERE {condition};")
        } else {
            self.dialect.delete_one(table, &condition)
        })
    }

    /// The condition that no row references this one through a cascading foreign
    /// key: the undo script could not restore such rows.
    fn unreferenced(&self, dependent: &Dependent) -> String {
        let name = |column: &str| self.dialect.identifier(column);
        let equal: Vec<String> = dependent
            .columns
            .iter()
            .map(|(column, own)| format!("d.{} = {}.{}", name(column), self.name, name(own)))
            .collect();
        let table = self.dialect.qualified(&dependent.schema, &dependent.table);
        let mut condition = equal.join(" AND ");
        // A row may reference itself.
        if table == self.name
            && let Some((_, own)) = dependent.columns.first()
        {
            condition += &format!(" AND d.{} <> {}.{}", name(own), self.name, name(own));
        }
        format!("NOT EXISTS (SELECT 1 FROM {table} AS d WHERE {condition})")
    }

    fn insert_sql(&self, row: &[ColumnValue]) -> Result<String, Unwritable> {
        let mut names = Vec::with_capacity(row.len());
        let mut values = Vec::with_capacity(row.len());
        for (at, value) in row.iter().filter(|(at, _)| !self.columns[*at].generated) {
            let column = self.column(*at);
            names.push(self.dialect.identifier(&column.name));
            values.push(self.dialect.assigned(column, value)?);
        }
        let overriding = if self.has_identity {
            self.dialect.facts().overriding_identity
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
        // A unique index would refuse a key that the database considers equal.
        let mut terms = Vec::new();
        for (at, value) in row.iter().filter(|(at, _)| self.key.contains(at)) {
            terms.push(indexed_term(self.dialect, self.column(*at), value)?);
        }
        Ok(format!(
            "{head} WHERE NOT EXISTS (SELECT 1 FROM {} WHERE {});",
            self.name,
            terms.join(" AND ")
        ))
    }

    /// The conditions of the exact key, with terms that its index can answer.
    fn key_terms(&self, key: &[ColumnValue]) -> Result<Vec<String>, Unwritable> {
        let mut terms = Vec::new();
        for (at, value) in key {
            let column = self.column(*at);
            let exact = exact_term(self.dialect, column, value)?;
            if column.kind.is_text() && *value != Value::Null {
                let indexed = indexed_term(self.dialect, column, value)?;
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
                plain(Column::new("id", ColumnType::Int, "integer")),
                plain(Column::new(
                    "note",
                    ColumnType::Text { padded: false },
                    "varchar(9)",
                )),
                TargetColumn {
                    generated: true,
                    ..plain(Column::new("twice", ColumnType::Int, "integer"))
                },
            ],
            key: if unique { vec![0] } else { Vec::new() },
            unique,
            has_identity: true,
            dependents: Vec::new(),
        }
    }

    fn row() -> Vec<ColumnValue> {
        vec![
            (0, Value::Int(7)),
            (1, Value::Text("it's".to_owned())),
            (2, Value::Int(14)),
        ]
    }

    #[test]
    fn a_row_is_inserted_if_its_key_is_free_and_deleted_if_it_is_unchanged() {
        let statement = table(DatabaseKind::Postgres, true).insert(&row()).unwrap();
        assert_eq!(
            statement.sql,
            "INSERT INTO \"s\".\"t\" (\"id\", \"note\") OVERRIDING SYSTEM VALUE SELECT 7, 'it''s' WHERE NOT EXISTS (SELECT 1 FROM \"s\".\"t\" WHERE \"id\" = 7);"
        );
        assert_eq!(
            statement.undo,
            "DELETE FROM \"s\".\"t\" WHERE \"id\" = 7 AND \"note\"::text COLLATE \"C\" = 'it''s' AND \"twice\" = 14;"
        );
        let delete = table(DatabaseKind::Postgres, true).delete(&row()).unwrap();
        assert_eq!((delete.sql, delete.undo), (statement.undo, statement.sql));
    }

    #[test]
    fn an_update_sets_only_what_changes_and_can_be_undone() {
        let changes = [Change {
            at: 1,
            old: Value::Null,
            new: Value::Text("new".to_owned()),
        }];
        let statement = table(DatabaseKind::SqlServer, true)
            .update(&row()[..1], &changes)
            .unwrap();
        assert_eq!(
            statement.sql,
            "UPDATE [s].[t] SET [note] = N'new' WHERE [id] = 7 AND [note] IS NULL;"
        );
        assert_eq!(
            statement.undo,
            "UPDATE [s].[t] SET [note] = NULL WHERE [id] = 7 AND CAST(CAST([note] AS nvarchar(max)) AS varbinary(max)) = CAST(CAST(N'new' AS nvarchar(max)) AS varbinary(max));"
        );
    }

    #[test]
    fn of_equal_rows_one_is_deleted() {
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

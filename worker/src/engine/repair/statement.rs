//! The statements that repair one row of the target, and those that undo it. Each
//! is guarded: it changes nothing unless the row is as it was read, no other row can be
//! meant, and no foreign key or unique constraint is in the way.

use crate::engine::database::constraints::{Dependent, Guarding};
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
    /// Whether the database guarantees that at most one row has a key.
    pub(crate) unique: bool,
    pub(crate) has_identity: bool,
    pub(crate) dependents: Guarding,
    pub(crate) unique_constraints: Vec<UniqueColumns>,
}

/// A unique constraint, with its columns by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UniqueColumns {
    pub(crate) columns: Vec<usize>,
    /// Whether it refuses a second NULL.
    pub(crate) nulls_are_equal: bool,
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
    /// Inserts a row. Without a key, the target has `copies` of it before.
    pub(crate) fn insert(
        &self,
        row: &[ColumnValue],
        copies: u64,
    ) -> Result<UndoableStatement, Unwritable> {
        Ok(UndoableStatement {
            sql: self.insert_sql(row, copies)?,
            undo: self.delete_sql(row, copies + 1)?,
        })
    }

    /// Deletes a row; `row` is all that was read of it. Without a key, the target has
    /// `copies` of it before.
    pub(crate) fn delete(
        &self,
        row: &[ColumnValue],
        copies: u64,
    ) -> Result<UndoableStatement, Unwritable> {
        Ok(UndoableStatement {
            sql: self.delete_sql(row, copies)?,
            undo: self.insert_sql(row, copies.saturating_sub(1))?,
        })
    }

    /// Updates a row, which has a key; `row` is all that was read of it.
    pub(crate) fn update(
        &self,
        row: &[ColumnValue],
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
        let new_row = changed(row, changes);
        Ok(UndoableStatement {
            sql: self.update_sql(row, changes)?,
            undo: self.update_sql(&new_row, &reversed)?,
        })
    }

    fn column(&self, at: usize) -> &Column {
        &self.columns[at].column
    }

    fn update_sql(&self, row: &[ColumnValue], changes: &[Change]) -> Result<String, Unwritable> {
        let mut assignments = Vec::with_capacity(changes.len());
        let key = self.key_terms(row)?;
        let mut terms = key.clone();
        for Change { at, old, new } in changes {
            let column = self.column(*at);
            let name = self.dialect.identifier(&column.name);
            let value = self.dialect.assigned(column, new)?;
            assignments.push(format!("{name} = {value}"));
            terms.push(exact_term(self.dialect, column, old)?);
        }
        terms.extend(self.only_one(&key));
        let is_changed = |dependent: &&Dependent| {
            let mut columns = dependent.columns.iter();
            columns.any(|(_, own)| self.may_change(own, changes))
        };
        let referenced = self.dependents.on_update.iter().filter(is_changed);
        // An action would change the row itself, too.
        terms.extend(referenced.map(|dependent| self.unreferenced(dependent, false)));
        let new_row = changed(row, changes);
        for unique in &self.unique_constraints {
            let mut columns = unique.columns.iter();
            if columns.any(|at| changes.iter().any(|change| change.at == *at)) {
                terms.extend(self.free(unique, &new_row, Some(&key))?);
            }
        }
        let (list, condition) = (assignments.join(", "), terms.join(" AND "));
        Ok(format!(
            "UPDATE {} SET {list} WHERE {condition};",
            self.name
        ))
    }

    fn delete_sql(&self, row: &[ColumnValue], copies: u64) -> Result<String, Unwritable> {
        let key = self.key_terms(row)?;
        let mut terms = key.clone();
        for (at, value) in row {
            // What the database computes may depend on more than the row.
            if !self.key.contains(at) && !self.columns[*at].generated {
                terms.push(exact_term(self.dialect, self.column(*at), value)?);
            }
        }
        let equal = terms.clone();
        if self.key.is_empty() {
            terms.push(self.count_is(&equal, copies));
        }
        terms.extend(self.only_one(&key));
        let references = self.dependents.on_delete.iter();
        terms.extend(references.map(|dependent| self.unreferenced(dependent, true)));
        let (table, condition) = (&self.name, terms.join(" AND "));
        Ok(if self.key.is_empty() {
            self.dialect.delete_one(table, &condition)
        } else {
            format!("DELETE FROM {table} WHERE {condition};")
        })
    }

    fn insert_sql(&self, row: &[ColumnValue], copies: u64) -> Result<String, Unwritable> {
        let written: Vec<ColumnValue> = row
            .iter()
            .filter(|(at, _)| !self.columns[*at].generated)
            .cloned()
            .collect();
        let mut names = Vec::with_capacity(written.len());
        let mut values = Vec::with_capacity(written.len());
        let mut equal = Vec::with_capacity(written.len());
        for (at, value) in &written {
            let column = self.column(*at);
            names.push(self.dialect.identifier(&column.name));
            values.push(self.dialect.assigned(column, value)?);
            if self.key.is_empty() {
                equal.push(exact_term(self.dialect, column, value)?);
            }
        }
        let mut terms = vec![if self.key.is_empty() {
            self.count_is(&equal, copies)
        } else if self.unique {
            // The index would refuse a key that the database considers equal.
            self.no_row(&self.indexed_terms(&self.key, row)?)
        } else {
            self.no_row(&self.key_terms(row)?)
        }];
        for unique in &self.unique_constraints {
            terms.extend(self.free(unique, &written, None)?);
        }
        let overriding = if self.has_identity {
            self.dialect.facts().overriding_identity
        } else {
            ""
        };
        Ok(format!(
            "INSERT INTO {} ({}){overriding} SELECT {} WHERE {};",
            self.name,
            names.join(", "),
            values.join(", "),
            terms.join(" AND ")
        ))
    }

    /// The condition that one row has the key, if the database does not guarantee it.
    fn only_one(&self, key: &[String]) -> Option<String> {
        (!self.unique && !self.key.is_empty()).then(|| self.count_is(key, 1))
    }

    /// The condition that so many rows meet all `terms`.
    fn count_is(&self, terms: &[String], count: u64) -> String {
        let (expression, table) = (self.dialect.facts().count, &self.name);
        let condition = terms.join(" AND ");
        format!("(SELECT {expression} FROM {table} WHERE {condition}) = {count}")
    }

    /// The condition that no row meets all `terms`.
    fn no_row(&self, terms: &[String]) -> String {
        let (table, condition) = (&self.name, terms.join(" AND "));
        format!("NOT EXISTS (SELECT 1 FROM {table} WHERE {condition})")
    }

    /// The condition that no row has the values that `row` has in the columns of a unique
    /// constraint, except the row with the key `of`. `None` if none can have them, or if
    /// not all of them are known.
    fn free(
        &self,
        unique: &UniqueColumns,
        row: &[ColumnValue],
        of: Option<&[String]>,
    ) -> Result<Option<String>, Unwritable> {
        let values: Vec<&Value> = unique
            .columns
            .iter()
            .filter_map(|at| row.iter().find(|(known, _)| known == at))
            .map(|(_, value)| value)
            .collect();
        let is_null = |value: &&Value| **value == Value::Null;
        if values.len() < unique.columns.len()
            || (!unique.nulls_are_equal && values.iter().any(is_null))
        {
            return Ok(None);
        }
        let mut terms = self.indexed_terms(&unique.columns, row)?;
        if let Some(key) = of {
            terms.push(format!("NOT ({})", key.join(" AND ")));
        }
        Ok(Some(self.no_row(&terms)))
    }

    /// Whether an update with these changes may change a column of the table: it assigns a
    /// value to it, or the database generates the column, perhaps from an assigned one.
    fn may_change(&self, name: &str, changes: &[Change]) -> bool {
        let mut columns = self.columns.iter();
        let at = columns.position(|column| column.column.name == name);
        at.is_none_or(|at| {
            self.columns[at].generated || changes.iter().any(|change| change.at == at)
        })
    }

    /// The condition that no row references this one through a foreign key, or none but the
    /// row itself if it `may_itself` and its key tells it from all other rows.
    fn unreferenced(&self, dependent: &Dependent, may_itself: bool) -> String {
        let name = |column: &str| self.dialect.identifier(column);
        let equal: Vec<String> = dependent
            .columns
            .iter()
            .map(|(column, own)| format!("d.{} = {}.{}", name(column), self.name, name(own)))
            .collect();
        let table = self.dialect.qualified(&dependent.schema, &dependent.table);
        let mut condition = equal.join(" AND ");
        if may_itself && self.unique && table == self.name {
            let same: Vec<String> = self
                .key
                .iter()
                .map(|at| name(&self.column(*at).name))
                .map(|name| format!("d.{name} = {}.{name}", self.name))
                .collect();
            condition += &format!(" AND NOT ({})", same.join(" AND "));
        }
        format!("NOT EXISTS (SELECT 1 FROM {table} AS d WHERE {condition})")
    }

    /// The condition that another table references a row, as far as the user may read such
    /// tables, and their names; `None` if there is no such table.
    pub(crate) fn referenced(&self) -> Option<(String, String)> {
        let readable = || self.dependents.on_delete.iter().filter(|it| it.is_readable);
        let conditions: Vec<String> = readable().map(|it| self.unreferenced(it, true)).collect();
        let mut names: Vec<String> = readable()
            .map(|it| format!("{}.{}", it.schema, it.table))
            .collect();
        names.dedup();
        (!names.is_empty()).then(|| {
            (
                format!("NOT ({})", conditions.join(" AND ")),
                names.join(" or "),
            )
        })
    }

    /// The condition that finds the row with this key.
    pub(crate) fn key_condition(&self, row: &[ColumnValue]) -> Result<String, Unwritable> {
        Ok(self.key_terms(row)?.join(" AND "))
    }

    /// Conditions on the values of `row` that an index over these columns can answer.
    fn indexed_terms(
        &self,
        columns: &[usize],
        row: &[ColumnValue],
    ) -> Result<Vec<String>, Unwritable> {
        row.iter()
            .filter(|(at, _)| columns.contains(at))
            .map(|(at, value)| indexed_term(self.dialect, self.column(*at), value))
            .collect()
    }

    /// The conditions of the exact key of `row`, with terms that its index can answer.
    fn key_terms(&self, row: &[ColumnValue]) -> Result<Vec<String>, Unwritable> {
        let mut terms = Vec::new();
        for (at, value) in row.iter().filter(|(at, _)| self.key.contains(at)) {
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

/// `row` with its changes.
fn changed(row: &[ColumnValue], changes: &[Change]) -> Vec<ColumnValue> {
    let value = |(at, value): &ColumnValue| {
        let change = changes.iter().find(|change| change.at == *at);
        (
            *at,
            change.map_or_else(|| value.clone(), |change| change.new.clone()),
        )
    };
    row.iter().map(value).collect()
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
            dependents: Guarding::default(),
            unique_constraints: Vec::new(),
        }
    }

    /// A foreign key of `table` that references a column of the repaired one.
    fn reference(table: &str, own: &str) -> Dependent {
        Dependent {
            schema: "s".to_owned(),
            table: table.to_owned(),
            columns: vec![("up".to_owned(), own.to_owned())],
            acts_on_delete: true,
            acts_on_update: true,
            is_readable: true,
        }
    }

    fn guarding(dependent: Dependent) -> Guarding {
        Guarding {
            on_delete: vec![dependent.clone()],
            on_update: vec![dependent],
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
        let statement = table(DatabaseKind::Postgres, true)
            .insert(&row(), 0)
            .unwrap();
        assert_eq!(
            statement.sql,
            "INSERT INTO \"s\".\"t\" (\"id\", \"note\") OVERRIDING SYSTEM VALUE SELECT 7, 'it''s' WHERE NOT EXISTS (SELECT 1 FROM \"s\".\"t\" WHERE \"id\" = 7);"
        );
        assert_eq!(
            statement.undo,
            "DELETE FROM \"s\".\"t\" WHERE \"id\" = 7 AND \"note\"::text COLLATE \"C\" = 'it''s';"
        );
        let delete = table(DatabaseKind::Postgres, true)
            .delete(&row(), 1)
            .unwrap();
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
        let taken = |engine| table(engine, false).delete(row, 3).unwrap().sql;
        assert_eq!(
            taken(DatabaseKind::SqlServer),
            "DELETE TOP (1) FROM [s].[t] WHERE [id] = 7 AND (SELECT COUNT_BIG(*) FROM [s].[t] WHERE [id] = 7) = 3;"
        );
        assert_eq!(
            taken(DatabaseKind::Postgres),
            "DELETE FROM \"s\".\"t\" WHERE (tableoid, ctid) = (SELECT tableoid, ctid FROM \"s\".\"t\" WHERE \"id\" = 7 AND (SELECT count(*) FROM \"s\".\"t\" WHERE \"id\" = 7) = 3 LIMIT 1);"
        );
    }

    #[test]
    fn a_key_that_is_not_declared_unique_is_counted() {
        let changes = [Change {
            at: 1,
            old: Value::Null,
            new: Value::Text("new".to_owned()),
        }];
        let table = TargetTable {
            key: vec![0],
            ..table(DatabaseKind::Postgres, false)
        };
        let statement = table.update(&row()[..1], &changes).unwrap();
        let guard = "(SELECT count(*) FROM \"s\".\"t\" WHERE \"id\" = 7) = 1;";
        assert_eq!(
            statement.sql,
            format!(
                "UPDATE \"s\".\"t\" SET \"note\" = 'new' WHERE \"id\" = 7 AND \"note\" IS NULL AND {guard}"
            )
        );
        assert!(statement.undo.ends_with(guard), "{}", statement.undo);
        let delete = table.delete(&row(), 1).unwrap().sql;
        assert!(delete.ends_with(guard), "{delete}");
    }

    #[test]
    fn a_unique_value_must_be_free() {
        let table = TargetTable {
            unique_constraints: vec![UniqueColumns {
                columns: vec![1],
                nulls_are_equal: false,
            }],
            ..table(DatabaseKind::Postgres, true)
        };
        let changes = [Change {
            at: 1,
            old: Value::Null,
            new: Value::Text("b".to_owned()),
        }];
        let old = [(0, Value::Int(7)), (1, Value::Null)];
        let update = table.update(&old, &changes).unwrap();
        let free =
            "NOT EXISTS (SELECT 1 FROM \"s\".\"t\" WHERE \"note\" = 'b' AND NOT (\"id\" = 7));";
        assert!(update.sql.ends_with(free), "{}", update.sql);
        // A second NULL is allowed.
        assert!(!update.undo.contains("NOT EXISTS"), "{}", update.undo);
        let insert = table.insert(&row(), 0).unwrap().sql;
        assert!(
            insert
                .ends_with("AND NOT EXISTS (SELECT 1 FROM \"s\".\"t\" WHERE \"note\" = 'it''s');"),
            "{insert}"
        );
    }

    #[test]
    fn a_referenced_row_keeps_what_is_referenced() {
        let table = TargetTable {
            dependents: guarding(reference("c", "note")),
            ..table(DatabaseKind::Postgres, true)
        };
        let guard =
            "NOT EXISTS (SELECT 1 FROM \"s\".\"c\" AS d WHERE d.\"up\" = \"s\".\"t\".\"note\");";
        let change = |at, new| Change {
            at,
            old: Value::Null,
            new,
        };
        let text = change(1, Value::Text("b".to_owned()));
        let update = table.update(&row(), &[text]).unwrap().sql;
        assert!(update.ends_with(guard), "{update}");
        let other = table.update(&row(), &[change(0, Value::Int(8))]).unwrap();
        assert!(!other.sql.contains("EXISTS"), "{}", other.sql);
        let delete = table.delete(&row(), 1).unwrap().sql;
        assert!(delete.ends_with(guard), "{delete}");
    }

    #[test]
    fn only_the_row_itself_may_reference_a_row_that_is_deleted() {
        let change = Change {
            at: 1,
            old: Value::Null,
            new: Value::Text("b".to_owned()),
        };
        for (key, unique, of_delete) in [
            (vec![0], true, " AND NOT (d.[id] = [s].[t].[id])"),
            (
                vec![0, 1],
                true,
                " AND NOT (d.[id] = [s].[t].[id] AND d.[note] = [s].[t].[note])",
            ),
            // Another row may have the key, too.
            (vec![0], false, ""),
            (Vec::new(), false, ""),
        ] {
            let has_key = key == [0];
            let table = TargetTable {
                key,
                dependents: guarding(reference("t", "note")),
                ..table(DatabaseKind::SqlServer, unique)
            };
            let guard = |itself: &str| {
                format!(
                    "NOT EXISTS (SELECT 1 FROM [s].[t] AS d WHERE d.[up] = [s].[t].[note]{itself});"
                )
            };
            let delete = table.delete(&row(), 1).unwrap().sql;
            assert!(delete.ends_with(&guard(of_delete)), "{delete}");
            if has_key {
                let update = table
                    .update(&row()[..1], std::slice::from_ref(&change))
                    .unwrap()
                    .sql;
                assert!(update.ends_with(&guard("")), "{update}");
            }
        }
    }

    #[test]
    fn a_generated_column_may_change_with_any_other_one() {
        let table = TargetTable {
            dependents: guarding(reference("c", "twice")),
            ..table(DatabaseKind::SqlServer, true)
        };
        let change = Change {
            at: 1,
            old: Value::Null,
            new: Value::Null,
        };
        let update = table.update(&row()[..1], &[change]).unwrap();
        for sql in [update.sql, update.undo] {
            assert!(sql.ends_with("WHERE d.[up] = [s].[t].[twice]);"), "{sql}");
        }
    }
}

//! INSERT, UPDATE, DELETE and TRUNCATE.

use sqlparser::ast::{
    AssignmentTarget, Delete, Expr, FromTable, Insert, ObjectName, Query, Select, SelectItem,
    SetExpr, TableObject, Truncate, Update, Values,
};

use super::convert;
use super::query::single_table;
use super::translator::{Scope, TranslateError, Translation, Translator, last_ident};
use crate::catalog::{Column, Table};
use crate::error::SqlError;
use crate::postgres;
use crate::types::sql_type::SqlType;

impl Translator {
    pub(super) fn insert(&self, insert: &Insert) -> Result<Translation, TranslateError> {
        let TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::unsupported(insert).into());
        };
        let table = self.table(name)?;
        let Some(source) = &insert.source else {
            return Ok(Translation::Change(format!(
                "INSERT INTO {} DEFAULT VALUES",
                table.qualified()
            )));
        };
        let columns = self.insert_columns(table, &insert.columns)?;
        let sets_identity = columns.iter().any(|column| column.identity);
        let overriding = if self.session.identity_insert && sets_identity {
            " OVERRIDING SYSTEM VALUE"
        } else {
            ""
        };
        let rows = self.insert_rows(source, &columns)?;
        Ok(Translation::Change(format!(
            "INSERT INTO {} ({}){overriding} {rows}",
            table.qualified(),
            postgres::quoted_list(columns.iter().map(|column| column.name.as_str()))
        )))
    }

    /// The listed columns; without a list all columns whose value is not generated.
    fn insert_columns<'a>(
        &self,
        table: &'a Table,
        names: &[ObjectName],
    ) -> Result<Vec<&'a Column>, SqlError> {
        if !names.is_empty() {
            return names.iter().map(|name| column_named(table, name)).collect();
        }
        let is_generated = |column: &Column| {
            column.computed
                || column.sql_type == SqlType::RowVersion
                || (column.identity && !self.session.identity_insert)
        };
        let columns = table.columns.iter();
        Ok(columns.filter(|column| !is_generated(column)).collect())
    }

    fn insert_rows(&self, source: &Query, columns: &[&Column]) -> Result<String, TranslateError> {
        match source.body.as_ref() {
            SetExpr::Select(select)
                if select.from.is_empty() && select.projection.len() == columns.len() =>
            {
                self.insert_select(select, columns)
            }
            SetExpr::Values(values) => self.insert_values(values, columns),
            _ => {
                let rows = self.query(source, None)?;
                if rows.columns.len() != columns.len() {
                    return Err(wrong_count().into());
                }
                Ok(rows.sql)
            }
        }
    }

    /// A SELECT without tables. Its expressions are assigned to the columns as those of VALUES.
    fn insert_select(
        &self,
        select: &Select,
        columns: &[&Column],
    ) -> Result<String, TranslateError> {
        let scope = Scope::default();
        let mut list = Vec::with_capacity(columns.len());
        for (item, column) in select.projection.iter().zip(columns) {
            let SelectItem::UnnamedExpr(value) = item else {
                return Err(SqlError::unsupported(item).into());
            };
            list.push(self.assigned(value, column, &scope)?);
        }
        let mut sql = format!("SELECT {}", list.join(", "));
        if let Some(condition) = &select.selection {
            sql.push_str(&format!(" WHERE {}", self.condition(condition, &scope)?));
        }
        Ok(sql)
    }

    fn insert_values(
        &self,
        values: &Values,
        columns: &[&Column],
    ) -> Result<String, TranslateError> {
        let scope = Scope::default();
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let row: &Vec<_> = &row.content;
            if row.len() != columns.len() {
                return Err(wrong_count().into());
            }
            let mut list = Vec::with_capacity(row.len());
            for (value, column) in row.iter().zip(columns) {
                let is_default = matches!(value, Expr::Identifier(ident)
                    if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("DEFAULT"));
                list.push(if is_default {
                    "DEFAULT".to_owned()
                } else {
                    self.assigned(value, column, &scope)?
                });
            }
            rows.push(format!("({})", list.join(", ")));
        }
        Ok(format!("VALUES {}", rows.join(", ")))
    }

    /// A value in the form in which it is assigned to a column.
    fn assigned(
        &self,
        value: &Expr,
        column: &Column,
        scope: &Scope<'_>,
    ) -> Result<String, TranslateError> {
        Ok(convert::assign(self.expression(value, scope)?, column)?)
    }

    pub(super) fn update(&self, update: &Update) -> Result<Translation, TranslateError> {
        if update.from.is_some() {
            return Err(SqlError::unsupported(update).into());
        }
        let (name, alias) = single_table(&update.table)?;
        let table = self.table(name)?;
        let scope = Scope::of_table(table, alias);
        let mut assignments = Vec::new();
        for assignment in &update.assignments {
            let AssignmentTarget::ColumnName(name) = &assignment.target else {
                return Err(SqlError::unsupported(assignment).into());
            };
            let column = column_named(table, name)?;
            let value = self.assigned(&assignment.value, column, &scope)?;
            assignments.push(format!("{} = {value}", postgres::quoted(&column.name)));
        }
        // Every update sets a new row version.
        for column in table
            .columns
            .iter()
            .filter(|column| column.sql_type == SqlType::RowVersion)
        {
            assignments.push(format!("{} = DEFAULT", postgres::quoted(&column.name)));
        }
        let mut sql = format!(
            "UPDATE {} SET {}",
            target(table, alias),
            assignments.join(", ")
        );
        let condition = match &update.selection {
            Some(condition) => self.condition(condition, &scope)?,
            None => "true".to_owned(),
        };
        sql.push_str(&where_clause(
            table,
            alias,
            condition,
            update.limit.is_some(),
        ));
        Ok(Translation::Change(sql))
    }

    pub(super) fn delete(&self, delete: &Delete) -> Result<Translation, TranslateError> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let [table] = from.as_slice() else {
            return Err(SqlError::unsupported(delete).into());
        };
        let (name, alias) = single_table(table)?;
        let table = self.table(name)?;
        let mut sql = format!("DELETE FROM {}", target(table, alias));
        let condition = match &delete.selection {
            Some(condition) => self.condition(condition, &Scope::of_table(table, alias))?,
            None => "true".to_owned(),
        };
        sql.push_str(&where_clause(
            table,
            alias,
            condition,
            delete.limit.is_some(),
        ));
        Ok(Translation::Change(sql))
    }

    pub(super) fn truncate(&self, truncate: &Truncate) -> Result<Translation, TranslateError> {
        let mut tables = Vec::new();
        for target in &truncate.table_names {
            let table = self.table(&target.name)?;
            tables.push(table.qualified());
        }
        Ok(Translation::Define(format!(
            "TRUNCATE {}",
            tables.join(", ")
        )))
    }
}

fn wrong_count() -> SqlError {
    SqlError::new(
        213,
        "Column name or number of supplied values does not match table definition.",
    )
}

/// The clause that restricts a change to the rows that meet the condition, or to one of them.
fn where_clause(table: &Table, alias: Option<&str>, condition: String, one: bool) -> String {
    if one {
        format!(
            " WHERE ctid = (SELECT ctid FROM {} WHERE {condition} LIMIT 1)",
            target(table, alias)
        )
    } else {
        format!(" WHERE {condition}")
    }
}

/// The table of a change and its alias.
fn target(table: &Table, alias: Option<&str>) -> String {
    format!(
        "{} AS {}",
        table.qualified(),
        postgres::quoted(alias.unwrap_or(&table.name))
    )
}

fn column_named<'a>(table: &'a Table, name: &ObjectName) -> Result<&'a Column, SqlError> {
    table.column(last_ident(name)?)
}

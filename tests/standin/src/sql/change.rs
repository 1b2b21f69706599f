//! INSERT, UPDATE, DELETE and TRUNCATE.

use sqlparser::ast::{
    AssignmentTarget, Delete, FromTable, Insert, ObjectName, SelectItem, SetExpr, TableObject,
    Truncate, Update,
};

use super::convert;
use super::query::single_table;
use super::{Fault, Plan, Scope, Source, Translator, idents, qualified, same_name};
use crate::catalog::{Column, Table};
use crate::error::SqlError;
use crate::sqltype::SqlType;
use crate::text;

impl Translator {
    pub(super) fn insert(&self, insert: &Insert) -> Result<Plan, Fault> {
        let TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::unsupported(insert).into());
        };
        let table = self.table(name)?;
        let columns: Vec<&Column> = if insert.columns.is_empty() {
            // Values are given for what can be given.
            let fills_itself = |column: &Column| {
                column.computed
                    || column.sql_type == SqlType::RowVersion
                    || (column.identity && !self.facts.identity_insert)
            };
            table
                .columns
                .iter()
                .filter(|column| !fills_itself(column))
                .collect()
        } else {
            insert
                .columns
                .iter()
                .map(|name| column_named(table, name))
                .collect::<Result<_, _>>()?
        };
        let names: Vec<String> = columns
            .iter()
            .map(|column| text::quoted(&column.name))
            .collect();
        let overriding =
            if self.facts.identity_insert && columns.iter().any(|column| column.identity) {
                " OVERRIDING SYSTEM VALUE"
            } else {
                ""
            };
        let into = format!(
            "INSERT INTO {} ({}){overriding}",
            qualified(&table.schema, &table.name),
            names.join(", ")
        );
        let Some(source) = &insert.source else {
            return Ok(Plan::Change(format!(
                "INSERT INTO {} DEFAULT VALUES",
                qualified(&table.schema, &table.name)
            )));
        };
        // Constants are assigned each to its column, as those of VALUES are.
        if let SetExpr::Select(select) = source.body.as_ref()
            && select.from.is_empty()
            && select.projection.len() == columns.len()
        {
            let scope = Scope::default();
            let mut list = Vec::with_capacity(columns.len());
            for (item, column) in select.projection.iter().zip(&columns) {
                let SelectItem::UnnamedExpr(value) = item else {
                    return Err(SqlError::unsupported(item).into());
                };
                list.push(convert::assign(self.expression(value, &scope)?, column)?);
            }
            let mut sql = format!("{into} SELECT {}", list.join(", "));
            if let Some(condition) = &select.selection {
                sql.push_str(&format!(" WHERE {}", self.condition(condition, &scope)?));
            }
            return Ok(Plan::Change(sql));
        }
        let SetExpr::Values(values) = source.body.as_ref() else {
            let rows = self.query(source, None)?;
            if rows.columns.len() != columns.len() {
                return Err(wrong_count().into());
            }
            return Ok(Plan::Change(format!("{into} {}", rows.sql)));
        };
        let scope = Scope::default();
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            let row: &Vec<_> = &row.content;
            if row.len() != columns.len() {
                return Err(wrong_count().into());
            }
            let mut list = Vec::with_capacity(row.len());
            for (value, column) in row.iter().zip(&columns) {
                let is_default = matches!(value, sqlparser::ast::Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("DEFAULT"));
                list.push(if is_default {
                    "DEFAULT".to_owned()
                } else {
                    convert::assign(self.expression(value, &scope)?, column)?
                });
            }
            rows.push(format!("({})", list.join(", ")));
        }
        Ok(Plan::Change(format!("{into} VALUES {}", rows.join(", "))))
    }

    pub(super) fn update(&self, update: &Update) -> Result<Plan, Fault> {
        if update.from.is_some() {
            return Err(SqlError::unsupported(update).into());
        }
        let (name, alias) = single_table(&update.table)?;
        let table = self.table(name)?;
        let scope = scope_of(table, alias);
        let mut assignments = Vec::new();
        for assignment in &update.assignments {
            let AssignmentTarget::ColumnName(name) = &assignment.target else {
                return Err(SqlError::unsupported(assignment).into());
            };
            let column = column_named(table, name)?;
            let value = convert::assign(self.expression(&assignment.value, &scope)?, column)?;
            assignments.push(format!("{} = {value}", text::quoted(&column.name)));
        }
        // Every change of a row gives it a new version.
        for column in table
            .columns
            .iter()
            .filter(|column| column.sql_type == SqlType::RowVersion)
        {
            assignments.push(format!("{} = DEFAULT", text::quoted(&column.name)));
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
        sql.push_str(&rows_of(table, alias, condition, update.limit.is_some()));
        Ok(Plan::Change(sql))
    }

    pub(super) fn delete(&self, delete: &Delete) -> Result<Plan, Fault> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let [table] = from.as_slice() else {
            return Err(SqlError::unsupported(delete).into());
        };
        let (name, alias) = single_table(table)?;
        let table = self.table(name)?;
        let mut sql = format!("DELETE FROM {}", target(table, alias));
        let condition = match &delete.selection {
            Some(condition) => self.condition(condition, &scope_of(table, alias))?,
            None => "true".to_owned(),
        };
        sql.push_str(&rows_of(table, alias, condition, delete.limit.is_some()));
        Ok(Plan::Change(sql))
    }

    pub(super) fn truncate(&self, truncate: &Truncate) -> Result<Plan, Fault> {
        let mut tables = Vec::new();
        for target in &truncate.table_names {
            let table = self.table(&target.name)?;
            tables.push(qualified(&table.schema, &table.name));
        }
        Ok(Plan::Define(format!("TRUNCATE {}", tables.join(", "))))
    }
}

fn wrong_count() -> SqlError {
    SqlError::new(
        213,
        "Column name or number of supplied values does not match table definition.",
    )
}

/// The rows that are changed: all that meet the condition, or one of them.
fn rows_of(table: &Table, alias: Option<&str>, condition: String, one: bool) -> String {
    if one {
        format!(
            " WHERE ctid = (SELECT ctid FROM {} WHERE {condition} LIMIT 1)",
            target(table, alias)
        )
    } else {
        format!(" WHERE {condition}")
    }
}

fn target(table: &Table, alias: Option<&str>) -> String {
    format!(
        "{} AS {}",
        qualified(&table.schema, &table.name),
        text::quoted(alias.unwrap_or(&table.name))
    )
}

fn scope_of(table: &Table, alias: Option<&str>) -> Scope<'static> {
    let source = Source {
        alias: alias.unwrap_or(&table.name).to_owned(),
        columns: table.columns.clone(),
    };
    Scope {
        sources: vec![source],
        outer: None,
    }
}

fn column_named<'a>(table: &'a Table, name: &ObjectName) -> Result<&'a Column, SqlError> {
    let parts = idents(name)?;
    let written = parts
        .last()
        .map(|ident| ident.value.as_str())
        .unwrap_or_default();
    let exact = table.columns.iter().find(|column| column.name == written);
    exact
        .or_else(|| {
            table
                .columns
                .iter()
                .find(|column| same_name(&column.name, written))
        })
        .ok_or_else(|| SqlError::no_column(written))
}

//! The input of a translation (tables, parameters, the session) and its result.

use std::collections::HashMap;

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use super::typed::TypedSql;
use crate::catalog::{Column, Table, TableRef};
use crate::error::SqlError;

/// Why a statement was not translated.
#[derive(Debug)]
pub(crate) enum TranslateError {
    /// The statement is wrong or not supported.
    Sql(SqlError),
    /// A table must be looked up first.
    UnknownTable(TableRef),
}

impl From<SqlError> for TranslateError {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

/// The state of the session that expressions may refer to.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionInfo {
    /// The session number.
    pub(crate) number: u16,
    pub(crate) database: String,
    pub(crate) login: String,
    pub(crate) host: String,
    pub(crate) application: String,
    /// Whether the isolation level is SNAPSHOT.
    pub(crate) snapshot: bool,
    /// The number of nested transactions.
    pub(crate) transactions: u32,
    /// The number of rows that the last statement returned or changed.
    pub(crate) row_count: u64,
    /// Whether statements may set identity columns.
    pub(crate) identity_insert: bool,
}

/// Translates the statements of one batch.
#[derive(Debug, Default)]
pub(crate) struct Translator {
    pub(crate) tables: HashMap<TableRef, Table>,
    /// By lower-case name with `@`.
    pub(crate) parameters: HashMap<String, TypedSql>,
    pub(crate) session: SessionInfo,
}

/// One table of a FROM clause, under the name that its columns are qualified with.
#[derive(Debug, Clone)]
pub(super) struct ScopedTable {
    pub(super) alias: String,
    pub(super) columns: Vec<Column>,
}

/// The tables that an expression may name.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    pub(super) tables: Vec<ScopedTable>,
    /// The scope of the statement around a sub-query.
    pub(super) outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    /// A scope of one table, whose alias may differ from its name.
    pub(super) fn of_table(table: &Table, alias: Option<&str>) -> Scope<'static> {
        let table = ScopedTable {
            alias: alias.unwrap_or(&table.name).to_owned(),
            columns: table.columns.clone(),
        };
        Scope {
            tables: vec![table],
            outer: None,
        }
    }
}

/// A translated query, with its columns and their names.
#[derive(Debug, Clone)]
pub(crate) struct TranslatedQuery {
    pub(crate) sql: String,
    pub(crate) columns: Vec<TypedSql>,
    pub(crate) names: Vec<String>,
}

/// A translated statement.
#[derive(Debug)]
pub(crate) enum Translation {
    /// Returns rows.
    Query(TranslatedQuery),
    /// Changes rows and counts them.
    Change(String),
    /// Creates, alters or drops objects; has no row count.
    Define(String),
}

impl Translator {
    pub(super) fn table(&self, name: &ObjectName) -> Result<&Table, TranslateError> {
        let name = self.table_ref(name)?;
        self.tables
            .get(&name)
            .ok_or(TranslateError::UnknownTable(name))
    }

    /// The schema and the name of a table, which a statement may prefix with the database.
    ///
    /// # Errors
    /// 208 for another database.
    pub(crate) fn table_ref(&self, name: &ObjectName) -> Result<TableRef, SqlError> {
        let parts = idents(name)?;
        let (name, prefix) = parts
            .split_last()
            .ok_or_else(|| SqlError::unsupported(name))?;
        let schema = match prefix {
            [] => "",
            [schema] => schema.value.as_str(),
            [database, schema]
                if database.value.eq_ignore_ascii_case(&self.session.database)
                    || database.value.is_empty() =>
            {
                schema.value.as_str()
            }
            _ => return Err(SqlError::no_object(&name.value)),
        };
        Ok(TableRef {
            schema: if schema.is_empty() { "dbo" } else { schema }.to_owned(),
            name: name.value.clone(),
        })
    }
}

/// The identifiers of a dotted name.
pub(super) fn idents(name: &ObjectName) -> Result<Vec<&Ident>, SqlError> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Ok(ident),
            ObjectNamePart::Function(_) => Err(SqlError::unsupported(name)),
        })
        .collect()
}

/// The last identifier of a dotted name.
pub(super) fn last_ident(name: &ObjectName) -> Result<&str, SqlError> {
    let last = idents(name)?.pop();
    Ok(last.map(|ident| ident.value.as_str()).unwrap_or_default())
}

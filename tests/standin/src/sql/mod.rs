//! Transact-SQL becomes SQL of PostgreSQL.
//!
//! A batch is cut into statements ([`batch`]); each is translated with the tables that it names
//! (`query`, `expression`, `function`, `change`, `definition`). A translation is a pure function: it
//! asks for a table it has not seen by failing with [`Fault::Unknown`], and is tried again.

pub(crate) mod batch;
pub(crate) mod change;
pub(crate) mod convert;
pub(crate) mod definition;
pub(crate) mod expression;
pub(crate) mod function;
pub(crate) mod query;

use std::collections::HashMap;

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Statement};

use crate::catalog::{Column, Table, TableRef};
use crate::error::SqlError;
use convert::Typed;

/// Why a statement was not translated.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The statement is wrong, or not understood.
    Sql(SqlError),
    /// A table must be looked up first.
    Unknown(TableRef),
}

impl From<SqlError> for Fault {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

/// What expressions may ask about the session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) session: u16,
    pub(crate) database: String,
    pub(crate) login: String,
    pub(crate) host: String,
    pub(crate) application: String,
    pub(crate) transactions: u32,
    pub(crate) row_count: u64,
    pub(crate) identity_insert: bool,
}

/// Translates the statements of one batch.
#[derive(Debug, Default)]
pub(crate) struct Translator {
    pub(crate) tables: HashMap<TableRef, Table>,
    /// By lower-case name, with its `@`.
    pub(crate) parameters: HashMap<String, Typed>,
    pub(crate) facts: Facts,
}

/// One table of a FROM clause, under the name that its columns are qualified with.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) alias: String,
    pub(crate) columns: Vec<Column>,
}

/// The tables that an expression may name; those of the statement around it come last.
#[derive(Debug, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) sources: Vec<Source>,
    pub(crate) outer: Option<&'a Scope<'a>>,
}

/// What a statement becomes.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Rows are read.
    Rows {
        sql: String,
        columns: Vec<Typed>,
        names: Vec<String>,
    },
    /// Rows are changed, and counted.
    Change(String),
    /// Objects are made or dropped; nothing is counted.
    Define(String),
}

impl Translator {
    /// One statement, translated with the tables that were looked up so far.
    pub(crate) fn translate(&self, statement: &Statement) -> Result<Plan, Fault> {
        match statement {
            Statement::Query(query) => self.rows(query),
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Truncate(truncate) => self.truncate(truncate),
            Statement::CreateTable(create) => self.create_table(create),
            Statement::CreateIndex(create) => self.create_index(create),
            Statement::CreateView(create) => self.create_view(create),
            Statement::CreateSchema { schema_name, .. } => definition::create_schema(schema_name),
            Statement::AlterTable(alter) => self.alter_table(alter),
            Statement::Drop {
                object_type,
                if_exists,
                names,
                ..
            } => self.drop_objects(*object_type, *if_exists, names),
            other => Err(SqlError::unsupported(other).into()),
        }
    }

    pub(crate) fn table(&self, name: &ObjectName) -> Result<&Table, Fault> {
        let name = self.table_ref(name)?;
        self.tables.get(&name).ok_or(Fault::Unknown(name))
    }

    /// The schema and the name of a table; a database may stand before them.
    pub(crate) fn table_ref(&self, name: &ObjectName) -> Result<TableRef, SqlError> {
        let parts = idents(name)?;
        let (name, before) = parts
            .split_last()
            .ok_or_else(|| SqlError::unsupported(name))?;
        let schema = match before {
            [] => "",
            [schema] => schema.value.as_str(),
            [database, schema]
                if database.value.eq_ignore_ascii_case(&self.facts.database)
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
pub(crate) fn idents(name: &ObjectName) -> Result<Vec<&Ident>, SqlError> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Ok(ident),
            ObjectNamePart::Function(_) => Err(SqlError::unsupported(name)),
        })
        .collect()
}

pub(crate) fn same_name(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
}

pub(crate) fn qualified(schema: &str, name: &str) -> String {
    format!(
        "{}.{}",
        crate::text::quoted(schema),
        crate::text::quoted(name)
    )
}

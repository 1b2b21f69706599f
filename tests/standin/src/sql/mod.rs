//! Transact-SQL is translated to PostgreSQL's SQL.
//!
//! `batch` splits a batch into statements. Each statement is translated with the tables that it
//! names. A translation is a pure function: for a table that has not been looked up it fails with
//! [`TranslateError::UnknownTable`], and the session retries it with that table.

pub(crate) mod batch;
mod change;
mod condition;
mod convert;
mod definition;
mod expression;
mod function;
mod query;
mod rewrite;
pub(crate) mod translator;
mod type_rules;
pub(crate) mod typed;

use sqlparser::ast::Statement;

use crate::error::SqlError;
use translator::{TranslateError, Translation, Translator};

impl Translator {
    /// Translates one statement with the tables that have been looked up so far.
    ///
    /// # Errors
    /// Those of SQL Server; 102 for an unsupported statement.
    pub(crate) fn translate(&self, statement: &Statement) -> Result<Translation, TranslateError> {
        match statement {
            Statement::Query(query) => self.query(query, None).map(Translation::Query),
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
}

//! What a repair statement may be: exactly one guarded INSERT, UPDATE or DELETE on one
//! table, in the form that the engine renders.
//!
//! Statements come from workers over a broker and from files. Before one becomes a part of
//! a script, and before one is executed, it is parsed by this grammar. It lists what is
//! allowed: constants, casts and few functions on the right of a comparison; comparisons
//! of the table's columns joined by AND; sub-queries only as guards. Everything else is
//! refused, so that a forged message or an edited file cannot become other SQL.

mod lexer;
mod names;
mod parser;
#[cfg(test)]
mod tests;

use shared::endpoint::DatabaseKind;
use shared::outcome::RepairAction;

use crate::engine::database::kinds::database;
use crate::engine::database::script::StatementRules;
pub use names::ColumnNames;
use parser::Parser;

/// Why a text is not a guarded statement on its table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at byte {at}")]
pub struct NotGuarded {
    what: String,
    at: usize,
}

/// The form of the repair statements of one table.
#[derive(Debug, Clone, Copy)]
pub struct GuardedForm<'a> {
    rules: &'static StatementRules,
    schema: &'a str,
    table: &'a str,
}

impl<'a> GuardedForm<'a> {
    /// The form of statements on the table `schema`.`table` of a database of this kind.
    #[must_use]
    pub fn new(kind: DatabaseKind, schema: &'a str, table: &'a str) -> Self {
        Self {
            rules: database(kind).statement_rules(),
            schema,
            table,
        }
    }

    /// Checks that `sql` is exactly one guarded statement that does `action` to the table.
    ///
    /// # Errors
    ///
    /// What stands where the grammar has something else. The text of values is not quoted.
    pub fn check(&self, action: RepairAction, sql: &str) -> Result<(), NotGuarded> {
        self.collect(action, sql, &mut ColumnNames::default())
    }

    /// [`check`](Self::check) that adds the columns that the statement names to `names`.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn collect(
        &self,
        action: RepairAction,
        sql: &str,
        names: &mut ColumnNames,
    ) -> Result<(), NotGuarded> {
        let mut parser = Parser::new(self.rules, sql, (self.schema, self.table), names);
        let parsed = parser.statement(action);
        parsed.map_err(|what| NotGuarded {
            what,
            at: parser.position(),
        })
    }
}

//! The SQL of PostgreSQL.

use shared::endpoint::DatabaseKind;
use sqlparser::dialect::PostgreSqlDialect;

use crate::engine::database::dialect::{Dialect, RepairDialect};
use crate::engine::database::postgres::literal::quoted;
use crate::engine::database::postgres::{lexical, literal, look_up};
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::reading::Reading;
use crate::engine::values::value::{Unwritable, Value};

#[derive(Debug)]
pub(crate) struct Postgres;

/// The condition that holds for one of the rows of `table` that meet `condition`.
fn one_row(table: &str, condition: &str) -> String {
    format!("(tableoid, ctid) = (SELECT tableoid, ctid FROM {table} WHERE {condition} LIMIT 1)")
}

impl Dialect for Postgres {
    fn kind(&self) -> DatabaseKind {
        DatabaseKind::Postgres
    }

    fn trace_name(&self) -> &'static str {
        "postgresql"
    }

    fn enforces_statement_timeout(&self) -> bool {
        true
    }

    fn identifier(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn count(&self) -> &'static str {
        "count(*)"
    }

    fn expression(&self, column: &Column, reading: &Reading) -> String {
        let name = self.identifier(&column.name);
        match (&reading.conversion, &column.read_as) {
            (Some(Conversion::DatabaseText(_)), _) => format!("{name}::text"),
            (_, Some(target)) => format!("{name}::{target}"),
            (_, None) => name,
        }
    }

    fn max_keys(&self, _key_columns: usize) -> usize {
        usize::MAX
    }

    fn look_up_term(
        &self,
        column: &Column,
        value: &[u8],
        _parameters: &mut Vec<String>,
    ) -> Option<String> {
        look_up::term(column, value, &self.identifier(&column.name))
    }

    fn is_found(&self, _column: &Column, _value: &[u8]) -> bool {
        true
    }

    fn parser(&self) -> Box<dyn sqlparser::dialect::Dialect> {
        Box::new(PostgreSqlDialect {})
    }

    fn has_boolean_expressions(&self) -> bool {
        true
    }

    fn after_own_token<'a>(&self, text: &'a [u8]) -> Option<Result<&'a [u8], &'static str>> {
        lexical::after_own_token(text)
    }

    fn differs(&self, column: &Column, value: &str) -> String {
        let (name, value) = (self.identifier(&column.name), quoted(value));
        match column.kind {
            // The length of a declaration would cut the value, and an enum refuses what is no label.
            ColumnType::Text { .. } => format!("{name}::text IS DISTINCT FROM {value}"),
            _ => format!("{name} IS DISTINCT FROM {value}::{}", column.declared),
        }
    }
}

impl RepairDialect for Postgres {
    fn begin_writing(&self) -> &'static str {
        "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL lock_timeout = '30s'"
    }

    fn commit(&self) -> &'static str {
        "COMMIT"
    }

    fn roll_back(&self) -> &'static str {
        "ROLLBACK"
    }

    fn assigned(&self, column: &Column, value: &Value) -> Result<String, Unwritable> {
        literal::assigned(column, value)
    }

    fn holds_exactly(&self, name: &str, column: &Column, _value: &Value, literal: &str) -> String {
        literal::holds_exactly(name, column, literal)
    }

    fn indexed_text_term(&self, name: &str, _column: &Column, literal: &str) -> Option<String> {
        Some(format!("{name} = {literal}"))
    }

    fn update_one(&self, table: &str, assignments: &str, condition: &str) -> String {
        format!(
            "UPDATE {table} SET {assignments} WHERE {};",
            one_row(table, condition)
        )
    }

    fn delete_one(&self, table: &str, condition: &str) -> String {
        format!("DELETE FROM {table} WHERE {};", one_row(table, condition))
    }

    fn overriding_identity(&self) -> &'static str {
        " OVERRIDING SYSTEM VALUE"
    }

    fn needs_identity_insert(&self) -> bool {
        false
    }

    fn may_hold_unpaired_surrogates(&self, _column: &Column) -> bool {
        false
    }

    fn round_trip_type(&self, _column: &Column) -> Option<&'static str> {
        Some("text")
    }

    fn storage_type<'a>(&self, column: &'a Column) -> &'a str {
        column.read_as.as_ref().unwrap_or(&column.declared)
    }

    fn money_limits(&self, _base: &str) -> (u8, i64) {
        (2, i64::MAX)
    }

    fn money_text_digits(&self) -> Option<usize> {
        None
    }

    fn text_length(&self, text: &str, base: &str, _code_page: Option<i32>) -> Option<usize> {
        Some(if base == "name" {
            text.len()
        } else {
            text.chars().count()
        })
    }
}

//! The SQL of PostgreSQL.

use shared::endpoint::DatabaseKind;
use sqlparser::dialect::PostgreSqlDialect;

use crate::engine::database::dialect::{Dialect, Facts, RepairDialect};
use crate::engine::database::postgres::catalog::BIT_AS_BOOLEAN;
use crate::engine::database::postgres::literal::quoted;
use crate::engine::database::postgres::{functions, lexical, literal, look_up};
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::reading::Reading;
use crate::engine::values::value::{Unwritable, Value};

#[derive(Debug)]
pub(crate) struct Postgres;

const FACTS: Facts = Facts {
    kind: DatabaseKind::Postgres,
    trace_name: "postgresql",
    enforces_statement_timeout: true,
    count: "count(*)",
    max_parameters: usize::MAX,
    has_boolean_expressions: true,
    begin_writing: "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL lock_timeout = '30s'",
    commit: "COMMIT",
    roll_back: "ROLLBACK",
    overriding_identity: " OVERRIDING SYSTEM VALUE",
    needs_identity_insert: false,
    money_text_digits: None,
    money_scale: 2,
    utf_16_types: &[],
    functions: functions::CALLABLE,
};

impl Dialect for Postgres {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn identifier(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn expression(&self, column: &Column, reading: &Reading) -> String {
        let name = self.identifier(&column.name);
        match (&reading.conversion, &column.read_as) {
            (Some(Conversion::DatabaseText(_)), _) => format!("{name}::text"),
            (_, Some(target)) => format!("{name}::{target}"),
            (_, None) => name,
        }
    }

    /// PostgreSQL sends valid UTF-8 only.
    fn first_rows(&self, select: &str, count: u64) -> String {
        format!("{select} LIMIT {count}")
    }

    fn undecoded(&self, _column: &Column, _reading: &Reading) -> Option<String> {
        None
    }

    fn look_up_term(
        &self,
        column: &Column,
        value: &[u8],
        _parameters: &mut Vec<String>,
    ) -> Option<String> {
        look_up::term(column, value, &self.identifier(&column.name))
    }

    fn parser(&self) -> Box<dyn sqlparser::dialect::Dialect> {
        Box::new(PostgreSqlDialect {})
    }

    fn after_own_token<'a>(&self, text: &'a [u8]) -> Option<Result<&'a [u8], &'static str>> {
        lexical::after_own_token(text)
    }

    fn differs(&self, column: &Column, value: &str) -> String {
        let (name, value) = (self.identifier(&column.name), quoted(value));
        match column.kind {
            // The length of a declaration would cut the value, and an enum refuses what is no label.
            ColumnType::Text { .. } => format!("{name}::text IS DISTINCT FROM {value}"),
            ColumnType::Bool if column.read_as.as_deref() == Some(BIT_AS_BOOLEAN) => {
                format!("{name}::{BIT_AS_BOOLEAN} IS DISTINCT FROM {value}::boolean")
            }
            _ => format!("{name} IS DISTINCT FROM {value}::{}", column.declared),
        }
    }
}

impl RepairDialect for Postgres {
    fn assigned(&self, column: &Column, value: &Value) -> Result<String, Unwritable> {
        literal::assigned(column, value)
    }

    fn holds_exactly(&self, name: &str, column: &Column, _value: &Value, literal: &str) -> String {
        literal::holds_exactly(name, column, literal)
    }

    fn indexed_text_term(&self, name: &str, column: &Column, literal: &str) -> Option<String> {
        // A domain over an enum has no `=` of its own.
        Some(match &column.repertoire.enum_type {
            Some(enum_type) => format!("{name}::{enum_type} = {literal}"),
            None => format!("{name} = {literal}"),
        })
    }

    fn delete_one(&self, table: &str, condition: &str) -> String {
        format!(
            "DELETE FROM {table} WHERE (tableoid, ctid) = (SELECT tableoid, ctid FROM {table} WHERE {condition} LIMIT 1);"
        )
    }

    fn round_trip_type(&self, _column: &Column) -> Option<&'static str> {
        Some("text")
    }

    fn storage_type<'a>(&self, column: &'a Column) -> &'a str {
        column.read_as.as_ref().unwrap_or(&column.declared)
    }

    fn text_length(&self, text: &str, base: &str, _code_page: Option<i32>) -> Option<usize> {
        Some(if base == "name" {
            text.len()
        } else {
            text.chars().count()
        })
    }
}

//! The SQL of SQL Server, Transact-SQL.

use shared::endpoint::DatabaseKind;
use sqlparser::dialect::MsSqlDialect;

use crate::engine::database::dialect::{Dialect, Facts, RepairDialect, SelectList};
use crate::engine::database::filter::lexical::after_quoted;
use crate::engine::database::sql_server::text::as_text;
use crate::engine::database::sql_server::{functions, large, literal, look_up};
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::reading::Reading;
use crate::engine::values::value::{Unwritable, Value};

#[derive(Debug)]
pub(crate) struct SqlServer;

/// SQL Server's code page number of UTF-8.
const UTF_8: i32 = 65001;

const FACTS: Facts = Facts {
    kind: DatabaseKind::SqlServer,
    trace_name: "mssql",
    enforces_statement_timeout: false,
    count: "COUNT_BIG(*)",
    // SQL Server accepts at most 2100 parameters in one statement.
    max_parameters: 2000,
    has_boolean_expressions: false,
    begin_writing: "SET LOCK_TIMEOUT 30000; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; BEGIN TRANSACTION",
    commit: "COMMIT TRANSACTION",
    roll_back: "ROLLBACK TRANSACTION",
    overriding_identity: "",
    needs_identity_insert: true,
    money_text_digits: Some(4),
    money_scale: 4,
    utf_16_types: &["nchar", "nvarchar", "ntext"],
    functions: functions::CALLABLE,
};

/// The expression that reads a column as `reading` expects it.
fn read(column: &Column, reading: &Reading, name: &str) -> String {
    match (&reading.conversion, &column.read_as) {
        (Some(Conversion::DatabaseText(_)), _) => as_text(column, name),
        (_, Some(target)) => format!("CAST({name} AS {target})"),
        (_, None) => name.to_owned(),
    }
}

impl Dialect for SqlServer {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn identifier(&self, name: &str) -> String {
        format!("[{}]", name.replace(']', "]]"))
    }

    fn expression(&self, column: &Column, reading: &Reading) -> String {
        let name = self.identifier(&column.name);
        let read = read(column, reading, &name);
        if read == name {
            return name;
        }
        format!("{read} AS {name}")
    }

    /// The driver collects a value whole before it hands it out.
    fn list(&self, columns: &[(&Column, &Reading)], longest: usize) -> SelectList {
        let (mut items, mut larger) = (Vec::new(), String::new());
        for (position, (column, reading)) in columns.iter().enumerate() {
            if !large::is_unbounded(column, reading) {
                items.push(self.expression(column, reading));
                continue;
            }
            let name = self.identifier(&column.name);
            let read = read(column, reading, &name);
            let is_larger = large::is_larger(&name, &read, longest);
            let sent = large::sent(column, &read);
            items.push(format!(
                "CASE WHEN {is_larger} THEN NULL ELSE {sent} END AS {name}"
            ));
            larger += &large::mark(&is_larger, &read, position + 1);
        }
        let marks_large = !larger.is_empty();
        if marks_large {
            items.push(format!("CASE{larger} END AS [larger than the limit]"));
        }
        SelectList { items, marks_large }
    }

    fn first_rows(&self, select: &str, count: u64) -> String {
        match select.strip_prefix("SELECT ") {
            Some(rest) => format!("SELECT TOP ({count}) {rest}"),
            None => select.to_owned(),
        }
    }

    fn undecoded(&self, column: &Column, reading: &Reading) -> Option<String> {
        let name = self.identifier(&column.name);
        let is_converted = matches!(reading.conversion, Some(Conversion::DatabaseText(_)));
        let text = as_text(column, &name);
        if is_converted && column.declared == "sql_variant" {
            return Some(format!("CAST({text} AS varbinary(max)) AS {name}"));
        }
        let base = column.declared.split('(').next().unwrap_or_default();
        let is_decoded = !is_converted && FACTS.utf_16_types.contains(&base);
        is_decoded.then(|| format!("{text} AS {name}"))
    }

    fn look_up_term(
        &self,
        column: &Column,
        value: &[u8],
        parameters: &mut Vec<String>,
    ) -> Option<String> {
        look_up::term(column, value, self.identifier(&column.name), parameters)
    }

    fn is_found(&self, column: &Column, value: &[u8]) -> bool {
        look_up::is_found(column, value)
    }

    fn parser(&self) -> Box<dyn sqlparser::dialect::Dialect> {
        Box::new(MsSqlDialect {})
    }

    fn after_own_token<'a>(&self, text: &'a [u8]) -> Option<Result<&'a [u8], &'static str>> {
        match text {
            [b'[', after @ ..] => Some(after_quoted(after, b']')),
            _ => None,
        }
    }

    fn differs(&self, column: &Column, value: &str) -> String {
        let name = self.identifier(&column.name);
        let value = match (&column.kind, value) {
            (ColumnType::Bool, "true") => "1",
            (ColumnType::Bool, "false") => "0",
            _ => value,
        };
        let literal = format!("N'{}'", value.replace('\'', "''"));
        let value = match column.kind {
            // The length of a declaration would cut the value.
            ColumnType::Text { .. } => literal,
            _ => format!("CAST({literal} AS {})", column.declared),
        };
        format!("({name} IS NULL OR {name} <> {value})")
    }
}

impl RepairDialect for SqlServer {
    fn assigned(&self, column: &Column, value: &Value) -> Result<String, Unwritable> {
        literal::assigned(column, value)
    }

    fn holds_exactly(&self, name: &str, column: &Column, value: &Value, literal: &str) -> String {
        literal::holds_exactly(name, column, value, literal)
    }

    fn indexed_text_term(&self, name: &str, column: &Column, literal: &str) -> Option<String> {
        literal::indexed_text_term(name, column, literal)
    }

    fn delete_one(&self, table: &str, condition: &str) -> String {
        format!("DELETE TOP (1) FROM {table} WHERE {condition};")
    }

    fn round_trip_type(&self, column: &Column) -> Option<&'static str> {
        (column.declared == "xml").then_some("nvarchar(max)")
    }

    fn storage_type<'a>(&self, column: &'a Column) -> &'a str {
        &column.declared
    }

    fn text_length(&self, text: &str, base: &str, code_page: Option<i32>) -> Option<usize> {
        if FACTS.utf_16_types.contains(&base) {
            return Some(text.encode_utf16().count());
        }
        if text.is_ascii() || code_page == Some(UTF_8) {
            return Some(text.len());
        }
        let label = match code_page? {
            page @ (874 | 1250..=1258) => format!("windows-{page}"),
            _ => return None,
        };
        let encoding = encoding_rs::Encoding::for_label(label.as_bytes())?;
        let (bytes, _, replaced) = encoding.encode(text);
        (!replaced).then_some(bytes.len())
    }
}

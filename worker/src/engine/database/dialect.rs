//! The SQL of one kind of database: what a step needs to know of it without a
//! session.

use std::fmt;

use shared::endpoint::DatabaseKind;

use crate::engine::values::column::Column;
use crate::engine::values::reading::Reading;
use crate::engine::values::value::{Unwritable, Value};

/// What is constant for a kind of database.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) kind: DatabaseKind,
    /// Its name in traces, as OpenTelemetry's semantic conventions list it under `db.system`.
    pub(crate) trace_name: &'static str,
    /// Whether the server itself ends a statement that has exceeded its time limit.
    pub(crate) enforces_statement_timeout: bool,
    /// The expression that counts rows as a 64-bit integer.
    pub(crate) count: &'static str,
    /// The largest number of parameters in one look-up.
    pub(crate) max_parameters: usize,
    /// Whether an expression can be a condition by itself: a boolean column or function.
    pub(crate) has_boolean_expressions: bool,
    /// The statements that begin a transaction that may write.
    pub(crate) begin_writing: &'static str,
    pub(crate) commit: &'static str,
    pub(crate) roll_back: &'static str,
    /// The clause with which an `INSERT` gives a value to an identity column; empty if none is needed.
    pub(crate) overriding_identity: &'static str,
    /// Whether a session must be switched to insert values into an identity column.
    pub(crate) needs_identity_insert: bool,
    /// The digits after the point with which money is converted to text, if that is a fixed number.
    pub(crate) money_text_digits: Option<usize>,
    /// The digits after the point of a money type.
    pub(crate) money_scale: u8,
    /// The types whose text may hold unpaired surrogates, which the driver cannot decode.
    pub(crate) utf_16_types: &'static [&'static str],
    /// The functions that a condition may call, beside those of all databases; in lower case.
    pub(crate) functions: &'static [&'static str],
}

/// The items that a `SELECT` reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SelectList {
    pub(crate) items: Vec<String>,
    /// Whether the last item is none of the columns. In a row with a value that is too
    /// large to be sent, it is 65,536 times the value's bytes plus the column's position
    /// from 1, and that column is NULL; otherwise it is NULL.
    pub(crate) marks_large: bool,
}

/// How one kind of database writes names, values and conditions that read rows.
pub(crate) trait Dialect: fmt::Debug + Send + Sync {
    fn facts(&self) -> &'static Facts;

    fn identifier(&self, name: &str) -> String;

    fn qualified(&self, schema: &str, name: &str) -> String {
        format!("{}.{}", self.identifier(schema), self.identifier(name))
    }

    /// The item of a `SELECT` list that reads `column` as `reading` expects it.
    fn expression(&self, column: &Column, reading: &Reading) -> String;

    /// The `SELECT` list that reads these columns. If the driver collects values whole, no
    /// value of more than `longest` bytes is sent.
    fn list(&self, columns: &[(&Column, &Reading)], _longest: usize) -> SelectList {
        let items = columns.iter();
        SelectList {
            items: items
                .map(|(column, reading)| self.expression(column, reading))
                .collect(),
            marks_large: false,
        }
    }

    /// `select`, a statement that begins with `SELECT`, cut to `count` rows, whichever come first.
    fn first_rows(&self, select: &str, count: u64) -> String;

    /// The item of a `SELECT` list that reads the text of `column` as UTF-16, if the
    /// driver decodes that text and stops at an unpaired surrogate.
    fn undecoded(&self, column: &Column, reading: &Reading) -> Option<String>;

    /// The condition that finds the rows in which `column` has the canonical
    /// `value`. It may find other rows too, where the database considers
    /// different values equal. `None` if no row can have the value. Values that
    /// travel as parameters are appended to `parameters`.
    fn look_up_term(
        &self,
        column: &Column,
        value: &[u8],
        parameters: &mut Vec<String>,
    ) -> Option<String>;

    /// Whether [`look_up_term`](Self::look_up_term) is certain to find the rows
    /// with this value.
    fn is_found(&self, _column: &Column, _value: &[u8]) -> bool {
        true
    }

    /// The parser's rules for conditions.
    fn parser(&self) -> Box<dyn sqlparser::dialect::Dialect>;

    /// What follows the quotation or word at the start of `text`, if this
    /// database has lexical rules of its own for it.
    fn after_own_token<'a>(&self, text: &'a [u8]) -> Option<Result<&'a [u8], &'static str>>;

    /// The condition that holds for rows whose `column` is NULL or not `value`.
    fn differs(&self, column: &Column, value: &str) -> String;
}

/// How one kind of database writes the statements of a repair.
pub(crate) trait RepairDialect: Dialect {
    /// `value` as it stands on the right of an assignment or in a list of values.
    ///
    /// Text is not converted to the column's type: an explicit conversion cuts
    /// a text that is too long without an error, an assignment refuses it.
    fn assigned(&self, column: &Column, value: &Value) -> Result<String, Unwritable>;

    /// The condition that holds exactly for rows whose `column`, written as
    /// `name`, holds `value`, which is not NULL: text by its characters whatever
    /// the collation, floats by value.
    fn holds_exactly(&self, name: &str, column: &Column, value: &Value, literal: &str) -> String;

    /// The condition on a text column, written as `name`, that an index can
    /// answer; `None` if there is none but the exact one.
    fn indexed_text_term(&self, name: &str, column: &Column, literal: &str) -> Option<String>;

    /// The statement that deletes one of the rows that meet `condition`.
    fn delete_one(&self, table: &str, condition: &str) -> String;

    /// The type through which a column without a canonical form of its own is
    /// read so that the database reads the text back as the same value.
    fn round_trip_type(&self, column: &Column) -> Option<&'static str>;

    /// The declared type behind a domain; otherwise the column's own.
    fn storage_type<'a>(&self, column: &'a Column) -> &'a str;

    /// The length of a text in the unit in which a type limits it; `None` if
    /// the column's encoding cannot hold all its characters.
    fn text_length(&self, text: &str, base: &str, code_page: Option<i32>) -> Option<usize>;
}

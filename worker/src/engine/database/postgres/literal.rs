//! Values as literals of PostgreSQL's SQL.

use crate::engine::database::postgres::catalog::BIT_AS_BOOLEAN;
use crate::engine::values::calendar::{Notation, date, time, timestamp};
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::moment::Moment;
use crate::engine::values::value::{Unwritable, Value};

/// `text` as an SQL string. Needs `standard_conforming_strings`, which every session sets.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text of a row as an SQL string that stays on one line: no line of a script can
/// begin with a value's text, which a client program might take for a command.
pub(crate) fn characters(text: &str) -> String {
    if !text.contains(|character: char| character.is_ascii_control()) {
        return quoted(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            control if control.is_ascii_control() => {
                escaped.push_str(&format!("\\x{:02x}", u32::from(control)));
            }
            other => escaped.push(other),
        }
    }
    format!("E{}", quoted(&escaped))
}

/// A boolean of the column's type.
pub(crate) fn boolean(column: &Column, value: bool) -> String {
    if column.read_as.as_deref() == Some(BIT_AS_BOOLEAN) {
        return format!("B'{}'", u8::from(value));
    }
    value.to_string()
}

/// PostgreSQL's last timestamp, 294277-01-01, in microseconds since 2000-01-01. It
/// is reached by rounding only: as text it is out of range.
pub(crate) const LAST_TIMESTAMP: i64 = 9_223_371_331_200_000_000;

/// Its first timestamp, 4714-11-24 BC.
pub(crate) const FIRST_TIMESTAMP: i64 = -211_813_488_000_000_000;

/// Whether PostgreSQL has no such timestamp.
fn is_beyond(at: Moment) -> bool {
    let micros = i128::from(at.units) * 1_000_000 / i128::from(at.per_second());
    let range = i128::from(FIRST_TIMESTAMP)..=i128::from(LAST_TIMESTAMP);
    !at.is_infinite() && !range.contains(&micros)
}

/// What is rounded to [`LAST_TIMESTAMP`].
pub(crate) const BEFORE_LAST: &str = "294276-12-31 23:59:59.999999";

pub(crate) fn is_last(at: Moment) -> bool {
    at.digits == 6 && at.units == LAST_TIMESTAMP
}

pub(crate) fn assigned(column: &Column, value: &Value) -> Result<String, Unwritable> {
    Ok(match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(value) => boolean(column, *value),
        Value::Int(number) => number.to_string(),
        Value::Decimal(text) if text.ends_with(|last: char| last.is_ascii_digit()) => text.clone(),
        Value::Decimal(word) => quoted(word),
        Value::Float64(number) => quoted(&float(*number, f64::is_infinite)),
        Value::Float32(number) => quoted(&float(*number, f32::is_infinite)),
        Value::Text(text) | Value::Json(text) if text.contains('\0') => {
            return Err(Unwritable::NulCharacter(column.name.clone()));
        }
        Value::Text(text) | Value::Json(text) => characters(text),
        Value::UnpairedSurrogates(_) => {
            return Err(Unwritable::UnpairedSurrogate(column.name.clone()));
        }
        Value::Bytes(bytes) => quoted(&format!("\\x{}", hex::encode(bytes))),
        Value::Date(days) => quoted(&date(*days, Notation::Postgres)),
        Value::Time(moment) => quoted(&time(*moment)),
        Value::Timestamp(moment) | Value::Instant(moment) if is_beyond(*moment) => {
            return Err(Unwritable::OutOfRange(column.name.clone()));
        }
        Value::Timestamp(moment) | Value::Instant(moment) if is_last(*moment) => {
            // Only an assignment that rounds reaches it.
            if column.postgres_digits().is_none_or(|digits| digits > 5) {
                return Err(Unwritable::OutOfRange(column.name.clone()));
            }
            quoted(&format!("{BEFORE_LAST}+00"))
        }
        Value::Timestamp(moment) => quoted(&timestamp(*moment, Notation::Postgres, "")),
        Value::Instant(moment) => quoted(&timestamp(*moment, Notation::Postgres, "+00")),
        Value::Uuid(uuid) => quoted(&uuid::Uuid::from_bytes(*uuid).to_string()),
        Value::Long(_) => return Err(Unwritable::TooLong(column.name.clone())),
    })
}

pub(crate) fn holds_exactly(name: &str, column: &Column, literal: &str) -> String {
    match &column.kind {
        ColumnType::Bool | ColumnType::Int => format!("{name} = {literal}"),
        ColumnType::Money => format!("{name}::numeric = {literal}"),
        // With the column's own precision and scale, as an assignment of the literal stores it.
        // The parentheses make the minus sign part of what is converted.
        ColumnType::Decimal => format!("{name} = ({literal})::{}", column.declared),
        ColumnType::Text { .. } => format!("{name}::text COLLATE \"C\" = {literal}"),
        // As the type writes it: jsonb puts blanks in.
        ColumnType::Json | ColumnType::Xml | ColumnType::Other => format!(
            "{name}::text COLLATE \"C\" = ({literal}::{})::text",
            column.declared
        ),
        _ => format!("{name} = {literal}::{}", column.declared),
    }
}

/// The shortest text that reads back as the same number.
fn float<F: std::fmt::LowerExp + Copy + PartialOrd + Default>(
    number: F,
    is_infinite: fn(F) -> bool,
) -> String {
    if is_infinite(number) {
        let sign = if number < F::default() { "-" } else { "" };
        return format!("{sign}Infinity");
    }
    format!("{number:e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_on_a_line() {
        assert_eq!(characters("it's \\ "), "'it''s \\ '");
        assert_eq!(
            characters("a\n\\! rm\r\n'GO\u{1}f"),
            "E'a\\n\\\\! rm\\r\\n''GO\\x01f'"
        );
    }
}

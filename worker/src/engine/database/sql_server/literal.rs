//! Values as literals of Transact-SQL.

use crate::engine::values::calendar::{Notation, civil, date, time, timestamp};
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::moment::SECONDS_OF_DAY;
use crate::engine::values::surrogates::to_utf16;
use crate::engine::values::value::{Unwritable, Value};

/// The largest number of pieces in a sum of texts: SQL Server does not compile long sums.
const MAX_PIECES: usize = 64;

pub(crate) fn assigned(column: &Column, value: &Value) -> Result<String, Unwritable> {
    let beyond = || Unwritable::OutOfRange(column.name.clone());
    let cast = |text: String| format!("CAST('{text}' AS {})", column.declared);
    Ok(match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(value) => i32::from(*value).to_string(),
        Value::Int(number) => number.to_string(),
        Value::Decimal(text) if text.ends_with(|last: char| last.is_ascii_digit()) => text.clone(),
        Value::Float64(number) if number.is_finite() => format!("CAST('{number:e}' AS float)"),
        Value::Float32(number) if number.is_finite() => format!("CAST('{number:e}' AS real)"),
        Value::Decimal(_) | Value::Float64(_) | Value::Float32(_) => return Err(beyond()),
        Value::Text(text) | Value::Json(text) => characters(text),
        Value::UnpairedSurrogates(text) => utf16(to_utf16(text).into_iter()),
        Value::Bytes(bytes) => format!("0x{}", hex::encode(bytes)),
        Value::Date(days) => {
            let (year, ..) = civil((*days).into());
            if !(1..=9999).contains(&year) {
                return Err(beyond());
            }
            cast(date(*days, Notation::Iso8601))
        }
        Value::Time(moment) => {
            if moment.split().0 >= SECONDS_OF_DAY {
                return Err(beyond());
            }
            cast(time(*moment))
        }
        Value::Timestamp(moment) | Value::Instant(moment) => {
            let (year, ..) = civil(moment.days_seconds_units().0);
            if moment.is_infinite() || !(1..=9999).contains(&year) {
                return Err(beyond());
            }
            let zone = match column.kind {
                ColumnType::Instant(_) => "+00:00",
                _ => "",
            };
            cast(timestamp(*moment, Notation::Iso8601, zone))
        }
        Value::Uuid(uuid) => cast(uuid::Uuid::from_bytes(*uuid).to_string()),
        Value::Long(_) => return Err(Unwritable::TooLong(column.name.clone())),
    })
}

/// A name as a Unicode text.
pub(crate) fn national(name: &str) -> String {
    format!("N'{}'", name.replace('\'', "''"))
}

/// The condition on a text column that an index can answer.
pub(crate) fn indexed_text_term(name: &str, column: &Column, literal: &str) -> Option<String> {
    if is_long(column) {
        return None;
    }
    // An index over non-Unicode text cannot serve N'…'.
    let plain = literal.is_ascii() && !column.declared.starts_with('n');
    let literal = match literal.strip_prefix('N') {
        Some(literal) if plain => literal,
        _ => literal,
    };
    Some(format!("{name} = {literal}"))
}

/// Types of SQL Server that have no `=`.
fn is_long(column: &Column) -> bool {
    matches!(column.declared.as_str(), "text" | "ntext" | "image" | "xml")
}

pub(crate) fn holds_exactly(name: &str, column: &Column, value: &Value, literal: &str) -> String {
    match &column.kind {
        ColumnType::Text { padded } => {
            let name = if *padded {
                format!("RTRIM({name})")
            } else {
                name.to_owned()
            };
            same_characters(&name, literal)
        }
        ColumnType::Decimal => format!("{name} = CAST({literal} AS {})", column.declared),
        // Bytes are compared as if zeros followed the shorter ones.
        ColumnType::Bytes => {
            let length = match value {
                Value::Bytes(bytes) => bytes.len(),
                _ => 0,
            };
            let compared = if is_long(column) {
                format!("CAST({name} AS varbinary(max))")
            } else {
                name.to_owned()
            };
            format!("({compared} = {literal} AND DATALENGTH({name}) = {length})")
        }
        // As the type writes it: xml closes empty elements in its own way.
        ColumnType::Json | ColumnType::Xml | ColumnType::Other => {
            same_characters(name, &format!("CAST({literal} AS {})", column.declared))
        }
        _ => format!("{name} = {literal}"),
    }
}

fn same_characters(name: &str, literal: &str) -> String {
    format!(
        "CAST(CAST({name} AS nvarchar(max)) AS varbinary(max)) = CAST(CAST({literal} AS nvarchar(max)) AS varbinary(max))"
    )
}

/// Text in Transact-SQL. It never contains a line break, since a line `GO` would
/// end a script's batch, and never `$(`, which sqlcmd replaces. A text that needs
/// many pieces for that is written by its bytes.
fn characters(text: &str) -> String {
    let mut parts = Vec::new();
    let mut piece = String::new();
    let flush = |piece: &mut String, parts: &mut Vec<String>| {
        if !piece.is_empty() {
            parts.push(format!("N'{piece}'"));
            piece.clear();
        }
    };
    let mut before = '\0';
    for character in text.chars() {
        if is_special(character) {
            flush(&mut piece, &mut parts);
            parts.push(format!("NCHAR({})", u32::from(character)));
        } else {
            if before == '$' && character == '(' {
                flush(&mut piece, &mut parts);
            }
            if character == '\'' {
                piece.push('\'');
            }
            piece.push(character);
        }
        if parts.len() > MAX_PIECES {
            return utf16(text.encode_utf16());
        }
        before = character;
    }
    flush(&mut piece, &mut parts);
    match parts.as_slice() {
        [] => "N''".to_owned(),
        [whole] if whole.starts_with("N'") => parts.swap_remove(0),
        // A sum of short pieces would be cut to 4,000 characters.
        _ => format!("CAST(N'' AS nvarchar(max)) + {}", parts.join(" + ")),
    }
}

/// Text by its bytes.
fn utf16(units: impl Iterator<Item = u16>) -> String {
    let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    format!("CAST(0x{} AS nvarchar(max))", hex::encode(bytes))
}

/// Control characters and line breaks, which are written by their number.
pub(crate) fn is_special(character: char) -> bool {
    character.is_ascii_control() || matches!(character, '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_transact_sql_stays_on_a_line() {
        assert_eq!(characters("it's"), "N'it''s'");
        assert_eq!(
            characters("a\nGO\n"),
            "CAST(N'' AS nvarchar(max)) + N'a' + NCHAR(10) + N'GO' + NCHAR(10)"
        );
        assert_eq!(
            characters("$(x)\0"),
            "CAST(N'' AS nvarchar(max)) + N'$' + N'(x)' + NCHAR(0)"
        );
        assert_eq!(characters(""), "N''");
        let long = "é".repeat(10_000);
        assert_eq!(characters(&long), format!("N'{long}'"));
        let lines = "a\n".repeat(MAX_PIECES);
        assert_eq!(
            characters(&lines),
            format!("CAST(0x{} AS nvarchar(max))", "61000a00".repeat(MAX_PIECES))
        );
    }
}

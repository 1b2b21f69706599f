//! Values as literals of the target's dialect: how they are assigned, and how a
//! column is compared with them exactly.

use shared::endpoint::DatabaseKind;

use crate::engine::database::session::{postgres, sql_server};
use crate::engine::repair::codec::hex;
use crate::engine::values::calendar::{civil, date, time, timestamp};
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::raw::{RawValue, Unwritable};

const SECONDS_OF_DAY: i64 = 86_400;

/// How many pieces a text in Transact-SQL is put together of at most: SQL Server
/// does not compile long sums.
const PIECES: usize = 64;

/// The column's name as an identifier.
pub(crate) fn identifier(engine: DatabaseKind, name: &str) -> String {
    match engine {
        DatabaseKind::Postgres => postgres::identifier(name),
        DatabaseKind::SqlServer => sql_server::identifier(name),
    }
}

/// `value` as it stands on the right of an assignment or in a list of values.
///
/// Text is not converted to the column's type here: a conversion that is asked
/// for cuts what is too long without a word, an assignment refuses it.
///
/// # Errors
///
/// When a column of this type cannot hold the value.
pub(crate) fn assigned(
    engine: DatabaseKind,
    column: &Column,
    value: &RawValue,
) -> Result<String, Unwritable> {
    match engine {
        DatabaseKind::Postgres => in_postgres(column, value),
        DatabaseKind::SqlServer => in_sql_server(column, value),
    }
}

/// A condition that holds exactly for rows whose `column` holds `value`:
/// text by its characters whatever the collation, floats by value.
///
/// # Errors
///
/// As [`assigned`].
pub(crate) fn holds(
    engine: DatabaseKind,
    column: &Column,
    value: &RawValue,
) -> Result<String, Unwritable> {
    let name = identifier(engine, &column.name);
    if *value == RawValue::Null {
        return Ok(format!("{name} IS NULL"));
    }
    let literal = assigned(engine, column, value)?;
    Ok(match engine {
        DatabaseKind::Postgres => holds_in_postgres(&name, column, &literal),
        DatabaseKind::SqlServer => holds_in_sql_server(&name, column, value, &literal),
    })
}

/// A condition that an index can answer and that holds at least for the rows
/// whose `column` is equal to `value` as the database sees it.
///
/// # Errors
///
/// As [`assigned`].
pub(crate) fn equals(
    engine: DatabaseKind,
    column: &Column,
    value: &RawValue,
) -> Result<String, Unwritable> {
    let name = identifier(engine, &column.name);
    if *value == RawValue::Null {
        return Ok(format!("{name} IS NULL"));
    }
    let literal = assigned(engine, column, value)?;
    Ok(match (&column.kind, engine) {
        (ColumnType::Text { .. }, DatabaseKind::Postgres) => format!("{name} = {literal}"),
        (ColumnType::Text { .. }, DatabaseKind::SqlServer) if !is_long(column) => {
            // An index over other than Unicode text is of no use for N'…'.
            let plain = literal.is_ascii() && !column.declared.starts_with('n');
            let literal = match literal.strip_prefix('N') {
                Some(literal) if plain => literal,
                _ => &literal,
            };
            format!("{name} = {literal}")
        }
        _ => return holds(engine, column, value),
    })
}

/// Whether an index can answer a comparison of text, beside the exact one.
pub(crate) fn is_text(column: &Column) -> bool {
    matches!(column.kind, ColumnType::Text { .. })
}

/// Types of SQL Server that have no `=`.
fn is_long(column: &Column) -> bool {
    matches!(column.declared.as_str(), "text" | "ntext" | "image" | "xml")
}

fn holds_in_postgres(name: &str, column: &Column, literal: &str) -> String {
    match &column.kind {
        ColumnType::Bool | ColumnType::Int => format!("{name} = {literal}"),
        ColumnType::Money => format!("{name}::numeric = {literal}"),
        // With the column's own precision and scale: what an assignment of the literal gives.
        // A minus would come after the type.
        ColumnType::Decimal => format!("{name} = ({literal})::{}", column.declared),
        ColumnType::Float32
        | ColumnType::Float64
        | ColumnType::Date
        | ColumnType::Time(_)
        | ColumnType::Timestamp(_)
        | ColumnType::DateTime
        | ColumnType::Instant(_)
        | ColumnType::Uuid
        | ColumnType::Bytes => format!("{name} = {literal}::{}", column.declared),
        ColumnType::Text { .. } => format!("{name}::text COLLATE \"C\" = {literal}"),
        // As the type writes it: jsonb puts blanks in.
        _ => format!(
            "{name}::text COLLATE \"C\" = ({literal}::{})::text",
            column.declared
        ),
    }
}

fn holds_in_sql_server(name: &str, column: &Column, value: &RawValue, literal: &str) -> String {
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
                RawValue::Bytes(bytes) => bytes.len(),
                _ => 0,
            };
            let compared = if is_long(column) {
                format!("CAST({name} AS varbinary(max))")
            } else {
                name.to_owned()
            };
            format!("({compared} = {literal} AND DATALENGTH({name}) = {length})")
        }
        ColumnType::Bool
        | ColumnType::Int
        | ColumnType::Money
        | ColumnType::Float32
        | ColumnType::Float64
        | ColumnType::Date
        | ColumnType::Time(_)
        | ColumnType::Timestamp(_)
        | ColumnType::DateTime
        | ColumnType::Instant(_)
        | ColumnType::Uuid => format!("{name} = {literal}"),
        // As the type writes it: xml closes empty elements in its own way.
        _ => same_characters(name, &format!("CAST({literal} AS {})", column.declared)),
    }
}

fn same_characters(name: &str, literal: &str) -> String {
    format!(
        "CAST(CAST({name} AS nvarchar(max)) AS varbinary(max)) = CAST(CAST({literal} AS nvarchar(max)) AS varbinary(max))"
    )
}

fn in_postgres(column: &Column, value: &RawValue) -> Result<String, Unwritable> {
    let quoted = |text: String| format!("'{text}'");
    Ok(match value {
        RawValue::Null => "NULL".to_owned(),
        RawValue::Bool(value) => value.to_string(),
        RawValue::Int(number) => number.to_string(),
        RawValue::Decimal(text) if text.ends_with(|last: char| last.is_ascii_digit()) => {
            text.clone()
        }
        RawValue::Decimal(word) => quoted(word.clone()),
        RawValue::Float64(number) => quoted(float(*number, f64::is_infinite)),
        RawValue::Float32(number) => quoted(float(*number, f32::is_infinite)),
        RawValue::Text(text) if text.contains('\0') => {
            return Err(Unwritable::NulCharacter(column.name.clone()));
        }
        RawValue::Text(text) => postgres::literal(text),
        RawValue::Halves(_) => return Err(Unwritable::HalfCharacter(column.name.clone())),
        RawValue::Bytes(bytes) => quoted(format!("\\x{}", hex(bytes))),
        RawValue::Date(days) => quoted(date(*days, " BC")),
        RawValue::Time(moment) => quoted(time(*moment)),
        RawValue::Timestamp(moment) => quoted(timestamp(*moment, " ", "")),
        RawValue::Instant(moment) => quoted(timestamp(*moment, " ", "+00")),
        RawValue::Uuid(uuid) => quoted(uuid::Uuid::from_bytes(*uuid).to_string()),
    })
}

fn in_sql_server(column: &Column, value: &RawValue) -> Result<String, Unwritable> {
    let beyond = || Unwritable::OutOfRange(column.name.clone());
    let cast = |text: String| format!("CAST('{text}' AS {})", column.declared);
    Ok(match value {
        RawValue::Null => "NULL".to_owned(),
        RawValue::Bool(value) => i32::from(*value).to_string(),
        RawValue::Int(number) => number.to_string(),
        RawValue::Decimal(text) if text.ends_with(|last: char| last.is_ascii_digit()) => {
            text.clone()
        }
        RawValue::Float64(number) if number.is_finite() => format!("CAST('{number:e}' AS float)"),
        RawValue::Float32(number) if number.is_finite() => format!("CAST('{number:e}' AS real)"),
        RawValue::Decimal(_) | RawValue::Float64(_) | RawValue::Float32(_) => return Err(beyond()),
        RawValue::Text(text) => characters(text),
        RawValue::Halves(units) => utf16(units.iter().copied()),
        RawValue::Bytes(bytes) => format!("0x{}", hex(bytes)),
        RawValue::Date(days) => {
            let (year, ..) = civil((*days).into());
            if !(1..=9999).contains(&year) {
                return Err(beyond());
            }
            cast(date(*days, ""))
        }
        RawValue::Time(moment) => {
            if moment.split().0 >= SECONDS_OF_DAY {
                return Err(beyond());
            }
            cast(time(*moment))
        }
        RawValue::Timestamp(moment) | RawValue::Instant(moment) => {
            let (seconds, _) = moment.split();
            let (year, ..) = civil(seconds.div_euclid(SECONDS_OF_DAY));
            if moment.is_infinite() || !(1..=9999).contains(&year) {
                return Err(beyond());
            }
            let zone = match column.kind {
                ColumnType::Instant(_) => "+00:00",
                _ => "",
            };
            cast(timestamp(*moment, "T", zone))
        }
        RawValue::Uuid(uuid) => cast(uuid::Uuid::from_bytes(*uuid).to_string()),
    })
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

/// Text in Transact-SQL. It never spans lines, since a line `GO` would end a
/// script's batch inside of it, and never shows `$(`, which scripts replace.
/// What needs many pieces for that is written by its bytes.
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
        if parts.len() > PIECES {
            return utf16(text.encode_utf16());
        }
        before = character;
    }
    flush(&mut piece, &mut parts);
    match parts.as_slice() {
        [] => "N''".to_owned(),
        [whole] if whole.starts_with("N'") => parts.swap_remove(0),
        // Of pieces that are not long a sum would be cut to 4,000 characters.
        _ => format!("CAST(N'' AS nvarchar(max)) + {}", parts.join(" + ")),
    }
}

/// Text by its bytes.
fn utf16(units: impl Iterator<Item = u16>) -> String {
    let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    format!("CAST(0x{} AS nvarchar(max))", hex(&bytes))
}

/// Characters that are written by their number: those that end lines or are not seen.
fn is_special(character: char) -> bool {
    character.is_ascii_control() || matches!(character, '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::repair::testing::column;

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
        let lines = "a\n".repeat(PIECES);
        assert_eq!(
            characters(&lines),
            format!("CAST(0x{} AS nvarchar(max))", "61000a00".repeat(PIECES))
        );
    }

    #[test]
    fn what_a_dialect_cannot_say_is_an_error() {
        let text = column("t", ColumnType::Text { padded: false }, "text");
        assert!(assigned(DatabaseKind::Postgres, &text, &RawValue::Text("a\0".into())).is_err());
        let float = column("f", ColumnType::Float64, "float");
        assert!(
            assigned(
                DatabaseKind::SqlServer,
                &float,
                &RawValue::Float64(f64::NAN)
            )
            .is_err()
        );
        let date = column("d", ColumnType::Date, "date");
        assert!(assigned(DatabaseKind::SqlServer, &date, &RawValue::Date(-800_000)).is_err());
        assert!(assigned(DatabaseKind::SqlServer, &date, &RawValue::Date(i32::MAX)).is_err());
    }

    #[test]
    fn floats_have_words_where_they_have_no_digits() {
        let double = column("f", ColumnType::Float64, "double precision");
        let literal =
            |number| holds(DatabaseKind::Postgres, &double, &RawValue::Float64(number)).unwrap();
        assert_eq!(literal(f64::NAN), "\"f\" = 'NaN'::double precision");
        assert_eq!(
            literal(f64::NEG_INFINITY),
            "\"f\" = '-Infinity'::double precision"
        );
        assert_eq!(literal(0.1), "\"f\" = '1e-1'::double precision");
    }
}

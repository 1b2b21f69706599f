//! How PostgreSQL is asked for the rows with a key.

use crate::engine::database::look_up::integer;
use crate::engine::database::postgres::dialect::literal;
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::moment::Moment;
use crate::engine::values::value::{Value, try_decode};

/// The condition that finds the rows in which `column`, written as `name`, has
/// the canonical `value`. A value that the column cannot hold is in none of its
/// rows and gives `None`: the database would refuse it, or change it.
pub(crate) fn term(column: &Column, value: &[u8], name: &str) -> Option<String> {
    let expression = expression(column, value)?;
    Some(match &column.read_as {
        // The index is over the enum.
        _ if !column.repertoire.labels.is_empty() => format!("{name} = {expression}"),
        Some(read_as) => format!("{name}::{read_as} = {expression}"),
        None => format!("{name} = {expression}"),
    })
}

/// The value as an expression of the column's type, or of one that holds more
/// and can be compared with it by an index.
fn expression(column: &Column, value: &[u8]) -> Option<String> {
    let declared = column.read_as.as_ref().unwrap_or(&column.declared);
    let value = try_decode(value)?;
    let typed = |value: Value, name: &str| format!("'{}'::{name}", value.into_text());
    Some(match (&column.kind, value) {
        (ColumnType::Bool, Value::Bool(truth)) => truth.to_string(),
        (ColumnType::Int, value) => format!("'{}'::bigint", integer(&value)?),
        (ColumnType::Decimal | ColumnType::Money, Value::Decimal(text)) => {
            format!("'{text}'::numeric")
        }
        (ColumnType::Text { .. }, Value::Text(text)) if !column.repertoire.labels.is_empty() => {
            if !column.repertoire.labels.contains(&text) {
                return None;
            }
            format!("{}::{}", literal(&text), column.declared)
        }
        // PostgreSQL stores no U+0000, and refuses a literal with it.
        (ColumnType::Text { .. }, Value::Text(text)) if !text.contains('\0') => {
            format!("{}::{declared}", literal(&text))
        }
        (ColumnType::Bytes, Value::Bytes(bytes)) => {
            format!("'\\x{}'::bytea", hex::encode(bytes))
        }
        (ColumnType::Date, value @ Value::Date(i32::MAX | i32::MIN)) => typed(value, "date"),
        (ColumnType::Date, Value::Date(days)) => day(days.into()),
        (ColumnType::Time(_), value @ Value::Time(_)) => typed(value, "time"),
        (ColumnType::Timestamp(_), Value::Timestamp(at)) => match moment(at) {
            Some(moment) => moment,
            None => typed(Value::Timestamp(at), "timestamp"),
        },
        (ColumnType::Instant(_), Value::Instant(at)) => match moment(at) {
            Some(moment) => format!("({moment} AT TIME ZONE 'UTC')"),
            None => typed(Value::Instant(at), "timestamptz"),
        },
        (ColumnType::Uuid, value @ Value::Uuid(_)) => typed(value, "uuid"),
        _ => return None,
    })
}

/// A day as PostgreSQL counts it: no notation of years before 1 and after 9999
/// is in the way.
fn day(days: i64) -> String {
    format!("('2000-01-01'::date + ({days}))")
}

/// A moment as a timestamp of PostgreSQL; none for the infinities.
fn moment(at: Moment) -> Option<String> {
    if at.is_infinite() {
        return None;
    }
    let (days, seconds, fraction) = at.days_seconds_units();
    let digits = usize::from(at.digits);
    Some(format!(
        "({} + '{:02}:{:02}:{:02}.{fraction:0digits$}'::time)",
        day(days),
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    ))
}

//! How PostgreSQL is asked for the rows with a key.

use crate::engine::database::look_up::{integer, parts};
use crate::engine::database::postgres::dialect::literal;
use crate::engine::values::canonical::{UnitCount, View, to_text, view};
use crate::engine::values::column::{Column, ColumnType};

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
    Some(match (&column.kind, view(value)?) {
        (ColumnType::Bool, View::Bool(truth)) => truth.to_string(),
        (ColumnType::Int, value) => format!("'{}'::bigint", integer(&value)?),
        (ColumnType::Decimal | ColumnType::Money, View::Decimal(text)) => {
            format!("'{text}'::numeric")
        }
        // PostgreSQL has no such character, nor can it be asked for one.
        (ColumnType::Text { .. }, View::Text(text)) if !column.repertoire.labels.is_empty() => {
            let is_label = column.repertoire.labels.iter().any(|label| *label == *text);
            if !is_label {
                return None;
            }
            format!("{}::{}", literal(text), column.declared)
        }
        (ColumnType::Text { .. }, View::Text(text)) if !text.contains('\0') => {
            format!("{}::{declared}", literal(text))
        }
        (ColumnType::Bytes, View::Bytes(_)) => {
            format!("'\\x{}'::bytea", to_text(value).trim_start_matches("0x"))
        }
        (ColumnType::Date, View::Date(i32::MAX | i32::MIN)) => {
            format!("'{}'::date", to_text(value))
        }
        (ColumnType::Date, View::Date(days)) => day(days.into()),
        (ColumnType::Time(_), View::Time(_)) => format!("'{}'::time", to_text(value)),
        (ColumnType::Timestamp(_), View::Timestamp(at)) => match moment(at) {
            Some(moment) => moment,
            None => format!("'{}'::timestamp", to_text(value)),
        },
        (ColumnType::Instant(_), View::Instant(at)) => match moment(at) {
            Some(moment) => format!("({moment} AT TIME ZONE 'UTC')"),
            None => format!("'{}'::timestamptz", to_text(value)),
        },
        (ColumnType::Uuid, View::Uuid(_)) => format!("'{}'::uuid", to_text(value)),
        _ => return None,
    })
}

/// A day as PostgreSQL counts it: no notation of years before 1 and after 9999
/// is in the way.
fn day(days: i64) -> String {
    format!("('2000-01-01'::date + ({days}))")
}

/// A moment as a timestamp of PostgreSQL; none for the infinities.
fn moment(at: UnitCount) -> Option<String> {
    if at.units == i64::MAX || at.units == i64::MIN {
        return None;
    }
    let (days, seconds, fraction) = parts(at);
    let digits = usize::from(at.digits);
    Some(format!(
        "({} + '{:02}:{:02}:{:02}.{fraction:0digits$}'::time)",
        day(days),
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    ))
}

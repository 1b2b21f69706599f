//! How PostgreSQL is asked for the rows with a key.

use crate::engine::database::look_up::integer;
use crate::engine::database::postgres::catalog::BIT_AS_BOOLEAN;
use crate::engine::database::postgres::literal::{BEFORE_LAST, boolean, is_last, quoted};
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::moment::Moment;
use crate::engine::values::value::{Value, try_decode};

/// The condition that finds the rows in which `column`, written as `name`, has
/// the canonical `value`. A value that the column cannot hold is in none of its
/// rows and gives `None`: the database would refuse it, or change it.
pub(crate) fn term(column: &Column, value: &[u8], name: &str) -> Option<String> {
    if column.kind.is_padded()
        && let Some(length) = column.short_varying_length()
    {
        return any_padding(column, value, name, length);
    }
    let expression = expression(column, value)?;
    // A domain over an enum has no `=` of its own, and the index is over the enum.
    let enum_type = column.repertoire.enum_type.as_ref();
    Some(match enum_type.or(column.read_as.as_ref()) {
        Some(bit) if bit == BIT_AS_BOOLEAN => format!("{name} = {expression}"),
        Some(compared) => format!("{name}::{compared} = {expression}"),
        None => format!("{name} = {expression}"),
    })
}

/// The condition that finds a text with any number of blanks at its end in a
/// `varchar` of `length` characters: an index answers it, unlike one on `rtrim`.
fn any_padding(column: &Column, value: &[u8], name: &str, length: usize) -> Option<String> {
    let declared = column.read_as.as_ref().unwrap_or(&column.declared);
    let Value::Text(text) = try_decode(value)? else {
        return None;
    };
    if text.contains('\0') {
        return None;
    }
    let blanks = length.checked_sub(text.chars().count())?;
    let forms: Vec<String> = (0..=blanks)
        .map(|blanks| {
            format!(
                "{}::{declared}",
                quoted(&(text.clone() + &" ".repeat(blanks)))
            )
        })
        .collect();
    Some(format!("{name} IN ({})", forms.join(", ")))
}

/// The value as an expression of the column's type, or of one that holds more
/// and can be compared with it by an index.
fn expression(column: &Column, value: &[u8]) -> Option<String> {
    let declared = column.read_as.as_ref().unwrap_or(&column.declared);
    let value = try_decode(value)?;
    let typed = |value: Value, name: &str| format!("'{}'::{name}", value.into_text());
    Some(match (&column.kind, value) {
        (ColumnType::Bool, Value::Bool(truth)) => boolean(column, truth),
        (ColumnType::Int, value) => format!("'{}'::bigint", integer(&value)?),
        (ColumnType::Decimal | ColumnType::Money, Value::Decimal(text)) => {
            format!("'{text}'::numeric")
        }
        (ColumnType::Text { .. }, Value::Text(text)) if !column.repertoire.labels.is_empty() => {
            if !column.repertoire.labels.contains(&text) {
                return None;
            }
            let enum_type = column.repertoire.enum_type.as_ref();
            format!(
                "{}::{}",
                quoted(&text),
                enum_type.unwrap_or(&column.declared)
            )
        }
        // PostgreSQL stores no U+0000, and refuses a literal with it.
        (ColumnType::Text { .. }, Value::Text(text)) if !text.contains('\0') => {
            format!("{}::{declared}", quoted(&text))
        }
        (ColumnType::Bytes, Value::Bytes(bytes)) => {
            format!("'\\x{}'::bytea", hex::encode(bytes))
        }
        (ColumnType::Date, value @ Value::Date(i32::MAX | i32::MIN)) => typed(value, "date"),
        (ColumnType::Date, Value::Date(days)) => day(days.into()),
        (ColumnType::Time(_), value @ Value::Time(_)) => typed(value, "time"),
        (ColumnType::Timestamp(_), Value::Timestamp(at)) if is_last(at) => {
            format!("'{BEFORE_LAST}'::timestamp(0)")
        }
        (ColumnType::Instant(_), Value::Instant(at)) if is_last(at) => {
            format!("'{BEFORE_LAST}+00'::timestamptz(0)")
        }
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

//! How SQL Server is asked for the rows with a key.

use crate::engine::database::look_up::integer;
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::value::{Value, to_text, try_decode};

/// Days since 2000-01-01 of SQL Server's dates: the years 1 to 9999.
const DAYS: std::ops::RangeInclusive<i64> = -730_119..=2_921_939;

/// Days since 2000-01-01 of its `smalldatetime`: 1900-01-01 to 2079-06-06.
const SMALL_DAYS: std::ops::RangeInclusive<i64> = -36_524..=29_011;

/// The condition that finds the rows in which `column`, written as `name`, has
/// the canonical `value`, which is appended to `parameters`. A value that the
/// column cannot hold is in none of its rows and gives `None`: the database
/// would refuse it, or change it.
pub(crate) fn term(
    column: &Column,
    value: &[u8],
    name: String,
    parameters: &mut Vec<String>,
) -> Option<String> {
    let (compared, target) = comparison(column, value, name)?;
    parameters.push(parameter(column, value));
    let parameter = parameters.len();
    Some(if column.kind == ColumnType::Bytes {
        // Style 1 reads hexadecimal digits after 0x.
        format!("{compared} = CONVERT({target}, @P{parameter}, 1)")
    } else {
        format!("{compared} = CAST(@P{parameter} AS {target})")
    })
}

/// Whether a look-up is certain to find the rows with this value. SQL Server
/// converts a text to the code page of a `varchar`: a character that the row
/// holds in another spelling may not be found.
pub(crate) fn is_found(column: &Column, value: &[u8]) -> bool {
    match (&column.kind, try_decode(value)) {
        (ColumnType::Text { .. }, Some(Value::Text(text))) => {
            text.is_ascii() || column.read_as.is_some() || column.declared.starts_with('n')
        }
        _ => true,
    }
}

/// What a look-up compares, and the type to which the parameter is converted.
fn comparison<'a>(column: &'a Column, value: &[u8], name: String) -> Option<(String, &'a str)> {
    let declared = column.declared.as_str();
    let base = declared.split('(').next().unwrap_or(declared);
    let fits = match (&column.kind, try_decode(value)?) {
        (ColumnType::Bool, Value::Bool(_)) => true,
        (ColumnType::Int, value) => {
            let number = integer(&value)?;
            match base {
                "tinyint" => u8::try_from(number).is_ok(),
                "smallint" => i16::try_from(number).is_ok(),
                "int" => i32::try_from(number).is_ok(),
                _ => true,
            }
        }
        (ColumnType::Decimal, Value::Decimal(text)) => fits_decimal(&text, declared)?,
        (ColumnType::Money, Value::Decimal(text)) => {
            let steps = ten_thousandths(&text)?;
            base != "smallmoney" || i32::try_from(steps).is_ok()
        }
        (ColumnType::Text { .. }, Value::Text(text)) => {
            // These characters are in every code page, and an index is over the column's own.
            let read_as = column.read_as.as_deref().filter(|_| !text.is_ascii());
            return Some(match base {
                // These have no `=` of their own.
                "text" | "ntext" => (format!("CAST({name} AS nvarchar(max))"), "nvarchar(max)"),
                _ => (name, read_as.unwrap_or(declared)),
            });
        }
        (ColumnType::Bytes, Value::Bytes(_)) => {
            return Some(match base {
                "binary" | "varbinary" => (name, declared),
                "image" => (format!("CAST({name} AS varbinary(max))"), "varbinary(max)"),
                // rowversion can be compared, but no cast knows it by that name.
                _ => (name, "varbinary(8)"),
            });
        }
        (ColumnType::Date, Value::Date(days)) => DAYS.contains(&days.into()),
        // Only PostgreSQL has 24:00.
        (ColumnType::Time(_), Value::Time(time)) => time.days_seconds_units().0 == 0,
        (ColumnType::Timestamp(_), Value::Timestamp(at)) if base == "smalldatetime" => {
            let (days, seconds, fraction) = at.days_seconds_units();
            SMALL_DAYS.contains(&days) && seconds % 60 == 0 && fraction == 0
        }
        (ColumnType::Timestamp(_), Value::Timestamp(at))
        | (ColumnType::Instant(_), Value::Instant(at)) => DAYS.contains(&at.days_seconds_units().0),
        (ColumnType::Uuid, Value::Uuid(_)) => true,
        _ => false,
    };
    fits.then_some((name, declared))
}

/// The value as a text that SQL Server converts to the column's type.
fn parameter(column: &Column, value: &[u8]) -> String {
    match (&column.kind, try_decode(value)) {
        (ColumnType::Int | ColumnType::Bool, Some(Value::Bool(truth))) => {
            u8::from(truth).to_string()
        }
        _ => to_text(value),
    }
}

/// Digits before and after the point; `None` for NaN.
fn digits(text: &str) -> Option<(&str, &str)> {
    let unsigned = text.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_number = whole
        .bytes()
        .chain(fraction.bytes())
        .all(|byte| byte.is_ascii_digit());
    is_number.then(|| (whole.trim_start_matches('0'), fraction))
}

/// Whether a decimal fits into `decimal(precision, scale)` without being rounded.
fn fits_decimal(text: &str, declared: &str) -> Option<bool> {
    let (whole, fraction) = digits(text)?;
    let (_, size) = declared.trim_end_matches(')').split_once('(')?;
    let (precision, scale) = size.split_once(',')?;
    let precision: usize = precision.trim().parse().ok()?;
    let scale: usize = scale.trim().parse().ok()?;
    Some(fraction.len() <= scale && whole.len() <= precision.checked_sub(scale)?)
}

/// A decimal as a number of the steps of `money`.
fn ten_thousandths(text: &str) -> Option<i64> {
    let (whole, fraction) = digits(text)?;
    if fraction.len() > 4 {
        return None;
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    format!("{sign}{whole}{fraction:0<4}").parse().ok()
}

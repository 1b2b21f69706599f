//! Conversions between SQL Server's types, as expressions of PostgreSQL.

use super::typed::{Constant, TypedSql};
use crate::catalog::Column;
use crate::error::SqlError;
use crate::postgres;
use crate::types::collation::Collation;
use crate::types::sql_type::{Family, SqlType, Storage};
use crate::types::{temporal, text};

fn refused(from: SqlType, to: SqlType) -> SqlError {
    SqlError::new(
        529,
        format!("Explicit conversion from data type {from} to {to} is not allowed."),
    )
}

/// `CAST` and `CONVERT`.
///
/// # Errors
/// 241, 242, 529 and 8114 as in SQL Server, 102 for a conversion that the stand-in does not support.
pub(super) fn cast(value: TypedSql, to: SqlType, style: Option<i64>) -> Result<TypedSql, SqlError> {
    if value.sql_type == Some(to) && value.exact {
        return Ok(value);
    }
    let sql = cast_sql(&value, to, style)?;
    let collation = if to.has_collation() {
        value.collation
    } else {
        Collation::default()
    };
    Ok(TypedSql {
        nullable: value.nullable,
        collation,
        constant: value.constant.filter(|constant| {
            matches!(
                (constant, to.family()),
                (Constant::Text(_), Family::Character)
            )
        }),
        ..TypedSql::new(sql, to).exact()
    })
}

fn cast_sql(value: &TypedSql, to: SqlType, style: Option<i64>) -> Result<String, SqlError> {
    let sql = &value.sql;
    let plain = || format!("CAST({sql} AS {})", to.postgres());
    let Some(from) = value.sql_type else {
        return Ok(plain());
    };
    Ok(match (from.family(), to.family()) {
        (_, Family::Character) => {
            let text = as_text(value, from, to, style)?;
            format!("CAST({text} AS {})", to.postgres())
        }
        (Family::Character, Family::Date | Family::Time | Family::DateTime | Family::Offset) => {
            text_to_moment(value, to)?
        }
        (Family::Character, Family::Binary) => text_to_bytes(value, from, to, style)?,
        (Family::Binary, Family::Binary) => sized_bytes(value, to),
        (Family::Character, Family::Bit) => format!("CAST(btrim({sql}) AS boolean)"),
        (
            Family::Character,
            Family::Integer | Family::Exact | Family::Approximate | Family::Uuid,
        )
        | (Family::Integer | Family::Exact, Family::Exact | Family::Approximate)
        | (Family::Integer, Family::Integer)
        | (Family::Approximate, Family::Exact | Family::Approximate)
        | (Family::Uuid, Family::Uuid)
        | (Family::Bit, Family::Bit) => plain(),
        (Family::Exact | Family::Approximate, Family::Integer) => {
            format!("CAST(trunc({sql}) AS {})", to.postgres())
        }
        (Family::Bit, Family::Integer | Family::Exact | Family::Approximate) => {
            format!("CAST(CAST({sql} AS integer) AS {})", to.postgres())
        }
        (Family::Integer | Family::Exact | Family::Approximate, Family::Bit) => {
            format!("({sql} <> 0)")
        }
        (
            Family::Date | Family::Time | Family::DateTime | Family::Offset,
            Family::Date | Family::Time | Family::DateTime | Family::Offset,
        ) => moment_to_moment(sql, from, to)?,
        _ => return Err(refused(from, to)),
    })
}

fn text_to_moment(value: &TypedSql, to: SqlType) -> Result<String, SqlError> {
    if let Some(stored) = value.constant_text() {
        return temporal::literal_of_text(stored, to);
    }
    let sql = &value.sql;
    match to {
        SqlType::DateTime => Ok(format!(
            "sys.rounded_to_datetime(CAST({sql} AS timestamp))::timestamp(3)"
        )),
        SqlType::DateTime2(7) => Ok(format!("sys.ticks_of_text({sql})")),
        SqlType::Date | SqlType::Time(0..=6) | SqlType::DateTime2(_) => {
            Ok(format!("CAST({sql} AS {})", to.postgres()))
        }
        _ => Err(SqlError::unsupported(format!("text of a column as {to}"))),
    }
}

fn text_to_bytes(
    value: &TypedSql,
    from: SqlType,
    to: SqlType,
    style: Option<i64>,
) -> Result<String, SqlError> {
    let failed = || SqlError::new(8114, "Error converting data type varchar to varbinary.");
    let Some(stored) = value.constant_text() else {
        return match style {
            Some(2) => Ok(format!("decode({}, 'hex')", value.sql)),
            None if from.is_unicode() => Ok(format!("sys.utf16(CAST({} AS text))", value.sql)),
            _ => Err(SqlError::unsupported("text of a column as bytes")),
        };
    };
    let decode = |digits: &str| hex::decode(digits).map_err(|_| failed());
    let bytes = match style {
        Some(1) => decode(
            stored
                .strip_prefix("0x")
                .or_else(|| stored.strip_prefix("0X"))
                .ok_or_else(failed)?,
        )?,
        Some(2) => decode(stored)?,
        _ => {
            let mut bytes = Vec::new();
            if from.is_unicode() {
                text::push_utf16le(&mut bytes, stored.as_bytes())?;
            } else {
                text::push_cp1252(&mut bytes, stored.as_bytes())?;
            }
            bytes
        }
    };
    Ok(sized_bytes(&TypedSql::bytes(bytes), to))
}

/// Bytes truncated to the length of a type, and padded with zeros when its length is fixed.
fn sized_bytes(value: &TypedSql, to: SqlType) -> String {
    match (to, &value.constant) {
        (SqlType::Binary(n), Some(Constant::Bytes(bytes))) => {
            let mut bytes = bytes.clone();
            bytes.resize(usize::from(n), 0);
            postgres::bytes_literal(&bytes)
        }
        (SqlType::Binary(n), _) => format!("sys.padded({}, {n})", value.sql),
        (SqlType::RowVersion, _) => format!("sys.padded({}, 8)", value.sql),
        (SqlType::VarBinary(Some(n)), _) => format!("substring({} FROM 1 FOR {n})", value.sql),
        _ => value.sql.clone(),
    }
}

fn as_text(
    value: &TypedSql,
    from: SqlType,
    to: SqlType,
    style: Option<i64>,
) -> Result<String, SqlError> {
    let sql = &value.sql;
    let separator = if matches!(style, Some(126 | 127)) {
        'T'
    } else {
        ' '
    };
    Ok(match from.family() {
        Family::Character => sql.clone(),
        Family::Bit => format!("CASE {sql} WHEN true THEN '1' WHEN false THEN '0' END"),
        Family::Integer | Family::Approximate => format!("CAST({sql} AS text)"),
        Family::Exact => match from {
            SqlType::Money | SqlType::SmallMoney if style != Some(2) => {
                format!("CAST(round({sql}, 2) AS text)")
            }
            _ => format!("CAST({sql} AS text)"),
        },
        Family::Uuid => format!("upper(CAST({sql} AS text))"),
        Family::Binary => match style {
            Some(1) => format!("('0x' || upper(encode({sql}, 'hex')))"),
            Some(2) => format!("upper(encode({sql}, 'hex'))"),
            None if matches!(to, SqlType::NChar(_) | SqlType::NVarChar(_)) => {
                format!("sys.from_utf16({sql})")
            }
            _ => return Err(SqlError::unsupported("bytes as text without a style")),
        },
        Family::Date => format!("to_char({sql}, 'YYYY-MM-DD')"),
        Family::Time => match from {
            SqlType::Time(7) => format!("sys.time_text({sql}, 7)"),
            SqlType::Time(scale) => format!("sys.time_text(sys.time_ticks({sql}), {scale})"),
            _ => return Err(refused(from, to)),
        },
        Family::DateTime => {
            let scale = match from {
                SqlType::DateTime2(scale) => scale,
                SqlType::DateTime => 3,
                _ => 0,
            };
            let ticks = ticks(sql, from);
            format!("sys.ticks_text({ticks}, {scale}, '{separator}')")
        }
        Family::Offset => {
            let SqlType::DateTimeOffset(scale) = from else {
                return Err(refused(from, to));
            };
            let blank = if separator == 'T' { "" } else { " " };
            format!(
                "(sys.ticks_text(sys.local_ticks({sql}), {scale}, '{separator}') || '{blank}' || sys.offset_text(({sql}).offset_minutes))"
            )
        }
        Family::Other => return Err(refused(from, to)),
    })
}

/// Ticks since 0001-01-01 of the local clock.
fn ticks(sql: &str, from: SqlType) -> String {
    match from.family() {
        Family::Date => format!("sys.ticks(CAST({sql} AS timestamp))"),
        Family::Offset => format!("sys.local_ticks({sql})"),
        Family::Time => format!("(599266080000000000 + {})", clock_ticks(sql, from)),
        _ if from.storage() == Storage::Ticks => sql.to_owned(),
        _ => format!("sys.ticks({sql})"),
    }
}

/// Ticks since midnight.
fn clock_ticks(sql: &str, from: SqlType) -> String {
    match from {
        SqlType::Time(7) => sql.to_owned(),
        SqlType::Time(_) => format!("sys.time_ticks({sql})"),
        _ => format!("({} % 864000000000)", ticks(sql, from)),
    }
}

fn moment_to_moment(sql: &str, from: SqlType, to: SqlType) -> Result<String, SqlError> {
    let unit = |scale: u8| 10_i64.pow(7 - u32::from(scale.min(7)));
    let native = from.family() == Family::Date
        || (from.family() == Family::DateTime && from.storage() == Storage::Native);
    Ok(match to {
        SqlType::Date if native => format!("CAST({sql} AS date)"),
        SqlType::Date => format!("CAST(sys.timestamp_of({}) AS date)", ticks(sql, from)),
        SqlType::Time(7) => clock_ticks(sql, from),
        SqlType::Time(scale) => format!(
            "CAST(sys.time_of(sys.rounded({}, {})) AS time({scale}))",
            clock_ticks(sql, from),
            unit(scale)
        ),
        SqlType::DateTime2(7) => ticks(sql, from),
        SqlType::DateTime2(scale) if native => format!("CAST({sql} AS timestamp({scale}))"),
        SqlType::DateTime2(scale) => format!(
            "CAST(sys.timestamp_of(sys.rounded({}, {})) AS timestamp({scale}))",
            ticks(sql, from),
            unit(scale)
        ),
        SqlType::DateTime => format!(
            "CAST(sys.rounded_to_datetime(sys.timestamp_of({})) AS timestamp(3))",
            ticks(sql, from)
        ),
        SqlType::SmallDateTime => format!(
            "CAST(sys.timestamp_of(sys.rounded({}, 600000000)) AS timestamp(0))",
            ticks(sql, from)
        ),
        SqlType::DateTimeOffset(scale) => {
            let (utc, minutes) = if from.family() == Family::Offset {
                (
                    format!("({sql}).utc_ticks"),
                    format!("({sql}).offset_minutes"),
                )
            } else {
                (ticks(sql, from), "0::smallint".to_owned())
            };
            format!(
                "CASE WHEN {sql} IS NULL THEN NULL ELSE ROW(sys.rounded({utc}, {}), {minutes})::sys.datetimeoffset END",
                unit(scale)
            )
        }
        other => return Err(refused(from, other)),
    })
}

/// A value in the form in which it is assigned to a column.
///
/// # Errors
/// 2628 for bytes that are too long, else as [`cast`].
pub(super) fn assign(value: TypedSql, column: &Column) -> Result<String, SqlError> {
    let to = column.sql_type;
    let Some(from) = value.sql_type else {
        return Ok(value.sql);
    };
    match (from.family(), to.family()) {
        // PostgreSQL itself refuses values that are too long or out of range.
        (Family::Character, Family::Character)
        | (Family::Integer, Family::Integer | Family::Exact | Family::Approximate)
        | (Family::Exact, Family::Exact | Family::Approximate)
        | (Family::Approximate, Family::Approximate | Family::Exact) => Ok(value.sql),
        (Family::Binary, Family::Binary) => {
            if let (Some(Constant::Bytes(bytes)), SqlType::Binary(n) | SqlType::VarBinary(Some(n))) =
                (&value.constant, to)
                && bytes.len() > usize::from(n)
            {
                return Err(SqlError::truncated(&column.name));
            }
            Ok(match to {
                SqlType::Binary(_) => sized_bytes(&value, to),
                _ => value.sql,
            })
        }
        _ => cast(value, to, None).map(|value| value.sql),
    }
}

/// Converts both sides of a comparison so that PostgreSQL compares them as SQL Server does.
///
/// # Errors
/// As [`cast`].
pub(super) fn comparable(left: TypedSql, right: TypedSql) -> Result<(String, String), SqlError> {
    let (Some(l), Some(r)) = (left.sql_type, right.sql_type) else {
        return Ok((left.sql, right.sql));
    };
    let (lf, rf) = (l.family(), r.family());
    let numeric = |family| {
        matches!(
            family,
            Family::Integer | Family::Exact | Family::Approximate
        )
    };
    if numeric(lf) && numeric(rf) {
        return Ok((left.sql, right.sql));
    }
    if lf == rf {
        return match lf {
            Family::Offset => Ok((
                format!("({}).utc_ticks", left.sql),
                format!("({}).utc_ticks", right.sql),
            )),
            Family::DateTime | Family::Time if l.storage() != r.storage() => {
                let to = if lf == Family::Time {
                    SqlType::Time(7)
                } else {
                    SqlType::DateTime2(7)
                };
                Ok((cast(left, to, None)?.sql, cast(right, to, None)?.sql))
            }
            _ => Ok((left.sql, right.sql)),
        };
    }
    let (l_up, r_up) = (l.precedence(), r.precedence());
    if l_up >= r_up {
        let right = cast(right, counterpart(l), None)?;
        if lf == Family::Bit || right.sql_type != Some(l) {
            return comparable(cast(left, right.sql_type.unwrap_or(l), None)?, right);
        }
        comparable(left, right)
    } else {
        comparable(right, left).map(|(right, left)| (left, right))
    }
}

/// The type that a value is converted to when it is compared with a value of type `to`.
fn counterpart(to: SqlType) -> SqlType {
    match to {
        SqlType::DateTimeOffset(_) => SqlType::DateTimeOffset(7),
        other => other,
    }
}

//! Conversions between SQL Server's types, as expressions of PostgreSQL.

use crate::catalog::Column;
use crate::collation::Collation;
use crate::error::SqlError;
use crate::sqltype::{Family, SqlType, Storage};
use crate::temporal;
use crate::text;

/// A value that is known when the statement is translated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Constant {
    /// Text as it is stored.
    Text(String),
    Bytes(Vec<u8>),
    Null,
}

/// An expression of PostgreSQL with the type that SQL Server gives it.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) sql: String,
    /// `None` where the type is left to PostgreSQL.
    pub(crate) sql_type: Option<SqlType>,
    pub(crate) nullable: bool,
    pub(crate) collation: Collation,
    pub(crate) constant: Option<Constant>,
    /// Whether PostgreSQL gives the expression exactly the type that `sql_type` is stored in.
    pub(crate) exact: bool,
    pub(crate) identity: bool,
    pub(crate) computed: bool,
}

impl Typed {
    pub(crate) fn new(sql: impl Into<String>, sql_type: SqlType) -> Self {
        Self {
            sql: sql.into(),
            sql_type: Some(sql_type),
            nullable: true,
            collation: Collation::default(),
            constant: None,
            exact: false,
            identity: false,
            computed: false,
        }
    }

    pub(crate) fn exact(mut self) -> Self {
        self.exact = true;
        self
    }

    pub(crate) fn not_null(mut self) -> Self {
        self.nullable = false;
        self
    }

    pub(crate) fn untyped(sql: impl Into<String>) -> Self {
        Self {
            sql_type: None,
            ..Self::new(sql, SqlType::Int)
        }
    }

    pub(crate) fn null() -> Self {
        Self {
            constant: Some(Constant::Null),
            ..Self::untyped("NULL")
        }
    }

    pub(crate) fn text(stored: String, sql_type: SqlType) -> Self {
        Self {
            constant: Some(Constant::Text(stored.clone())),
            ..Self::new(text::literal(&stored), sql_type)
        }
        .not_null()
    }

    pub(crate) fn bytes(bytes: Vec<u8>) -> Self {
        let length = u16::try_from(bytes.len()).ok().filter(|n| *n <= 8000);
        Self {
            sql: text::bytes_literal(&bytes),
            constant: Some(Constant::Bytes(bytes)),
            ..Self::new("", SqlType::VarBinary(length.map(|n| n.max(1))))
        }
        .exact()
        .not_null()
    }

    pub(crate) fn column(qualifier: &str, column: &Column) -> Self {
        Self {
            sql: format!("{}.{}", text::quoted(qualifier), text::quoted(&column.name)),
            sql_type: Some(column.sql_type),
            nullable: column.nullable,
            collation: column.collation.clone(),
            constant: None,
            exact: true,
            identity: column.identity,
            computed: column.computed,
        }
    }

    fn constant_text(&self) -> Option<&str> {
        match &self.constant {
            Some(Constant::Text(stored)) => Some(stored),
            _ => None,
        }
    }

    /// The expression as the type that it is stored in, for a select list.
    pub(crate) fn stored(self) -> Self {
        match self.sql_type {
            Some(sql_type) if !self.exact => Self {
                sql: format!("CAST({} AS {})", self.sql, sql_type.postgres()),
                exact: true,
                ..self
            },
            None if self.constant == Some(Constant::Null) => Self {
                sql: "CAST(NULL AS integer)".into(),
                sql_type: Some(SqlType::Int),
                exact: true,
                ..self
            },
            _ => self,
        }
    }
}

fn refused(from: SqlType, to: SqlType) -> SqlError {
    SqlError::new(
        529,
        format!("Explicit conversion from data type {from} to {to} is not allowed."),
    )
}

/// `CAST` and `CONVERT`.
///
/// # Errors
/// 241, 245 and 529 as SQL Server, 102 for what the stand-in does not convert.
pub(crate) fn cast(value: Typed, to: SqlType, style: Option<i64>) -> Result<Typed, SqlError> {
    if value.sql_type == Some(to) && value.exact {
        return Ok(value);
    }
    let sql = expression(&value, to, style)?;
    let collation = if to.has_collation() {
        value.collation
    } else {
        Collation::default()
    };
    Ok(Typed {
        nullable: value.nullable,
        collation,
        constant: value.constant.filter(|constant| {
            matches!(
                (constant, to.family()),
                (Constant::Text(_), Family::Character)
            )
        }),
        ..Typed::new(sql, to).exact()
    })
}

fn expression(value: &Typed, to: SqlType, style: Option<i64>) -> Result<String, SqlError> {
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

fn text_to_moment(value: &Typed, to: SqlType) -> Result<String, SqlError> {
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
    value: &Typed,
    from: SqlType,
    to: SqlType,
    style: Option<i64>,
) -> Result<String, SqlError> {
    let failed = || SqlError::new(8114, "Error converting data type varchar to varbinary.");
    let Some(stored) = value.constant_text() else {
        return match style {
            Some(2) => Ok(format!("decode({}, 'hex')", value.sql)),
            None if matches!(
                from,
                SqlType::NChar(_) | SqlType::NVarChar(_) | SqlType::NText
            ) =>
            {
                Ok(format!("sys.utf16(CAST({} AS text))", value.sql))
            }
            _ => Err(SqlError::unsupported("text of a column as bytes")),
        };
    };
    let bytes = match style {
        Some(1) => text::unhex(
            stored
                .strip_prefix("0x")
                .or_else(|| stored.strip_prefix("0X"))
                .ok_or_else(failed)?,
        )
        .ok_or_else(failed)?,
        Some(2) => text::unhex(stored).ok_or_else(failed)?,
        _ => {
            let mut bytes = Vec::new();
            if matches!(
                from,
                SqlType::NChar(_) | SqlType::NVarChar(_) | SqlType::NText
            ) {
                text::push_utf16le(&mut bytes, stored.as_bytes())?;
            } else {
                text::push_cp1252(&mut bytes, stored.as_bytes())?;
            }
            bytes
        }
    };
    Ok(sized_bytes(&Typed::bytes(bytes), to))
}

/// Bytes cut to the length of a type, and filled up when its length is fixed.
fn sized_bytes(value: &Typed, to: SqlType) -> String {
    match (to, &value.constant) {
        (SqlType::Binary(n), Some(Constant::Bytes(bytes))) => {
            let mut bytes = bytes.clone();
            bytes.resize(usize::from(n), 0);
            text::bytes_literal(&bytes)
        }
        (SqlType::Binary(n), _) => format!("sys.padded({}, {n})", value.sql),
        (SqlType::RowVersion, _) => format!("sys.padded({}, 8)", value.sql),
        (SqlType::VarBinary(Some(n)), _) => format!("substring({} FROM 1 FOR {n})", value.sql),
        _ => value.sql.clone(),
    }
}

fn as_text(
    value: &Typed,
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

/// Ticks since 0001-01-01, local.
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

/// A value as a column takes it.
///
/// # Errors
/// 2628 for bytes that are too long, else as [`cast`].
pub(crate) fn assign(value: Typed, column: &Column) -> Result<String, SqlError> {
    let to = column.sql_type;
    let Some(from) = value.sql_type else {
        return Ok(value.sql);
    };
    match (from.family(), to.family()) {
        // PostgreSQL itself refuses what is too long or out of range when it assigns.
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

/// Both sides of a comparison, so that PostgreSQL compares them as SQL Server does.
///
/// # Errors
/// As [`cast`].
pub(crate) fn comparable(left: Typed, right: Typed) -> Result<(String, String), SqlError> {
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

/// What a value is converted to when it is compared with a value of this type.
fn counterpart(to: SqlType) -> SqlType {
    match to {
        // A bit beside a character is a bit; beside a number the number wins.
        SqlType::DateTimeOffset(_) => SqlType::DateTimeOffset(7),
        other => other,
    }
}

/// The type of an expression that may be either: the one of higher precedence.
pub(crate) fn common(left: SqlType, right: SqlType) -> SqlType {
    let (lf, rf) = (left.family(), right.family());
    if lf != rf {
        return if left.precedence() >= right.precedence() {
            left
        } else {
            right
        };
    }
    match (left, right) {
        (SqlType::Decimal(p1, s1), SqlType::Decimal(p2, s2)) => {
            let scale = s1.max(s2);
            SqlType::Decimal(((p1 - s1).max(p2 - s2) + scale).min(38), scale)
        }
        _ if lf == Family::Integer => {
            if integer_rank(left) >= integer_rank(right) {
                left
            } else {
                right
            }
        }
        _ if lf == Family::Character => wider_text(left, right),
        (SqlType::Real, other) => other,
        (SqlType::Decimal(..), _) | (SqlType::DateTime2(_), _) => left,
        (_, SqlType::Decimal(..) | SqlType::DateTime2(_)) => right,
        _ => left,
    }
}

pub(crate) fn integer_rank(sql_type: SqlType) -> u8 {
    match sql_type {
        SqlType::TinyInt => 0,
        SqlType::SmallInt => 1,
        SqlType::Int => 2,
        _ => 3,
    }
}

fn text_length(sql_type: SqlType) -> Option<u16> {
    match sql_type {
        SqlType::Char(n) | SqlType::NChar(n) => Some(n),
        SqlType::VarChar(n) | SqlType::NVarChar(n) => n,
        _ => None,
    }
}

fn wider_text(left: SqlType, right: SqlType) -> SqlType {
    let length = match (text_length(left), text_length(right)) {
        (Some(l), Some(r)) => Some(l.max(r)),
        _ => None,
    };
    let wide = |t| {
        matches!(
            t,
            SqlType::NChar(_) | SqlType::NVarChar(_) | SqlType::NText | SqlType::Xml
        )
    };
    if wide(left) || wide(right) {
        SqlType::NVarChar(length.filter(|n| *n <= 4000))
    } else {
        SqlType::VarChar(length)
    }
}

/// The type of `left + right` and the like for numbers.
pub(crate) fn arithmetic(operator: char, left: SqlType, right: SqlType) -> SqlType {
    let as_decimal = |t| match t {
        SqlType::Decimal(p, s) => (i16::from(p), i16::from(s)),
        SqlType::Money => (19, 4),
        SqlType::SmallMoney => (10, 4),
        SqlType::BigInt => (19, 0),
        SqlType::Int => (10, 0),
        SqlType::SmallInt => (5, 0),
        _ => (3, 0),
    };
    match (left.family(), right.family()) {
        (Family::Approximate, _) | (_, Family::Approximate) => SqlType::Float,
        (Family::Integer, Family::Integer) => common(left, right),
        _ if !matches!(left, SqlType::Decimal(..)) && !matches!(right, SqlType::Decimal(..)) => {
            SqlType::Money
        }
        _ => {
            let ((p1, s1), (p2, s2)) = (as_decimal(left), as_decimal(right));
            let (precision, scale) = match operator {
                '*' => (p1 + p2 + 1, s1 + s2),
                '/' => {
                    let scale = (s1 + p2 + 1).max(6);
                    (p1 - s1 + s2 + scale, scale)
                }
                _ => {
                    let scale = s1.max(s2);
                    ((p1 - s1).max(p2 - s2) + scale + 1, scale)
                }
            };
            // Too many digits are taken from the fraction, down to six of them.
            let excess = (precision - 38).max(0);
            let scale = if excess > 0 {
                (scale - excess).max(scale.min(6))
            } else {
                scale
            };
            SqlType::Decimal(
                u8::try_from(precision.clamp(1, 38)).unwrap_or(38),
                u8::try_from(scale.clamp(0, 38)).unwrap_or(0),
            )
        }
    }
}

//! The parameters of a call: each is a TYPE_INFO and a value, and becomes a constant of PostgreSQL.

use std::fmt::Display;

use super::type_info::{MAX_LENGTH, type_token};
use super::wire::{Reader, mixed_endian};
use crate::error::SqlError;
use crate::sql::typed::TypedSql;
use crate::types::sql_type::SqlType;
use crate::types::temporal::{
    DAYS_TO_1900, Moment, TICKS_PER_MINUTE, out_of_range, ticks_of_datetime,
};
use crate::types::text;

/// Reads one value with the TYPE_INFO before it.
///
/// # Errors
/// 4002 when the message is incomplete, 102 for an unsupported type.
pub(crate) fn read(reader: &mut Reader<'_>) -> Result<TypedSql, SqlError> {
    use type_token::*;
    let token = reader.u8()?;
    match token {
        NULL => Ok(TypedSql::null()),
        INT1 => short_value(INT_N, 1, reader),
        INT2 => short_value(INT_N, 2, reader),
        INT4 => short_value(INT_N, 4, reader),
        INT8 => short_value(INT_N, 8, reader),
        BIT => short_value(BIT_N, 1, reader),
        FLT4 => short_value(FLT_N, 4, reader),
        FLT8 => short_value(FLT_N, 8, reader),
        INT_N | BIT_N | FLT_N | MONEY_N | DATETIM_N | GUID => {
            // The maximum length.
            reader.u8()?;
            match reader.u8()? {
                0 => Ok(TypedSql::null()),
                length => {
                    let mut value = Reader::new(reader.bytes(length.into())?);
                    short_value(token, length, &mut value)
                }
            }
        }
        DECIMAL_N | NUMERIC_N => decimal(reader),
        DATE_N | TIME_N | DATETIME2_N | DATETIMEOFFSET_N => moment(token, reader),
        NVARCHAR | NCHAR | BIGVARCHAR | BIGCHAR => characters(token, reader),
        BIGVARBINARY | BIGBINARY => {
            let maximum = reader.u16()?;
            Ok(long_value(reader, maximum)?.map_or_else(TypedSql::null, TypedSql::bytes))
        }
        other => Err(SqlError::unsupported(format!(
            "a parameter of type 0x{other:02X}"
        ))),
    }
}

/// A constant, written as text that PostgreSQL converts.
fn constant(value: impl Display, sql_type: SqlType) -> TypedSql {
    TypedSql::new(
        format!("CAST('{value}' AS {})", sql_type.postgres()),
        sql_type,
    )
    .exact()
    .not_null()
}

/// A value of `length` bytes, at most 16.
fn short_value(token: u8, length: u8, value: &mut Reader<'_>) -> Result<TypedSql, SqlError> {
    use type_token::*;
    Ok(match (token, length) {
        (INT_N, 1) => constant(value.u8()?, SqlType::TinyInt),
        (INT_N, 2) => constant(value.array().map(i16::from_le_bytes)?, SqlType::SmallInt),
        (INT_N, 4) => constant(value.array().map(i32::from_le_bytes)?, SqlType::Int),
        (INT_N, 8) => constant(value.array().map(i64::from_le_bytes)?, SqlType::BigInt),
        (BIT_N, 1) => TypedSql::new((value.u8()? != 0).to_string(), SqlType::Bit)
            .exact()
            .not_null(),
        (FLT_N, 4) => constant(value.array().map(f32::from_le_bytes)?, SqlType::Real),
        (FLT_N, 8) => constant(value.array().map(f64::from_le_bytes)?, SqlType::Float),
        (MONEY_N, 8) => {
            let (high, low) = (value.array().map(i32::from_le_bytes)?, value.u32()?);
            money(i64::from(high) << 32 | i64::from(low), SqlType::Money)
        }
        (MONEY_N, 4) => money(
            value.array().map(i32::from_le_bytes)?.into(),
            SqlType::SmallMoney,
        ),
        (DATETIM_N, 8) => {
            let (days, units) = (value.array().map(i32::from_le_bytes)?, value.u32()?);
            let ticks = ticks_of_datetime(units.into());
            moment_constant(days_since_1900(days.into(), ticks), SqlType::DateTime)?
        }
        (DATETIM_N, 4) => {
            let (days, minutes) = (value.u16()?, value.u16()?);
            let ticks = i64::from(minutes) * TICKS_PER_MINUTE;
            moment_constant(days_since_1900(days.into(), ticks), SqlType::SmallDateTime)?
        }
        (GUID, 16) => constant(
            hex::encode(mixed_endian(value.array()?)),
            SqlType::UniqueIdentifier,
        ),
        _ => {
            return Err(SqlError::unsupported(format!(
                "a parameter of {length} bytes"
            )));
        }
    })
}

fn days_since_1900(days: i64, ticks: i64) -> Moment {
    Moment {
        days: days + DAYS_TO_1900,
        ticks,
        offset: 0,
    }
}

fn moment_constant(moment: Moment, sql_type: SqlType) -> Result<TypedSql, SqlError> {
    Ok(TypedSql::new(moment.literal(sql_type)?, sql_type)
        .exact()
        .not_null())
}

fn money(value: i64, sql_type: SqlType) -> TypedSql {
    numeric(value < 0, value.unsigned_abs().into(), 4, sql_type)
}

/// A number of `magnitude` units of 10^-`scale`.
fn numeric(negative: bool, magnitude: u128, scale: u8, sql_type: SqlType) -> TypedSql {
    let scale = usize::from(scale);
    let digits = format!("{magnitude:0width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if negative { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    constant(format_args!("{sign}{whole}{point}{fraction}"), sql_type)
}

fn decimal(reader: &mut Reader<'_>) -> Result<TypedSql, SqlError> {
    // The maximum length.
    reader.u8()?;
    let (precision, scale) = (reader.u8()?, reader.u8()?);
    let length = reader.u8()?;
    if length == 0 {
        return Ok(TypedSql::null());
    }
    let negative = reader.u8()? == 0;
    let mut bytes = [0; 16];
    let count = usize::from(length - 1);
    bytes
        .get_mut(..count)
        .ok_or_else(|| SqlError::unsupported("a decimal of more than 38 digits"))?
        .copy_from_slice(reader.bytes(count)?);
    Ok(numeric(
        negative,
        u128::from_le_bytes(bytes),
        scale,
        SqlType::Decimal(precision, scale),
    ))
}

fn moment(token: u8, reader: &mut Reader<'_>) -> Result<TypedSql, SqlError> {
    use type_token::*;
    let scale = if token == DATE_N {
        0
    } else {
        reader.u8()?.min(7)
    };
    let length = usize::from(reader.u8()?);
    let mut value = Reader::new(reader.bytes(length)?);
    if length == 0 {
        return Ok(TypedSql::null());
    }
    let date_bytes = if token == TIME_N { 0 } else { 3 };
    let offset_bytes = if token == DATETIMEOFFSET_N { 2 } else { 0 };
    let clock_bytes = length
        .checked_sub(date_bytes + offset_bytes)
        .ok_or_else(|| SqlError::unsupported(format!("a date of {length} bytes")))?;
    let units = value.unsigned(clock_bytes)?.cast_signed();
    let ticks = units
        .checked_mul(10_i64.pow(7 - u32::from(scale)))
        .ok_or_else(out_of_range)?;
    let days = value.unsigned(date_bytes)?.cast_signed();
    let local = |days, ticks| Moment {
        days,
        ticks,
        offset: 0,
    };
    match token {
        DATE_N => moment_constant(local(days, 0), SqlType::Date),
        TIME_N => moment_constant(local(0, ticks), SqlType::Time(scale)),
        DATETIME2_N => moment_constant(local(days, ticks), SqlType::DateTime2(scale)),
        _ => {
            // The date and the time are in UTC.
            let offset = value.array().map(i16::from_le_bytes)?;
            let moment = Moment::from_utc(days, ticks, offset)?;
            moment_constant(moment, SqlType::DateTimeOffset(scale))
        }
    }
}

fn characters(token: u8, reader: &mut Reader<'_>) -> Result<TypedSql, SqlError> {
    let maximum = reader.u16()?;
    // The collation.
    reader.bytes(5)?;
    let Some(bytes) = long_value(reader, maximum)? else {
        return Ok(TypedSql::null());
    };
    let is_unicode = matches!(token, type_token::NVARCHAR | type_token::NCHAR);
    let stored = if is_unicode {
        text::from_utf16le(&bytes)?
    } else {
        text::from_cp1252(&bytes)?
    };
    let length = |most: usize, unit: usize| {
        let units = (bytes.len() / unit).max(1);
        u16::try_from(units)
            .ok()
            .filter(|units| usize::from(*units) <= most)
    };
    let sql_type = if is_unicode {
        SqlType::NVarChar(length(4000, 2))
    } else {
        SqlType::VarChar(length(8000, 1))
    };
    Ok(TypedSql::text(stored, sql_type))
}

/// A value prefixed with a length of 16 bits, or in chunks when its type is `max`.
fn long_value(reader: &mut Reader<'_>, maximum: u16) -> Result<Option<Vec<u8>>, SqlError> {
    if maximum != MAX_LENGTH {
        return match reader.u16()? {
            MAX_LENGTH => Ok(None),
            length => reader
                .bytes(length.into())
                .map(|bytes| Some(bytes.to_vec())),
        };
    }
    // The total length, or NULL.
    if reader.u64()? == u64::MAX {
        return Ok(None);
    }
    let mut value = Vec::new();
    loop {
        match reader.u32()? as usize {
            0 => return Ok(Some(value)),
            length => value.extend_from_slice(reader.bytes(length)?),
        }
    }
}

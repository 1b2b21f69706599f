//! The parameters of a call: a type, and a value that becomes a constant.

use crate::error::SqlError;
use crate::sql::convert::Typed;
use crate::sqltype::SqlType;
use crate::temporal::{DAYS_TO_1900, Moment, out_of_range};
use crate::text;
use crate::transcode::mixed_endian;
use crate::wire::Reader;

/// The maximum length that announces a value in chunks.
const MAX: u16 = 0xFFFF;

/// Reads one value with the TYPE_INFO before it.
///
/// # Errors
/// 4002 when the message is cut, 102 for a type that is not understood.
pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Typed, SqlError> {
    let token = reader.u8()?;
    match token {
        0x30 => Ok(integer(
            reader.array::<1>().map(|[b]| i64::from(b))?,
            SqlType::TinyInt,
        )),
        0x32 => Ok(bit(reader.u8()?)),
        0x34 => Ok(integer(
            reader.array().map(i16::from_le_bytes)?.into(),
            SqlType::SmallInt,
        )),
        0x38 => Ok(integer(
            reader.array().map(i32::from_le_bytes)?.into(),
            SqlType::Int,
        )),
        0x7F => Ok(integer(
            reader.array().map(i64::from_le_bytes)?,
            SqlType::BigInt,
        )),
        0x3B => Ok(real(reader.array().map(f32::from_le_bytes)?)),
        0x3E => Ok(float(reader.array().map(f64::from_le_bytes)?)),
        0x26 | 0x68 | 0x6D | 0x6E | 0x6F | 0x24 => {
            reader.u8()?;
            sized(token, reader)
        }
        0x6A | 0x6C => decimal(reader),
        0x28..=0x2B => moment(token, reader),
        0xE7 | 0xEF | 0xA7 | 0xAF => characters(token, reader),
        0xA5 | 0xAD => {
            let longest = reader.u16()?;
            Ok(long_value(reader, longest)?.map_or_else(Typed::null, Typed::bytes))
        }
        0x1F => Ok(Typed::null()),
        other => Err(SqlError::unsupported(format!(
            "a parameter of type 0x{other:02X}"
        ))),
    }
}

fn integer(value: i64, sql_type: SqlType) -> Typed {
    let sql = if value < 0 {
        // The smallest integer is none when it is read without its sign.
        format!("CAST('{value}' AS {})", sql_type.postgres())
    } else {
        format!("CAST({value} AS {})", sql_type.postgres())
    };
    Typed::new(sql, sql_type).exact().not_null()
}

fn bit(value: u8) -> Typed {
    Typed::new(if value == 0 { "false" } else { "true" }, SqlType::Bit)
        .exact()
        .not_null()
}

fn real(value: f32) -> Typed {
    Typed::new(format!("CAST('{value}' AS real)"), SqlType::Real)
        .exact()
        .not_null()
}

fn float(value: f64) -> Typed {
    Typed::new(
        format!("CAST('{value}' AS double precision)"),
        SqlType::Float,
    )
    .exact()
    .not_null()
}

/// A value whose length of one byte stands before it; 0 is NULL.
fn sized(token: u8, reader: &mut Reader<'_>) -> Result<Typed, SqlError> {
    let length = reader.u8()?;
    let mut value = Reader::new(reader.bytes(length.into())?);
    Ok(match (token, length) {
        (_, 0) => Typed::null(),
        (0x26, 1) => integer(value.u8()?.into(), SqlType::TinyInt),
        (0x26, 2) => integer(
            value.array().map(i16::from_le_bytes)?.into(),
            SqlType::SmallInt,
        ),
        (0x26, 4) => integer(value.array().map(i32::from_le_bytes)?.into(), SqlType::Int),
        (0x26, 8) => integer(value.array().map(i64::from_le_bytes)?, SqlType::BigInt),
        (0x68, 1) => bit(value.u8()?),
        (0x6D, 4) => real(value.array().map(f32::from_le_bytes)?),
        (0x6D, 8) => float(value.array().map(f64::from_le_bytes)?),
        (0x6E, 8) => {
            let (high, low) = (value.array().map(i32::from_le_bytes)?, value.u32()?);
            money(i64::from(high) << 32 | i64::from(low), SqlType::Money)
        }
        (0x6E, 4) => money(
            value.array().map(i32::from_le_bytes)?.into(),
            SqlType::SmallMoney,
        ),
        (0x6F, 8) => {
            let (days, thirds) = (value.array().map(i32::from_le_bytes)?, value.u32()?);
            let ticks = (i64::from(thirds) * 10 + 1) / 3 * 10_000;
            at(days_since_1900(days.into(), ticks), SqlType::DateTime)?
        }
        (0x6F, 4) => {
            let (days, minutes) = (value.u16()?, value.u16()?);
            at(
                days_since_1900(days.into(), i64::from(minutes) * 600_000_000),
                SqlType::SmallDateTime,
            )?
        }
        (0x24, 16) => {
            let uuid = mixed_endian(value.array()?);
            Typed::new(
                format!("CAST('{}' AS uuid)", text::hex(&uuid)),
                SqlType::UniqueIdentifier,
            )
            .exact()
            .not_null()
        }
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

fn at(moment: Moment, sql_type: SqlType) -> Result<Typed, SqlError> {
    Ok(Typed::new(moment.literal(sql_type)?, sql_type)
        .exact()
        .not_null())
}

fn money(value: i64, sql_type: SqlType) -> Typed {
    numeric(value < 0, value.unsigned_abs().into(), 4, sql_type)
}

fn numeric(negative: bool, magnitude: u128, scale: u8, sql_type: SqlType) -> Typed {
    let scale = usize::from(scale);
    let digits = format!("{magnitude:0width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if negative { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    let sql = format!(
        "CAST('{sign}{whole}{point}{fraction}' AS {})",
        sql_type.postgres()
    );
    Typed::new(sql, sql_type).exact().not_null()
}

fn decimal(reader: &mut Reader<'_>) -> Result<Typed, SqlError> {
    reader.u8()?;
    let (precision, scale) = (reader.u8()?, reader.u8()?);
    let length = reader.u8()?;
    if length == 0 {
        return Ok(Typed::null());
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

fn moment(token: u8, reader: &mut Reader<'_>) -> Result<Typed, SqlError> {
    let scale = if token == 0x28 {
        0
    } else {
        reader.u8()?.min(7)
    };
    let length = usize::from(reader.u8()?);
    let mut value = Reader::new(reader.bytes(length)?);
    if length == 0 {
        return Ok(Typed::null());
    }
    let date_bytes = if token == 0x29 { 0 } else { 3 };
    let offset_bytes = if token == 0x2B { 2 } else { 0 };
    let clock_bytes = length
        .checked_sub(date_bytes + offset_bytes)
        .ok_or_else(|| SqlError::unsupported("a date of no length"))?;
    let units = value.unsigned(clock_bytes)?.cast_signed();
    let ticks = units
        .checked_mul(10_i64.pow(7 - u32::from(scale)))
        .ok_or_else(out_of_range)?;
    let days = value.unsigned(date_bytes)?.cast_signed();
    Ok(match token {
        0x28 => at(
            Moment {
                days,
                ticks: 0,
                offset: 0,
            },
            SqlType::Date,
        )?,
        0x29 => at(
            Moment {
                days: 0,
                ticks,
                offset: 0,
            },
            SqlType::Time(scale),
        )?,
        0x2A => at(
            Moment {
                days,
                ticks,
                offset: 0,
            },
            SqlType::DateTime2(scale),
        )?,
        _ => {
            // The wire has UTC and the distance, a moment has the local clock.
            let offset = value.array().map(i16::from_le_bytes)?;
            let moment = Moment::from_utc(days, ticks, offset)?;
            at(moment, SqlType::DateTimeOffset(scale))?
        }
    })
}

fn characters(token: u8, reader: &mut Reader<'_>) -> Result<Typed, SqlError> {
    let longest = reader.u16()?;
    reader.bytes(5)?;
    let Some(bytes) = long_value(reader, longest)? else {
        return Ok(Typed::null());
    };
    let wide = matches!(token, 0xE7 | 0xEF);
    let stored = if wide {
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
    let sql_type = if wide {
        SqlType::NVarChar(length(4000, 2))
    } else {
        SqlType::VarChar(length(8000, 1))
    };
    Ok(Typed::text(stored, sql_type))
}

/// A value with a length of 16 bits, or in chunks when its type is `max`.
fn long_value(reader: &mut Reader<'_>, longest: u16) -> Result<Option<Vec<u8>>, SqlError> {
    if longest != MAX {
        return match reader.u16()? {
            MAX => Ok(None),
            length => reader
                .bytes(length.into())
                .map(|bytes| Some(bytes.to_vec())),
        };
    }
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

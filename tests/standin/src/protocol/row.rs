//! Encodes the rows of PostgreSQL's binary COPY as ROW tokens.

use super::token::{ROW, ResultColumn};
use super::type_info::{decimal_bytes, time_bytes};
use super::wire::mixed_endian;
use crate::error::SqlError;
use crate::types::sql_type::{Family, SqlType};
use crate::types::temporal::{
    DAYS_TO_1900, DAYS_TO_2000, LAST_DAY, TICKS_PER_DAY, TICKS_PER_MINUTE, datetime_units,
};
use crate::types::text;

const TICKS_PER_MICROSECOND: i64 = 10;
/// Bytes of a chunk of a `max` value.
const CHUNK: usize = 32_000;
/// NULL of a type that is sent in chunks.
const CHUNKS_NULL: [u8; 8] = [0xFF; 8];
/// Bytes of the header of a COPY: signature, flags and the length of the extension.
const COPY_HEADER: usize = 19;

/// Encodes the rows of one COPY.
#[derive(Debug)]
pub(crate) struct RowEncoder {
    columns: Vec<ColumnEncoder>,
    header_seen: bool,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct ColumnEncoder {
    sql_type: SqlType,
    nullable: bool,
    utf8: bool,
    name: String,
}

fn malformed(what: &str) -> SqlError {
    SqlError::new(
        50000,
        format!("PostgreSQL sent {what} in an unknown format"),
    )
}

fn array<const N: usize>(data: &[u8], what: &str) -> Result<[u8; N], SqlError> {
    data.try_into().map_err(|_| malformed(what))
}

impl RowEncoder {
    pub(crate) fn new(columns: &[ResultColumn]) -> Self {
        Self {
            columns: columns
                .iter()
                .map(|column| ColumnEncoder {
                    sql_type: column.sql_type,
                    nullable: column.nullable,
                    utf8: column.collation.is_utf8(),
                    name: column.name.clone(),
                })
                .collect(),
            header_seen: false,
            scratch: Vec::new(),
        }
    }

    /// Appends the row of one COPY message; false when the message has no row.
    ///
    /// # Errors
    /// 50000 when a value does not have the format of its column's type, 515 for NULL in a column
    /// that is NOT NULL, 2628 for a value that is too long, 8115 for a number out of range.
    pub(crate) fn push(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<bool, SqlError> {
        let mut data = message;
        if !self.header_seen {
            data = data
                .get(COPY_HEADER..)
                .ok_or_else(|| malformed("a COPY header"))?;
            self.header_seen = true;
        }
        let Some((count, mut data)) = data.split_first_chunk::<2>() else {
            return Ok(false);
        };
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            return Ok(false);
        }
        if usize::try_from(count) != Ok(self.columns.len()) {
            return Err(malformed("a row"));
        }
        out.push(ROW);
        for column in &self.columns {
            let (length, rest) = data
                .split_first_chunk::<4>()
                .ok_or_else(|| malformed("a row"))?;
            let length = i32::from_be_bytes(*length);
            if let Ok(length) = usize::try_from(length) {
                let value = rest.get(..length).ok_or_else(|| malformed("a row"))?;
                column.push_value(value, out, &mut self.scratch)?;
                data = &rest[length..];
            } else {
                column.push_null(out)?;
                data = rest;
            }
        }
        Ok(true)
    }
}

/// How the length of a value of a variable-length type is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LengthPrefix {
    /// 16 bits before the value.
    Short,
    /// Before each chunk.
    Chunks,
    /// 32 bits after a text pointer and a timestamp.
    TextPointer,
}

/// `None` for a type of fixed length.
fn length_prefix(sql_type: SqlType) -> Option<LengthPrefix> {
    match sql_type {
        SqlType::VarChar(None)
        | SqlType::NVarChar(None)
        | SqlType::VarBinary(None)
        | SqlType::Xml => Some(LengthPrefix::Chunks),
        SqlType::Text | SqlType::NText | SqlType::Image => Some(LengthPrefix::TextPointer),
        SqlType::Char(_)
        | SqlType::VarChar(_)
        | SqlType::NChar(_)
        | SqlType::NVarChar(_)
        | SqlType::Binary(_)
        | SqlType::RowVersion
        | SqlType::VarBinary(_) => Some(LengthPrefix::Short),
        _ => None,
    }
}

impl ColumnEncoder {
    fn push_null(&self, out: &mut Vec<u8>) -> Result<(), SqlError> {
        match length_prefix(self.sql_type) {
            Some(LengthPrefix::Chunks) => out.extend_from_slice(&CHUNKS_NULL),
            Some(LengthPrefix::Short) => out.extend_from_slice(&[0xFF, 0xFF]),
            None if !self.nullable && has_fixed_form(self.sql_type) => {
                return Err(SqlError::new(
                    515,
                    format!(
                        "column '{}' is NOT NULL but holds NULL in PostgreSQL",
                        self.name
                    ),
                ));
            }
            None | Some(LengthPrefix::TextPointer) => out.push(0),
        }
        Ok(())
    }

    fn push_value(
        &self,
        data: &[u8],
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), SqlError> {
        match self.sql_type.family() {
            Family::Bit => {
                let bit = u8::from(data.first().is_some_and(|byte| *byte != 0));
                self.push_fixed(out, &[bit]);
                Ok(())
            }
            Family::Integer | Family::Exact | Family::Approximate => self.push_number(data, out),
            Family::Date | Family::Time | Family::DateTime | Family::Offset => {
                self.push_moment(data, out)
            }
            Family::Uuid => {
                out.push(16);
                out.extend_from_slice(&mixed_endian(array(data, "a uuid")?));
                Ok(())
            }
            Family::Character | Family::Binary => self.push_variable(data, out, scratch),
            Family::Other => Err(SqlError::unsupported(self.sql_type)),
        }
    }

    /// Appends a value of a type with a fixed length, which has a length byte only where the
    /// column may be NULL.
    fn push_fixed(&self, out: &mut Vec<u8>, value: &[u8]) {
        if self.nullable {
            out.push(u8::try_from(value.len()).expect("a fixed length is at most 8 bytes"));
        }
        out.extend_from_slice(value);
    }

    fn push_number(&self, data: &[u8], out: &mut Vec<u8>) -> Result<(), SqlError> {
        match self.sql_type {
            SqlType::TinyInt => self.push_fixed(out, &integer(data)?.to_le_bytes()[..1]),
            SqlType::SmallInt => self.push_fixed(out, &integer(data)?.to_le_bytes()[..2]),
            SqlType::Int => self.push_fixed(out, &integer(data)?.to_le_bytes()[..4]),
            SqlType::BigInt => self.push_fixed(out, &integer(data)?.to_le_bytes()),
            SqlType::Real => {
                let bits = u32::from_be_bytes(array(data, "a real")?);
                self.push_fixed(out, &bits.to_le_bytes());
            }
            SqlType::Float => {
                let bits = u64::from_be_bytes(array(data, "a float")?);
                self.push_fixed(out, &bits.to_le_bytes());
            }
            SqlType::Decimal(precision, scale) => {
                let (negative, magnitude) = numeric(data, scale)?;
                let bytes = decimal_bytes(precision);
                out.extend_from_slice(&[bytes + 1, u8::from(!negative)]);
                out.extend_from_slice(&magnitude.to_le_bytes()[..usize::from(bytes)]);
            }
            SqlType::Money => {
                // The upper half comes first.
                let mut bytes = money(data)?.to_le_bytes();
                bytes.rotate_left(4);
                self.push_fixed(out, &bytes);
            }
            SqlType::SmallMoney => self.push_fixed(out, &money(data)?.to_le_bytes()[..4]),
            other => return Err(SqlError::unsupported(other)),
        }
        Ok(())
    }

    fn push_moment(&self, data: &[u8], out: &mut Vec<u8>) -> Result<(), SqlError> {
        match self.sql_type {
            SqlType::Date => {
                let days = i64::from(i32::from_be_bytes(array(data, "a date")?)) + DAYS_TO_2000;
                out.push(3);
                push_days(out, days);
            }
            SqlType::Time(scale) => {
                let ticks = match scale {
                    7 => integer(data)?,
                    _ => integer(data)? * TICKS_PER_MICROSECOND,
                };
                out.push(time_bytes(scale));
                push_time(out, ticks, scale);
            }
            SqlType::DateTime2(scale) => {
                let (days, ticks) = if scale == 7 {
                    split_days(integer(data)?)
                } else {
                    timestamp(data)?
                };
                out.push(time_bytes(scale) + 3);
                push_time(out, ticks, scale);
                push_days(out, days);
            }
            SqlType::DateTime => {
                let (days, ticks) = timestamp(data)?;
                let mut value = (days - DAYS_TO_1900).to_le_bytes();
                value[4..].copy_from_slice(&datetime_units(ticks).to_le_bytes()[..4]);
                self.push_fixed(out, &value);
            }
            SqlType::SmallDateTime => {
                let (days, ticks) = timestamp(data)?;
                let mut value = [0; 4];
                value[..2].copy_from_slice(&(days - DAYS_TO_1900).to_le_bytes()[..2]);
                value[2..].copy_from_slice(&(ticks / TICKS_PER_MINUTE).to_le_bytes()[..2]);
                self.push_fixed(out, &value);
            }
            SqlType::DateTimeOffset(scale) => {
                // A composite value: each of the two fields is prefixed with its OID and length.
                let fields = (data.get(12..20), data.get(28..30));
                let (Some(ticks), Some(offset)) = fields else {
                    return Err(malformed("a datetimeoffset"));
                };
                let (days, ticks) =
                    split_days(i64::from_be_bytes(array(ticks, "a datetimeoffset")?));
                let offset = i16::from_be_bytes(array(offset, "a datetimeoffset")?);
                out.push(time_bytes(scale) + 5);
                push_time(out, ticks, scale);
                push_days(out, days);
                out.extend_from_slice(&offset.to_le_bytes());
            }
            other => return Err(SqlError::unsupported(other)),
        }
        Ok(())
    }

    fn push_variable(
        &self,
        data: &[u8],
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), SqlError> {
        let prefix = length_prefix(self.sql_type);
        if prefix == Some(LengthPrefix::Short) {
            let start = open_short(out);
            self.push_content(out, data)?;
            return self.close_short(out, start);
        }
        scratch.clear();
        self.push_content(scratch, data)?;
        if prefix == Some(LengthPrefix::Chunks) {
            push_chunks(out, scratch)
        } else {
            push_long_text(out, scratch)
        }
    }

    fn push_content(&self, out: &mut Vec<u8>, data: &[u8]) -> Result<(), SqlError> {
        match self.sql_type {
            SqlType::Xml => text::push_utf16le(out, data),
            unicode if unicode.is_unicode() => text::push_utf16le(out, data),
            narrow if narrow.family() == Family::Character => {
                if self.utf8 {
                    text::push_utf8(out, data)
                } else {
                    text::push_cp1252(out, data)
                }
            }
            _ => {
                out.extend_from_slice(data);
                Ok(())
            }
        }
    }

    /// Writes the length of what was appended since `start` into the two bytes before `start`.
    fn close_short(&self, out: &mut [u8], start: usize) -> Result<(), SqlError> {
        let length = u16::try_from(out.len() - start)
            .ok()
            .filter(|length| *length <= 8000)
            .ok_or_else(|| SqlError::truncated(&self.name))?;
        out[start - 2..start].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }
}

/// Whether a NOT NULL column of the type has no length byte, and thus no form for NULL.
fn has_fixed_form(sql_type: SqlType) -> bool {
    match sql_type.family() {
        Family::Bit | Family::Integer | Family::Approximate => true,
        _ => matches!(
            sql_type,
            SqlType::Money | SqlType::SmallMoney | SqlType::DateTime | SqlType::SmallDateTime
        ),
    }
}

/// Reserves the two bytes of a length; returns the position of the value.
fn open_short(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0, 0]);
    out.len()
}

fn push_chunks(out: &mut Vec<u8>, data: &[u8]) -> Result<(), SqlError> {
    out.extend_from_slice(&u64::try_from(data.len()).unwrap_or(0).to_le_bytes());
    for chunk in data.chunks(CHUNK) {
        push_u32_length(out, chunk)?;
        out.extend_from_slice(chunk);
    }
    out.extend_from_slice(&[0; 4]);
    Ok(())
}

/// A value of `text`, `ntext` or `image`, prefixed with a text pointer and a timestamp.
fn push_long_text(out: &mut Vec<u8>, data: &[u8]) -> Result<(), SqlError> {
    out.push(16);
    out.extend_from_slice(b"sqlserverstandin");
    out.extend_from_slice(&[0; 8]);
    push_u32_length(out, data)?;
    out.extend_from_slice(data);
    Ok(())
}

fn push_u32_length(out: &mut Vec<u8>, data: &[u8]) -> Result<(), SqlError> {
    let length = u32::try_from(data.len()).map_err(|_| malformed("a value of 4 GiB"))?;
    out.extend_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Days since 0001-01-01 and ticks since midnight.
fn split_days(ticks: i64) -> (i64, i64) {
    (
        ticks.div_euclid(TICKS_PER_DAY),
        ticks.rem_euclid(TICKS_PER_DAY),
    )
}

fn push_days(out: &mut Vec<u8>, days: i64) {
    out.extend_from_slice(&days.to_le_bytes()[..3]);
}

fn push_time(out: &mut Vec<u8>, ticks: i64, scale: u8) {
    let units = ticks / 10_i64.pow(7 - u32::from(scale.min(7)));
    out.extend_from_slice(&units.to_le_bytes()[..usize::from(time_bytes(scale))]);
}

/// An integer of two, four or eight bytes.
fn integer(data: &[u8]) -> Result<i64, SqlError> {
    match data.len() {
        8 => Ok(i64::from_be_bytes(array(data, "a bigint")?)),
        4 => Ok(i64::from(i32::from_be_bytes(array(data, "an integer")?))),
        2 => Ok(i64::from(i16::from_be_bytes(array(data, "a smallint")?))),
        _ => Err(malformed("an integer")),
    }
}

/// A timestamp as days since 0001-01-01 and ticks since midnight.
fn timestamp(data: &[u8]) -> Result<(i64, i64), SqlError> {
    const MICROSECONDS_PER_DAY: i64 = TICKS_PER_DAY / TICKS_PER_MICROSECOND;
    let microseconds = i64::from_be_bytes(array(data, "a timestamp")?);
    let days = microseconds.div_euclid(MICROSECONDS_PER_DAY) + DAYS_TO_2000;
    if !(0..=LAST_DAY).contains(&days) {
        return Err(malformed("a timestamp outside of the years 1 to 9999"));
    }
    let ticks = microseconds.rem_euclid(MICROSECONDS_PER_DAY) * TICKS_PER_MICROSECOND;
    Ok((days, ticks))
}

fn money(data: &[u8]) -> Result<i64, SqlError> {
    let (negative, magnitude) = numeric(data, 4)?;
    let value = i128::try_from(magnitude).map_err(|_| malformed("a money"))?;
    i64::try_from(if negative { -value } else { value }).map_err(|_| {
        SqlError::new(
            8115,
            "Arithmetic overflow error converting numeric to data type money.",
        )
    })
}

/// A numeric: whether it is negative, and its magnitude in units of 10^-`scale`.
fn numeric(data: &[u8], scale: u8) -> Result<(bool, u128), SqlError> {
    const NEGATIVE: u16 = 0x4000;
    let (header, digits) = data
        .split_first_chunk::<8>()
        .ok_or_else(|| malformed("a numeric"))?;
    let [_, _, w0, w1, s0, s1, _, _] = *header;
    let sign = u16::from_be_bytes([s0, s1]);
    if sign != 0 && sign != NEGATIVE {
        return Err(malformed("NaN or an infinity"));
    }
    let overflow = || {
        SqlError::new(
            8115,
            "Arithmetic overflow error converting expression to data type numeric.",
        )
    };
    // The decimal exponent of the current group of four digits, in units of the result.
    let mut exponent = i32::from(i16::from_be_bytes([w0, w1])) * 4 + i32::from(scale);
    let mut value: u128 = 0;
    let mut last = exponent + 4;
    for group in digits.chunks_exact(2) {
        let digit = u128::from(u16::from_be_bytes([group[0], group[1]]));
        if exponent >= 0 {
            value = value
                .checked_mul(10_000)
                .and_then(|v| v.checked_add(digit))
                .ok_or_else(overflow)?;
            last = exponent;
        } else if exponent > -4 {
            let kept = u32::try_from(4 + exponent).map_err(|_| malformed("a numeric"))?;
            value = value
                .checked_mul(10_u128.pow(kept))
                .and_then(|v| v.checked_add(digit / 10_u128.pow(4 - kept)))
                .ok_or_else(overflow)?;
            last = 0;
        }
        exponent -= 4;
    }
    if let Ok(shift) = u32::try_from(last)
        && value != 0
    {
        value = 10_u128
            .checked_pow(shift)
            .and_then(|power| value.checked_mul(power))
            .ok_or_else(overflow)?;
    }
    Ok((sign == NEGATIVE, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pg(weight: i16, negative: bool, digits: &[u16]) -> Vec<u8> {
        let mut bytes = u16::try_from(digits.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(&weight.to_be_bytes());
        bytes.extend_from_slice(&if negative { 0x4000_u16 } else { 0 }.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend(digits.iter().flat_map(|d| d.to_be_bytes()));
        bytes
    }

    #[test]
    fn numerics_of_every_shape() {
        assert_eq!(numeric(&pg(0, false, &[]), 2).unwrap(), (false, 0));
        assert_eq!(
            numeric(&pg(0, false, &[12, 3400]), 2).unwrap(),
            (false, 1234)
        );
        assert_eq!(numeric(&pg(1, true, &[5]), 0).unwrap(), (true, 50_000));
        assert_eq!(numeric(&pg(-1, false, &[1]), 4).unwrap(), (false, 1));
        assert_eq!(numeric(&pg(-3, false, &[7]), 13).unwrap(), (false, 70));
        let most = [99, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999];
        assert_eq!(
            numeric(&pg(9, false, &most), 0).unwrap().1,
            10_u128.pow(38) - 1
        );
        // The last two of 40 digits after the decimal point are padding.
        let most = [9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9900];
        assert_eq!(
            numeric(&pg(-1, false, &most), 38).unwrap().1,
            10_u128.pow(38) - 1
        );
        assert!(numeric(&[0, 0, 0, 0, 0xC0, 0, 0, 0], 0).is_err());
    }
}

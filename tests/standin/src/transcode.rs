//! Rows of PostgreSQL's binary COPY become ROW tokens, without a value in between.

use crate::error::SqlError;
use crate::sqltype::{SqlType, decimal_bytes};
use crate::temporal::{DAYS_TO_1900, DAYS_TO_2000, TICKS_PER_DAY};
use crate::text;
use crate::token::{ROW, ResultColumn};

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;
/// Bytes of a chunk of a `max` value.
const CHUNK: usize = 32_000;
const PLP_NULL: [u8; 8] = [0xFF; 8];
/// Signature, flags and the length of the header extension.
const COPY_HEADER: usize = 19;

/// Turns the messages of one COPY into rows.
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
        format!("PostgreSQL sent {what} in a form the stand-in does not know"),
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

    /// Appends the row of one COPY message; returns whether there was one.
    ///
    /// # Errors
    /// When a value is not in the form that its column's type is stored in.
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

impl ColumnEncoder {
    fn push_null(&self, out: &mut Vec<u8>) -> Result<(), SqlError> {
        match self.sql_type {
            SqlType::VarChar(None)
            | SqlType::NVarChar(None)
            | SqlType::VarBinary(None)
            | SqlType::Xml => {
                out.extend_from_slice(&PLP_NULL);
            }
            SqlType::Char(_)
            | SqlType::VarChar(_)
            | SqlType::NChar(_)
            | SqlType::NVarChar(_)
            | SqlType::Binary(_)
            | SqlType::RowVersion
            | SqlType::VarBinary(_) => out.extend_from_slice(&[0xFF, 0xFF]),
            SqlType::Bit
            | SqlType::TinyInt
            | SqlType::SmallInt
            | SqlType::Int
            | SqlType::BigInt
            | SqlType::Real
            | SqlType::Float
            | SqlType::Money
            | SqlType::SmallMoney
            | SqlType::DateTime
            | SqlType::SmallDateTime
                if !self.nullable =>
            {
                return Err(SqlError::new(
                    515,
                    format!(
                        "column '{}' is NOT NULL but holds NULL underneath",
                        self.name
                    ),
                ));
            }
            _ => out.push(0),
        }
        Ok(())
    }

    /// Appends the length byte of a type that may be NULL; a fixed-length type has none.
    fn push_length(&self, out: &mut Vec<u8>, length: u8) {
        if self.nullable {
            out.push(length);
        }
    }

    fn push_value(
        &self,
        data: &[u8],
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), SqlError> {
        match self.sql_type {
            SqlType::Bit => {
                self.push_length(out, 1);
                out.push(u8::from(data.first().is_some_and(|b| *b != 0)));
            }
            SqlType::TinyInt => {
                self.push_length(out, 1);
                out.push(integer(data)?.to_le_bytes()[0]);
            }
            SqlType::SmallInt => {
                self.push_length(out, 2);
                out.extend_from_slice(&integer(data)?.to_le_bytes()[..2]);
            }
            SqlType::Int => {
                self.push_length(out, 4);
                out.extend_from_slice(&integer(data)?.to_le_bytes()[..4]);
            }
            SqlType::BigInt => {
                self.push_length(out, 8);
                out.extend_from_slice(&integer(data)?.to_le_bytes());
            }
            SqlType::Real => {
                self.push_length(out, 4);
                let bits = u32::from_be_bytes(array(data, "a real")?);
                out.extend_from_slice(&bits.to_le_bytes());
            }
            SqlType::Float => {
                self.push_length(out, 8);
                let bits = u64::from_be_bytes(array(data, "a float")?);
                out.extend_from_slice(&bits.to_le_bytes());
            }
            SqlType::Decimal(precision, scale) => {
                let (negative, magnitude) = numeric(data, scale)?;
                let bytes = decimal_bytes(precision);
                out.extend_from_slice(&[bytes + 1, u8::from(!negative)]);
                out.extend_from_slice(&magnitude.to_le_bytes()[..usize::from(bytes)]);
            }
            SqlType::Money => {
                self.push_length(out, 8);
                let bytes = money(data)?.to_le_bytes();
                out.extend_from_slice(&bytes[4..]);
                out.extend_from_slice(&bytes[..4]);
            }
            SqlType::SmallMoney => {
                self.push_length(out, 4);
                out.extend_from_slice(&money(data)?.to_le_bytes()[..4]);
            }
            SqlType::Date => {
                let days = i64::from(i32::from_be_bytes(array(data, "a date")?)) + DAYS_TO_2000;
                out.push(3);
                out.extend_from_slice(&days.to_le_bytes()[..3]);
            }
            SqlType::Time(scale) => {
                let ticks = match scale {
                    7 => integer(data)?,
                    _ => integer(data)? * 10,
                };
                out.push(time_bytes(scale));
                push_time(out, ticks, scale);
            }
            SqlType::DateTime2(scale) => {
                let (days, ticks) = if scale == 7 {
                    let total = integer(data)?;
                    (
                        total.div_euclid(TICKS_PER_DAY),
                        total.rem_euclid(TICKS_PER_DAY),
                    )
                } else {
                    timestamp(data)?
                };
                out.push(time_bytes(scale) + 3);
                push_time(out, ticks, scale);
                out.extend_from_slice(&days.to_le_bytes()[..3]);
            }
            SqlType::DateTime => {
                self.push_length(out, 8);
                let (days, ticks) = timestamp(data)?;
                let thirds = (ticks * 3 + 50_000) / 100_000;
                let days = days - DAYS_TO_1900;
                out.extend_from_slice(&days.to_le_bytes()[..4]);
                out.extend_from_slice(&thirds.to_le_bytes()[..4]);
            }
            SqlType::SmallDateTime => {
                self.push_length(out, 4);
                let (days, ticks) = timestamp(data)?;
                let days = days - DAYS_TO_1900;
                out.extend_from_slice(&days.to_le_bytes()[..2]);
                out.extend_from_slice(&(ticks / 600_000_000).to_le_bytes()[..2]);
            }
            SqlType::DateTimeOffset(scale) => {
                // Two fields, each with its type's oid and its length before it.
                let fields = (data.get(12..20), data.get(28..30));
                let (Some(ticks), Some(offset)) = fields else {
                    return Err(malformed("a datetimeoffset"));
                };
                let total = i64::from_be_bytes(array(ticks, "a datetimeoffset")?);
                let offset = i16::from_be_bytes(array(offset, "a datetimeoffset")?);
                out.push(time_bytes(scale) + 5);
                push_time(out, total.rem_euclid(TICKS_PER_DAY), scale);
                out.extend_from_slice(&total.div_euclid(TICKS_PER_DAY).to_le_bytes()[..3]);
                out.extend_from_slice(&offset.to_le_bytes());
            }
            SqlType::UniqueIdentifier => {
                let uuid: [u8; 16] = array(data, "a uuid")?;
                out.push(16);
                out.extend_from_slice(&mixed_endian(uuid));
            }
            SqlType::Char(_) | SqlType::VarChar(Some(_)) => {
                let start = open_short(out);
                self.push_narrow(out, data)?;
                self.close_short(out, start)?;
            }
            SqlType::NChar(_) | SqlType::NVarChar(Some(_)) => {
                let start = open_short(out);
                text::push_utf16le(out, data)?;
                self.close_short(out, start)?;
            }
            SqlType::Binary(_) | SqlType::RowVersion | SqlType::VarBinary(Some(_)) => {
                let start = open_short(out);
                out.extend_from_slice(data);
                self.close_short(out, start)?;
            }
            SqlType::VarChar(None) => {
                scratch.clear();
                self.push_narrow(scratch, data)?;
                push_chunks(out, scratch)?;
            }
            SqlType::NVarChar(None) | SqlType::Xml => {
                scratch.clear();
                text::push_utf16le(scratch, data)?;
                push_chunks(out, scratch)?;
            }
            SqlType::VarBinary(None) => push_chunks(out, data)?,
            SqlType::Text => {
                scratch.clear();
                self.push_narrow(scratch, data)?;
                push_long_text(out, scratch)?;
            }
            SqlType::NText => {
                scratch.clear();
                text::push_utf16le(scratch, data)?;
                push_long_text(out, scratch)?;
            }
            SqlType::Image => push_long_text(out, data)?,
            SqlType::CatalogOnly(name) => return Err(SqlError::unsupported(name)),
        }
        Ok(())
    }

    fn push_narrow(&self, out: &mut Vec<u8>, data: &[u8]) -> Result<(), SqlError> {
        if self.utf8 {
            text::push_utf8(out, data)
        } else {
            text::push_cp1252(out, data)
        }
    }

    /// Writes the length of what was appended since `start` before it.
    fn close_short(&self, out: &mut [u8], start: usize) -> Result<(), SqlError> {
        let length = u16::try_from(out.len() - start)
            .ok()
            .filter(|length| *length <= 8000)
            .ok_or_else(|| SqlError::truncated(&self.name))?;
        out[start - 2..start].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }
}

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

/// A value of `text`, `ntext` or `image`: a text pointer and a time stamp stand before it.
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

fn time_bytes(scale: u8) -> u8 {
    match scale {
        0..=2 => 3,
        3 | 4 => 4,
        _ => 5,
    }
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
    let microseconds = i64::from_be_bytes(array(data, "a timestamp")?);
    let days = microseconds.div_euclid(MICROSECONDS_PER_DAY) + DAYS_TO_2000;
    if !(0..3_652_059).contains(&days) {
        return Err(malformed("a timestamp outside of the years 1 to 9999"));
    }
    Ok((days, microseconds.rem_euclid(MICROSECONDS_PER_DAY) * 10))
}

/// The order of the bytes of a uniqueidentifier on the wire: the first three groups are reversed.
pub(crate) fn mixed_endian(b: [u8; 16]) -> [u8; 16] {
    [
        b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13],
        b[14], b[15],
    ]
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
        return Err(malformed("a numeric that is no number"));
    }
    let overflow = || {
        SqlError::new(
            8115,
            "Arithmetic overflow error converting expression to data type numeric.",
        )
    };
    // The decimal exponent of each group of four digits, in units of the result.
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
        // 38 digits behind the point end in a group that is half zeros.
        let most = [9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9900];
        assert_eq!(
            numeric(&pg(-1, false, &most), 38).unwrap().1,
            10_u128.pow(38) - 1
        );
        assert!(numeric(&[0, 0, 0, 0, 0xC0, 0, 0, 0], 0).is_err());
    }

    #[test]
    fn uuids_are_mixed_endian() {
        let uuid: [u8; 16] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(
            mixed_endian(uuid),
            [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
        );
    }
}

//! Scans PostgreSQL by `COPY … TO STDOUT (FORMAT binary)`.
//!
//! The format is described in PostgreSQL's documentation of COPY, "Binary
//! Format"; the values are those of the types' send functions.

use std::ops::RangeInclusive;

use bytes::Bytes;
use futures::{StreamExt, pin_mut};
use tokio_postgres::Client;

use crate::engine::database::postgres::literal::{FIRST_TIMESTAMP, LAST_TIMESTAMP};
use crate::engine::database::scan::{
    ProgressReporter, Query, Scanned, push_scaled, push_uuid_text, trim, unexpected,
};
use crate::engine::error::DatabaseError;
use crate::engine::values::canonical::{Decimal, DecimalClass, RowEncoder, RowSink};
use crate::engine::values::conversion::Raw;
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::moment::Moment;
use crate::engine::values::reading::{Reading, Stored};

const SIGNATURE: &[u8] = b"PGCOPY\n\xFF\r\n\0";

/// The times of day that PostgreSQL has, in microseconds: up to 24:00.
const TIMES: RangeInclusive<i64> = 0..=86_400_000_000;

/// Its timestamps, in microseconds since 2000-01-01: from the first one to the
/// last. What is beyond could not be rounded without overflow either.
const TIMESTAMPS: RangeInclusive<i64> = FIRST_TIMESTAMP..=LAST_TIMESTAMP;

pub(crate) async fn scan(
    client: &Client,
    query: &Query,
    sink: &mut dyn RowSink,
    progress: &(dyn Fn(Scanned) + Sync),
) -> Result<u64, DatabaseError> {
    let stream = client
        .copy_out(&format!(
            "COPY ({}) TO STDOUT (FORMAT binary)",
            query.statement
        ))
        .await?;
    pin_mut!(stream);
    let mut reader = CopyReader::default();
    let mut reporter = ProgressReporter::new(progress);
    while let Some(message) = stream.next().await {
        reader.message(&message?, query, sink)?;
        if reporter.is_due(reader.rows) {
            reporter.report(reader.rows, reader.encoder.total_bytes());
        }
    }
    reporter.report(reader.rows, reader.encoder.total_bytes());
    reader.finish()
}

/// Reads the messages of a binary COPY. PostgreSQL sends every row in a
/// message of its own, the header before the first row, the trailer at last.
#[derive(Debug, Default)]
pub(crate) struct CopyReader {
    encoder: RowEncoder,
    rows: u64,
    state: CopyState,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum CopyState {
    #[default]
    Header,
    Rows,
    Trailer,
}

impl CopyReader {
    pub(crate) fn message(
        &mut self,
        message: &Bytes,
        query: &Query,
        sink: &mut dyn RowSink,
    ) -> Result<(), DatabaseError> {
        let mut rest: &[u8] = message;
        if self.state == CopyState::Header {
            rest = header(rest)?;
            self.state = CopyState::Rows;
        }
        while !rest.is_empty() {
            if self.state == CopyState::Trailer {
                return Err(malformed("data after the trailer"));
            }
            let (fields, after) = rest
                .split_first_chunk()
                .ok_or_else(|| malformed("a row without a field count"))?;
            rest = after;
            match i16::from_be_bytes(*fields) {
                -1 => self.state = CopyState::Trailer,
                count if usize::try_from(count) == Ok(query.readings.len()) => {
                    rest = row(rest, query, &mut self.encoder)?;
                    sink.end_row(&self.encoder).map_err(DatabaseError::Disk)?;
                    self.rows += 1;
                }
                count => {
                    return Err(malformed(&format!(
                        "{count} fields where {} were asked for",
                        query.readings.len()
                    )));
                }
            }
        }
        Ok(())
    }

    /// The number of rows, after the last message.
    pub(crate) fn finish(self) -> Result<u64, DatabaseError> {
        if self.state == CopyState::Trailer {
            Ok(self.rows)
        } else {
            Err(malformed("the data ends without a trailer"))
        }
    }
}

fn malformed(what: &str) -> DatabaseError {
    DatabaseError::Malformed(format!("binary COPY: {what}"))
}

fn header(message: &[u8]) -> Result<&[u8], DatabaseError> {
    let rest = message
        .strip_prefix(SIGNATURE)
        .ok_or_else(|| malformed("no signature"))?;
    let (flags, rest) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| malformed("no flags"))?;
    // Bits 16 to 31 change the format; bit 16 was for object identifiers.
    if u32::from_be_bytes(*flags) >> 16 != 0 {
        return Err(malformed("unknown flags"));
    }
    let (extension, rest) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| malformed("no header extension"))?;
    rest.get(u32::from_be_bytes(*extension) as usize..)
        .ok_or_else(|| malformed("a header extension that does not end"))
}

#[inline]
fn row<'a>(
    mut rest: &'a [u8],
    query: &Query,
    encoder: &mut RowEncoder,
) -> Result<&'a [u8], DatabaseError> {
    encoder.start_row();
    for (position, reading) in query.readings.iter().enumerate() {
        if position == query.key_columns {
            encoder.end_key();
        }
        let (length, after) = rest
            .split_first_chunk()
            .ok_or_else(|| malformed("a row that ends early"))?;
        let length = i32::from_be_bytes(*length);
        if length == -1 {
            query.null(position)?;
            encoder.null();
            rest = after;
            continue;
        }
        let length = usize::try_from(length).map_err(|_| malformed("a negative length"))?;
        let (field, after) = after
            .split_at_checked(length)
            .ok_or_else(|| malformed("a field that ends early"))?;
        rest = after;
        let pushed = match &reading.conversion {
            None => value(field, reading, encoder),
            Some(conversion) => {
                raw(field, reading).and_then(|raw| conversion.push(raw, reading.kind, encoder))
            }
        };
        if pushed.is_none() {
            return Err(unexpected(
                position,
                &format!("{length} bytes"),
                reading.kind,
            ));
        }
    }
    if query.key_columns == query.readings.len() {
        encoder.end_key();
    }
    Ok(rest)
}

/// A value that is converted; `None` when it is not of its type.
fn raw<'a>(field: &'a [u8], reading: &Reading) -> Option<Raw<'a>> {
    Some(match reading.stored {
        Stored::Bool => Raw::Bool(*field.first()? != 0),
        Stored::Int => Raw::Int(int(field)?),
        Stored::Decimal => Raw::Decimal(numeric(field)?),
        Stored::Float32 => Raw::Float32(f32::from_be_bytes(field.try_into().ok()?)),
        Stored::Float64 => Raw::Float64(f64::from_be_bytes(field.try_into().ok()?)),
        Stored::Text | Stored::PaddedText => Raw::Text(trim(field, reading.stored)),
        Stored::Bytes => Raw::Bytes(field),
        Stored::Date => Raw::Date(i32::from_be_bytes(field.try_into().ok()?)),
        Stored::Timestamp => Raw::Timestamp(moment(field)?),
        Stored::Instant => Raw::Instant(moment(field)?),
        Stored::AsKind => return None,
    })
}

/// Appends one value; `None` when it is not of its kind.
#[inline]
fn value(field: &[u8], reading: &Reading, encoder: &mut RowEncoder) -> Option<()> {
    match reading.kind {
        Kind::Text => encoder.text(trim(field, reading.stored)),
        Kind::Int => encoder.int(int(field)?),
        Kind::Decimal if reading.stored == Stored::Int => {
            push_scaled(encoder, int(field)?.into(), 0);
        }
        Kind::Decimal => encoder.decimal(&numeric(field)?),
        Kind::Date => encoder.date(i32::from_be_bytes(field.try_into().ok()?)),
        Kind::Timestamp(resolution) => {
            encoder.timestamp(resolution.unit(), micros(field, resolution)?)
        }
        Kind::Instant(resolution) => encoder.instant(resolution.unit(), micros(field, resolution)?),
        Kind::Time(resolution) => {
            let micros = int8(field).filter(|micros| TIMES.contains(micros))?;
            encoder.time(resolution.unit(), resolution.convert(micros, 6));
        }
        Kind::Uuid if matches!(reading.stored, Stored::Text | Stored::PaddedText) => {
            push_uuid_text(encoder, trim(field, reading.stored));
        }
        Kind::Uuid => encoder.uuid(field.try_into().ok()?),
        Kind::Bytes => encoder.bytes(field),
        Kind::Bool => match field {
            [value] => encoder.bool(*value != 0),
            _ => match int(field)? {
                0 => encoder.bool(false),
                1 => encoder.bool(true),
                other => encoder.int(other),
            },
        },
        Kind::Float64 => encoder.float64(f64::from_be_bytes(field.try_into().ok()?)),
        Kind::Float32 => match field.len() {
            4 => encoder.float32(f32::from_be_bytes(field.try_into().ok()?)),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "compared in the precision of the coarser side"
            )]
            _ => encoder.float32(f64::from_be_bytes(field.try_into().ok()?) as f32),
        },
        // Always converted.
        Kind::Json => return None,
    }
    Some(())
}

#[inline]
fn int8(field: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(field.try_into().ok()?))
}

#[inline]
fn int(field: &[u8]) -> Option<i64> {
    Some(match field.len() {
        4 => i32::from_be_bytes(field.try_into().ok()?).into(),
        8 => i64::from_be_bytes(field.try_into().ok()?),
        2 => i16::from_be_bytes(field.try_into().ok()?).into(),
        _ => return None,
    })
}

/// Microseconds since 2000-01-01; the infinities stay what they are.
#[inline]
fn micros(field: &[u8], resolution: Resolution) -> Option<i64> {
    let moment = moment(field)?;
    Some(if moment.is_infinite() {
        moment.units
    } else {
        resolution.convert(moment.units, moment.digits)
    })
}

#[inline]
fn moment(field: &[u8]) -> Option<Moment> {
    let (units, digits) = (int8(field)?, 6);
    let moment = Moment { units, digits };
    (moment.is_infinite() || TIMESTAMPS.contains(&units)).then_some(moment)
}

/// `numeric` as it is sent: number of digits, weight, sign and scale, then the digits.
#[inline]
fn numeric(field: &[u8]) -> Option<Decimal<'_>> {
    let (&[n0, n1, w0, w1, s0, s1, _, _], digits) = field.split_first_chunk::<8>()?;
    if usize::from(u16::from_be_bytes([n0, n1])) * 2 != digits.len() {
        return None;
    }
    let class = match u16::from_be_bytes([s0, s1]) {
        0x0000 => DecimalClass::Positive,
        0x4000 => DecimalClass::Negative,
        0xC000 => DecimalClass::NotANumber,
        0xD000 => DecimalClass::Infinity,
        0xF000 => DecimalClass::NegativeInfinity,
        _ => return None,
    };
    Some(Decimal::new(class, i16::from_be_bytes([w0, w1]), digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::canonical::Values;
    use crate::engine::values::reading::Stored;
    use crate::engine::values::value::to_text;
    use proptest::prelude::*;

    /// Keeps the encoded rows.
    #[derive(Default)]
    struct Rows(Vec<Vec<u8>>);

    impl RowSink for Rows {
        fn end_row(&mut self, row: &RowEncoder) -> std::io::Result<()> {
            self.0.push(row.row().to_vec());
            Ok(())
        }
    }

    fn query(kinds: &[Kind]) -> Query {
        let readings = kinds
            .iter()
            .map(|kind| Reading {
                kind: *kind,
                stored: if *kind == Kind::Int {
                    Stored::Int
                } else {
                    Stored::Text
                },
                conversion: None,
            })
            .collect();
        Query {
            statement: String::new(),
            parameters: Vec::new(),
            readings,
            key_columns: 1,
            undecoded: None,
            never_null: None,
        }
    }

    fn stream(rows: &[(i64, Option<&str>)]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[0; 8]);
        for (number, text) in rows {
            bytes.extend_from_slice(&2_i16.to_be_bytes());
            bytes.extend_from_slice(&8_i32.to_be_bytes());
            bytes.extend_from_slice(&number.to_be_bytes());
            match text {
                Some(text) => {
                    bytes.extend_from_slice(&i32::try_from(text.len()).unwrap().to_be_bytes());
                    bytes.extend_from_slice(text.as_bytes());
                }
                None => bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
            }
        }
        bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8], kinds: &[Kind]) -> Result<Vec<Vec<u8>>, DatabaseError> {
        let (mut reader, mut rows) = (CopyReader::default(), Rows::default());
        reader.message(&Bytes::copy_from_slice(bytes), &query(kinds), &mut rows)?;
        reader.finish()?;
        Ok(rows.0)
    }

    const KINDS: [Kind; 2] = [Kind::Int, Kind::Text];

    #[test]
    fn rows_come_out_as_they_went_in() {
        let rows = read(&stream(&[(1, Some("a")), (i64::MIN, None)]), &KINDS).unwrap();
        let texts: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                Values::new(row)
                    .map(|value| to_text(value.unwrap()))
                    .collect()
            })
            .collect();
        assert_eq!(texts, [["1", "a"], [&i64::MIN.to_string(), "NULL"]]);
    }

    proptest! {
        #[test]
        fn a_stream_that_is_cut_is_an_error(cut in 0_usize..1000) {
            let whole = stream(&[(1, Some("a")), (2, Some("bb")), (3, None)]);
            let cut = cut % whole.len();
            prop_assert!(read(&whole[..cut], &KINDS).is_err(), "cut at {cut} of {}", whole.len());
        }

        #[test]
        fn bytes_that_are_changed_never_panic(at in 0_usize..1000, byte in any::<u8>(), kind in 0_usize..8) {
            let resolution = Resolution { digits: 3, rounding: shared::options::Rounding::HalfUp, from_2000: true };
            let kind = [
                Kind::Text, Kind::Decimal, Kind::Uuid, Kind::Date, Kind::Float64, Kind::Bool,
                Kind::Timestamp(resolution), Kind::Time(resolution),
            ][kind];
            let mut bytes = stream(&[(1, Some("a")), (2, Some("12345678")), (3, None)]);
            let at = at % bytes.len();
            bytes[at] = byte;
            // An error or rows; both are answers. The row count may not grow.
            prop_assert!(read(&bytes, &[Kind::Int, kind]).map_or(true, |rows| rows.len() <= 3));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut message = SIGNATURE.to_vec();
            message.extend_from_slice(&[0; 8]);
            message.extend_from_slice(&bytes);
            prop_assert!(read(&message, &[Kind::Decimal]).map_or(true, |rows| rows.len() <= bytes.len()));
        }
    }
}

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
    let mut reader = CopyReader::new(query);
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

/// Reads the data of a binary COPY. PostgreSQL sends the header before the first row and
/// the trailer after the last one. A row that is long comes in several parts.
#[derive(Debug)]
pub(crate) struct CopyReader {
    encoder: RowEncoder,
    /// The most bytes of a row.
    longest_row: usize,
    rows: u64,
    state: CopyState,
    /// The beginning of what `state` expects, from the parts before.
    begun: Vec<u8>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CopyState {
    Header,
    /// The rest of the header, of so many bytes.
    Extension(usize),
    /// A row, or the trailer.
    Row,
    /// The length of the field at this position. The row comes in parts.
    Length(usize),
    /// The field at this position, of so many bytes.
    Field(usize, usize),
    /// So many more bytes of the field at this position, which is encoded as it comes.
    Content(usize, usize),
    /// Nothing.
    End,
}

impl CopyReader {
    pub(crate) fn new(query: &Query) -> Self {
        Self {
            encoder: RowEncoder::keeping(query.limits.value),
            longest_row: query.limits.row,
            rows: 0,
            state: CopyState::Header,
            begun: Vec::new(),
        }
    }

    pub(crate) fn message(
        &mut self,
        message: &Bytes,
        query: &Query,
        sink: &mut dyn RowSink,
    ) -> Result<(), DatabaseError> {
        let mut rest: &[u8] = message;
        while !rest.is_empty() {
            if self.state == CopyState::Row && self.begun.is_empty() {
                if let Some(after) = self.whole_row(rest, query)? {
                    rest = after;
                    self.end_row(sink)?;
                    continue;
                }
                self.encoder.discard_row();
            }
            self.part(&mut rest, query, sink)?;
        }
        Ok(())
    }

    /// Reads a row. Returns what follows it; `None` if it does not end here, or is none.
    #[inline]
    fn whole_row<'a>(
        &mut self,
        rest: &'a [u8],
        query: &Query,
    ) -> Result<Option<&'a [u8]>, DatabaseError> {
        let Some((fields, mut rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        let columns = query.readings.len();
        if usize::try_from(i16::from_be_bytes(*fields)) != Ok(columns) {
            return Ok(None);
        }
        self.encoder.start_row();
        for position in 0..columns {
            let Some((length, after)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            match field_length(*length)? {
                None => {
                    self.null(position, query)?;
                    rest = after;
                }
                Some(length) => {
                    let Some((field, after)) = after.split_at_checked(length) else {
                        return Ok(None);
                    };
                    self.field(field, position, query)?;
                    rest = after;
                }
            }
        }
        if query.key_columns == columns {
            self.end_key(query)?;
        }
        Ok(Some(rest))
    }

    /// Reads as much of what comes next as there is.
    fn part(
        &mut self,
        rest: &mut &[u8],
        query: &Query,
        sink: &mut dyn RowSink,
    ) -> Result<(), DatabaseError> {
        let wanted = match self.state {
            CopyState::Header => SIGNATURE.len() + 8,
            CopyState::Row => 2,
            CopyState::Length(_) => 4,
            CopyState::Extension(length) | CopyState::Field(_, length) => length,
            CopyState::Content(position, left) => {
                let (part, after) = rest.split_at(left.min(rest.len()));
                self.encoder.add_part(part);
                *rest = after;
                self.state = CopyState::Content(position, left - part.len());
                if left == part.len() {
                    self.encoder.end_value();
                    self.next_field(position, query, sink)?;
                }
                return Ok(());
            }
            CopyState::End => return Err(malformed("data after the trailer")),
        };
        let (part, after) = rest.split_at((wanted - self.begun.len()).min(rest.len()));
        *rest = after;
        if self.begun.is_empty() {
            self.begun.reserve_exact(wanted);
        }
        self.begun.extend_from_slice(part);
        if self.begun.len() == wanted {
            let item = std::mem::take(&mut self.begun);
            self.item(&item, query, sink)?;
        }
        Ok(())
    }

    /// Takes what `state` expects.
    fn item(
        &mut self,
        item: &[u8],
        query: &Query,
        sink: &mut dyn RowSink,
    ) -> Result<(), DatabaseError> {
        match self.state {
            CopyState::Header => {
                let extension = header(item)?;
                self.state = match extension {
                    0 => CopyState::Row,
                    length => CopyState::Extension(length),
                };
            }
            CopyState::Extension(_) => self.state = CopyState::Row,
            CopyState::Row => {
                let columns = query.readings.len();
                match item
                    .first_chunk()
                    .map_or(0, |count| i16::from_be_bytes(*count))
                {
                    -1 => self.state = CopyState::End,
                    count if usize::try_from(count) == Ok(columns) => {
                        self.encoder.start_row();
                        self.state = CopyState::Length(0);
                    }
                    count => {
                        let expected = format!("{count} fields where {columns} were asked for");
                        return Err(malformed(&expected));
                    }
                }
            }
            CopyState::Length(position) => {
                let length = item.first_chunk().map_or([0; 4], |length| *length);
                self.start_field(field_length(length)?, position, query, sink)?;
            }
            CopyState::Field(position, _) => {
                self.field(item, position, query)?;
                self.next_field(position, query, sink)?;
            }
            CopyState::Content(..) | CopyState::End => {}
        }
        Ok(())
    }

    /// Begins a field of a row that comes in parts, after its length; `None` is NULL.
    fn start_field(
        &mut self,
        length: Option<usize>,
        position: usize,
        query: &Query,
        sink: &mut dyn RowSink,
    ) -> Result<(), DatabaseError> {
        let Some(length) = length else {
            self.null(position, query)?;
            return self.next_field(position, query, sink);
        };
        if position == query.key_columns {
            self.end_key(query)?;
        }
        let tag = query.readings[position].tag_of_content();
        let is_long = length > query.limits.value;
        if is_long && (tag.is_none() || position < query.key_columns) {
            let size = Some(length as u64);
            return Err(query.too_large(position, size, &self.encoder, self.rows));
        }
        if !is_long && self.encoder.row().len().saturating_add(length) > self.longest_row {
            return Err(query.row_too_large(&self.encoder, self.rows));
        }
        self.state = match tag {
            Some(tag) if length > 0 => {
                self.encoder.start_value(tag, length);
                CopyState::Content(position, length)
            }
            _ if length > 0 => CopyState::Field(position, length),
            _ => {
                self.field(&[], position, query)?;
                return self.next_field(position, query, sink);
            }
        };
        Ok(())
    }

    /// Goes on to the field after `position`, or ends the row.
    fn next_field(
        &mut self,
        position: usize,
        query: &Query,
        sink: &mut dyn RowSink,
    ) -> Result<(), DatabaseError> {
        let columns = query.readings.len();
        if position + 1 < columns {
            self.state = CopyState::Length(position + 1);
            return Ok(());
        }
        if query.key_columns == columns {
            self.end_key(query)?;
        }
        self.state = CopyState::Row;
        self.end_row(sink)
    }

    fn null(&mut self, position: usize, query: &Query) -> Result<(), DatabaseError> {
        if position == query.key_columns {
            self.end_key(query)?;
        }
        query.null(position)?;
        self.encoder.null();
        Ok(())
    }

    #[inline]
    fn field(&mut self, field: &[u8], position: usize, query: &Query) -> Result<(), DatabaseError> {
        if position == query.key_columns {
            self.end_key(query)?;
        }
        let (reading, encoder) = (&query.readings[position], &mut self.encoder);
        let pushed = match &reading.conversion {
            None => value(field, reading, encoder),
            Some(conversion) => {
                raw(field, reading).and_then(|raw| conversion.push(raw, reading.kind, encoder))
            }
        };
        pushed.ok_or_else(|| {
            let what = format!("{} bytes", field.len());
            unexpected(position, &what, reading.kind)
        })
    }

    #[inline]
    fn end_key(&mut self, query: &Query) -> Result<(), DatabaseError> {
        query.end_key(&mut self.encoder, self.rows)
    }

    #[inline]
    fn end_row(&mut self, sink: &mut dyn RowSink) -> Result<(), DatabaseError> {
        sink.end_row(&self.encoder).map_err(DatabaseError::Disk)?;
        self.rows += 1;
        Ok(())
    }

    /// The number of rows, after the last message.
    pub(crate) fn finish(self) -> Result<u64, DatabaseError> {
        if self.state == CopyState::End {
            Ok(self.rows)
        } else {
            Err(malformed("the data ends without a trailer"))
        }
    }
}

fn malformed(what: &str) -> DatabaseError {
    DatabaseError::Malformed(format!("binary COPY: {what}"))
}

/// Checks the header. Returns the length of its extension.
fn header(bytes: &[u8]) -> Result<usize, DatabaseError> {
    let rest = bytes
        .strip_prefix(SIGNATURE)
        .ok_or_else(|| malformed("no signature"))?;
    let (flags, rest) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| malformed("no flags"))?;
    // Bits 16 to 31 change the format; bit 16 was for object identifiers.
    if u32::from_be_bytes(*flags) >> 16 != 0 {
        return Err(malformed("unknown flags"));
    }
    let extension = rest
        .first_chunk::<4>()
        .ok_or_else(|| malformed("no header extension"))?;
    Ok(u32::from_be_bytes(*extension) as usize)
}

/// The length of a field; `None` of a NULL.
#[inline]
fn field_length(length: [u8; 4]) -> Result<Option<usize>, DatabaseError> {
    match i32::from_be_bytes(length) {
        -1 => Ok(None),
        length => usize::try_from(length)
            .map(Some)
            .map_err(|_| malformed("a negative length")),
    }
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
    use crate::engine::database::scan::ValueLimits;
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
            marks_large: false,
            names: Vec::new().into(),
            limits: ValueLimits::NONE,
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
        read_in_parts(&[bytes], &query(kinds))
    }

    fn read_in_parts(parts: &[&[u8]], query: &Query) -> Result<Vec<Vec<u8>>, DatabaseError> {
        let (mut reader, mut rows) = (CopyReader::new(query), Rows::default());
        for part in parts {
            reader.message(&Bytes::copy_from_slice(part), query, &mut rows)?;
        }
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

    /// A stream in parts of these sizes, the last one for all that is left.
    fn in_parts<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
        let mut parts = Vec::new();
        for size in sizes {
            let (part, rest) = bytes.split_at((*size).min(bytes.len()));
            parts.push(part);
            bytes = rest;
        }
        parts.push(bytes);
        parts
    }

    fn limited(value: usize, row: usize) -> Query {
        Query {
            limits: ValueLimits { value, row },
            names: ["id".to_owned(), "v".to_owned()].into(),
            ..query(&KINDS)
        }
    }

    fn failure(query: &Query, bytes: &[u8], sizes: &[usize]) -> String {
        let read = read_in_parts(&in_parts(bytes, sizes), query);
        read.unwrap_err().to_string()
    }

    #[test]
    fn a_value_that_is_too_large_is_named_with_its_row() {
        let bytes = stream(&[(1, Some("a")), (2, Some("0123456789"))]);
        let sizes = [bytes.len() - 7];
        let mut query = limited(9, 1000);
        // A text is hashed while it is read.
        let rows = read_in_parts(&in_parts(&bytes, &sizes), &query).unwrap();
        assert!(rows[1].len() < 50 && rows[1] != rows[0]);
        query.readings[1].stored = Stored::PaddedText;
        assert_eq!(
            failure(&query, &bytes, &sizes),
            "column `v` has a value of 10 bytes, and the limit is 9, in row 2 (id = 2)"
        );
        // A key is looked up, and has to be known.
        query.key_columns = 2;
        query.readings[1].stored = Stored::Text;
        assert_eq!(
            failure(&query, &bytes, &sizes),
            "column `v` has a value of 10 bytes, and the limit is 9, in row 2"
        );
        assert_eq!(
            failure(&limited(100, 8), &bytes, &sizes),
            "the values of row 2 have more than 8 bytes, which is the limit (id = 2)"
        );
    }

    proptest! {
        /// The rows are the same however the stream is divided.
        #[test]
        fn a_stream_may_come_in_parts(
            sizes in proptest::collection::vec(1_usize..40, 0..20),
            texts in proptest::collection::vec(proptest::option::of("[a-c]{0,30}"), 1..6),
            kept in 8_usize..40,
            key_columns in 0_usize..2,
        ) {
            let rows: Vec<(i64, Option<&str>)> =
                texts.iter().enumerate().map(|(at, text)| (at as i64, text.as_deref())).collect();
            let (bytes, query) = (stream(&rows), Query { key_columns, ..limited(kept, 1000) });
            let whole = read_in_parts(&[&bytes], &query).unwrap();
            let parts = read_in_parts(&in_parts(&bytes, &sizes), &query).unwrap();
            prop_assert_eq!(whole, parts);
        }

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

//! Scans SQL Server by a streaming row reader.

use futures::StreamExt;
use tiberius::time::{Date, DateTime, DateTime2, SmallDateTime, Time};
use tiberius::{ColumnData, QueryItem, Row};

use crate::engine::database::scan::{
    ProgressReporter, Query, Scanned, push_scaled, push_uuid_text, trim, unexpected,
};
use crate::engine::database::sql_server::answer::malformed;
use crate::engine::database::sql_server::connection::Connection;
use crate::engine::database::sql_server::large;
use crate::engine::error::DatabaseError;
use crate::engine::values::canonical::{Decimal, DigitBuffer, RowEncoder, RowSink};
use crate::engine::values::conversion::{Conversion, Raw};
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::moment::{Moment, SECONDS_OF_DAY};
use crate::engine::values::reading::{Reading, Stored};

/// Days from 0001-01-01 to 2000-01-01.
const DAYS_FROM_YEAR_1: i32 = 730_119;

/// Days from 1900-01-01 to 2000-01-01.
const DAYS_FROM_1900: i64 = 36_524;

pub(crate) async fn scan(
    client: &mut Connection,
    query: &Query,
    sink: &mut dyn RowSink,
    progress: &(dyn Fn(Scanned) + Sync),
) -> Result<u64, DatabaseError> {
    let results = if query.parameters.is_empty() {
        client.simple_query(query.statement.as_str()).await?
    } else {
        let mut bound = tiberius::Query::new(query.statement.as_str());
        for parameter in &query.parameters {
            bound.bind(parameter.as_str());
        }
        bound.query(client).await?
    };
    let mut answer = results;
    let mut results = 0;
    let mut rows = 0;
    let mut encoder = RowEncoder::keeping(query.limits.value);
    let mut reporter = ProgressReporter::new(progress);
    let columns = query.readings.len() + usize::from(query.marks_large);
    while let Some(item) = answer.next().await {
        let row = match item? {
            QueryItem::Row(row) => row,
            QueryItem::Metadata(_) => {
                results += 1;
                continue;
            }
        };
        if row.len() != columns {
            return Err(DatabaseError::Malformed(format!(
                "{} columns where {columns} were asked for",
                row.len(),
            )));
        }
        encoder.start_row();
        let mark = row.cells().nth(query.readings.len());
        if let Some((position, size)) = mark.and_then(|(_, mark)| large::marked(mark)) {
            return Err(too_large(
                (position, size),
                &row,
                query,
                (&mut encoder, rows),
            ));
        }
        for (position, ((_, data), reading)) in row.cells().zip(&query.readings).enumerate() {
            if position == query.key_columns {
                query.end_key(&mut encoder, rows)?;
            }
            if position == 0 && is_null(data) {
                query.null(position)?;
            }
            let pushed = match &reading.conversion {
                None => value(data, reading, &mut encoder),
                Some(conversion) => converted(data, reading, conversion, &mut encoder),
            };
            if pushed.is_none() {
                return Err(unexpected(position, name(data), reading.kind));
            }
        }
        if query.key_columns == query.readings.len() {
            query.end_key(&mut encoder, rows)?;
        }
        if encoder.row().len() > query.limits.row {
            return Err(query.row_too_large(&encoder, rows));
        }
        sink.end_row(&encoder).map_err(DatabaseError::Disk)?;
        rows += 1;
        if reporter.is_due(rows) {
            reporter.report(rows, encoder.total_bytes());
        }
    }
    reporter.report(rows, encoder.total_bytes());
    if results != 1 {
        return Err(malformed(&format!(
            "{results} results where one was asked for"
        )));
    }
    Ok(rows)
}

/// The error for a value that the server has not sent, with the key of its row.
fn too_large(
    (position, size): (usize, Option<u64>),
    row: &Row,
    query: &Query,
    (encoder, rows): (&mut RowEncoder, u64),
) -> DatabaseError {
    let key = row.cells().zip(&query.readings).take(query.key_columns);
    let is_read = key.into_iter().all(|((_, data), reading)| {
        let pushed = match &reading.conversion {
            None => value(data, reading, encoder),
            Some(conversion) => converted(data, reading, conversion, encoder),
        };
        pushed.is_some()
    });
    if is_read && position >= query.key_columns {
        encoder.end_key();
    }
    query.too_large(position, size, encoder, rows)
}

/// Appends one value after its conversion; `None` when it is not of its type.
fn converted(
    data: &ColumnData<'static>,
    reading: &Reading,
    conversion: &Conversion,
    encoder: &mut RowEncoder,
) -> Option<()> {
    let mut digits = DigitBuffer::default();
    let raw = match data {
        ColumnData::Bit(Some(value)) => Raw::Bool(*value),
        ColumnData::U8(Some(number)) => Raw::Int((*number).into()),
        ColumnData::I16(Some(number)) => Raw::Int((*number).into()),
        ColumnData::I32(Some(number)) => Raw::Int((*number).into()),
        ColumnData::I64(Some(number)) => Raw::Int(*number),
        ColumnData::Numeric(Some(number)) => Raw::Decimal(Decimal::from_scaled(
            number.value(),
            number.scale(),
            &mut digits,
        )),
        ColumnData::F32(Some(number)) => Raw::Float32(*number),
        ColumnData::F64(Some(number)) => Raw::Float64(*number),
        ColumnData::String(Some(text)) => Raw::Text(trim(text.as_bytes(), reading.stored)),
        ColumnData::Binary(Some(bytes)) => Raw::Bytes(trim_wide(bytes, reading.stored)),
        ColumnData::Date(Some(date)) => Raw::Date(days(*date)),
        ColumnData::DateTime2(Some(at)) => Raw::Timestamp(hundred_nanos(*at)),
        ColumnData::DateTimeOffset(Some(at)) => Raw::Instant(hundred_nanos(at.datetime2())),
        ColumnData::DateTime(Some(at)) => Raw::Timestamp(Moment {
            units: datetime(*at) * 1000,
            digits: 6,
        }),
        ColumnData::SmallDateTime(Some(at)) => Raw::Timestamp(Moment {
            units: smalldatetime(*at) * 1_000_000,
            digits: 6,
        }),
        // NULL, or what no conversion takes.
        _ => {
            return is_null(data).then(|| encoder.null());
        }
    };
    conversion.push(raw, reading.kind, encoder)
}

/// Appends one value; `None` when it is not of its kind.
#[inline]
fn value(data: &ColumnData<'static>, reading: &Reading, encoder: &mut RowEncoder) -> Option<()> {
    match data {
        ColumnData::String(Some(text)) => match reading.kind {
            Kind::Text => encoder.text(trim(text.as_bytes(), reading.stored)),
            Kind::Uuid => push_uuid_text(encoder, trim(text.as_bytes(), reading.stored)),
            _ => return None,
        },
        ColumnData::Numeric(Some(number)) if reading.kind == Kind::Decimal => {
            push_scaled(encoder, number.value(), number.scale());
        }
        ColumnData::I32(Some(number)) => int((*number).into(), reading, encoder)?,
        ColumnData::I64(Some(number)) => int(*number, reading, encoder)?,
        ColumnData::I16(Some(number)) => int((*number).into(), reading, encoder)?,
        ColumnData::U8(Some(number)) => int((*number).into(), reading, encoder)?,
        ColumnData::Date(Some(date)) if reading.kind == Kind::Date => encoder.date(days(*date)),
        // As an instant, these three are taken for UTC.
        ColumnData::DateTime2(Some(at)) => reading
            .kind
            .push_moment(encoder, |resolution| Some(datetime2(*at, resolution)))?,
        ColumnData::DateTime(Some(at)) => reading.kind.push_moment(encoder, |resolution| {
            Some(resolution.convert(datetime(*at), 3))
        })?,
        ColumnData::SmallDateTime(Some(at)) => reading.kind.push_moment(encoder, |resolution| {
            Some(resolution.convert(smalldatetime(*at), 0))
        })?,
        // On the wire its date and time are UTC; the offset says how to show it.
        ColumnData::DateTimeOffset(Some(at)) => {
            let Kind::Instant(resolution) = reading.kind else {
                return None;
            };
            encoder.instant(resolution.unit(), datetime2(at.datetime2(), resolution));
        }
        ColumnData::Time(Some(time)) => {
            let Kind::Time(resolution) = reading.kind else {
                return None;
            };
            encoder.time(resolution.unit(), resolution.convert(ticks(*time), 7));
        }
        ColumnData::Guid(Some(uuid)) if reading.kind == Kind::Uuid => encoder.uuid(uuid.as_bytes()),
        ColumnData::Bit(Some(value)) if reading.kind == Kind::Bool => encoder.bool(*value),
        ColumnData::Binary(Some(bytes)) if reading.kind == Kind::Bytes => encoder.bytes(bytes),
        ColumnData::F64(Some(number)) => match reading.kind {
            Kind::Float64 => encoder.float64(*number),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "compared in the precision of the coarser side"
            )]
            Kind::Float32 => encoder.float32(*number as f32),
            _ => return None,
        },
        ColumnData::F32(Some(number)) => match reading.kind {
            Kind::Float64 => encoder.float64((*number).into()),
            Kind::Float32 => encoder.float32(*number),
            _ => return None,
        },
        _ if is_null(data) => encoder.null(),
        _ => return None,
    }
    Some(())
}

/// UTF-16 without the blanks at its end, where they mean nothing.
fn trim_wide(mut bytes: &[u8], stored: Stored) -> &[u8] {
    if stored == Stored::PaddedText {
        while let [rest @ .., b' ', 0] = bytes {
            bytes = rest;
        }
    }
    bytes
}

macro_rules! column_data {
    ($($kind:ident $name:literal,)+) => {
        /// What the driver read, without its value.
        fn name(data: &ColumnData<'static>) -> &'static str {
            match data {
                $(ColumnData::$kind(_) => $name,)+
            }
        }

        fn is_null(data: &ColumnData<'static>) -> bool {
            matches!(data, $(ColumnData::$kind(None))|+)
        }
    };
}

column_data! {
    U8 "a tinyint",
    I16 "a smallint",
    I32 "an int",
    I64 "a bigint",
    F32 "a real",
    F64 "a float",
    Bit "a bit",
    String "text",
    Guid "a uniqueidentifier",
    Binary "bytes",
    Numeric "a decimal",
    Xml "XML",
    DateTime "a datetime",
    SmallDateTime "a smalldatetime",
    Time "a time",
    Date "a date",
    DateTime2 "a datetime2",
    DateTimeOffset "a datetimeoffset",
}

#[inline]
fn int(number: i64, reading: &Reading, encoder: &mut RowEncoder) -> Option<()> {
    match (reading.kind, number) {
        (Kind::Int, _) => encoder.int(number),
        (Kind::Decimal, _) => push_scaled(encoder, number.into(), 0),
        (Kind::Bool, 0) => encoder.bool(false),
        (Kind::Bool, 1) => encoder.bool(true),
        (Kind::Bool, _) => encoder.int(number),
        _ => return None,
    }
    Some(())
}

#[inline]
fn days(date: Date) -> i32 {
    date.days().cast_signed() - DAYS_FROM_YEAR_1
}

/// 100 ns since midnight.
#[inline]
fn ticks(time: Time) -> i64 {
    time.increments().cast_signed() * 10_i64.pow(7_u32.saturating_sub(time.scale().into()))
}

#[inline]
fn datetime2(at: DateTime2, resolution: Resolution) -> i64 {
    let Moment { units, digits } = hundred_nanos(at);
    resolution.convert(units, digits)
}

#[inline]
fn hundred_nanos(at: DateTime2) -> Moment {
    Moment {
        units: i64::from(days(at.date())) * SECONDS_OF_DAY * 10_000_000 + ticks(at.time()),
        digits: 7,
    }
}

/// Milliseconds since 2000-01-01, as SQL Server shows them: .000, .003 or .007 in the last digit.
fn datetime(at: DateTime) -> i64 {
    let milliseconds = (i64::from(at.seconds_fragments()) * 10 + 1) / 3;
    (i64::from(at.days()) - DAYS_FROM_1900) * SECONDS_OF_DAY * 1000 + milliseconds
}

/// Seconds since 2000-01-01.
fn smalldatetime(at: SmallDateTime) -> i64 {
    // The second field counts minutes.
    (i64::from(at.days()) - DAYS_FROM_1900) * SECONDS_OF_DAY
        + i64::from(at.seconds_fragments()) * 60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datetime_shows_milliseconds_as_the_server_does() {
        // .997 is 299 of 300 steps, .003 is 1, .007 is 2, .010 is 3.
        for (fragments, shown) in [
            (0, 0),
            (1, 3),
            (2, 7),
            (3, 10),
            (299, 997),
            (300, 1000),
            (25_919_999, 86_399_997),
        ] {
            assert_eq!(
                datetime(DateTime::new(36_524, fragments)),
                shown,
                "{fragments}/300 s"
            );
        }
        assert_eq!(datetime(DateTime::new(36_523, 25_919_999)), -3);
    }

    #[test]
    fn blanks_of_a_fixed_length_mean_nothing_in_utf16_either() {
        let wide = |text: &str| -> Vec<u8> {
            text.encode_utf16()
                .flat_map(|unit| unit.to_le_bytes())
                .collect()
        };
        // U+2000 has the two bytes of a blank the other way round.
        for (text, left) in [("a b  ", "a b"), ("  ", ""), ("a\u{2000} ", "a\u{2000}")] {
            assert_eq!(trim_wide(&wide(text), Stored::PaddedText), wide(left));
            assert_eq!(trim_wide(&wide(text), Stored::Text), wide(text));
        }
    }

    #[test]
    fn smalldatetime_counts_minutes() {
        assert_eq!(
            smalldatetime(SmallDateTime::new(36_525, 61)),
            86_400 + 3_660
        );
    }
}

//! Malformed input: the reader of binary COPY and every decoder of values accept
//! arbitrary bytes without a panic. A truncated stream is an error, and the rows
//! before the end are the same as those of the whole stream.
//!
//! `FUZZ_MINUTES=n` sets the total time in minutes; without it each test takes
//! two seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::database::postgres::scan::CopyReader;
use crate::engine::database::scan::{Query, ValueLimits};
use crate::engine::error::DatabaseError;
use crate::engine::values::canonical::{
    Decimal, DecimalClass, Iso8601, RowEncoder, RowSink, Values, canonical_json, canonical_xml,
    parse_decimal, twos_complement_decimal,
};
use crate::engine::values::conversion::{Conversion, Raw};
use crate::engine::values::folding::Folding;
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::moment::Moment;
use crate::engine::values::reading::{Reading, Stored};
use crate::engine::values::tolerance::within;
use crate::engine::values::value::{to_json, to_text};
use crate::engine::values::zone::Zone;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use shared::options::{ColumnRule, Normalization, Rounding, Tolerance, Trim};

/// Checks `property` on values of `strategy` until the time is over.
fn fuzz<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> TestCaseResult) {
    let time = std::env::var("FUZZ_MINUTES").map_or(Duration::from_secs(2), |minutes| {
        // Five tests on two threads take three rounds.
        Duration::from_secs_f64(minutes.parse::<f64>().unwrap() * 60.0 / 3.0)
    });
    let config = Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let begin = Instant::now();
    let mut rounds = 0;
    while begin.elapsed() < time {
        TestRunner::new(config.clone())
            .run(&strategy, &property)
            .unwrap_or_else(|error| panic!("{error}"));
        rounds += config.cases;
    }
    println!("{rounds} tries");
}

/// A column of a stream, and the shape of its values.
#[derive(Debug, Clone)]
struct Column {
    reading: Reading,
    shape: Shape,
}

/// The bytes that a type's send function produces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Wide(usize),
    Numeric,
    Text,
    Bytes,
}

fn resolution(digits: u8) -> Resolution {
    Resolution {
        digits,
        rounding: Rounding::HalfUp,
        from_2000: false,
    }
}

fn columns() -> Vec<Column> {
    [plain_columns(), converted_columns()].concat()
}

fn plain_columns() -> Vec<Column> {
    let plain = |kind, stored, shape| Column {
        reading: Reading {
            kind,
            stored,
            conversion: None,
        },
        shape,
    };
    vec![
        plain(Kind::Bool, Stored::Bool, Shape::Wide(1)),
        plain(Kind::Int, Stored::Int, Shape::Wide(2)),
        plain(Kind::Int, Stored::Int, Shape::Wide(4)),
        plain(Kind::Int, Stored::Int, Shape::Wide(8)),
        plain(Kind::Decimal, Stored::Int, Shape::Wide(8)),
        plain(Kind::Decimal, Stored::Decimal, Shape::Numeric),
        plain(Kind::Float64, Stored::Float64, Shape::Wide(8)),
        plain(Kind::Float32, Stored::Float32, Shape::Wide(4)),
        plain(Kind::Float32, Stored::Float64, Shape::Wide(8)),
        plain(Kind::Text, Stored::Text, Shape::Text),
        plain(Kind::Text, Stored::PaddedText, Shape::Text),
        plain(Kind::Bytes, Stored::Bytes, Shape::Bytes),
        plain(Kind::Date, Stored::Date, Shape::Wide(4)),
        plain(Kind::Time(resolution(3)), Stored::AsKind, Shape::Wide(8)),
        plain(
            Kind::Timestamp(resolution(0)),
            Stored::AsKind,
            Shape::Wide(8),
        ),
        plain(
            Kind::Timestamp(resolution(6)),
            Stored::AsKind,
            Shape::Wide(8),
        ),
        plain(Kind::Instant(resolution(3)), Stored::AsKind, Shape::Wide(8)),
        plain(Kind::Uuid, Stored::AsKind, Shape::Wide(16)),
        plain(Kind::Uuid, Stored::Text, Shape::Text),
    ]
}

fn converted(kind: Kind, stored: Stored, conversion: Conversion, shape: Shape) -> Column {
    Column {
        reading: Reading {
            kind,
            stored,
            conversion: Some(conversion),
        },
        shape,
    }
}

fn converted_columns() -> Vec<Column> {
    let mut columns = times_and_words();
    columns.extend([
        converted(Kind::Json, Stored::Text, Conversion::Json, Shape::Text),
        converted(
            Kind::Decimal,
            Stored::Float64,
            Conversion::Number,
            Shape::Wide(8),
        ),
        converted(
            Kind::Decimal,
            Stored::Text,
            Conversion::DecimalText,
            Shape::Text,
        ),
        converted(
            Kind::Date,
            Stored::Int,
            Conversion::EpochDays,
            Shape::Wide(4),
        ),
        converted(
            Kind::Timestamp(resolution(6)),
            Stored::Int,
            Conversion::Epoch(3),
            Shape::Wide(8),
        ),
        converted(
            Kind::Time(resolution(6)),
            Stored::Int,
            Conversion::SinceMidnight(9),
            Shape::Wide(8),
        ),
        converted(
            Kind::Timestamp(resolution(3)),
            Stored::Date,
            Conversion::StartOfDay,
            Shape::Wide(4),
        ),
        converted(
            Kind::Instant(resolution(6)),
            Stored::Text,
            Conversion::Iso8601,
            Shape::Text,
        ),
        converted(
            Kind::Decimal,
            Stored::Bytes,
            Conversion::DecimalBytes { scale: 2 },
            Shape::Bytes,
        ),
        converted(Kind::Bytes, Stored::Text, Conversion::Base64, Shape::Text),
        converted(Kind::Bytes, Stored::Text, Conversion::Hex, Shape::Text),
        converted(
            Kind::Text,
            Stored::Text,
            Conversion::Text(folding()),
            Shape::Text,
        ),
    ]);
    columns
}

fn times_and_words() -> Vec<Column> {
    vec![
        converted(
            Kind::Timestamp(resolution(3)),
            Stored::Text,
            Conversion::SqlServerText,
            Shape::Text,
        ),
        converted(
            Kind::Timestamp(resolution(6)),
            Stored::Instant,
            Conversion::LocalTime(zone()),
            Shape::Wide(8),
        ),
        converted(
            Kind::Timestamp(resolution(0)),
            Stored::Timestamp,
            Conversion::LocalTime(zone()),
            Shape::Wide(8),
        ),
        converted(
            Kind::Bool,
            Stored::Text,
            Conversion::BooleanText(Arc::default()),
            Shape::Text,
        ),
        converted(Kind::Text, Stored::Text, Conversion::Xml, Shape::Text),
    ]
}

fn zone() -> Zone {
    Zone::named("America/New_York").unwrap()
}

fn folding() -> Folding {
    Folding::of(&ColumnRule {
        trim: Some(Trim::Both),
        case_insensitive: true,
        unicode: Some(Normalization::Nfkc),
        ..ColumnRule::default()
    })
}

/// Numbers at and around the limits of the conversions.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -3_i64..3,
        select(vec![
            i64::MAX,
            i64::MAX - 1,
            i64::MIN,
            i64::MIN + 1,
            i64::from(i32::MAX),
            i64::from(i32::MIN),
            253_402_300_799_999,
            9_223_371_331_199_999_999,
            -211_813_488_000_000_000,
        ]),
    ]
}

/// Arbitrary text, and text that resembles a number, a time, encoded bytes or JSON.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,20}",
        "[-+]?[0-9]{0,25}[.]?[0-9]{0,25}([eE][-+]?[0-9]{1,6})?",
        "[0-9]{1,5}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{0,20})?)?(Z|[-+][0-9]{2}:?[0-9]{0,2})?)?",
        "(0x|[\\\\]x)?[0-9a-fA-F]{0,9}",
        "[A-Za-z0-9+/_-]{0,12}={0,3}",
        "[A-Za-z]{0,3} {0,2}[0-9]{1,2} [0-9]{1,4} {0,2}[0-9]{1,2}:[0-9]{2}[AP]M( [-+][0-9]{2}:[0-9]{2})?",
        "(<[a-c]( [a-c]='[a-c&;#0-9]{0,4}')?/?>|</[a-c]>|[a-c ]|&[a-z#0-9]{0,4};){0,8}",
        json(),
    ]
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[-]?(0|[1-9][0-9]{0,20})([.][0-9]{1,20})?([eE][-+]?[0-9]{1,3})?",
        "\"([a-zé\u{1F600} ]|\\\\[nt\"\\\\/]|\\\\u[0-9a-fA-F]{4}){0,6}\"",
        select(vec!["null", "true", "false"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" ,"))),
            vec(("[ab\\\\]?[a-c]{0,2}", inner), 0..4).prop_map(|members| {
                let members: Vec<String> = members
                    .into_iter()
                    .map(|(name, value)| format!("\"{}\" : {value}", name.replace('\\', "\\\\")))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn numeric() -> impl Strategy<Value = Vec<u8>> {
    let signs = select(vec![0_u16, 0x4000, 0xC000, 0xD000, 0xF000]);
    let weight = prop_oneof![-20_i16..20, any::<i16>()];
    (vec(0_u16..10_000, 0..12), weight, signs).prop_map(|(digits, weight, sign)| {
        let count = u16::try_from(digits.len()).unwrap();
        let mut bytes = [count.to_be_bytes(), weight.to_be_bytes()].concat();
        bytes.extend([sign.to_be_bytes(), 5_u16.to_be_bytes()].concat());
        bytes.extend(digits.iter().flat_map(|digit| digit.to_be_bytes()));
        bytes
    })
}

fn field(shape: Shape) -> BoxedStrategy<Option<Vec<u8>>> {
    let bytes = match shape {
        Shape::Wide(8) => number().prop_map(|n| n.to_be_bytes().to_vec()).boxed(),
        Shape::Wide(length) => vec(any::<u8>(), length).boxed(),
        Shape::Numeric => numeric().boxed(),
        Shape::Text => text().prop_map(String::into_bytes).boxed(),
        Shape::Bytes => vec(any::<u8>(), 0..24).boxed(),
    };
    prop_oneof![1 => Just(None), 6 => bytes.prop_map(Some)].boxed()
}

/// Columns and rows.
type Table = (Vec<Column>, Vec<Vec<Option<Vec<u8>>>>);

fn table() -> impl Strategy<Value = Table> {
    vec(select(columns()), 1..6).prop_flat_map(|columns| {
        let row: Vec<_> = columns.iter().map(|column| field(column.shape)).collect();
        (Just(columns), vec(row, 0..6))
    })
}

/// The messages of a COPY: one a row, the header before the first row, then the trailer.
fn messages(rows: &[Vec<Option<Vec<u8>>>]) -> Vec<Vec<u8>> {
    let mut header = b"PGCOPY\n\xFF\r\n\0".to_vec();
    header.extend_from_slice(&[0; 8]);
    let mut messages = vec![header];
    for row in rows {
        let mut message = i16::try_from(row.len()).unwrap().to_be_bytes().to_vec();
        for field in row {
            match field {
                None => message.extend((-1_i32).to_be_bytes()),
                Some(bytes) => {
                    message.extend(i32::try_from(bytes.len()).unwrap().to_be_bytes());
                    message.extend(bytes);
                }
            }
        }
        messages.push(message);
    }
    messages.push((-1_i16).to_be_bytes().to_vec());
    let first = messages.remove(1);
    messages[0].extend(first);
    messages
}

#[derive(Default)]
struct Rows(Vec<Vec<u8>>);

impl RowSink for Rows {
    fn end_row(&mut self, row: &RowEncoder) -> std::io::Result<()> {
        self.0.push(row.row().to_vec());
        Ok(())
    }
}

/// The rows that were read, and their number or the error.
fn read(columns: &[Column], messages: &[Vec<u8>]) -> (Vec<Vec<u8>>, Result<u64, DatabaseError>) {
    let query = Query {
        statement: String::new(),
        parameters: Vec::new(),
        readings: columns
            .iter()
            .map(|column| column.reading.clone())
            .collect(),
        undecoded: None,
        never_null: None,
        marks_large: false,
        names: Vec::new().into(),
        limits: ValueLimits::NONE,
        key_columns: 1,
    };
    let (mut reader, mut rows) = (CopyReader::new(&query), Rows::default());
    for message in messages {
        if let Err(error) = reader.message(&Bytes::copy_from_slice(message), &query, &mut rows) {
            return (rows.0, Err(error));
        }
    }
    let end = reader.finish();
    (rows.0, end)
}

/// Every row has exactly `columns` values, and all of them can be rendered.
fn check_rows(rows: &[Vec<u8>], columns: usize) -> TestCaseResult {
    for row in rows {
        let values: Result<Vec<&[u8]>, _> = Values::new(row).collect();
        let values = values.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(values.len(), columns);
        for value in values {
            prop_assert!(!to_text(value).is_empty() || value.len() <= 6);
            prop_assert!(!to_json(value).to_string().is_empty());
        }
    }
    Ok(())
}

#[test]
fn a_truncated_copy_is_an_error_and_gives_no_other_rows() {
    fuzz(
        (table(), any::<prop::sample::Index>()),
        |((columns, rows), cut)| {
            let whole = messages(&rows);
            let (read_whole, end) = read(&columns, &whole);
            check_rows(&read_whole, columns.len())?;
            // A number out of the range of times may be refused; otherwise all rows are read.
            if let Ok(count) = end {
                prop_assert_eq!(count, rows.len() as u64);
                prop_assert_eq!(read_whole.len(), rows.len());
            }
            // Truncated at any byte, as the original messages and as one message.
            let mut left = cut.index(whole.iter().map(Vec::len).sum());
            let mut cut_messages = Vec::new();
            for message in &whole {
                let part = left.min(message.len());
                cut_messages.push(message[..part].to_vec());
                left -= part;
                if left == 0 {
                    break;
                }
            }
            for messages in [cut_messages.clone(), vec![cut_messages.concat()]] {
                let (read_cut, end) = read(&columns, &messages);
                prop_assert!(
                    end.is_err(),
                    "{} bytes are not a complete stream",
                    messages.concat().len()
                );
                prop_assert!(read_whole.starts_with(&read_cut));
            }
            Ok(())
        },
    );
}

#[test]
fn a_corrupted_copy_never_panics_and_gives_complete_rows() {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0_u8..6);
    fuzz(
        (table(), vec(change, 1..5)),
        |((columns, rows), changes)| {
            let mut bytes = messages(&rows).concat();
            for (at, byte, what) in changes {
                let at = at.index(bytes.len());
                match what {
                    0 => bytes[at] = byte,
                    1 => bytes[at] ^= 1 << (byte % 8),
                    2 => bytes.insert(at, byte),
                    3 if bytes.len() > 1 => {
                        bytes.remove(at);
                    }
                    4 => bytes.truncate(at.max(1)),
                    _ => {
                        let part = bytes[at..(at + usize::from(byte)).min(bytes.len())].to_vec();
                        bytes.splice(at..at, part);
                    }
                }
            }
            let (read, end) = read(&columns, &[bytes]);
            check_rows(&read, columns.len())?;
            if let Ok(count) = end {
                prop_assert_eq!(count, read.len() as u64);
            }
            Ok(())
        },
    );
}

#[test]
fn values_of_arbitrary_bytes_are_rendered_and_compared() {
    let tolerances = select(vec![
        Tolerance::Absolute("0.5".to_owned()),
        Tolerance::Absolute("1e400".to_owned()),
        Tolerance::Relative(0.1),
    ]);
    let encoded = || {
        (select(columns()), any::<u64>()).prop_flat_map(|(column, _)| {
            let shape = column.shape;
            (Just(column), field(shape))
        })
    };
    fuzz(
        (vec(any::<u8>(), 0..64), encoded(), encoded(), tolerances),
        |(bytes, left, right, tolerance)| {
            for value in Values::new(&bytes).map_while(Result::ok) {
                prop_assert!(!to_json(value).to_string().is_empty());
                prop_assert!(to_text(value).len() < 200_000);
            }
            let value = |(column, field): (Column, Option<Vec<u8>>)| {
                read(&[column], &messages(&[vec![field]])).0.pop()
            };
            if let (Some(left), Some(right)) = (value(left), value(right)) {
                prop_assert!(within(&left, &left, &tolerance));
                prop_assert_eq!(
                    within(&left, &right, &tolerance),
                    within(&right, &left, &tolerance)
                );
            }
            Ok(())
        },
    );
}

fn conversions() -> impl Strategy<Value = Conversion> {
    select(vec![
        Conversion::Number,
        Conversion::Text(folding()),
        Conversion::DatabaseText(folding()),
        Conversion::StartOfDay,
        Conversion::EpochDays,
        Conversion::Epoch(0),
        Conversion::Epoch(3),
        Conversion::Epoch(6),
        Conversion::Epoch(9),
        Conversion::SinceMidnight(3),
        Conversion::SinceMidnight(6),
        Conversion::SinceMidnight(9),
        Conversion::Iso8601,
        Conversion::SqlServerText,
        Conversion::LocalTime(zone()),
        Conversion::BooleanText(Arc::default()),
        Conversion::Xml,
        Conversion::DecimalText,
        Conversion::DecimalBytes { scale: 0 },
        Conversion::DecimalBytes { scale: 255 },
        Conversion::Base64,
        Conversion::Hex,
        Conversion::Json,
    ])
}

fn kinds() -> impl Strategy<Value = Kind> {
    select(
        (0..=7)
            .flat_map(|digits| {
                [
                    Kind::Time(resolution(digits)),
                    Kind::Timestamp(resolution(digits)),
                    Kind::Instant(resolution(digits)),
                ]
            })
            .chain([
                Kind::Bool,
                Kind::Date,
                Kind::Decimal,
                Kind::Text,
                Kind::Bytes,
                Kind::Json,
            ])
            .collect::<Vec<Kind>>(),
    )
}

#[test]
fn every_conversion_accepts_every_value() {
    let classes = select(vec![
        DecimalClass::Positive,
        DecimalClass::Negative,
        DecimalClass::NotANumber,
        DecimalClass::Infinity,
    ]);
    let values = (
        number(),
        text(),
        vec(any::<u8>(), 0..40),
        classes,
        any::<i16>(),
    );
    fuzz(
        (conversions(), kinds(), values),
        |(conversion, kind, values)| {
            let (number, text, bytes, class, weight) = values;
            let digits: Vec<u8> = bytes
                .chunks_exact(2)
                .flat_map(|pair| (u16::from_be_bytes([pair[0], pair[1]]) % 10_000).to_be_bytes())
                .collect();
            #[expect(clippy::cast_possible_truncation, reason = "any value will do")]
            let days = number as i32;
            for raw in [
                Raw::Bool(number > 0),
                Raw::Int(number),
                Raw::Decimal(Decimal::new(class, weight, &digits)),
                Raw::Float32(f32::from_bits(days.cast_unsigned())),
                Raw::Float64(f64::from_bits(number.cast_unsigned())),
                Raw::Text(text.as_bytes()),
                Raw::Bytes(&bytes),
                Raw::Bytes(text.as_bytes()),
                Raw::Date(days),
                Raw::Timestamp(Moment {
                    units: number,
                    digits: 6,
                }),
                Raw::Instant(Moment {
                    units: number,
                    digits: 7,
                }),
            ] {
                let mut encoder = RowEncoder::default();
                encoder.start_row();
                if conversion.push(raw, kind, &mut encoder).is_some() {
                    check_rows(&[encoder.row().to_vec()], 1)?;
                }
            }
            Ok(())
        },
    );
}

#[test]
fn a_canonical_value_reads_back_as_itself() {
    let corrupted = (json(), any::<prop::sample::Index>(), any::<u8>());
    fuzz(
        (text(), corrupted, vec(any::<u8>(), 0..80)),
        |(text, corrupted, bytes)| {
            let (json, at, byte) = corrupted;
            let canonical = canonical_json(json.as_bytes());
            if let Some(canonical) = &canonical {
                prop_assert_eq!(canonical_json(canonical), Some(canonical.clone()));
            }
            // JSON with U+0000 may be refused, because no database stores that character.
            let parsed: Result<serde_json::Value, _> = serde_json::from_str(&json);
            prop_assert!(
                parsed.is_err() || canonical.is_some() || json.contains("\\u0000"),
                "{json} is JSON"
            );
            let mut mutated = json.into_bytes();
            if !mutated.is_empty() {
                let at = at.index(mutated.len());
                mutated[at] = byte;
            }
            for input in [&mutated, &bytes, &text.clone().into_bytes()] {
                if let Some(canonical) = canonical_json(input) {
                    prop_assert_eq!(canonical_json(&canonical), Some(canonical.clone()));
                    prop_assert!(std::str::from_utf8(&canonical).is_ok());
                }
                if let Some(canonical) = canonical_xml(input) {
                    prop_assert_eq!(canonical_xml(&canonical), Some(canonical.clone()));
                }
                let mut buffer = Vec::new();
                if let Some(decimal) = parse_decimal(input, &mut buffer) {
                    let mut encoder = RowEncoder::default();
                    encoder.start_row();
                    encoder.decimal(&decimal);
                    let written = to_text(encoder.row());
                    let mut buffer = Vec::new();
                    let again = parse_decimal(written.as_bytes(), &mut buffer);
                    let first = encoder.row().to_vec();
                    encoder.start_row();
                    encoder.decimal(&again.unwrap());
                    prop_assert_eq!(encoder.row(), &first[..], "{}", written);
                }
                let mut buffer = Vec::new();
                let scaled = twos_complement_decimal(input, 7, &mut buffer).is_some();
                prop_assert!(scaled || input.is_empty() || input.len() > 1000);
                // The result does not matter; the parser must not panic.
                prop_assert!(Iso8601::parse(input).is_none() || input.len() >= 5);
            }
            Ok(())
        },
    );
}

//! Conversions of values before they are compared: the encodings that Debezium
//! writes, JSON, XML, booleans in words, local times, and text of which blanks or case are ignored. A value that
//! cannot be converted is not an error: it is encoded as it is, equals no value
//! of the other side, and is a difference.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::engine::values::boolean_words::BooleanWords;
use crate::engine::values::canonical::{
    Count, Decimal, Iso8601, RowEncoder, TimeUnit, canonical_json, canonical_xml, float32_decimal,
    float64_decimal, parse_decimal, parse_sql_server_local_text, parse_sql_server_text,
    twos_complement_decimal,
};
use crate::engine::values::folding::Folding;
use crate::engine::values::kind::Kind;
use crate::engine::values::moment::{DAYS_FROM_1970, Moment, SECONDS_OF_DAY};
use crate::engine::values::surrogates::from_utf16;
use crate::engine::values::zone::Zone;

/// How a value is converted to the kind that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// A boolean or float to the decimal that it stands for.
    Number,
    /// Text to its folded form.
    Text(Folding),
    /// The database's own conversion to text, to its folded form.
    DatabaseText(Folding),
    /// A date to its midnight.
    StartOfDay,
    /// A number of days since 1970-01-01.
    EpochDays,
    /// A number of 10^-n s since 1970-01-01 UTC.
    Epoch(u8),
    /// A number of 10^-n s since midnight.
    SinceMidnight(u8),
    /// A date or time in ISO 8601.
    Iso8601,
    /// A date or time as SQL Server's `CONVERT` writes it.
    SqlServerText,
    /// A timestamp without zone or an instant to the local time of a zone.
    LocalTime(Zone),
    /// A number as text.
    DecimalText,
    /// A decimal's unscaled value as bytes, big-endian two's complement, or as
    /// Base64 of these bytes.
    DecimalBytes {
        /// Digits after the point.
        scale: u8,
    },
    /// Bytes as Base64, in either alphabet.
    Base64,
    /// Bytes as hexadecimal digits, perhaps after `0x` or `\x`.
    Hex,
    /// JSON as text.
    Json,
    /// XML to its canonical form.
    Xml,
    /// Words that stand for booleans.
    BooleanText(Arc<BooleanWords>),
}

/// A value as a database sends it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Raw<'a> {
    Bool(bool),
    Int(i64),
    Decimal(Decimal<'a>),
    Float32(f32),
    Float64(f64),
    /// Text, without the padding of its type.
    Text(&'a [u8]),
    /// Bytes; for a conversion of text, little-endian UTF-16.
    Bytes(&'a [u8]),
    /// Days since 2000-01-01; the least and the greatest number are the infinities.
    Date(i32),
    /// A timestamp without zone, in microseconds or 100 ns.
    Timestamp(Moment),
    /// An instant, in microseconds or 100 ns.
    Instant(Moment),
}

impl Conversion {
    /// Converts `raw` to `kind` and appends it. `None` if a column of this
    /// conversion cannot have such a value.
    pub(crate) fn push(&self, raw: Raw<'_>, kind: Kind, encoder: &mut RowEncoder) -> Option<()> {
        match (self, raw) {
            (Self::Number, _) => number(raw, encoder)?,
            (Self::Text(folding) | Self::DatabaseText(folding), Raw::Text(text)) => {
                encoder.text(&folding.apply(text));
            }
            (Self::DatabaseText(folding), Raw::Bytes(bytes)) => {
                encoder.text(&folding.apply(&from_utf16(bytes)?));
            }
            (Self::StartOfDay, Raw::Date(days)) => start_of_day(days, kind, encoder)?,
            (Self::EpochDays | Self::Epoch(_) | Self::SinceMidnight(_), _) => {
                match whole(raw) {
                    Some(count) => self.count(count, kind, encoder),
                    None => unconverted(raw, encoder),
                };
            }
            (Self::Iso8601, Raw::Text(text)) => time(Iso8601::parse, text, kind, encoder),
            (Self::SqlServerText, Raw::Text(text)) => {
                let parse = match kind {
                    Kind::Timestamp(_) => parse_sql_server_local_text,
                    _ => parse_sql_server_text,
                };
                time(parse, text, kind, encoder);
            }
            (Self::LocalTime(zone), Raw::Timestamp(moment)) => {
                local_time(moment, zone.existing(moment), kind, encoder)?;
            }
            (Self::LocalTime(zone), Raw::Instant(moment)) => {
                local_time(moment, zone.local_time(moment), kind, encoder)?;
            }
            (Self::DecimalText, Raw::Text(text)) => match parse_decimal(text, &mut Vec::new()) {
                Some(decimal) => encoder.decimal(&decimal),
                None => encoder.text(text),
            },
            (Self::DecimalBytes { scale }, Raw::Bytes(bytes)) => {
                match twos_complement_decimal(bytes, *scale, &mut Vec::new()) {
                    Some(decimal) => encoder.decimal(&decimal),
                    None => encoder.bytes(bytes),
                }
            }
            (Self::DecimalBytes { scale }, Raw::Text(text)) => {
                let (bytes, mut digits) = (base64(text).unwrap_or_default(), Vec::new());
                match twos_complement_decimal(&bytes, *scale, &mut digits) {
                    Some(decimal) => encoder.decimal(&decimal),
                    None => encoder.text(text),
                }
            }
            (Self::Base64, Raw::Text(text)) => match base64(text) {
                Some(bytes) => encoder.bytes(&bytes),
                None => encoder.text(text),
            },
            (Self::Hex, Raw::Text(text)) => match hexadecimal(text) {
                Some(bytes) => encoder.bytes(&bytes),
                None => encoder.text(text),
            },
            (Self::Json, Raw::Text(text)) => match canonical_json(text) {
                Some(json) => encoder.json(&json),
                None => encoder.text(text),
            },
            (Self::Xml, Raw::Text(text)) => match canonical_xml(text) {
                Some(xml) => encoder.text(&xml),
                None => encoder.text(text),
            },
            (Self::BooleanText(words), Raw::Text(text)) => match words.truth(text) {
                Some(truth) => encoder.bool(truth),
                None => encoder.text(text),
            },
            _ => return None,
        }
        Some(())
    }

    /// Appends a number of days or fractions of a second; as an integer, if it is
    /// out of range.
    fn count(&self, count: i64, kind: Kind, encoder: &mut RowEncoder) {
        let pushed = match (self, kind) {
            (Self::EpochDays, Kind::Date) => count
                .checked_sub(DAYS_FROM_1970)
                .and_then(|days| i32::try_from(days).ok())
                .filter(|days| *days != i32::MAX && *days != i32::MIN)
                .map(|days| encoder.date(days)),
            (Self::Epoch(digits), _) => {
                let since = i128::from(count)
                    - i128::from(DAYS_FROM_1970 * SECONDS_OF_DAY) * 10_i128.pow((*digits).into());
                kind.push_moment(encoder, |resolution| {
                    resolution.convert_wide(since, *digits)
                })
            }
            (Self::SinceMidnight(digits), Kind::Time(resolution)) => resolution
                .convert_wide(count.into(), *digits)
                .map(|units| encoder.time(resolution.unit(), units)),
            _ => None,
        };
        if pushed.is_none() {
            encoder.int(count);
        }
    }
}

/// The decimal of a boolean or float.
fn number(raw: Raw<'_>, encoder: &mut RowEncoder) -> Option<()> {
    let mut digits = Vec::new();
    let decimal = match raw {
        Raw::Bool(value) => float64_decimal(value.into(), &mut digits),
        Raw::Float64(value) => float64_decimal(value, &mut digits),
        Raw::Float32(value) => float32_decimal(value, &mut digits),
        _ => return None,
    };
    encoder.decimal(&decimal);
    Some(())
}

/// Appends a value that cannot be converted as it is.
fn unconverted(raw: Raw<'_>, encoder: &mut RowEncoder) {
    match raw {
        Raw::Bool(value) => encoder.bool(value),
        Raw::Int(value) => encoder.int(value),
        Raw::Decimal(value) => encoder.decimal(&value),
        Raw::Float32(value) => encoder.float32(value),
        Raw::Float64(value) => encoder.float64(value),
        Raw::Text(value) => encoder.text(value),
        Raw::Bytes(value) => encoder.bytes(value),
        Raw::Date(value) => encoder.date(value),
        Raw::Timestamp(moment) => encoder.timestamp(unit(moment), moment.units),
        Raw::Instant(moment) => encoder.instant(unit(moment), moment.units),
    }
}

fn unit(moment: Moment) -> TimeUnit {
    if moment.digits > 6 {
        TimeUnit::Ticks
    } else {
        TimeUnit::Micros
    }
}

/// Appends `local`, the local time of `moment`, or the infinity that `moment` is. A
/// local time beyond the range of timestamps is encoded as an instant.
fn local_time(
    moment: Moment,
    local: Option<Moment>,
    kind: Kind,
    encoder: &mut RowEncoder,
) -> Option<()> {
    if !matches!(kind, Kind::Timestamp(_)) {
        return None;
    }
    let pushed = kind.push_moment(encoder, |resolution| {
        if moment.is_infinite() {
            return Some(moment.units);
        }
        let local = local?;
        resolution.convert_wide(local.units.into(), local.digits)
    });
    if pushed.is_none() {
        unconverted(Raw::Instant(moment), encoder);
    }
    Some(())
}

/// The value of an integer, decimal or text column as an integer.
fn whole(raw: Raw<'_>) -> Option<i64> {
    match raw {
        Raw::Int(value) => Some(value),
        Raw::Decimal(decimal) => decimal.to_i64(),
        Raw::Text(text) => parse_decimal(text, &mut Vec::new())?.to_i64(),
        _ => None,
    }
}

/// Midnight of a day; the infinities remain infinities. A day beyond the range
/// of timestamps is encoded as a date.
fn start_of_day(days: i32, kind: Kind, encoder: &mut RowEncoder) -> Option<()> {
    if !matches!(kind, Kind::Timestamp(_) | Kind::Instant(_)) {
        return None;
    }
    let pushed = kind.push_moment(encoder, |resolution| {
        let midnight = Moment::midnight(days)?;
        if midnight.is_infinite() {
            return Some(midnight.units);
        }
        resolution.convert_wide(midnight.units.into(), midnight.digits)
    });
    if pushed.is_none() {
        encoder.date(days);
    }
    Some(())
}

/// A notation of dates and times.
type Parse = fn(&[u8]) -> Option<Iso8601>;

/// Appends a date or time in text, or the text if it is none.
fn time(parse: Parse, text: &[u8], kind: Kind, encoder: &mut RowEncoder) {
    if parsed_time(parse, text, kind, encoder).is_none() {
        encoder.text(text);
    }
}

/// Appends text as a value of `kind`. A timestamp with a zone is not converted to
/// one without, nor the other way round.
fn parsed_time(parse: Parse, text: &[u8], kind: Kind, encoder: &mut RowEncoder) -> Option<()> {
    let infinite = match text {
        b"infinity" => Some((i32::MAX, i64::MAX)),
        b"-infinity" => Some((i32::MIN, i64::MIN)),
        _ => None,
    };
    if let Some((days, units)) = infinite {
        match kind {
            Kind::Date => encoder.date(days),
            _ => kind.push_moment(encoder, |_| Some(units))?,
        }
        return Some(());
    }
    match (parse(text)?, kind) {
        (Iso8601::Date(days), Kind::Date) => encoder.date(days),
        (Iso8601::Date(days), Kind::Timestamp(_)) => start_of_day(days, kind, encoder)?,
        (Iso8601::Time(Count { value, digits }), Kind::Time(resolution)) => {
            encoder.time(resolution.unit(), resolution.convert_wide(value, digits)?);
        }
        (Iso8601::Timestamp(Count { value, digits }), Kind::Timestamp(_))
        | (Iso8601::Instant(Count { value, digits }), Kind::Instant(_)) => {
            kind.push_moment(encoder, |resolution| resolution.convert_wide(value, digits))?;
        }
        _ => return None,
    }
    Some(())
}

/// Bytes of hexadecimal digits in upper or lower case, perhaps after `0x` or `\x`.
pub(crate) fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let digits = match text {
        [b'0' | b'\\', b'x' | b'X', rest @ ..] => rest,
        _ => text,
    };
    hex::decode(digits).ok()
}

/// With or without padding. Trailing bits must be zero: otherwise two texts
/// would be the same bytes.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Base64 of RFC 4648 in either alphabet, in one or more lines.
pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .iter()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    BASE64.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::canonical::Values;
    use crate::engine::values::kind::Resolution;
    use crate::engine::values::value::to_text;
    use proptest::prelude::*;
    use shared::options::Rounding;

    fn micros() -> Resolution {
        Resolution {
            digits: 6,
            rounding: Rounding::Truncate,
            from_2000: false,
        }
    }

    fn read(conversion: &Conversion, raw: Raw<'_>, kind: Kind) -> String {
        let mut encoder = RowEncoder::default();
        conversion.push(raw, kind, &mut encoder).unwrap();
        to_text(encoder.row())
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn what_debezium_writes_is_what_it_means() {
        let timestamp = Kind::Timestamp(micros());
        let instant = Kind::Instant(micros());
        let text = |text: &'static str| Raw::Text(text.as_bytes());
        for (conversion, raw, kind, value) in [
            (Conversion::EpochDays, Raw::Int(0), Kind::Date, "1970-01-01"),
            (
                Conversion::EpochDays,
                Raw::Int(-719_162),
                Kind::Date,
                "0001-01-01",
            ),
            (
                Conversion::EpochDays,
                Raw::Int(i64::MAX),
                Kind::Date,
                "9223372036854775807",
            ),
            (
                Conversion::Epoch(0),
                Raw::Int(-1),
                timestamp,
                "1969-12-31T23:59:59",
            ),
            (
                Conversion::Epoch(3),
                Raw::Int(946_684_800_997),
                timestamp,
                "2000-01-01T00:00:00.997",
            ),
            (
                Conversion::Epoch(6),
                text("946684800000001"),
                instant,
                "2000-01-01T00:00:00.000001Z",
            ),
            (
                Conversion::Epoch(9),
                Raw::Int(946_684_800_000_001_999),
                instant,
                "2000-01-01T00:00:00.000001Z",
            ),
            (
                Conversion::Epoch(0),
                Raw::Int(i64::MAX),
                timestamp,
                "9223372036854775807",
            ),
            (Conversion::Epoch(0), text("soon"), timestamp, "soon"),
            (
                Conversion::SinceMidnight(3),
                Raw::Int(86_399_999),
                Kind::Time(micros()),
                "23:59:59.999",
            ),
            (
                Conversion::Iso8601,
                text("2000-01-01T02:00:00.5+02:00"),
                instant,
                "2000-01-01T00:00:00.5Z",
            ),
            (
                Conversion::Iso8601,
                text("2000-01-01"),
                timestamp,
                "2000-01-01T00:00:00",
            ),
            (Conversion::Iso8601, text("infinity"), timestamp, "infinity"),
            (
                Conversion::Iso8601,
                text("2000-01-01T00:00:00Z"),
                timestamp,
                "2000-01-01T00:00:00Z",
            ),
            (Conversion::DecimalText, text("1.50"), Kind::Decimal, "1.5"),
            (Conversion::DecimalText, text("one"), Kind::Decimal, "one"),
            (
                Conversion::DecimalBytes { scale: 2 },
                Raw::Bytes(&[0xFF, 0x38]),
                Kind::Decimal,
                "-2",
            ),
            (
                Conversion::DecimalBytes { scale: 2 },
                Raw::Bytes(&[]),
                Kind::Decimal,
                "0x",
            ),
            (
                Conversion::DecimalBytes { scale: 2 },
                text("D58="),
                Kind::Decimal,
                "39.99",
            ),
            (
                Conversion::DecimalBytes { scale: 2 },
                text("/w"),
                Kind::Decimal,
                "-0.01",
            ),
            (
                Conversion::DecimalBytes { scale: 2 },
                text("39.99"),
                Kind::Decimal,
                "39.99",
            ),
            (
                Conversion::SqlServerText,
                text("Jan  1 2000  1:05PM"),
                timestamp,
                "2000-01-01T13:05:00",
            ),
            (
                Conversion::Iso8601,
                text("Jan  1 2000  1:05PM"),
                timestamp,
                "Jan  1 2000  1:05PM",
            ),
            (
                Conversion::Iso8601,
                text("2000-01-01 02:00:00.5000000 +02:00"),
                instant,
                "2000-01-01T00:00:00.5Z",
            ),
            (
                Conversion::Iso8601,
                text("20000102"),
                Kind::Date,
                "2000-01-02",
            ),
            (
                Conversion::LocalTime(Zone::named("Europe/Berlin").unwrap()),
                Raw::Instant(Moment {
                    units: 5_000_000,
                    digits: 7,
                }),
                timestamp,
                "2000-01-01T01:00:00.5",
            ),
            (
                Conversion::LocalTime(Zone::named("Europe/Berlin").unwrap()),
                Raw::Instant(Moment {
                    units: i64::MAX,
                    digits: 6,
                }),
                timestamp,
                "infinity",
            ),
            (
                Conversion::BooleanText(Arc::default()),
                text("yES"),
                Kind::Bool,
                "true",
            ),
            (
                Conversion::BooleanText(Arc::default()),
                text("maybe"),
                Kind::Bool,
                "maybe",
            ),
            (Conversion::Xml, text("<a/>"), Kind::Text, "<a></a>"),
            (Conversion::Xml, text("<a>"), Kind::Text, "<a>"),
            (Conversion::Base64, text("AP8="), Kind::Bytes, "0x00ff"),
            (Conversion::Base64, text("-_8"), Kind::Bytes, "0xfbff"),
            (Conversion::Base64, text("AP9="), Kind::Bytes, "AP9="),
            (Conversion::Hex, text("\\x00fF"), Kind::Bytes, "0x00ff"),
            (Conversion::Hex, text("0x0"), Kind::Bytes, "0x0"),
            (
                Conversion::Json,
                text("{\"a\": 1.0}"),
                Kind::Json,
                "{\"a\":1}",
            ),
            (Conversion::Json, text("{a}"), Kind::Json, "{a}"),
            (
                Conversion::StartOfDay,
                Raw::Date(1),
                timestamp,
                "2000-01-02T00:00:00",
            ),
            (
                Conversion::StartOfDay,
                Raw::Date(i32::MAX),
                instant,
                "infinity",
            ),
            (Conversion::Number, Raw::Float64(0.1), Kind::Decimal, "0.1"),
            (Conversion::Number, Raw::Bool(true), Kind::Decimal, "1"),
        ] {
            assert_eq!(
                read(&conversion, raw, kind),
                value,
                "{conversion:?} of {raw:?}"
            );
        }
    }

    #[test]
    fn text_that_looks_like_a_value_is_not_that_value() {
        let mut text = RowEncoder::default();
        Conversion::Iso8601
            .push(
                Raw::Text(b"2000-01-01T00:00:00Z"),
                Kind::Timestamp(micros()),
                &mut text,
            )
            .unwrap();
        let mut time = RowEncoder::default();
        time.timestamp(crate::engine::values::canonical::TimeUnit::Micros, 0);
        assert_ne!(text.row(), time.row());
    }

    #[test]
    fn an_unpaired_surrogate_is_no_other_text() {
        let convert = |units: &[u16]| {
            let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let mut encoder = RowEncoder::default();
            Conversion::DatabaseText(Folding::default())
                .push(Raw::Bytes(&bytes), Kind::Text, &mut encoder)
                .unwrap();
            encoder.row().to_vec()
        };
        let text = |text: &str| {
            let mut encoder = RowEncoder::default();
            encoder.text(text.as_bytes());
            encoder.row().to_vec()
        };
        assert_eq!(convert(&[0x61, 0xD83D, 0xDE00, 0]), text("a😀\0"));
        assert_ne!(convert(&[0xD83D]), text("\u{FFFD}"));
        assert_ne!(convert(&[0xD83D]), convert(&[0xDE00]));
        assert_eq!(to_text(&convert(&[0x61, 0xD83D, 0x62])), "a\\ud83db");
    }

    fn raw() -> impl Strategy<Value = (Vec<u8>, u8, i64)> {
        (
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                "[0-9A-Fa-fxTZ:.+=/ -]{0,30}".prop_map(String::into_bytes),
            ],
            0_u8..10,
            any::<i64>(),
        )
    }

    proptest! {
        #[test]
        fn whatever_comes_gives_one_value_or_is_refused((bytes, which, int) in raw(), float in any::<f64>(), kind in kinds(), conversion in conversions()) {
            let raw = match which {
                0 => Raw::Bool(int > 0),
                1 => Raw::Int(int),
                2 => Raw::Float64(float),
                3 => Raw::Date(i32::try_from(int >> 32).unwrap()),
                8 => Raw::Timestamp(Moment { units: int, digits: 6 }),
                9 => Raw::Instant(Moment { units: int, digits: 7 }),
                4 | 5 => Raw::Bytes(&bytes),
                _ => Raw::Text(&bytes),
            };
            let mut encoder = RowEncoder::default();
            encoder.start_row();
            if conversion.push(raw, kind, &mut encoder).is_some() {
                let values: Vec<_> = Values::new(encoder.row()).collect::<Result<_, _>>().unwrap();
                prop_assert_eq!(values.len(), 1);
                prop_assert!(to_text(values[0]).len() <= 400);
            } else {
                prop_assert!(encoder.row().is_empty());
            }
        }

        #[test]
        fn bytes_survive_hexadecimal(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = format!("0x{}", hex::encode_upper(&bytes));
            prop_assert_eq!(hexadecimal(text.as_bytes()), Some(bytes));
        }

        #[test]
        fn base64_reads_one_text_for_each_value(a in "[A-Za-z0-9+/]{0,12}", b in "[A-Za-z0-9+/]{0,12}") {
            if let (Some(left), Some(right)) = (base64(a.as_bytes()), base64(b.as_bytes())) {
                prop_assert_eq!(left == right, a == b);
            }
        }
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        let resolution = (0_u8..=7).prop_map(|digits| Resolution {
            digits,
            rounding: Rounding::HalfEven,
            from_2000: false,
        });
        prop_oneof![
            Just(Kind::Bool),
            Just(Kind::Decimal),
            Just(Kind::Text),
            Just(Kind::Bytes),
            Just(Kind::Json),
            Just(Kind::Date),
            resolution.clone().prop_map(Kind::Time),
            resolution.clone().prop_map(Kind::Timestamp),
            resolution.prop_map(Kind::Instant),
        ]
    }

    fn conversions() -> impl Strategy<Value = Conversion> {
        prop_oneof![
            Just(Conversion::Number),
            Just(Conversion::Text(Folding::default())),
            Just(Conversion::DatabaseText(Folding::default())),
            Just(Conversion::StartOfDay),
            Just(Conversion::EpochDays),
            (0_u8..=9).prop_map(Conversion::Epoch),
            (0_u8..=9).prop_map(Conversion::SinceMidnight),
            Just(Conversion::Iso8601),
            Just(Conversion::SqlServerText),
            Just(Conversion::LocalTime(Zone::named("Europe/Berlin").unwrap())),
            Just(Conversion::Xml),
            Just(Conversion::BooleanText(Arc::default())),
            Just(Conversion::DecimalText),
            (0_u8..=38).prop_map(|scale| Conversion::DecimalBytes { scale }),
            Just(Conversion::Base64),
            Just(Conversion::Hex),
            Just(Conversion::Json),
        ]
    }
}

//! The encodings of values that the `as` option names, and which types they fit.

use std::sync::Arc;

use shared::options::{ColumnRule, Encoding};

use crate::engine::values::boolean_words::BooleanWords;
use crate::engine::values::column::ColumnType;
use crate::engine::values::conversion::Conversion;
use crate::engine::values::kind::{Kind, Resolution};

/// The encodings, and their names in the configuration.
pub(crate) const ENCODINGS: [(Encoding, &str); 18] = [
    (Encoding::EpochDays, "epoch-days"),
    (Encoding::EpochSeconds, "epoch-seconds"),
    (Encoding::EpochMillis, "epoch-millis"),
    (Encoding::EpochMicros, "epoch-micros"),
    (Encoding::EpochNanos, "epoch-nanos"),
    (Encoding::MidnightMillis, "midnight-millis"),
    (Encoding::MidnightMicros, "midnight-micros"),
    (Encoding::MidnightNanos, "midnight-nanos"),
    (Encoding::Iso8601, "iso-8601"),
    (Encoding::SqlServerText, "sql-server-text"),
    (Encoding::DecimalText, "decimal-text"),
    (Encoding::DecimalBytes, "decimal-bytes"),
    (Encoding::Base64, "base64"),
    (Encoding::Hex, "hex"),
    (Encoding::Json, "json"),
    (Encoding::Xml, "xml"),
    (Encoding::BooleanText, "boolean-text"),
    (Encoding::Utc, "utc"),
];

pub(crate) fn encoding_name(encoding: Encoding) -> &'static str {
    ENCODINGS
        .iter()
        .find(|(other, _)| *other == encoding)
        .map_or("", |(_, name)| name)
}

/// The conversion of numbers that count days or fractions of a second.
pub(crate) fn counted(encoding: Encoding) -> Option<Conversion> {
    Some(match encoding {
        Encoding::EpochDays => Conversion::EpochDays,
        Encoding::EpochSeconds => Conversion::Epoch(0),
        Encoding::EpochMillis => Conversion::Epoch(3),
        Encoding::EpochMicros => Conversion::Epoch(6),
        Encoding::EpochNanos => Conversion::Epoch(9),
        Encoding::MidnightMillis => Conversion::SinceMidnight(3),
        Encoding::MidnightMicros => Conversion::SinceMidnight(6),
        Encoding::MidnightNanos => Conversion::SinceMidnight(9),
        Encoding::Iso8601
        | Encoding::SqlServerText
        | Encoding::DecimalText
        | Encoding::DecimalBytes
        | Encoding::Base64
        | Encoding::Hex
        | Encoding::Json
        | Encoding::Xml
        | Encoding::BooleanText
        | Encoding::Utc => return None,
    })
}

/// How two types are compared, one of which has values in `encoding`: the
/// canonical kind, and the conversions of the source and of the target.
pub(crate) fn encoded(
    encoding: Encoding,
    parameters: &Parameters,
    source: &ColumnType,
    target: &ColumnType,
) -> Option<Decoding> {
    decoded(encoding, parameters, source, target).or_else(|| {
        let (kind, first, second) = decoded(encoding, parameters, target, source)?;
        Some((kind, second, first))
    })
}

/// What a rule says of an encoding beyond its name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters {
    /// Digits after the point, of decimals in bytes.
    pub(crate) scale: u8,
    pub(crate) words: Arc<BooleanWords>,
}

impl Parameters {
    pub(crate) fn of(rule: &ColumnRule) -> Self {
        Self {
            scale: rule.scale.unwrap_or_default(),
            words: Arc::new(BooleanWords::of(rule)),
        }
    }
}

/// The canonical kind, and the conversions of the side that has encoded values
/// and of the other one.
type Decoding = (Kind, Option<Conversion>, Option<Conversion>);

/// How values of `holder` in this encoding are compared with those of `other`;
/// `None` if the types do not fit the encoding.
fn decoded(
    encoding: Encoding,
    parameters: &Parameters,
    holder: &ColumnType,
    other: &ColumnType,
) -> Option<Decoding> {
    use ColumnType::{
        Bool, Bytes, Date, Decimal, Float32, Float64, Int, Json, Money, Text, Time, Xml,
    };
    let binary = |conversion: Conversion| match other {
        Bytes => Some((Kind::Bytes, conversion, None)),
        Text { .. } => Some((Kind::Bytes, conversion.clone(), Some(conversion))),
        _ => None,
    };
    let holder_fits = match encoding {
        Encoding::Iso8601
        | Encoding::SqlServerText
        | Encoding::DecimalText
        | Encoding::Base64
        | Encoding::Hex
        | Encoding::BooleanText => holder.is_text(),
        Encoding::DecimalBytes => matches!(holder, Bytes | Text { .. }),
        Encoding::Json => matches!(holder, Text { .. } | Json),
        Encoding::Xml => matches!(holder, Text { .. } | Xml),
        Encoding::Utc => return utc(holder, other),
        _ => matches!(holder, Int | Decimal | Text { .. }),
    };
    if let Some(conversion) = counted(encoding) {
        let (kind, second) = match (&conversion, other) {
            (Conversion::Epoch(digits), _) => timestamp(other, *digits)?,
            (Conversion::SinceMidnight(digits), Time(other)) => {
                (Kind::Time(Resolution::coarser(*other, *digits)), None)
            }
            (Conversion::EpochDays, Date) => (Kind::Date, None),
            _ => return None,
        };
        return holder_fits.then_some((kind, Some(conversion), second));
    }
    let (kind, first, second) = match encoding {
        Encoding::Iso8601 => Some((time(other)?, Conversion::Iso8601, None)),
        Encoding::SqlServerText => Some((time(other)?, Conversion::SqlServerText, None)),
        Encoding::DecimalText => {
            let second = match other {
                Int | Decimal | Money => None,
                Float32 | Float64 => Some(Conversion::Number),
                Text { .. } => Some(Conversion::DecimalText),
                _ => return None,
            };
            Some((Kind::Decimal, Conversion::DecimalText, second))
        }
        Encoding::DecimalBytes => matches!(other, Int | Decimal | Money).then_some((
            Kind::Decimal,
            Conversion::DecimalBytes {
                scale: parameters.scale,
            },
            None,
        )),
        Encoding::Base64 => binary(Conversion::Base64),
        Encoding::Hex => binary(Conversion::Hex),
        Encoding::Json => matches!(other, Text { .. } | Json).then_some((
            Kind::Json,
            Conversion::Json,
            Some(Conversion::Json),
        )),
        Encoding::Xml => matches!(other, Text { .. } | Xml).then_some((
            Kind::Text,
            Conversion::Xml,
            Some(Conversion::Xml),
        )),
        Encoding::BooleanText => {
            let words = Conversion::BooleanText(Arc::clone(&parameters.words));
            let second = match other {
                Bool | Int => None,
                Text { .. } => Some(words.clone()),
                _ => return None,
            };
            Some((Kind::Bool, words, second))
        }
        _ => None,
    }?;
    holder_fits.then_some((kind, Some(first), second))
}

/// The kind in which times in text are compared with those of type `other`.
fn time(other: &ColumnType) -> Option<Kind> {
    Some(match other {
        ColumnType::Date => Kind::Date,
        ColumnType::Time(digits) => Kind::Time(Resolution::coarser(*digits, 7)),
        _ => timestamp(other, 7)?.0,
    })
}

/// The kind of timestamps of type `other` compared with ones of `digits` digits of
/// a second, and the conversion of `other`.
fn timestamp(other: &ColumnType, digits: u8) -> Option<(Kind, Option<Conversion>)> {
    Some(match other {
        ColumnType::Timestamp(other) => {
            (Kind::Timestamp(Resolution::coarser(*other, digits)), None)
        }
        ColumnType::DateTime => (Kind::Timestamp(Resolution::milliseconds(digits)), None),
        ColumnType::Instant(other) => (Kind::Instant(Resolution::coarser(*other, digits)), None),
        ColumnType::Date => (
            Kind::Timestamp(Resolution::coarser(7, digits)),
            Some(Conversion::StartOfDay),
        ),
        _ => return None,
    })
}

/// How local times and instants are compared as local times: the resolution.
pub(crate) fn zoned(source: &ColumnType, target: &ColumnType) -> Option<Resolution> {
    use ColumnType::{DateTime, Instant, Timestamp};
    match (source, target) {
        (Timestamp(local), Instant(other)) | (Instant(other), Timestamp(local)) => {
            Some(Resolution::coarser(*local, *other))
        }
        (DateTime, Instant(other)) | (Instant(other), DateTime) => {
            Some(Resolution::milliseconds(*other))
        }
        _ => None,
    }
}

/// A timestamp without zone, or the midnight of a date, as an instant in UTC.
fn utc(holder: &ColumnType, other: &ColumnType) -> Option<Decoding> {
    let ColumnType::Instant(other) = other else {
        return None;
    };
    let (resolution, first) = match holder {
        ColumnType::Timestamp(digits) => (Resolution::coarser(*digits, *other), None),
        ColumnType::DateTime => (Resolution::milliseconds(*other), None),
        ColumnType::Date => (Resolution::coarser(7, *other), Some(Conversion::StartOfDay)),
        _ => return None,
    };
    Some((Kind::Instant(resolution), first, None))
}

/// The encodings under which two types can be compared.
pub(crate) fn fitting_encodings(source: &ColumnType, target: &ColumnType) -> Vec<Encoding> {
    ENCODINGS
        .iter()
        .map(|(encoding, _)| *encoding)
        .filter(|encoding| encoded(*encoding, &Parameters::default(), source, target).is_some())
        .collect()
}

/// The options under which two types without a rule can be compared, the likeliest first.
pub(crate) fn advice(column: &str, source: &ColumnType, target: &ColumnType) -> Vec<String> {
    let rule = rule_key(column);
    let mut encodings = fitting_encodings(source, target);
    encodings.sort_by_key(|encoding| !likely(*encoding, source, target));
    let mut advice: Vec<String> = encodings
        .iter()
        .map(|encoding| {
            let scale = if *encoding == Encoding::DecimalBytes {
                format!(" and {rule}.scale = N")
            } else {
                String::new()
            };
            format!(
                "if {}, write {rule}.as = \"{}\"{scale}",
                meaning(*encoding),
                encoding_name(*encoding)
            )
        })
        .collect();
    if zoned(source, target).is_some() {
        advice.push(format!(
            "if it is the local time of a place, write {rule}.zone = \"Europe/Berlin\""
        ));
    }
    if advice.is_empty() {
        advice.push(format!(
            "if both databases convert it to the same text, write {rule}.as_text = true"
        ));
    }
    advice
}

/// Whether Debezium writes a column of one of these types in this encoding.
fn likely(encoding: Encoding, source: &ColumnType, target: &ColumnType) -> bool {
    let digits = [source, target].into_iter().find_map(|side| match side {
        ColumnType::Time(digits) | ColumnType::Timestamp(digits) => Some(*digits),
        ColumnType::DateTime => Some(3),
        _ => None,
    });
    match encoding {
        Encoding::EpochMillis | Encoding::MidnightMillis => digits.is_some_and(|d| d <= 3),
        Encoding::EpochMicros | Encoding::MidnightMicros => {
            digits.is_some_and(|d| (4..=6).contains(&d))
        }
        Encoding::EpochNanos | Encoding::MidnightNanos => digits == Some(7),
        Encoding::EpochDays | Encoding::Iso8601 | Encoding::Base64 => true,
        Encoding::BooleanText => [source, target].contains(&&ColumnType::Bool),
        _ => false,
    }
}

pub(crate) fn meaning(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::EpochDays => "the number counts days since 1970-01-01",
        Encoding::EpochSeconds => "the number counts seconds since 1970-01-01 UTC",
        Encoding::EpochMillis => "the number counts milliseconds since 1970-01-01 UTC",
        Encoding::EpochMicros => "the number counts microseconds since 1970-01-01 UTC",
        Encoding::EpochNanos => "the number counts nanoseconds since 1970-01-01 UTC",
        Encoding::MidnightMillis => "the number counts milliseconds since midnight",
        Encoding::MidnightMicros => "the number counts microseconds since midnight",
        Encoding::MidnightNanos => "the number counts nanoseconds since midnight",
        Encoding::Iso8601 => "the text is an ISO 8601 time",
        Encoding::SqlServerText => "the text is a time as SQL Server's CONVERT writes it",
        Encoding::DecimalText => "the text is a number",
        Encoding::DecimalBytes => "the bytes, or Base64 of them, are a decimal's unscaled value",
        Encoding::Base64 => "the text is Base64",
        Encoding::Hex => "the text is hexadecimal",
        Encoding::Json => "the text is JSON",
        Encoding::Xml => "the text is XML, in whatever notation",
        Encoding::BooleanText => "the text is a word for true or false, such as Y or N",
        Encoding::Utc => "the timestamp without zone is in UTC",
    }
}

/// `rules.COLUMN` as a key of TOML, quoted where it must be.
pub(crate) fn rule_key(column: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !column.is_empty() && column.chars().all(is_bare) {
        return format!("rules.{column}");
    }
    let mut quoted = String::new();
    for character in column.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(character)));
            }
            _ => quoted.push(character),
        }
    }
    format!("rules.\"{quoted}\"")
}

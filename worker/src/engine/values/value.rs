//! Canonical values decoded: exact values of their own, and how they are written.

use serde_json::Value as Json;

use crate::engine::values::calendar::{Notation, date, time, timestamp};
use crate::engine::values::canonical::{Decimal, LongValue, RowEncoder, Tag, Values};
use crate::engine::values::moment::Moment;
use crate::engine::values::surrogates;

/// An exact value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// A decimal in plain notation without trailing zeros, such as `-12.34`;
    /// `NaN`, `Infinity` or `-Infinity`.
    Decimal(String),
    Float64(f64),
    Float32(f32),
    Text(String),
    /// Text with unpaired surrogates, which only SQL Server stores, in the form
    /// of [`surrogates`].
    UnpairedSurrogates(Vec<u8>),
    /// JSON in its canonical form.
    Json(String),
    Bytes(Vec<u8>),
    /// Days since 2000-01-01; the least and the greatest number are PostgreSQL's infinities.
    Date(i32),
    /// A time of day, since midnight.
    Time(Moment),
    /// A timestamp without zone, since 2000-01-01.
    Timestamp(Moment),
    /// A timestamp with zone, since 2000-01-01 UTC.
    Instant(Moment),
    /// A UUID, bytes in network order.
    Uuid([u8; 16]),
    /// A value that is not kept, as it is longer than `--max-value-size`.
    Long(LongValue),
}

/// Why a value cannot be written to the column that is named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwritable {
    #[error("`{0}` has a character U+0000, which PostgreSQL cannot store")]
    NulCharacter(String),
    #[error("`{0}` has a value outside the range of the target's type")]
    OutOfRange(String),
    #[error("`{0}` has a value that is not valid for the target's type")]
    Invalid(String),
    #[error("`{0}` has a value that the target's type cannot store unchanged")]
    Lossy(String),
    #[error("`{0}` has an unpaired surrogate, which PostgreSQL cannot store")]
    UnpairedSurrogate(String),
    #[error(
        "`{0}` has a value that is too long to be written (see --max-value-size and --memory-limit)"
    )]
    TooLong(String),
    #[error("`{0}` is NULL in the source and NOT NULL in the target")]
    NotNull(String),
    #[error("`{0}` has a type that cannot be written")]
    NoForm(String),
}

/// Decodes one canonical value; `None` for bytes that are not exactly one.
pub(crate) fn try_decode(bytes: &[u8]) -> Option<Value> {
    let mut values = Values::new(bytes);
    let (Some(Ok(_)), None) = (values.next(), values.next()) else {
        return None;
    };
    let (tag, parameter) = Tag::parse(bytes[0])?;
    let body = &bytes[1..];
    let moment = || {
        let units = i64::from_le_bytes(body.try_into().ok()?);
        let digits = parameter;
        Some(Moment { units, digits })
    };
    let text = |make: fn(String) -> Value| match std::str::from_utf8(content(body)) {
        Ok(text) => make(text.to_owned()),
        Err(_) => Value::UnpairedSurrogates(content(body).to_vec()),
    };
    Some(match tag {
        Tag::Null => Value::Null,
        Tag::False => Value::Bool(false),
        Tag::True => Value::Bool(true),
        Tag::Int => Value::Int(integer(body)),
        Tag::Decimal => Value::Decimal(Decimal::decode(parameter, body)?.to_string()),
        Tag::Float64 => Value::Float64(f64::from_le_bytes(body.try_into().ok()?)),
        Tag::Float32 => Value::Float32(f32::from_le_bytes(body.try_into().ok()?)),
        Tag::Text => text(Value::Text),
        Tag::Json => text(Value::Json),
        Tag::Bytes => Value::Bytes(content(body).to_vec()),
        Tag::Date => Value::Date(i32::from_le_bytes(body.try_into().ok()?)),
        Tag::Time => Value::Time(moment()?),
        Tag::Timestamp => Value::Timestamp(moment()?),
        Tag::Instant => Value::Instant(moment()?),
        Tag::Uuid => Value::Uuid(body.try_into().ok()?),
        Tag::LongText => Value::Long(LongValue::decode(Tag::Text, body)?),
        Tag::LongBytes => Value::Long(LongValue::decode(Tag::Bytes, body)?),
        Tag::LongJson => Value::Long(LongValue::decode(Tag::Json, body)?),
    })
}

pub(crate) fn decode(bytes: &[u8]) -> Value {
    try_decode(bytes).expect("a row is split into whole values")
}

/// The content of an encoded text, JSON or bytes that is in the row whole.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl<'a> Content<'a> {
    /// `None` for values of other kinds, and for text with unpaired surrogates.
    pub(crate) fn of(value: &'a [u8]) -> Option<Self> {
        let (first, body) = value.split_first()?;
        match Tag::parse(*first)?.0 {
            Tag::Text | Tag::Json => Some(Self::Text(std::str::from_utf8(content(body)).ok()?)),
            Tag::Bytes => Some(Self::Bytes(content(body))),
            _ => None,
        }
    }
}

/// A text, JSON or bytes as a value that is not kept; others as they are.
pub(crate) fn shortened(value: &[u8]) -> Value {
    let mut encoder = RowEncoder::keeping(0);
    match (value.first(), Content::of(value)) {
        (Some(&first), Some(Content::Text(text))) if first == Tag::Json as u8 => {
            encoder.json(text.as_bytes());
        }
        (_, Some(Content::Text(text))) => encoder.text(text.as_bytes()),
        (_, Some(Content::Bytes(bytes))) => encoder.bytes(bytes),
        (_, None) => return decode(value),
    }
    decode(encoder.row())
}

/// The content of a length-prefixed value, of which `body` follows the first byte.
fn content(body: &[u8]) -> &[u8] {
    let start = if body[0] == 0xFF { 5 } else { 1 };
    &body[start..]
}

/// The integer of zigzag form `body`, which has at most eight bytes.
fn integer(body: &[u8]) -> i64 {
    let mut bytes = [0; 8];
    bytes[..body.len()].copy_from_slice(body);
    let zigzag = u64::from_le_bytes(bytes);
    (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed())
}

impl Value {
    /// The value as a report renders it: NULL, booleans, integers and finite
    /// floats as JSON's own, everything else as text.
    pub(crate) fn into_json(self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => value.into(),
            Self::Int(value) => value.into(),
            Self::Float64(value) => serde_json::Number::from_f64(value)
                .map_or_else(|| Json::from(value.to_string()), Json::Number),
            // The shortest text that reads back as the same 32-bit float.
            Self::Float32(value) => {
                let text = value.to_string();
                text.parse().map_or(Json::from(text), Json::Number)
            }
            other => Json::from(other.into_text()),
        }
    }

    /// The value in a notation that both databases read back as the same value:
    /// ISO 8601 times, plain decimals, lower-case hexadecimal bytes after `0x`,
    /// `NULL`. Unpaired surrogates, which have no such notation, are escaped as in JSON, and of
    /// a value that is not kept, length and hash are given.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float64(value) => value.to_string(),
            Self::Float32(value) => value.to_string(),
            Self::Decimal(text) | Self::Text(text) | Self::Json(text) => text,
            Self::UnpairedSurrogates(text) => surrogates::escaped(&text),
            Self::Bytes(bytes) => format!("0x{}", hex::encode(bytes)),
            Self::Date(days) => date(days, Notation::Iso8601),
            Self::Time(moment) => time(moment),
            Self::Timestamp(moment) => timestamp(moment, Notation::Iso8601, ""),
            Self::Instant(moment) => timestamp(moment, Notation::Iso8601, "Z"),
            Self::Uuid(uuid) => uuid::Uuid::from_bytes(uuid).to_string(),
            Self::Long(long) => format!(
                "({} {}, SHA-256 {})",
                long.length,
                long.unit(),
                hex::encode(long.sha256)
            ),
        }
    }
}

/// An encoded value as a report renders it; see [`Value::into_json`].
pub(crate) fn to_json(value: &[u8]) -> Json {
    decode(value).into_json()
}

/// An encoded value as text; see [`Value::into_text`].
pub(crate) fn to_text(value: &[u8]) -> String {
    decode(value).into_text()
}

/// The texts of the values of an encoded key; `None` if it is not one.
#[must_use]
pub fn key_texts(key: &[u8]) -> Option<Vec<String>> {
    let text = |value: Result<&[u8], _>| Some(try_decode(value.ok()?)?.into_text());
    Values::new(key).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::canonical::{DecimalClass, DigitBuffer, TimeUnit};
    use proptest::prelude::*;

    #[derive(Debug, Clone, PartialEq)]
    enum Sample {
        Null,
        Bool(bool),
        Int(i64),
        Scaled(i128, u8),
        Float(f64),
        Text(String),
        Bytes(Vec<u8>),
        Timestamp(i64),
        Uuid([u8; 16]),
    }

    fn sample() -> impl Strategy<Value = Sample> {
        prop_oneof![
            Just(Sample::Null),
            any::<bool>().prop_map(Sample::Bool),
            any::<i64>().prop_map(Sample::Int),
            (-300_i64..300).prop_map(Sample::Int),
            (-(10_i128.pow(38)) + 1..10_i128.pow(38), 0_u8..=38)
                .prop_map(|(v, s)| Sample::Scaled(v, s)),
            (-30_000_i128..30_000, 0_u8..=6).prop_map(|(v, s)| Sample::Scaled(v, s)),
            any::<f64>()
                .prop_filter("-0 and 0 are one value", |f| *f != 0.0)
                .prop_map(Sample::Float),
            "[a|,'\\x00NUL]{0,6}".prop_map(Sample::Text),
            "\\PC{0,300}".prop_map(Sample::Text),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(Sample::Bytes),
            any::<i64>().prop_map(Sample::Timestamp),
            any::<[u8; 16]>().prop_map(Sample::Uuid),
        ]
    }

    fn encode(samples: &[Sample]) -> Vec<u8> {
        let mut encoder = RowEncoder::default();
        encoder.start_row();
        for sample in samples {
            match sample {
                Sample::Null => encoder.null(),
                Sample::Bool(v) => encoder.bool(*v),
                Sample::Int(v) => encoder.int(*v),
                Sample::Scaled(v, s) => {
                    encoder.decimal(&Decimal::from_scaled(*v, *s, &mut DigitBuffer::default()))
                }
                Sample::Float(v) => encoder.float64(*v),
                Sample::Text(v) => encoder.text(v.as_bytes()),
                Sample::Bytes(v) => encoder.bytes(v),
                Sample::Timestamp(v) => encoder.timestamp(TimeUnit::Micros, *v),
                Sample::Uuid(v) => encoder.uuid(v),
            }
        }
        encoder.row().to_vec()
    }

    /// Plain decimal notation by long-hand string work, to compare with.
    fn scaled_text(value: i128, scale: u8) -> String {
        let scale = usize::from(scale);
        let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let fraction = fraction.trim_end_matches('0');
        let sign = if value < 0 { "-" } else { "" };
        if fraction.is_empty() {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{fraction}")
        }
    }

    fn meaning(sample: &Sample) -> String {
        match sample {
            Sample::Scaled(v, s) => format!("decimal {}", scaled_text(*v, *s)),
            Sample::Float(v) if v.is_nan() => "float NaN".to_owned(),
            other => format!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn rows_have_equal_bytes_exactly_when_all_values_are_equal(
            a in proptest::collection::vec(sample(), 0..5),
            b in proptest::collection::vec(sample(), 0..5),
        ) {
            let equal = a.iter().map(meaning).eq(b.iter().map(meaning));
            prop_assert_eq!(encode(&a) == encode(&b), equal);
        }

        #[test]
        fn a_row_splits_into_the_values_it_was_made_of(samples in proptest::collection::vec(sample(), 0..8)) {
            let row = encode(&samples);
            let split: Vec<_> = Values::new(&row).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(split.len(), samples.len());
            for (value, sample) in split.iter().zip(&samples) {
                match sample {
                    Sample::Null => prop_assert_eq!(to_json(value), Json::Null),
                    Sample::Bool(v) => prop_assert_eq!(to_json(value), Json::from(*v)),
                    Sample::Int(v) => prop_assert_eq!(to_json(value), Json::from(*v)),
                    Sample::Scaled(v, s) => prop_assert_eq!(to_text(value), scaled_text(*v, *s)),
                    Sample::Float(v) if v.is_nan() => prop_assert_eq!(to_text(value), "NaN"),
                    Sample::Float(v) => prop_assert_eq!(to_text(value).parse::<f64>().unwrap(), *v),
                    Sample::Text(v) => prop_assert_eq!(&to_text(value), v),
                    Sample::Bytes(v) => prop_assert_eq!(to_text(value).len(), 2 + 2 * v.len()),
                    Sample::Timestamp(_) => prop_assert!(to_text(value).len() >= 8),
                    Sample::Uuid(v) => prop_assert_eq!(to_text(value), uuid::Uuid::from_bytes(*v).to_string()),
                }
            }
        }

        /// Whether values are kept whole or not, in whatever parts they come.
        #[test]
        fn long_values_have_equal_forms_exactly_when_they_are_equal(
            left in "[ab\u{e9}]{0,9}",
            right in "[ab\u{e9}]{0,9}",
            kept in 0_usize..12,
            cut in 0_usize..12,
        ) {
            let encode = |text: &str, is_text: bool| {
                let mut encoder = RowEncoder::keeping(kept);
                match is_text {
                    true => encoder.text(text.as_bytes()),
                    false => encoder.bytes(text.as_bytes()),
                }
                prop_assert_eq!(encoder.has_long(), text.len() > kept);
                Ok(encoder.row().to_vec())
            };
            prop_assert_eq!(encode(&left, true)? == encode(&right, true)?, left == right);
            prop_assert_ne!(encode(&left, true)?, encode(&left, false)?);
            let mut parts = RowEncoder::keeping(kept);
            let (first, second) = left.as_bytes().split_at(cut.min(left.len()));
            parts.start_value(Tag::Text, left.len());
            parts.add_part(first);
            parts.add_part(second);
            parts.end_value();
            prop_assert_eq!(parts.row(), encode(&left, true)?);
            if let Some(Value::Long(long)) = try_decode(parts.row()) {
                prop_assert_eq!(long.length, left.chars().count() as u64);
                prop_assert_eq!(Values::new(parts.row()).count(), 1);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(try_decode(&bytes).is_none() || !bytes.is_empty());
            for value in Values::new(&bytes).map_while(Result::ok) {
                let _ = (to_json(value), to_text(value));
            }
        }

        #[test]
        fn decimals_with_digits_to_spare_are_the_same_number(value in any::<i64>(), scale in 0_u8..=18, extra in 0_u8..=6) {
            let plain = encode(&[Sample::Scaled(value.into(), scale)]);
            let padded = encode(&[Sample::Scaled(i128::from(value) * 10_i128.pow(extra.into()), scale + extra)]);
            prop_assert_eq!(plain, padded);
        }
    }

    #[test]
    fn special_values_have_one_form() {
        let encode_with = |write: fn(&mut RowEncoder)| {
            let mut encoder = RowEncoder::default();
            write(&mut encoder);
            encoder.row().to_vec()
        };
        assert_eq!(
            encode_with(|e| e.float64(-0.0)),
            encode_with(|e| e.float64(0.0))
        );
        assert_eq!(
            encode_with(|e| e.float64(-f64::NAN)),
            encode_with(|e| e.float64(f64::NAN))
        );
        assert_eq!(
            encode_with(|e| e.float32(-0.0)),
            encode_with(|e| e.float32(0.0))
        );
        let negative_zero =
            encode_with(|e| e.decimal(&Decimal::new(DecimalClass::Negative, 3, &[0, 0])));
        assert_eq!(
            negative_zero,
            encode_with(|e| e.decimal(&Decimal::new(DecimalClass::Positive, 0, &[])))
        );
        assert_ne!(encode_with(|e| e.text(b"")), encode_with(RowEncoder::null));
        assert_ne!(
            encode_with(|e| e.text(b"NULL")),
            encode_with(RowEncoder::null)
        );
    }

    #[test]
    fn times_read_as_iso_8601() {
        let text = |write: fn(&mut RowEncoder)| {
            let mut encoder = RowEncoder::default();
            write(&mut encoder);
            to_text(encoder.row())
        };
        assert_eq!(text(|e| e.date(-730_119)), "0001-01-01");
        assert_eq!(
            text(|e| e.timestamp(TimeUnit::Micros, -1)),
            "1999-12-31T23:59:59.999999"
        );
        assert_eq!(
            text(|e| e.instant(TimeUnit::Ticks, 10_000_001)),
            "2000-01-01T00:00:01.0000001Z"
        );
        assert_eq!(
            text(|e| e.time(TimeUnit::Micros, 86_400_000_000)),
            "24:00:00"
        );
        assert_eq!(
            text(|e| e.timestamp(TimeUnit::Micros, i64::MAX)),
            "infinity"
        );
    }
}

//! Reads canonical values back out of a row, for reports and for look-ups.

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use serde_json::Value as Json;

use crate::engine::values::canonical::{
    BYTES, DATE, DECIMAL, FALSE, FLOAT32, FLOAT64, INSTANT, INT, JSON, NULL, TEXT, TIME, TIMESTAMP,
    TRUE, UUID, decimal,
};

/// The bytes are not a row of canonical values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed row: no canonical value at byte {position} of {length}")]
pub(crate) struct MalformedRow {
    /// Where reading stopped.
    pub position: usize,
    /// The length of the row.
    pub length: usize,
}

/// The encoded values of a row, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Values<'a> {
    row: &'a [u8],
    position: usize,
}

impl<'a> Values<'a> {
    /// The values in `row`.
    #[must_use]
    pub(crate) fn new(row: &'a [u8]) -> Self {
        Self { row, position: 0 }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<&'a [u8], MalformedRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.row[self.position..];
        if rest.is_empty() {
            return None;
        }
        match length_of(rest).filter(|length| *length <= rest.len()) {
            Some(length) => {
                self.position += length;
                Some(Ok(&rest[..length]))
            }
            None => {
                let error = MalformedRow {
                    position: self.position,
                    length: self.row.len(),
                };
                self.position = self.row.len();
                Some(Err(error))
            }
        }
    }
}

/// How many bytes the value at the start of `bytes` takes.
fn length_of(bytes: &[u8]) -> Option<usize> {
    let tag = *bytes.first()?;
    Some(match (tag & 0xF0, tag) {
        (_, NULL | FALSE | TRUE) => 1,
        (INT, _) if tag <= INT + 8 => 1 + usize::from(tag - INT),
        (DECIMAL, _) => 5 + 2 * usize::from(u16::from_le_bytes([*bytes.get(3)?, *bytes.get(4)?])),
        (_, FLOAT64) => 9,
        (_, FLOAT32) => 5,
        (_, TEXT | BYTES | JSON) => match *bytes.get(1)? {
            0xFF => 6 + u32::from_le_bytes(bytes.get(2..6)?.try_into().ok()?) as usize,
            length => 2 + usize::from(length),
        },
        (_, DATE) => 5,
        (TIME | TIMESTAMP | INSTANT, _) => 9,
        (_, UUID) => 17,
        _ => return None,
    })
}

/// The content of a text or bytes value.
pub(crate) fn content(value: &[u8]) -> &[u8] {
    if value.get(1) == Some(&0xFF) {
        &value[6..]
    } else {
        &value[2..]
    }
}

pub(crate) fn word(value: &[u8]) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&value[1..9]);
    i64::from_le_bytes(bytes)
}

pub(crate) fn integer(value: &[u8]) -> i64 {
    let mut bytes = [0; 8];
    bytes[..value.len() - 1].copy_from_slice(&value[1..]);
    let zigzag = u64::from_le_bytes(bytes);
    (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed())
}

/// The value as a report shows it: null, booleans, integers and finite floats
/// as JSON's own, everything else as text.
///
/// # Panics
///
/// When `value` did not come from [`Values`].
#[must_use]
pub(crate) fn to_json(value: &[u8]) -> Json {
    let tag = value[0];
    match (tag & 0xF0, tag) {
        (_, NULL) => Json::Null,
        (_, FALSE) => Json::Bool(false),
        (_, TRUE) => Json::Bool(true),
        (INT, _) => Json::from(integer(value)),
        (_, FLOAT64) => {
            let number = f64::from_bits(word(value).cast_unsigned());
            serde_json::Number::from_f64(number)
                .map_or_else(|| Json::from(number.to_string()), Json::Number)
        }
        (_, FLOAT32) => {
            let number = float32(value);
            // The shortest text that reads back as the same 32-bit float.
            number
                .to_string()
                .parse::<serde_json::Number>()
                .map_or_else(|_| Json::from(number.to_string()), Json::Number)
        }
        _ => Json::from(to_text(value)),
    }
}

pub(crate) fn float32(value: &[u8]) -> f32 {
    f32::from_bits(u32::from_le_bytes([value[1], value[2], value[3], value[4]]))
}

/// The value in a notation that both databases read back as the same value:
/// ISO 8601 times, plain decimals, lower-case hexadecimal bytes after `0x`.
/// NULL gives the word `NULL`; who needs to tell it from text looks first.
///
/// # Panics
///
/// When `value` did not come from [`Values`].
#[must_use]
pub(crate) fn to_text(value: &[u8]) -> String {
    let tag = value[0];
    match (tag & 0xF0, tag) {
        (_, NULL) => "NULL".to_owned(),
        (_, FALSE) => "false".to_owned(),
        (_, TRUE) => "true".to_owned(),
        (INT, _) => integer(value).to_string(),
        (DECIMAL, _) => decimal::to_text(
            tag & 0x0F,
            i16::from_le_bytes([value[1], value[2]]),
            &value[5..],
        ),
        (_, FLOAT64) => f64::from_bits(word(value).cast_unsigned()).to_string(),
        (_, FLOAT32) => float32(value).to_string(),
        (_, TEXT | JSON) => text(content(value)),
        (_, BYTES) => {
            let mut text = String::from("0x");
            for byte in content(value) {
                text.push_str(&format!("{byte:02x}"));
            }
            text
        }
        (_, DATE) => date(i32::from_le_bytes([value[1], value[2], value[3], value[4]])),
        (TIME, _) => time(word(value), tag & 0x0F),
        (TIMESTAMP, _) => timestamp(word(value), tag & 0x0F, ""),
        (INSTANT, _) => timestamp(word(value), tag & 0x0F, "Z"),
        _ => uuid::Uuid::from_slice(&value[1..])
            .unwrap_or_default()
            .to_string(),
    }
}

/// Halves of characters, which SQL Server keeps and UTF-8 has no place for, are
/// shown as JSON escapes them.
fn text(mut content: &[u8]) -> String {
    let mut text = String::new();
    loop {
        match std::str::from_utf8(content) {
            Ok(rest) => {
                text.push_str(rest);
                return text;
            }
            Err(error) => {
                let (good, bad) = content.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(good));
                content = match bad {
                    [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, rest @ ..] => {
                        let unit = 0xD000 | u16::from(second & 0x3F) << 6 | u16::from(third & 0x3F);
                        text.push_str(&format!("\\u{unit:04x}"));
                        rest
                    }
                    _ => {
                        text.push(char::REPLACEMENT_CHARACTER);
                        &bad[1..]
                    }
                };
            }
        }
    }
}

const EPOCH: NaiveDateTime = match NaiveDate::from_ymd_opt(2000, 1, 1) {
    Some(date) => match date.and_hms_opt(0, 0, 0) {
        Some(midnight) => midnight,
        None => panic!("midnight exists"),
    },
    None => panic!("2000-01-01 exists"),
};

fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        _ => TimeDelta::try_days(days.into())
            .and_then(|delta| EPOCH.date().checked_add_signed(delta))
            .map_or_else(
                || format!("{days} days after 2000-01-01"),
                |date| date.to_string(),
            ),
    }
}

fn units_per_second(digits: u8) -> i64 {
    10_i64.pow(digits.into())
}

/// `.123`, without trailing zeros; nothing for a whole second.
fn fraction(units: i64, digits: u8) -> String {
    let text = format!("{units:0width$}", width = digits.into());
    match text.trim_end_matches('0') {
        "" => String::new(),
        digits => format!(".{digits}"),
    }
}

fn time(units: i64, digits: u8) -> String {
    let per_second = units_per_second(digits);
    let seconds = units / per_second;
    format!(
        "{:02}:{:02}:{:02}{}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        fraction(units % per_second, digits)
    )
}

fn timestamp(units: i64, digits: u8, suffix: &str) -> String {
    match units {
        i64::MAX => return "infinity".to_owned(),
        i64::MIN => return "-infinity".to_owned(),
        _ => {}
    }
    let per_second = units_per_second(digits);
    let (seconds, rest) = (units.div_euclid(per_second), units.rem_euclid(per_second));
    TimeDelta::try_seconds(seconds)
        .and_then(|delta| EPOCH.checked_add_signed(delta))
        .map_or_else(
            || format!("{seconds} s after 2000-01-01T00:00:00{suffix}"),
            |at| {
                format!(
                    "{}{}{suffix}",
                    at.format("%Y-%m-%dT%H:%M:%S"),
                    fraction(rest, digits)
                )
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::canonical::Decimal;
    use crate::engine::values::canonical::DecimalClass;
    use crate::engine::values::canonical::RowEncoder;
    use crate::engine::values::canonical::TimeUnit;
    use crate::engine::values::canonical::decimal::DecimalRoom;
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
                    encoder.decimal(&Decimal::from_scaled(*v, *s, &mut DecimalRoom::default()))
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

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
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

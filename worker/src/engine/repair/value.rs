//! Values taken out of canonical rows, and turned into what a column of the
//! target holds for them.

use shared::options::{ColumnRule, Encoding, Rounding};

use crate::engine::canonical::{
    BYTES, DATE, DECIMAL, FALSE, FLOAT32, FLOAT64, INSTANT, INT, NULL, TEXT, TIME, TIMESTAMP, TRUE,
    UUID, to_text,
};
use crate::engine::column::{Column, ColumnType};

/// Days from 1970-01-01 to 2000-01-01.
const DAYS_FROM_1970: i64 = 10_957;

const SECONDS_OF_DAY: i64 = 86_400;

/// A value of its own, exact.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RawValue {
    Null,
    Bool(bool),
    Int(i64),
    /// In plain notation; `NaN` and the infinities are words.
    Decimal(String),
    Float64(f64),
    Float32(f32),
    Text(String),
    Bytes(Vec<u8>),
    /// Days since 2000-01-01; the extremes are PostgreSQL's infinities.
    Date(i32),
    /// Since midnight.
    Time(Moment),
    /// Since 2000-01-01; the extremes are PostgreSQL's infinities.
    Timestamp(Moment),
    /// Since 2000-01-01 UTC.
    Instant(Moment),
    Uuid([u8; 16]),
}

/// A count of decimal fractions of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) units: i64,
    /// 6 for microseconds, 7 for 100 ns.
    pub(super) digits: u8,
}

impl Moment {
    pub(super) fn is_infinite(self) -> bool {
        self.units == i64::MAX || self.units == i64::MIN
    }

    /// Whole seconds, rounded down, and the units beyond them.
    pub(super) fn split(self) -> (i64, i64) {
        let second = 10_i64.pow(self.digits.into());
        (self.units.div_euclid(second), self.units.rem_euclid(second))
    }

    /// With no more than `digits` digits of a second.
    fn rounded(self, digits: u8, rounding: Rounding) -> Self {
        if self.is_infinite() || digits >= self.digits {
            return self;
        }
        let step = 10_i64.pow((self.digits - digits).into());
        let (quotient, rest) = (self.units.div_euclid(step), self.units.rem_euclid(step));
        let up = match rounding {
            Rounding::Truncate => false,
            Rounding::HalfUp => rest * 2 >= step,
            Rounding::HalfEven => rest * 2 > step || (rest * 2 == step && quotient % 2 != 0),
        };
        Self {
            units: (quotient + i64::from(up)) * step,
            digits: self.digits,
        }
    }

    /// In units of 10^-`digits` seconds since 1970, rounded down.
    fn since_1970(self, digits: u8) -> Option<i64> {
        let epoch = i128::from(DAYS_FROM_1970 * SECONDS_OF_DAY) * 10_i128.pow(self.digits.into());
        i64::try_from(rescaled(
            i128::from(self.units) + epoch,
            self.digits,
            digits,
        ))
        .ok()
    }

    fn from_1970(value: i64, digits: u8) -> Option<Self> {
        let epoch = i128::from(DAYS_FROM_1970 * SECONDS_OF_DAY) * 10_i128.pow(7);
        let units = i64::try_from(rescaled(value.into(), digits, 7) - epoch).ok()?;
        Some(Self { units, digits: 7 })
    }
}

fn rescaled(value: i128, from: u8, to: u8) -> i128 {
    if to >= from {
        value * 10_i128.pow((to - from).into())
    } else {
        value.div_euclid(10_i128.pow((from - to).into()))
    }
}

/// Why a value cannot be written into a column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unwritable {
    #[error("`{0}` holds a character U+0000, which PostgreSQL cannot store")]
    NulCharacter(String),
    #[error("`{0}` holds a value outside the range of its type")]
    OutOfRange(String),
    #[error("`{0}` holds a value that does not stand for what its type holds")]
    WrongForm(String),
}

/// The value that the canonical bytes stand for. Values of a form that has no
/// number, time or bytes of its own come as text.
pub(super) fn decode(value: &[u8]) -> RawValue {
    let tag = value.first().copied().unwrap_or(NULL);
    match (tag & 0xF0, tag) {
        (_, NULL) => RawValue::Null,
        (_, FALSE) => RawValue::Bool(false),
        (_, TRUE) => RawValue::Bool(true),
        (INT, _) => RawValue::Int(integer(value)),
        (DECIMAL, _) => RawValue::Decimal(to_text(value)),
        (_, FLOAT64) => RawValue::Float64(f64::from_bits(word(value).cast_unsigned())),
        (_, FLOAT32) => RawValue::Float32(f32::from_bits(short(value).cast_unsigned())),
        (_, TEXT) => RawValue::Text(String::from_utf8_lossy(content(value)).into_owned()),
        (_, BYTES) => RawValue::Bytes(content(value).to_vec()),
        (_, DATE) => RawValue::Date(short(value)),
        (TIME, _) => RawValue::Time(moment(value)),
        (TIMESTAMP, _) => RawValue::Timestamp(moment(value)),
        (INSTANT, _) => RawValue::Instant(moment(value)),
        (_, UUID) => match value[1..].try_into() {
            Ok(uuid) => RawValue::Uuid(uuid),
            Err(_) => RawValue::Text(to_text(value)),
        },
        _ => RawValue::Text(to_text(value)),
    }
}

fn content(value: &[u8]) -> &[u8] {
    let start = if value.get(1) == Some(&0xFF) { 6 } else { 2 };
    value.get(start..).unwrap_or_default()
}

fn word(value: &[u8]) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&value[1..9]);
    i64::from_le_bytes(bytes)
}

fn short(value: &[u8]) -> i32 {
    i32::from_le_bytes([value[1], value[2], value[3], value[4]])
}

fn integer(value: &[u8]) -> i64 {
    let mut bytes = [0; 8];
    bytes[..value.len() - 1].copy_from_slice(&value[1..]);
    let zigzag = u64::from_le_bytes(bytes);
    (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed())
}

fn moment(value: &[u8]) -> Moment {
    Moment {
        units: word(value),
        digits: value[0] & 0x0F,
    }
}

/// What `target` must hold for the source's `value`, under the column's rule.
///
/// # Errors
///
/// When the target's type cannot hold it.
pub(super) fn for_target(
    value: RawValue,
    target: &Column,
    rule: &ColumnRule,
) -> Result<RawValue, Unwritable> {
    use RawValue as V;
    let wrong = || Unwritable::WrongForm(target.name.clone());
    let beyond = || Unwritable::OutOfRange(target.name.clone());
    if value == V::Null {
        return Ok(value);
    }
    Ok(match &target.kind {
        ColumnType::Bool => match value {
            V::Bool(_) => value,
            V::Int(0) => V::Bool(false),
            V::Int(1) => V::Bool(true),
            V::Int(_) => return Err(beyond()),
            _ => return Err(wrong()),
        },
        ColumnType::Int
        | ColumnType::Decimal
        | ColumnType::Money
        | ColumnType::Float32
        | ColumnType::Float64 => number(value, target, rule)?,
        ColumnType::Text { .. } => V::Text(text(value, rule)),
        ColumnType::Bytes => bytes(value, target, rule)?,
        ColumnType::Date => match value {
            V::Date(_) => value,
            V::Int(days) if rule.encoding == Some(Encoding::EpochDays) => {
                V::Date(i32::try_from(days - DAYS_FROM_1970).map_err(|_| beyond())?)
            }
            V::Int(count) => {
                let moment = epoch(count, rule.encoding).ok_or_else(wrong)?;
                let days = moment.split().0.div_euclid(SECONDS_OF_DAY);
                V::Date(i32::try_from(days).map_err(|_| beyond())?)
            }
            V::Timestamp(moment) | V::Instant(moment) if !moment.is_infinite() => {
                let days = moment.split().0.div_euclid(SECONDS_OF_DAY);
                V::Date(i32::try_from(days).map_err(|_| beyond())?)
            }
            V::Text(_) => value,
            _ => return Err(wrong()),
        },
        ColumnType::Time(digits) => match value {
            V::Time(moment) => V::Time(moment.rounded(*digits, rounding(rule, target))),
            V::Int(count) => {
                let from = midnight_digits(rule.encoding).ok_or_else(wrong)?;
                let units = i64::try_from(rescaled(count.into(), from, 7)).map_err(|_| beyond())?;
                V::Time(Moment { units, digits: 7 }.rounded(*digits, rounding(rule, target)))
            }
            V::Text(_) => value,
            _ => return Err(wrong()),
        },
        ColumnType::Timestamp(digits) => match since_epoch(value, rule).ok_or_else(wrong)? {
            V::Instant(moment) | V::Timestamp(moment) => {
                V::Timestamp(moment.rounded(*digits, rounding(rule, target)))
            }
            other => other,
        },
        ColumnType::DateTime => match since_epoch(value, rule).ok_or_else(wrong)? {
            V::Instant(moment) | V::Timestamp(moment) => {
                V::Timestamp(moment.rounded(3, rounding(rule, target)))
            }
            other => other,
        },
        ColumnType::Instant(digits) => match since_epoch(value, rule).ok_or_else(wrong)? {
            V::Instant(moment) | V::Timestamp(moment) => {
                V::Instant(moment.rounded(*digits, rounding(rule, target)))
            }
            other => other,
        },
        ColumnType::Uuid => match value {
            V::Uuid(_) => value,
            V::Text(text) => V::Uuid(
                *uuid::Uuid::try_parse(text.trim_end())
                    .map_err(|_| wrong())?
                    .as_bytes(),
            ),
            _ => return Err(wrong()),
        },
        _ => V::Text(text(value, rule)),
    })
}

/// `datetime` rounds, everything else is cut, unless the rule says otherwise.
fn rounding(rule: &ColumnRule, target: &Column) -> Rounding {
    rule.rounding.unwrap_or(match target.kind {
        ColumnType::DateTime => Rounding::HalfUp,
        _ => Rounding::Truncate,
    })
}

fn epoch_digits(encoding: Option<Encoding>) -> Option<u8> {
    Some(match encoding? {
        Encoding::EpochSeconds => 0,
        Encoding::EpochMillis => 3,
        Encoding::EpochMicros => 6,
        Encoding::EpochNanos => 9,
        _ => return None,
    })
}

fn midnight_digits(encoding: Option<Encoding>) -> Option<u8> {
    Some(match encoding? {
        Encoding::MidnightMillis => 3,
        Encoding::MidnightMicros => 6,
        Encoding::MidnightNanos => 9,
        _ => return None,
    })
}

fn epoch(count: i64, encoding: Option<Encoding>) -> Option<Moment> {
    Moment::from_1970(count, epoch_digits(encoding)?)
}

/// A timestamp, out of whatever stands for one.
fn since_epoch(value: RawValue, rule: &ColumnRule) -> Option<RawValue> {
    use RawValue as V;
    Some(match value {
        V::Timestamp(_) | V::Instant(_) | V::Text(_) => value,
        V::Date(i32::MAX) => V::Timestamp(Moment {
            units: i64::MAX,
            digits: 6,
        }),
        V::Date(i32::MIN) => V::Timestamp(Moment {
            units: i64::MIN,
            digits: 6,
        }),
        V::Date(days) => V::Timestamp(Moment {
            units: i64::from(days).checked_mul(SECONDS_OF_DAY * 1_000_000)?,
            digits: 6,
        }),
        V::Int(count) => V::Timestamp(epoch(count, rule.encoding)?),
        _ => return None,
    })
}

fn number(value: RawValue, target: &Column, rule: &ColumnRule) -> Result<RawValue, Unwritable> {
    use RawValue as V;
    let wrong = || Unwritable::WrongForm(target.name.clone());
    let beyond = || Unwritable::OutOfRange(target.name.clone());
    Ok(match value {
        V::Bool(value) => V::Int(value.into()),
        V::Int(_) | V::Decimal(_) | V::Float64(_) | V::Float32(_) => value,
        V::Date(days) if rule.encoding == Some(Encoding::EpochDays) => {
            V::Int(i64::from(days) + DAYS_FROM_1970)
        }
        V::Date(_) | V::Timestamp(_) | V::Instant(_) => {
            let digits = epoch_digits(rule.encoding).ok_or_else(wrong)?;
            match since_epoch(value, rule) {
                Some(V::Timestamp(moment) | V::Instant(moment)) if !moment.is_infinite() => {
                    let moment = moment.rounded(digits, rounding(rule, target));
                    V::Int(moment.since_1970(digits).ok_or_else(beyond)?)
                }
                _ => return Err(beyond()),
            }
        }
        V::Time(moment) => {
            let digits = midnight_digits(rule.encoding).ok_or_else(wrong)?;
            let moment = moment.rounded(digits, rounding(rule, target));
            let count = rescaled(moment.units.into(), moment.digits, digits);
            V::Int(i64::try_from(count).map_err(|_| beyond())?)
        }
        V::Text(text) => {
            let text = text.trim();
            let digits = text.trim_start_matches(['-', '+']);
            let plain = digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
                && digits.bytes().any(|byte| byte.is_ascii_digit())
                && digits.bytes().filter(|byte| *byte == b'.').count() <= 1
                && text.len() - digits.len() <= 1;
            if !plain {
                return Err(wrong());
            }
            V::Decimal(text.trim_start_matches('+').to_owned())
        }
        V::Bytes(bytes) => V::Decimal(twos_complement(&bytes, rule.scale).ok_or_else(wrong)?),
        V::Uuid(_) | V::Null => return Err(wrong()),
    })
}

/// Big-endian two's complement with `scale` digits after the point.
fn twos_complement(bytes: &[u8], scale: Option<u8>) -> Option<String> {
    let scale = usize::from(scale?);
    if bytes.is_empty() || bytes.len() > 16 {
        return None;
    }
    let sign = if bytes[0] & 0x80 == 0 { 0 } else { 0xFF };
    let mut whole = [sign; 16];
    whole[16 - bytes.len()..].copy_from_slice(bytes);
    let value = i128::from_be_bytes(whole);
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (integer, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    Some(if fraction.is_empty() {
        format!("{sign}{integer}")
    } else {
        format!("{sign}{integer}.{fraction}")
    })
}

/// The shortest two's complement of a decimal with `scale` digits after the point.
fn to_twos_complement(decimal: &str, scale: Option<u8>) -> Option<Vec<u8>> {
    let scale = usize::from(scale?);
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    if fraction.len() > scale {
        return None;
    }
    let unscaled: i128 = format!("{whole}{fraction:0<scale$}").parse().ok()?;
    let bytes = unscaled.to_be_bytes();
    let mut start = 0;
    while start < 15
        && ((bytes[start] == 0 && bytes[start + 1] & 0x80 == 0)
            || (bytes[start] == 0xFF && bytes[start + 1] & 0x80 != 0))
    {
        start += 1;
    }
    Some(bytes[start..].to_vec())
}

fn bytes(value: RawValue, target: &Column, rule: &ColumnRule) -> Result<RawValue, Unwritable> {
    use RawValue as V;
    let wrong = || Unwritable::WrongForm(target.name.clone());
    Ok(V::Bytes(match value {
        V::Bytes(bytes) => bytes,
        V::Uuid(uuid) => uuid.to_vec(),
        V::Text(text) => match rule.encoding {
            Some(Encoding::Base64) => base64_decode(&text).ok_or_else(wrong)?,
            Some(Encoding::Hex) => hex_decode(&text).ok_or_else(wrong)?,
            _ => return Err(wrong()),
        },
        V::Int(number) if rule.encoding == Some(Encoding::DecimalBytes) => {
            to_twos_complement(&number.to_string(), rule.scale).ok_or_else(wrong)?
        }
        V::Decimal(text) if rule.encoding == Some(Encoding::DecimalBytes) => {
            to_twos_complement(&text, rule.scale).ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    }))
}

fn text(value: RawValue, rule: &ColumnRule) -> String {
    use RawValue as V;
    match value {
        V::Text(text) => text,
        V::Bytes(bytes) if rule.encoding == Some(Encoding::Base64) => base64(&bytes),
        V::Bytes(bytes) => hex(&bytes),
        V::Null => String::new(),
        V::Bool(value) => value.to_string(),
        V::Int(number) => number.to_string(),
        V::Decimal(text) => text,
        V::Float64(number) => number.to_string(),
        V::Float32(number) => number.to_string(),
        V::Date(days) => super::literal::date(days, ""),
        V::Time(moment) => super::literal::time(moment),
        V::Timestamp(moment) => super::literal::timestamp(moment, "T", ""),
        V::Instant(moment) => super::literal::timestamp(moment, "T", "Z"),
        V::Uuid(uuid) => uuid::Uuid::from_bytes(uuid).to_string(),
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 0x0F)]));
    }
    text
}

/// Bytes of hexadecimal digits, after `0x` or `\x` or nothing.
pub fn hex_decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let text = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("\\x"))
        .unwrap_or(text);
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    bytes
        .chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=group.len()].copy_from_slice(group);
        let word = u32::from_be_bytes(word);
        for at in 0..4 {
            if at <= group.len() {
                let index = (word >> (18 - 6 * at)) & 0x3F;
                text.push(char::from(BASE64[index as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=')
        .map(|byte| {
            BASE64
                .iter()
                .position(|known| *known == byte)
                .and_then(|at| u32::try_from(at).ok())
        })
        .collect::<Option<_>>()?;
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        if group.len() == 1 {
            return None;
        }
        let word = group.iter().fold(0, |word, digit| word << 6 | digit) << (6 * (4 - group.len()));
        bytes.extend_from_slice(&word.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(kind: ColumnType) -> Column {
        crate::engine::repair::testing::column("c", kind, "c")
    }

    fn encoded(encoding: Encoding) -> ColumnRule {
        ColumnRule {
            encoding: Some(encoding),
            scale: Some(2),
            ..ColumnRule::default()
        }
    }

    proptest! {
        #[test]
        fn bytes_survive_as_text(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            for encoding in [Encoding::Base64, Encoding::Hex] {
                let rule = encoded(encoding);
                let text = for_target(RawValue::Bytes(bytes.clone()), &column(ColumnType::Text { padded: false }), &rule).unwrap();
                let back = for_target(text, &column(ColumnType::Bytes), &rule).unwrap();
                prop_assert_eq!(back, RawValue::Bytes(bytes.clone()));
            }
        }

        #[test]
        fn decimals_survive_as_bytes(unscaled in any::<i64>()) {
            let rule = encoded(Encoding::DecimalBytes);
            let decimal = twos_complement(&unscaled.to_be_bytes(), Some(2)).unwrap();
            let bytes = for_target(RawValue::Decimal(decimal.clone()), &column(ColumnType::Bytes), &rule).unwrap();
            let back = for_target(bytes, &column(ColumnType::Decimal), &rule).unwrap();
            prop_assert_eq!(back, RawValue::Decimal(decimal));
        }

        #[test]
        fn timestamps_survive_as_numbers(micros in -60_000_000_000_000_000_i64..200_000_000_000_000_000) {
            let rule = encoded(Encoding::EpochMicros);
            let number = for_target(RawValue::Timestamp(Moment { units: micros, digits: 6 }), &column(ColumnType::Int), &rule).unwrap();
            let back = for_target(number, &column(ColumnType::Timestamp(6)), &rule).unwrap();
            prop_assert_eq!(back, RawValue::Timestamp(Moment { units: micros * 10, digits: 7 }));
        }
    }

    #[test]
    fn the_epoch_is_1970() {
        let date = RawValue::Date(0);
        assert_eq!(
            for_target(
                date,
                &column(ColumnType::Int),
                &encoded(Encoding::EpochDays)
            ),
            Ok(RawValue::Int(10_957))
        );
        let midnight = RawValue::Timestamp(Moment {
            units: 0,
            digits: 7,
        });
        assert_eq!(
            for_target(
                midnight,
                &column(ColumnType::Int),
                &encoded(Encoding::EpochSeconds)
            ),
            Ok(RawValue::Int(946_684_800))
        );
    }

    #[test]
    fn a_seventh_digit_is_cut_unless_the_rule_rounds() {
        let value = RawValue::Timestamp(Moment {
            units: 19,
            digits: 7,
        });
        let units = |rule: &ColumnRule| match for_target(
            value.clone(),
            &column(ColumnType::Timestamp(6)),
            rule,
        ) {
            Ok(RawValue::Timestamp(moment)) => moment.units,
            other => panic!("{other:?}"),
        };
        assert_eq!(units(&ColumnRule::default()), 10);
        assert_eq!(
            units(&ColumnRule {
                rounding: Some(Rounding::HalfUp),
                ..ColumnRule::default()
            }),
            20
        );
    }

    #[test]
    fn what_the_target_cannot_hold_is_said() {
        let refused = for_target(
            RawValue::Int(2),
            &column(ColumnType::Bool),
            &ColumnRule::default(),
        );
        assert_eq!(refused, Err(Unwritable::OutOfRange("c".to_owned())));
        let refused = for_target(
            RawValue::Text("12a".to_owned()),
            &column(ColumnType::Decimal),
            &ColumnRule::default(),
        );
        assert_eq!(refused, Err(Unwritable::WrongForm("c".to_owned())));
    }
}

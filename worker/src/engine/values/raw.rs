//! Values taken out of canonical rows.

use crate::engine::values::canonical::{
    BYTES, DATE, DECIMAL, FALSE, FLOAT32, FLOAT64, INSTANT, INT, NULL, TEXT, TIME, TIMESTAMP, TRUE,
    UUID, to_text,
};
use crate::engine::values::kind::Resolution;

/// Days from 1970-01-01 to 2000-01-01.
pub(crate) const DAYS_FROM_1970: i64 = 10_957;

pub(crate) const SECONDS_OF_DAY: i64 = 86_400;

/// A value of its own, exact.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RawValue {
    Null,
    Bool(bool),
    Int(i64),
    /// In plain notation; `NaN` and the infinities are words.
    Decimal(String),
    Float64(f64),
    Float32(f32),
    Text(String),
    /// Text with halves of characters, in UTF-16: what only SQL Server keeps.
    Halves(Vec<u16>),
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
pub(crate) struct Moment {
    pub(crate) units: i64,
    /// 6 for microseconds, 7 for 100 ns.
    pub(crate) digits: u8,
}

impl Moment {
    pub(crate) fn is_infinite(self) -> bool {
        self.units == i64::MAX || self.units == i64::MIN
    }

    /// Whole seconds, rounded down, and the units beyond them.
    pub(crate) fn split(self) -> (i64, i64) {
        let second = 10_i64.pow(self.digits.into());
        (self.units.div_euclid(second), self.units.rem_euclid(second))
    }

    /// With no more than `digits` digits of a second.
    pub(crate) fn rounded(self, digits: u8, times: Resolution) -> Self {
        if self.is_infinite() || digits >= self.digits {
            return self;
        }
        let resolution = Resolution { digits, ..times };
        Self {
            units: resolution.convert(self.units, self.digits),
            digits: resolution.unit().digits(),
        }
    }

    /// In units of 10^-`digits` seconds since 1970, rounded down.
    pub(crate) fn since_1970(self, digits: u8) -> Option<i64> {
        let epoch = i128::from(DAYS_FROM_1970 * SECONDS_OF_DAY) * 10_i128.pow(self.digits.into());
        i64::try_from(rescaled(
            i128::from(self.units) + epoch,
            self.digits,
            digits,
        ))
        .ok()
    }

    pub(crate) fn from_1970(value: i64, digits: u8) -> Option<Self> {
        let epoch = i128::from(DAYS_FROM_1970 * SECONDS_OF_DAY) * 10_i128.pow(7);
        let units = i64::try_from(rescaled(value.into(), digits, 7) - epoch).ok()?;
        Some(Self { units, digits: 7 })
    }
}

pub(crate) fn rescaled(value: i128, from: u8, to: u8) -> i128 {
    if to >= from {
        value * 10_i128.pow((to - from).into())
    } else {
        value.div_euclid(10_i128.pow((from - to).into()))
    }
}

/// Why a value cannot be written into a column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwritable {
    #[error("`{0}` holds a character U+0000, which PostgreSQL cannot store")]
    NulCharacter(String),
    #[error("`{0}` holds a value outside the range of its type")]
    OutOfRange(String),
    #[error("`{0}` holds a value that does not stand for what its type holds")]
    WrongForm(String),
    #[error("`{0}` holds a value that the target's type cannot hold as it is")]
    NotHeld(String),
    #[error("`{0}` holds half of a character, which PostgreSQL cannot store")]
    HalfCharacter(String),
    #[error("`{0}` has a type that cannot be written")]
    NoForm(String),
}

/// The value that the canonical bytes stand for. Values of a form that has no
/// number, time or bytes of its own come as text.
pub(crate) fn decode(value: &[u8]) -> RawValue {
    let tag = value.first().copied().unwrap_or(NULL);
    match (tag & 0xF0, tag) {
        (_, NULL) => RawValue::Null,
        (_, FALSE) => RawValue::Bool(false),
        (_, TRUE) => RawValue::Bool(true),
        (INT, _) => RawValue::Int(integer(value)),
        (DECIMAL, _) => RawValue::Decimal(to_text(value)),
        (_, FLOAT64) => RawValue::Float64(f64::from_bits(word(value).cast_unsigned())),
        (_, FLOAT32) => RawValue::Float32(f32::from_bits(short(value).cast_unsigned())),
        (_, TEXT) => match std::str::from_utf8(content(value)) {
            Ok(text) => RawValue::Text(text.to_owned()),
            Err(_) => RawValue::Halves(utf16(content(value))),
        },
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

/// The UTF-16 of text in which halves of characters have the three bytes that
/// they would have.
fn utf16(content: &[u8]) -> Vec<u16> {
    let mut units = Vec::new();
    for chunk in content.utf8_chunks() {
        units.extend(chunk.valid().encode_utf16());
        // The three bytes come as pieces of one each: the first tells all but the rest.
        for byte in chunk.invalid() {
            match (byte, units.last_mut()) {
                (0xED, _) => units.push(0xD000),
                (0xA0..=0xBF, Some(unit)) if *unit == 0xD000 => {
                    *unit |= u16::from(byte & 0x3F) << 6;
                }
                (_, Some(unit)) => *unit |= u16::from(byte & 0x3F),
                _ => {}
            }
        }
    }
    units
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

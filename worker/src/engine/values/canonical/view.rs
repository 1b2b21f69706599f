//! Canonical values taken apart, for those who reason about what they mean.

use crate::engine::values::canonical::value::{content, float32, integer, word};
use crate::engine::values::canonical::{
    BYTES, DATE, DECIMAL, FALSE, FLOAT32, FLOAT64, INSTANT, INT, NULL, TEXT, TIME, TIMESTAMP, TRUE,
    UUID, to_text,
};

/// One canonical value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum View<'a> {
    /// NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A decimal in plain notation without trailing zeros, `-12.34`.
    Decimal(String),
    /// A float of 64 bits.
    Float64(f64),
    /// A float of 32 bits.
    Float32(f32),
    /// Text.
    Text(&'a str),
    /// Bytes, or text that is no Unicode.
    Bytes(&'a [u8]),
    /// Days since 2000-01-01.
    Date(i32),
    /// A time of day.
    Time(UnitCount),
    /// A timestamp without zone.
    Timestamp(UnitCount),
    /// An instant.
    Instant(UnitCount),
    /// A UUID in network order.
    Uuid([u8; 16]),
}

/// Units since midnight, or since 2000-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnitCount {
    /// How many.
    pub units: i64,
    /// Digits of a second that a unit stands for, 6 or 7.
    pub digits: u8,
}

/// Takes a value apart. `None` for what is not one value in the canonical encoding.
#[must_use]
pub(crate) fn view(value: &[u8]) -> Option<View<'_>> {
    let mut values = crate::engine::values::canonical::Values::new(value);
    let (Some(Ok(value)), None) = (values.next(), values.next()) else {
        return None;
    };
    let tag = value[0];
    let count = || UnitCount {
        units: word(value),
        digits: tag & 0x0F,
    };
    Some(match (tag & 0xF0, tag) {
        (_, NULL) => View::Null,
        (_, FALSE) => View::Bool(false),
        (_, TRUE) => View::Bool(true),
        (INT, _) => View::Int(integer(value)),
        (DECIMAL, _) => View::Decimal(to_text(value)),
        (_, FLOAT64) => View::Float64(f64::from_bits(word(value).cast_unsigned())),
        (_, FLOAT32) => View::Float32(float32(value)),
        (_, TEXT) => match std::str::from_utf8(content(value)) {
            Ok(text) => View::Text(text),
            Err(_) => View::Bytes(content(value)),
        },
        (_, BYTES) => View::Bytes(content(value)),
        (_, DATE) => View::Date(i32::from_le_bytes([value[1], value[2], value[3], value[4]])),
        (TIME, _) => View::Time(count()),
        (TIMESTAMP, _) => View::Timestamp(count()),
        (INSTANT, _) => View::Instant(count()),
        (_, UUID) => {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&value[1..]);
            View::Uuid(bytes)
        }
        _ => return None,
    })
}

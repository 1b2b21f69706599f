//! The first byte of an encoded value: its kind, and a parameter of the kind.

/// The kind of an encoded value. Code that depends on it matches without a
/// catch-all arm, so that the compiler lists every place that a new kind needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    Null = 0x00,
    False = 0x01,
    True = 0x02,
    Int = 0x10,
    Decimal = 0x20,
    Float64 = 0x30,
    Float32 = 0x31,
    Text = 0x40,
    LongText = 0x41,
    Bytes = 0x50,
    LongBytes = 0x51,
    Date = 0x60,
    Time = 0x70,
    Timestamp = 0x80,
    Instant = 0x90,
    Uuid = 0xA0,
    Json = 0xB0,
    LongJson = 0xB1,
}

impl Tag {
    /// The kind of a value whose first byte is `first`, and its parameter: the
    /// number of bytes of an integer (0 to 8), the class of a decimal (0 to 4),
    /// the digits of a second in a time's unit (6 or 7), else 0. `None` if no
    /// value begins with this byte.
    #[inline]
    pub(crate) const fn parse(first: u8) -> Option<(Self, u8)> {
        let tag = match first {
            0x00 => Self::Null,
            0x01 => Self::False,
            0x02 => Self::True,
            0x10..=0x18 => Self::Int,
            0x20..=0x24 => Self::Decimal,
            0x30 => Self::Float64,
            0x31 => Self::Float32,
            0x40 => Self::Text,
            0x41 => Self::LongText,
            0x50 => Self::Bytes,
            0x51 => Self::LongBytes,
            0x60 => Self::Date,
            0x76 | 0x77 => Self::Time,
            0x86 | 0x87 => Self::Timestamp,
            0x96 | 0x97 => Self::Instant,
            0xA0 => Self::Uuid,
            0xB0 => Self::Json,
            0xB1 => Self::LongJson,
            _ => return None,
        };
        Some((tag, first - tag as u8))
    }
}

/// The unit in which times are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// Microseconds, PostgreSQL's finest unit.
    Micros,
    /// 100 nanoseconds, SQL Server's finest unit.
    Ticks,
}

impl TimeUnit {
    /// The decimal digits of a second in this unit.
    #[must_use]
    pub fn digits(self) -> u8 {
        match self {
            Self::Micros => 6,
            Self::Ticks => 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_byte_is_its_tag_and_parameter() {
        for first in 0..=u8::MAX {
            if let Some((tag, parameter)) = Tag::parse(first) {
                assert_eq!(tag as u8 + parameter, first);
                assert_eq!(Tag::parse(tag as u8 + parameter), Some((tag, parameter)));
            }
        }
    }
}

//! Decimals of any size in base 10000, aligned at the decimal point and
//! without zeros at either end: equal numbers have equal digits, whatever
//! scale they were declared with.

use std::fmt;

use crate::engine::values::canonical::tag::Tag;

/// The sign of a decimal, or the special value that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DecimalClass {
    /// Zero and above.
    Positive = 0,
    /// Below zero.
    Negative = 1,
    /// PostgreSQL's NaN.
    NotANumber = 2,
    /// PostgreSQL's Infinity.
    Infinity = 3,
    /// PostgreSQL's -Infinity.
    NegativeInfinity = 4,
}

/// A decimal in the form of PostgreSQL's binary protocol: digit groups are
/// big-endian 16-bit numbers in base 10000, the first one times 10000^weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal<'a> {
    class: DecimalClass,
    weight: i16,
    digits: &'a [u8],
}

impl<'a> Decimal<'a> {
    /// Makes a decimal of its parts. Zero groups at both ends are dropped, and
    /// negative zero is zero.
    #[inline]
    #[must_use]
    pub fn new(mut class: DecimalClass, mut weight: i16, mut digits: &'a [u8]) -> Self {
        while let [0, 0, rest @ ..] = digits {
            digits = rest;
            weight = weight.wrapping_sub(1);
        }
        while let [rest @ .., 0, 0] = digits {
            digits = rest;
        }
        if digits.is_empty() {
            weight = 0;
            if class == DecimalClass::Negative {
                class = DecimalClass::Positive;
            }
        }
        Self {
            class,
            weight,
            digits,
        }
    }

    /// `value` × 10^-`scale`, with its digits in `buffer`.
    #[must_use]
    pub fn from_scaled(value: i128, scale: u8, buffer: &'a mut DigitBuffer) -> Self {
        let class = if value < 0 {
            DecimalClass::Negative
        } else {
            DecimalClass::Positive
        };
        let mut rest = value.unsigned_abs();
        let mut next = buffer.0.len();
        let mut push = |group: u16| {
            next -= 2;
            buffer.0[next..next + 2].copy_from_slice(&group.to_be_bytes());
        };
        // The last group is padded, so that groups are aligned at the decimal point.
        let odd = u32::from(scale % 4);
        if odd != 0 {
            let unit = 10_u128.pow(odd);
            push(group(rest % unit * 10_u128.pow(4 - odd)));
            rest /= unit;
        }
        while rest > u128::from(u64::MAX) {
            push(group(rest % 10_000));
            rest /= 10_000;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the loop before ends below 2^64"
        )]
        let mut rest = rest as u64;
        while rest != 0 {
            push(group(u128::from(rest % 10_000)));
            rest /= 10_000;
        }
        let digits = &buffer.0[next..];
        let groups = i16::try_from(digits.len() / 2).expect("at most 11 groups");
        let fraction = i16::from(scale.div_ceil(4));
        Self::new(class, groups - fraction - 1, digits)
    }

    /// The class, the weight of the first digit group, and the groups.
    #[must_use]
    pub fn parts(&self) -> (DecimalClass, i16, &'a [u8]) {
        (self.class, self.weight, self.digits)
    }

    /// The value as an integer, if it is one of 64 bits.
    #[must_use]
    pub fn to_i64(self) -> Option<i64> {
        let groups = i32::try_from(self.digits.len() / 2).ok()?;
        let zeros = u32::try_from(i32::from(self.weight) + 1 - groups).ok()?;
        if groups == 0 {
            return (self.class == DecimalClass::Positive).then_some(0);
        }
        let mut value = 0_i128;
        for pair in self.digits.chunks_exact(2) {
            let group = u16::from_be_bytes([pair[0], pair[1]]);
            value = value.checked_mul(10_000)?.checked_add(group.into())?;
        }
        value = value.checked_mul(10_000_i128.checked_pow(zeros)?)?;
        match self.class {
            DecimalClass::Positive => i64::try_from(value).ok(),
            DecimalClass::Negative => i64::try_from(-value).ok(),
            _ => None,
        }
    }

    /// The decimal whose encoding is `body` after the first byte.
    pub(crate) fn decode(class: u8, body: &'a [u8]) -> Option<Self> {
        let class = match class {
            0 => DecimalClass::Positive,
            1 => DecimalClass::Negative,
            2 => DecimalClass::NotANumber,
            3 => DecimalClass::Infinity,
            4 => DecimalClass::NegativeInfinity,
            _ => return None,
        };
        let (weight, rest) = body.split_first_chunk::<2>()?;
        Some(Self {
            class,
            weight: i16::from_le_bytes(*weight),
            digits: rest.get(2..)?,
        })
    }

    #[inline]
    pub(crate) fn encode(&self, buffer: &mut Vec<u8>) {
        let weight = self.weight.to_le_bytes();
        // PostgreSQL's numeric has at most 36,000 groups.
        let count = u16::try_from(self.digits.len() / 2)
            .expect("a numeric has fewer than 65,536 digit groups")
            .to_le_bytes();
        buffer.extend_from_slice(&[
            Tag::Decimal as u8 + self.class as u8,
            weight[0],
            weight[1],
            count[0],
            count[1],
        ]);
        buffer.extend_from_slice(self.digits);
    }
}

/// A buffer for the digits of any 128-bit decimal.
#[derive(Debug, Default)]
pub struct DigitBuffer([u8; 24]);

fn group(value: u128) -> u16 {
    u16::try_from(value).expect("below 10000")
}

/// Plain notation without trailing zeros, such as `-12.34`. NaN and the
/// infinities are `NaN`, `Infinity` and `-Infinity`.
impl fmt::Display for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            DecimalClass::NotANumber => return f.write_str("NaN"),
            DecimalClass::Infinity => return f.write_str("Infinity"),
            DecimalClass::NegativeInfinity => return f.write_str("-Infinity"),
            DecimalClass::Negative => f.write_str("-")?,
            DecimalClass::Positive => {}
        }
        let weight = i32::from(self.weight);
        // The group times 10000^`position`.
        let group = |position: i32| {
            usize::try_from(weight - position)
                .ok()
                .and_then(|at| self.digits.get(at * 2..at * 2 + 2))
                .map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
        };
        write!(f, "{}", group(weight.max(0)))?;
        for position in (0..weight).rev() {
            write!(f, "{:04}", group(position))?;
        }
        let groups = i32::try_from(self.digits.len() / 2).unwrap_or(i32::MAX);
        let lowest = (weight - groups).saturating_add(1);
        let fraction: String = (lowest..0)
            .rev()
            .map(|position| format!("{:04}", group(position)))
            .collect();
        match fraction.trim_end_matches('0') {
            "" => Ok(()),
            digits => write!(f, ".{digits}"),
        }
    }
}

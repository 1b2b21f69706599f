//! Decimals of any size in base 10000, aligned at the decimal point and
//! without zeros at either end: equal numbers have equal digits, whatever
//! scale they were declared with.

use crate::engine::values::canonical::DECIMAL;

/// What kind of number a decimal is.
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

/// A decimal as PostgreSQL's binary format gives it, whose digits are
/// big-endian 16-bit numbers in base 10000; the first stands for
/// 10000^weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal<'a> {
    class: DecimalClass,
    weight: i16,
    digits: &'a [u8],
}

impl<'a> Decimal<'a> {
    /// A decimal out of its parts. Zeros at the ends of `digits` are dropped,
    /// and there is only one zero.
    #[inline]
    #[must_use]
    pub fn new(class: DecimalClass, mut weight: i16, mut digits: &'a [u8]) -> Self {
        while let [0, 0, rest @ ..] = digits {
            digits = rest;
            weight = weight.wrapping_sub(1);
        }
        while let [rest @ .., 0, 0] = digits {
            digits = rest;
        }
        if digits.is_empty() {
            let class = if class == DecimalClass::Negative {
                DecimalClass::Positive
            } else {
                class
            };
            Self {
                class,
                weight: 0,
                digits,
            }
        } else {
            Self {
                class,
                weight,
                digits,
            }
        }
    }

    /// `value` × 10^-`scale`, its digits kept in `room`.
    #[must_use]
    pub fn from_scaled(value: i128, scale: u8, room: &'a mut DecimalRoom) -> Self {
        let class = if value < 0 {
            DecimalClass::Negative
        } else {
            DecimalClass::Positive
        };
        let mut rest = value.unsigned_abs();
        let mut next = room.0.len();
        let mut push = |group: u16| {
            next -= 2;
            room.0[next..next + 2].copy_from_slice(&group.to_be_bytes());
        };
        // The digit group that straddles nothing: scale is made a multiple of 4.
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
        let digits = &room.0[next..];
        let groups = i16::try_from(digits.len() / 2).expect("at most 11 groups");
        let fraction = i16::from(scale.div_ceil(4));
        Self::new(class, groups - fraction - 1, digits)
    }

    /// Its class, the weight of its first digit group, and its groups.
    #[must_use]
    pub fn parts(&self) -> (DecimalClass, i16, &'a [u8]) {
        (self.class, self.weight, self.digits)
    }

    /// The integer that it is, if it is one of 64 bits.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
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

    #[inline]
    pub(crate) fn encode(&self, buffer: &mut Vec<u8>) {
        let weight = self.weight.to_le_bytes();
        // PostgreSQL's numeric has at most 36,000 groups.
        let count = u16::try_from(self.digits.len() / 2)
            .expect("a numeric has fewer than 65,536 digit groups")
            .to_le_bytes();
        buffer.extend_from_slice(&[
            DECIMAL + self.class as u8,
            weight[0],
            weight[1],
            count[0],
            count[1],
        ]);
        buffer.extend_from_slice(self.digits);
    }
}

/// Room for the digits of any 128-bit decimal.
#[derive(Debug, Default)]
pub struct DecimalRoom([u8; 24]);

fn group(value: u128) -> u16 {
    u16::try_from(value).expect("below 10000")
}

/// Plain notation: `-12.3400` has no trailing zeros, `NaN` and `Infinity` are words.
pub(crate) fn to_text(class: u8, weight: i16, digits: &[u8]) -> String {
    match class {
        2 => return "NaN".to_owned(),
        3 => return "Infinity".to_owned(),
        4 => return "-Infinity".to_owned(),
        _ => {}
    }
    let group = |position: i32| -> u16 {
        let at = i32::from(weight) - position;
        usize::try_from(at)
            .ok()
            .and_then(|at| digits.get(at * 2..at * 2 + 2))
            .map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
    };
    let mut text = String::new();
    if class == 1 {
        text.push('-');
    }
    if weight < 0 {
        text.push('0');
    }
    for position in (0..=i32::from(weight)).rev() {
        let value = group(position);
        if position == i32::from(weight) {
            text.push_str(&value.to_string())
        } else {
            text.push_str(&format!("{value:04}"))
        }
    }
    let groups = i32::try_from(digits.len() / 2).unwrap_or(i32::MAX);
    let lowest = i32::from(weight) - groups + 1;
    if lowest < 0 && !digits.is_empty() {
        text.push('.');
        for position in (lowest..0).rev() {
            text.push_str(&format!("{:04}", group(position)));
        }
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}

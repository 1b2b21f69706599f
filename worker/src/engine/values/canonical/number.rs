//! Decimals parsed from other notations: text, floats, and the big-endian two's
//! complement that Debezium writes.

use std::fmt;

use crate::engine::values::canonical::decimal::{Decimal, DecimalClass};

/// The longest two's complement, in bytes, that is parsed: about as many digits
/// as PostgreSQL's numeric can have before the point.
const LONGEST: usize = 56 * 1024;

/// The decimal that `text` denotes: a sign, digits with at most one point, an
/// exponent; or one of PostgreSQL's words `NaN`, `Infinity`, `-Infinity`.
/// Its digits are in `buffer`. `None` if the text is none of these, or if
/// PostgreSQL's numeric cannot hold the number.
pub(crate) fn parse_decimal<'a>(text: &[u8], buffer: &'a mut Vec<u8>) -> Option<Decimal<'a>> {
    let special = |class| Some(Decimal::new(class, 0, &[]));
    match text {
        b"NaN" => return special(DecimalClass::NotANumber),
        b"Infinity" => return special(DecimalClass::Infinity),
        b"-Infinity" => return special(DecimalClass::NegativeInfinity),
        _ => {}
    }
    let number = Notation::parse(text)?;
    number.to_decimal(buffer)
}

/// A number as it is written: the digits before and after the point, and the exponent.
pub(crate) struct Notation<'a> {
    pub(crate) negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Notation<'a> {
    /// `None` if `text` is not a number, or its exponent has more than 18 digits.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &[][..]),
        };
        let all_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        Some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// The significant digits without zeros at either end, and the power of
    /// ten of the last one; no digits for zero.
    pub(crate) fn significant(&self) -> Option<(Vec<u8>, i64)> {
        let all = [self.whole, self.fraction].concat();
        let Some(first) = all.iter().position(|digit| *digit != b'0') else {
            return Some((Vec::new(), 0));
        };
        let end = all
            .iter()
            .rposition(|digit| *digit != b'0')
            .map_or(0, |at| at + 1);
        let dropped = i64::try_from(all.len() - end).ok()?;
        let fraction = i64::try_from(self.fraction.len()).ok()?;
        let power = self.exponent.checked_sub(fraction)?.checked_add(dropped)?;
        Some((all[first..end].to_vec(), power))
    }

    fn to_decimal<'b>(&self, buffer: &'b mut Vec<u8>) -> Option<Decimal<'b>> {
        let (digits, power) = self.significant()?;
        let class = if self.negative {
            DecimalClass::Negative
        } else {
            DecimalClass::Positive
        };
        // Digit groups are aligned at the point: pad both ends with zeros.
        let low = power.div_euclid(4);
        let after = usize::try_from(power.rem_euclid(4)).ok()?;
        let before = (4 - (digits.len() + after) % 4) % 4;
        let count = (before + digits.len() + after) / 4;
        let weight = i16::try_from(low.checked_add(i64::try_from(count).ok()?)? - 1).ok()?;
        if count > usize::from(u16::MAX) || i16::try_from(low).is_err() {
            return None;
        }
        buffer.clear();
        let zeros = |count| std::iter::repeat_n(&b'0', count);
        let mut group = 0_u16;
        for (at, digit) in zeros(before).chain(&digits).chain(zeros(after)).enumerate() {
            group = group * 10 + u16::from(digit - b'0');
            if at % 4 == 3 {
                buffer.extend_from_slice(&group.to_be_bytes());
                group = 0;
            }
        }
        Some(Decimal::new(class, weight, buffer))
    }
}

/// An exponent of up to 18 digits, leading zeros not counted.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let value: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (value.unsigned_abs() < 10_u64.pow(18)).then_some(value)
}

/// The decimal that a float of 64 bits stands for: a whole number exactly,
/// any other by the shortest notation that reads back as the same float. No
/// two floats stand for the same decimal.
pub(crate) fn float64_decimal(value: f64, buffer: &mut Vec<u8>) -> Decimal<'_> {
    float_decimal(value, value, buffer)
}

/// As [`float64_decimal`], of a float of 32 bits.
pub(crate) fn float32_decimal(value: f32, buffer: &mut Vec<u8>) -> Decimal<'_> {
    float_decimal(value.into(), value, buffer)
}

/// The decimal of `value`, whose shortest notation is that of `shortest`.
fn float_decimal(
    value: f64,
    shortest: impl fmt::Display + fmt::LowerExp,
    buffer: &mut Vec<u8>,
) -> Decimal<'_> {
    if value.is_nan() {
        return Decimal::new(DecimalClass::NotANumber, 0, &[]);
    }
    let text = match value {
        f64::INFINITY => return Decimal::new(DecimalClass::Infinity, 0, &[]),
        f64::NEG_INFINITY => return Decimal::new(DecimalClass::NegativeInfinity, 0, &[]),
        _ if value.fract() == 0.0 => format!("{shortest:.0}"),
        _ => format!("{shortest:e}"),
    };
    parse_decimal(text.as_bytes(), buffer)
        .expect("a finite float is written as a number of at most 350 digits")
}

/// The decimal whose unscaled value is `bytes`, big-endian two's complement,
/// with `scale` digits after the point. `None` if there are no bytes, or more than 56 KiB.
pub(crate) fn twos_complement_decimal<'a>(
    bytes: &[u8],
    scale: u8,
    buffer: &'a mut Vec<u8>,
) -> Option<Decimal<'a>> {
    if bytes.is_empty() || bytes.len() > LONGEST {
        return None;
    }
    let negative = bytes[0] & 0x80 != 0;
    let text = if bytes.len() <= 16 {
        let mut wide = [if negative { 0xFF } else { 0 }; 16];
        wide[16 - bytes.len()..].copy_from_slice(bytes);
        i128::from_be_bytes(wide).to_string()
    } else {
        let digits = magnitude_digits(bytes, negative);
        format!("{}{digits}", if negative { "-" } else { "" })
    };
    let mut number = Notation::parse(text.as_bytes())?;
    number.exponent = -i64::from(scale);
    number.to_decimal(buffer)
}

/// The decimal digits of the magnitude of a long two's complement.
fn magnitude_digits(bytes: &[u8], negative: bool) -> String {
    const BILLION: u64 = 1_000_000_000;
    /// Multiplies the number by 2^`bits`, up to 32 of them, and adds `carry`.
    fn shift_in(groups: &mut Vec<u64>, bits: u32, mut carry: u64) {
        for group in &mut *groups {
            let value = (*group << bits) + carry;
            (*group, carry) = (value % BILLION, value / BILLION);
        }
        while carry > 0 {
            groups.push(carry % BILLION);
            carry /= BILLION;
        }
    }
    let fill = if negative { 0xFF } else { 0 };
    let padding = vec![fill; (4 - bytes.len() % 4) % 4];
    // Groups of nine digits, least significant first.
    let mut groups = vec![0];
    for limb in [&*padding, bytes].concat().as_chunks::<4>().0 {
        let limb = u32::from_be_bytes(*limb) ^ u32::from_be_bytes([fill; 4]);
        shift_in(&mut groups, 32, limb.into());
    }
    if negative {
        shift_in(&mut groups, 0, 1);
    }
    let digits = groups.iter().rev().map(|group| format!("{group:09}"));
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::canonical::decimal::DigitBuffer;
    use crate::engine::values::canonical::encoder::RowEncoder;
    use proptest::prelude::*;

    fn encoded(decimal: &Decimal<'_>) -> Vec<u8> {
        let mut encoder = RowEncoder::default();
        encoder.decimal(decimal);
        encoder.row().to_vec()
    }

    fn read(text: &str) -> Option<String> {
        let mut buffer = Vec::new();
        parse_decimal(text.as_bytes(), &mut buffer).map(|decimal| decimal.to_string())
    }

    #[test]
    fn notations_of_numbers() {
        for (text, value) in [
            ("0", "0"),
            ("-0.000", "0"),
            ("+12.50", "12.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1000"),
            ("12345.678e-2", "123.45678"),
            ("0.00000001", "0.00000001"),
            (
                "123456789012345678901234567890123456789012",
                "123456789012345678901234567890123456789012",
            ),
            ("0e999999999999999999999", ""),
            ("NaN", "NaN"),
            ("-Infinity", "-Infinity"),
        ] {
            assert_eq!(read(text).unwrap_or_default(), value, "{text}");
        }
        for text in [
            "", "-", ".", "1,5", "1 ", "0x10", "1e", "1e5.0", "--1", "1e200000", "nan", "1.2.3",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn floats_stand_for_the_number_that_people_read() {
        let mut buffer = Vec::new();
        for (value, text) in [
            (0.1, "0.1"),
            (-2.5e-7, "-0.00000025"),
            (1e23, "99999999999999991611392"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (-0.0, "0"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(float64_decimal(value, &mut buffer).to_string(), text);
        }
        assert_eq!(float32_decimal(0.1, &mut buffer).to_string(), "0.1");
        assert_eq!(
            float32_decimal(16_777_217.0, &mut buffer).to_string(),
            "16777216"
        );
    }

    #[test]
    fn long_twos_complements() {
        let mut buffer = Vec::new();
        let mut minimum = [0_u8; 17];
        minimum[0] = 0x80;
        let decimal = twos_complement_decimal(&minimum, 0, &mut buffer).unwrap();
        assert_eq!(
            decimal.to_string(),
            "-43556142965880123323311949751266331066368"
        );
        assert_eq!(twos_complement_decimal(&[], 0, &mut buffer), None);
    }

    proptest! {
        #[test]
        fn text_and_scaled_integers_are_the_same_number(value in any::<i128>(), scale in 0_u8..=38) {
            let digits = format!("{:0width$}", value.unsigned_abs(), width = usize::from(scale) + 1);
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
            let text = format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" });
            let mut buffer = Vec::new();
            let mut fixed = DigitBuffer::default();
            let parsed = parse_decimal(text.as_bytes(), &mut buffer).unwrap();
            prop_assert_eq!(encoded(&parsed), encoded(&Decimal::from_scaled(value, scale, &mut fixed)));
        }

        #[test]
        fn twos_complements_of_any_length_are_their_value(value in any::<i128>(), extra in 0_usize..6, scale in 0_u8..=40) {
            let fill = if value < 0 { 0xFF } else { 0 };
            let mut bytes = vec![fill; extra];
            bytes.extend_from_slice(&value.to_be_bytes());
            let (mut buffer, mut fixed) = (Vec::new(), DigitBuffer::default());
            let read = twos_complement_decimal(&bytes, scale, &mut buffer).unwrap();
            prop_assert_eq!(encoded(&read), encoded(&Decimal::from_scaled(value, scale, &mut fixed)));
        }

        #[test]
        fn different_floats_are_different_numbers(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(!a.is_nan() && !b.is_nan());
            let (mut left, mut right) = (Vec::new(), Vec::new());
            let same = encoded(&float64_decimal(a, &mut left)) == encoded(&float64_decimal(b, &mut right));
            prop_assert_eq!(same, a == b);
        }

        #[test]
        fn arbitrary_text_never_panics(text in proptest::collection::vec(proptest::sample::select(b"0123456789+-.eE xN".to_vec()), 0..40)) {
            let mut buffer = Vec::new();
            if let Some(decimal) = parse_decimal(&text, &mut buffer) {
                prop_assert!(!decimal.to_string().is_empty());
            }
        }
    }
}

//! Whether two values are equal under a tolerance. The arithmetic is exact:
//! decimal, of any size, and never in floats.

use std::cmp::Ordering;

use shared::options::Tolerance;

use crate::engine::values::canonical::{DecimalClass, parse_decimal};
use crate::engine::values::moment::{Moment, SECONDS_OF_DAY};
use crate::engine::values::value::{Value, try_decode};

/// Whether two encoded values of one column are equal under `tolerance`: numbers
/// whose distance is at most the limit, times whose distance in seconds is.
/// Values that are neither (NULL, NaN, the infinities, text where a number was
/// expected) equal themselves only, as do all values under a tolerance that
/// cannot be parsed, which the plan refuses.
pub(crate) fn within(source: &[u8], target: &[u8], tolerance: &Tolerance) -> bool {
    if source == target {
        return true;
    }
    let (Ok(limit), Some(source), Some(target)) = (
        parse_tolerance(tolerance),
        Position::of(source),
        Position::of(target),
    ) else {
        return false;
    };
    let limit = match tolerance {
        Tolerance::Absolute(_) => limit,
        Tolerance::Relative(_) if source.class == Class::Number => {
            let larger = if source.at.compare_magnitude(&target.at).is_lt() {
                &target.at
            } else {
                &source.at
            };
            limit.times(larger)
        }
        Tolerance::Relative(_) => return false,
    };
    let distance = source.at.minus(&target.at);
    source.class == target.class && distance.compare_magnitude(&limit).is_le()
}

/// The limit of a tolerance, or the reason why it cannot be used.
pub(crate) fn parse_tolerance(tolerance: &Tolerance) -> Result<Exact, String> {
    match tolerance {
        Tolerance::Absolute(text) => Exact::parse(text)
            .filter(|limit| !limit.negative)
            .ok_or_else(|| {
                format!("`{text}` is not a distance; write a decimal such as \"0.005\", for times in seconds")
            }),
        Tolerance::Relative(fraction) if (0.0..=1.0).contains(fraction) => {
            // The shortest notation of the float: 0.01 is exactly a hundredth.
            Exact::parse(&fraction.to_string()).ok_or_else(|| format!("{fraction} is not a fraction"))
        }
        Tolerance::Relative(fraction) => Err(format!(
            "{fraction} is not a fraction; write one from 0 to 1, such as 0.001"
        )),
    }
}

/// Values of different classes are never near each other.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Class {
    Number,
    Date,
    /// Times, by the digits of a second in their unit.
    Time(u8),
    Timestamp(u8),
    Instant(u8),
}

/// A number, or a time in seconds: the values within a tolerance of one value are
/// those between two positions.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    class: Class,
    at: Exact,
}

impl Position {
    /// The position of an encoded value; `None` if the value equals only itself.
    pub(crate) fn of(value: &[u8]) -> Option<Self> {
        let seconds = |Moment { units, digits }| format!("{units}e-{digits}");
        let (class, number) = match try_decode(value)? {
            number
            @ (Value::Int(_) | Value::Decimal(_) | Value::Float64(_) | Value::Float32(_)) => {
                (Class::Number, number.into_text())
            }
            Value::Date(days) if days != i32::MAX && days != i32::MIN => {
                (Class::Date, (i64::from(days) * SECONDS_OF_DAY).to_string())
            }
            Value::Time(at) => (Class::Time(at.digits), seconds(at)),
            Value::Timestamp(at) if !at.is_infinite() => (Class::Timestamp(at.digits), seconds(at)),
            Value::Instant(at) if !at.is_infinite() => (Class::Instant(at.digits), seconds(at)),
            _ => return None,
        };
        let at = Exact::parse(&number)?;
        Some(Self { class, at })
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        let at = || match (self.at.negative, other.at.negative) {
            (false, false) => self.at.compare_magnitude(&other.at),
            (true, true) => other.at.compare_magnitude(&self.at),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        };
        self.class.cmp(&other.class).then_with(at)
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Position {}

/// A decimal of any size: digits in base 10000, the least significant first,
/// times 10000^`low`.
#[derive(Debug, Clone)]
pub(crate) struct Exact {
    negative: bool,
    digits: Vec<u32>,
    low: i32,
}

const BASE: u32 = 10_000;

impl Exact {
    fn parse(text: &str) -> Option<Self> {
        let mut buffer = Vec::new();
        let (class, weight, digits) = parse_decimal(text.as_bytes(), &mut buffer)?.parts();
        let negative = match class {
            DecimalClass::Positive => false,
            DecimalClass::Negative => true,
            _ => return None,
        };
        let count = i32::try_from(digits.len() / 2).ok()?;
        let digits = digits
            .chunks_exact(2)
            .rev()
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .collect();
        Some(Self {
            negative,
            digits,
            low: i32::from(weight) + 1 - count,
        })
    }

    /// The digit at 10000^`position`.
    fn digit(&self, position: i32) -> u32 {
        usize::try_from(position - self.low)
            .ok()
            .and_then(|at| self.digits.get(at))
            .copied()
            .unwrap_or(0)
    }

    /// One above the highest position that has a digit.
    fn end(&self) -> i32 {
        let count = i32::try_from(self.digits.len()).expect("a decimal has fewer than 2^31 digits");
        self.low + count
    }

    fn span(&self, other: &Self) -> std::ops::Range<i32> {
        self.low.min(other.low)..self.end().max(other.end())
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        self.span(other)
            .rev()
            .map(|at| self.digit(at).cmp(&other.digit(at)))
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    fn minus(&self, other: &Self) -> Self {
        let span = self.span(other);
        let low = span.start;
        let mut digits = Vec::with_capacity(span.len() + 1);
        if self.negative != other.negative {
            let mut carry = 0;
            for at in span {
                let sum = self.digit(at) + other.digit(at) + carry;
                digits.push(sum % BASE);
                carry = sum / BASE;
            }
            digits.push(carry);
        } else {
            let (larger, smaller) = if self.compare_magnitude(other) == Ordering::Less {
                (other, self)
            } else {
                (self, other)
            };
            let mut borrow = 0;
            for at in span {
                let take = smaller.digit(at) + borrow;
                let have = larger.digit(at);
                borrow = u32::from(have < take);
                digits.push(have + borrow * BASE - take);
            }
        }
        Self {
            // Only the magnitude is used.
            negative: false,
            digits,
            low,
        }
    }

    fn times(&self, other: &Self) -> Self {
        let mut digits = vec![0_u32; self.digits.len() + other.digits.len()];
        for (i, a) in self.digits.iter().enumerate() {
            let mut carry = 0;
            for (j, b) in other.digits.iter().enumerate() {
                // At most 9999 + 9999 * 9999 + 9999, below 2^32.
                let sum = digits[i + j] + a * b + carry;
                digits[i + j] = sum % BASE;
                carry = sum / BASE;
            }
            digits[i + other.digits.len()] += carry;
        }
        Self {
            negative: false,
            digits,
            low: self.low + other.low,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::canonical::{Decimal, DigitBuffer, RowEncoder, TimeUnit};
    use proptest::prelude::*;

    fn within(tolerance: &Tolerance, source: &[u8], target: &[u8]) -> bool {
        super::within(source, target, tolerance)
    }

    fn encode(write: impl Fn(&mut RowEncoder)) -> Vec<u8> {
        let mut encoder = RowEncoder::default();
        write(&mut encoder);
        encoder.row().to_vec()
    }

    fn scaled(value: i128, scale: u8) -> Vec<u8> {
        encode(|e| {
            e.decimal(&Decimal::from_scaled(
                value,
                scale,
                &mut DigitBuffer::default(),
            ))
        })
    }

    fn absolute(text: &str) -> Tolerance {
        Tolerance::Absolute(text.to_owned())
    }

    #[test]
    fn the_limit_itself_is_near() {
        let cent = absolute("0.01");
        assert!(within(&cent, &scaled(100, 2), &scaled(101, 2)));
        assert!(!within(&cent, &scaled(100, 2), &scaled(10_101, 4)));
        assert!(within(&cent, &scaled(-5, 3), &scaled(5, 3)));
        assert!(within(&absolute("0"), &scaled(7, 0), &scaled(7, 0)));
        assert!(!within(&absolute("0"), &scaled(7, 0), &scaled(8, 0)));
        let huge = 10_i128.pow(37);
        assert!(!within(
            &absolute("0.5"),
            &scaled(huge, 0),
            &scaled(huge + 1, 0)
        ));
        let hundredth = Tolerance::Relative(0.01);
        assert!(within(&hundredth, &scaled(100, 0), &scaled(99, 0)));
        assert!(!within(&hundredth, &scaled(100, 0), &scaled(9899, 2)));
        assert!(!within(&hundredth, &scaled(0, 0), &scaled(1, 30)));
    }

    #[test]
    fn floats_and_integers() {
        let float = |value| encode(|e| e.float64(value));
        let int = |value| encode(|e| e.int(value));
        assert!(within(&absolute("1e-16"), &float(0.3), &float(0.1 + 0.2)));
        assert!(!within(&absolute("1e-17"), &float(0.3), &float(0.1 + 0.2)));
        assert!(within(&absolute("1"), &float(f64::NAN), &float(f64::NAN)));
        assert!(!within(
            &absolute("1e300"),
            &float(f64::INFINITY),
            &float(1.0)
        ));
        assert!(!within(
            &Tolerance::Relative(1.0),
            &float(f64::NAN),
            &float(1.0)
        ));
        assert!(within(
            &absolute("18446744073709551615"),
            &int(i64::MIN),
            &int(i64::MAX)
        ));
        assert!(!within(
            &absolute("18446744073709551614"),
            &int(i64::MIN),
            &int(i64::MAX)
        ));
    }

    #[test]
    fn times_are_seconds_apart() {
        let micros = |value| encode(|e| e.timestamp(TimeUnit::Micros, value));
        let date = |value| encode(|e| e.date(value));
        assert!(within(&absolute("0.001"), &micros(-500), &micros(500)));
        assert!(!within(&absolute("0.001"), &micros(-500), &micros(501)));
        assert!(!within(&absolute("9e18"), &micros(i64::MAX), &micros(0)));
        assert!(within(&absolute("86400"), &date(1), &date(2)));
        assert!(!within(&absolute("86399.999"), &date(1), &date(2)));
        assert!(!within(&Tolerance::Relative(1.0), &date(1), &date(2)));
        let instant = encode(|e| e.instant(TimeUnit::Micros, 0));
        assert!(!within(&absolute("1"), &instant, &micros(0)));
    }

    #[test]
    fn what_is_no_number_is_near_itself_alone() {
        let null = encode(RowEncoder::null);
        let text = encode(|e| e.text(b"1"));
        assert!(within(&absolute("1"), &null, &null));
        assert!(!within(&absolute("1"), &null, &scaled(0, 0)));
        assert!(!within(&absolute("1"), &text, &scaled(1, 0)));
    }

    #[test]
    fn a_limit_that_is_none_is_refused() {
        for tolerance in [
            absolute("-1"),
            absolute("x"),
            absolute("NaN"),
            absolute("Infinity"),
            Tolerance::Relative(-0.1),
            Tolerance::Relative(1.5),
            Tolerance::Relative(f64::NAN),
        ] {
            assert!(parse_tolerance(&tolerance).is_err(), "{tolerance:?}");
        }
    }

    proptest! {
        #[test]
        fn distances_are_exact(a in -(10_i128.pow(36))..10_i128.pow(36), b in -(10_i128.pow(36))..10_i128.pow(36), near in -30_i128..30, scale in 0_u8..=38, limit in 0_i128..30) {
            for (a, b) in [(a, b), (a, a + near), (-near, near)] {
                let expected = (a - b).abs() <= limit;
                let text = format!("{limit}e-{scale}");
                prop_assert_eq!(within(&absolute(&text), &scaled(a, scale), &scaled(b, scale)), expected);
            }
        }

        #[test]
        fn fractions_are_exact(a in -1_000_000_i128..1_000_000, b in -1_000_000_i128..1_000_000, scale in 0_u8..=30, thousandths in 0_i128..=1000) {
            #[expect(clippy::cast_precision_loss, reason = "at most 1000")]
            let fraction = thousandths as f64 / 1000.0;
            let expected = (a - b).abs() * 1000 <= thousandths * a.abs().max(b.abs());
            prop_assert_eq!(within(&Tolerance::Relative(fraction), &scaled(a, scale), &scaled(b, scale)), expected);
        }

        #[test]
        fn positions_are_in_the_order_of_values(a in -(10_i128.pow(36))..10_i128.pow(36), b in -(10_i128.pow(36))..10_i128.pow(36), near in -2_i128..3, scale in 0_u8..=38) {
            for (a, b) in [(a, b), (a, a + near), (-near, near), (near, 0)] {
                let position = |value| Position::of(&scaled(value, scale)).unwrap();
                prop_assert_eq!(position(a).cmp(&position(b)), a.cmp(&b));
            }
        }

        #[test]
        fn nearness_is_mutual(a in any::<f64>(), b in any::<f64>(), fraction in 0.0..1.0_f64) {
            let (a, b) = (encode(|e| e.float64(a)), encode(|e| e.float64(b)));
            let tolerance = Tolerance::Relative(fraction);
            prop_assert_eq!(within(&tolerance, &a, &b), within(&tolerance, &b, &a));
        }
    }
}

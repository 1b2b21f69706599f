//! Damages of numbers.

use std::fmt::{Display, LowerExp};
use std::str::FromStr;

use shared::options::Rounding;

use crate::engine::locate::cause::damage::Damage;
use crate::engine::values::canonical::parse_decimal;

/// The longest number, in characters, that is tested.
pub(crate) const LONGEST: usize = 400;

/// The largest scale that is tested.
const FINEST: u8 = 38;

const ROUNDINGS: [Rounding; 3] = [Rounding::Truncate, Rounding::HalfUp, Rounding::HalfEven];

pub(crate) fn integers(original: i64, damaged: i64, found: &mut impl FnMut(Damage)) {
    // An integer above 2^53 that was converted to a float, for example in JSON.
    narrowed(&original.to_string(), &damaged.to_string(), found);
}

pub(crate) fn decimals(original: &str, damaged: &str, found: &mut impl FnMut(Damage)) {
    if original.len().max(damaged.len()) > LONGEST {
        return;
    }
    narrowed(original, damaged, found);
    scales(original, |cut| cut == damaged, found);
}

pub(crate) fn floats(original: f64, damaged: f64, found: &mut impl FnMut(Damage)) {
    if !original.is_finite() || !damaged.is_finite() {
        return;
    }
    #[expect(clippy::cast_possible_truncation, reason = "that is the damage")]
    if f64::from(original as f32) == damaged {
        found(Damage::Narrowed(32));
    }
    fewer_digits(original, damaged, 16, found);
}

pub(crate) fn short_floats(original: f32, damaged: f32, found: &mut impl FnMut(Damage)) {
    if original.is_finite() && damaged.is_finite() {
        fewer_digits(original, damaged, 8, found);
    }
}

/// A float that was rounded to a scale, or to 4 to `most` significant digits.
fn fewer_digits<F: Display + LowerExp + FromStr + PartialEq>(
    original: F,
    damaged: F,
    most: u8,
    found: &mut impl FnMut(Damage),
) {
    let is_damaged = |text: &str| text.parse().is_ok_and(|number: F| number == damaged);
    scales(&original.to_string(), is_damaged, found);
    for digits in 4..=most {
        if is_damaged(&format!("{original:.*e}", usize::from(digits) - 1)) {
            found(Damage::DigitsCut(digits));
        }
    }
}

/// A number that was converted to a float, in plain notation.
fn narrowed(original: &str, damaged: &str, found: &mut impl FnMut(Damage)) {
    let as_f64 = original
        .parse()
        .ok()
        .and_then(|it: f64| plain(&it.to_string()));
    let as_f32 = original
        .parse()
        .ok()
        .and_then(|it: f32| plain(&it.to_string()));
    for (bits, float) in [(64, as_f64), (32, as_f32)] {
        if float.as_deref() == Some(damaged) {
            found(Damage::Narrowed(bits));
        }
    }
}

/// Every scale to which `original`, in plain notation, was cut or rounded.
fn scales(original: &str, is_other: impl Fn(&str) -> bool, found: &mut impl FnMut(Damage)) {
    let Some((_, fraction)) = original.split_once('.') else {
        return;
    };
    let finest = u8::try_from(fraction.len())
        .unwrap_or(u8::MAX)
        .min(FINEST + 1);
    for left in 0..finest {
        for rounding in ROUNDINGS {
            if is_other(&cut(original, left.into(), rounding)) {
                found(Damage::ScaleCut(left, rounding));
            }
        }
    }
}

/// A number in plain notation with at most `scale` digits after the point.
/// Half-up rounds away from zero, as both databases do.
fn cut(number: &str, scale: usize, rounding: Rounding) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (kept, lost) = fraction.split_at(scale.min(fraction.len()));
    let mut kept: Vec<u8> = whole.bytes().chain(kept.bytes()).collect();
    let exact_half = lost.starts_with('5') && lost[1..].bytes().all(|digit| digit == b'0');
    let odd = kept.last().is_some_and(|digit| digit % 2 == 1);
    let up = match rounding {
        Rounding::Truncate => false,
        Rounding::HalfUp => lost >= "5",
        Rounding::HalfEven => lost >= "5" && (!exact_half || odd),
    };
    if up {
        let below_nines = kept.iter().rposition(|digit| *digit != b'9');
        kept[below_nines.map_or(0, |at| at + 1)..].fill(b'0');
        match below_nines {
            Some(at) => kept[at] += 1,
            None => kept.insert(0, b'1'),
        }
    }
    let whole = kept.len() - scale.min(fraction.len());
    let digits = String::from_utf8_lossy(&kept);
    let number = format!("{sign}{}.{}", &digits[..whole], &digits[whole..]);
    plain(&number).unwrap_or_default()
}

/// A number such as `+1.50e3` in plain notation without zeros at either end.
pub(crate) fn plain(text: &str) -> Option<String> {
    // Not the special values of decimals.
    if text.len() > LONGEST || !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(parse_decimal(text.as_bytes(), &mut Vec::new())?.to_string())
}

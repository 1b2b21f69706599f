//! Causes of differences: the damages that copying is known to do. Each is tested
//! by applying it to one value and comparing the result with the other.
//!
//! A cause is exact. It explains a pair of values only if the damage turns one
//! into the other, bit for bit; other pairs remain unexplained. One pair often
//! fits several causes: `.120456` and `.12` may have been cut to two digits or to
//! three. All of them are kept, and [`grouping`] chooses those that explain most
//! rows of the column. An exact cause may still be a coincidence: 0.01 and 0 fit a
//! cut to whole numbers. So each pair has a weight ([`evidence`]), and a cause is
//! reported only if the weights of its rows suffice.

pub(crate) mod damage;
pub(crate) mod evidence;
pub(crate) mod grouping;
pub(crate) mod keys;
pub(crate) mod number;
pub(crate) mod option;
pub(crate) mod tally;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod words;

use shared::options::Encoding;

use crate::engine::locate::cause::damage::{Cause, Damage, Damaged, Folds, StandIn};
use crate::engine::values::conversion::hexadecimal;
use crate::engine::values::value::Value;

/// Every cause that turns one of two different values into the other,
/// the most specific first.
pub(crate) fn causes(left: &Value, right: &Value) -> Vec<Cause> {
    let mut found = Vec::new();
    for (side, original, damaged) in [
        (Damaged::Target, left, right),
        (Damaged::Source, right, left),
    ] {
        let wanted = |damage: Damage| side == Damaged::Target || !damage.is_symmetric();
        damages(original, damaged, &mut |damage| {
            if wanted(damage) {
                found.push(Cause { damage, side });
            }
        });
    }
    let is_simple = |cause: &Cause| {
        Folds::of(cause.damage).is_some() && !matches!(cause.damage, Damage::Folded(_))
    };
    if found.iter().any(is_simple) {
        found.retain(|cause| !matches!(cause.damage, Damage::Folded(_)));
    }
    found.sort_by_key(Cause::rank);
    found.dedup();
    found
}

/// Calls `found` with every damage that turns `original` into `damaged`.
fn damages(original: &Value, damaged: &Value, found: &mut impl FnMut(Damage)) {
    use Value::{
        Bool, Bytes, Date, Decimal, Float32, Float64, Instant, Int, Null, Text, Time, Timestamp,
        UnpairedSurrogates, Uuid,
    };
    match (original, damaged) {
        (Null, value) => stand_in(value)
            .into_iter()
            .for_each(|it| found(Damage::NullBecame(it))),
        (value, Null) => stand_in(value)
            .into_iter()
            .for_each(|it| found(Damage::BecameNull(it))),
        (Text(a), Text(b)) => text::damages(a, b, found),
        (Bytes(a), Bytes(b)) | (UnpairedSurrogates(a), UnpairedSurrogates(b)) => {
            bytes_damages(a, b, found);
        }
        (Int(a), Int(b)) => number::integers(*a, *b, found),
        (Decimal(a), Decimal(b)) => number::decimals(a, b, found),
        (Float64(a), Float64(b)) => number::floats(*a, *b, found),
        (Float32(a), Float32(b)) => number::short_floats(*a, *b, found),
        (Date(a), Date(b)) => time::dates(*a, *b, found),
        (Time(a), Time(b)) => time::times_of_day(*a, *b, found),
        (Timestamp(a), Timestamp(b)) | (Instant(a), Instant(b)) => time::moments(*a, *b, found),
        (Date(_) | Time(_) | Timestamp(_) | Instant(_), Text(text)) => {
            time::written(original, text, found);
        }
        (Text(text), Date(_) | Time(_) | Timestamp(_) | Instant(_)) => {
            time::read(text, damaged, found);
        }
        (Uuid(a), Uuid(b)) if swapped(a) == *b => found(Damage::UuidSwapped),
        (Date(_) | Time(_) | Timestamp(_) | Instant(_), Int(number)) => {
            time::undecoded(original, *number, found);
        }
        (Bool(value), Text(word)) | (Text(word), Bool(value))
            if text::truth(word) == Some(*value) =>
        {
            found(Damage::BooleanAsText);
        }
        (Int(number), Text(text)) | (Text(text), Int(number))
            if text.trim() == number.to_string() =>
        {
            found(Damage::NumberAsText);
        }
        (Decimal(number), Text(text)) | (Text(text), Decimal(number))
            if number::plain(text.trim()).as_ref() == Some(number) =>
        {
            found(Damage::NumberAsText);
        }
        (Float64(number), Text(text)) | (Text(text), Float64(number))
            if text.trim().parse() == Ok(*number) =>
        {
            found(Damage::NumberAsText);
        }
        _ => {}
    }
}

/// The kind of stand-in for NULL that a value may be.
fn stand_in(value: &Value) -> Option<StandIn> {
    match value {
        Value::Text(text) if text.is_empty() => Some(StandIn::Empty),
        Value::Text(text) if text.bytes().all(|byte| byte == b' ') => Some(StandIn::Blanks),
        Value::Text(text) if text.eq_ignore_ascii_case("null") || text == "\\N" => {
            Some(StandIn::Word)
        }
        Value::Bytes(bytes) if bytes.is_empty() => Some(StandIn::Empty),
        Value::Decimal(text) if text == "0" => Some(StandIn::Zero),
        Value::Int(0) | Value::Bool(false) | Value::Float64(0.0) | Value::Float32(0.0) => {
            Some(StandIn::Zero)
        }
        _ => None,
    }
}

fn bytes_damages(original: &[u8], damaged: &[u8], found: &mut impl FnMut(Damage)) {
    if let Some(lost) = original.strip_prefix(damaged)
        && !lost.is_empty()
    {
        if lost.iter().all(|byte| *byte == 0) && damaged.last() != Some(&0) {
            found(Damage::ZeroBytesTrimmed);
        }
        if !damaged.is_empty() {
            found(Damage::BytesCut(damaged.len()));
        }
    }
    if !original.is_empty() && hexadecimal(damaged).is_some_and(|bytes| bytes == original) {
        found(Damage::NotDecoded(Encoding::Hex));
    }
}

/// SQL Server stores the first three groups of a UUID in little-endian order.
pub(crate) fn swapped(uuid: &[u8; 16]) -> [u8; 16] {
    let mut swapped = *uuid;
    swapped[0..4].reverse();
    swapped[4..6].reverse();
    swapped[6..8].reverse();
    swapped
}

#[cfg(test)]
mod tests;

//! How much a pair of values speaks for a cause that turns one into the other.
//!
//! An exact cause may be a coincidence: 0 and 0.01 fit a cut to whole numbers, and
//! so does every other value that was changed by a cent. So each pair has a weight.
//! A cause of a column is reported if it explains
//!
//! - at least one pair that has no simpler reading: UTF-8 in the wrong code page,
//!   a text that was cut within a word, a value that is just what the type of the
//!   damaged column can hold; or
//! - at least 90% of the column's differing values, and enough of them: two or
//!   three whose agreement is unlikely, or twelve whose agreement is not.

use crate::engine::locate::cause::damage::{Cause, Damage, Damaged, Level, Limit, StandIn};
use crate::engine::locate::cause::time::aligned;
use crate::engine::plan::PlannedColumn;
use crate::engine::values::column::{Column, ColumnType, SideOf};
use crate::engine::values::moment::{Moment, SECONDS_OF_DAY};
use crate::engine::values::value::Value;
use shared::options::Encoding;

/// The weights of a group of rows at which its cause is reported.
const ENOUGH: u64 = 12;

/// The share of a column's differing values that a cause must explain, in percent,
/// if no pair of values is conclusive.
const NEARLY_ALL: u64 = 90;

/// How much one pair of values speaks for a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// The values fit the cause, but have a simpler reading.
    Nothing,
    /// Unrelated values often fit too.
    Little,
    /// Unrelated values seldom fit: three of them are enough.
    Much,
    /// Unrelated values hardly ever fit: two of them are enough.
    Most,
    /// There is no simpler reading.
    Conclusive,
}

impl Weight {
    fn points(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Little => 1,
            Self::Much => 4,
            Self::Most => 6,
            Self::Conclusive => ENOUGH,
        }
    }
}

/// A cause that fits a pair of values, and how much the pair speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fit {
    pub cause: Cause,
    pub weight: Weight,
}

/// What the rows of one cause say for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Support {
    pub rows: u64,
    points: u64,
    conclusive: bool,
}

impl Support {
    pub(crate) fn add(&mut self, weight: Weight, rows: u64) {
        self.rows += rows;
        self.points += weight.points() * rows;
        self.conclusive |= weight == Weight::Conclusive;
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            points: self.points + other.points,
            conclusive: self.conclusive || other.conclusive,
        }
    }

    /// Whether the cause is reported, if `differing` values of the column differ.
    pub(crate) fn suffices(self, differing: u64) -> bool {
        self.conclusive || (self.points >= ENOUGH && 100 * self.rows >= NEARLY_ALL * differing)
    }
}

/// How much the pair `source` and `target` in `column` speaks for a cause that fits it.
pub(crate) fn weigh(
    cause: Cause,
    source: &Value,
    target: &Value,
    column: &PlannedColumn,
) -> Weight {
    let (original, damaged, from, to) = match cause.side {
        Damaged::Target => (source, target, SideOf::Source, SideOf::Target),
        Damaged::Source => (target, source, SideOf::Target, SideOf::Source),
    };
    if is_limit_of_type(cause.damage, column.on(from), column.on(to)) {
        return Weight::Conclusive;
    }
    let much_if = |is_much: bool| {
        if is_much {
            Weight::Much
        } else {
            Weight::Little
        }
    };
    let conclusive_if = |is_conclusive: bool| {
        if is_conclusive {
            Weight::Conclusive
        } else {
            Weight::Much
        }
    };
    match cause.damage {
        Damage::NullBecame(StandIn::Zero) | Damage::BecameNull(StandIn::Zero) => Weight::Much,
        Damage::TimeCut(Level::Digits(_), _) => {
            let lost = lost_units(original, damaged);
            match lost.map(significant) {
                _ if lost == Some(1) => Weight::Nothing,
                Some(digits) => conclusive_if(digits >= 2),
                None => Weight::Much,
            }
        }
        Damage::DatetimeSteps => {
            much_if(lost_units(original, damaged).is_some_and(|lost| significant(lost) >= 2))
        }
        Damage::ZoneShifted(_) => zone_weight(original),
        Damage::TimeCut(..) | Damage::DayShifted(_) | Damage::DayMonthSwapped => Weight::Much,
        Damage::BooleanAsText => Weight::Most,
        Damage::NotDecoded(Encoding::Hex) | Damage::UuidSwapped => Weight::Conclusive,
        Damage::NotDecoded(_) => {
            conclusive_if(number_text(damaged).is_none_or(|text| text.len() >= 5))
        }
        Damage::CaseFolded(_) | Damage::AccentsRemoved => conclusive_if(letters(original) >= 2),
        Damage::Replaced('?') => conclusive_if(characters(damaged) >= 4),
        Damage::TextCut(_) => text_cut_weight(original, damaged),
        Damage::BytesCut(kept) => conclusive_if(kept >= 8),
        Damage::ScaleCut(..) | Damage::Narrowed(_) | Damage::DigitsCut(_) => {
            number_weight(cause.damage, original, damaged)
        }
        Damage::NullBecame(_)
        | Damage::BecameNull(_)
        | Damage::OffsetDropped(_)
        | Damage::BlanksTrimmed(_)
        | Damage::SpaceTrimmed(_)
        | Damage::Folded(_)
        | Damage::Normalized(_)
        | Damage::LineEnds
        | Damage::NulDropped
        | Damage::CodePage(..)
        | Damage::Replaced(_)
        | Damage::LeadingZeros
        | Damage::NumberAsText
        | Damage::TimeAsText(_)
        | Damage::XmlNotation
        | Damage::ZeroBytesTrimmed => Weight::Conclusive,
    }
}

/// Whether the damaged column can hold no more than what the damage leaves, and the
/// other one can.
fn is_limit_of_type(damage: Damage, from: &Column, to: &Column) -> bool {
    let limit = |column: &Column, at: usize| declared_limits(column).get(at).copied();
    match damage {
        Damage::TimeCut(Level::Digits(digits), _) => {
            let (from, to) = (digits_of(&from.kind), digits_of(&to.kind));
            to == Some(digits) && from.is_some_and(|from| from > digits)
        }
        Damage::DatetimeSteps => {
            to.kind == ColumnType::DateTime && from.kind != ColumnType::DateTime
        }
        Damage::ScaleCut(digits, _) => {
            let scale = |column: &Column| match column.kind {
                ColumnType::Int => Some(0),
                ColumnType::Money => Some(4),
                ColumnType::Decimal if declared_limits(column).len() == 1 => Some(0),
                ColumnType::Decimal => limit(column, 1),
                _ => None,
            };
            scale(to) == Some(digits.into()) && scale(from) != scale(to)
        }
        Damage::TextCut(cut) => {
            let (Limit::Characters(count) | Limit::Units(count) | Limit::Bytes(count)) = cut;
            limit(to, 0) == Some(count) && limit(from, 0) != Some(count)
        }
        Damage::Narrowed(32) => to.kind == ColumnType::Float32 && from.kind != ColumnType::Float32,
        _ => false,
    }
}

fn digits_of(kind: &ColumnType) -> Option<u8> {
    match kind {
        ColumnType::Time(digits) | ColumnType::Timestamp(digits) | ColumnType::Instant(digits) => {
            Some(*digits)
        }
        ColumnType::DateTime => Some(3),
        _ => None,
    }
}

/// The numbers in the parentheses of a declaration: `decimal(15, 2)` has 15 and 2.
fn declared_limits(column: &Column) -> Vec<usize> {
    let declared = column.read_as.as_ref().unwrap_or(&column.declared);
    let Some((_, rest)) = declared.split_once('(') else {
        return Vec::new();
    };
    let arguments = rest.split(')').next().unwrap_or_default();
    arguments
        .split(',')
        .map_while(|number| number.trim().parse().ok())
        .collect()
}

/// How far two times are apart, in the finer of their units.
fn lost_units(original: &Value, damaged: &Value) -> Option<u128> {
    let (a, b) = aligned(moment(original)?, moment(damaged)?)?;
    Some(a.units.abs_diff(b.units).into())
}

fn moment(value: &Value) -> Option<Moment> {
    match value {
        Value::Time(at) | Value::Timestamp(at) | Value::Instant(at) => Some(*at),
        _ => None,
    }
}

/// The digits of a number without zeros at either end.
fn significant(mut number: u128) -> u32 {
    while number != 0 && number.is_multiple_of(10) {
        number /= 10;
    }
    number.checked_ilog10().map_or(0, |digits| digits + 1)
}

/// A shift by quarters of an hour keeps the rest of the time: the finer that is,
/// the less likely is a coincidence.
fn zone_weight(original: &Value) -> Weight {
    let Some(at) = moment(original) else {
        return Weight::Much;
    };
    let of_hour = at.units.rem_euclid(SECONDS_OF_DAY / 24 * at.per_second());
    if of_hour % at.per_second() != 0 {
        Weight::Conclusive
    } else if of_hour != 0 {
        Weight::Much
    } else {
        Weight::Little
    }
}

fn text_of(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

fn letters(value: &Value) -> usize {
    text_of(value).chars().filter(|c| c.is_alphabetic()).count()
}

fn characters(value: &Value) -> usize {
    text_of(value).chars().count()
}

/// Users shorten texts too, but seldom within a word.
fn text_cut_weight(original: &Value, damaged: &Value) -> Weight {
    let damaged = text_of(damaged).trim_end_matches('\u{FFFD}');
    let kept = damaged.chars().count();
    let lost = text_of(original).get(damaged.len()..).unwrap_or_default();
    let is_within_word = [damaged.chars().next_back(), lost.chars().next()]
        .iter()
        .all(|it| it.is_some_and(char::is_alphanumeric));
    match kept {
        8.. if is_within_word && lost.chars().nth(1).is_some() => Weight::Conclusive,
        3.. => Weight::Much,
        _ => Weight::Little,
    }
}

/// The number in plain notation or, for very large and small floats, in another.
fn number_text(value: &Value) -> Option<String> {
    match value {
        Value::Int(number) => Some(number.to_string()),
        Value::Float64(number) => Some(number.to_string()),
        Value::Float32(number) => Some(number.to_string()),
        Value::Decimal(text) | Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// Numbers are often changed a little. A pair speaks for a cut or rounding by the
/// digits that it keeps and those that it loses; a change by one unit of the last
/// digit says nothing.
fn number_weight(damage: Damage, original: &Value, damaged: &Value) -> Weight {
    let (Some(from), Some(to)) = (number_text(original), number_text(damaged)) else {
        return Weight::Little;
    };
    let is_float = matches!(original, Value::Float64(_) | Value::Float32(_));
    let kept = significant_digits(&to);
    let scale = |text: &str| {
        text.split_once('.')
            .map_or(0, |(_, fraction)| fraction.len())
    };
    let digits = scale(&from).max(scale(&to));
    let units = |text: &str| -> Option<i128> {
        let plain = format!("{text}{}", "0".repeat(digits - scale(text)));
        plain.replace('.', "").parse().ok()
    };
    let lost = units(&from).zip(units(&to)).map(|(a, b)| a.abs_diff(b));
    let lost_digits = lost.map_or(u32::MAX, significant);
    match damage {
        Damage::Narrowed(32) | Damage::DigitsCut(_) if is_float && kept >= 6 => Weight::Conclusive,
        Damage::ScaleCut(..) if is_float && kept >= 6 && lost_digits >= 2 => Weight::Conclusive,
        // Integers just above 2^53 lose one unit at most.
        Damage::Narrowed(64) if lost == Some(1) => Weight::Little,
        _ if kept == 0 || (lost == Some(1) && !is_float) => Weight::Nothing,
        _ if kept >= 4 && lost_digits >= 3 => Weight::Conclusive,
        _ if lost_digits >= 2 => Weight::Much,
        _ => Weight::Little,
    }
}

/// The digits of a number in text without zeros at either end.
fn significant_digits(number: &str) -> usize {
    let digits: String = number
        .chars()
        .take_while(|c| !matches!(c, 'e' | 'E'))
        .filter(char::is_ascii_digit)
        .collect();
    digits.trim_matches('0').len()
}

//! Converts values of the source to those that a column of the target must store.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::options::{ColumnRule, Encoding};

use crate::engine::repair::fit::{Destination, fit};
use crate::engine::values::canonical::{
    Count, Iso8601, canonical_json, parse_decimal, twos_complement_decimal,
};
use crate::engine::values::column::ColumnType;
use crate::engine::values::conversion::{Conversion, base64, hexadecimal};
use crate::engine::values::folding::Folding;
use crate::engine::values::moment::{DAYS_FROM_1970, Moment, rescaled};
use crate::engine::values::pairing::encoding::counted;
use crate::engine::values::value::{Unwritable, Value};

/// The value that the target must store for the source's `value`.
pub(crate) fn for_target(value: Value, to: Destination<'_>) -> Result<Value, Unwritable> {
    let (target, rule) = (&to.column.kind, to.rule);
    let source_text = match &value {
        Value::Text(text) if rule.as_text && has_same_text(target) => Some(text.clone()),
        _ => None,
    };
    let stored = fit(converted(value, to)?, to)?;
    // Compared as text, 05 is not 5.
    if let Some(source_text) = source_text {
        let folding = Folding::of(rule);
        let target_text = target_text(&stored, to);
        if folding.apply(target_text.as_bytes()) != folding.apply(source_text.as_bytes()) {
            return Err(to.lossy());
        }
    }
    Ok(stored)
}

/// Whether the databases convert values of the type to the same text as the engine.
fn has_same_text(kind: &ColumnType) -> bool {
    matches!(
        kind,
        ColumnType::Int | ColumnType::Decimal | ColumnType::Money | ColumnType::Uuid
    )
}

/// The text to which the target's database converts the value.
fn target_text(value: &Value, to: Destination<'_>) -> String {
    let text = text(value.clone(), to.rule);
    // Decimals have all the digits of their type.
    let scale = match to.column.kind {
        ColumnType::Money => to.dialect.facts().money_text_digits,
        ColumnType::Decimal => declared_scale(to),
        _ => None,
    };
    let Some(scale) = scale.filter(|scale| *scale > 0) else {
        return text;
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}.{fraction:0<scale$}")
}

/// The digits after the point in the column's declared type.
fn declared_scale(to: Destination<'_>) -> Option<usize> {
    let declared = to.column.read_as.as_ref().unwrap_or(&to.column.declared);
    let (_, limits) = declared.trim_end_matches(')').split_once('(')?;
    limits.split_once(',')?.1.trim().parse().ok()
}

/// The value in the form of the target's type.
fn converted(value: Value, to: Destination<'_>) -> Result<Value, Unwritable> {
    use Value as V;
    let (target, rule) = (to.column, to.rule);
    let counts_time = rule.encoding.and_then(counted).is_some();
    let value = match value {
        V::Null => return Ok(V::Null),
        V::Text(text) | V::Decimal(text) if counts_time && target.kind.is_time() => {
            V::Int(text.trim().parse().map_err(|_| to.invalid())?)
        }
        V::Text(text) if target.kind.is_time() => from_iso_8601(&text, to)?,
        V::Text(text) if target.kind == ColumnType::Json => json(text, to)?,
        other => other,
    };
    match &target.kind {
        ColumnType::Bool => match value {
            V::Bool(_) => Ok(value),
            V::Int(number @ (0 | 1)) => Ok(V::Bool(number == 1)),
            V::Int(_) => Err(to.out_of_range()),
            _ => Err(to.invalid()),
        },
        ColumnType::Int
        | ColumnType::Decimal
        | ColumnType::Money
        | ColumnType::Float32
        | ColumnType::Float64 => number(value, to),
        ColumnType::Text { .. } => match value {
            V::UnpairedSurrogates(_) => Ok(value),
            V::Date(_) | V::Time(_) | V::Timestamp(_) | V::Instant(_) if counts_time => {
                Ok(V::Text(text(number(value, to)?, rule)))
            }
            _ => Ok(V::Text(text(value, rule))),
        },
        ColumnType::Bytes => bytes(value, to),
        ColumnType::Date
        | ColumnType::Time(_)
        | ColumnType::Timestamp(_)
        | ColumnType::DateTime
        | ColumnType::Instant(_) => time(value, to),
        ColumnType::Uuid => match value {
            V::Uuid(_) => Ok(value),
            V::Text(text) => match uuid::Uuid::try_parse(text.trim_end()) {
                Ok(uuid) => Ok(V::Uuid(*uuid.as_bytes())),
                Err(_) => Err(to.invalid()),
            },
            _ => Err(to.invalid()),
        },
        ColumnType::Json | ColumnType::Xml | ColumnType::Other => match value {
            V::UnpairedSurrogates(_) => Err(to.invalid()),
            _ => Ok(V::Text(text(value, rule))),
        },
    }
}

fn json(text: String, to: Destination<'_>) -> Result<Value, Unwritable> {
    if canonical_json(text.as_bytes()).is_none() {
        return Err(to.invalid());
    }
    // jsonb refuses the character also where it is escaped.
    if to.column.declared == "jsonb" && text.contains("\\u0000") {
        return Err(Unwritable::NulCharacter(to.column.name.clone()));
    }
    Ok(Value::Text(text))
}

/// A value that is a date or time, or a number that counts one.
fn time(value: Value, to: Destination<'_>) -> Result<Value, Unwritable> {
    use Value as V;
    match (&to.column.kind, value) {
        (ColumnType::Date, V::Date(days)) => Ok(V::Date(days)),
        (ColumnType::Date, V::Int(days)) if to.rule.encoding == Some(Encoding::EpochDays) => {
            let days = i32::try_from(days - DAYS_FROM_1970);
            days.map(V::Date).map_err(|_| to.out_of_range())
        }
        (ColumnType::Date, V::Int(count)) => {
            midnight_of(epoch(count, to.rule).ok_or_else(|| to.invalid())?, to)
        }
        (ColumnType::Date, V::Timestamp(moment) | V::Instant(moment)) if !moment.is_infinite() => {
            midnight_of(moment, to)
        }
        (ColumnType::Time(digits), V::Time(moment)) => {
            Ok(V::Time(moment.rounded(*digits, to.times)))
        }
        (ColumnType::Time(digits), V::Int(count)) => {
            let from = midnight_digits(to.rule).ok_or_else(|| to.invalid())?;
            let units = i64::try_from(rescaled(count.into(), from, 7));
            let units = units.map_err(|_| to.out_of_range())?;
            let moment = Moment { units, digits: 7 };
            Ok(V::Time(moment.rounded(*digits, to.times)))
        }
        (ColumnType::Date | ColumnType::Time(_), _) => Err(to.invalid()),
        (kind, value) => {
            let moment = since_2000(value, to.rule).ok_or_else(|| to.invalid())?;
            Ok(match kind {
                ColumnType::Instant(digits) => V::Instant(moment.rounded(*digits, to.times)),
                ColumnType::Timestamp(digits) => V::Timestamp(moment.rounded(*digits, to.times)),
                _ => V::Timestamp(moment.rounded(3, to.times)),
            })
        }
    }
}

/// The date of which a moment is the midnight; with a tolerance, the date of a moment.
fn midnight_of(moment: Moment, to: Destination<'_>) -> Result<Value, Unwritable> {
    let (days, seconds, units) = moment.days_seconds_units();
    if (seconds, units) != (0, 0) && !to.is_tolerant() {
        return Err(to.lossy());
    }
    let days = i32::try_from(days);
    days.map(Value::Date).map_err(|_| to.out_of_range())
}

/// Parses text in ISO 8601 into a value of the column's type.
fn from_iso_8601(text: &str, to: Destination<'_>) -> Result<Value, Unwritable> {
    let moment = |Count { value, digits }| {
        let units = i64::try_from(rescaled(value, digits, 7)).map_err(|_| to.invalid())?;
        Ok(Moment { units, digits: 7 })
    };
    match (Iso8601::parse(text.trim().as_bytes()), &to.column.kind) {
        (Some(Iso8601::Date(days)), ColumnType::Date) => Ok(Value::Date(days)),
        (Some(Iso8601::Time(count)), ColumnType::Time(_)) => moment(count).map(Value::Time),
        (Some(Iso8601::Timestamp(count)), ColumnType::Timestamp(_) | ColumnType::DateTime) => {
            moment(count).map(Value::Timestamp)
        }
        (Some(Iso8601::Instant(count)), ColumnType::Instant(_)) => {
            moment(count).map(Value::Instant)
        }
        _ => Err(to.invalid()),
    }
}

fn epoch_digits(rule: &ColumnRule) -> Option<u8> {
    match rule.encoding.and_then(counted)? {
        Conversion::Epoch(digits) => Some(digits),
        _ => None,
    }
}

fn midnight_digits(rule: &ColumnRule) -> Option<u8> {
    match rule.encoding.and_then(counted)? {
        Conversion::SinceMidnight(digits) => Some(digits),
        _ => None,
    }
}

fn epoch(count: i64, rule: &ColumnRule) -> Option<Moment> {
    Moment::from_1970(count, epoch_digits(rule)?)
}

/// The timestamp or instant that a value is or counts; the midnight of a date.
fn since_2000(value: Value, rule: &ColumnRule) -> Option<Moment> {
    match value {
        Value::Timestamp(moment) | Value::Instant(moment) => Some(moment),
        Value::Date(days) => Moment::midnight(days),
        Value::Int(count) => epoch(count, rule),
        _ => None,
    }
}

fn number(value: Value, to: Destination<'_>) -> Result<Value, Unwritable> {
    use Value as V;
    let rule = to.rule;
    let invalid = || to.invalid();
    let integer = |count: i128| {
        let count = i64::try_from(count);
        count.map(V::Int).map_err(|_| to.out_of_range())
    };
    match value {
        V::Bool(value) => Ok(V::Int(value.into())),
        V::Int(_) | V::Decimal(_) | V::Float64(_) | V::Float32(_) => Ok(value),
        V::Date(days) if rule.encoding == Some(Encoding::EpochDays) => {
            Ok(V::Int(i64::from(days) + DAYS_FROM_1970))
        }
        V::Date(_) | V::Timestamp(_) | V::Instant(_) => {
            let digits = epoch_digits(rule).ok_or_else(invalid)?;
            let moment = since_2000(value, rule).filter(|moment| !moment.is_infinite());
            let moment = moment.ok_or_else(|| to.out_of_range())?;
            integer(moment.rounded(digits, to.times).since_1970(digits))
        }
        V::Time(moment) => {
            let digits = midnight_digits(rule).ok_or_else(invalid)?;
            let moment = moment.rounded(digits, to.times);
            integer(rescaled(moment.units.into(), moment.digits, digits))
        }
        V::Text(text) => {
            let text = text.trim();
            // Exponents and the special values are not written.
            let is_plain = !text.contains(|c: char| c.is_ascii_alphabetic())
                && parse_decimal(text.as_bytes(), &mut Vec::new()).is_some();
            if !is_plain {
                return Err(invalid());
            }
            Ok(V::Decimal(text.trim_start_matches('+').to_owned()))
        }
        V::Bytes(bytes) => twos_complement(&bytes, rule.scale)
            .map(V::Decimal)
            .ok_or_else(invalid),
        V::Uuid(_) | V::UnpairedSurrogates(_) | V::Json(_) | V::Null => Err(invalid()),
    }
}

/// The decimal of a two's complement of at most 16 bytes, big-endian, with
/// `scale` digits after the point.
fn twos_complement(bytes: &[u8], scale: Option<u8>) -> Option<String> {
    let mut digits = Vec::new();
    let decimal = twos_complement_decimal(bytes, scale?, &mut digits)?;
    (bytes.len() <= 16).then(|| decimal.to_string())
}

/// The shortest two's complement of a decimal with `scale` digits after the point.
fn to_twos_complement(decimal: &str, scale: Option<u8>) -> Option<Vec<u8>> {
    let scale = usize::from(scale?);
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    if fraction.len() > scale {
        return None;
    }
    let unscaled: i128 = format!("{whole}{fraction:0<scale$}").parse().ok()?;
    let bytes = unscaled.to_be_bytes();
    let sign = if unscaled < 0 { 0xFF } else { 0 };
    let is_superfluous = |pair: &&[u8]| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0;
    let start = bytes.windows(2).take_while(is_superfluous).count();
    Some(bytes[start..].to_vec())
}

fn bytes(value: Value, to: Destination<'_>) -> Result<Value, Unwritable> {
    let (encoding, scale) = (to.rule.encoding, to.rule.scale);
    let bytes = match (value, encoding) {
        (Value::Bytes(bytes), _) => Some(bytes),
        (Value::Uuid(uuid), _) => Some(uuid.to_vec()),
        (Value::Text(text), Some(Encoding::Base64)) => base64(text.trim().as_bytes()),
        (Value::Text(text), Some(Encoding::Hex)) => hexadecimal(text.trim().as_bytes()),
        (number @ (Value::Int(_) | Value::Decimal(_)), Some(Encoding::DecimalBytes)) => {
            to_twos_complement(&number.into_text(), scale)
        }
        _ => None,
    };
    bytes.map(Value::Bytes).ok_or_else(|| to.invalid())
}

fn text(value: Value, rule: &ColumnRule) -> String {
    match value {
        Value::Bytes(bytes) if rule.encoding == Some(Encoding::Base64) => STANDARD.encode(bytes),
        Value::Bytes(bytes) => hex::encode(bytes),
        other => other.into_text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::database::kinds::database;
    use crate::engine::values::column::Column;
    use crate::engine::values::kind::Resolution;
    use proptest::prelude::*;
    use shared::options::Rounding;

    fn column(kind: ColumnType) -> Column {
        Column::new("c", kind, "c")
    }

    fn to<'a>(column: &'a Column, rule: &'a ColumnRule) -> Destination<'a> {
        Destination {
            dialect: database(shared::endpoint::DatabaseKind::Postgres),
            column,
            rule,
            times: Resolution {
                rounding: rule.rounding.unwrap_or(Rounding::Truncate),
                ..Resolution::coarser(7, 7)
            },
        }
    }

    fn encoded(encoding: Encoding) -> ColumnRule {
        ColumnRule {
            encoding: Some(encoding),
            scale: Some(2),
            ..ColumnRule::default()
        }
    }

    proptest! {
        #[test]
        fn bytes_survive_as_text(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            for encoding in [Encoding::Base64, Encoding::Hex] {
                let rule = encoded(encoding);
                let text = for_target(Value::Bytes(bytes.clone()), to(&column(ColumnType::Text { padded: false }), &rule)).unwrap();
                let back = for_target(text, to(&column(ColumnType::Bytes), &rule)).unwrap();
                prop_assert_eq!(back, Value::Bytes(bytes.clone()));
            }
        }

        #[test]
        fn decimals_survive_as_bytes(unscaled in any::<i64>()) {
            let rule = encoded(Encoding::DecimalBytes);
            let decimal = twos_complement(&unscaled.to_be_bytes(), Some(2)).unwrap();
            let bytes = for_target(Value::Decimal(decimal.clone()), to(&column(ColumnType::Bytes), &rule)).unwrap();
            let back = for_target(bytes, to(&column(ColumnType::Decimal), &rule)).unwrap();
            let itself = for_target(Value::Decimal(decimal), to(&column(ColumnType::Decimal), &ColumnRule::default())).unwrap();
            prop_assert_eq!(back, itself);
        }

        #[test]
        fn timestamps_survive_as_numbers(micros in -60_000_000_000_000_000_i64..200_000_000_000_000_000) {
            let rule = encoded(Encoding::EpochMicros);
            let number = for_target(Value::Timestamp(Moment { units: micros, digits: 6 }), to(&column(ColumnType::Int), &rule)).unwrap();
            let back = for_target(number, to(&column(ColumnType::Timestamp(6)), &rule)).unwrap();
            prop_assert_eq!(back, Value::Timestamp(Moment { units: micros, digits: 6 }));
        }
    }

    #[test]
    fn the_epoch_is_1970() {
        let date = Value::Date(0);
        assert_eq!(
            for_target(
                date,
                to(&column(ColumnType::Int), &encoded(Encoding::EpochDays))
            ),
            Ok(Value::Int(10_957))
        );
        let midnight = Value::Timestamp(Moment {
            units: 0,
            digits: 7,
        });
        assert_eq!(
            for_target(
                midnight,
                to(&column(ColumnType::Int), &encoded(Encoding::EpochSeconds))
            ),
            Ok(Value::Int(946_684_800))
        );
    }

    #[test]
    fn a_seventh_digit_is_cut_unless_the_rule_rounds() {
        let value = Value::Timestamp(Moment {
            units: 19,
            digits: 7,
        });
        let units = |rule: &ColumnRule| match for_target(
            value.clone(),
            to(&column(ColumnType::Timestamp(6)), rule),
        ) {
            Ok(Value::Timestamp(moment)) => moment.units,
            other => panic!("{other:?}"),
        };
        assert_eq!(units(&ColumnRule::default()), 1);
        assert_eq!(
            units(&ColumnRule {
                rounding: Some(Rounding::HalfUp),
                ..ColumnRule::default()
            }),
            2
        );
    }

    #[test]
    fn a_value_that_the_target_cannot_store_is_an_error() {
        let refused = for_target(
            Value::Int(2),
            to(&column(ColumnType::Bool), &ColumnRule::default()),
        );
        assert_eq!(refused, Err(Unwritable::OutOfRange("c".to_owned())));
        let refused = for_target(
            Value::Text("12a".to_owned()),
            to(&column(ColumnType::Decimal), &ColumnRule::default()),
        );
        assert_eq!(refused, Err(Unwritable::Invalid("c".to_owned())));
    }
}

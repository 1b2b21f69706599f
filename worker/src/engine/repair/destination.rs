//! Converts values of the source to those that a column of the target must store.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::options::{ColumnRule, Encoding};

use crate::engine::repair::fit::{Destination, declaration, fit};
use crate::engine::values::boolean_words::{BooleanWords, word};
use crate::engine::values::canonical::{
    Count, Iso8601, canonical_json, canonical_xml, parse_decimal, parse_sql_server_local_text,
    parse_sql_server_text, twos_complement_decimal, without_declaration,
};
use crate::engine::values::column::ColumnType;
use crate::engine::values::conversion::{Conversion, base64, hexadecimal};
use crate::engine::values::folding::Folding;
use crate::engine::values::moment::{DAYS_FROM_1970, Moment, rescaled};
use crate::engine::values::pairing::encoding::counted;
use crate::engine::values::value::{Unwritable, Value};
use crate::engine::values::zone::Zone;

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
        V::Long(_) => return Err(Unwritable::TooLong(target.name.clone())),
        V::Text(word) if rule.encoding == Some(Encoding::BooleanText) => {
            let truth = BooleanWords::of(rule).truth(word.as_bytes());
            V::Bool(truth.ok_or_else(|| to.invalid())?)
        }
        V::Text(text) | V::Decimal(text) if counts_time && target.kind.is_time() => {
            V::Int(text.trim().parse().map_err(|_| to.invalid())?)
        }
        V::Text(text) if target.kind.is_time() => from_time_text(&text, to)?,
        V::Text(text) if target.kind == ColumnType::Xml && rule.encoding == Some(Encoding::Xml) => {
            xml(&text, to)?
        }
        V::Text(text) if target.kind == ColumnType::Json => json(text, to)?,
        other => other,
    };
    match &target.kind {
        ColumnType::Bool => match value {
            V::Bool(_) => Ok(value),
            V::Int(number @ (0 | 1)) => Ok(V::Bool(number == 1)),
            V::Decimal(number) if matches!(number.as_str(), "0" | "1") => {
                Ok(V::Bool(number == "1"))
            }
            V::Int(_) | V::Decimal(_) => Err(to.out_of_range()),
            V::Text(text) if rule.as_text => {
                let truth = truth_of(&text, to).ok_or_else(|| to.invalid())?;
                Ok(V::Bool(truth))
            }
            _ => Err(to.invalid()),
        },
        ColumnType::Int
        | ColumnType::Decimal
        | ColumnType::Money
        | ColumnType::Float32
        | ColumnType::Float64 => number(value, to),
        ColumnType::Text { .. } => match (value, rule.encoding) {
            (value, Some(Encoding::BooleanText)) => word_of(value, to).map(V::Text),
            (value @ (V::Int(_) | V::Decimal(_)), Some(Encoding::DecimalBytes)) => {
                let bytes = to_twos_complement(&value.into_text(), rule.scale);
                let bytes = bytes.ok_or_else(|| to.invalid())?;
                Ok(V::Text(STANDARD.encode(bytes)))
            }
            (value, _) => text_of(value, to),
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

/// The text of a value, times as the numbers that count them where the column has these.
fn text_of(value: Value, to: Destination<'_>) -> Result<Value, Unwritable> {
    use Value as V;
    let counts_time = to.rule.encoding.and_then(counted).is_some();
    match value {
        V::UnpairedSurrogates(_) => Ok(value),
        V::Date(_) | V::Time(_) | V::Timestamp(_) | V::Instant(_) if counts_time => {
            Ok(V::Text(text(number(value, to)?, to.rule)))
        }
        _ => Ok(V::Text(text(value, to.rule))),
    }
}

/// The word for a boolean, or for the number that stands for it.
fn word_of(value: Value, to: Destination<'_>) -> Result<String, Unwritable> {
    let truth = match value {
        Value::Bool(truth) => truth,
        Value::Int(number @ (0 | 1)) => number == 1,
        _ => return Err(to.invalid()),
    };
    let (_, limits) = declaration(to.dialect.storage_type(to.column));
    let longest = match limits.as_slice() {
        [longest] => usize::try_from(*longest).ok(),
        _ => None,
    };
    Ok(word(to.rule, truth, longest))
}

/// The boolean that the column's database converts to `text`.
fn truth_of(text: &str, to: Destination<'_>) -> Option<bool> {
    let is_boolean = declaration(to.dialect.storage_type(to.column)).0 == "boolean";
    match (text, is_boolean) {
        ("true", true) | ("1", false) => Some(true),
        ("false", true) | ("0", false) => Some(false),
        _ => None,
    }
}

/// XML as its column takes it: a declaration would name an encoding that it does not have.
fn xml(text: &str, to: Destination<'_>) -> Result<Value, Unwritable> {
    if canonical_xml(text.as_bytes()).is_none() {
        return Err(to.invalid());
    }
    Ok(Value::Text(without_declaration(text).to_owned()))
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
            let is_instant = matches!(value, V::Instant(_));
            let moment = since_2000(value, to.rule).ok_or_else(|| to.invalid())?;
            let moment = in_zone(moment, is_instant, to)?;
            Ok(match kind {
                ColumnType::Instant(digits) => V::Instant(moment.rounded(*digits, to.times)),
                ColumnType::Timestamp(digits) => V::Timestamp(moment.rounded(*digits, to.times)),
                _ => V::Timestamp(moment.rounded(3, to.times)),
            })
        }
    }
}

/// The instant of a local time of the rule's zone, and the local time of an instant;
/// the moment itself without a zone.
fn in_zone(moment: Moment, is_instant: bool, to: Destination<'_>) -> Result<Moment, Unwritable> {
    let to_instant = matches!(to.column.kind, ColumnType::Instant(_));
    let Some(zone) = to.rule.zone.as_deref().and_then(Zone::named) else {
        return Ok(moment);
    };
    if moment.is_infinite() || is_instant == to_instant {
        return Ok(moment);
    }
    let converted = if to_instant {
        zone.instant(moment)
    } else {
        zone.local_time(moment)
    };
    converted.ok_or_else(|| to.out_of_range())
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

/// Parses text in ISO 8601, or as SQL Server writes it, into a value of the column's type.
fn from_time_text(text: &str, to: Destination<'_>) -> Result<Value, Unwritable> {
    let moment = |Count { value, digits }| {
        let units = i64::try_from(rescaled(value, digits, 7)).map_err(|_| to.invalid())?;
        Ok(Moment { units, digits: 7 })
    };
    let text = text.trim().as_bytes();
    let parsed = match to.rule.encoding {
        Some(Encoding::SqlServerText) => match to.column.kind {
            ColumnType::Instant(_) => parse_sql_server_text(text),
            _ => parse_sql_server_local_text(text),
        },
        _ => Iso8601::parse(text),
    };
    match (parsed, &to.column.kind) {
        (Some(Iso8601::Date(days)), ColumnType::Date) => Ok(Value::Date(days)),
        (Some(Iso8601::Date(days)), ColumnType::Timestamp(_) | ColumnType::DateTime) => {
            let midnight = Moment::midnight(days).ok_or_else(|| to.out_of_range())?;
            Ok(Value::Timestamp(midnight))
        }
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
        V::Text(text) if rule.encoding == Some(Encoding::DecimalBytes) => {
            let bytes = base64(text.trim().as_bytes()).ok_or_else(invalid)?;
            let decimal = twos_complement(&bytes, rule.scale).ok_or_else(invalid)?;
            Ok(V::Decimal(decimal))
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
        V::Uuid(_) | V::UnpairedSurrogates(_) | V::Json(_) | V::Null | V::Long(_) => Err(invalid()),
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
        fn decimals_survive_as_base64(unscaled in any::<i64>()) {
            let rule = encoded(Encoding::DecimalBytes);
            let decimal = twos_complement(&unscaled.to_be_bytes(), Some(2)).unwrap();
            let text = for_target(Value::Decimal(decimal.clone()), to(&column(ColumnType::Text { padded: false }), &rule)).unwrap();
            let back = for_target(text, to(&column(ColumnType::Decimal), &rule)).unwrap();
            let itself = for_target(Value::Decimal(decimal), to(&column(ColumnType::Decimal), &ColumnRule::default())).unwrap();
            prop_assert_eq!(back, itself);
        }

        #[test]
        fn timestamps_survive_as_text(micros in -60_000_000_000_000_000_i64..200_000_000_000_000_000) {
            for encoding in [Encoding::Iso8601, Encoding::SqlServerText] {
                let rule = encoded(encoding);
                let value = Value::Timestamp(Moment { units: micros, digits: 6 });
                let text = for_target(value.clone(), to(&column(ColumnType::Text { padded: false }), &rule)).unwrap();
                let back = for_target(text, to(&column(ColumnType::Timestamp(6)), &rule)).unwrap();
                prop_assert_eq!(back, value);
            }
        }

        #[test]
        fn booleans_survive_as_words(value: bool, longest in 1_usize..10) {
            let rule = encoded(Encoding::BooleanText);
            let declared = format!("varchar({longest})");
            let text = Column::new("c", ColumnType::Text { padded: false }, &declared);
            let word = for_target(Value::Bool(value), to(&text, &rule)).unwrap();
            for (kind, expected) in [(ColumnType::Bool, Value::Bool(value)), (ColumnType::Int, Value::Int(value.into()))] {
                prop_assert_eq!(for_target(word.clone(), to(&column(kind), &rule)).unwrap(), expected);
            }
            prop_assert_eq!(for_target(word.clone(), to(&text, &rule)).unwrap(), word);
        }

        #[test]
        fn instants_survive_as_local_times_but_for_the_earlier_of_two(seconds in -3_000_000_000_i64..3_000_000_000) {
            let rule = ColumnRule { zone: Some("America/New_York".to_owned()), ..ColumnRule::default() };
            let instant = Moment { units: seconds * 1_000_000, digits: 6 };
            let local = for_target(Value::Instant(instant), to(&column(ColumnType::Timestamp(6)), &rule)).unwrap();
            let back = for_target(local.clone(), to(&column(ColumnType::Instant(6)), &rule)).unwrap();
            let later = Moment { units: instant.units + 3_600_000_000, digits: 6 };
            prop_assert!(back == Value::Instant(instant) || back == Value::Instant(later));
            // Both have the same local time.
            prop_assert_eq!(for_target(back, to(&column(ColumnType::Timestamp(6)), &rule)).unwrap(), local);
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
    fn xml_is_written_without_its_declaration() {
        let write = |text: &str| {
            let value = Value::Text(text.to_owned());
            for_target(value, to(&column(ColumnType::Xml), &encoded(Encoding::Xml)))
        };
        let declared = "<?xml version='1.0' encoding='utf-8'?><a/>";
        assert_eq!(write(declared), Ok(Value::Text("<a/>".to_owned())));
        assert_eq!(write("<a>"), Err(Unwritable::Invalid("c".to_owned())));
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

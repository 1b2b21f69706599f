//! Values of the source, turned into what a column of the target holds for them.

use shared::options::{ColumnRule, Encoding};

use crate::engine::repair::codec::{base64, base64_decode, hex, hex_decode};
use crate::engine::repair::held::{Destination, held};
use crate::engine::values::canonical::{Count, Iso8601, canonical_json};
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::folding::Folding;
use crate::engine::values::raw::{
    DAYS_FROM_1970, Moment, RawValue, SECONDS_OF_DAY, Unwritable, rescaled,
};

/// What the target must hold for the source's `value`.
///
/// # Errors
///
/// When the target's type cannot hold it.
pub(crate) fn for_target(value: RawValue, to: Destination<'_>) -> Result<RawValue, Unwritable> {
    let (target, rule) = (to.column, to.rule);
    let as_written = match &value {
        RawValue::Text(text) if rule.as_text && !is_text(target) => Some(text.clone()),
        _ => None,
    };
    let stored = held(formed(value, to)?, to)?;
    // Compared as text, 05 is not 5.
    if let Some(wanted) = as_written
        && shows_as_it_is_written(&target.kind)
    {
        let folding = Folding::of(rule);
        let shown = shown(&stored, to);
        if folding.apply(shown.as_bytes()) != folding.apply(wanted.as_bytes()) {
            return Err(Unwritable::NotHeld(target.name.clone()));
        }
    }
    Ok(stored)
}

/// Whether numbers stand for days or times.
fn counts_time(encoding: Option<Encoding>) -> bool {
    encoding == Some(Encoding::EpochDays)
        || epoch_digits(encoding).is_some()
        || midnight_digits(encoding).is_some()
}

fn is_time(kind: &ColumnType) -> bool {
    matches!(
        kind,
        ColumnType::Date
            | ColumnType::Time(_)
            | ColumnType::Timestamp(_)
            | ColumnType::DateTime
            | ColumnType::Instant(_)
    )
}

fn is_text(column: &Column) -> bool {
    matches!(column.kind, ColumnType::Text { .. })
}

/// Types whose text is the same here and in the databases.
fn shows_as_it_is_written(kind: &ColumnType) -> bool {
    matches!(
        kind,
        ColumnType::Int | ColumnType::Decimal | ColumnType::Money | ColumnType::Uuid
    )
}

/// What the target's database makes of the value as text.
fn shown(value: &RawValue, to: Destination<'_>) -> String {
    let shown = text(value.clone(), to.rule);
    // Decimals have all the digits that their type has.
    let scale = match to.column.kind {
        ColumnType::Money => to.dialect.money_text_digits(),
        ColumnType::Decimal => scale(to),
        _ => None,
    };
    let Some(scale) = scale.filter(|scale| *scale > 0) else {
        return shown;
    };
    let (whole, fraction) = shown.split_once('.').unwrap_or((&shown, ""));
    format!("{whole}.{fraction:0<scale$}")
}

/// Digits after the point that the column's type has, if it says so.
fn scale(to: Destination<'_>) -> Option<usize> {
    let declared = to.column.read_as.as_ref().unwrap_or(&to.column.declared);
    let (_, limits) = declared.trim_end_matches(')').split_once('(')?;
    limits.split_once(',')?.1.trim().parse().ok()
}

/// The value in the form of the target's type.
fn formed(value: RawValue, to: Destination<'_>) -> Result<RawValue, Unwritable> {
    use RawValue as V;
    let (target, rule) = (to.column, to.rule);
    let wrong = || Unwritable::WrongForm(target.name.clone());
    let beyond = || Unwritable::OutOfRange(target.name.clone());
    let value = match value {
        V::Null => return Ok(value),
        V::Text(text) | V::Decimal(text) if counts_time(rule.encoding) && is_time(&target.kind) => {
            V::Int(text.trim().parse().map_err(|_| wrong())?)
        }
        V::Text(text) => match &target.kind {
            kind if is_time(kind) => from_iso_8601(&text, kind).ok_or_else(wrong)?,
            ColumnType::Json if canonical_json(text.as_bytes()).is_none() => return Err(wrong()),
            // jsonb refuses the character also where it is escaped.
            ColumnType::Json if target.declared == "jsonb" && text.contains("\\u0000") => {
                return Err(Unwritable::NulCharacter(target.name.clone()));
            }
            _ => V::Text(text),
        },
        other => other,
    };
    Ok(match &target.kind {
        ColumnType::Bool => match value {
            V::Bool(_) => value,
            V::Int(0) => V::Bool(false),
            V::Int(1) => V::Bool(true),
            V::Int(_) => return Err(beyond()),
            _ => return Err(wrong()),
        },
        ColumnType::Int
        | ColumnType::Decimal
        | ColumnType::Money
        | ColumnType::Float32
        | ColumnType::Float64 => number(value, to)?,
        ColumnType::Text { .. } if matches!(value, V::Halves(_)) => value,
        ColumnType::Text { .. }
            if counts_time(rule.encoding)
                && matches!(
                    value,
                    V::Date(_) | V::Time(_) | V::Timestamp(_) | V::Instant(_)
                ) =>
        {
            V::Text(text(number(value, to)?, rule))
        }
        ColumnType::Text { .. } => V::Text(text(value, rule)),
        ColumnType::Bytes => bytes(value, target, rule)?,
        ColumnType::Date => match value {
            V::Date(_) => value,
            V::Int(days) if rule.encoding == Some(Encoding::EpochDays) => {
                V::Date(i32::try_from(days - DAYS_FROM_1970).map_err(|_| beyond())?)
            }
            V::Int(count) => day(epoch(count, rule.encoding).ok_or_else(wrong)?, to)?,
            V::Timestamp(moment) | V::Instant(moment) if !moment.is_infinite() => day(moment, to)?,
            _ => return Err(wrong()),
        },
        ColumnType::Time(digits) => match value {
            V::Time(moment) => V::Time(moment.rounded(*digits, to.times)),
            V::Int(count) => {
                let from = midnight_digits(rule.encoding).ok_or_else(wrong)?;
                let units = i64::try_from(rescaled(count.into(), from, 7)).map_err(|_| beyond())?;
                V::Time(Moment { units, digits: 7 }.rounded(*digits, to.times))
            }
            _ => return Err(wrong()),
        },
        ColumnType::Timestamp(digits) => match since_epoch(value, rule).ok_or_else(wrong)? {
            V::Instant(moment) | V::Timestamp(moment) => {
                V::Timestamp(moment.rounded(*digits, to.times))
            }
            other => other,
        },
        ColumnType::DateTime => match since_epoch(value, rule).ok_or_else(wrong)? {
            V::Instant(moment) | V::Timestamp(moment) => V::Timestamp(moment.rounded(3, to.times)),
            other => other,
        },
        ColumnType::Instant(digits) => match since_epoch(value, rule).ok_or_else(wrong)? {
            V::Instant(moment) | V::Timestamp(moment) => {
                V::Instant(moment.rounded(*digits, to.times))
            }
            other => other,
        },
        ColumnType::Uuid => match value {
            V::Uuid(_) => value,
            V::Text(text) => V::Uuid(
                *uuid::Uuid::try_parse(text.trim_end())
                    .map_err(|_| wrong())?
                    .as_bytes(),
            ),
            _ => return Err(wrong()),
        },
        _ if matches!(value, V::Halves(_)) => return Err(wrong()),
        _ => V::Text(text(value, rule)),
    })
}

/// The day of which a moment is the beginning.
fn day(moment: Moment, to: Destination<'_>) -> Result<RawValue, Unwritable> {
    let name = || to.column.name.clone();
    let (seconds, units) = moment.split();
    let begins = seconds.rem_euclid(SECONDS_OF_DAY) == 0 && units == 0;
    if !begins && to.rule.tolerance.is_none() {
        return Err(Unwritable::NotHeld(name()));
    }
    let days = i32::try_from(seconds.div_euclid(SECONDS_OF_DAY));
    days.map(RawValue::Date)
        .map_err(|_| Unwritable::OutOfRange(name()))
}

/// What text in ISO 8601's notation denotes, where it is of the column's kind.
fn from_iso_8601(text: &str, kind: &ColumnType) -> Option<RawValue> {
    let moment = |count: Count| {
        let units = if count.digits <= 7 {
            count.value * 10_i128.pow((7 - count.digits).into())
        } else {
            count
                .value
                .div_euclid(10_i128.pow((count.digits - 7).into()))
        };
        Some(Moment {
            units: i64::try_from(units).ok()?,
            digits: 7,
        })
    };
    Some(match (Iso8601::parse(text.trim().as_bytes())?, kind) {
        (Iso8601::Date(days), ColumnType::Date) => RawValue::Date(days),
        (Iso8601::Time(count), ColumnType::Time(_)) => RawValue::Time(moment(count)?),
        (Iso8601::Timestamp(count), ColumnType::Timestamp(_) | ColumnType::DateTime) => {
            RawValue::Timestamp(moment(count)?)
        }
        (Iso8601::Instant(count), ColumnType::Instant(_)) => RawValue::Instant(moment(count)?),
        _ => return None,
    })
}

fn epoch_digits(encoding: Option<Encoding>) -> Option<u8> {
    Some(match encoding? {
        Encoding::EpochSeconds => 0,
        Encoding::EpochMillis => 3,
        Encoding::EpochMicros => 6,
        Encoding::EpochNanos => 9,
        _ => return None,
    })
}

fn midnight_digits(encoding: Option<Encoding>) -> Option<u8> {
    Some(match encoding? {
        Encoding::MidnightMillis => 3,
        Encoding::MidnightMicros => 6,
        Encoding::MidnightNanos => 9,
        _ => return None,
    })
}

fn epoch(count: i64, encoding: Option<Encoding>) -> Option<Moment> {
    Moment::from_1970(count, epoch_digits(encoding)?)
}

/// A timestamp, out of whatever stands for one.
fn since_epoch(value: RawValue, rule: &ColumnRule) -> Option<RawValue> {
    use RawValue as V;
    Some(match value {
        V::Timestamp(_) | V::Instant(_) => value,
        V::Date(i32::MAX) => V::Timestamp(Moment {
            units: i64::MAX,
            digits: 6,
        }),
        V::Date(i32::MIN) => V::Timestamp(Moment {
            units: i64::MIN,
            digits: 6,
        }),
        V::Date(days) => V::Timestamp(Moment {
            units: i64::from(days).checked_mul(SECONDS_OF_DAY * 1_000_000)?,
            digits: 6,
        }),
        V::Int(count) => V::Timestamp(epoch(count, rule.encoding)?),
        _ => return None,
    })
}

fn number(value: RawValue, to: Destination<'_>) -> Result<RawValue, Unwritable> {
    use RawValue as V;
    let (target, rule) = (to.column, to.rule);
    let wrong = || Unwritable::WrongForm(target.name.clone());
    let beyond = || Unwritable::OutOfRange(target.name.clone());
    Ok(match value {
        V::Bool(value) => V::Int(value.into()),
        V::Int(_) | V::Decimal(_) | V::Float64(_) | V::Float32(_) => value,
        V::Date(days) if rule.encoding == Some(Encoding::EpochDays) => {
            V::Int(i64::from(days) + DAYS_FROM_1970)
        }
        V::Date(_) | V::Timestamp(_) | V::Instant(_) => {
            let digits = epoch_digits(rule.encoding).ok_or_else(wrong)?;
            match since_epoch(value, rule) {
                Some(V::Timestamp(moment) | V::Instant(moment)) if !moment.is_infinite() => {
                    let moment = moment.rounded(digits, to.times);
                    V::Int(moment.since_1970(digits).ok_or_else(beyond)?)
                }
                _ => return Err(beyond()),
            }
        }
        V::Time(moment) => {
            let digits = midnight_digits(rule.encoding).ok_or_else(wrong)?;
            let moment = moment.rounded(digits, to.times);
            let count = rescaled(moment.units.into(), moment.digits, digits);
            V::Int(i64::try_from(count).map_err(|_| beyond())?)
        }
        V::Text(text) => {
            let text = text.trim();
            let digits = text.trim_start_matches(['-', '+']);
            let plain = digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
                && digits.bytes().any(|byte| byte.is_ascii_digit())
                && digits.bytes().filter(|byte| *byte == b'.').count() <= 1
                && text.len() - digits.len() <= 1;
            if !plain {
                return Err(wrong());
            }
            V::Decimal(text.trim_start_matches('+').to_owned())
        }
        V::Bytes(bytes) => V::Decimal(twos_complement(&bytes, rule.scale).ok_or_else(wrong)?),
        V::Uuid(_) | V::Halves(_) | V::Null => return Err(wrong()),
    })
}

/// Big-endian two's complement with `scale` digits after the point.
fn twos_complement(bytes: &[u8], scale: Option<u8>) -> Option<String> {
    let scale = usize::from(scale?);
    if bytes.is_empty() || bytes.len() > 16 {
        return None;
    }
    let sign = if bytes[0] & 0x80 == 0 { 0 } else { 0xFF };
    let mut whole = [sign; 16];
    whole[16 - bytes.len()..].copy_from_slice(bytes);
    let value = i128::from_be_bytes(whole);
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (integer, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    Some(if fraction.is_empty() {
        format!("{sign}{integer}")
    } else {
        format!("{sign}{integer}.{fraction}")
    })
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
    let mut start = 0;
    while start < 15
        && ((bytes[start] == 0 && bytes[start + 1] & 0x80 == 0)
            || (bytes[start] == 0xFF && bytes[start + 1] & 0x80 != 0))
    {
        start += 1;
    }
    Some(bytes[start..].to_vec())
}

fn bytes(value: RawValue, target: &Column, rule: &ColumnRule) -> Result<RawValue, Unwritable> {
    use RawValue as V;
    let wrong = || Unwritable::WrongForm(target.name.clone());
    Ok(V::Bytes(match value {
        V::Bytes(bytes) => bytes,
        V::Uuid(uuid) => uuid.to_vec(),
        V::Text(text) => match rule.encoding {
            Some(Encoding::Base64) => base64_decode(&text).ok_or_else(wrong)?,
            Some(Encoding::Hex) => hex_decode(&text).ok_or_else(wrong)?,
            _ => return Err(wrong()),
        },
        V::Int(number) if rule.encoding == Some(Encoding::DecimalBytes) => {
            to_twos_complement(&number.to_string(), rule.scale).ok_or_else(wrong)?
        }
        V::Decimal(text) if rule.encoding == Some(Encoding::DecimalBytes) => {
            to_twos_complement(&text, rule.scale).ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    }))
}

fn text(value: RawValue, rule: &ColumnRule) -> String {
    use RawValue as V;
    match value {
        V::Text(text) => text,
        V::Halves(units) => String::from_utf16_lossy(&units),
        V::Bytes(bytes) if rule.encoding == Some(Encoding::Base64) => base64(&bytes),
        V::Bytes(bytes) => hex(&bytes),
        V::Null => String::new(),
        V::Bool(value) => value.to_string(),
        V::Int(number) => number.to_string(),
        V::Decimal(text) => text,
        V::Float64(number) => number.to_string(),
        V::Float32(number) => number.to_string(),
        V::Date(days) => crate::engine::values::calendar::date(days, ""),
        V::Time(moment) => crate::engine::values::calendar::time(moment),
        V::Timestamp(moment) => crate::engine::values::calendar::timestamp(moment, "T", ""),
        V::Instant(moment) => crate::engine::values::calendar::timestamp(moment, "T", "Z"),
        V::Uuid(uuid) => uuid::Uuid::from_bytes(uuid).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::database::kinds::database;
    use crate::engine::values::kind::Resolution;
    use proptest::prelude::*;
    use shared::options::Rounding;

    fn column(kind: ColumnType) -> Column {
        crate::engine::repair::testing::column("c", kind, "c")
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
                let text = for_target(RawValue::Bytes(bytes.clone()), to(&column(ColumnType::Text { padded: false }), &rule)).unwrap();
                let back = for_target(text, to(&column(ColumnType::Bytes), &rule)).unwrap();
                prop_assert_eq!(back, RawValue::Bytes(bytes.clone()));
            }
        }

        #[test]
        fn decimals_survive_as_bytes(unscaled in any::<i64>()) {
            let rule = encoded(Encoding::DecimalBytes);
            let decimal = twos_complement(&unscaled.to_be_bytes(), Some(2)).unwrap();
            let bytes = for_target(RawValue::Decimal(decimal.clone()), to(&column(ColumnType::Bytes), &rule)).unwrap();
            let back = for_target(bytes, to(&column(ColumnType::Decimal), &rule)).unwrap();
            let itself = for_target(RawValue::Decimal(decimal), to(&column(ColumnType::Decimal), &ColumnRule::default())).unwrap();
            prop_assert_eq!(back, itself);
        }

        #[test]
        fn timestamps_survive_as_numbers(micros in -60_000_000_000_000_000_i64..200_000_000_000_000_000) {
            let rule = encoded(Encoding::EpochMicros);
            let number = for_target(RawValue::Timestamp(Moment { units: micros, digits: 6 }), to(&column(ColumnType::Int), &rule)).unwrap();
            let back = for_target(number, to(&column(ColumnType::Timestamp(6)), &rule)).unwrap();
            prop_assert_eq!(back, RawValue::Timestamp(Moment { units: micros, digits: 6 }));
        }
    }

    #[test]
    fn the_epoch_is_1970() {
        let date = RawValue::Date(0);
        assert_eq!(
            for_target(
                date,
                to(&column(ColumnType::Int), &encoded(Encoding::EpochDays))
            ),
            Ok(RawValue::Int(10_957))
        );
        let midnight = RawValue::Timestamp(Moment {
            units: 0,
            digits: 7,
        });
        assert_eq!(
            for_target(
                midnight,
                to(&column(ColumnType::Int), &encoded(Encoding::EpochSeconds))
            ),
            Ok(RawValue::Int(946_684_800))
        );
    }

    #[test]
    fn a_seventh_digit_is_cut_unless_the_rule_rounds() {
        let value = RawValue::Timestamp(Moment {
            units: 19,
            digits: 7,
        });
        let units = |rule: &ColumnRule| match for_target(
            value.clone(),
            to(&column(ColumnType::Timestamp(6)), rule),
        ) {
            Ok(RawValue::Timestamp(moment)) => moment.units,
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
    fn what_the_target_cannot_hold_is_said() {
        let refused = for_target(
            RawValue::Int(2),
            to(&column(ColumnType::Bool), &ColumnRule::default()),
        );
        assert_eq!(refused, Err(Unwritable::OutOfRange("c".to_owned())));
        let refused = for_target(
            RawValue::Text("12a".to_owned()),
            to(&column(ColumnType::Decimal), &ColumnRule::default()),
        );
        assert_eq!(refused, Err(Unwritable::WrongForm("c".to_owned())));
    }
}

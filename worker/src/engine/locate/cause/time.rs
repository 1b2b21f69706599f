//! Damages of dates and times.

use chrono::{
    DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta,
};
use shared::options::Rounding;

use crate::engine::locate::cause::damage::{Damage, Level, Notation};
use crate::engine::values::canonical::{Iso8601, parse_sql_server_text};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::moment::{DAYS_FROM_1970, Moment, SECONDS_OF_DAY, rescaled};
use crate::engine::values::pairing::encoding::{ENCODINGS, counted};
use crate::engine::values::value::Value;

const QUARTER: i64 = 900;
/// The easternmost zone is 14 hours ahead.
const FARTHEST_QUARTERS: i64 = 14 * 4;
const NANOS_OF_DAY: i128 = SECONDS_OF_DAY as i128 * 1_000_000_000;

/// Two timestamps or two instants.
pub(crate) fn moments(original: Moment, damaged: Moment, found: &mut impl FnMut(Damage)) {
    let Some((original, damaged)) = aligned(original, damaged) else {
        return;
    };
    cuts(original, damaged, true, found);
    let quarter = QUARTER * original.per_second();
    let apart = i128::from(damaged.units) - i128::from(original.units);
    if apart % i128::from(quarter) == 0 {
        shift(apart / i128::from(quarter), found);
    }
    let day = SECONDS_OF_DAY * original.per_second();
    if original.units % day == 0 && apart.abs() == i128::from(day) {
        found(Damage::DayShifted(apart > 0));
    }
    let split = |count: Moment| {
        let date = i32::try_from(count.units.div_euclid(day)).ok();
        (date, count.units.rem_euclid(day))
    };
    if let ((Some(a), time), (Some(b), same)) = (split(original), split(damaged))
        && time == same
        && day_month_swapped(a) == Some(b)
    {
        found(Damage::DayMonthSwapped);
    }
}

/// Both in the finer of their units; `None` for PostgreSQL's infinities.
pub(crate) fn aligned(a: Moment, b: Moment) -> Option<(Moment, Moment)> {
    if a.is_infinite() || b.is_infinite() {
        return None;
    }
    let digits = a.digits.max(b.digits);
    let in_finer = |it: Moment| {
        let units = i64::try_from(rescaled(it.units.into(), it.digits, digits)).ok()?;
        Some(Moment { units, digits })
    };
    Some((in_finer(a)?, in_finer(b)?))
}

pub(crate) fn times_of_day(original: Moment, damaged: Moment, found: &mut impl FnMut(Damage)) {
    let Some((original, damaged)) = aligned(original, damaged) else {
        return;
    };
    cuts(original, damaged, false, found);
    let quarter = QUARTER * original.per_second();
    let apart = damaged.units.saturating_sub(original.units);
    if apart % quarter == 0 {
        // Of the two directions on a clock the shorter one is more likely.
        let quarters = (apart / quarter).rem_euclid(96);
        shift(
            i128::from(if quarters > 48 {
                quarters - 96
            } else {
                quarters
            }),
            found,
        );
    }
}

fn shift(quarters: i128, found: &mut impl FnMut(Damage)) {
    if quarters != 0
        && quarters.abs() <= i128::from(FARTHEST_QUARTERS)
        && let Ok(quarters) = i8::try_from(quarters)
    {
        found(Damage::ZoneShifted(quarters));
    }
}

pub(crate) fn dates(original: i32, damaged: i32, found: &mut impl FnMut(Damage)) {
    let infinite = |days: i32| days == i32::MAX || days == i32::MIN;
    if infinite(original) || infinite(damaged) {
        return;
    }
    match i64::from(damaged) - i64::from(original) {
        1 => found(Damage::DayShifted(true)),
        -1 => found(Damage::DayShifted(false)),
        _ => {}
    }
    if day_month_swapped(original) == Some(damaged) {
        found(Damage::DayMonthSwapped);
    }
}

fn day_month_swapped(days: i32) -> Option<i32> {
    let first = NaiveDate::from_ymd_opt(2000, 1, 1)?;
    let date = first.checked_add_signed(TimeDelta::try_days(days.into())?)?;
    let swapped = NaiveDate::from_ymd_opt(date.year(), date.day(), date.month())?;
    let days = swapped.signed_duration_since(first).num_days();
    i32::try_from(days).ok().filter(|_| swapped != date)
}

/// Every precision at which cutting or rounding turns one into the other.
fn cuts(original: Moment, damaged: Moment, dated: bool, found: &mut impl FnMut(Damage)) {
    let per_second = original.per_second();
    let digits = (0..original.digits)
        .rev()
        .map(|left| (Level::Digits(left), per_second / 10_i64.pow(left.into())));
    let more = [
        (Level::Minutes, 60 * per_second),
        (Level::Day, SECONDS_OF_DAY * per_second),
    ];
    let more = more.into_iter().take(if dated { 2 } else { 1 });
    for (level, step) in digits.chain(more) {
        for rounding in [Rounding::Truncate, Rounding::HalfUp, Rounding::HalfEven] {
            if rounded(original.units, step, rounding) == Some(damaged.units) {
                found(Damage::TimeCut(level, rounding));
            }
        }
    }
    if rescaled(original.datetime_millis(), 3, original.digits) == damaged.units.into() {
        found(Damage::DatetimeSteps);
    }
}

fn rounded(units: i64, step: i64, rounding: Rounding) -> Option<i64> {
    let (steps, rest) = (units.div_euclid(step), units.rem_euclid(step));
    let up = match rounding {
        Rounding::Truncate => false,
        Rounding::HalfUp => 2 * rest >= step,
        Rounding::HalfEven => 2 * rest > step || (2 * rest == step && steps % 2 != 0),
    };
    (steps + i64::from(up)).checked_mul(step)
}

/// A number that is `time` in one of the encodings.
pub(crate) fn undecoded(time: &Value, number: i64, found: &mut impl FnMut(Damage)) {
    match time {
        Value::Date(days) => {
            let days = i128::from(*days) + i128::from(DAYS_FROM_1970);
            counts(days * NANOS_OF_DAY, Some(days), number, found);
        }
        Value::Timestamp(moment) | Value::Instant(moment) if !moment.is_infinite() => {
            counts(moment.since_1970(9), None, number, found);
        }
        Value::Time(moment) => {
            let nanos = rescaled(moment.units.into(), moment.digits, 9);
            for (encoding, _) in ENCODINGS {
                if let Some(Conversion::SinceMidnight(digits)) = counted(encoding)
                    && rescaled(nanos, 9, digits) == number.into()
                    && number != 0
                {
                    found(Damage::NotDecoded(encoding));
                }
            }
        }
        _ => {}
    }
}

/// A number that counts days, or fractions of a second, since 1970-01-01.
fn counts(nanos: i128, days: Option<i128>, number: i64, found: &mut impl FnMut(Damage)) {
    for (encoding, _) in ENCODINGS {
        let is_count = match counted(encoding) {
            Some(Conversion::EpochDays) => days == Some(number.into()),
            Some(Conversion::Epoch(digits)) => {
                rescaled(nanos, 9, digits) == number.into() && number != 0
            }
            _ => false,
        };
        if is_count {
            found(Damage::NotDecoded(encoding));
        }
    }
}

/// Nanoseconds since 1970-01-01, or since midnight.
fn nanos_of(time: &Value) -> Option<i128> {
    match time {
        Value::Date(days) if *days != i32::MAX && *days != i32::MIN => {
            Some((i128::from(*days) + i128::from(DAYS_FROM_1970)) * NANOS_OF_DAY)
        }
        Value::Timestamp(at) | Value::Instant(at) if !at.is_infinite() => Some(at.since_1970(9)),
        Value::Time(at) => Some(rescaled(at.units.into(), at.digits, 9)),
        _ => None,
    }
}

/// Text that is `time` in some notation, perhaps cut to the precision of that notation.
pub(crate) fn written(time: &Value, text: &str, found: &mut impl FnMut(Damage)) {
    let Some(nanos) = nanos_of(time) else {
        return;
    };
    if is_written(time, text) {
        found(Damage::TimeAsText(Notation::SqlServer));
    }
    for (other, level) in notations(text, matches!(time, Value::Time(_))) {
        let step = match level {
            Level::Digits(_) => 1_000_000_000,
            Level::Minutes => 60_000_000_000,
            Level::Day => NANOS_OF_DAY,
        };
        if other == nanos {
            found(Damage::TimeAsText(Notation::Other));
        } else if other == nanos - nanos.rem_euclid(step) && level != Level::Day {
            found(Damage::TimeAsText(Notation::Cut(level)));
        }
    }
}

/// Text with the same time as `time`, or with the clock time that `time` has in UTC.
pub(crate) fn read(text: &str, time: &Value, found: &mut impl FnMut(Damage)) {
    let Some(nanos) = nanos_of(time) else {
        return;
    };
    if is_written(time, text) {
        found(Damage::TimeAsText(Notation::SqlServer));
    }
    let is_time = matches!(time, Value::Time(_));
    if notations(text, is_time).iter().any(|(it, _)| *it == nanos) {
        found(Damage::TimeAsText(Notation::Other));
    }
    if let (Value::Instant(_), Some(at)) = (time, zoned(text)) {
        let offset = at.offset().local_minus_utc();
        let clock = since_1970(at.naive_local());
        // The comparison may have cut the time.
        let is_clock = (0..=9).any(|digits| {
            let step = 10_i128.pow(9 - digits);
            clock - clock.rem_euclid(step) == nanos
        });
        if is_clock
            && offset != 0
            && offset % 900 == 0
            && let Ok(quarters) = i8::try_from(offset / 900)
        {
            found(Damage::OffsetDropped(quarters));
        }
    }
}

fn since_1970(at: NaiveDateTime) -> i128 {
    let at = at.and_utc();
    i128::from(at.timestamp()) * 1_000_000_000 + i128::from(at.timestamp_subsec_nanos())
}

/// A time with an offset, in ISO 8601 or as SQL Server writes it.
fn zoned(text: &str) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %:z"))
        .ok()
}

/// What a text may mean as a time: nanoseconds since 1970-01-01, or since midnight,
/// and the precision of the notation. Notations with numbers for day and month may
/// mean two dates.
fn notations(text: &str, is_time_of_day: bool) -> Vec<(i128, Level)> {
    const SECONDS: [&str; 11] = [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y%m%d %H:%M:%S%.f",
        "%Y/%m/%d %H:%M:%S%.f",
        "%b %d %Y %I:%M:%S%p",
        "%b %d %Y %I:%M:%S:%3f%p",
        "%d %b %Y %H:%M:%S:%3f",
        "%d.%m.%Y %H:%M:%S%.f",
        "%d/%m/%Y %H:%M:%S%.f",
        "%m/%d/%Y %H:%M:%S%.f",
        "%m/%d/%Y %I:%M:%S %p",
    ];
    const MINUTES: [&str; 6] = [
        "%b %d %Y %I:%M%p",
        "%Y-%m-%d %H:%M",
        "%d.%m.%Y %H:%M",
        "%d/%m/%Y %H:%M",
        "%m/%d/%Y %H:%M",
        "%m/%d/%Y %I:%M %p",
    ];
    const DAYS: [&str; 8] = [
        "%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%b %d %Y",
        "%d %b %Y",
    ];
    if !text.is_ascii() || text.len() < 5 || text.len() > 40 {
        return Vec::new();
    }
    let parse = |form: &&str| {
        if is_time_of_day {
            let (_, time) = form.split_once([' ', 'T'])?;
            let at = NaiveTime::parse_from_str(text, time).ok()?;
            return Some(since_1970(NaiveDate::default().and_time(at)));
        }
        let at = NaiveDateTime::parse_from_str(text, form).ok()?;
        Some(since_1970(at))
    };
    let seconds = SECONDS.iter().filter_map(parse);
    let minutes = MINUTES.iter().filter_map(parse);
    let days = DAYS.iter().filter_map(|form| {
        let day = NaiveDate::parse_from_str(text, form).ok()?;
        Some(since_1970(day.and_time(NaiveTime::MIN)))
    });
    let zone = zoned(text).map(|at| since_1970(at.naive_utc()));
    let mut found: Vec<(i128, Level)> = zone
        .into_iter()
        .chain(seconds)
        .map(|at| (at, Level::Digits(0)))
        .chain(minutes.map(|at| (at, Level::Minutes)))
        .collect();
    if !is_time_of_day {
        found.extend(days.map(|at| (at, Level::Day)));
    }
    found
}

/// Parses a date or time into nanoseconds since 1970-01-01, and whether it is a
/// date only.
fn parse(text: &str) -> Option<(i128, bool)> {
    if !text.is_ascii() || text.len() < 8 || !text.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some((since_1970(at.naive_utc()), false));
    }
    for form in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y%m%d %H:%M:%S%.f",
    ] {
        if let Ok(at) = NaiveDateTime::parse_from_str(text, form) {
            return Some((since_1970(at), false));
        }
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .map(|date| (since_1970(date.and_time(NaiveTime::MIN)), true))
}

/// Whether `text` is the timestamp or instant `time`, as SQL Server writes it.
fn is_written(time: &Value, text: &str) -> bool {
    let (written, at) = match (parse_sql_server_text(text.as_bytes()), time) {
        (Some(Iso8601::Timestamp(count)), Value::Timestamp(at))
        | (Some(Iso8601::Instant(count)), Value::Instant(at)) => (count, at),
        _ => return false,
    };
    !at.is_infinite()
        && written.digits <= at.digits
        && rescaled(written.value, written.digits, at.digits) == at.units.into()
}

/// Text that is a time, and text that is the same time in another notation or encoding.
pub(crate) fn undecoded_text(original: &str, damaged: &str, found: &mut impl FnMut(Damage)) {
    let Some((nanos, is_date)) = parse(original) else {
        return;
    };
    let others = notations(damaged, false);
    if others.iter().any(|(other, _)| *other == nanos) {
        found(Damage::TimeAsText(Notation::Other));
        return;
    }
    let Ok(number) = damaged.parse::<i64>() else {
        return;
    };
    counts(
        nanos,
        is_date.then_some(nanos / NANOS_OF_DAY),
        number,
        found,
    );
}

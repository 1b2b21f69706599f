//! Damages of dates and times.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use shared::options::{Encoding, Rounding};

use crate::engine::locate::cause::{Damage, Level};
use crate::engine::values::canonical::{UnitCount, View};

/// Seconds from 1970-01-01 to 2000-01-01.
const EPOCH_2000: i64 = 946_684_800;
/// Days between the same.
const DAYS_2000: i64 = 10_957;
const DAY: i64 = 86_400;
const QUARTER: i64 = 900;
/// The easternmost zone is 14 hours ahead.
const FARTHEST_QUARTERS: i64 = 14 * 4;

impl UnitCount {
    fn per_second(self) -> i64 {
        10_i64.pow(self.digits.into())
    }

    /// PostgreSQL's infinities take part in no arithmetic.
    fn is_finite(self) -> bool {
        self.units != i64::MAX && self.units != i64::MIN
    }

    /// Nanoseconds since 1970-01-01 UTC, if it counts from 2000-01-01.
    fn epoch_nanos(self) -> i128 {
        let nanos = i128::from(self.units) * 10_i128.pow(u32::from(9 - self.digits));
        nanos + i128::from(EPOCH_2000) * 1_000_000_000
    }
}

/// Two timestamps or two instants.
pub(crate) fn moments(original: UnitCount, damaged: UnitCount, found: &mut impl FnMut(Damage)) {
    if original.digits != damaged.digits || !original.is_finite() || !damaged.is_finite() {
        return;
    }
    cuts(original, damaged, true, found);
    let quarter = QUARTER * original.per_second();
    let apart = i128::from(damaged.units) - i128::from(original.units);
    if apart % i128::from(quarter) == 0 {
        shift(apart / i128::from(quarter), found);
    }
    let day = DAY * original.per_second();
    let split = |count: UnitCount| {
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

pub(crate) fn times_of_day(
    original: UnitCount,
    damaged: UnitCount,
    found: &mut impl FnMut(Damage),
) {
    if original.digits != damaged.digits {
        return;
    }
    cuts(original, damaged, false, found);
    let quarter = QUARTER * original.per_second();
    let apart = damaged.units.saturating_sub(original.units);
    if apart % quarter == 0 {
        // On a clock the shorter way round is the likelier one.
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

/// Every step to which cutting or rounding turns one into the other.
fn cuts(original: UnitCount, damaged: UnitCount, dated: bool, found: &mut impl FnMut(Damage)) {
    let per_second = original.per_second();
    let digits = (0..original.digits)
        .rev()
        .map(|left| (Level::Digits(left), per_second / 10_i64.pow(left.into())));
    let more = [
        (Level::Minutes, 60 * per_second),
        (Level::Day, DAY * per_second),
    ];
    let more = more.into_iter().take(if dated { 2 } else { 1 });
    for (level, step) in digits.chain(more) {
        for rounding in [Rounding::Truncate, Rounding::HalfUp, Rounding::HalfEven] {
            if rounded(original.units, step, rounding) == Some(damaged.units) {
                found(Damage::TimeCut(level, rounding));
            }
        }
    }
    if datetime(original) == Some(damaged.units) {
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

/// `datetime` counts 1/300 s and shows milliseconds: .124 becomes .123, .125 becomes .127.
fn datetime(count: UnitCount) -> Option<i64> {
    let per_second = i128::from(count.per_second());
    let ticks = (i128::from(count.units) * 300 + per_second / 2).div_euclid(per_second);
    let millis = (ticks * 10 + 1).div_euclid(3);
    i64::try_from(millis * per_second / 1000).ok()
}

/// Numbers that stand for `time` in one of the encodings.
pub(crate) fn undecoded(time: &View<'_>, number: i64, found: &mut impl FnMut(Damage)) {
    let number = i128::from(number);
    match time {
        View::Date(days) => {
            let days = i128::from(*days) + i128::from(DAYS_2000);
            if number == days {
                found(Damage::NotDecoded(Encoding::EpochDays));
            }
            epoch(days * i128::from(DAY) * 1_000_000_000, number, found);
        }
        View::Timestamp(count) | View::Instant(count) if count.is_finite() => {
            epoch(count.epoch_nanos(), number, found);
        }
        View::Time(count) => {
            let nanos = i128::from(count.units) * 10_i128.pow(u32::from(9 - count.digits));
            for (encoding, unit) in [
                (Encoding::MidnightMillis, 1_000_000),
                (Encoding::MidnightMicros, 1_000),
                (Encoding::MidnightNanos, 1),
            ] {
                if nanos.div_euclid(unit) == number && number != 0 {
                    found(Damage::NotDecoded(encoding));
                }
            }
        }
        _ => {}
    }
}

fn epoch(nanos: i128, number: i128, found: &mut impl FnMut(Damage)) {
    for (encoding, unit) in [
        (Encoding::EpochSeconds, 1_000_000_000),
        (Encoding::EpochMillis, 1_000_000),
        (Encoding::EpochMicros, 1_000),
        (Encoding::EpochNanos, 1),
    ] {
        if nanos.div_euclid(unit) == number && number != 0 {
            found(Damage::NotDecoded(encoding));
        }
    }
}

/// A date or time as text, in nanoseconds since 1970-01-01, and whether it is a date alone.
pub(crate) fn written(text: &str) -> Option<(i128, bool)> {
    let nanos = |at: NaiveDateTime| {
        let at = at.and_utc();
        i128::from(at.timestamp()) * 1_000_000_000 + i128::from(at.timestamp_subsec_nanos())
    };
    if !text.is_ascii() || text.len() < 8 || !text.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some((nanos(at.naive_utc()), false));
    }
    for form in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y%m%d %H:%M:%S%.f",
    ] {
        if let Ok(at) = NaiveDateTime::parse_from_str(text, form) {
            return Some((nanos(at), false));
        }
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .map(|date| (nanos(date.and_time(NaiveTime::MIN)), true))
}

/// A time as text, and a number as text that stands for it.
pub(crate) fn undecoded_text(original: &str, damaged: &str, found: &mut impl FnMut(Damage)) {
    let Some((nanos, is_date)) = written(original) else {
        return;
    };
    if let Some((other, _)) = written(damaged) {
        if other == nanos {
            found(Damage::TimeAsText);
        }
        return;
    }
    let Ok(number) = damaged.parse::<i64>() else {
        return;
    };
    let days = i128::from(DAY) * 1_000_000_000;
    if is_date && nanos / days == i128::from(number) {
        found(Damage::NotDecoded(Encoding::EpochDays));
    }
    epoch(nanos, number.into(), found);
}

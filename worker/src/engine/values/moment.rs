//! Times as counts of units, and their conversions between units and epochs.

use crate::engine::values::kind::Resolution;

/// Days from 1970-01-01 to 2000-01-01.
pub(crate) const DAYS_FROM_1970: i64 = 10_957;

pub(crate) const SECONDS_OF_DAY: i64 = 86_400;

/// A number of decimal fractions of a second, since midnight or since 2000-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The least and the greatest number are PostgreSQL's infinities.
    pub(crate) units: i64,
    /// The digits of a second in the unit: 6 for microseconds, 7 for 100 ns.
    pub(crate) digits: u8,
}

impl Moment {
    /// Midnight of a day since 2000-01-01; `None` beyond the range of timestamps.
    pub(crate) fn midnight(days: i32) -> Option<Self> {
        let units = match days {
            i32::MAX => i64::MAX,
            i32::MIN => i64::MIN,
            _ => i64::from(days).checked_mul(SECONDS_OF_DAY * 1_000_000)?,
        };
        Some(Self { units, digits: 6 })
    }

    pub(crate) fn is_infinite(self) -> bool {
        self.units == i64::MAX || self.units == i64::MIN
    }

    /// The number of units in a second.
    pub(crate) fn per_second(self) -> i64 {
        10_i64.pow(self.digits.into())
    }

    /// Whole seconds, rounded down, and the units beyond them.
    pub(crate) fn split(self) -> (i64, i64) {
        let second = self.per_second();
        (self.units.div_euclid(second), self.units.rem_euclid(second))
    }

    /// Whole days, rounded down, seconds of the day, and units of the second.
    pub(crate) fn days_seconds_units(self) -> (i64, i64, i64) {
        let (seconds, units) = self.split();
        (
            seconds.div_euclid(SECONDS_OF_DAY),
            seconds.rem_euclid(SECONDS_OF_DAY),
            units,
        )
    }

    /// With no more than `digits` digits of a second.
    pub(crate) fn rounded(self, digits: u8, times: Resolution) -> Self {
        if self.is_infinite() || digits >= self.digits {
            return self;
        }
        let resolution = Resolution { digits, ..times };
        Self {
            units: resolution.convert(self.units, self.digits),
            digits: resolution.unit().digits(),
        }
    }

    /// The time as `datetime` stores and displays it, in milliseconds: it counts
    /// 1/300 s, so that .124 becomes .123, and .125 becomes .127.
    pub(crate) fn datetime_millis(self) -> i128 {
        let per_second = i128::from(self.per_second());
        let ticks = (i128::from(self.units) * 300 + per_second / 2).div_euclid(per_second);
        (ticks * 10 + 1).div_euclid(3)
    }

    /// In units of 10^-`digits` seconds since 1970-01-01, rounded down.
    pub(crate) fn since_1970(self, digits: u8) -> i128 {
        let epoch = i128::from(DAYS_FROM_1970 * SECONDS_OF_DAY * self.per_second());
        rescaled(i128::from(self.units) + epoch, self.digits, digits)
    }

    /// The time that is `value` units of 10^-`digits` seconds after 1970-01-01.
    pub(crate) fn from_1970(value: i64, digits: u8) -> Option<Self> {
        let epoch = i128::from(DAYS_FROM_1970 * SECONDS_OF_DAY) * 10_i128.pow(7);
        let units = i64::try_from(rescaled(value.into(), digits, 7) - epoch).ok()?;
        Some(Self { units, digits: 7 })
    }
}

/// A number of units of 10^-`from` seconds in units of 10^-`to` seconds, rounded down.
pub(crate) fn rescaled(value: i128, from: u8, to: u8) -> i128 {
    if to >= from {
        value * 10_i128.pow((to - from).into())
    } else {
        value.div_euclid(10_i128.pow((from - to).into()))
    }
}

//! Dates and times as text.

use crate::engine::values::moment::{Moment, SECONDS_OF_DAY};

/// Year, month and day of a day since 2000-01-01 in the proleptic Gregorian
/// calendar; year 0 is 1 BC. After H. Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", civil_from_days.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    // Days since 0000-03-01, in eras of 400 years.
    let days = days + 730_425;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The day since 2000-01-01 of a date in the proleptic Gregorian calendar; year 0 is
/// 1 BC. `None` if there is no such day. The inverse of [`civil`].
pub(crate) fn days(year: i64, month: u32, day: u32) -> Option<i32> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (month, day) = (i64::from(month), i64::from(day));
    // Years begin in March.
    let shifted = year - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    let days = era * 146_097 + of_era - 730_425;
    // The last days of short months.
    let exists = civil(days) == (year, month, day);
    i32::try_from(days).ok().filter(|_| exists)
}

/// How dates and timestamps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notation {
    /// ISO 8601: years outside 0 to 9999 have a sign, `-0001-12-31T00:00:00`.
    Iso8601,
    /// PostgreSQL's: years before 1 are followed by BC, `0002-12-31 00:00:00 BC`.
    Postgres,
}

/// The date of a day since 2000-01-01, and what follows its time of day.
fn parts(days: i64, notation: Notation) -> (String, &'static str) {
    let (year, month, day) = civil(days);
    let (year, suffix) = match notation {
        Notation::Iso8601 if (0..=9999).contains(&year) => (format!("{year:04}"), ""),
        Notation::Iso8601 => (format!("{year:+05}"), ""),
        Notation::Postgres if year < 1 => (format!("{:04}", 1 - year), " BC"),
        Notation::Postgres => (format!("{year:04}"), ""),
    };
    (format!("{year}-{month:02}-{day:02}"), suffix)
}

/// A date, in days since 2000-01-01.
pub(crate) fn date(days: i32, notation: Notation) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        _ => {
            let (date, suffix) = parts(days.into(), notation);
            date + suffix
        }
    }
}

/// A time of day, the same in all notations. 24:00:00 is the end of a day.
pub(crate) fn time(moment: Moment) -> String {
    let (seconds, units) = moment.split();
    let fraction = format!("{units:0width$}", width = moment.digits.into());
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let whole = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    match fraction.trim_end_matches('0') {
        "" => whole,
        digits => format!("{whole}.{digits}"),
    }
}

/// A timestamp followed by `zone`, which may be empty.
pub(crate) fn timestamp(moment: Moment, notation: Notation, zone: &str) -> String {
    match moment.units {
        i64::MAX => return "infinity".to_owned(),
        i64::MIN => return "-infinity".to_owned(),
        _ => {}
    }
    let day = SECONDS_OF_DAY * moment.per_second();
    let (date, suffix) = parts(moment.units.div_euclid(day), notation);
    let separator = match notation {
        Notation::Iso8601 => 'T',
        Notation::Postgres => ' ',
    };
    let of_day = time(Moment {
        units: moment.units.rem_euclid(day),
        ..moment
    });
    format!("{date}{separator}{of_day}{zone}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_agrees_with_another_implementation() {
        let epoch = chrono::NaiveDate::from_ymd_opt(2000, 1, 1).unwrap();
        for days in (-90_000_000..90_000_000).step_by(9_973) {
            let expected = epoch + chrono::TimeDelta::days(days.into());
            let written = date(days, Notation::Iso8601);
            assert_eq!(
                written,
                expected.to_string(),
                "{days} days after 2000-01-01"
            );
            let (year, month, day) = civil(days.into());
            let (month, day) = (u32::try_from(month).unwrap(), u32::try_from(day).unwrap());
            assert_eq!(super::days(year, month, day), Some(days));
        }
        for (year, month, day) in [(2023, 2, 29), (2024, 2, 30), (2024, 4, 31), (2024, 0, 1)] {
            assert_eq!(super::days(year, month, day), None, "{year}-{month}-{day}");
        }
        assert_eq!(date(-730_119, Notation::Iso8601), "0001-01-01");
        assert_eq!(date(-730_120, Notation::Iso8601), "0000-12-31");
        assert_eq!(date(-730_120, Notation::Postgres), "0001-12-31 BC");
        assert_eq!(date(i32::MAX, Notation::Postgres), "infinity");
    }

    #[test]
    fn a_time_has_the_digits_that_it_needs() {
        let moment = |units| Moment { units, digits: 7 };
        assert_eq!(
            timestamp(moment(-1), Notation::Iso8601, "Z"),
            "1999-12-31T23:59:59.9999999Z"
        );
        assert_eq!(
            timestamp(
                moment(-730_120 * 864_000_000_000),
                Notation::Postgres,
                "+00"
            ),
            "0001-12-31 00:00:00+00 BC"
        );
        assert_eq!(time(moment(864_000_000_000)), "24:00:00");
    }
}

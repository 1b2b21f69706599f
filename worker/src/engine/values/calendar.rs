//! Dates and times in the notations that both databases read.

use crate::engine::values::raw::Moment;

const SECONDS_OF_DAY: i64 = 86_400;

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

/// `year-month-day`, and whether the year is one before our era.
fn calendar(days: i64) -> (String, bool) {
    let (year, month, day) = civil(days);
    let (shown, before) = if year < 1 {
        (1 - year, true)
    } else {
        (year, false)
    };
    (format!("{shown:04}-{month:02}-{day:02}"), before)
}

/// A date; `before` follows one before our era.
pub(crate) fn date(days: i32, before: &str) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        _ => match calendar(days.into()) {
            (text, true) => format!("{text}{before}"),
            (text, false) => text,
        },
    }
}

pub(crate) fn time(moment: Moment) -> String {
    let (seconds, rest) = moment.split();
    format!(
        "{:02}:{:02}:{:02}{}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        fraction(rest, moment.digits)
    )
}

/// Date and time with `between` between them and `zone` after them.
pub(crate) fn timestamp(moment: Moment, between: &str, zone: &str) -> String {
    match moment.units {
        i64::MAX => return "infinity".to_owned(),
        i64::MIN => return "-infinity".to_owned(),
        _ => {}
    }
    let (seconds, rest) = moment.split();
    let (date, before) = calendar(seconds.div_euclid(SECONDS_OF_DAY));
    let of_day = seconds.rem_euclid(SECONDS_OF_DAY);
    format!(
        "{date}{between}{:02}:{:02}:{:02}{}{zone}{}",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        fraction(rest, moment.digits),
        if before { " BC" } else { "" }
    )
}

/// `.123` without trailing zeros; nothing for a whole second.
fn fraction(units: i64, digits: u8) -> String {
    let text = format!("{units:0width$}", width = digits.into());
    match text.trim_end_matches('0') {
        "" => String::new(),
        digits => format!(".{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_agrees_with_a_known_one() {
        let epoch = chrono::NaiveDate::from_ymd_opt(2000, 1, 1).unwrap();
        for days in (-730_119..2_921_939).step_by(97) {
            let expected = epoch + chrono::TimeDelta::days(days);
            assert_eq!(
                calendar(days),
                (expected.to_string(), false),
                "{days} days after 2000-01-01"
            );
        }
        assert_eq!(date(-730_120, " BC"), "0001-12-31 BC");
        assert_eq!(date(i32::MAX, " BC"), "infinity");
    }
}

//! Parses dates and times in ISO 8601's extended notation, as Debezium writes them,
//! and its near relations: a date without hyphens, a blank before the offset.

use crate::engine::values::calendar::days;

/// A date or time that was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Iso8601 {
    /// A day: days since 2000-01-01.
    Date(i32),
    Time(Count),
    /// A day and a time, without a zone, since 2000-01-01.
    Timestamp(Count),
    /// A day and a time in a zone, since 2000-01-01 UTC.
    Instant(Count),
}

/// A number of decimal fractions of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub value: i128,
    /// The fraction is 10^-`digits` s; at most 18 digits.
    pub digits: u8,
}

impl Iso8601 {
    /// `None` if `text` is not a date or time in this notation.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.get(2) == Some(&b':') {
            let (time, rest) = time(text)?;
            return rest.is_empty().then_some(Self::Time(time));
        }
        let (days, rest) = date(text)?;
        let rest = match rest {
            [] => return Some(Self::Date(days)),
            [b'T' | b't' | b' ', rest @ ..] => rest,
            _ => return None,
        };
        let (time, rest) = time(rest)?;
        let second = 10_i128.pow(time.digits.into());
        let at = |offset: i64| Count {
            value: time.value + (i128::from(days) * 86_400 - i128::from(offset)) * second,
            digits: time.digits,
        };
        match rest {
            [] => Some(Self::Timestamp(at(0))),
            b"Z" | b"z" => Some(Self::Instant(at(0))),
            // SQL Server writes a blank before an offset.
            [sign @ (b'+' | b'-'), rest @ ..] | [b' ', sign @ (b'+' | b'-'), rest @ ..] => {
                let seconds = offset(rest)?;
                Some(Self::Instant(at(if *sign == b'+' {
                    seconds
                } else {
                    -seconds
                })))
            }
            _ => None,
        }
    }
}

/// Parses exactly `count` digits.
pub(crate) fn digits(text: &[u8], count: usize) -> Option<(u32, &[u8])> {
    let (written, rest) = text.split_at_checked(count)?;
    if !written.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = written
        .iter()
        .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Some((value, rest))
}

/// Parses a date. Years have four digits, or up to six, with or without a sign;
/// without hyphens, four.
fn date(text: &[u8]) -> Option<(i32, &[u8])> {
    if let Some((written, rest)) = digits(text, 8) {
        let (year, month_day) = (written / 10_000, written % 10_000);
        let days = days(year.into(), month_day / 100, month_day % 100)?;
        return Some((days, rest));
    }
    let (sign, rest) = match text {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => (1, text),
    };
    let length = rest.iter().position(|byte| *byte == b'-')?;
    if !(4..=6).contains(&length) {
        return None;
    }
    let (year, rest) = digits(rest, length)?;
    let (month, rest) = digits(rest.strip_prefix(b"-")?, 2)?;
    let (day, rest) = digits(rest.strip_prefix(b"-")?, 2)?;
    Some((days(sign * i64::from(year), month, day)?, rest))
}

/// Parses hours and minutes, optional seconds and their fraction. 24:00:00 is the end of a day.
fn time(text: &[u8]) -> Option<(Count, &[u8])> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, mut rest) = digits(rest.strip_prefix(b":")?, 2)?;
    let mut second = 0;
    let (mut fraction, mut decimals) = (0_i128, 0_u8);
    if let Some(after) = rest.strip_prefix(b":") {
        (second, rest) = digits(after, 2)?;
        if let Some(after) = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) {
            let length = after
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if length == 0 || length > 18 {
                return None;
            }
            let written = std::str::from_utf8(&after[..length]).ok()?;
            fraction = written.parse::<i64>().ok()?.into();
            decimals = u8::try_from(length).ok()?;
            rest = &after[length..];
        }
    }
    let end_of_day = hour == 24 && minute == 0 && second == 0 && fraction == 0;
    if (hour > 23 && !end_of_day) || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i128::from(hour * 3600 + minute * 60 + second);
    let value = seconds * 10_i128.pow(decimals.into()) + fraction;
    let digits = decimals;
    Some((Count { value, digits }, rest))
}

/// Parses an offset `hh`, `hh:mm`, `hhmm` or `hh:mm:ss` into seconds.
pub(crate) fn offset(text: &[u8]) -> Option<i64> {
    let (hours, rest) = digits(text, 2)?;
    let (mut minutes, mut seconds) = (0, 0);
    let mut rest = rest;
    if !rest.is_empty() {
        (minutes, rest) = digits(rest.strip_prefix(b":").unwrap_or(rest), 2)?;
    }
    if !rest.is_empty() {
        (seconds, rest) = digits(rest.strip_prefix(b":")?, 2)?;
    }
    (rest.is_empty() && hours < 24 && minutes < 60 && seconds < 60)
        .then(|| i64::from(hours * 3600 + minutes * 60 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count(value: i128, digits: u8) -> Count {
        Count { value, digits }
    }

    #[test]
    fn what_debezium_writes_is_read() {
        for (text, value) in [
            ("2000-01-02", Iso8601::Date(1)),
            ("0001-01-01", Iso8601::Date(-730_119)),
            ("+10000-01-01", Iso8601::Date(2_921_940)),
            ("20000102", Iso8601::Date(1)),
            ("+294276-12-31", Iso8601::Date(106_751_982)),
            (
                "2000-01-01 05:30:00.5000000 +05:30",
                Iso8601::Instant(count(5_000_000, 7)),
            ),
            ("24:00:00", Iso8601::Time(count(86_400, 0))),
            ("01:02:03.0400", Iso8601::Time(count(37_230_400, 4))),
            ("12:30", Iso8601::Time(count(45_000, 0))),
            ("2000-01-01T00:00:01.5", Iso8601::Timestamp(count(15, 1))),
            ("1999-12-31 23:59:59", Iso8601::Timestamp(count(-1, 0))),
            ("2000-01-01T00:00:00Z", Iso8601::Instant(count(0, 0))),
            (
                "2000-01-01T02:00:00.000001+02:00",
                Iso8601::Instant(count(1, 6)),
            ),
            ("1999-12-31T18:30:00-0530", Iso8601::Instant(count(0, 0))),
            (
                "1999-12-31T18:30:00-05:30:00",
                Iso8601::Instant(count(0, 0)),
            ),
        ] {
            assert_eq!(Iso8601::parse(text.as_bytes()), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        for text in [
            "",
            "2000",
            "2000-1-1",
            "20000230",
            "200001021",
            "2001-02-29",
            "2000-01-01T",
            "2000-01-01T25:00:00",
            "24:00:01",
            "00:00:60",
            "2000-01-01T00:00:00.Z",
            "2000-01-01T00:00:00+1",
            "2000-01-01T00:00:00 Z",
            "00:00:00Z",
            "2000-01-01T00:00:00.1234567890123456789",
            "infinity",
            "200-01-01",
            "2000-13-01",
        ] {
            assert_eq!(Iso8601::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_reads_back(seconds in -63_082_281_600_i64..252_455_616_000, nanos in 0_u32..1_000_000_000) {
            let at = chrono::DateTime::from_timestamp(seconds, nanos).unwrap();
            let expected = (i128::from(seconds) - 946_684_800) * 1_000_000_000 + i128::from(nanos);
            let text = at.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string();
            // Years before 1 and beyond 9999 have a sign, which that format omits or not.
            prop_assume!((1..=9999).contains(&chrono::Datelike::year(&at)));
            prop_assert_eq!(Iso8601::parse(text.as_bytes()), Some(Iso8601::Instant(count(expected, 9))));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "[0-9TZ:.+ -]{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let known = |value: Option<Iso8601>| !matches!(value, Some(Iso8601::Time(time)) if time.value < 0);
            prop_assert!(known(Iso8601::parse(text.as_bytes())) && known(Iso8601::parse(&bytes)));
        }
    }
}

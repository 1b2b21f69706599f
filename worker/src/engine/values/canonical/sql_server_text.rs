//! Parses dates and times as SQL Server's `CONVERT` writes them.
//!
//! Styles 112, 120, 121, 126 and 127 are ISO 8601, or differ from it by a blank. This
//! file has style 0, the default of `datetime` and `smalldatetime`: `Jun  6 2015
//! 12:00AM`, in English. It has no seconds.

use crate::engine::values::calendar::days;
use crate::engine::values::canonical::iso8601::{Count, Iso8601, digits, offset};

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// A date or time in style 0, or in one of those that are ISO 8601.
pub(crate) fn parse_sql_server_text(text: &[u8]) -> Option<Iso8601> {
    Iso8601::parse(text).or_else(|| default_style(text))
}

/// The same for a type without a zone, to which style 127 maps a time with `Z`.
pub(crate) fn parse_sql_server_local_text(text: &[u8]) -> Option<Iso8601> {
    match text {
        [local @ .., b'Z'] if local.contains(&b'T') => parse_sql_server_text(local),
        _ => parse_sql_server_text(text),
    }
}

/// `mon dd yyyy`, and perhaps `hh:miAM` with an offset; or `hh:miAM` alone.
fn default_style(text: &[u8]) -> Option<Iso8601> {
    let Some((month, rest)) = month(text) else {
        let (seconds, rest) = time(trimmed(text))?;
        return rest.is_empty().then_some(Iso8601::Time(count(seconds)));
    };
    let (day, rest) = up_to_two_digits(blanks(rest)?)?;
    let (year, rest) = digits(blanks(rest)?, 4)?;
    let days = days(year.into(), month, day)?;
    if rest.is_empty() {
        return Some(Iso8601::Date(days));
    }
    let (seconds, rest) = time(blanks(rest)?)?;
    let local = i64::from(days) * 86_400 + seconds;
    let (sign, rest) = match rest {
        [] => return Some(Iso8601::Timestamp(count(local))),
        [b' ', b'+', rest @ ..] => (1, rest),
        [b' ', b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    Some(Iso8601::Instant(count(local - sign * offset(rest)?)))
}

/// A number of seconds.
fn count(seconds: i64) -> Count {
    Count {
        value: seconds.into(),
        digits: 0,
    }
}

fn month(text: &[u8]) -> Option<(u32, &[u8])> {
    let (name, rest) = text.split_at_checked(3)?;
    let at = MONTHS
        .iter()
        .position(|month| month.eq_ignore_ascii_case(name))?;
    Some((u32::try_from(at + 1).ok()?, rest))
}

/// What follows one blank or more.
fn blanks(text: &[u8]) -> Option<&[u8]> {
    let rest = trimmed(text);
    (rest.len() < text.len()).then_some(rest)
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    text
}

fn up_to_two_digits(text: &[u8]) -> Option<(u32, &[u8])> {
    digits(text, 2).or_else(|| digits(text, 1))
}

/// Seconds since midnight of a time on a clock of 12 hours.
fn time(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = up_to_two_digits(text)?;
    let (minute, rest) = digits(rest.strip_prefix(b":")?, 2)?;
    let (half, rest) = rest.split_at_checked(2)?;
    let is_afternoon = half.eq_ignore_ascii_case(b"PM");
    if !(1..=12).contains(&hour)
        || minute > 59
        || !(is_afternoon || half.eq_ignore_ascii_case(b"AM"))
    {
        return None;
    }
    let hour = hour % 12 + if is_afternoon { 12 } else { 0 };
    Some((i64::from(hour * 3600 + minute * 60), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_style_is_read() {
        let moment = |value: i128, digits| Count { value, digits };
        // 2015-06-26 is day 5,655.
        let midnight: i128 = 5_655 * 86_400;
        for (text, value) in [
            // 0
            (
                "Jun 26 2015 12:00AM",
                Iso8601::Timestamp(moment(midnight, 0)),
            ),
            (
                "Jun 26 2015  1:05PM",
                Iso8601::Timestamp(moment(midnight + 47_100, 0)),
            ),
            ("Jan  1 2000 12:30PM", Iso8601::Timestamp(moment(45_000, 0))),
            ("Jan  1 2000", Iso8601::Date(0)),
            ("12:00AM", Iso8601::Time(moment(0, 0))),
            (" 1:05PM", Iso8601::Time(moment(47_100, 0))),
            ("Jan  1 2000  2:00AM +02:00", Iso8601::Instant(moment(0, 0))),
            // 112
            ("20150626", Iso8601::Date(5_655)),
            // 120, 121
            (
                "2015-06-26 00:00:00",
                Iso8601::Timestamp(moment(midnight, 0)),
            ),
            (
                "2015-06-26 00:00:00.500",
                Iso8601::Timestamp(moment(midnight * 1000 + 500, 3)),
            ),
            (
                "2000-01-01 02:00:00.0000000 +02:00",
                Iso8601::Instant(moment(0, 7)),
            ),
            // 126, 127
            (
                "2015-06-26T00:00:00.500",
                Iso8601::Timestamp(moment(midnight * 1000 + 500, 3)),
            ),
            (
                "2015-06-26T00:00:00",
                Iso8601::Timestamp(moment(midnight, 0)),
            ),
            (
                "2015-06-26T00:00:00Z",
                Iso8601::Instant(moment(midnight, 0)),
            ),
        ] {
            assert_eq!(
                parse_sql_server_text(text.as_bytes()),
                Some(value),
                "{text}"
            );
        }
    }

    #[test]
    fn style_127_has_a_zone_that_a_type_without_one_ignores() {
        let moment = |value: i128, digits| Count { value, digits };
        for (text, value) in [
            ("2000-01-01T00:00:01.5Z", Iso8601::Timestamp(moment(15, 1))),
            ("2000-01-01T00:00:01", Iso8601::Timestamp(moment(1, 0))),
            ("2000-01-01T00:00:01+00:00", Iso8601::Instant(moment(1, 0))),
        ] {
            let parsed = parse_sql_server_local_text(text.as_bytes());
            assert_eq!(parsed, Some(value), "{text}");
        }
        assert_eq!(parse_sql_server_local_text(b"20000101Z"), None);
    }

    #[test]
    fn what_no_style_writes_is_not_read() {
        for text in [
            "",
            "Jun",
            "Jun 2015",
            "Jun 31 2015 12:00AM",
            "Jun 26 2015 13:00PM",
            "Jun 26 2015 0:00AM",
            "Jun 26 2015 12:60AM",
            "Jun 26 2015 12:00",
            "Jun 26 201512:00AM",
            "Juin 26 2015 12:00AM",
            "Jun 26 2015 12:00AM Z",
            "06/26/2015",
        ] {
            assert_eq!(parse_sql_server_text(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_minute_reads_back(minute in -62_135_596_800_i64 / 60..253_402_300_799 / 60) {
            let at = chrono::DateTime::from_timestamp(minute * 60, 0).unwrap();
            let text = at.format("%b %e %Y %l:%M%p").to_string();
            let year = chrono::Datelike::year(&at);
            // chrono writes the sign of other years only.
            prop_assume!((1000..=9999).contains(&year));
            let expected = Iso8601::Timestamp(count(minute * 60 - 946_684_800));
            prop_assert_eq!(parse_sql_server_text(text.as_bytes()), Some(expected), "{}", text);
        }

        #[test]
        fn arbitrary_text_never_panics(text in "(Jan|feb|Xxx)? {0,2}[0-9]{0,3} {0,2}[0-9]{0,5} {0,2}[0-9:]{0,6}[APM]{0,2}( [+-][0-9:]{0,6})?") {
            let parsed = parse_sql_server_text(text.as_bytes());
            prop_assert!(!matches!(parsed, Some(Iso8601::Time(time)) if time.value < 0));
        }
    }
}

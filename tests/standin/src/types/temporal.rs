//! Dates and times: parsed from text and from the wire, rendered as PostgreSQL stores them.

use chrono::{Datelike, NaiveDate};

use crate::error::SqlError;
use crate::types::sql_type::SqlType;

/// A tick is 100 ns.
const TICKS_PER_SECOND: i64 = 10_000_000;
pub(crate) const TICKS_PER_MINUTE: i64 = 60 * TICKS_PER_SECOND;
pub(crate) const TICKS_PER_DAY: i64 = 24 * 60 * TICKS_PER_MINUTE;
/// Days from 0001-01-01 to 1900-01-01, the epoch of `datetime`.
pub(crate) const DAYS_TO_1900: i64 = 693_595;
/// Days from 0001-01-01 to 2000-01-01, the epoch of PostgreSQL.
pub(crate) const DAYS_TO_2000: i64 = 730_119;
/// Days from 0001-01-01 to 9999-12-31.
pub(crate) const LAST_DAY: i64 = 3_652_058;

/// A local date and time, with the offset of the local clock from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Days since 0001-01-01 of the local calendar.
    pub(crate) days: i64,
    /// Ticks since midnight of the local clock.
    pub(crate) ticks: i64,
    /// Minutes east of UTC.
    pub(crate) offset: i16,
}

impl Moment {
    /// Parses the forms that SQL Server accepts in every language setting: ISO 8601 and the date
    /// without separators, each part optional. A missing date is 1900-01-01, a missing time
    /// midnight. Also returns the number of digits after the decimal point of the seconds.
    fn parse(text: &str) -> Option<(Self, usize)> {
        let text = text.trim();
        let (date, rest) = split_date(text)?;
        let rest = rest.trim_start();
        let (clock, offset) = split_offset(rest)?;
        let (ticks, digits) = if clock.is_empty() {
            (0, 0)
        } else {
            parse_clock(clock)?
        };
        let moment = Self {
            days: date.unwrap_or(DAYS_TO_1900),
            ticks,
            offset,
        };
        Some((moment, digits))
    }

    /// The local date and time of a UTC date and time, `offset` minutes east of UTC.
    ///
    /// # Errors
    /// 242 for a date after 9999-12-31, a time of more than a day or an offset of more than 14 hours.
    pub(crate) fn from_utc(days: i64, ticks: i64, offset: i16) -> Result<Self, SqlError> {
        if !(0..=LAST_DAY).contains(&days)
            || !(0..TICKS_PER_DAY).contains(&ticks)
            || offset.unsigned_abs() > 14 * 60
        {
            return Err(out_of_range());
        }
        let local = days * TICKS_PER_DAY + ticks + i64::from(offset) * TICKS_PER_MINUTE;
        Ok(Self::from_total(local, offset))
    }

    /// Ticks since 0001-01-01 of the local clock.
    fn total(self) -> i64 {
        self.days * TICKS_PER_DAY + self.ticks
    }

    fn from_total(total: i64, offset: i16) -> Self {
        Self {
            days: total.div_euclid(TICKS_PER_DAY),
            ticks: total.rem_euclid(TICKS_PER_DAY),
            offset,
        }
    }

    /// Rounded half up to `scale` digits of a second, but never beyond 9999-12-31.
    fn rounded(self, scale: u8) -> Self {
        let unit = 10_i64.pow(7 - u32::from(scale.min(7)));
        let rounded = Self::from_total((self.total() + unit / 2) / unit * unit, self.offset);
        if rounded.days > LAST_DAY {
            Self {
                days: LAST_DAY,
                ticks: TICKS_PER_DAY - unit,
                offset: self.offset,
            }
        } else {
            rounded
        }
    }

    /// Rounded to 1/300 s, the unit of `datetime`, and then to whole milliseconds.
    fn rounded_to_datetime(self) -> Self {
        let ticks = ticks_of_datetime(datetime_units(self.ticks));
        Self::from_total(self.days * TICKS_PER_DAY + ticks, self.offset)
    }

    fn date_text(self) -> Result<String, SqlError> {
        let date = i32::try_from(self.days + 1)
            .ok()
            .filter(|_| (0..=LAST_DAY).contains(&self.days))
            .and_then(NaiveDate::from_num_days_from_ce_opt)
            .ok_or_else(out_of_range)?;
        Ok(format!(
            "{:04}-{:02}-{:02}",
            date.year(),
            date.month(),
            date.day()
        ))
    }

    fn clock_text(self) -> String {
        let seconds = self.ticks / TICKS_PER_SECOND;
        format!(
            "{:02}:{:02}:{:02}.{:06}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            self.ticks % TICKS_PER_SECOND / 10
        )
    }

    /// A PostgreSQL literal of the value as a column of `sql_type` stores it.
    ///
    /// # Errors
    /// 242 when the value is out of the range of the type, 102 when the type is no date or time.
    pub(crate) fn literal(self, sql_type: SqlType) -> Result<String, SqlError> {
        if !(0..=LAST_DAY).contains(&self.days) || !(0..TICKS_PER_DAY).contains(&self.ticks) {
            return Err(out_of_range());
        }
        Ok(match sql_type {
            SqlType::Date => format!("'{}'::date", self.date_text()?),
            SqlType::Time(7) => format!("{}::bigint", self.ticks),
            SqlType::Time(scale) => {
                let ticks = self.rounded(scale).ticks;
                format!("'{}'::time({scale})", Self { ticks, ..self }.clock_text())
            }
            SqlType::DateTime2(7) => {
                self.date_text()?;
                format!("{}::bigint", self.total())
            }
            SqlType::DateTime2(scale) => self.rounded(scale).timestamp(scale)?,
            SqlType::DateTime => {
                const YEAR_1753: i64 = 639_905;
                if self.days < YEAR_1753 {
                    return Err(out_of_range());
                }
                self.rounded_to_datetime().timestamp(3)?
            }
            SqlType::SmallDateTime => {
                const LAST: i64 = DAYS_TO_1900 + 65_535;
                // A datetime of .9985 s rounds up to the next second.
                let total = (self.total() + 15_000) / TICKS_PER_SECOND * TICKS_PER_SECOND;
                let total = (total + TICKS_PER_MINUTE / 2) / TICKS_PER_MINUTE * TICKS_PER_MINUTE;
                let rounded = Self::from_total(total, 0);
                if !(DAYS_TO_1900..=LAST).contains(&rounded.days) {
                    return Err(out_of_range());
                }
                rounded.timestamp(0)?
            }
            SqlType::DateTimeOffset(scale) => {
                let local = self.rounded(scale);
                local.date_text()?;
                format!(
                    "ROW({},{})::sys.datetimeoffset",
                    local.total() - i64::from(self.offset) * TICKS_PER_MINUTE,
                    self.offset
                )
            }
            other => return Err(SqlError::unsupported(format!("a date or time as {other}"))),
        })
    }

    fn timestamp(self, scale: u8) -> Result<String, SqlError> {
        Ok(format!(
            "'{} {}'::timestamp({scale})",
            self.date_text()?,
            self.clock_text()
        ))
    }
}

/// Error 242: a date or time that its type cannot represent.
pub(crate) fn out_of_range() -> SqlError {
    SqlError::new(
        242,
        "The conversion of a data type to a datetime data type resulted in an out-of-range value.",
    )
}

/// Ticks as `datetime` counts them: in units of 1/300 s.
pub(crate) fn datetime_units(ticks: i64) -> i64 {
    (ticks * 3 + 50_000) / 100_000
}

/// The ticks of units of 1/300 s, rounded to whole milliseconds.
pub(crate) fn ticks_of_datetime(units: i64) -> i64 {
    (units * 10 + 1) / 3 * 10_000
}

/// A PostgreSQL literal of text that is converted to a date or time type.
///
/// # Errors
/// 241 when the text is no date or time, 242 when it is out of the range of the type.
pub(crate) fn literal_of_text(text: &str, sql_type: SqlType) -> Result<String, SqlError> {
    let (moment, digits) = Moment::parse(text).ok_or_else(SqlError::invalid_moment)?;
    if matches!(sql_type, SqlType::DateTime | SqlType::SmallDateTime) && digits > 3 {
        return Err(SqlError::invalid_moment());
    }
    moment.literal(sql_type)
}

fn number(digits: &str) -> Option<i64> {
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

/// Days since 0001-01-01, if the text begins with a date, and the rest of the text.
fn split_date(text: &str) -> Option<(Option<i64>, &str)> {
    let head = text.find([' ', 'T']).unwrap_or(text.len());
    let (date, rest) = text.split_at(head);
    if date.contains(':') {
        return Some((None, text));
    }
    if date.is_empty() {
        return Some((None, ""));
    }
    let rest = rest.strip_prefix('T').unwrap_or(rest);
    let pieces: Vec<&str> = date.split(['-', '/']).collect();
    let (year, month, day) = match pieces.as_slice() {
        [year, month, day] if year.len() == 4 => (number(year)?, number(month)?, number(day)?),
        [all] if all.len() == 8 => {
            let all = number(all)?;
            (all / 10_000, all / 100 % 100, all % 100)
        }
        [year] if year.len() == 4 => (number(year)?, 1, 1),
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(year).ok().filter(|year| *year >= 1)?,
        u32::try_from(month).ok()?,
        u32::try_from(day).ok()?,
    )?;
    Some((Some(i64::from(date.num_days_from_ce()) - 1), rest))
}

/// The text before the offset from UTC, and the offset in minutes.
fn split_offset(text: &str) -> Option<(&str, i16)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock.trim_end(), 0));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, 0));
    };
    let (clock, offset) = text.split_at(at);
    let (hours, minutes) = offset[1..].split_once(':')?;
    let minutes = number(hours)? * 60 + number(minutes)?;
    let minutes = i16::try_from(minutes).ok().filter(|m| *m <= 14 * 60)?;
    Some((
        clock.trim_end(),
        if offset.starts_with('-') {
            -minutes
        } else {
            minutes
        },
    ))
}

/// Ticks since midnight, and the number of digits after the decimal point.
fn parse_clock(text: &str) -> Option<(i64, usize)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<i64> = whole.split(':').map(number).collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match parts.as_slice() {
        [hours, minutes] => (*hours, *minutes, 0),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return None,
    };
    if hours > 23 || minutes > 59 || seconds > 59 || fraction.len() > 7 {
        return None;
    }
    let fraction_ticks = if fraction.is_empty() {
        0
    } else {
        number(&format!("{fraction:0<7}"))?
    };
    let ticks = (hours * 3600 + minutes * 60 + seconds) * TICKS_PER_SECOND + fraction_ticks;
    Some((ticks, fraction.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str, sql_type: SqlType) -> String {
        literal_of_text(text, sql_type).unwrap()
    }

    #[test]
    fn seven_digits_are_ticks() {
        assert_eq!(
            literal("0001-01-01 00:00:00.0000001", SqlType::DateTime2(7)),
            "1::bigint"
        );
        assert_eq!(
            literal("9999-12-31T23:59:59.9999999", SqlType::DateTime2(7)),
            "3155378975999999999::bigint"
        );
        assert_eq!(
            literal("23:59:59.9999999", SqlType::Time(7)),
            "863999999999::bigint"
        );
    }

    #[test]
    fn datetime_rounds_to_a_three_hundredth_of_a_second() {
        for (given, kept) in [
            ("998", "997000"),
            ("999", "000000"),
            ("995", "997000"),
            ("004", "003000"),
        ] {
            let text = literal(&format!("2024-02-29 10:00:00.{given}"), SqlType::DateTime);
            assert!(text.contains(kept), "{given} became {text}");
        }
        assert_eq!(
            literal_of_text("1752-12-31", SqlType::DateTime)
                .unwrap_err()
                .number,
            242
        );
        assert_eq!(
            literal_of_text("2020-01-01 00:00:00.1234", SqlType::DateTime)
                .unwrap_err()
                .number,
            241
        );
    }

    #[test]
    fn an_offset_is_kept_beside_utc() {
        assert_eq!(
            literal("0001-01-02 00:00:00 +01:00", SqlType::DateTimeOffset(7)),
            "ROW(828000000000,60)::sys.datetimeoffset"
        );
    }

    #[test]
    fn a_smalldatetime_is_whole_minutes() {
        assert!(literal("2024-01-01 10:00:29.998", SqlType::SmallDateTime).contains("10:00:00"));
        assert!(literal("2024-01-01 10:00:29.999", SqlType::SmallDateTime).contains("10:01:00"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "yesterday",
            "2023-02-29",
            "25:00",
            "2020-01-01 10:00:00.12345678",
        ] {
            assert_eq!(
                literal_of_text(text, SqlType::DateTime2(7))
                    .unwrap_err()
                    .number,
                241,
                "{text}"
            );
        }
    }
}

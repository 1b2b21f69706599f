//! What a cause is called and how it reads.

use shared::options::{Encoding, Normalization, Rounding, Trim};

use crate::engine::locate::cause::{Case, Cause, Damage, Damaged, Level, Limit, Page, StandIn};

impl Damaged {
    /// The side in words.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

impl Cause {
    /// The cause's name, which does not change between versions.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        match self.damage {
            Damage::NullBecame(StandIn::Empty | StandIn::Blanks) => "null-became-empty",
            Damage::NullBecame(StandIn::Word) => "null-became-text",
            Damage::NullBecame(StandIn::Zero) => "null-became-zero",
            Damage::NullBecame(StandIn::Hidden) => "null-became-stand-in",
            Damage::BecameNull(StandIn::Empty | StandIn::Blanks) => "empty-became-null",
            Damage::BecameNull(StandIn::Word) => "text-became-null",
            Damage::BecameNull(StandIn::Zero) => "zero-became-null",
            Damage::BecameNull(StandIn::Hidden) => "stand-in-became-null",
            Damage::TimeCut(Level::Digits(_), Rounding::Truncate) => "fraction-truncated",
            Damage::TimeCut(Level::Digits(_), _) => "fraction-rounded",
            Damage::TimeCut(Level::Minutes, _) => "seconds-dropped",
            Damage::TimeCut(Level::Day, _) => "time-of-day-dropped",
            Damage::DatetimeSteps => "datetime-steps",
            Damage::ZoneShifted(_) | Damage::DayShifted(_) => "time-zone-shifted",
            Damage::DayMonthSwapped => "day-month-swapped",
            Damage::NotDecoded(_) => "encoding-not-decoded",
            Damage::BlanksTrimmed(_) => "blanks-trimmed",
            Damage::SpaceTrimmed(_) => "white-space-trimmed",
            Damage::CaseFolded(_) => "case-folded",
            Damage::Normalized(_) => "unicode-normalized",
            Damage::AccentsRemoved => "accents-removed",
            Damage::LineEnds => "line-ends-changed",
            Damage::NulDropped => "nul-dropped",
            Damage::CodePage(..) => "code-page-damaged",
            Damage::Replaced(_) => "characters-replaced",
            Damage::LeadingZeros => "leading-zeros-lost",
            Damage::BooleanAsText => "boolean-as-text",
            Damage::NumberAsText => "number-as-text",
            Damage::TimeAsText => "time-as-text",
            Damage::TextCut(_) => "text-truncated",
            Damage::BytesCut(_) => "bytes-truncated",
            Damage::ZeroBytesTrimmed => "zero-bytes-trimmed",
            Damage::UuidSwapped => "uuid-bytes-swapped",
            Damage::Narrowed(_) => "float-narrowed",
            Damage::ScaleCut(_, Rounding::Truncate) => "scale-truncated",
            Damage::ScaleCut(..) => "scale-rounded",
            Damage::DigitsCut(_) => "float-digits-cut",
        }
    }

    /// What it means, with its measure.
    #[must_use]
    pub(crate) fn explanation(&self) -> String {
        let side = self.side.word();
        let other = match self.side {
            Damaged::Source => "target",
            Damaged::Target => "source",
        };
        match self.damage {
            Damage::NullBecame(what) => {
                format!("NULL in the source is {} in the target", stand_in(what))
            }
            Damage::BecameNull(what) => {
                format!("{} in the source is NULL in the target", stand_in(what))
            }
            Damage::TimeCut(level, rounding) => {
                format!(
                    "{} to {} in the {side}",
                    rounded(rounding, "cut"),
                    left(level)
                )
            }
            Damage::DatetimeSteps => {
                format!("rounded to the 1/300 s steps of datetime in the {side}")
            }
            Damage::ZoneShifted(quarters) => shifted(quarters),
            Damage::DayShifted(later) => format!(
                "one day {} in the target, as by a time zone",
                if later { "later" } else { "earlier" }
            ),
            Damage::DayMonthSwapped => "day and month changed places".to_owned(),
            Damage::NotDecoded(encoding) => format!(
                "still encoded in the {side}: {} of the {other}'s value",
                encoded(encoding)
            ),
            Damage::BlanksTrimmed(which) => format!("{} blanks trimmed in the {side}", ends(which)),
            Damage::SpaceTrimmed(which) => {
                format!("{} white space trimmed in the {side}", ends(which))
            }
            Damage::CaseFolded(case) => match case {
                Case::Lower => format!("in lower case in the {side}"),
                Case::Upper => format!("in upper case in the {side}"),
                Case::Mixed => "letters differ in case only".to_owned(),
            },
            Damage::Normalized(form) => format!("normalised to {} in the {side}", normal(form)),
            Damage::AccentsRemoved => format!("accents removed in the {side}"),
            Damage::LineEnds => format!("line ends CR LF became LF in the {side}"),
            Damage::NulDropped => format!("NUL characters dropped in the {side}"),
            Damage::CodePage(page, times) => format!(
                "UTF-8 read as {}{} in the {side}",
                match page {
                    Page::Windows1252 => "Windows-1252",
                    Page::Latin1 => "ISO 8859-1",
                },
                if times > 1 { ", twice," } else { "" }
            ),
            Damage::Replaced(mark) => match mark {
                '?' => {
                    format!("characters that a code page does not have became `?` in the {side}")
                }
                mark => format!(
                    "characters that could not be converted became U+{:04X} in the {side}",
                    u32::from(mark)
                ),
            },
            Damage::LeadingZeros => format!("leading zeros lost in the {side}"),
            Damage::BooleanAsText => "the same truth value in other words".to_owned(),
            Damage::NumberAsText => "the same number in another notation".to_owned(),
            Damage::TimeAsText => "the same time in another notation".to_owned(),
            Damage::TextCut(Limit::Characters(count)) => {
                format!("cut to {} in the {side}", plural(count, "character"))
            }
            Damage::TextCut(Limit::Units(count)) => {
                format!("cut to {} of UTF-16 in the {side}", plural(count, "unit"))
            }
            Damage::TextCut(Limit::Bytes(count)) => {
                format!("cut to {} of UTF-8 in the {side}", plural(count, "byte"))
            }
            Damage::BytesCut(count) => format!("cut to {} in the {side}", plural(count, "byte")),
            Damage::ZeroBytesTrimmed => format!("zero bytes at the end trimmed in the {side}"),
            Damage::UuidSwapped => {
                "the first three groups have their bytes in reverse order".to_owned()
            }
            Damage::Narrowed(bits) => {
                format!("passed through a float of {bits} bits in the {side}")
            }
            Damage::ScaleCut(digits, rounding) => format!(
                "{} to {} after the point in the {side}",
                rounded(rounding, "cut"),
                plural(digits.into(), "digit")
            ),
            Damage::DigitsCut(digits) => {
                format!("rounded to {digits} significant digits in the {side}")
            }
        }
    }
}

fn plural(count: usize, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

fn stand_in(what: StandIn) -> &'static str {
    match what {
        StandIn::Empty => "empty",
        StandIn::Blanks => "blank",
        StandIn::Word => "the word NULL",
        StandIn::Zero => "zero",
        StandIn::Hidden => "a stand-in for NULL",
    }
}

fn rounded(rounding: Rounding, cut: &'static str) -> &'static str {
    match rounding {
        Rounding::Truncate => cut,
        Rounding::HalfUp => "rounded",
        Rounding::HalfEven => "rounded half to even",
    }
}

fn left(level: Level) -> String {
    match level {
        Level::Digits(0) => "whole seconds".to_owned(),
        Level::Digits(3) => "milliseconds".to_owned(),
        Level::Digits(6) => "microseconds".to_owned(),
        Level::Digits(digits) => format!("{} of a second", plural(digits.into(), "digit")),
        Level::Minutes => "whole minutes".to_owned(),
        Level::Day => "the day".to_owned(),
    }
}

fn shifted(quarters: i8) -> String {
    let minutes = i32::from(quarters.unsigned_abs()) * 15;
    let direction = if quarters > 0 { "later" } else { "earlier" };
    format!(
        "{}:{:02} h {direction} in the target, as by a time zone",
        minutes / 60,
        minutes % 60
    )
}

fn ends(which: Trim) -> &'static str {
    match which {
        Trim::End => "trailing",
        Trim::Start => "leading",
        Trim::Both => "leading and trailing",
    }
}

fn normal(form: Normalization) -> &'static str {
    match form {
        Normalization::Nfc => "NFC",
        Normalization::Nfd => "NFD",
        Normalization::Nfkc => "NFKC",
        Normalization::Nfkd => "NFKD",
    }
}

fn encoded(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::EpochDays => "days since 1970",
        Encoding::EpochSeconds => "seconds since 1970",
        Encoding::EpochMillis => "milliseconds since 1970",
        Encoding::EpochMicros => "microseconds since 1970",
        Encoding::EpochNanos => "nanoseconds since 1970",
        Encoding::MidnightMillis => "milliseconds since midnight",
        Encoding::MidnightMicros => "microseconds since midnight",
        Encoding::MidnightNanos => "nanoseconds since midnight",
        Encoding::Iso8601 => "ISO 8601 text",
        Encoding::DecimalText => "decimal text",
        Encoding::DecimalBytes => "the unscaled bytes",
        Encoding::Base64 => "Base64",
        Encoding::Hex => "hexadecimal text",
        Encoding::Json => "JSON",
        Encoding::Utc => "UTC",
    }
}

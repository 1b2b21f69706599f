//! The names of causes, and their explanations in reports.

use shared::options::{Normalization, Rounding, Trim};

use crate::engine::locate::cause::damage::{
    Case, Cause, Damage, Damaged, Folds, Level, Limit, Notation, Page, StandIn,
};
use crate::engine::values::pairing::encoding::encoding_name;

impl Damaged {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }

    /// The side with the undamaged value.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Source => Self::Target,
            Self::Target => Self::Source,
        }
    }
}

impl Cause {
    /// The cause's name, which is the same in all versions.
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
            Damage::OffsetDropped(_) => "offset-dropped",
            Damage::DayMonthSwapped => "day-month-swapped",
            Damage::NotDecoded(_) => "encoding-not-decoded",
            Damage::BlanksTrimmed(_) => "blanks-trimmed",
            Damage::SpaceTrimmed(_) => "white-space-trimmed",
            Damage::CaseFolded(_) => "case-folded",
            Damage::Folded(_) => "text-folded",
            Damage::Normalized(_) => "unicode-normalized",
            Damage::AccentsRemoved => "accents-removed",
            Damage::LineEnds => "line-ends-changed",
            Damage::NulDropped => "nul-dropped",
            Damage::CodePage(..) => "code-page-damaged",
            Damage::Replaced(_) => "characters-replaced",
            Damage::LeadingZeros => "leading-zeros-lost",
            Damage::BooleanAsText => "boolean-as-text",
            Damage::NumberAsText => "number-as-text",
            Damage::TimeAsText(_) => "time-as-text",
            Damage::XmlNotation => "xml-notation",
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

    pub(crate) fn explanation(&self) -> String {
        let side = self.side.word();
        let change = match self.damage {
            Damage::NullBecame(what) => {
                return format!("NULL in the source is {} in the target", stand_in(what));
            }
            Damage::BecameNull(what) => {
                return format!("{} in the source is NULL in the target", stand_in(what));
            }
            Damage::ZoneShifted(quarters) => return zone_shifted(&[quarters]),
            Damage::OffsetDropped(quarters) => return offset_dropped(self.side, &[quarters]),
            Damage::DayShifted(later) => {
                let direction = if later { "later" } else { "earlier" };
                return format!(
                    "one day {direction} in the target, as when a time zone conversion shifts midnight"
                );
            }
            Damage::Folded(folds) => return format!("texts differ in {} only", folds.words()),
            Damage::DayMonthSwapped => return "day and month are swapped".to_owned(),
            Damage::CaseFolded(Case::Mixed) => return "letters differ in case only".to_owned(),
            Damage::BooleanAsText => return "the same boolean in another word".to_owned(),
            Damage::NumberAsText => return "the same number in another notation".to_owned(),
            Damage::TimeAsText(Notation::SqlServer | Notation::Other) => {
                return "the same time in another notation".to_owned();
            }
            Damage::TimeAsText(Notation::Cut(level)) => {
                format!(
                    "the same time in another notation, cut to {}",
                    precision(level)
                )
            }
            Damage::XmlNotation => return "the same XML in another notation".to_owned(),
            Damage::UuidSwapped => {
                return "the bytes of the first three groups are reversed".to_owned();
            }
            Damage::NotDecoded(encoding) => {
                format!("still encoded as {}", encoding_name(encoding))
            }
            Damage::TimeCut(Level::Digits(6), Rounding::HalfEven) => {
                return format!(
                    "rounded to microseconds in the {side}, as PostgreSQL rounds a seventh digit"
                );
            }
            Damage::TimeCut(level, rounding) => {
                format!("{} to {}", rounded(rounding), precision(level))
            }
            Damage::DatetimeSteps => "rounded to the 1/300 s steps of datetime".to_owned(),
            Damage::BlanksTrimmed(which) => format!("{} blanks trimmed", ends(which)),
            Damage::SpaceTrimmed(which) => format!("{} white space trimmed", ends(which)),
            Damage::CaseFolded(Case::Lower) => "in lower case".to_owned(),
            Damage::CaseFolded(Case::Upper) => "in upper case".to_owned(),
            Damage::Normalized(form) => format!("normalized to {}", normal_form(form)),
            Damage::AccentsRemoved => "accents removed".to_owned(),
            Damage::LineEnds => "line ends CR LF replaced by LF".to_owned(),
            Damage::NulDropped => "NUL characters removed".to_owned(),
            Damage::CodePage(page, times) => {
                let twice = if times > 1 { ", twice," } else { "" };
                format!("UTF-8 decoded as {}{twice}", page.name())
            }
            Damage::Replaced('?') => {
                "characters that a code page does not have replaced by `?`".to_owned()
            }
            Damage::Replaced(mark) => format!(
                "characters that could not be converted replaced by U+{:04X}",
                u32::from(mark)
            ),
            Damage::LeadingZeros => "leading zeros removed".to_owned(),
            Damage::TextCut(limit) => format!("cut to {}", length(limit)),
            Damage::BytesCut(count) => format!("cut to {}", plural(count, "byte")),
            Damage::ZeroBytesTrimmed => "trailing zero bytes trimmed".to_owned(),
            Damage::Narrowed(bits) => format!("rounded to a float of {bits} bits"),
            Damage::ScaleCut(digits, rounding) => {
                let digits = plural(digits.into(), "digit");
                format!("{} to {digits} after the point", rounded(rounding))
            }
            Damage::DigitsCut(digits) => format!("rounded to {digits} significant digits"),
        };
        format!("{change} in the {side}")
    }
}

impl Page {
    fn name(self) -> &'static str {
        match self {
            Self::Windows1252 => "Windows-1252",
            Self::Latin1 => "ISO 8859-1",
        }
    }
}

fn plural(count: usize, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

fn length(limit: Limit) -> String {
    match limit {
        Limit::Characters(count) => plural(count, "character"),
        Limit::Units(count) => format!("{} of UTF-16", plural(count, "unit")),
        Limit::Bytes(count) => format!("{} of UTF-8", plural(count, "byte")),
    }
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

fn rounded(rounding: Rounding) -> &'static str {
    match rounding {
        Rounding::Truncate => "cut",
        Rounding::HalfUp => "rounded",
        Rounding::HalfEven => "rounded half to even",
    }
}

fn precision(level: Level) -> String {
    match level {
        Level::Digits(0) => "whole seconds".to_owned(),
        Level::Digits(3) => "milliseconds".to_owned(),
        Level::Digits(6) => "microseconds".to_owned(),
        Level::Digits(digits) => format!("{} of a second", plural(digits.into(), "digit")),
        Level::Minutes => "whole minutes".to_owned(),
        Level::Day => "the day".to_owned(),
    }
}

/// Times were shifted by these quarters of an hour, later if positive.
pub(crate) fn zone_shifted(shifts: &[i8]) -> String {
    let daylight = if shifts.len() > 1 {
        " with daylight saving time"
    } else {
        ""
    };
    let shifts = shifted(shifts);
    format!("{shifts} in the target, as after a time zone conversion{daylight}")
}

/// The clock time was kept on this side, and its offset was not.
pub(crate) fn offset_dropped(side: Damaged, shifts: &[i8]) -> String {
    let side = side.word();
    format!(
        "the offset was dropped in the {side}: {} there",
        shifted(shifts)
    )
}

/// `2:00 h and 1:00 h later`.
fn shifted(shifts: &[i8]) -> String {
    let mut text = String::new();
    for (at, quarters) in shifts.iter().enumerate() {
        let minutes = u32::from(quarters.unsigned_abs()) * 15;
        let direction = |quarters: i8| if quarters > 0 { "later" } else { "earlier" };
        if at > 0 {
            text += if at + 1 == shifts.len() {
                " and "
            } else {
                ", "
            };
        }
        text += &format!("{}:{:02} h", minutes / 60, minutes % 60);
        let next = shifts.get(at + 1);
        if next.is_none_or(|next| direction(*next) != direction(*quarters)) {
            text += &format!(" {}", direction(*quarters));
        }
    }
    text
}

impl Folds {
    /// `trailing blanks, letter case and Unicode form`.
    pub(crate) fn words(self) -> String {
        let parts = [
            self.trim.map(|which| format!("{} blanks", ends(which))),
            self.case.then(|| "letter case".to_owned()),
            self.form
                .map(|form| format!("Unicode form ({})", normal_form(form))),
        ];
        list(&parts.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// `a`, `a and b`, `a, b and c`.
fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn ends(which: Trim) -> &'static str {
    match which {
        Trim::End => "trailing",
        Trim::Start => "leading",
        Trim::Both => "leading and trailing",
    }
}

fn normal_form(form: Normalization) -> &'static str {
    match form {
        Normalization::Nfc => "NFC",
        Normalization::Nfd => "NFD",
        Normalization::Nfkc => "NFKC",
        Normalization::Nfkd => "NFKD",
    }
}

//! Why values differ: the damages that copies are known to do, each tested by
//! doing it to one value and comparing the result with the other.
//!
//! A cause is exact. It explains a pair of values only if the damage turns one
//! into the other, bit for bit; what no damage explains stays unexplained.
//! One pair often fits several causes, `.120456` and `.12` for example a cut
//! to two digits and one to three. All of them are kept, and [`tally`] decides
//! by what explains most rows of the column.

pub(crate) mod number;
pub(crate) mod option;
pub(crate) mod tally;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod words;

use shared::options::{Encoding, Normalization, Rounding, Trim};

use crate::engine::values::canonical::{View, view};

/// A known damage, and which side holds the damaged value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Cause {
    /// What was done.
    pub damage: Damage,
    /// To which side.
    pub side: Damaged,
}

/// The side whose value is the damaged one. Where a damage is as good in both
/// directions, it is the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Damaged {
    /// The usual case: the copy.
    Target,
    /// The original.
    Source,
}

/// What happens to values on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Damage {
    /// NULL became something.
    NullBecame(StandIn),
    /// Something became NULL.
    BecameNull(StandIn),
    /// Digits of a second, or more of a time, were dropped.
    TimeCut(Level, Rounding),
    /// Rounded to `datetime`'s steps of 1/300 s.
    DatetimeSteps,
    /// So many quarters of an hour later.
    ZoneShifted(i8),
    /// A day later, or a day earlier.
    DayShifted(bool),
    /// Day and month changed places.
    DayMonthSwapped,
    /// A time that is still a number: epoch days, seconds and so on; or bytes as hexadecimal text.
    NotDecoded(Encoding),
    /// Blanks were removed.
    BlanksTrimmed(Trim),
    /// White space was removed, not only blanks.
    SpaceTrimmed(Trim),
    /// Letters changed their case.
    CaseFolded(Case),
    /// Brought to a normalisation form.
    Normalized(Normalization),
    /// Accents were removed.
    AccentsRemoved,
    /// `\r\n` became `\n`.
    LineEnds,
    /// U+0000 was dropped.
    NulDropped,
    /// UTF-8 was read in a code page, once or twice.
    CodePage(Page, u8),
    /// Characters beyond a character set became this one.
    Replaced(char),
    /// Leading zeros of a number in text were dropped.
    LeadingZeros,
    /// The same truth value in another word.
    BooleanAsText,
    /// The same number, as text or in another notation.
    NumberAsText,
    /// The same time in another notation.
    TimeAsText,
    /// Text was cut.
    TextCut(Limit),
    /// Bytes were cut to so many.
    BytesCut(usize),
    /// Zero bytes at the end were removed.
    ZeroBytesTrimmed,
    /// The first three groups of a UUID have their bytes in reverse.
    UuidSwapped,
    /// Passed through a float of so many bits.
    Narrowed(u8),
    /// So many digits after the point are left.
    ScaleCut(u8, Rounding),
    /// So many significant digits of a float are left.
    DigitsCut(u8),
}

/// What stands in for NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum StandIn {
    /// The empty text, or no bytes.
    Empty,
    /// Nothing but blanks.
    Blanks,
    /// The word NULL.
    Word,
    /// Zero, or false.
    Zero,
    /// Any of them, where it is not told which.
    Hidden,
}

/// What is left of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Level {
    /// So many digits of a second.
    Digits(u8),
    /// Hours and minutes.
    Minutes,
    /// The day.
    Day,
}

/// The case of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Case {
    /// All are lower.
    Lower,
    /// All are upper.
    Upper,
    /// Neither side is all one.
    Mixed,
}

/// A code page for which UTF-8 is mistaken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Page {
    /// Windows-1252; the five bytes that it leaves open are control characters.
    Windows1252,
    /// ISO 8859-1.
    Latin1,
}

/// How much text is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Limit {
    /// So many characters.
    Characters(usize),
    /// So many units of UTF-16: what `nvarchar(n)` counts.
    Units(usize),
    /// So many bytes of UTF-8.
    Bytes(usize),
}

/// Every cause that turns one of two different encoded values into the other,
/// the most specific first.
#[must_use]
pub(crate) fn causes(source: &[u8], target: &[u8]) -> Vec<Cause> {
    let (Some(left), Some(right)) = (view(source), view(target)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (side, original, damaged) in [
        (Damaged::Target, &left, &right),
        (Damaged::Source, &right, &left),
    ] {
        let wanted = |damage: Damage| side == Damaged::Target || !damage.is_symmetric();
        damages(original, damaged, &mut |damage| {
            if wanted(damage) {
                found.push(Cause { damage, side });
            }
        });
    }
    found.sort_by_key(Cause::rank);
    found.dedup();
    found
}

/// Reports every damage that turns `original` into `damaged`.
fn damages(original: &View<'_>, damaged: &View<'_>, found: &mut impl FnMut(Damage)) {
    use View::{
        Bool, Bytes, Date, Decimal, Float32, Float64, Instant, Int, Null, Text, Time, Timestamp,
        Uuid,
    };
    match (original, damaged) {
        (Null, value) => {
            if let Some(stand_in) = stand_in(value) {
                found(Damage::NullBecame(stand_in));
            }
        }
        (value, Null) => {
            if let Some(stand_in) = stand_in(value) {
                found(Damage::BecameNull(stand_in));
            }
        }
        (Text(a), Text(b)) => text::damages(a, b, found),
        (Bytes(a), Bytes(b)) => bytes_damages(a, b, found),
        (Int(a), Int(b)) => number::integers(*a, *b, found),
        (Decimal(a), Decimal(b)) => number::decimals(a, b, found),
        (Float64(a), Float64(b)) => number::floats(*a, *b, found),
        (Float32(a), Float32(b)) => number::short_floats(*a, *b, found),
        (Date(a), Date(b)) => time::dates(*a, *b, found),
        (Time(a), Time(b)) => time::times_of_day(*a, *b, found),
        (Timestamp(a), Timestamp(b)) | (Instant(a), Instant(b)) => time::moments(*a, *b, found),
        (Uuid(a), Uuid(b)) if swapped(a) == *b => found(Damage::UuidSwapped),
        (Date(_) | Time(_) | Timestamp(_) | Instant(_), Int(number)) => {
            time::undecoded(original, *number, found);
        }
        (Bool(value), Text(word)) if text::truth(word) == Some(*value) => {
            found(Damage::BooleanAsText);
        }
        (Int(number), Text(text)) if text.trim() == number.to_string() => {
            found(Damage::NumberAsText);
        }
        (Decimal(number), Text(text)) if number::plain(text.trim()).as_ref() == Some(number) => {
            found(Damage::NumberAsText);
        }
        (Float64(number), Text(text)) if text.trim().parse() == Ok(*number) => {
            found(Damage::NumberAsText);
        }
        _ => {}
    }
}

/// For what kind of nothing a value may stand.
fn stand_in(value: &View<'_>) -> Option<StandIn> {
    match value {
        View::Text("") | View::Bytes([]) => Some(StandIn::Empty),
        View::Text(text) if text.chars().all(|c| c == ' ') => Some(StandIn::Blanks),
        View::Text(text) if text.eq_ignore_ascii_case("null") || *text == "\\N" => {
            Some(StandIn::Word)
        }
        View::Int(0) | View::Bool(false) => Some(StandIn::Zero),
        View::Decimal(text) if text == "0" => Some(StandIn::Zero),
        View::Float64(0.0) | View::Float32(0.0) => Some(StandIn::Zero),
        _ => None,
    }
}

fn bytes_damages(original: &[u8], damaged: &[u8], found: &mut impl FnMut(Damage)) {
    if let Some(lost) = original.strip_prefix(damaged)
        && !lost.is_empty()
    {
        if lost.iter().all(|byte| *byte == 0) && damaged.last() != Some(&0) {
            found(Damage::ZeroBytesTrimmed);
        }
        if !damaged.is_empty() {
            found(Damage::BytesCut(damaged.len()));
        }
    }
    let digits = [&b"\\x"[..], b"0x", b"0X"]
        .iter()
        .find_map(|prefix| damaged.strip_prefix(*prefix))
        .unwrap_or(damaged);
    let is_hex = !original.is_empty()
        && digits.len() == 2 * original.len()
        && digits.chunks(2).zip(original).all(|(pair, byte)| {
            std::str::from_utf8(pair).is_ok_and(|pair| {
                !pair.starts_with('+') && u8::from_str_radix(pair, 16) == Ok(*byte)
            })
        });
    if is_hex {
        found(Damage::NotDecoded(Encoding::Hex));
    }
}

/// SQL Server keeps the first three groups of a UUID in little-endian order.
fn swapped(uuid: &[u8; 16]) -> [u8; 16] {
    let mut swapped = *uuid;
    swapped[0..4].reverse();
    swapped[4..6].reverse();
    swapped[6..8].reverse();
    swapped
}

impl Damage {
    /// Whether it says the same in both directions.
    fn is_symmetric(self) -> bool {
        matches!(
            self,
            Self::NullBecame(_)
                | Self::BecameNull(_)
                | Self::ZoneShifted(_)
                | Self::DayShifted(_)
                | Self::DayMonthSwapped
                | Self::CaseFolded(Case::Mixed)
                | Self::BooleanAsText
                | Self::NumberAsText
                | Self::TimeAsText
                | Self::UuidSwapped
        )
    }
}

impl Cause {
    /// The same without what tells a value.
    fn discreet(self) -> Self {
        let damage = match self.damage {
            Damage::NullBecame(_) => Damage::NullBecame(StandIn::Hidden),
            Damage::BecameNull(_) => Damage::BecameNull(StandIn::Hidden),
            other => other,
        };
        Self { damage, ..self }
    }

    /// Lower is more specific. Within a family a damaged target comes before a
    /// damaged source, and the measures that are usual before others.
    fn rank(&self) -> (u8, Damaged, u8, Self) {
        // Milliseconds, microseconds and whole seconds are what types and encodings have.
        let digits = |digits: u8| match digits {
            3 => 0,
            6 => 1,
            0 => 2,
            other => 10 - other.min(7),
        };
        let scale = |digits: u8| match digits {
            2 => 0,
            4 => 1,
            0 => 2,
            other => 3 + other.min(100),
        };
        let mode = |rounding: Rounding| match rounding {
            Rounding::Truncate => 0,
            Rounding::HalfUp => 1,
            Rounding::HalfEven => 2,
        };
        let (family, within) = match self.damage {
            Damage::NullBecame(_) | Damage::BecameNull(_) => (0, 0),
            Damage::TimeCut(Level::Digits(left), rounding) => (10 + mode(rounding), digits(left)),
            Damage::DatetimeSteps => (13, 0),
            Damage::TimeCut(Level::Minutes, rounding) => (14, mode(rounding)),
            Damage::TimeCut(Level::Day, rounding) => (16, mode(rounding)),
            Damage::ZoneShifted(_) | Damage::DayShifted(_) => (15, 0),
            Damage::DayMonthSwapped => (17, 0),
            Damage::NotDecoded(_) => (18, 0),
            Damage::NulDropped => (20, 0),
            Damage::LineEnds => (21, 0),
            Damage::BlanksTrimmed(Trim::End) => (22, 0),
            Damage::BlanksTrimmed(Trim::Start) => (22, 1),
            Damage::BlanksTrimmed(Trim::Both) => (22, 2),
            Damage::SpaceTrimmed(_) => (23, 0),
            Damage::BooleanAsText => (24, 0),
            Damage::CaseFolded(Case::Lower | Case::Upper) => (25, 0),
            Damage::CaseFolded(Case::Mixed) => (27, 0),
            Damage::Normalized(form) => (
                26,
                match form {
                    Normalization::Nfc => 0,
                    Normalization::Nfd => 1,
                    Normalization::Nfkc => 2,
                    Normalization::Nfkd => 3,
                },
            ),
            Damage::CodePage(Page::Windows1252, times) => (28, times),
            Damage::CodePage(Page::Latin1, times) => (29, times),
            Damage::AccentsRemoved => (30, 0),
            Damage::Replaced(_) => (31, 0),
            Damage::LeadingZeros => (32, 0),
            Damage::TimeAsText => (33, 0),
            Damage::NumberAsText => (34, 0),
            Damage::ZeroBytesTrimmed => (40, 0),
            Damage::TextCut(Limit::Characters(_)) | Damage::BytesCut(_) => (41, 0),
            Damage::TextCut(Limit::Units(_)) => (42, 0),
            Damage::TextCut(Limit::Bytes(_)) => (43, 0),
            Damage::UuidSwapped => (44, 0),
            Damage::Narrowed(bits) => (50, bits),
            Damage::ScaleCut(left, rounding) => (51 + mode(rounding), scale(left)),
            Damage::DigitsCut(left) => (54, 100 - left.min(100)),
        };
        (family, self.side, within, *self)
    }
}

#[cfg(test)]
mod tests;

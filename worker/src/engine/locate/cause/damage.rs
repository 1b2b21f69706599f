//! The damages that copying is known to do to values, and their order.

use shared::options::{Encoding, Normalization, Rounding, Trim};

/// A known damage, and which side holds the damaged value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Cause {
    pub damage: Damage,
    /// The side that has the damaged value.
    pub side: Damaged,
}

/// The side that has the damaged value: the target, if the damage is the same in
/// both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Damaged {
    /// The usual case.
    Target,
    Source,
}

/// A change that copying does to values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Damage {
    NullBecame(StandIn),
    BecameNull(StandIn),
    /// A time was cut or rounded.
    TimeCut(Level, Rounding),
    /// Rounded to `datetime`'s steps of 1/300 s.
    DatetimeSteps,
    /// Shifted by this many quarters of an hour; later, if positive.
    ZoneShifted(i8),
    /// The offset of a time was dropped and its clock time kept: this many quarters
    /// of an hour later, if positive.
    OffsetDropped(i8),
    /// A day later, if true, or earlier.
    DayShifted(bool),
    DayMonthSwapped,
    /// A value still in an encoding: a time as a number, or bytes as hexadecimal text.
    NotDecoded(Encoding),
    BlanksTrimmed(Trim),
    /// White space was removed, not only blanks.
    SpaceTrimmed(Trim),
    CaseFolded(Case),
    /// The texts differ in several of blanks, case and Unicode form.
    Folded(Folds),
    Normalized(Normalization),
    AccentsRemoved,
    /// `\r\n` became `\n`.
    LineEnds,
    NulDropped,
    /// UTF-8 was decoded in a code page, once or twice.
    CodePage(Page, u8),
    /// Characters outside a character set were replaced by this one.
    Replaced(char),
    /// Leading zeros of a number in text were dropped.
    LeadingZeros,
    /// The same boolean in another word.
    BooleanAsText,
    /// The same number, as text or in another notation.
    NumberAsText,
    /// The same time in another notation.
    TimeAsText(Notation),
    /// The same XML in another notation.
    XmlNotation,
    TextCut(Limit),
    /// Bytes were truncated to this number.
    BytesCut(usize),
    ZeroBytesTrimmed,
    /// The bytes of the first three groups of a UUID are reversed.
    UuidSwapped,
    /// Converted to a float of this many bits.
    Narrowed(u8),
    /// A decimal was cut or rounded to this many digits after the point.
    ScaleCut(u8, Rounding),
    /// A float was rounded to this many significant digits.
    DigitsCut(u8),
}

/// A value that stands in for NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum StandIn {
    /// Empty text, or no bytes.
    Empty,
    Blanks,
    /// The word NULL.
    Word,
    /// Zero, or false.
    Zero,
    /// Any of them, if the column is redacted.
    Hidden,
}

/// The precision to which a time was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Level {
    /// This many digits of a second.
    Digits(u8),
    /// Hours and minutes.
    Minutes,
    Day,
}

/// The notation of a time in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Notation {
    /// One that SQL Server's `CONVERT` writes.
    SqlServer,
    /// Any of those that are known.
    Other,
    /// One that cuts the time to its precision.
    Cut(Level),
}

/// What two texts differ in; they are equal without regard to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Folds {
    pub trim: Option<Trim>,
    pub case: bool,
    pub form: Option<Normalization>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Case {
    Lower,
    Upper,
    /// Both sides have upper and lower case.
    Mixed,
}

/// A code page in which UTF-8 was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Page {
    /// Windows-1252, with its five undefined bytes as control characters.
    Windows1252,
    /// ISO 8859-1.
    Latin1,
}

/// The length to which text was truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Limit {
    Characters(usize),
    /// In units of UTF-16, as in `nvarchar(n)`.
    Units(usize),
    /// In bytes of UTF-8.
    Bytes(usize),
}

impl Damage {
    /// Whether the damage is the same in both directions.
    pub(crate) fn is_symmetric(self) -> bool {
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
                | Self::TimeAsText(Notation::SqlServer | Notation::Other)
                | Self::XmlNotation
                | Self::Folded(_)
                | Self::UuidSwapped
        )
    }
}

impl Folds {
    /// What a cause of texts that a rule can ignore amounts to; `None` for other causes.
    pub(crate) fn of(damage: Damage) -> Option<Self> {
        let none = Self::default();
        Some(match damage {
            Damage::BlanksTrimmed(which) => Self {
                trim: Some(which),
                ..none
            },
            Damage::CaseFolded(_) => Self { case: true, ..none },
            Damage::Normalized(form) => Self {
                form: Some(form),
                ..none
            },
            Damage::Folded(folds) => folds,
            _ => return None,
        })
    }

    /// What ignores both.
    pub(crate) fn and(self, other: Self) -> Self {
        let trim = match (self.trim, other.trim) {
            (Some(a), Some(b)) if a != b => Some(Trim::Both),
            (a, b) => a.or(b),
        };
        // A compatibility form also ignores what the plain form ignores.
        let form = match (self.form, other.form) {
            (Some(a), Some(b)) if is_compatible(a) || !is_compatible(b) => Some(a),
            (a, b) => b.or(a),
        };
        Self {
            trim,
            case: self.case || other.case,
            form,
        }
    }
}

fn is_compatible(form: Normalization) -> bool {
    matches!(form, Normalization::Nfkc | Normalization::Nfkd)
}

impl Cause {
    /// The cause without details that reveal a value.
    pub(crate) fn redacted(self) -> Self {
        let damage = match self.damage {
            Damage::NullBecame(_) => Damage::NullBecame(StandIn::Hidden),
            Damage::BecameNull(_) => Damage::BecameNull(StandIn::Hidden),
            other => other,
        };
        Self { damage, ..self }
    }

    /// The order of causes, the most specific first. Within a family a damaged
    /// target comes before a damaged source, and usual precisions before others.
    pub(crate) fn rank(&self) -> (u8, Damaged, u8, Self) {
        // Types and encodings have milliseconds, microseconds or whole seconds.
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
        // PostgreSQL rounds a seventh digit half to even.
        let time_mode = |left: u8, rounding: Rounding| match (left, rounding) {
            (6, Rounding::HalfEven) => 1,
            (6, Rounding::HalfUp) => 2,
            (_, rounding) => mode(rounding),
        };
        let (family, within) = match self.damage {
            Damage::NullBecame(_) | Damage::BecameNull(_) => (0, 0),
            Damage::OffsetDropped(_) => (9, 0),
            Damage::TimeCut(Level::Digits(left), rounding) => {
                (10 + time_mode(left, rounding), digits(left))
            }
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
            Damage::XmlNotation => (24, 1),
            Damage::CaseFolded(Case::Lower | Case::Upper) => (25, 0),
            Damage::CaseFolded(Case::Mixed) => (27, 0),
            Damage::Folded(_) => (27, 1),
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
            Damage::TimeAsText(Notation::SqlServer) => (33, 0),
            Damage::TimeAsText(Notation::Other) => (33, 1),
            Damage::TimeAsText(Notation::Cut(_)) => (33, 2),
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

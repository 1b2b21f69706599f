//! How a column is read on one side.

use crate::engine::values::canonical::Tag;
use crate::engine::values::column::ColumnType;
use crate::engine::values::conversion::Conversion;
use crate::engine::values::kind::Kind;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub kind: Kind,
    /// The form in which this side sends values.
    pub stored: Stored,
    /// A conversion of the values, if the types or the rule need one.
    pub conversion: Option<Conversion>,
}

/// The form in which a database sends a column's values, as far as reading differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    Bool,
    Int,
    /// A decimal, also for money.
    Decimal,
    Float32,
    Float64,
    Text,
    /// Text whose trailing blanks are padding.
    PaddedText,
    Bytes,
    Date,
    /// A timestamp without zone that is converted.
    Timestamp,
    /// An instant that is converted.
    Instant,
    /// The form of the canonical kind, without a conversion.
    AsKind,
}

impl Reading {
    /// The reading of a column of type `column` in the form `kind`.
    pub(crate) fn new(kind: Kind, column: &ColumnType, conversion: Option<Conversion>) -> Self {
        let stored = match (column, &conversion) {
            (ColumnType::Text { padded: true }, _) => Stored::PaddedText,
            (_, Some(Conversion::DatabaseText(_))) => Stored::Text,
            (ColumnType::Text { padded: false } | ColumnType::Json | ColumnType::Xml, _) => {
                Stored::Text
            }
            (ColumnType::Bool, _) => Stored::Bool,
            (ColumnType::Int, _) => Stored::Int,
            (ColumnType::Decimal | ColumnType::Money, _) => Stored::Decimal,
            (ColumnType::Float32, _) => Stored::Float32,
            (ColumnType::Float64, _) => Stored::Float64,
            (ColumnType::Bytes, _) => Stored::Bytes,
            (ColumnType::Date, _) => Stored::Date,
            (ColumnType::Timestamp(_) | ColumnType::DateTime, Some(Conversion::LocalTime(_))) => {
                Stored::Timestamp
            }
            (ColumnType::Instant(_), Some(Conversion::LocalTime(_))) => Stored::Instant,
            _ => Stored::AsKind,
        };
        Self {
            kind,
            stored,
            conversion,
        }
    }

    /// The tag of a value that is encoded exactly as PostgreSQL sends it, with its length
    /// before it.
    pub(crate) fn tag_of_content(&self) -> Option<Tag> {
        match (self.kind, self.stored, &self.conversion) {
            (Kind::Text, Stored::Text, None) => Some(Tag::Text),
            (
                Kind::Text,
                Stored::Text,
                Some(Conversion::Text(folding) | Conversion::DatabaseText(folding)),
            ) if folding.is_none() => Some(Tag::Text),
            (Kind::Bytes, Stored::Bytes, None) => Some(Tag::Bytes),
            _ => None,
        }
    }

    /// The same reading, of text without its trailing blanks: the other side's
    /// column is filled with blanks to a fixed length.
    pub(crate) fn without_padding(self) -> Self {
        let stored = match self.stored {
            Stored::Text => Stored::PaddedText,
            other => other,
        };
        Self { stored, ..self }
    }
}

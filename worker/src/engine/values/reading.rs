//! How one column is read on one side.

use crate::engine::values::column::ColumnType;
use crate::engine::values::conversion::Conversion;
use crate::engine::values::kind::Kind;

/// How one column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The form that it is brought into.
    pub kind: Kind,
    /// What it is on this side.
    pub stored: Stored,
    /// What is done to its values beyond that; mostly nothing.
    pub conversion: Option<Conversion>,
}

/// What a column is on the side that is read, as far as reading it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// A truth value.
    Bool,
    /// An integer.
    Int,
    /// A decimal, or money read as one.
    Decimal,
    /// A float of 32 bits.
    Float32,
    /// A float of 64 bits.
    Float64,
    /// Text.
    Text,
    /// Text whose trailing blanks mean nothing.
    PaddedText,
    /// Bytes.
    Bytes,
    /// A date.
    Date,
    /// What its kind says, and no conversion takes.
    AsKind,
}

impl Reading {
    /// The reading of a column of type `column` in the form `kind`.
    #[must_use]
    pub(crate) fn new(kind: Kind, column: &ColumnType, conversion: Option<Conversion>) -> Self {
        let stored = match (column, conversion) {
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
            _ => Stored::AsKind,
        };
        Self {
            kind,
            stored,
            conversion,
        }
    }
}

//! Reads rows out of a database and pushes their canonical values into a
//! [`RowSink`](crate::engine::values::canonical::RowSink).

use std::sync::Arc;

use shared::options::EngineLimits;

use crate::engine::error::{DatabaseError, TooLarge};
use crate::engine::values::canonical::{Decimal, DigitBuffer, LongValue, RowEncoder, Values};
use crate::engine::values::kind::Kind;
use crate::engine::values::reading::{Reading, Stored};
use crate::engine::values::value::{Value, try_decode};

/// How often progress is reported, in rows.
const PROGRESS_EVERY: u64 = 4096;

/// What was read since it was last reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    pub rows: u64,
    /// Their bytes in canonical encoding.
    pub bytes: u64,
}

pub(crate) struct ProgressReporter<'a> {
    progress: &'a (dyn Fn(Scanned) + Sync),
    reported: Scanned,
}

impl<'a> ProgressReporter<'a> {
    pub(crate) fn new(progress: &'a (dyn Fn(Scanned) + Sync)) -> Self {
        let reported = Scanned::default();
        Self { progress, reported }
    }

    #[inline]
    pub(crate) fn is_due(&self, rows: u64) -> bool {
        rows - self.reported.rows >= PROGRESS_EVERY
    }

    pub(crate) fn report(&mut self, rows: u64, bytes: u64) {
        (self.progress)(Scanned {
            rows: rows - self.reported.rows,
            bytes: bytes - self.reported.bytes,
        });
        self.reported = Scanned { rows, bytes };
    }
}

/// The columns of a statement whose text the driver decodes, and stops at an
/// unpaired surrogate.
#[derive(Debug)]
pub(crate) struct Undecoded {
    /// Their names, in the order of the statement, and whether the database converts
    /// them to text.
    pub columns: Vec<(String, bool)>,
    /// Reads them as UTF-16.
    pub statement: String,
}

/// A statement that gives rows, and how to read them.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub statement: String,
    /// Values of `@P1`, `@P2`, … (SQL Server only).
    pub parameters: Vec<String>,
    /// The columns, in the order of the statement.
    pub readings: Vec<Reading>,
    /// How many of them, from the first, are the key.
    pub key_columns: usize,
    /// How the column is found whose text the driver cannot decode.
    pub undecoded: Option<Arc<Undecoded>>,
    /// The first column, where it is a key that is relied on to be never NULL.
    pub never_null: Option<String>,
    /// Whether one more item follows the columns; see
    /// [`SelectList`](crate::engine::database::dialect::SelectList).
    pub marks_large: bool,
    /// The names of the columns.
    pub names: Arc<[String]>,
    pub limits: ValueLimits,
}

/// What is kept in memory of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ValueLimits {
    /// The most bytes of a value that is kept whole.
    pub value: usize,
    /// The most bytes of all values of a row that are kept.
    pub row: usize,
}

impl ValueLimits {
    /// No limits, for statements that look for something in values and keep none.
    pub(crate) const NONE: Self = Self {
        value: usize::MAX,
        row: usize::MAX,
    };

    pub(crate) fn new(limits: &EngineLimits) -> Self {
        let bytes = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        // A coordinator requests no less; every number and time has less.
        let smallest = EngineLimits::SMALLEST_VALUE_BYTES;
        let value = bytes(limits.value_bytes.max(smallest));
        Self {
            value,
            row: value
                .max(bytes(limits.memory_bytes) / 2)
                .saturating_add(bytes(smallest)),
        }
    }
}

impl Query {
    /// Ends the key of a row that comes after `rows` others. Keys are kept whole.
    #[inline]
    pub(crate) fn end_key(&self, encoder: &mut RowEncoder, rows: u64) -> Result<(), DatabaseError> {
        if encoder.has_long() {
            let is_long = |value: &[u8]| LongValue::is_at(value);
            let position = Values::new(encoder.row()).flatten().position(is_long);
            return Err(self.too_large(position.unwrap_or_default(), None, encoder, rows));
        }
        encoder.end_key();
        Ok(())
    }

    /// The value at `position` is larger than can be read. The columns before it are in
    /// `encoder`, and `rows` rows have been read before.
    pub(crate) fn too_large(
        &self,
        position: usize,
        size: Option<u64>,
        encoder: &RowEncoder,
        rows: u64,
    ) -> DatabaseError {
        DatabaseError::ValueTooLarge(Box::new(TooLarge {
            column: self.names.get(position).cloned(),
            size,
            limit: self.limits.value,
            row: rows + 1,
            key: self.key_of(encoder),
        }))
    }

    /// The values of a row are together larger than can be kept.
    pub(crate) fn row_too_large(&self, encoder: &RowEncoder, rows: u64) -> DatabaseError {
        DatabaseError::ValueTooLarge(Box::new(TooLarge {
            column: None,
            size: None,
            limit: self.limits.row,
            row: rows + 1,
            key: self.key_of(encoder),
        }))
    }

    /// The key of the row in `encoder`, if it has one and it was read.
    fn key_of(&self, encoder: &RowEncoder) -> Option<String> {
        let value = |(name, value): (&String, &[u8])| match try_decode(value)? {
            Value::Long(_) => None,
            other => Some(format!("{name} = {}", start_of(&other.into_text()))),
        };
        let values = Values::new(encoder.key()).flatten();
        let columns: Option<Vec<String>> = self.names.iter().zip(values).map(value).collect();
        columns.filter(|it| !it.is_empty()).map(|it| it.join(", "))
    }

    /// A NULL has come in the column at `position`, from 0.
    ///
    /// # Errors
    ///
    /// When there can be none: what a database declares is not always so, of
    /// foreign tables and of views.
    pub(crate) fn null(&self, position: usize) -> Result<(), DatabaseError> {
        match &self.never_null {
            Some(column) if position == 0 => Err(DatabaseError::NullKey {
                column: column.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// The start of a key's value, as a message quotes it.
fn start_of(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The number of rows that a count returned.
pub(crate) fn row_count(count: Option<i64>) -> Result<u64, DatabaseError> {
    count
        .and_then(|count| u64::try_from(count).ok())
        .ok_or_else(|| DatabaseError::Malformed("a count without a number of rows".to_owned()))
}

/// Appends the decimal `number` / 10^`scale`.
#[inline]
pub(crate) fn push_scaled(encoder: &mut RowEncoder, number: i128, scale: u8) {
    encoder.decimal(&Decimal::from_scaled(
        number,
        scale,
        &mut DigitBuffer::default(),
    ));
}

/// Text that stands for a UUID becomes one; other text stays text, so that it
/// equals no UUID.
pub(crate) fn push_uuid_text(encoder: &mut RowEncoder, text: &[u8]) {
    match uuid::Uuid::try_parse_ascii(text) {
        Ok(uuid) => encoder.uuid(uuid.as_bytes()),
        Err(_) => encoder.text(text),
    }
}

/// A value of a type that its column does not announce.
pub(crate) fn unexpected(column: usize, what: &str, kind: Kind) -> DatabaseError {
    DatabaseError::Value {
        column: column + 1,
        reason: format!("{what} where {kind:?} was expected"),
    }
}

/// Without the blanks at the end, where they mean nothing.
#[inline]
pub(crate) fn trim(text: &[u8], stored: Stored) -> &[u8] {
    if stored == Stored::PaddedText {
        let end = text
            .iter()
            .rposition(|byte| *byte != b' ')
            .map_or(0, |at| at + 1);
        &text[..end]
    } else {
        text
    }
}

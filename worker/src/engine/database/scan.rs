//! Reads rows out of a database and pushes their canonical values into a
//! [`RowSink`](crate::engine::values::canonical::RowSink).

use std::sync::Arc;

use crate::engine::error::DatabaseError;
use crate::engine::values::canonical::{Decimal, DigitBuffer, RowEncoder};
use crate::engine::values::kind::Kind;
use crate::engine::values::reading::{Reading, Stored};

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
}

impl Query {
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

//! Reads rows out of a database and pushes their canonical values into a
//! [`RowSink`](super::canonical::RowSink).

mod equals;
pub mod postgres;
pub mod sql_server;
pub mod statement;

use super::canonical::RowSink;
use super::column::ColumnType;
use super::conversion::Conversion;
use super::error::DatabaseError;
use super::kind::Kind;
use super::session::Session;

/// How often progress is told, in rows.
const PROGRESS_EVERY: u64 = 4096;

/// What was read since it was last told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Rows.
    pub rows: u64,
    /// Their bytes in canonical encoding.
    pub bytes: u64,
}

/// Tells progress now and then, and not with every row.
struct Teller<'a, P> {
    progress: &'a P,
    told: Scanned,
}

impl<'a, P: Fn(Scanned)> Teller<'a, P> {
    /// `bytes` were written to the encoder before.
    fn new(progress: &'a P, bytes: u64) -> Self {
        let told = Scanned { rows: 0, bytes };
        Self { progress, told }
    }

    /// Whether it is time to tell, after `rows` in all.
    #[inline]
    fn is_due(&self, rows: u64) -> bool {
        rows - self.told.rows >= PROGRESS_EVERY
    }

    /// Tells of everything up to these totals.
    fn tell(&mut self, rows: u64, bytes: u64) {
        (self.progress)(Scanned {
            rows: rows - self.told.rows,
            bytes: bytes - self.told.bytes,
        });
        self.told = Scanned { rows, bytes };
    }
}

/// How one column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The form that it is brought into.
    pub kind: Kind,
    /// What it is on this side.
    pub stored: Stored,
    /// What is done to its values beyond that; mostly nothing.
    pub conversion: Option<Conversion>,
}

/// What a column is on the side that is read, as far as reading it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
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
    pub fn new(kind: Kind, column: &ColumnType, conversion: Option<Conversion>) -> Self {
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

/// A statement that gives rows, and how to read them.
#[derive(Debug, Clone)]
pub struct Query {
    /// The `SELECT`.
    pub statement: String,
    /// Values of `@P1`, `@P2`, … (SQL Server only).
    pub parameters: Vec<String>,
    /// The columns, in the order of the statement.
    pub readings: Vec<Reading>,
    /// How many of them, from the first, are the key.
    pub key_columns: usize,
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
    fn null(&self, position: usize) -> Result<(), DatabaseError> {
        match &self.never_null {
            Some(column) if position == 0 => Err(DatabaseError::NullKey {
                column: column.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// Reads all rows of `query` into `sink`; `progress` is told now and then what more was read.
/// Returns how many rows there were.
///
/// # Errors
///
/// When the database reports an error, the connection is lost, a row is not as
/// the protocol says, or the sink cannot take a row.
pub async fn scan(
    session: &mut Session,
    query: &Query,
    sink: &mut (impl RowSink + ?Sized),
    progress: &(impl Fn(Scanned) + Sync),
) -> Result<u64, DatabaseError> {
    match session {
        Session::Postgres(session) => postgres::scan(session, query, sink, progress).await,
        Session::SqlServer(session) => sql_server::scan(session, query, sink, progress).await,
    }
}

/// Text that stands for a UUID becomes one; other text stays text, so that it
/// equals no UUID.
fn push_uuid_text(encoder: &mut super::canonical::RowEncoder, text: &[u8]) {
    match uuid::Uuid::try_parse_ascii(text) {
        Ok(uuid) => encoder.uuid(uuid.as_bytes()),
        Err(_) => encoder.text(text),
    }
}

/// A value of a type that its column does not announce.
fn unexpected(column: usize, what: &str, kind: Kind) -> DatabaseError {
    DatabaseError::Value {
        column: column + 1,
        reason: format!("{what} where {kind:?} was expected"),
    }
}

/// Without the blanks at the end, where they mean nothing.
#[inline]
fn trim(text: &[u8], stored: Stored) -> &[u8] {
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

//! Reads rows out of a database and pushes their canonical values into a
//! [`RowSink`](crate::engine::values::canonical::RowSink).

pub(crate) mod equals;
pub(crate) mod postgres;
pub(crate) mod sql_server;
pub(crate) mod statement;

use crate::engine::database::session::Session;
use crate::engine::error::DatabaseError;
use crate::engine::values::canonical::RowSink;
use crate::engine::values::kind::Kind;
use crate::engine::values::reading::{Reading, Stored};

/// How often progress is told, in rows.
const PROGRESS_EVERY: u64 = 4096;

/// What was read since it was last told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
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

/// A statement that gives rows, and how to read them.
#[derive(Debug, Clone)]
pub(crate) struct Query {
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
pub(crate) async fn scan(
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
fn push_uuid_text(encoder: &mut crate::engine::values::canonical::RowEncoder, text: &[u8]) {
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

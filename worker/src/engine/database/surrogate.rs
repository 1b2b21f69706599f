//! Names the column whose text a driver cannot decode: it has an unpaired surrogate,
//! and the driver's error does not say where.

use std::io;

use crate::engine::database::scan::{Query, Undecoded, ValueLimits};
use crate::engine::database::session::Session;
use crate::engine::error::DatabaseError;
use crate::engine::values::canonical::{RowEncoder, RowSink, Values};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::folding::Folding;
use crate::engine::values::kind::Kind;
use crate::engine::values::reading::{Reading, Stored};
use crate::engine::values::value::{Value, try_decode};

/// The first of the columns that holds an unpaired surrogate, read anew over
/// `session`; `None` if there is none any more.
pub(crate) async fn find_column(
    session: &mut dyn Session,
    undecoded: &Undecoded,
) -> Option<(String, bool)> {
    let reading = Reading {
        kind: Kind::Text,
        stored: Stored::Text,
        conversion: Some(Conversion::DatabaseText(Folding::default())),
    };
    let query = Query {
        statement: undecoded.statement.clone(),
        parameters: Vec::new(),
        readings: vec![reading; undecoded.columns.len()],
        key_columns: 0,
        undecoded: None,
        never_null: None,
        marks_large: false,
        names: Vec::new().into(),
        limits: ValueLimits::NONE,
    };
    let mut sink = SurrogateSink::default();
    if let Err(error) = session.scan(&query, &mut sink, &|_| {}).await
        && sink.found.is_none()
    {
        tracing::debug!(%error, "the column with an unpaired surrogate was not found");
    }
    undecoded.columns.get(sink.found?).cloned()
}

/// Ends the scan at the first unpaired surrogate.
#[derive(Debug, Default)]
struct SurrogateSink {
    /// The column that holds it, from 0.
    found: Option<usize>,
}

impl RowSink for SurrogateSink {
    fn end_row(&mut self, row: &RowEncoder) -> io::Result<()> {
        let is_unpaired =
            |value: &[u8]| matches!(try_decode(value), Some(Value::UnpairedSurrogates(_)));
        self.found = Values::new(row.row()).flatten().position(is_unpaired);
        match self.found {
            Some(_) => Err(io::Error::other(DatabaseError::NotUnicode)),
            None => Ok(()),
        }
    }
}

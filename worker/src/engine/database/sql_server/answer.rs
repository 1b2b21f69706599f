//! What an answer of the server must be: as many results and rows as were asked for, with values
//! of the expected types. Anything else is an error.

use tiberius::{FromSql, QueryStream, Row};

use crate::engine::error::DatabaseError;

/// The rows of each of the `N` results that the statements have.
pub(crate) async fn results<const N: usize>(
    answer: QueryStream<'_>,
) -> Result<[Vec<Row>; N], DatabaseError> {
    let results = answer.into_results().await?;
    let count = results.len();
    results
        .try_into()
        .map_err(|_| malformed(&format!("{count} results where {N} were asked for")))
}

/// The row of a result that has exactly one.
pub(crate) fn only_row(rows: &[Row]) -> Result<&Row, DatabaseError> {
    match rows {
        [row] => Ok(row),
        _ => Err(malformed(&format!(
            "{} rows where one was asked for",
            rows.len()
        ))),
    }
}

/// The row of a result that has at most one.
pub(crate) fn optional_row(rows: &[Row]) -> Result<Option<&Row>, DatabaseError> {
    match rows {
        [] => Ok(None),
        rows => only_row(rows).map(Some),
    }
}

/// A value that may be NULL.
pub(crate) fn optional<'a, T: FromSql<'a>>(
    row: &'a Row,
    at: usize,
) -> Result<Option<T>, DatabaseError> {
    Ok(row.try_get(at)?)
}

/// A value that is not NULL.
pub(crate) fn required<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, DatabaseError> {
    optional(row, at)?
        .ok_or_else(|| malformed(&format!("NULL in column {} of the catalog", at + 1)))
}

/// A text that is not NULL.
pub(crate) fn text(row: &Row, at: usize) -> Result<String, DatabaseError> {
    Ok(required::<&str>(row, at)?.to_owned())
}

pub(crate) fn malformed(what: &str) -> DatabaseError {
    DatabaseError::Malformed(what.to_owned())
}

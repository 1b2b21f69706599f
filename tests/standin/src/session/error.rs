//! Why a request is not carried out completely.

use std::io;

use crate::error::SqlError;

/// Why a request ended early.
pub(super) enum RequestError {
    /// The client receives the error, and the session continues.
    Sql(SqlError),
    /// An attention was received, or the client disconnected.
    Interrupted,
    /// The connection to the client failed.
    Io(io::Error),
}

impl From<SqlError> for RequestError {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl From<tokio_postgres::Error> for RequestError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error.into())
    }
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

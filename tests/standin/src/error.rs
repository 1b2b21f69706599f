//! Errors as a SQL Server client sees them: a number, a severity and a text.

use thiserror::Error;
use tokio_postgres::error::{DbError, SqlState};

/// An error that ends the batch it happened in, sent to the client as an ERROR token.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("error {number}: {message}")]
pub(crate) struct SqlError {
    /// SQL Server's number of the error.
    pub(crate) number: i32,
    /// SQL Server's severity: 11 to 16 are errors of the user, 17 and more of the server.
    pub(crate) severity: u8,
    /// The text that the client receives.
    pub(crate) message: String,
}

impl SqlError {
    /// An error of `number` with severity 16.
    pub(crate) fn new(number: i32, message: impl Into<String>) -> Self {
        Self {
            number,
            severity: 16,
            message: message.into(),
        }
    }

    /// The same error with another severity.
    pub(crate) fn with_severity(mut self, severity: u8) -> Self {
        self.severity = severity;
        self
    }

    /// Error 102: a statement or clause that the stand-in does not support.
    pub(crate) fn unsupported(what: impl std::fmt::Display) -> Self {
        Self::new(102, format!("Incorrect syntax near '{what}'.")).with_severity(15)
    }

    /// Error 208: no such table or view.
    pub(crate) fn no_object(name: impl std::fmt::Display) -> Self {
        Self::new(208, format!("Invalid object name '{name}'."))
    }

    /// Error 207: no such column.
    pub(crate) fn no_column(name: impl std::fmt::Display) -> Self {
        Self::new(207, format!("Invalid column name '{name}'."))
    }

    /// Error 2628: a value longer than its column.
    pub(crate) fn truncated(column: impl std::fmt::Display) -> Self {
        Self::new(
            2628,
            format!("String or binary data would be truncated in column '{column}'."),
        )
    }

    /// Error 3961: a table was changed after the snapshot of the transaction.
    pub(crate) fn snapshot_too_old(database: &str) -> Self {
        Self::new(
            3961,
            format!(
                "Snapshot isolation transaction failed in database '{database}' because the object accessed by the statement has been modified by a DDL statement in another concurrent transaction since the start of this transaction."
            ),
        )
    }

    /// Error 241: text that is no date or time.
    pub(crate) fn invalid_moment() -> Self {
        Self::new(
            241,
            "Conversion failed when converting date and/or time from character string.",
        )
    }
}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(database_error) = error.as_db_error() {
            return Self::from_database(database_error);
        }
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self::new(
            10054,
            format!("The connection to PostgreSQL failed: {text}"),
        )
        .with_severity(20)
    }
}

impl SqlError {
    /// The error of SQL Server that is nearest to an error of PostgreSQL.
    fn from_database(error: &DbError) -> Self {
        let text = error.message();
        let object = error.table().unwrap_or("?");
        match *error.code() {
            SqlState::UNDEFINED_TABLE => Self::new(208, format!("Invalid object name: {text}.")),
            SqlState::UNDEFINED_COLUMN => Self::new(207, format!("Invalid column name: {text}.")),
            SqlState::UNIQUE_VIOLATION => Self::new(
                2627,
                format!(
                    "Violation of UNIQUE KEY constraint '{}'. Cannot insert duplicate key in object '{object}'. {}",
                    error.constraint().unwrap_or("?"),
                    error.detail().unwrap_or_default()
                ),
            )
            .with_severity(14),
            SqlState::NOT_NULL_VIOLATION => Self::new(
                515,
                format!(
                    "Cannot insert the value NULL into column '{}', table '{object}'; column does not allow nulls.",
                    error.column().unwrap_or("?")
                ),
            ),
            SqlState::INSUFFICIENT_PRIVILEGE => {
                Self::new(229, format!("The SELECT permission was denied: {text}."))
                    .with_severity(14)
            }
            SqlState::T_R_DEADLOCK_DETECTED | SqlState::T_R_SERIALIZATION_FAILURE => Self::new(
                1205,
                "Transaction was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction.",
            )
            .with_severity(13),
            SqlState::LOCK_NOT_AVAILABLE => {
                Self::new(1222, "Lock request time out period exceeded.")
            }
            SqlState::DIVISION_BY_ZERO => Self::new(8134, "Divide by zero error encountered."),
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE | SqlState::CHECK_VIOLATION => Self::new(
                8115,
                format!("Arithmetic overflow error converting expression: {text}."),
            ),
            SqlState::INVALID_TEXT_REPRESENTATION
            | SqlState::DATATYPE_MISMATCH
            | SqlState::CANNOT_COERCE => Self::new(245, format!("Conversion failed: {text}.")),
            SqlState::INVALID_DATETIME_FORMAT | SqlState::DATETIME_FIELD_OVERFLOW => {
                Self::invalid_moment()
            }
            SqlState::STRING_DATA_RIGHT_TRUNCATION => Self::truncated(object),
            SqlState::DUPLICATE_TABLE => Self::new(
                2714,
                format!("There is already an object in the database: {text}."),
            ),
            SqlState::QUERY_CANCELED => {
                Self::new(-2, "The statement was cancelled.").with_severity(11)
            }
            SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => Self::new(
                596,
                "Cannot continue the execution because the session is in the kill state.",
            )
            .with_severity(21),
            SqlState::SYNTAX_ERROR => Self::unsupported(text),
            _ => Self::new(50000, format!("{text} (PostgreSQL {})", error.code().code())),
        }
    }
}

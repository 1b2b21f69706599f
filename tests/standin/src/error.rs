//! Errors as a SQL Server client sees them: a number, a severity and a text.

use thiserror::Error;
use tokio_postgres::error::SqlState;

/// An error that ends the batch it happened in, sent to the client as an ERROR token.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("error {number}: {message}")]
pub struct SqlError {
    /// SQL Server's number for it.
    pub number: i32,
    /// SQL Server's severity: 11 to 16 is the user's fault, 17 and more the server's.
    pub severity: u8,
    /// What the client reads.
    pub message: String,
}

impl SqlError {
    /// An error of `number` with severity 16.
    pub fn new(number: i32, message: impl Into<String>) -> Self {
        Self {
            number,
            severity: 16,
            message: message.into(),
        }
    }

    /// The same error with another severity.
    #[must_use]
    pub fn with_severity(mut self, severity: u8) -> Self {
        self.severity = severity;
        self
    }

    /// Error 102: a statement or clause that the stand-in does not understand.
    pub fn unsupported(what: impl std::fmt::Display) -> Self {
        Self::new(102, format!("Incorrect syntax near '{what}'.")).with_severity(15)
    }

    /// Error 208: no such table or view.
    pub fn no_object(name: impl std::fmt::Display) -> Self {
        Self::new(208, format!("Invalid object name '{name}'."))
    }

    /// Error 207: no such column.
    pub fn no_column(name: impl std::fmt::Display) -> Self {
        Self::new(207, format!("Invalid column name '{name}'."))
    }

    /// Error 2628: a value longer than its column.
    pub fn truncated(column: impl std::fmt::Display) -> Self {
        Self::new(
            2628,
            format!("String or binary data would be truncated in column '{column}'."),
        )
    }
}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            return Self::new(
                10054,
                format!("The PostgreSQL underneath went away: {text}"),
            )
            .with_severity(20);
        };
        let text = db.message();
        let object = db.table().unwrap_or("?");
        match *db.code() {
            SqlState::UNDEFINED_TABLE => Self::new(208, format!("Invalid object name: {text}.")),
            SqlState::UNDEFINED_COLUMN => Self::new(207, format!("Invalid column name: {text}.")),
            SqlState::UNIQUE_VIOLATION => Self::new(
                2627,
                format!(
                    "Violation of UNIQUE KEY constraint '{}'. Cannot insert duplicate key in object '{object}'. {}",
                    db.constraint().unwrap_or("?"),
                    db.detail().unwrap_or_default()
                ),
            )
            .with_severity(14),
            SqlState::NOT_NULL_VIOLATION => Self::new(
                515,
                format!(
                    "Cannot insert the value NULL into column '{}', table '{object}'; column does not allow nulls.",
                    db.column().unwrap_or("?")
                ),
            ),
            SqlState::INSUFFICIENT_PRIVILEGE => Self::new(
                229,
                format!("The SELECT permission was denied: {text}."),
            )
            .with_severity(14),
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
            | SqlState::CANNOT_COERCE => {
                Self::new(245, format!("Conversion failed: {text}."))
            }
            SqlState::INVALID_DATETIME_FORMAT | SqlState::DATETIME_FIELD_OVERFLOW => Self::new(
                241,
                "Conversion failed when converting date and/or time from character string.",
            ),
            SqlState::STRING_DATA_RIGHT_TRUNCATION => Self::truncated(object),
            SqlState::DUPLICATE_TABLE => Self::new(
                2714,
                format!("There is already an object in the database: {text}."),
            ),
            SqlState::QUERY_CANCELED => Self::new(
                -2,
                "The statement was cancelled.",
            )
            .with_severity(11),
            SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => Self::new(
                596,
                "Cannot continue the execution because the session is in the kill state.",
            )
            .with_severity(21),
            SqlState::SYNTAX_ERROR => Self::unsupported(text).with_severity(15),
            _ => Self::new(50000, format!("{text} (PostgreSQL {})", db.code().code())),
        }
    }
}

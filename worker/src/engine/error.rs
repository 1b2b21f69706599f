//! From what a driver reports to what a user needs: which endpoint and table,
//! what happened, whether another attempt may help, and what to do.

use std::io;

use shared::endpoint::Endpoint;
use shared::failure::{Failure, FailureKind};

use crate::engine::disk::SpillLimitReached;
use crate::engine::task::Stop;
use crate::engine::values::canonical::MalformedRow;

/// What a database or its driver reported, classified by the code that knows it.
#[derive(Debug)]
pub(crate) struct DriverError {
    pub kind: FailureKind,
    /// What the user can do about it; empty if the message says enough.
    pub advice: &'static str,
    pub message: String,
    /// The same without text of the database, which may quote values of rows.
    pub redacted: String,
    /// Whether the database has confirmed that it did not carry the statement out.
    pub is_refusal: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("{}", .0.message)]
    Driver(Box<DriverError>),
    #[error("{0}")]
    Network(io::Error),
    #[error("no connection within {} s", .0.as_secs())]
    ConnectTimeout(std::time::Duration),
    #[error("the statement did not end within {} s and was stopped", .0.as_secs_f64())]
    StatementTimeout(std::time::Duration),
    #[error("{0}")]
    Certificates(String),
    #[error("the server's rows are malformed: {0}")]
    Malformed(String),
    #[error("column {column}: {reason}")]
    Value {
        /// The column's position among those read, from 1.
        column: usize,
        reason: String,
    },
    /// The driver cannot decode a text. It does not say of which column.
    #[error("a text value has an unpaired surrogate, which is not valid Unicode")]
    NotUnicode,
    #[error("column `{column}` has a text with an unpaired surrogate, which is not valid Unicode")]
    UnpairedSurrogate {
        column: String,
        /// Whether the database converts the column to text.
        as_text: bool,
    },
    #[error("column `{column}` is the key and declared NOT NULL, and holds a NULL")]
    NullKey { column: String },
    #[error("cannot keep rows in a temporary file in {}: {}", std::env::temp_dir().display(), .0)]
    Disk(io::Error),
}

/// Advice for errors that every kind of database can report.
pub(crate) mod advice {
    pub(crate) const CONNECTION: &str =
        "check that the server runs and that host, port and firewall are right";
    pub(crate) const TLS: &str = "check the server's certificate; name its authority, or the certificate itself if it is self-signed, with ca_file=FILE, or set trust_server_certificate=true on a network that you trust";
    pub(crate) const AUTHENTICATION: &str = "check user and password of the endpoint";
    pub(crate) const DATABASE: &str = "check the endpoint's database";
    pub(crate) const TABLE: &str = "check schema and table";
    pub(crate) const TABLE_CHANGED: &str = "compare the table when its definition does not change";
    pub(crate) const PERMISSION: &str = "grant SELECT on it to the endpoint's user";
    pub(crate) const NOT_UNICODE: &str = "an nvarchar column with unpaired surrogates is read with rules.COLUMN.as_text = true, and one that is not needed can be left out with columns.exclude";
    pub(crate) const STATEMENT_TIMEOUT: &str =
        "raise statement_timeout of the endpoint or the table's timeout";
    pub(crate) const LOCK_TIMEOUT: &str =
        "another session holds a lock on the table: find it, or run again when it has finished";
}

impl DatabaseError {
    /// What a driver reported. Where the message may quote values, `code` is what may be said of it.
    pub(crate) fn driver(
        (kind, advice): (FailureKind, &'static str),
        message: String,
        code: Option<String>,
        is_refusal: bool,
    ) -> Self {
        let redacted = code.map_or_else(
            || message.clone(),
            |code| format!("{code}; the text is redacted, as it may quote values"),
        );
        Self::Driver(Box::new(DriverError {
            kind,
            advice,
            message,
            redacted,
            is_refusal,
        }))
    }

    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Driver(error) if error.is_refusal)
    }

    fn class(&self) -> (FailureKind, &'static str) {
        match self {
            Self::Driver(error) => (error.kind.clone(), error.advice),
            Self::Network(_) | Self::ConnectTimeout(_) => {
                (FailureKind::ConnectionError, advice::CONNECTION)
            }
            Self::StatementTimeout(_) => (FailureKind::StatementTimeout, advice::STATEMENT_TIMEOUT),
            Self::Certificates(_) => (FailureKind::TlsError, advice::TLS),
            Self::Malformed(_) => (FailureKind::ProtocolError, ""),
            Self::Value { .. } => (FailureKind::ValueError, ""),
            Self::NotUnicode | Self::UnpairedSurrogate { as_text: false, .. } => {
                (FailureKind::ValueError, advice::NOT_UNICODE)
            }
            Self::UnpairedSurrogate { as_text: true, .. } => (
                FailureKind::ValueError,
                "correct the value, or leave the column out with columns.exclude",
            ),
            Self::NullKey { .. } => (
                FailureKind::ValueError,
                "correct the rows or the declaration, or name another key with --pk-columns or key = [..]",
            ),
            Self::Disk(error)
                if error
                    .get_ref()
                    .is_some_and(|error| error.is::<SpillLimitReached>()) =>
            {
                (
                    FailureKind::SpillLimit,
                    "raise --spill-limit; fewer bytes are needed with a narrower filter",
                )
            }
            Self::Disk(_) => (
                FailureKind::DiskError,
                "free space there, or set TMPDIR to a directory that has more",
            ),
        }
    }

    /// The failure of a table, with the endpoint and the chain of causes.
    pub(crate) fn at(&self, endpoint: &Endpoint, what: &str) -> Failure {
        self.failure(endpoint, what, &self.to_string())
    }

    /// The same without text of the database, which may quote values of rows.
    pub(crate) fn redacted_at(&self, endpoint: &Endpoint, what: &str) -> Failure {
        let message = match self {
            Self::Driver(error) => error.redacted.clone(),
            // Errors of the network, of the protocol and of this program quote no value.
            _ => self.to_string(),
        };
        self.failure(endpoint, what, &message)
    }

    fn failure(&self, endpoint: &Endpoint, what: &str, message: &str) -> Failure {
        let (kind, advice) = self.class();
        let advice = if advice.is_empty() {
            String::new()
        } else {
            format!(" ({advice})")
        };
        Failure::new(
            kind,
            format!(
                "{what}: endpoint `{}`, {}: {message}{advice}",
                endpoint.name,
                endpoint.location(),
            ),
        )
    }

    /// The failure of a table for an error that no database caused.
    pub(crate) fn on_disk(&self) -> Failure {
        let (kind, advice) = self.class();
        Failure::new(kind, format!("{self} ({advice})"))
    }
}

/// What a disk error becomes that no statement is to blame for.
pub(crate) fn disk(error: io::Error) -> Stop {
    Stop::Failed(DatabaseError::Disk(error).on_disk())
}

pub(crate) fn malformed(error: MalformedRow) -> Stop {
    Failure::new(FailureKind::InternalError, error.to_string()).into()
}

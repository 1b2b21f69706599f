//! From what a driver reports to what a user needs: which endpoint and table,
//! what happened, whether another attempt may help, and what to do.

use std::io;

use shared::endpoint::{Endpoint, SecretCommandError};
use shared::failure::{Failure, FailureKind, FailureOrigin};

use crate::engine::disk::SpillLimitReached;
use crate::engine::task::Stop;
use crate::engine::temporary::InMemory;
use crate::engine::values::canonical::MalformedRow;

/// What a database or its driver reported, classified by the code that knows it.
#[derive(Debug, Clone)]
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
    #[error("no answer within {} s", .0.as_secs_f64())]
    Unanswered(std::time::Duration),
    #[error("the statement did not end within {} s and was stopped", .0.as_secs_f64())]
    StatementTimeout(std::time::Duration),
    #[error("{0}")]
    Certificates(String),
    #[error("{0}")]
    ClientCertificate(String),
    /// The command has printed no password or token, so that no login was tried.
    #[error("{key}: {reason}")]
    NoSecret {
        /// The configuration key of the command.
        key: &'static str,
        reason: SecretCommandError,
    },
    #[error("the server is a standby, which cannot be written to and may lag behind")]
    Standby,
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
    #[error("{0}")]
    ValueTooLarge(Box<TooLarge>),
    #[error("cannot keep rows in a temporary file: {0}")]
    Disk(io::Error),
}

/// A value that is larger than can be read, or a row whose values are.
#[derive(Debug)]
pub(crate) struct TooLarge {
    /// `None`: all values of the row together.
    pub column: Option<String>,
    /// Bytes of the value as the database sends it, if they are known.
    pub size: Option<u64>,
    /// The limit in bytes.
    pub limit: usize,
    /// The row's number among those that were read, from 1.
    pub row: u64,
    /// Its key, if it was read before the value.
    pub key: Option<String>,
}

impl TooLarge {
    /// What is too large, and where, without values of rows.
    fn without_key(&self) -> String {
        let limit = self.limit;
        let size = match self.size {
            Some(size) => format!("{size} bytes, and the limit is {limit}"),
            None => format!("more than {limit} bytes, which is the limit"),
        };
        match &self.column {
            Some(column) => format!(
                "column `{column}` has a value of {size}, in row {}",
                self.row
            ),
            None => format!("the values of row {} have {size}", self.row),
        }
    }
}

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.without_key())?;
        match &self.key {
            Some(key) => write!(f, " ({key})"),
            None => Ok(()),
        }
    }
}

/// Advice for errors that every kind of database can report.
pub(crate) mod advice {
    pub(crate) const CONNECTION: &str =
        "check that the server runs and that host, port and firewall are right";
    pub(crate) const TLS: &str = "check the server's certificate; name its authority, or the certificate itself if it is self-signed, with ca_file=FILE, or set trust_server_certificate=true on a network that you trust";
    pub(crate) const AUTHENTICATION: &str = "check user and password of the endpoint; so that the account is not locked, this process tries the login again only after an hour: restart it when they are right";
    pub(crate) const CLIENT_CERTIFICATE: &str = "name PEM files that this process can read with ssl_cert and ssl_key; decrypt an encrypted key";
    pub(crate) const SECRET_COMMAND: &str =
        "run the command as the user of this process, and correct it";
    pub(crate) const DATABASE: &str = "check the endpoint's database";
    pub(crate) const TABLE: &str = "check schema and table";
    pub(crate) const TABLE_CHANGED: &str = "compare the table when its definition does not change";
    pub(crate) const PERMISSION: &str = "grant SELECT on it to the endpoint's user";
    pub(crate) const PERMISSION_INSERT: &str =
        "grant SELECT and INSERT on it to the endpoint's user";
    pub(crate) const PERMISSION_UPDATE: &str =
        "grant SELECT and UPDATE on it to the endpoint's user";
    pub(crate) const PERMISSION_DELETE: &str =
        "grant SELECT and DELETE on it to the endpoint's user";
    pub(crate) const PERMISSION_LOCK: &str = "grant UPDATE or DELETE on it to the endpoint's user: the table is locked while it is repaired";
    pub(crate) const PERMISSION_ALTER: &str = "the endpoint's user must be allowed to alter the table: make it the table's owner, or grant ALTER on the table";
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

    /// The error with other advice on a missing privilege, of a statement that does not only read.
    pub(crate) fn with_privilege(mut self, privilege: &'static str) -> Self {
        if let Self::Driver(error) = &mut self
            && error.advice == advice::PERMISSION
        {
            error.advice = privilege;
        }
        self
    }

    /// The same error for another session, which was not tried.
    pub(crate) fn repeated(&self) -> Self {
        match self {
            Self::Driver(error) => Self::Driver(error.clone()),
            other => Self::driver(other.class(), other.to_string(), None, false),
        }
    }

    /// Whether the server refused the user or the password.
    pub(crate) fn is_refused_login(&self) -> bool {
        matches!(self, Self::Driver(error) if error.kind == FailureKind::AuthenticationError)
    }

    /// Whether there was no connection with the server.
    pub(crate) fn is_unreached(&self) -> bool {
        self.class().0 == FailureKind::ConnectionError
    }

    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Driver(error) if error.is_refusal)
    }

    /// A disk is full on one worker, and not on all.
    fn origin(&self) -> FailureOrigin {
        match self.class().0 {
            FailureKind::DiskError => FailureOrigin::Worker,
            _ => FailureOrigin::Table,
        }
    }

    fn class(&self) -> (FailureKind, &'static str) {
        match self {
            Self::Driver(error) => (error.kind.clone(), error.advice),
            Self::Network(_) | Self::ConnectTimeout(_) | Self::Unanswered(_) => {
                (FailureKind::ConnectionError, advice::CONNECTION)
            }
            Self::StatementTimeout(_) => (FailureKind::StatementTimeout, advice::STATEMENT_TIMEOUT),
            Self::Certificates(_) => (FailureKind::TlsError, advice::TLS),
            Self::ClientCertificate(_) => (FailureKind::TlsError, advice::CLIENT_CERTIFICATE),
            Self::NoSecret { .. } => (FailureKind::AuthenticationError, advice::SECRET_COMMAND),
            Self::Standby => (
                FailureKind::ConfigurationError,
                "name the primary server in the endpoint of the target",
            ),
            Self::Malformed(_) => (FailureKind::ProtocolError, ""),
            Self::Value { .. } => (FailureKind::ValueError, ""),
            Self::NotUnicode | Self::UnpairedSurrogate { as_text: false, .. } => {
                (FailureKind::ValueError, advice::NOT_UNICODE)
            }
            Self::UnpairedSurrogate { as_text: true, .. } => (
                FailureKind::ValueError,
                "correct the value, or leave the column out with columns.exclude",
            ),
            Self::ValueTooLarge(value) => (
                FailureKind::ValueTooLarge,
                match value.column {
                    Some(_) => {
                        "raise --max-value-size, or leave the column out with columns.exclude"
                    }
                    None => {
                        "raise --memory-limit to twice that size, or leave columns out with columns.exclude"
                    }
                },
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
            Self::Disk(error) if error.get_ref().is_some_and(|error| error.is::<InMemory>()) => (
                FailureKind::DiskError,
                "name a directory on a disk with --spill-dir, or that one to use it nevertheless",
            ),
            Self::Disk(_) => (
                FailureKind::DiskError,
                "free space there, or name another directory with --spill-dir",
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
            Self::ValueTooLarge(value) => value.without_key(),
            // Errors of the network, of the protocol and of this program quote no value.
            _ => self.to_string(),
        };
        self.failure(endpoint, what, &message)
    }

    fn failure(&self, endpoint: &Endpoint, what: &str, message: &str) -> Failure {
        let (kind, advice) = self.class();
        // The statement that reads a value explains nothing about its size.
        let what = match self {
            Self::ValueTooLarge(_) => "cannot compare",
            _ => what,
        };
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
        .in_origin(self.origin())
    }

    /// The failure of a table to which there is no connection. Unless the server refuses
    /// connections to all, the reason may lie in this worker.
    pub(crate) fn without_connection(&self, endpoint: &Endpoint) -> Failure {
        let failure = self.at(endpoint, "cannot connect");
        match failure.kind {
            FailureKind::AuthenticationError
            | FailureKind::ConnectionError
            | FailureKind::DatabaseNotFound
            | FailureKind::PermissionDenied
            | FailureKind::TlsError => {
                let origin = FailureOrigin::Endpoint(endpoint.name.clone());
                failure.in_origin(origin)
            }
            _ => failure,
        }
    }

    /// The failure of a table for an error that no database caused.
    pub(crate) fn on_disk(&self) -> Failure {
        let (kind, advice) = self.class();
        Failure::new(kind, format!("{self} ({advice})")).in_origin(self.origin())
    }
}

/// What a disk error becomes that no statement is to blame for.
pub(crate) fn disk(error: io::Error) -> Stop {
    Stop::Failed(DatabaseError::Disk(error).on_disk())
}

pub(crate) fn malformed(error: MalformedRow) -> Stop {
    Failure::new(FailureKind::InternalError, error.to_string()).into()
}

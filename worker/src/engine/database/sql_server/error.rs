//! Classes of the errors that SQL Server and its driver report.

use shared::failure::FailureKind;
use tiberius::error::Error;

use crate::engine::error::{DatabaseError, advice};

const MEMORY_OPTIMIZED: &str =
    "a view or a function reads a memory-optimized table: compare that table itself";

/// The least severity of errors that end the connection.
const FATAL: u8 = 20;

impl From<Error> for DatabaseError {
    fn from(error: Error) -> Self {
        if is_undecodable(&error) {
            return Self::NotUnicode;
        }
        let (message, code) = match &error {
            Error::Server(server) => (
                format!("{} (error {})", server.message().trim_end(), server.code()),
                Some(format!("error {}", server.code())),
            ),
            // The driver quotes a value that it cannot convert.
            Error::Conversion(_) => (
                error.to_string(),
                Some("a value of another type".to_owned()),
            ),
            _ => (error.to_string(), None),
        };
        let is_refusal = matches!(&error, Error::Server(server) if server.class() < FATAL);
        Self::driver(class(&error), message, code, is_refusal)
    }
}

/// Whether the driver met an unpaired surrogate in a row.
fn is_undecodable(error: &Error) -> bool {
    match error {
        Error::Utf16 => true,
        Error::Protocol(what) => what.contains("UTF-16"),
        _ => false,
    }
}

fn class(error: &Error) -> (FailureKind, &'static str) {
    const CONNECTION: (FailureKind, &str) = (FailureKind::ConnectionError, advice::CONNECTION);
    match error {
        Error::Server(server) => match server.code() {
            // Beside 18456: a domain that is not trusted, a login that is disabled or locked, and a
            // password that has expired or must be changed.
            18452 | 18456 | 18470 | 18486..=18488 => {
                (FailureKind::AuthenticationError, advice::AUTHENTICATION)
            }
            // 954: the server's copy of the database is the mirror.
            954 | 4060 => (FailureKind::DatabaseNotFound, advice::DATABASE),
            208 => (FailureKind::TableNotFound, advice::TABLE),
            207 => (FailureKind::ColumnNotFound, ""),
            // 1088 and 4902: ALTER TABLE or SET IDENTITY_INSERT without ALTER on the table.
            229 | 230 | 916 | 1088 | 4902 => (FailureKind::PermissionDenied, advice::PERMISSION),
            1205 => (FailureKind::Deadlock, ""),
            1222 => (FailureKind::LockTimeout, advice::LOCK_TIMEOUT),
            3960 => (FailureKind::SerializationFailure, ""),
            // A snapshot cannot read a table that was altered or truncated after it was taken.
            3961 => (FailureKind::TableChanged, advice::TABLE_CHANGED),
            41332 | 41368 => (FailureKind::QueryError, MEMORY_OPTIMIZED),
            // Azure SQL reports these while it moves or throttles the database.
            40197 | 40501 | 40613 | 10928 | 10929 | 49918..=49920 => CONNECTION,
            _ => (FailureKind::QueryError, ""),
        },
        Error::Io { .. } | Error::Routing { .. } => CONNECTION,
        Error::Tls(_) => (FailureKind::TlsError, advice::TLS),
        Error::Utf8 | Error::Encoding(_) => (FailureKind::ValueError, ""),
        _ => (FailureKind::ProtocolError, ""),
    }
}

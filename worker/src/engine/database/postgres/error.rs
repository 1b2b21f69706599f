//! Classes of the errors that PostgreSQL and its driver report.

use std::error::Error as _;

use shared::failure::{FailureKind, with_causes};
use tokio_postgres::error::Severity;

use crate::engine::database::postgres::link::NegotiationError;
use crate::engine::database::session::tls;
use crate::engine::error::{DatabaseError, advice};

const NO_TLS: &str = "turn `ssl` on at the server; without TLS password and rows can be read on the network: write sslmode=prefer or sslmode=disable (tls = \"prefer\" or \"off\") only where you trust it";

const ROW_SECURITY: &str = "row security would hide rows from the endpoint's user, so that they could not be compared: let a superuser ALTER ROLE it BYPASSRLS, or compare a view of the rows whose owner may see all of them";

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        let code = error.code().map(|code| format!("SQLSTATE {}", code.code()));
        // A session that is terminated reports an error too, and may have committed before.
        let is_refusal = error
            .as_db_error()
            .is_some_and(|server| server.parsed_severity() == Some(Severity::Error));
        Self::driver(class(&error), message(&error), code, is_refusal)
    }
}

fn message(error: &tokio_postgres::Error) -> String {
    if let Some(server) = error.as_db_error() {
        let mut text = format!("{} (SQLSTATE {})", server.message(), server.code().code());
        for extra in [server.detail(), server.hint()].into_iter().flatten() {
            text.push_str("; ");
            text.push_str(extra);
        }
        return text;
    }
    match negotiation(error) {
        Some(refused) => with_causes(refused),
        None => tls::refusal(error).unwrap_or_else(|| with_causes(error)),
    }
}

/// Why TLS was not negotiated.
fn negotiation(error: &tokio_postgres::Error) -> Option<&NegotiationError> {
    error.source()?.downcast_ref()
}

fn class(error: &tokio_postgres::Error) -> (FailureKind, &'static str) {
    const CONNECTION: (FailureKind, &str) = (FailureKind::ConnectionError, advice::CONNECTION);
    let Some(code) = error.code() else {
        match negotiation(error) {
            Some(NegotiationError::Lost(_)) => return CONNECTION,
            Some(NegotiationError::NotOffered) => return (FailureKind::TlsError, NO_TLS),
            None => {}
        }
        // The driver does not export the kinds of its errors, only their texts.
        if error
            .to_string()
            .starts_with("error performing TLS handshake")
        {
            return (FailureKind::TlsError, advice::TLS);
        }
        // What the driver itself reports of a lost or refused connection has no SQLSTATE.
        let of_network = error
            .source()
            .is_some_and(|source| source.is::<std::io::Error>());
        return if error.is_closed() || of_network {
            CONNECTION
        } else {
            (FailureKind::QueryError, "")
        };
    };
    match code.code() {
        "28P01" | "28000" => (FailureKind::AuthenticationError, advice::AUTHENTICATION),
        "3D000" => (FailureKind::DatabaseNotFound, advice::DATABASE),
        "42P01" | "3F000" => (FailureKind::TableNotFound, advice::TABLE),
        "42703" => (FailureKind::ColumnNotFound, ""),
        // The message is in the server's language; the name of the function that raised it is not.
        "42501"
            if error.as_db_error().and_then(|server| server.routine())
                == Some("check_enable_rls") =>
        {
            (FailureKind::PermissionDenied, ROW_SECURITY)
        }
        "42501" => (FailureKind::PermissionDenied, advice::PERMISSION),
        "40001" => (FailureKind::SerializationFailure, ""),
        "40P01" => (FailureKind::Deadlock, ""),
        "55P03" => (FailureKind::LockTimeout, advice::LOCK_TIMEOUT),
        "57014" => (FailureKind::StatementTimeout, advice::STATEMENT_TIMEOUT),
        "53300" => (
            FailureKind::TooManyConnections,
            "lower --parallel-workers or the endpoint's max_connections",
        ),
        "57P01" | "57P02" | "57P03" | "08000" | "08003" | "08006" => CONNECTION,
        _ => (FailureKind::QueryError, ""),
    }
}

//! From what a driver reports to what a user needs: which endpoint and table,
//! what happened, whether to try again, and what to do about it.

use std::error::Error as _;
use std::io;

use shared::endpoint::Endpoint;
use shared::outcome::Failure;

use crate::engine::disk::SpillLimitReached;
use crate::engine::task::Stop;
use crate::engine::values::canonical::MalformedRow;

/// Something went wrong in or on the way to a database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// PostgreSQL or its driver.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// SQL Server or its driver.
    #[error(transparent)]
    SqlServer(#[from] tiberius::error::Error),
    /// The network.
    #[error("{0}")]
    Network(std::io::Error),
    /// Nothing answered in time.
    #[error("no connection within {} s", .0.as_secs())]
    ConnectTimeout(std::time::Duration),
    /// A statement ran longer than it may, and was stopped from here.
    #[error("the statement did not end within {} s and was stopped", .0.as_secs_f64())]
    StatementTimeout(std::time::Duration),
    /// Certificates could not be read.
    #[error("{0}")]
    Certificates(String),
    /// Rows did not have the form that the protocol prescribes.
    #[error("the server's rows are malformed: {0}")]
    Malformed(String),
    /// A value is outside what its column's type can hold.
    #[error("column {column}: {reason}")]
    Value {
        /// The column's position among those read, from 1.
        column: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A NULL where the catalog says that there is none, in the key.
    #[error("column `{column}` is the key and declared NOT NULL, and holds a NULL")]
    NullKey {
        /// The column.
        column: String,
    },
    /// The differing rows could not be written to disk.
    #[error("cannot keep rows in a temporary file in {}: {error}", std::env::temp_dir().display())]
    Disk {
        /// What the system says.
        error: std::io::Error,
    },
}

impl From<MalformedRow> for DatabaseError {
    fn from(error: MalformedRow) -> Self {
        Self::Malformed(error.to_string())
    }
}

struct Class {
    kind: &'static str,
    retryable: bool,
    advice: &'static str,
}

const fn class(kind: &'static str, retryable: bool, advice: &'static str) -> Class {
    Class {
        kind,
        retryable,
        advice,
    }
}

const CONNECTION: Class = class(
    "ConnectionError",
    true,
    "check that the server runs and that host, port and firewall are right",
);
const TLS: Class = class(
    "TlsError",
    false,
    "check the server's certificate; name its authority with ca_file=FILE, or set trust_server_certificate=true on a network that you trust",
);
const AUTHENTICATION: Class = class(
    "AuthenticationError",
    false,
    "check user and password of the endpoint",
);
const PERMISSION: Class = class(
    "PermissionDenied",
    false,
    "grant SELECT on it to the endpoint's user",
);
const ROW_SECURITY: Class = class(
    "PermissionDenied",
    false,
    "row security would hide rows from the endpoint's user, and what it does not see it cannot compare: let a superuser ALTER ROLE it BYPASSRLS, or compare a view of the rows whose owner may see all of them",
);
const QUERY: Class = class("QueryError", false, "");
const STATEMENT_TIMEOUT: Class = class(
    "StatementTimeout",
    false,
    "raise statement_timeout of the endpoint or the table's timeout",
);
const LOCK_TIMEOUT: Class = class(
    "LockTimeout",
    true,
    "another session holds a lock on the table: see who, or run when it is done",
);
const NOT_UNICODE: Class = class(
    "ValueError",
    false,
    "a text value is not valid Unicode; an nvarchar column with halves of characters is read with rules.COLUMN.as_text = true, and one that is not needed can be left out with columns.exclude",
);

impl DatabaseError {
    fn class(&self) -> Class {
        match self {
            Self::Postgres(error) => postgres_class(error),
            Self::SqlServer(error) => sql_server_class(error),
            Self::Network(_) | Self::ConnectTimeout(_) => CONNECTION,
            Self::StatementTimeout(_) => STATEMENT_TIMEOUT,
            Self::Certificates(_) => TLS,
            Self::Malformed(_) => class("ProtocolError", false, ""),
            Self::Value { .. } => class("ValueError", false, ""),
            Self::NullKey { .. } => class(
                "ValueError",
                false,
                "mend the rows or the declaration, or name another key with --pk-columns or key = [..]",
            ),
            Self::Disk { error }
                if error
                    .get_ref()
                    .is_some_and(|error| error.is::<SpillLimitReached>()) =>
            {
                class(
                    "SpillLimit",
                    false,
                    "raise --spill-limit; fewer bytes are needed with a narrower filter",
                )
            }
            Self::Disk { .. } => class(
                "DiskError",
                false,
                "free space there, or set TMPDIR to a directory that has more",
            ),
        }
    }

    /// The failure of a table, with the place and the chain of causes.
    #[must_use]
    pub(crate) fn at(&self, endpoint: &Endpoint, what: &str) -> Failure {
        self.failure(endpoint, what, &self.chain())
    }

    /// The same without a word of the database's own, which may quote values.
    #[must_use]
    pub(crate) fn discreetly_at(&self, endpoint: &Endpoint, what: &str) -> Failure {
        self.failure(endpoint, what, &self.discreet_chain())
    }

    fn failure(&self, endpoint: &Endpoint, what: &str, chain: &str) -> Failure {
        let Class {
            kind,
            retryable,
            advice,
        } = self.class();
        let advice = if advice.is_empty() {
            String::new()
        } else {
            format!(" ({advice})")
        };
        Failure {
            kind: kind.to_owned(),
            message: format!(
                "{what}: endpoint `{}`, {}: {}{advice}",
                endpoint.name,
                endpoint.location(),
                chain
            ),
            retryable,
            counts_against_budget: true,
        }
    }

    /// The failure of a table that no database has to do with.
    #[must_use]
    pub(crate) fn on_disk(&self) -> Failure {
        let Class {
            kind,
            retryable,
            advice,
        } = self.class();
        Failure {
            kind: kind.to_owned(),
            message: format!("{} ({advice})", self.chain()),
            retryable,
            counts_against_budget: true,
        }
    }

    /// A server quotes values with and without quotation marks, so only its
    /// code is told, and a driver quotes one that it cannot convert. Words of
    /// the network, of the protocol and of this program hold none.
    fn discreet_chain(&self) -> String {
        use tiberius::error::Error;
        let what = match self {
            Self::Postgres(error) => error.code().map(|code| format!("SQLSTATE {}", code.code())),
            Self::SqlServer(Error::Server(server)) => Some(format!("error {}", server.code())),
            Self::SqlServer(Error::Conversion(_)) => Some("a value of another type".to_owned()),
            _ => None,
        };
        what.map_or_else(
            || self.chain(),
            |what| format!("{what}; more is not told, as it may quote values"),
        )
    }

    fn chain(&self) -> String {
        if let Self::Postgres(error) = self
            && let Some(server) = error.as_db_error()
        {
            let mut text = format!("{} (SQLSTATE {})", server.message(), server.code().code());
            for extra in [server.detail(), server.hint()].into_iter().flatten() {
                text.push_str("; ");
                text.push_str(extra);
            }
            return text;
        }
        if let Self::SqlServer(tiberius::error::Error::Server(server)) = self {
            return format!("{} (error {})", server.message().trim_end(), server.code());
        }
        let mut text = self.to_string();
        let mut source = match self {
            Self::Postgres(error) => error.source(),
            _ => None,
        };
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

fn postgres_class(error: &tokio_postgres::Error) -> Class {
    let Some(code) = error.code() else {
        // The driver keeps its kinds of errors to itself but for their texts.
        if error
            .to_string()
            .starts_with("error performing TLS handshake")
        {
            return TLS;
        }
        // What the driver itself reports of a lost or refused connection has no SQLSTATE.
        return if error.is_closed()
            || error
                .source()
                .is_some_and(|source| source.is::<std::io::Error>())
        {
            CONNECTION
        } else {
            QUERY
        };
    };
    match code.code() {
        "28P01" | "28000" => AUTHENTICATION,
        "3D000" => class("DatabaseNotFound", false, "check the endpoint's database"),
        "42P01" | "3F000" => class("TableNotFound", false, "check schema and table"),
        "42703" => class("ColumnNotFound", false, ""),
        // The words are in the server's language; the function that says them is not.
        "42501"
            if error.as_db_error().and_then(|server| server.routine())
                == Some("check_enable_rls") =>
        {
            ROW_SECURITY
        }
        "42501" => PERMISSION,
        "40001" => class("SerializationFailure", true, ""),
        "40P01" => class("Deadlock", true, ""),
        "55P03" => LOCK_TIMEOUT,
        "57014" => STATEMENT_TIMEOUT,
        "53300" => class(
            "TooManyConnections",
            true,
            "lower --parallel-workers or the endpoint's max_connections",
        ),
        "57P01" | "57P02" | "57P03" | "08000" | "08003" | "08006" => CONNECTION,
        _ => QUERY,
    }
}

fn sql_server_class(error: &tiberius::error::Error) -> Class {
    use tiberius::error::Error;
    match error {
        Error::Server(server) => match server.code() {
            18456 => AUTHENTICATION,
            4060 => class("DatabaseNotFound", false, "check the endpoint's database"),
            208 => class("TableNotFound", false, "check schema and table"),
            207 => class("ColumnNotFound", false, ""),
            229 | 230 | 916 => PERMISSION,
            1205 => class("Deadlock", true, ""),
            1222 => LOCK_TIMEOUT,
            3960 | 3961 => class("SerializationFailure", true, ""),
            // Azure SQL's way of saying that it moves or throttles the database.
            40197 | 40501 | 40613 | 10928 | 10929 | 49918..=49920 => CONNECTION,
            _ => QUERY,
        },
        Error::Io { .. } | Error::Routing { .. } => CONNECTION,
        Error::Tls(_) => TLS,
        Error::Utf8 | Error::Utf16 | Error::Encoding(_) => NOT_UNICODE,
        // What the driver says of halves of characters in a row.
        Error::Protocol(what) if what.contains("UTF-16") => NOT_UNICODE,
        _ => class("ProtocolError", false, ""),
    }
}

/// A failure that no database reported.
#[must_use]
pub(crate) fn failure(kind: &str, message: String) -> Failure {
    Failure {
        kind: kind.to_owned(),
        message,
        retryable: false,
        counts_against_budget: true,
    }
}

/// What a disk error becomes that no statement is to blame for.
pub(crate) fn disk(error: io::Error) -> Stop {
    Stop::Failed(DatabaseError::Disk { error }.on_disk())
}

/// A located row whose bytes cannot be read.
pub(crate) fn malformed(error: &crate::engine::values::canonical::MalformedRow) -> Stop {
    failure("InternalError", error.to_string()).into()
}

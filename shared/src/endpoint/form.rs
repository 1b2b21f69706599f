//! Recognises the form of a connection and takes it apart.

use std::borrow::Cow;

use super::connection::{Connection, Pairs};
use super::environment::LibpqEnvironment;
use super::error::EndpointError;
use super::kind::DatabaseKind;
use super::options::normalise;
use super::semicolons::{self, Quoting};
use super::settings::Endpoint;
use super::url::{self, UrlParts};
use super::{jdbc, keywords};
use crate::secret::Secret;

/// What is said of a text that has none of the forms.
const FORMS: &str = "write mssql://user:password@host:1433/database or \
    postgres://user:password@host:5432/database; also known are ADO.NET's Server=…;Database=…, \
    jdbc:sqlserver://…, jdbc:postgresql://… and libpq's host=… dbname=…";

/// The advice for a URL whose password is followed by what is no option.
const IN_URL: &str = "in a password, write & as %26 and = as %3D";

/// The same for pairs that semicolons separate.
const IN_PAIRS: &str =
    "quote a password that contains a semicolon: Password=\"a;b\", or {a;b} in ODBC and JDBC";

/// The same for libpq's keywords.
const IN_KEYWORDS: &str = "quote a password that contains blanks: password='a b'";

/// Keywords of libpq with which a connection string may begin.
const KEYWORDS: [&str; 14] = [
    "application_name",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "passfile",
    "password",
    "port",
    "service",
    "sslcert",
    "sslmode",
    "sslrootcert",
    "user",
];

/// A text that was taken apart.
struct TakenApart {
    kind: DatabaseKind,
    pairs: Pairs,
    /// How to write a password that contains separators.
    advice: &'static str,
}

impl Connection {
    /// Parses a URL, an ADO.NET, ODBC or JDBC connection string, or keywords and values of libpq.
    ///
    /// # Errors
    ///
    /// When the text has none of these forms, or has an option that is unknown, not supported or
    /// wrong. The message says what to write, and contains no password.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let error = |reason| EndpointError::in_text(text, reason);
        let TakenApart {
            kind,
            pairs,
            advice,
        } = take_apart(text.trim()).map_err(error)?;
        let mut connection = Self::of_text(kind, text);
        connection.set_all(pairs, advice).map_err(error)?;
        Ok(connection)
    }
}

impl Endpoint {
    /// Parses a connection as [`Connection::parse`] does, without the variables and files that
    /// libpq reads.
    ///
    /// # Errors
    ///
    /// Also when a part is missing, such as the user.
    pub fn from_url(name: &str, text: &str) -> Result<Self, EndpointError> {
        Connection::parse(text)?.into_endpoint(name, &LibpqEnvironment::default())
    }
}

fn take_apart(text: &str) -> Result<TakenApart, String> {
    let (is_jdbc, rest) = match text.get(..5) {
        Some(prefix) if prefix.eq_ignore_ascii_case("jdbc:") => (true, &text[5..]),
        _ => (false, text),
    };
    let (scheme, rest) = match (rest.split_once("://"), rest.split_once(':')) {
        (Some((scheme, rest)), _) => (scheme, Cow::Borrowed(rest)),
        // PostgreSQL's JDBC driver also takes a database alone.
        (None, Some((scheme, database))) if is_jdbc => (scheme, Cow::Owned(format!("/{database}"))),
        (None, _) => return pairs_of_text(text),
    };
    if !scheme
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    {
        return pairs_of_text(text);
    }
    let Some(kind) = DatabaseKind::parse(&scheme.to_ascii_lowercase()) else {
        return Err(format!("`{scheme}` is no kind of database here; {FORMS}"));
    };
    match kind {
        DatabaseKind::SqlServer if is_jdbc => Ok(TakenApart {
            kind,
            pairs: jdbc::parse(&rest)?,
            advice: IN_PAIRS,
        }),
        _ => Ok(TakenApart {
            kind,
            pairs: pairs_of_url(kind, &rest, is_jdbc)?,
            advice: IN_URL,
        }),
    }
}

/// The options of a URL, with its user, server and path among them. Options of its query come
/// first: where they are given, they replace the other parts, as in libpq.
fn pairs_of_url(kind: DatabaseKind, text: &str, is_jdbc: bool) -> Result<Pairs, String> {
    let plus_is_blank = is_jdbc || kind == DatabaseKind::SqlServer;
    let UrlParts {
        user,
        password,
        server,
        path,
        options,
    } = url::parse(text, plus_is_blank)?;
    let has = |pairs: &Pairs, names: &[&str]| {
        pairs
            .iter()
            .any(|(name, _)| names.contains(&normalise(name).as_str()))
    };
    let (host, port) = split_port(&server);
    let mut parts: Vec<(&str, Secret)> = Vec::new();
    let path_is_instance =
        kind == DatabaseKind::SqlServer && has(&options, &["database", "databasename"]);
    // The login is not the last part: what follows a password may be a part of it.
    if !has(&options, &["user", "username"]) {
        parts.push(("user", Secret::new(user.unwrap_or_default())));
    }
    if !has(&options, &["password"]) {
        parts.push(("password", password.unwrap_or_default()));
    }
    if !has(&options, &["host"]) {
        parts.push(("host", Secret::new(host)));
    }
    if !has(&options, &["port"]) {
        parts.push(("port", Secret::new(port)));
    }
    if path_is_instance {
        parts.push(("instance", Secret::new(path)));
    } else if !has(&options, &["dbname", "database"]) {
        parts.push(("database", Secret::new(path)));
    }
    let given = parts.into_iter().filter(|(_, value)| !value.is_empty());
    let mut pairs: Pairs = given
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    pairs.extend(options);
    Ok(pairs)
}

/// A host and the port after its last colon. Brackets surround an IPv6 address.
fn split_port(server: &str) -> (&str, &str) {
    match server.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (server, ""),
    }
}

/// The pairs of a text that is no URL.
fn pairs_of_text(text: &str) -> Result<TakenApart, String> {
    let Some((first, value)) = text.split_once('=') else {
        return Err(FORMS.to_owned());
    };
    let value = value.split_whitespace().next().unwrap_or_default();
    if KEYWORDS.contains(&first.trim()) && (value.starts_with('\'') || !value.contains(';')) {
        return Ok(TakenApart {
            kind: DatabaseKind::Postgres,
            pairs: keywords::parse(text)?,
            advice: IN_KEYWORDS,
        });
    }
    let quoting = semicolons::quoting(text);
    let pairs = semicolons::parse(text, quoting)?;
    // Npgsql has both keys; the drivers of SQL Server have neither, except in ODBC.
    let is_postgres = pairs
        .iter()
        .any(|(name, value)| match normalise(name).as_str() {
            "host" | "port" => quoting == Quoting::Marks,
            "driver" => value.reveal().to_ascii_lowercase().contains("postgres"),
            _ => false,
        });
    Ok(TakenApart {
        kind: if is_postgres {
            DatabaseKind::Postgres
        } else {
            DatabaseKind::SqlServer
        },
        pairs,
        advice: IN_PAIRS,
    })
}

//! Reads one `[endpoints.NAME]`, or the variables that describe one.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::endpoint::{
    Connection, DatabaseKind, Endpoint, LibpqEnvironment, LoginMethod, Secret, SecretCommand,
    TlsMode,
};

use super::error::ConfigError;
use super::keys::DeclaredKey;
use super::section::{Section, Sources, variable_name};
use super::value::{FromValue, Value};

/// The keys of `[endpoints.NAME]`. A variable that ends in one of them may describe an endpoint
/// that the file does not have.
#[rustfmt::skip]
pub const KEYS: [DeclaredKey; 26] = [
    DeclaredKey { key: "url", default: "the keys from engine to user", meaning: "The connection in any form that the section [Connections](#connections) describes" },
    DeclaredKey { key: "engine", default: "none", meaning: "`sqlserver` or `postgres`" },
    DeclaredKey { key: "host", default: "none", meaning: "Host name or address; for PostgreSQL also the directory of a Unix socket, for SQL Server also `host,port` and `host\\instance`" },
    DeclaredKey { key: "port", default: "1433 or 5432", meaning: "TCP port" },
    DeclaredKey { key: "instance", default: "none", meaning: "Named instance of SQL Server; without effect beside a port" },
    DeclaredKey { key: "database", default: "none", meaning: "Database" },
    DeclaredKey { key: "user", default: "none", meaning: "User" },
    DeclaredKey { key: "password", default: "none", meaning: "Password" },
    DeclaredKey { key: "password_file", default: "none", meaning: "File that contains the password alone" },
    DeclaredKey { key: "password_env", default: "none", meaning: "Environment variable that contains the password" },
    DeclaredKey { key: "password_command", default: "none", meaning: "Program and arguments that print the password, as a list: `[\"vault\", \"read\", \"-field=password\", \"secret/erp\"]`; no shell is involved. It may run for 30 s, and runs again for a session that opens 5 minutes later" },
    DeclaredKey { key: "auth", default: "password", meaning: "How to log in to SQL Server: `password`, `ntlm` (the user is `DOMAIN\\user`) or `token`" },
    DeclaredKey { key: "token_command", default: "none", meaning: "Program and arguments that print an access token of Microsoft Entra ID, as a list, for `auth = \"token\"`; it runs as `password_command` does" },
    DeclaredKey { key: "spn", default: "`MSSQLSvc/HOST:PORT`", meaning: "Service principal name of SQL Server, which NTLM names to it" },
    DeclaredKey { key: "multi_subnet_failover", default: "false", meaning: "Try all addresses of the host at once (SQL Server)" },
    DeclaredKey { key: "failover_partner", default: "none", meaning: "The mirror, `host` or `host,port`, that is tried when SQL Server does not serve the database" },
    DeclaredKey { key: "tls", default: "require; off for PostgreSQL on loopback and sockets", meaning: "`require`, `prefer` or `off`; for SQL Server also `strict` (TDS 8.0)" },
    DeclaredKey { key: "trust_server_certificate", default: "false", meaning: "Accept any certificate" },
    DeclaredKey { key: "ca_file", default: "the authorities of the system", meaning: "PEM file of the trusted authorities, or of the server's own certificate" },
    DeclaredKey { key: "ssl_cert", default: "none", meaning: "PEM file of the client's certificate, for PostgreSQL" },
    DeclaredKey { key: "ssl_key", default: "none", meaning: "PEM file of its private key, not encrypted" },
    DeclaredKey { key: "schema", default: "dbo or public", meaning: "Schema of tables that are named without one" },
    DeclaredKey { key: "max_connections", default: "two for each concurrent table", meaning: "Most sessions of one process" },
    DeclaredKey { key: "statement_timeout", default: "the time limit of the table", meaning: "Longest time that one statement may run" },
    DeclaredKey { key: "connect_timeout", default: "15s", meaning: "Longest time for connecting and logging in" },
    DeclaredKey { key: "pass_file", default: "`~/.pgpass`, or `PGPASSFILE`", meaning: "PostgreSQL's password file, which is used if there is no other password" },
];

/// The ends of variables such as `SQLSERVER_HOST`, and their meanings. The database has two names,
/// of which the kind of database decides the usual one.
#[cfg(test)]
pub(super) const VARIABLE_PARTS: [(&[&str], &str); 9] = [
    (
        &["HOST"],
        "host; the other variables count only if it is set",
    ),
    (&["PORT"], "TCP port"),
    (&["DATABASE"], "database"),
    (&["USER"], "user"),
    (&["PASSWORD"], "password"),
    (&["PASSWORD_FILE"], "file that contains the password alone"),
    (
        &["SA_PASSWORD"],
        "password; the user is `sa` unless it is set",
    ),
    (&["ENCRYPT"], "`true`: always TLS; `false`: never"),
    (
        &["TRUST_SERVER_CERTIFICATE"],
        "`true`: accept any certificate",
    ),
];

/// An endpoint that is given in parts instead of as a URL.
#[derive(Debug, Default, PartialEq)]
struct Parts {
    engine: Option<DatabaseKind>,
    host: Option<String>,
    port: Option<u16>,
    instance: Option<String>,
    database: Option<String>,
    user: Option<String>,
}

impl Parts {
    fn take(section: &mut Section, sources: &mut Sources<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            engine: section.take(sources, "engine")?,
            host: section.take(sources, "host")?,
            port: section.take(sources, "port")?,
            instance: section.take(sources, "instance")?,
            database: section.take(sources, "database")?,
            user: section.take(sources, "user")?,
        })
    }

    fn connection(self) -> Result<Connection, String> {
        let engine = self.engine.ok_or(
            "lacks engine; write engine = \"sqlserver\" or engine = \"postgres\", or a url",
        )?;
        connection(engine, self.host, self.port).map(|connection| Connection {
            instance: self.instance.or(connection.instance.clone()),
            database: self.database,
            user: self.user,
            ..connection
        })
    }
}

/// The connection with a host, which may contain a port or an instance.
fn connection(
    engine: DatabaseKind,
    host: Option<String>,
    port: Option<u16>,
) -> Result<Connection, String> {
    let host = host.map(|host| ("host", host));
    let port = port.map(|port| ("port", port.to_string()));
    Connection::new(engine)
        .with_parts(host.into_iter().chain(port))
        .map_err(|reason| {
            format!("has a host that cannot be used: {reason}; write a whole connection as url")
        })
}

pub(super) fn read(
    name: &str,
    mut section: Section,
    sources: &mut Sources<'_>,
    libpq: &LibpqEnvironment,
) -> Result<Endpoint, ConfigError> {
    let url: Option<Secret> = section.take(sources, "url")?;
    let parts = Parts::take(&mut section, sources)?;
    let password = read_password(&mut section, sources)?;
    let options = sql_server_options(&mut section, sources)?;
    let tls: Option<TlsMode> = section.take(sources, "tls")?;
    let trust: Option<bool> = section.take(sources, "trust_server_certificate")?;
    let ca_file: Option<PathBuf> = section.take(sources, "ca_file")?;
    let certificate: Option<PathBuf> = section.take(sources, "ssl_cert")?;
    let certificate_key: Option<PathBuf> = section.take(sources, "ssl_key")?;
    let schema: Option<String> = section.take(sources, "schema")?;
    let max_connections: Option<NonZeroU32> = section.take(sources, "max_connections")?;
    let statement_timeout = section.take(sources, "statement_timeout")?;
    let connect_timeout = section.take(sources, "connect_timeout")?;
    let pass_file: Option<PathBuf> = section.take(sources, "pass_file")?;
    section.finish(sources)?;

    let connection = match url {
        Some(_) if parts != Parts::default() => Err("has a url and parts of one (engine, host, port, instance, database, user); keep one of the two".to_owned()),
        Some(url) => Connection::parse(url.reveal()).map_err(|error| error.to_string()),
        None => parts.connection(),
    };
    let mut connection = connection
        .and_then(|connection| connection.with_parts(options))
        .map_err(|reason| section.error(sources, reason))?;
    let is_token = connection.auth == Some(LoginMethod::Token);
    match password {
        Some(Password::Known(password)) => connection.password = Some(password),
        Some(Password::Command(command)) => connection.secret_command = Some(command),
        Some(Password::Token(command)) if is_token => connection.secret_command = Some(command),
        Some(Password::Token(_)) => {
            return Err(section.error(sources, "has a token_command and not auth = \"token\""));
        }
        None => {}
    }
    if tls == Some(TlsMode::Strict) && !connection.kind.has_strict_tls() {
        let reason = "has tls = \"strict\", which only SQL Server has; write \"require\"";
        return Err(section.error(sources, reason));
    }
    connection.tls_mode = tls.or(connection.tls_mode);
    connection.trust_server_certificate = trust.or(connection.trust_server_certificate);
    connection.ca_file = ca_file.or(connection.ca_file);
    connection.certificate = certificate.or(connection.certificate);
    connection.certificate_key = certificate_key.or(connection.certificate_key);
    connection.schema = schema.or(connection.schema);
    connection.max_connections = max_connections
        .map(NonZeroU32::get)
        .or(connection.max_connections);
    connection.statement_timeout = statement_timeout.or(connection.statement_timeout);
    connection.connect_timeout = connect_timeout.or(connection.connect_timeout);
    connection.pass_file = pass_file.or(connection.pass_file);
    connection
        .into_endpoint(name, libpq)
        .map_err(|error| section.error(sources, error.to_string()))
}

/// The options of a login to SQL Server and of the way to it that are set.
fn sql_server_options(
    section: &mut Section,
    sources: &mut Sources<'_>,
) -> Result<Vec<(&'static str, String)>, ConfigError> {
    let auth: Option<String> = section.take(sources, "auth")?;
    let spn: Option<String> = section.take(sources, "spn")?;
    let failover: Option<bool> = section.take(sources, "multi_subnet_failover")?;
    let partner: Option<String> = section.take(sources, "failover_partner")?;
    let options = [
        ("auth", auth),
        ("spn", spn),
        (
            "multi_subnet_failover",
            failover.map(|is_on| is_on.to_string()),
        ),
        ("failover_partner", partner),
    ];
    Ok(options
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect())
}

/// Where the password or token of an endpoint comes from.
enum Password {
    Known(Secret),
    Command(SecretCommand),
    Token(SecretCommand),
}

/// The password or token, from one of five keys.
fn read_password(
    section: &mut Section,
    sources: &mut Sources<'_>,
) -> Result<Option<Password>, ConfigError> {
    let written: Option<Secret> = section.take(sources, "password")?;
    let file: Option<PathBuf> = section.take(sources, "password_file")?;
    let variable: Option<String> = section.take(sources, "password_env")?;
    let command: Option<Vec<String>> = section.take(sources, "password_command")?;
    if let Some(words) = section.take::<Vec<String>>(sources, "token_command")? {
        if written.is_some() || file.is_some() || variable.is_some() || command.is_some() {
            return Err(section.error(sources, "has a token_command and a password; keep one"));
        }
        return SecretCommand::new(words)
            .map(|command| Some(Password::Token(command)))
            .ok_or_else(|| section.error(sources, "token_command: names no program"));
    }
    if sources.skips_passwords() {
        return Ok(None);
    }
    let known = |secret| Some(Password::Known(secret));
    match (written, file, variable, command) {
        (None, None, None, None) => Ok(None),
        (Some(password), None, None, None) => Ok(known(password)),
        (None, Some(file), None, None) => read_secret(&file)
            .map(known)
            .map_err(|reason| section.error(sources, format!("password_file: {reason}"))),
        (None, None, Some(variable), None) => match sources.environment().get(&variable) {
            Some(password) => Ok(known(Secret::new(password))),
            None => {
                // The password itself may have been written in place of a name.
                let is_name = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
                let name = if variable.bytes().all(is_name) {
                    &variable
                } else {
                    "that it names"
                };
                let reason = format!("password_env: the variable {name} is not set");
                Err(section.error(sources, reason))
            }
        },
        (None, None, None, Some(words)) => SecretCommand::new(words)
            .map(|command| Some(Password::Command(command)))
            .ok_or_else(|| section.error(sources, "password_command: names no program")),
        _ => Err(section.error(
            sources,
            "has more than one of password, password_file, password_env and password_command; keep one",
        )),
    }
}

/// The secret that a file contains alone, without the newline at its end.
///
/// # Errors
///
/// The message names the file and says why it cannot be read.
pub fn read_secret(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// The endpoint that variables such as `SQLSERVER_HOST` describe, or for PostgreSQL those of
/// libpq; none if neither names a server.
///
/// # Errors
///
/// The message names the variables that are missing or wrong.
pub(super) fn from_variables(
    engine: DatabaseKind,
    environment: &BTreeMap<String, String>,
    libpq: &LibpqEnvironment,
) -> Result<Option<Endpoint>, String> {
    let find = |name: String| environment.get(&name).filter(|text| !text.is_empty());
    let prefixes: Vec<&str> = engine
        .variable_prefixes()
        .iter()
        .copied()
        .filter(|prefix| find(format!("{prefix}_HOST")).is_some())
        .collect();
    let connection = match prefixes.as_slice() {
        [] if engine.uses_libpq() && libpq.names_server() => Connection::new(engine),
        [] => return Ok(None),
        [prefix] => from_prefixed(engine, prefix, |part| find(format!("{prefix}_{part}")))?,
        [one, other, ..] => {
            return Err(format!(
                "{one}_HOST and {other}_HOST are both set; unset one"
            ));
        }
    };
    connection
        .into_endpoint(engine.name(), libpq)
        .map(Some)
        .map_err(|error| error.to_string())
}

/// The connection of the variables with this prefix. `variable` returns one that is not empty.
fn from_prefixed<'a>(
    engine: DatabaseKind,
    prefix: &str,
    variable: impl Fn(&str) -> Option<&'a String>,
) -> Result<Connection, String> {
    // The image of SQL Server has a variable for the password of its administrator.
    let administrator = engine.administrator();
    let sa_password = administrator.and_then(|_| variable("SA_PASSWORD"));
    let user = variable("USER")
        .cloned()
        .or_else(|| sa_password.and(administrator).map(str::to_owned));
    let names = engine.database_variables();
    let database = names.into_iter().find_map(&variable).cloned();
    let missing: Vec<String> = [(names[0], database.is_none()), ("USER", user.is_none())]
        .into_iter()
        .filter(|(_, is_missing)| *is_missing)
        .map(|(part, _)| format!("{prefix}_{part}"))
        .collect();
    if !missing.is_empty() {
        return Err(format!(
            "{prefix}_HOST is set but {} is not",
            missing.join(" and ")
        ));
    }
    let port = parse_variable(prefix, "PORT", variable("PORT"))?;
    let flag = |part| parse_variable(prefix, part, variable(part));
    let encrypt: Option<bool> = flag("ENCRYPT")?;
    let password = match (
        variable("PASSWORD").or(sa_password),
        variable("PASSWORD_FILE"),
    ) {
        (Some(password), _) => Some(Secret::new(password)),
        (None, Some(file)) => {
            let read = read_secret(Path::new(file));
            Some(read.map_err(|reason| format!("{prefix}_PASSWORD_FILE: {reason}"))?)
        }
        (None, None) => None,
    };
    let connection = connection(engine, variable("HOST").cloned(), port)
        .map_err(|reason| format!("{prefix}_HOST: {reason}"))?;
    Ok(Connection {
        database,
        user,
        password,
        tls_mode: encrypt.map(|encrypt| match encrypt {
            true => TlsMode::Require,
            false => TlsMode::Off,
        }),
        trust_server_certificate: flag("TRUST_SERVER_CERTIFICATE")?,
        ..connection
    })
}

fn parse_variable<T: FromValue>(
    prefix: &str,
    part: &str,
    text: Option<&String>,
) -> Result<Option<T>, String> {
    text.map(|text| T::from_value(Value::Untyped(text.clone())))
        .transpose()
        .map_err(|reason| format!("{prefix}_{part}: {reason}"))
}

/// The names of endpoints that variables describe and the file does not.
pub(super) fn names_in_variables(
    environment: &BTreeMap<String, String>,
    in_file: impl Iterator<Item = String>,
) -> Vec<String> {
    let prefix = variable_name("endpoints.");
    let in_file: Vec<String> = in_file
        .map(|name| variable_name(&format!("endpoints.{name}.")))
        .collect();
    let mut names: Vec<String> = environment
        .keys()
        .filter(|variable| !in_file.iter().any(|known| variable.starts_with(known)))
        .filter_map(|variable| {
            let rest = variable.strip_prefix(&prefix)?.to_ascii_lowercase();
            let key = KEYS
                .iter()
                .map(|declared| declared.key)
                .filter(|key| rest.ends_with(&format!("_{key}")))
                .max_by_key(|key| key.len())?;
            Some(rest[..rest.len() - key.len() - 1].to_owned()).filter(|name| !name.is_empty())
        })
        .collect();
    names.dedup();
    names
}

//! Reads one `[endpoints.NAME]`, or the variables that describe one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::endpoint::{DatabaseKind, Endpoint, Secret, TlsMode};

use super::error::ConfigError;
use super::section::{Section, Sources, variable_name};
use super::value::{FromValue, Value};

/// The keys of an endpoint. A variable that ends in one of them may describe an endpoint
/// that the file does not have.
const KEYS: [&str; 16] = [
    "url",
    "engine",
    "host",
    "port",
    "database",
    "user",
    "password",
    "password_file",
    "password_env",
    "tls",
    "trust_server_certificate",
    "ca_file",
    "schema",
    "max_connections",
    "statement_timeout",
    "connect_timeout",
];

/// An endpoint that is given in parts instead of as a URL.
#[derive(Debug, Default, PartialEq)]
struct Parts {
    engine: Option<DatabaseKind>,
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
    user: Option<String>,
}

impl Parts {
    /// The parts as a URL: defaults are applied where URLs are parsed.
    fn url(&self) -> Result<String, String> {
        let (Some(engine), Some(host), Some(database), Some(user)) =
            (self.engine, &self.host, &self.database, &self.user)
        else {
            let missing = missing([
                ("engine", self.engine.is_none()),
                ("host", self.host.is_none()),
                ("database", self.database.is_none()),
                ("user", self.user.is_none()),
            ]);
            return Err(format!("lacks {}; give them, or a url", missing.join(", ")));
        };
        if !host.starts_with('/') && host.contains(['@', '/', '?', '#', ';', '=', ' ']) {
            return Err(
                "has a host that is no host name and no address; write a whole connection as url"
                    .to_owned(),
            );
        }
        Ok(endpoint_url(engine, host, self.port, database, user))
    }
}

fn missing<const N: usize>(names: [(&str, bool); N]) -> Vec<&str> {
    let missing = |(name, is_missing): (_, bool)| is_missing.then_some(name);
    names.into_iter().filter_map(missing).collect()
}

/// Characters that must be escaped in the path of a URL.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'/')
    .add(b'?')
    .add(b'#')
    .add(b'%')
    .add(b'\\');

fn endpoint_url(
    engine: DatabaseKind,
    host: &str,
    port: Option<u16>,
    database: &str,
    user: &str,
) -> String {
    let scheme = engine.scheme();
    let mut url = format!(
        "{scheme}://{}@",
        utf8_percent_encode(user, NON_ALPHANUMERIC)
    );
    let directory = host.starts_with('/');
    match host {
        _ if directory => url.push_str("localhost"),
        _ if host.contains(':') && !host.starts_with('[') => url.extend(["[", host, "]"]),
        _ => url.push_str(host),
    }
    if let Some(port) = port {
        url.extend([":", &port.to_string()]);
    }
    url.push('/');
    url.extend(utf8_percent_encode(database, PATH));
    if directory {
        url.push_str("?host=");
        url.extend(utf8_percent_encode(host, NON_ALPHANUMERIC));
    }
    url
}

pub(super) fn read(
    name: &str,
    mut section: Section,
    sources: &mut Sources<'_>,
) -> Result<Endpoint, ConfigError> {
    let url: Option<Secret> = section.take(sources, "url")?;
    let parts = Parts {
        engine: section.take(sources, "engine")?,
        host: section.take(sources, "host")?,
        port: section.take(sources, "port")?,
        database: section.take(sources, "database")?,
        user: section.take(sources, "user")?,
    };
    let password = read_password(&mut section, sources)?;
    let tls: Option<TlsMode> = section.take(sources, "tls")?;
    let trust: Option<bool> = section.take(sources, "trust_server_certificate")?;
    let ca_file: Option<PathBuf> = section.take(sources, "ca_file")?;
    let schema: Option<String> = section.take(sources, "schema")?;
    let max_connections: Option<std::num::NonZeroU32> = section.take(sources, "max_connections")?;
    let statement_timeout = section.take(sources, "statement_timeout")?;
    let connect_timeout = section.take(sources, "connect_timeout")?;

    section.finish(sources)?;

    let url = match url {
        Some(_) if parts != Parts::default() => {
            return Err(section.error(sources, "has a url and parts of one (engine, host, port, database, user); keep one of the two"));
        }
        Some(url) => url,
        None => Secret::new(
            parts
                .url()
                .map_err(|reason| section.error(sources, reason))?,
        ),
    };
    let mut endpoint = Endpoint::from_url(name, url.reveal())
        .map_err(|error| section.error(sources, error.to_string()))?;

    if let Some(password) = password {
        endpoint.password = password;
    }
    if let Some(mode) = tls {
        endpoint.tls.mode = mode;
    }
    if let Some(trust) = trust {
        endpoint.tls.trust_server_certificate = trust;
    }
    endpoint.tls.ca_file = ca_file.or(endpoint.tls.ca_file);
    endpoint.schema = schema.unwrap_or(endpoint.schema);
    endpoint.max_connections = max_connections.map(Into::into).or(endpoint.max_connections);
    endpoint.statement_timeout = statement_timeout.or(endpoint.statement_timeout);
    endpoint.connect_timeout = connect_timeout.unwrap_or(endpoint.connect_timeout);
    Ok(endpoint)
}

/// The password, from one of three keys.
fn read_password(
    section: &mut Section,
    sources: &mut Sources<'_>,
) -> Result<Option<Secret>, ConfigError> {
    let written: Option<Secret> = section.take(sources, "password")?;
    let file: Option<PathBuf> = section.take(sources, "password_file")?;
    let variable: Option<String> = section.take(sources, "password_env")?;
    if sources.skips_passwords() {
        return Ok(None);
    }
    match (written, file, variable) {
        (None, None, None) => Ok(None),
        (Some(password), None, None) => Ok(Some(password)),
        (None, Some(file), None) => read_secret(&file)
            .map(Some)
            .map_err(|reason| section.error(sources, format!("password_file: {reason}"))),
        (None, None, Some(variable)) => match sources.environment().get(&variable) {
            Some(password) => Ok(Some(Secret::new(password))),
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
        _ => Err(section.error(
            sources,
            "has more than one of password, password_file and password_env; keep one",
        )),
    }
}

/// The content of a file, without the newline at its end.
pub(super) fn read_secret(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// The endpoint that variables such as `SQLSERVER_HOST` describe; none if the host is
/// not set.
///
/// # Errors
///
/// The message names the variables that are missing or wrong.
pub(super) fn from_variables(
    engine: DatabaseKind,
    environment: &BTreeMap<String, String>,
) -> Result<Option<Endpoint>, String> {
    let (prefix, database_variable) = engine.variables();
    let variable = |part: &str| {
        environment
            .get(&format!("{prefix}_{part}"))
            .filter(|text| !text.is_empty())
    };
    let Some(host) = variable("HOST") else {
        return Ok(None);
    };
    let (database, user) = (environment.get(database_variable), variable("USER"));
    let (Some(database), Some(user)) = (database, user) else {
        let user_variable = format!("{prefix}_USER");
        let missing = missing([
            (database_variable, database.is_none()),
            (&user_variable, user.is_none()),
        ]);
        return Err(format!(
            "{prefix}_HOST is set but {} is not",
            missing.join(" and ")
        ));
    };
    let port = parse_variable(prefix, "PORT", variable("PORT"))?;
    let flag = |part| parse_variable(prefix, part, variable(part));
    let url = endpoint_url(engine, host, port, database, user);
    let mut endpoint =
        Endpoint::from_url(engine.name(), &url).map_err(|error| error.to_string())?;
    endpoint.password = Secret::new(variable("PASSWORD").map(String::as_str).unwrap_or_default());
    if let Some(encrypt) = flag("ENCRYPT")? {
        endpoint.tls.mode = if encrypt {
            TlsMode::Require
        } else {
            TlsMode::Off
        };
    }
    if let Some(trust) = flag("TRUST_SERVER_CERTIFICATE")? {
        endpoint.tls.trust_server_certificate = trust;
    }
    Ok(Some(endpoint))
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
                .filter(|key| rest.ends_with(&format!("_{key}")))
                .max_by_key(|key| key.len())?;
            Some(rest[..rest.len() - key.len() - 1].to_owned()).filter(|name| !name.is_empty())
        })
        .collect();
    names.dedup();
    names
}

//! A database and the settings of its connections.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::error::EndpointError;
use super::kind::DatabaseKind;
use super::tls::{Tls, TlsMode};
use crate::masking::mask;
use crate::secret::Secret;

/// A database and the settings of its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The name of the endpoint in configuration files, tasks and messages.
    pub name: String,
    /// The kind of database.
    pub kind: DatabaseKind,
    /// Host name, address, or (PostgreSQL) the directory of a Unix socket.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name of the database on the server.
    pub database: String,
    /// User name.
    pub user: String,
    /// Password of the user.
    pub password: Secret,
    /// Whether and how TLS protects the connection.
    pub tls: Tls,
    /// Schema of tables whose names have none.
    pub schema: String,
    /// The most sessions that one worker process opens. `None`: as many as its concurrency needs.
    pub max_connections: Option<u32>,
    /// How long one statement may run. `None`: as long as the timeout of the table.
    pub statement_timeout: Option<Duration>,
    /// How long connecting and logging in may take together.
    pub connect_timeout: Duration,
}

impl Endpoint {
    /// Parses `mssql://user:password@host:port/database?encrypt=…&trust_server_certificate=…`
    /// or `postgres://user:password@host:port/database?sslmode=…`.
    ///
    /// Parameters of both kinds: `ca_file`, `trust_server_certificate`, `schema`,
    /// `max_connections`, `statement_timeout` and `connect_timeout` (seconds).
    /// SQL Server: `encrypt` (`true`, the default, or `false`). PostgreSQL:
    /// `sslmode` (`disable`, `prefer`, `require`, `verify-full`), `sslrootcert`
    /// (the same as `ca_file`) and `host` (a socket directory). Without
    /// `sslmode` TLS is required, but not used on loopback and on sockets.
    ///
    /// # Errors
    ///
    /// When the text is not such a URL. The error does not contain the password.
    pub fn from_url(name: &str, text: &str) -> Result<Self, EndpointError> {
        let bad_url = |reason: &str| EndpointError::Url {
            url: mask(text),
            reason: reason.to_owned(),
        };
        let url = Url::parse(text).map_err(|error| bad_url(&error.to_string()))?;
        let kind = DatabaseKind::parse(url.scheme())
            .ok_or_else(|| bad_url(&format!("unknown scheme `{}`", url.scheme())))?;
        let decode = |part: &str| {
            percent_decode_str(part)
                .decode_utf8()
                .map(Cow::into_owned)
                .map_err(|_| bad_url("a part is not UTF-8 after decoding %XX"))
        };
        let socket_directory = url
            .query_pairs()
            .filter(|(key, _)| kind == DatabaseKind::Postgres && key == "host")
            .last();
        let host = match socket_directory {
            Some((_, directory)) => directory.into_owned(),
            // Drivers expect an IPv6 address without its brackets.
            None => decode(url.host_str().unwrap_or_default())?
                .trim_matches(['[', ']'])
                .to_owned(),
        };
        let mut endpoint = Self {
            name: name.to_owned(),
            kind,
            port: url.port().unwrap_or(kind.default_port()),
            database: decode(url.path().trim_start_matches('/'))?,
            user: decode(url.username())?,
            password: Secret::new(decode(url.password().unwrap_or_default())?),
            tls: Tls {
                mode: match kind {
                    DatabaseKind::SqlServer => TlsMode::Require,
                    DatabaseKind::Postgres if is_loopback(&host) => TlsMode::Off,
                    DatabaseKind::Postgres => TlsMode::Require,
                },
                trust_server_certificate: false,
                ca_file: None,
            },
            host,
            schema: kind.default_schema().to_owned(),
            max_connections: None,
            statement_timeout: None,
            connect_timeout: Duration::from_secs(15),
        };
        for (part, value) in [
            ("host", &endpoint.host),
            ("database", &endpoint.database),
            ("user", &endpoint.user),
        ] {
            if value.is_empty() {
                return Err(bad_url(&format!("no {part}")));
            }
        }
        for (key, value) in url.query_pairs() {
            endpoint.set_parameter(&key, &value).map_err(|reason| {
                if url.query().is_some_and(|query| query.contains('@')) {
                    // The parameter may be the second half of a password.
                    return bad_url(
                        "in a user or password, write / as %2F, ? as %3F, # as %23 and @ as %40",
                    );
                }
                EndpointError::Parameter {
                    host: url.host_str().unwrap_or_default().to_owned(),
                    reason,
                }
            })?;
        }
        Ok(endpoint)
    }

    /// Sets what the parameter `key=value` of a URL defines. The error is the reason.
    fn set_parameter(&mut self, key: &str, value: &str) -> Result<(), String> {
        let boolean = || match value {
            "true" | "yes" | "1" => Ok(true),
            "false" | "no" | "0" => Ok(false),
            other => Err(format!("{key}={other}: write true or false")),
        };
        let number = || match value.parse::<u32>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{key}={value}: write a whole number above 0")),
        };
        let seconds = || number().map(|number| Duration::from_secs(number.into()));
        match (key, self.kind) {
            ("encrypt", DatabaseKind::SqlServer) => {
                self.tls.mode = if boolean()? {
                    TlsMode::Require
                } else {
                    TlsMode::Off
                }
            }
            ("sslmode", DatabaseKind::Postgres) => {
                self.tls.mode = match value {
                    "disable" => TlsMode::Off,
                    "prefer" => TlsMode::Prefer,
                    "require" | "verify-ca" | "verify-full" => TlsMode::Require,
                    other => {
                        return Err(format!(
                            "sslmode={other}: write disable, prefer, require or verify-full"
                        ));
                    }
                }
            }
            // `from_url` reads it earlier, because the default TLS mode depends on the host.
            ("host", DatabaseKind::Postgres) => {}
            ("trust_server_certificate", _) => self.tls.trust_server_certificate = boolean()?,
            ("ca_file", _) | ("sslrootcert", DatabaseKind::Postgres) => {
                self.tls.ca_file = Some(PathBuf::from(value))
            }
            ("schema", _) => self.schema = value.to_owned(),
            ("max_connections", _) => self.max_connections = Some(number()?),
            ("statement_timeout", _) => self.statement_timeout = Some(seconds()?),
            ("connect_timeout", _) => self.connect_timeout = seconds()?,
            (other, kind) => {
                let own = match kind {
                    DatabaseKind::SqlServer => "encrypt",
                    DatabaseKind::Postgres => "sslmode, sslrootcert, host",
                };
                return Err(format!(
                    "unknown parameter `{other}`; known are {own}, trust_server_certificate, \
                     ca_file, schema, max_connections, statement_timeout, connect_timeout"
                ));
            }
        }
        Ok(())
    }

    /// "PostgreSQL at host:port/database", for messages.
    #[must_use]
    pub fn location(&self) -> String {
        format!(
            "{} at {}:{}/{}",
            self.kind, self.host, self.port, self.database
        )
    }
}

/// Whether `host` is this machine, so that traffic to it does not leave the machine.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.starts_with('/')
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_every_part() {
        let endpoint = Endpoint::from_url(
            "erp",
            "mssql://sa:p%40ss@db.example:1444/shop?encrypt=false&schema=sales",
        )
        .unwrap();
        assert_eq!(endpoint.kind, DatabaseKind::SqlServer);
        assert_eq!(
            (endpoint.host.as_str(), endpoint.port),
            ("db.example", 1444)
        );
        assert_eq!(
            (endpoint.user.as_str(), endpoint.password.reveal()),
            ("sa", "p@ss")
        );
        assert_eq!(
            (endpoint.database.as_str(), endpoint.schema.as_str()),
            ("shop", "sales")
        );
        assert_eq!(endpoint.tls.mode, TlsMode::Off);
    }

    #[test]
    fn certificates_are_verified_by_default() {
        let mssql = Endpoint::from_url("a", "mssql://u:p@127.0.0.1/d").unwrap();
        assert_eq!(
            mssql.tls,
            Tls {
                mode: TlsMode::Require,
                trust_server_certificate: false,
                ca_file: None
            }
        );
        let remote = Endpoint::from_url("a", "postgres://u:p@db.example/d").unwrap();
        assert_eq!(
            remote.tls,
            Tls {
                mode: TlsMode::Require,
                trust_server_certificate: false,
                ca_file: None
            }
        );
        for (written, mode) in [
            ("prefer", TlsMode::Prefer),
            ("disable", TlsMode::Off),
            ("verify-full", TlsMode::Require),
        ] {
            let url = format!("postgres://u:p@db.example/d?sslmode={written}");
            assert_eq!(Endpoint::from_url("a", &url).unwrap().tls.mode, mode);
        }
        let socket = Endpoint::from_url("a", "postgres://u@h/d?host=/run/postgresql").unwrap();
        assert_eq!(socket.tls.mode, TlsMode::Off);
        let local = Endpoint::from_url("a", "postgres://u:p@[::1]/d").unwrap();
        assert_eq!((local.host.as_str(), local.tls.mode), ("::1", TlsMode::Off));
    }

    #[test]
    fn no_error_repeats_a_password() {
        for text in [
            "mysql://u:hunter2@h/d",
            "mssql://u:hunter2@h",
            "postgres://u:hunter2@h/d?sslmode=maybe",
            "u:hunter2@h/d",
            "mssql://u:hunter2@h:99999/d",
            "mssql://u:1433/hunter2@h/d",
            "mssql://u:1433?hunter2@h/d",
            "mssql://u:p@h/d?hunter2=x@h/d",
            "Server=h;User Id=sa;Password=hunter2",
            "jdbc:sqlserver://h;user=sa;password=hunter2",
            "host=h user=u password='hunter2'",
        ] {
            let error = Endpoint::from_url("a", text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

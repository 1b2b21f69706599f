//! A database that tables are read from: where it is and how to log in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

/// Which protocol an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseKind {
    /// Microsoft SQL Server.
    SqlServer,
    /// PostgreSQL.
    Postgres,
}

impl DatabaseKind {
    /// The port when none is given.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::SqlServer => 1433,
            Self::Postgres => 5432,
        }
    }

    /// The schema of a table that is named without one.
    #[must_use]
    pub fn default_schema(self) -> &'static str {
        match self {
            Self::SqlServer => "dbo",
            Self::Postgres => "public",
        }
    }
}

impl fmt::Display for DatabaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SqlServer => "SQL Server",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// Text that is never printed: not by `Debug`, not by `Display`, not serialised.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How the connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Whether TLS is used.
    pub mode: TlsMode,
    /// Accept any certificate. Only for tests and closed networks.
    pub trust_server_certificate: bool,
    /// Trust the authorities in this PEM file in place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Whether TLS is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Off,
    /// When the server offers it; the certificate is checked then.
    Prefer,
    /// Always.
    Require,
}

/// A database, with everything needed to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The name that tasks and messages use.
    pub name: String,
    /// The protocol.
    pub engine: DatabaseKind,
    /// Host name, address, or (PostgreSQL) the directory of a Unix socket.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Login.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Protection of the connection.
    pub tls: Tls,
    /// Schema of tables that are named without one.
    pub schema: String,
    /// Sessions that one worker process opens at most; absent: as many as its concurrency needs.
    pub max_connections: Option<u32>,
    /// The longest that one statement may run; absent: as long as the table's timeout.
    pub statement_timeout: Option<Duration>,
    /// How long connecting and logging in may take.
    pub connect_timeout: Duration,
}

/// Why a URL names no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL at all, or of another scheme.
    #[error(
        "`{url}` is not a database URL ({reason}); write mssql://user:password@host:1433/database or postgres://user:password@host:5432/database"
    )]
    Url {
        /// The text without its password.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A `?name=value` that is not known, or a value that does not fit.
    #[error("database URL for {host}: {reason}")]
    Parameter {
        /// The host.
        host: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

impl Endpoint {
    /// Reads `mssql://user:password@host:port/database?encrypt=…&trust_server_certificate=…`
    /// or `postgres://user:password@host:port/database?sslmode=…`.
    ///
    /// Parameters of both: `ca_file`, `trust_server_certificate`, `schema`,
    /// `max_connections`, `statement_timeout` and `connect_timeout` (seconds).
    /// SQL Server: `encrypt` (`true`, the default, or `false`). PostgreSQL:
    /// `sslmode` (`disable`, `prefer`, `require`, `verify-full`), `sslrootcert`
    /// (the same as `ca_file`) and `host` (a socket directory). Without
    /// `sslmode` TLS is used when the server offers it, but not on loopback.
    ///
    /// # Errors
    ///
    /// When the text is no such URL; the password is not repeated.
    pub fn from_url(name: &str, text: &str) -> Result<Self, EndpointError> {
        let url = Url::parse(text).map_err(|error| EndpointError::Url {
            url: mask_password(text),
            reason: error.to_string(),
        })?;
        let bad_url = |reason: &str| EndpointError::Url {
            url: mask_password(text),
            reason: reason.to_owned(),
        };
        let engine = match url.scheme() {
            "mssql" | "sqlserver" => DatabaseKind::SqlServer,
            "postgres" | "postgresql" => DatabaseKind::Postgres,
            other => return Err(bad_url(&format!("unknown scheme `{other}`"))),
        };
        let decode = |part: &str| {
            percent_decode_str(part)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| bad_url("a part is not UTF-8 after decoding %XX"))
        };
        // An address in brackets is IPv6: drivers want it bare.
        let mut host = decode(url.host_str().unwrap_or_default())?
            .trim_matches(['[', ']'])
            .to_owned();
        let database = decode(url.path().trim_start_matches('/'))?;
        let user = decode(url.username())?;
        let password = Secret::new(decode(url.password().unwrap_or_default())?);

        let mut tls_mode = None;
        let mut trust_server_certificate = false;
        let mut ca_file = None;
        let mut schema = engine.default_schema().to_owned();
        let mut max_connections = None;
        let mut statement_timeout = None;
        let mut connect_timeout = Duration::from_secs(15);
        for (key, value) in url.query_pairs() {
            let bad = |reason: String| EndpointError::Parameter {
                host: url.host_str().unwrap_or_default().to_owned(),
                reason,
            };
            let boolean = || match value.as_ref() {
                "true" | "yes" | "1" => Ok(true),
                "false" | "no" | "0" => Ok(false),
                other => Err(bad(format!("{key}={other}: write true or false"))),
            };
            let number = || {
                value
                    .parse::<u32>()
                    .ok()
                    .filter(|n| *n > 0)
                    .ok_or_else(|| bad(format!("{key}={value}: write a whole number above 0")))
            };
            match (key.as_ref(), engine) {
                ("encrypt", DatabaseKind::SqlServer) => {
                    tls_mode = Some(if boolean()? {
                        TlsMode::Require
                    } else {
                        TlsMode::Off
                    })
                }
                ("trust_server_certificate", _) => trust_server_certificate = boolean()?,
                ("sslmode", DatabaseKind::Postgres) => {
                    tls_mode = Some(match value.as_ref() {
                        "disable" => TlsMode::Off,
                        "prefer" => TlsMode::Prefer,
                        "require" | "verify-ca" | "verify-full" => TlsMode::Require,
                        other => {
                            return Err(bad(format!(
                                "sslmode={other}: write disable, prefer, require or verify-full"
                            )));
                        }
                    });
                }
                ("host", DatabaseKind::Postgres) => host = value.into_owned(),
                ("ca_file", _) | ("sslrootcert", DatabaseKind::Postgres) => {
                    ca_file = Some(PathBuf::from(value.as_ref()))
                }
                ("schema", _) => schema = value.into_owned(),
                ("max_connections", _) => max_connections = Some(number()?),
                ("statement_timeout", _) => {
                    statement_timeout = Some(Duration::from_secs(number()?.into()))
                }
                ("connect_timeout", _) => connect_timeout = Duration::from_secs(number()?.into()),
                (other, _) => {
                    let known: &[&str] = match engine {
                        DatabaseKind::SqlServer => &[
                            "encrypt",
                            "trust_server_certificate",
                            "ca_file",
                            "schema",
                            "max_connections",
                            "statement_timeout",
                            "connect_timeout",
                        ],
                        DatabaseKind::Postgres => &[
                            "sslmode",
                            "sslrootcert",
                            "host",
                            "trust_server_certificate",
                            "ca_file",
                            "schema",
                            "max_connections",
                            "statement_timeout",
                            "connect_timeout",
                        ],
                    };
                    return Err(bad(format!(
                        "unknown parameter `{other}`; known are {}",
                        known.join(", ")
                    )));
                }
            }
        }
        if host.is_empty() {
            return Err(bad_url("no host"));
        }
        if database.is_empty() {
            return Err(bad_url("no database"));
        }
        if user.is_empty() {
            return Err(bad_url("no user"));
        }
        let tls_mode = tls_mode.unwrap_or(match engine {
            DatabaseKind::SqlServer => TlsMode::Require,
            DatabaseKind::Postgres if is_loopback(&host) => TlsMode::Off,
            DatabaseKind::Postgres => TlsMode::Prefer,
        });
        Ok(Self {
            name: name.to_owned(),
            engine,
            port: url.port().unwrap_or(engine.default_port()),
            host,
            database,
            user,
            password,
            tls: Tls {
                mode: tls_mode,
                trust_server_certificate,
                ca_file,
            },
            schema,
            max_connections,
            statement_timeout,
            connect_timeout,
        })
    }

    /// "PostgreSQL at host:port/database", for messages.
    #[must_use]
    pub fn location(&self) -> String {
        format!(
            "{} at {}:{}/{}",
            self.engine, self.host, self.port, self.database
        )
    }
}

/// Whether traffic to `host` never leaves this machine.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.starts_with('/')
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// `text` with whatever stands between the scheme's `//user:` and the last `@` replaced.
#[must_use]
pub fn mask_password(text: &str) -> String {
    let Some(start) = text.find("://").map(|at| at + 3) else {
        return if text.contains('@') {
            "***".to_owned()
        } else {
            text.to_owned()
        };
    };
    let Some(at) = text[start..].rfind('@').map(|at| at + start) else {
        return text.to_owned();
    };
    match text[start..at].find(':') {
        Some(colon) => format!("{}:***{}", &text[..start + colon], &text[at..]),
        None => text.to_owned(),
    }
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
        assert_eq!(endpoint.engine, DatabaseKind::SqlServer);
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
    fn certificates_are_checked_unless_told_otherwise() {
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
                mode: TlsMode::Prefer,
                trust_server_certificate: false,
                ca_file: None
            }
        );
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
        ] {
            let error = Endpoint::from_url("a", text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

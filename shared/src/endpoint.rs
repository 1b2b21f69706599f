//! Endpoints: the databases whose tables are compared, and how a process connects to them.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

pub use crate::login::{Login, LoginMethod, Route};
use crate::masking::mask;
pub use crate::secret::Secret;

/// The kind of a database, which decides the protocol and the SQL dialect.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseKind {
    /// Microsoft SQL Server.
    #[value(name = "sqlserver", alias = "mssql")]
    SqlServer,
    /// PostgreSQL.
    #[value(alias = "postgresql")]
    Postgres,
}

impl DatabaseKind {
    /// The kind that the scheme of a URL or the `engine` of a configuration names.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        <Self as ValueEnum>::from_str(name, false).ok()
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SqlServer => "sqlserver",
            Self::Postgres => "postgres",
        }
    }

    /// The scheme of the URLs that this program writes.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::SqlServer => "mssql",
            Self::Postgres => "postgres",
        }
    }

    /// The prefix of the environment variables that configure an endpoint, and
    /// the variable of its database.
    #[must_use]
    pub fn variables(self) -> (&'static str, &'static str) {
        match self {
            Self::SqlServer => ("SQLSERVER", "SQLSERVER_DATABASE"),
            Self::Postgres => ("POSTGRES", "POSTGRES_DB"),
        }
    }

    /// The TCP port of an endpoint whose URL has none.
    #[must_use]
    fn default_port(self) -> u16 {
        match self {
            Self::SqlServer => 1433,
            Self::Postgres => 5432,
        }
    }

    /// Whether an endpoint says how its clients log in and find the server, and whether their TLS
    /// is strict. Servers of PostgreSQL tell their clients how to log in.
    #[must_use]
    pub(crate) fn has_login_options(self) -> bool {
        self == Self::SqlServer
    }

    /// The default schema of an endpoint whose URL has none.
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

/// How the connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Whether TLS is used.
    pub mode: TlsMode,
    /// Accepts any certificate. Only for tests and trusted networks.
    pub trust_server_certificate: bool,
    /// Trusts the authorities in this PEM file instead of those of the system.
    pub ca_file: Option<PathBuf>,
}

/// Whether TLS is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsMode {
    /// Never.
    Off,
    /// If the server offers it; the certificate is verified then.
    Prefer,
    /// Always.
    Require,
    /// Always and from the first byte, with a certificate that is always verified: TDS 8.0.
    Strict,
}

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
    /// How the client logs in.
    pub login: Login,
    /// How the client finds the server.
    pub route: Route,
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

/// Why a URL does not describe an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The text is not a URL, has another scheme, or lacks a part.
    #[error(
        "`{url}` is not a database URL ({reason}); write mssql://user:password@host:1433/database or postgres://user:password@host:5432/database"
    )]
    Url {
        /// The text without its password.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A parameter `name=value` is unknown, or its value is invalid.
    #[error("database URL for {host}: {reason}")]
    Parameter {
        /// The host.
        host: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
}

impl Endpoint {
    /// Parses `mssql://user:password@host:port/database?encrypt=…&trust_server_certificate=…`
    /// or `postgres://user:password@host:port/database?sslmode=…`.
    ///
    /// Parameters of both kinds: `ca_file`, `trust_server_certificate`, `schema`,
    /// `max_connections`, `statement_timeout` and `connect_timeout` (seconds).
    /// SQL Server: `encrypt` (`true`, the default, `strict` or `false`), `auth`, `spn`,
    /// `instance`, `multi_subnet_failover` and `failover_partner`. PostgreSQL:
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
            login: Login::default(),
            route: Route::default(),
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
        for (part, value) in [("host", &endpoint.host), ("database", &endpoint.database)] {
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
        if endpoint.user.is_empty() && endpoint.login.method.needs_user() {
            return Err(bad_url("no user"));
        }
        if url.port().is_some() {
            endpoint.route.instance = None;
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
                self.tls.mode = match boolean() {
                    Ok(true) => TlsMode::Require,
                    Ok(false) => TlsMode::Off,
                    Err(_) if value == "strict" => TlsMode::Strict,
                    Err(_) => return Err(format!("{key}={value}: write true, strict or false")),
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
            (_, DatabaseKind::SqlServer)
                if self.login.set_parameter(key, value)?
                    || self.route.set_parameter(key, value)? => {}
            (other, kind) => {
                let own = match kind {
                    DatabaseKind::SqlServer => {
                        "encrypt, auth, spn, instance, multi_subnet_failover, failover_partner"
                    }
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

    /// "PostgreSQL at host:port/database" or "SQL Server at host\instance/database", for messages.
    #[must_use]
    pub fn location(&self) -> String {
        let (kind, host, port, database) = (self.kind, &self.host, self.port, &self.database);
        match &self.route.instance {
            Some(instance) => format!("{kind} at {host}\\{instance}/{database}"),
            None => format!("{kind} at {host}:{port}/{database}"),
        }
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
    fn a_url_says_how_to_log_in_and_to_which_server() {
        let endpoint = |text: &str| Endpoint::from_url("erp", text).map_err(|it| it.to_string());
        let token = endpoint(
            "mssql://db.example/shop?auth=token&spn=MSSQLSvc%2Fdb.example&encrypt=strict&\
             instance=SALES&multi_subnet_failover=true&failover_partner=db2.example:1444",
        )
        .unwrap();
        assert_eq!(token.login.method, LoginMethod::Token);
        assert_eq!(token.login.spn.as_deref(), Some("MSSQLSvc/db.example"));
        assert_eq!(token.tls.mode, TlsMode::Strict);
        assert_eq!(token.route.instance.as_deref(), Some("SALES"));
        assert_eq!(token.location(), "SQL Server at db.example\\SALES/shop");
        assert!(token.route.multi_subnet_failover);
        assert_eq!(token.route.partner(1433), Some(("db2.example", 1444)));
        // SQL Server Browser is not asked for a port that is known.
        let port = endpoint("mssql://u:p@db.example:1444/shop?instance=SALES").unwrap();
        assert_eq!((port.port, port.route.instance), (1444, None));
        for (text, mentions) in [
            ("mssql://db.example/shop?auth=ntlm", "no user"),
            ("mssql://u:p@h/d?auth=windows", "ntlm"),
            ("mssql://u:p@h/d?encrypt=maybe", "strict"),
            ("postgres://u:p@h/d?auth=ntlm", "unknown parameter"),
        ] {
            let error = endpoint(text).unwrap_err();
            assert!(error.contains(mentions), "{error}");
        }
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

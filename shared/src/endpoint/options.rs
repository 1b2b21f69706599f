//! The options of connections: what each of them sets, and which do not matter here.
//!
//! Names are compared without case, blanks, `_` and `-`, so that one list covers all forms:
//! `TrustServerCertificate`, `trustServerCertificate` and `trust_server_certificate` are one option.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;

use super::connection::{Connection, Pairs};
use super::kind::DatabaseKind;
use super::login::{LoginMethod, partner};
use super::server::{self, Server};
use super::tls::TlsMode;
use crate::config::suggestion;
use crate::secret::Secret;

/// An option of a connection, as the documentation describes it.
#[derive(Debug)]
pub struct DeclaredOption {
    /// Its usual name, and after `, ` the others.
    pub names: &'static str,
    /// The databases that have it.
    pub database: &'static str,
    /// What it sets, and its values.
    pub meaning: &'static str,
}

const fn option(
    names: &'static str,
    database: &'static str,
    meaning: &'static str,
) -> DeclaredOption {
    DeclaredOption {
        names,
        database,
        meaning,
    }
}

const BOTH: &str = "both";
const SQL_SERVER: &str = "SQL Server";
const POSTGRES: &str = "PostgreSQL";

/// The options that set something.
#[rustfmt::skip]
pub const OPTIONS: &[DeclaredOption] = &[
    option("server, data source, addr, address, network address, servername, host", SQL_SERVER, "server: `host`, `host,port` or `host\\instance`, with or without `tcp:`; `.` and `(local)` are this machine"),
    option("instance, instancename", SQL_SERVER, "named instance; without effect beside a port"),
    option("host, server", POSTGRES, "host name, address, or directory of a Unix socket"),
    option("port, portnumber", BOTH, "TCP port"),
    option("database, initial catalog, databasename, dbname", BOTH, "database"),
    option("user, user id, uid, username", BOTH, "user"),
    option("password, pwd", BOTH, "password"),
    option("encrypt", SQL_SERVER, "`true`, `yes` or `mandatory`: always TLS; `strict`: from the first byte, with a certificate that is always checked (TDS 8.0); `false`, `no`, `optional` or `disable`: never"),
    option("auth", SQL_SERVER, "how to log in: `password`, `ntlm` (user `DOMAIN\\user`) or `token` (with the key `token_command`)"),
    option("spn, server spn", SQL_SERVER, "service principal name that NTLM names to the server"),
    option("multi_subnet_failover", SQL_SERVER, "`true`: all addresses of the host are tried at once"),
    option("failover_partner", SQL_SERVER, "the mirror, `host` or `host,port`, that is tried when the server does not serve the database"),
    option("sslmode", POSTGRES, "`disable`, `prefer`, `require`, `verify-ca` or `verify-full`; the last three always check the certificate and the host in it"),
    option("ssl", POSTGRES, "`true`: the same as `sslmode=require`"),
    option("trust_server_certificate", BOTH, "`true`: accept any certificate"),
    option("ca_file, sslrootcert, root certificate, server certificate", BOTH, "PEM file of the trusted authorities, or of the server's own certificate; `system`: those of the system"),
    option("sslcert, ssl certificate", POSTGRES, "PEM file of the client's certificate"),
    option("sslkey, ssl key", POSTGRES, "PEM file of its private key, not encrypted"),
    option("service", POSTGRES, "service of `pg_service.conf` that sets what is absent here"),
    option("passfile", POSTGRES, "password file instead of `~/.pgpass`"),
    option("options", POSTGRES, "only `-c search_path=SCHEMA`: the same as `schema`"),
    option("schema, currentschema, search path", BOTH, "schema of tables that are named without one"),
    option("max_connections", BOTH, "most sessions of one process"),
    option("statement_timeout", BOTH, "seconds that one statement may run"),
    option("connect_timeout, connection timeout, timeout, logintimeout", BOTH, "seconds for connecting and logging in"),
];

/// Options that do not matter to a comparison, without case, blanks, `_` and `-`.
pub const IGNORED: [&str; 53] = [
    "app",
    "applicationname",
    "asyncprocessing",
    "asynchronousprocessing",
    "autoenlist",
    "binarytransfer",
    "clientencoding",
    "commandtimeout",
    "connectionlifetime",
    "connectretrycount",
    "connectretryinterval",
    "defaultrowfetchsize",
    "description",
    "driver",
    "enlist",
    "fallbackapplicationname",
    "includeerrordetail",
    "keepalive",
    "keepalives",
    "keepalivescount",
    "keepalivesidle",
    "keepalivesinterval",
    "loadbalancetimeout",
    "locktimeout",
    "logparameters",
    "marsconnection",
    "maxpoolsize",
    "minpoolsize",
    "multipleactiveresultsets",
    "networklibrary",
    "noresetonclose",
    "packetsize",
    "persistsecurityinfo",
    "pooling",
    "preparethreshold",
    "provider",
    "querytimeout",
    "responsebuffering",
    "rewritebatchedinserts",
    "selectmethod",
    "sendstringparametersasunicode",
    "sockettimeout",
    "sslcompression",
    "sslsni",
    "stringtype",
    "tcpkeepalive",
    "tcpkeepalives",
    "tcpusertimeout",
    "transactionbinding",
    "transparentnetworkipresolution",
    "typesystemversion",
    "workstationid",
    "wsid",
];

/// Why an option is refused.
enum Refusal {
    /// No database of this kind has it.
    Unknown,
    /// It is not supported, or its value is wrong.
    Invalid(String),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Invalid(reason)
    }
}

type Accepted = Result<(), Refusal>;

/// The name of an option as it is compared.
pub(super) fn normalise(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, ' ' | '_' | '-'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

impl Connection {
    /// Sets all options of a text. `advice` says how to write a password with separators.
    ///
    /// # Errors
    ///
    /// The message contains no password, and nothing that may be a part of one.
    pub(super) fn set_all(&mut self, pairs: Pairs, advice: &str) -> Result<(), String> {
        let mut follows_password = false;
        for (name, value) in pairs {
            let normalised = normalise(&name);
            match self.set(&normalised, &name, value.reveal()) {
                Ok(()) => {}
                Err(Refusal::Invalid(reason)) => return Err(reason),
                // The name may be the second half of the password.
                Err(Refusal::Unknown) if follows_password => {
                    return Err(format!("what follows the password is no option; {advice}"));
                }
                Err(Refusal::Unknown) => {
                    let known: Vec<&str> = self.known_names().collect();
                    return Err(format!(
                        "there is no option `{name}`{}",
                        suggestion(&name, &known)
                    ));
                }
            }
            follows_password = matches!(normalised.as_str(), "password" | "pwd");
        }
        Ok(())
    }

    /// The usual names of the options of this kind of database.
    fn known_names(&self) -> impl Iterator<Item = &'static str> {
        let kind = self.kind.to_string();
        OPTIONS
            .iter()
            .filter(move |option| option.database == BOTH || option.database == kind)
            .filter_map(|option| option.names.split(", ").next())
    }

    /// Sets one option: `option` is its [normalised](normalise) name, `name` the one for messages.
    fn set(&mut self, option: &str, name: &str, value: &str) -> Accepted {
        if IGNORED.contains(&option) {
            return Ok(());
        }
        match self.set_common(option, name, value) {
            Err(Refusal::Unknown) => match self.kind {
                DatabaseKind::SqlServer => self.set_of_sql_server(option, name, value),
                DatabaseKind::Postgres => self.set_of_postgres(option, name, value),
            },
            set => set,
        }
    }

    /// Options of both kinds of databases.
    fn set_common(&mut self, option: &str, name: &str, value: &str) -> Accepted {
        match option {
            "port" | "portnumber" => {
                let port = server::parse_port(value)?;
                once(&mut self.port, port, name)
            }
            "database" | "initialcatalog" | "databasename" | "dbname" => {
                once(&mut self.database, value.to_owned(), name)
            }
            "user" | "userid" | "uid" | "username" => once(&mut self.user, value.to_owned(), name),
            "password" | "pwd" => once(&mut self.password, Secret::new(value), name),
            "trustservercertificate" => {
                let trusts = boolean(name, value)?;
                once(&mut self.trust_server_certificate, trusts, name)
            }
            "cafile" | "sslrootcert" | "rootcertificate" | "servercertificate" => match value {
                "system" => Ok(()),
                file => once(&mut self.ca_file, PathBuf::from(file), name),
            },
            "schema" | "currentschema" | "searchpath" => self.set_schema(name, value),
            "maxconnections" => once(&mut self.max_connections, number(name, value)?, name),
            "statementtimeout" => once(&mut self.statement_timeout, seconds(name, value)?, name),
            "connecttimeout" | "connectiontimeout" | "timeout" | "logintimeout" => {
                once(&mut self.connect_timeout, seconds(name, value)?, name)
            }
            _ => Err(Refusal::Unknown),
        }
    }

    fn set_of_sql_server(&mut self, option: &str, name: &str, value: &str) -> Accepted {
        match option {
            "server" | "datasource" | "addr" | "address" | "networkaddress" | "servername"
            | "host" => self.set_server(value),
            "instance" | "instancename" => once(&mut self.instance, value.to_owned(), name),
            "encrypt" => {
                let mode = match value.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "1" | "mandatory" => TlsMode::Require,
                    "strict" => TlsMode::Strict,
                    "false" | "no" | "0" | "optional" | "disable" => TlsMode::Off,
                    _ => return Err(wrong(name, value, "true, strict or false")),
                };
                once(&mut self.tls_mode, mode, name)
            }
            "auth" => {
                let method = LoginMethod::from_str(value, true)
                    .map_err(|_| wrong(name, value, "password, ntlm or token"))?;
                once(&mut self.auth, method, name)
            }
            "spn" | "serverspn" => once(&mut self.spn, value.to_owned(), name),
            "multisubnetfailover" => {
                let is_on = boolean(name, value)?;
                once(&mut self.multi_subnet_failover, is_on, name)
            }
            "failoverpartner" => {
                partner(value)?;
                once(&mut self.failover_partner, value.to_owned(), name)
            }
            "integratedsecurity" | "trustedconnection" => match value.to_ascii_lowercase().as_str()
            {
                "false" | "no" | "0" => Ok(()),
                _ => Err(unsupported(
                    name,
                    "write user and password, with auth=ntlm and DOMAIN\\user for an account of a Windows domain",
                )),
            },
            "authentication" => match normalise(value).as_str() {
                "sqlpassword" | "notspecified" | "" => Ok(()),
                _ => Err(unsupported(
                    name,
                    "write auth=token and set token_command in [endpoints.NAME]",
                )),
            },
            "applicationintent" => match normalise(value).as_str() {
                "readonly" => Ok(()),
                _ => Err(unsupported(
                    name,
                    "leave it out: comparisons are always ReadOnly, and `reconcile apply` is ReadWrite",
                )),
            },
            "columnencryptionsetting" => match normalise(value).as_str() {
                "disabled" => Ok(()),
                _ => Err(unsupported(
                    name,
                    "leave it out: encrypted columns are compared as they are stored",
                )),
            },
            "hostnameincertificate" => Err(unsupported(
                name,
                "name the host as the certificate does, or the server's own certificate with ca_file=FILE",
            )),
            "attachdbfilename" | "userinstance" | "contextconnection" | "dsn" | "failoverport" => {
                Err(unsupported(name, "name server and database instead"))
            }
            _ => Err(Refusal::Unknown),
        }
    }

    fn set_of_postgres(&mut self, option: &str, name: &str, value: &str) -> Accepted {
        match option {
            "host" | "server" => self.set_host(name, value),
            "sslmode" => {
                let mode = ssl_mode(name, value)?;
                once(&mut self.tls_mode, mode, name)
            }
            "ssl" => match boolean(name, value)? {
                true => once(&mut self.tls_mode, TlsMode::Require, name),
                false => Ok(()),
            },
            "sslcert" | "sslcertificate" => once(&mut self.certificate, PathBuf::from(value), name),
            "sslkey" => once(&mut self.certificate_key, PathBuf::from(value), name),
            "service" => once(&mut self.service, value.to_owned(), name),
            "passfile" => once(&mut self.pass_file, PathBuf::from(value), name),
            "options" => {
                let schema = search_path(value).ok_or_else(|| {
                    unsupported(name, "only `-c search_path=SCHEMA` is; write schema=SCHEMA")
                })?;
                self.set_schema(name, schema)
            }
            "hostaddr" => Err(unsupported(name, "write the address as host")),
            "sslpassword" => Err(unsupported(
                name,
                "decrypt the key into a file that only this user can read",
            )),
            "requireauth"
            | "sslcrl"
            | "sslcrldir"
            | "krbsrvname"
            | "gsslib"
            | "gssdelegation"
            | "sslmaxprotocolversion"
            | "dsn" => Err(unsupported(name, "leave it out")),
            // Accepted with the values that describe what this program does.
            "gssencmode" | "channelbinding" => only(name, value, &["disable", "prefer"]),
            "targetsessionattrs" | "targetservertype" => only(name, value, &["any"]),
            "sslnegotiation" => only(name, value, &["postgres"]),
            "loadbalancehosts" => only(name, value, &["disable", "false"]),
            "sslminprotocolversion" => only(name, value, &["TLSv1", "TLSv1.1", "TLSv1.2"]),
            "replication" => only(name, value, &["false", "off", "no", "0"]),
            "readonly" => only(name, value, &["true"]),
            _ => Err(Refusal::Unknown),
        }
    }

    /// Sets the server of a SQL Server connection.
    fn set_server(&mut self, value: &str) -> Accepted {
        let Server {
            host,
            instance,
            port,
        } = server::parse(value)?;
        once(&mut self.host, host, "server")?;
        if let Some(port) = port {
            once(&mut self.port, port, "port")?;
        }
        match instance {
            Some(instance) => once(&mut self.instance, instance, "instance"),
            None => Ok(()),
        }
    }

    /// Sets the host of a PostgreSQL connection.
    fn set_host(&mut self, name: &str, value: &str) -> Accepted {
        let host = value.trim_start_matches('[').trim_end_matches(']');
        if host.contains(',') {
            return Err(unsupported("several hosts", "name the one to compare"));
        }
        if host.starts_with('@') {
            return Err(unsupported(
                "an abstract socket",
                "name the directory of a socket, or a host",
            ));
        }
        if !host.starts_with('/') && host.contains(['@', '/', '?', '#', ';', '=', ' ', '\\']) {
            let reason = "the host is no name, no address and no directory that begins with /";
            return Err(reason.to_owned().into());
        }
        once(&mut self.host, host.to_owned(), name)
    }

    fn set_schema(&mut self, name: &str, value: &str) -> Accepted {
        if value.contains(',') {
            return Err(unsupported("a list of schemas", "name one schema"));
        }
        once(&mut self.schema, value.trim_matches('"').to_owned(), name)
    }
}

/// Sets what must not have another value already.
fn once<T: PartialEq>(slot: &mut Option<T>, value: T, name: &str) -> Accepted {
    match slot {
        Some(before) if *before != value => {
            Err(format!("`{name}` is given twice, with different values; keep one").into())
        }
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

fn unsupported(what: impl Display, advice: &str) -> Refusal {
    Refusal::Invalid(format!("`{what}` is not supported; {advice}"))
}

fn wrong(name: &str, value: &str, expected: &str) -> Refusal {
    Refusal::Invalid(format!("{name}={value}: write {expected}"))
}

/// Accepts an option whose value asks for nothing that is not done.
fn only(name: &str, value: &str, accepted: &[&str]) -> Accepted {
    if accepted.iter().any(|word| word.eq_ignore_ascii_case(value)) {
        Ok(())
    } else {
        Err(unsupported(
            format_args!("{name}={value}"),
            &format!("leave it out; accepted is {}", accepted.join(", ")),
        ))
    }
}

fn boolean(name: &str, value: &str) -> Result<bool, Refusal> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(wrong(name, value, "true or false")),
    }
}

fn number(name: &str, value: &str) -> Result<u32, Refusal> {
    match value.trim().parse::<u32>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(wrong(name, value, "a whole number above 0")),
    }
}

fn seconds(name: &str, value: &str) -> Result<Duration, Refusal> {
    number(name, value).map(|number| Duration::from_secs(number.into()))
}

fn ssl_mode(name: &str, value: &str) -> Result<TlsMode, Refusal> {
    match normalise(value).as_str() {
        "disable" => Ok(TlsMode::Off),
        "prefer" => Ok(TlsMode::Prefer),
        "require" | "verifyca" | "verifyfull" => Ok(TlsMode::Require),
        _ => Err(wrong(
            name,
            value,
            "disable, prefer, require or verify-full",
        )),
    }
}

/// The search path that options of a server's command line set, if they set nothing else.
fn search_path(options: &str) -> Option<&str> {
    let option = options.trim();
    let setting = option
        .strip_prefix("-c")
        .or_else(|| option.strip_prefix("--"))?
        .trim_start();
    let (name, value) = setting.split_once('=')?;
    let is_one = !value.trim().is_empty() && !value.contains(' ');
    (is_one && name.trim().replace('-', "_") == "search_path").then(|| value.trim())
}

//! A connection as it was written.

use std::path::PathBuf;
use std::time::Duration;

use super::kind::DatabaseKind;
use super::login::LoginMethod;
use super::secret_command::SecretCommand;
use super::tls::TlsMode;
use crate::masking::mask;
use crate::secret::Secret;

/// Names and values of options, in the order in which they are written.
pub(super) type Pairs = Vec<(String, Secret)>;

/// A connection as it was written: what is absent was not said.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The kind of database.
    pub(crate) kind: DatabaseKind,
    /// The text without its secrets; absent if the connection is described in parts.
    pub(crate) text: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) instance: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) user: Option<String>,
    /// The password, if the text has it or the caller knows it.
    pub password: Option<Secret>,
    pub(crate) secret_command: Option<SecretCommand>,
    pub(crate) auth: Option<LoginMethod>,
    pub(crate) spn: Option<String>,
    pub(crate) multi_subnet_failover: Option<bool>,
    pub(crate) failover_partner: Option<String>,
    pub(crate) tls_mode: Option<TlsMode>,
    pub(crate) trust_server_certificate: Option<bool>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) certificate_key: Option<PathBuf>,
    pub(crate) schema: Option<String>,
    pub(crate) max_connections: Option<u32>,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    /// The service of PostgreSQL's service file.
    pub(crate) service: Option<String>,
    /// The password file of PostgreSQL.
    pub(crate) pass_file: Option<PathBuf>,
}

impl Connection {
    /// A connection of which nothing is known but the kind of database.
    pub(crate) fn new(kind: DatabaseKind) -> Self {
        Self {
            kind,
            text: None,
            host: None,
            port: None,
            instance: None,
            database: None,
            user: None,
            password: None,
            secret_command: None,
            auth: None,
            spn: None,
            multi_subnet_failover: None,
            failover_partner: None,
            tls_mode: None,
            trust_server_certificate: None,
            ca_file: None,
            certificate: None,
            certificate_key: None,
            schema: None,
            max_connections: None,
            statement_timeout: None,
            connect_timeout: None,
            service: None,
            pass_file: None,
        }
    }

    /// The same, for the options of `text`.
    pub(super) fn of_text(kind: DatabaseKind, text: &str) -> Self {
        Self {
            text: Some(mask(text)),
            ..Self::new(kind)
        }
    }

    /// Sets what the options in `pairs` say.
    ///
    /// # Errors
    ///
    /// As [`Connection::parse`].
    pub(crate) fn with_parts(
        mut self,
        pairs: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, String> {
        let pairs = pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Secret::new(value)));
        self.set_all(pairs.collect(), "")?;
        Ok(self)
    }

    /// This connection, and what `fallback` says where this one says nothing.
    pub(super) fn or(self, fallback: Self) -> Self {
        Self {
            kind: self.kind,
            text: self.text,
            host: self.host.or(fallback.host),
            port: self.port.or(fallback.port),
            instance: self.instance.or(fallback.instance),
            database: self.database.or(fallback.database),
            user: self.user.or(fallback.user),
            password: self.password.or(fallback.password),
            secret_command: self.secret_command.or(fallback.secret_command),
            auth: self.auth.or(fallback.auth),
            spn: self.spn.or(fallback.spn),
            multi_subnet_failover: self
                .multi_subnet_failover
                .or(fallback.multi_subnet_failover),
            failover_partner: self.failover_partner.or(fallback.failover_partner),
            tls_mode: self.tls_mode.or(fallback.tls_mode),
            trust_server_certificate: self
                .trust_server_certificate
                .or(fallback.trust_server_certificate),
            ca_file: self.ca_file.or(fallback.ca_file),
            certificate: self.certificate.or(fallback.certificate),
            certificate_key: self.certificate_key.or(fallback.certificate_key),
            schema: self.schema.or(fallback.schema),
            max_connections: self.max_connections.or(fallback.max_connections),
            statement_timeout: self.statement_timeout.or(fallback.statement_timeout),
            connect_timeout: self.connect_timeout.or(fallback.connect_timeout),
            service: self.service.or(fallback.service),
            pass_file: self.pass_file.or(fallback.pass_file),
        }
    }
}

//! Completes a connection to an endpoint, by what libpq's environment says and by defaults.

use std::path::PathBuf;
use std::time::Duration;

use super::connection::Connection;
use super::environment::LibpqEnvironment;
use super::error::EndpointError;
use super::kind::DatabaseKind;
use super::login::{Login, LoginMethod, Route};
use super::pass_file;
use super::settings::Endpoint;
use super::tls::{ClientCertificate, Tls, TlsMode};

/// How long connecting and logging in may take, unless the connection says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest name of an instance of SQL Server in bytes (MC-SQLR, section 2.2.3).
const LONGEST_INSTANCE: usize = 32;

impl Connection {
    /// The endpoint `name`. What a PostgreSQL connection does not say comes from its service, then
    /// from libpq's variables, then from the password file, then from defaults.
    ///
    /// # Errors
    ///
    /// When a part is missing, or a service or a password file cannot be read.
    pub fn into_endpoint(
        self,
        name: &str,
        libpq: &LibpqEnvironment,
    ) -> Result<Endpoint, EndpointError> {
        let text = self.text.clone();
        self.complete(name, libpq)
            .map_err(|reason| EndpointError::in_masked(text, reason))
    }

    fn complete(mut self, name: &str, libpq: &LibpqEnvironment) -> Result<Endpoint, String> {
        if self.kind.uses_libpq() {
            if let Some(service) = self.service.clone().or_else(|| libpq.service()) {
                self = self.or(libpq.connection_of_service(&service)?);
            }
            self = self.or(libpq.connection()?);
        }
        let port = self.port.unwrap_or(self.kind.default_port());
        let method = self.auth.unwrap_or_default();
        if !method.needs_user() {
            self.user = self.user.or(Some(String::new()));
        }
        let missing = self.missing_parts();
        let (Some(host), Some(database), Some(user), true) =
            (self.host, self.database, self.user, missing.is_empty())
        else {
            return Err(format!("lacks {}", missing.join(", ")));
        };
        check_login(
            method,
            self.secret_command.is_some(),
            self.instance.as_deref(),
        )?;
        let mut warnings = Vec::new();
        let needs_password = self.password.is_none() && self.secret_command.is_none();
        if self.kind.uses_libpq() && needs_password {
            let login = pass_file::Login {
                host: &host,
                port,
                database: &database,
                user: &user,
            };
            let file = self.pass_file.clone().or_else(|| libpq.pass_file());
            let found = file.map(|file| pass_file::find(&file, &login));
            match found.transpose() {
                Ok(password) => self.password = password.flatten(),
                Err(reason) => warnings.push(reason),
            }
        }
        let client_certificate = client_certificate(self.certificate, self.certificate_key)?;
        let is_local = self.kind == DatabaseKind::Postgres && is_loopback(&host);
        let default_mode = if is_local && client_certificate.is_none() {
            TlsMode::Off
        } else {
            TlsMode::Require
        };
        Ok(Endpoint {
            name: name.to_owned(),
            kind: self.kind,
            port,
            database,
            user,
            password: self
                .password
                .filter(|_| self.secret_command.is_none())
                .unwrap_or_default(),
            secret_command: self.secret_command,
            login: Login {
                method,
                spn: self.spn,
            },
            route: Route {
                // A port that is named decides, as in Microsoft's drivers.
                instance: self.instance.filter(|_| self.port.is_none()),
                multi_subnet_failover: self.multi_subnet_failover.unwrap_or(false),
                failover_partner: self.failover_partner,
            },
            tls: Tls {
                mode: self.tls_mode.unwrap_or(default_mode),
                trust_server_certificate: self.trust_server_certificate.unwrap_or(false),
                ca_file: self.ca_file,
                client_certificate,
            },
            host,
            schema: self
                .schema
                .unwrap_or_else(|| self.kind.default_schema().to_owned()),
            max_connections: self.max_connections,
            statement_timeout: self.statement_timeout,
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            warnings,
        })
    }
}

impl Connection {
    /// The parts that an endpoint must have and this connection has not.
    fn missing_parts(&self) -> Vec<&'static str> {
        let needs_user = self.auth.unwrap_or_default().needs_user();
        let parts = [
            ("host", &self.host, true),
            ("database", &self.database, true),
            ("user", &self.user, needs_user),
        ];
        parts
            .into_iter()
            .filter(|(_, value, is_needed)| {
                *is_needed && value.as_ref().is_none_or(String::is_empty)
            })
            .map(|(part, ..)| part)
            .collect()
    }
}

/// Refuses a token without a command that prints it, and what is no name of an instance.
fn check_login(
    method: LoginMethod,
    has_command: bool,
    instance: Option<&str>,
) -> Result<(), String> {
    if method == LoginMethod::Token && !has_command {
        return Err("says auth=token and has no token_command: set it in [endpoints.NAME], it has no place in a URL".to_owned());
    }
    match instance {
        Some(name) if name.is_empty() || name.len() > LONGEST_INSTANCE => Err(format!(
            "`{name}` is not the name of an instance, which has 1 to {LONGEST_INSTANCE} bytes"
        )),
        _ => Ok(()),
    }
}

fn client_certificate(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<ClientCertificate>, String> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(ClientCertificate { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err("it has a client certificate and no key; add sslkey".to_owned()),
        (None, Some(_)) => Err("it has the key of a client certificate; add sslcert".to_owned()),
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

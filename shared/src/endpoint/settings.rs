//! A database and the settings of its connections.

use std::time::Duration;

use super::kind::DatabaseKind;
use super::login::{Login, Route};
use super::secret_command::SecretCommand;
use super::tls::Tls;
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
    /// User name; empty if an access token names the user.
    pub user: String,
    /// Password of the user, or the access token.
    pub password: Secret,
    /// The command that prints the password or the access token; `password` is empty then.
    pub secret_command: Option<SecretCommand>,
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
    /// What the user should know of the description, one sentence each.
    pub warnings: Vec<String>,
}

impl Endpoint {
    /// "PostgreSQL at host:port/database", for messages.
    #[must_use]
    pub fn location(&self) -> String {
        format!("{} at {}/{}", self.kind, self.server(), self.database)
    }

    /// "host:port", or "host\instance" for a named instance.
    #[must_use]
    pub fn server(&self) -> String {
        match &self.route.instance {
            Some(instance) => format!("{}\\{instance}", self.host),
            None => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether a user who logs in is usually asked for a password, and none is known.
    #[must_use]
    pub fn lacks_password(&self) -> bool {
        self.password.is_empty()
            && self.secret_command.is_none()
            && self.tls.client_certificate.is_none()
            && !self.host.starts_with('/')
    }
}

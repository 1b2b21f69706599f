//! What a server is started with, and the settings that all its sessions share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;

use crate::mangling::Mangling;
use crate::statements::StatementLog;

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TlsMode {
    /// Never
    Off,
    /// When the client requests it; only the login when the client leaves it open
    On,
    /// Always
    Required,
    /// Always and before PRELOGIN, as TDS 8.0 has it; the others but `Off` accept that too
    Strict,
}

/// How clients may log in beside user and password, and what else a server of SQL Server tells
/// them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LoginOptions {
    /// The Windows domain of the user, who may then log in with NTLMv2
    #[arg(long)]
    pub domain: Option<String>,
    /// A file with the access tokens that are accepted, one a line, read at each login
    #[arg(long)]
    pub token_file: Option<PathBuf>,
    /// A file that gets a line for each login
    #[arg(long)]
    pub login_log: Option<PathBuf>,
    /// The name of the instance whose port is told on UDP port 1434 of the address
    #[arg(long)]
    pub instance: Option<String>,
    /// The server HOST:PORT that clients are sent to after their login
    #[arg(long)]
    pub route_to: Option<String>,
}

impl LoginOptions {
    /// The server that clients are sent to.
    pub(crate) fn route(&self) -> Option<(&str, u16)> {
        let (host, port) = self.route_to.as_deref()?.rsplit_once(':')?;
        Some((host, port.parse().ok()?))
    }
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// URL of the PostgreSQL database that stores the tables. Its user must be allowed to create
    /// schemas.
    pub postgres: String,
    /// The user that clients log in as.
    pub user: String,
    /// The password of that user.
    pub password: String,
    /// The name of the database that clients see.
    pub database: String,
    /// Whether connections are encrypted.
    pub tls: TlsMode,
    /// The directory that `ca.pem`, the certificate to trust, is written to. Required with TLS.
    pub certificate_directory: Option<PathBuf>,
    /// Whether the database allows SNAPSHOT isolation.
    pub allow_snapshot: bool,
    /// How clients may log in beside user and password, and what else they are told.
    pub login: LoginOptions,
    /// Which results are wrong on purpose.
    pub mangling: Option<Arc<Mangling>>,
    /// Where the statements of sessions of the product are recorded.
    pub statements: Option<Arc<StatementLog>>,
}

/// The settings that all sessions of a server share.
#[derive(Debug)]
pub(crate) struct SharedSettings {
    pub(crate) options: Options,
    pub(crate) postgres: tokio_postgres::Config,
    /// `None` when connections are never encrypted.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// The same for TLS before PRELOGIN.
    pub(crate) strict_tls: Option<Arc<ServerConfig>>,
}

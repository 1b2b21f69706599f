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
}

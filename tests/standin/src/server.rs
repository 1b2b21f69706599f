//! Listens, and gives every connection a session of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog;
use crate::session;
use crate::tls::{self, CertificateError};

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Off,
    /// When the client wants it; the login alone when the client leaves it open.
    On,
    /// Always.
    Required,
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The PostgreSQL database that holds the tables, with a user that may create schemas in it.
    pub postgres: String,
    /// The login.
    pub user: String,
    /// Its password.
    pub password: String,
    /// What the database is called towards clients.
    pub database: String,
    /// Whether connections are encrypted.
    pub tls: TlsMode,
    /// Where `ca.pem` is written, the certificate to trust. Needed with TLS.
    pub certificates: Option<PathBuf>,
    /// Whether the database allows SNAPSHOT isolation.
    pub snapshot: bool,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// PostgreSQL cannot be reached or prepared.
    #[error("the PostgreSQL underneath: {0}")]
    Postgres(#[from] tokio_postgres::Error),
    /// The URL of PostgreSQL is none, or the certificate cannot be made.
    #[error("{0}")]
    Options(String),
}

impl From<CertificateError> for StartError {
    fn from(error: CertificateError) -> Self {
        Self::Options(error.to_string())
    }
}

/// What all sessions of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) postgres: tokio_postgres::Config,
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

/// A running server. It ends when this value is dropped, and its sessions with it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    ca_file: Option<PathBuf>,
    stop: CancellationToken,
    sessions: TaskTracker,
}

impl Server {
    /// Prepares the database and listens.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be reached, the address is taken, or there is no certificate.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let postgres: tokio_postgres::Config = options.postgres.parse()?;
        let (client, connection) = postgres.connect(NoTls).await?;
        let driver = tokio::spawn(connection);
        catalog::prepare(&client).await?;
        drop(client);
        driver
            .await
            .map_err(|error| StartError::Options(error.to_string()))??;

        let (tls, ca_file) = match (options.tls, &options.certificates) {
            (TlsMode::Off, _) => (None, None),
            (_, Some(directory)) => {
                let (config, file) = tls::server_config(directory)?;
                (Some(config), Some(file))
            }
            (_, None) => {
                return Err(StartError::Options(
                    "TLS needs a directory for the authority's certificate".to_owned(),
                ));
            }
        };
        let listen = |error| StartError::Listen {
            address: options.listen,
            error,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (stop, sessions) = (CancellationToken::new(), TaskTracker::new());
        let shared = Arc::new(Shared {
            options,
            postgres,
            tls,
        });
        tokio::spawn(accept(listener, shared, stop.clone(), sessions.clone()));
        Ok(Self {
            address,
            ca_file,
            stop,
            sessions,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate to trust, with TLS.
    #[must_use]
    pub fn ca_file(&self) -> Option<&PathBuf> {
        self.ca_file.as_ref()
    }

    /// Ends all sessions and waits for them.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.sessions.close();
        self.sessions.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: CancellationToken,
    sessions: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let (shared, stop) = (Arc::clone(&shared), stop.clone());
                sessions.spawn(async move {
                    if let Err(error) = serve(socket, &shared, &stop).await {
                        tracing::debug!("a connection ended: {error}");
                    }
                });
            }
            // Out of file descriptors, for example: others may end.
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn serve(
    socket: TcpStream,
    shared: &Shared,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    Box::pin(session::run(socket, shared, stop)).await
}

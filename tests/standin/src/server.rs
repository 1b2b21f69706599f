//! The server: it listens, and serves each connection in a task of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::browser::Browser;
use crate::catalog;
use crate::options::{Options, SharedSettings, TlsMode};
use crate::session;
use crate::tls::{self, CertificateError};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The server cannot listen on the address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The requested address.
        address: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The URL is malformed, or the database cannot be reached or prepared.
    #[error("cannot prepare the PostgreSQL database")]
    Postgres(#[from] tokio_postgres::Error),
    /// There is no certificate for TLS.
    #[error("cannot set TLS up")]
    Certificate(#[from] CertificateError),
    /// TLS is requested without a directory for the certificate.
    #[error("TLS needs a directory that the certificate to trust is written to")]
    NoCertificateDirectory,
}

/// A running server. Dropping it stops the server and its sessions.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    sessions: TaskTracker,
}

impl Server {
    /// Prepares the database and starts to listen.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be reached, the address is taken, or there is no certificate.
    ///
    /// # Panics
    ///
    /// When the driver of PostgreSQL panics.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let postgres: tokio_postgres::Config = options.postgres.parse()?;
        let (client, connection) = postgres.connect(NoTls).await?;
        let driver = tokio::spawn(connection);
        catalog::prepare(&client).await?;
        drop(client);
        driver.await.expect("the driver does not panic")?;

        let tls = match (options.tls, &options.certificate_directory) {
            (TlsMode::Off, _) => None,
            (_, Some(directory)) => Some(tls::server_configs(directory)?),
            (_, None) => return Err(StartError::NoCertificateDirectory),
        };
        let listen_error = |source| StartError::Listen {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let (stop, sessions) = (CancellationToken::new(), TaskTracker::new());
        if let Some(instance) = options.login.instance.clone() {
            let browser = Browser::bind(address, instance).await;
            let browser = browser.map_err(listen_error)?;
            let stop = stop.clone();
            sessions.spawn(async move { stop.run_until_cancelled(browser.answer()).await });
        }
        let settings = Arc::new(SharedSettings {
            options,
            postgres,
            tls: tls.as_ref().map(|tls| Arc::clone(&tls.usual)),
            strict_tls: tls.map(|tls| tls.strict),
        });
        tokio::spawn(accept(listener, settings, stop.clone(), sessions.clone()));
        Ok(Self {
            address,
            stop,
            sessions,
        })
    }

    /// The address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops all sessions and waits until they have ended.
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
    settings: Arc<SharedSettings>,
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
                let (settings, stop) = (Arc::clone(&settings), stop.clone());
                sessions.spawn(async move {
                    if let Err(error) = serve(socket, &settings, &stop).await {
                        tracing::debug!("a connection failed: {error}");
                    }
                });
            }
            // The error may be temporary, such as a lack of file descriptors.
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn serve(
    socket: TcpStream,
    settings: &SharedSettings,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    Box::pin(session::run(socket, settings, stop)).await
}

//! Connects to a SQL Server, or to its stand-in.

use anyhow::Context;
use shared::endpoint::{Endpoint, TlsMode};
use tiberius::{AuthMethod, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

/// A session of a SQL Server.
pub type SqlServer = tiberius::Client<Compat<TcpStream>>;

/// A session of a SQL Server at an endpoint URL.
///
/// # Errors
///
/// When the URL is wrong or the server refuses.
pub async fn connect(url: &str) -> anyhow::Result<SqlServer> {
    let endpoint = Endpoint::from_url("harness", url)?;
    let mut config = tiberius::Config::new();
    config.host(&endpoint.host);
    config.port(endpoint.port);
    config.database(&endpoint.database);
    config.authentication(AuthMethod::sql_server(
        &endpoint.user,
        endpoint.password.reveal(),
    ));
    config.encryption(if endpoint.tls.mode == TlsMode::Off {
        EncryptionLevel::NotSupported
    } else {
        EncryptionLevel::Required
    });
    match &endpoint.tls.ca_file {
        Some(file) => config.trust_cert_ca(file.to_string_lossy()),
        None if endpoint.tls.trust_server_certificate => config.trust_cert(),
        None => {}
    }
    let stream = TcpStream::connect(config.get_addr())
        .await
        .with_context(|| format!("cannot reach {}", endpoint.location()))?;
    stream.set_nodelay(true)?;
    // Boxed: the future of a login takes 17 kB of stack.
    Box::pin(tiberius::Client::connect(config, stream.compat_write()))
        .await
        .with_context(|| format!("cannot log in to {}", endpoint.location()))
}

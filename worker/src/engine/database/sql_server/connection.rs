//! A connection with SQL Server: TCP, TLS and login.

use std::io;

use shared::endpoint::{Endpoint, TlsMode};
use socket2::{SockRef, TcpKeepalive};
use tiberius::error::Error;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use crate::engine::database::session::label::{APPLICATION, Access};
use crate::engine::database::session::limits::KEEPALIVE;

pub(crate) type Connection = Client<Compat<TcpStream>>;

/// The requested size of a TDS packet in bytes; the server may choose a smaller one.
const PACKET_SIZE: u32 = 16 * 1024;

/// The outer error is of the network, the inner one of the driver.
pub(crate) async fn login(
    endpoint: &Endpoint,
    host: &str,
    port: u16,
    access: Access,
) -> io::Result<Result<Connection, Error>> {
    let mut config = Config::new();
    config.host(host);
    config.port(port);
    config.database(&endpoint.database);
    config.authentication(AuthMethod::sql_server(
        &endpoint.user,
        endpoint.password.reveal(),
    ));
    config.application_name(APPLICATION);
    // Only a reader may be routed to a read-only replica.
    config.readonly(access == Access::Read);
    config.packet_size(PACKET_SIZE);
    // The worker itself enforces the time limit of statements.
    config.command_timeout(None);
    config.encryption(match endpoint.tls.mode {
        TlsMode::Off => EncryptionLevel::NotSupported,
        TlsMode::Prefer => EncryptionLevel::On,
        TlsMode::Require => EncryptionLevel::Required,
    });
    if endpoint.tls.trust_server_certificate {
        config.trust_cert();
    } else if let Some(file) = &endpoint.tls.ca_file {
        config.trust_cert_ca(file.display());
    }
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    keep_alive(&stream)?;
    // Boxed: the handshake is a large future.
    Ok(Box::pin(Client::connect(config, stream.compat_write())).await)
}

fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE.idle)
            .with_interval(KEEPALIVE.interval)
            .with_retries(KEEPALIVE.retries),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(KEEPALIVE.unacknowledged))?;
    Ok(())
}

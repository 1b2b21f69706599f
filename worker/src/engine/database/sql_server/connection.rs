//! A connection with SQL Server: the login on a channel.

use std::io;

use shared::endpoint::Endpoint;
use socket2::{SockRef, TcpKeepalive};
use tiberius::error::Error;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use crate::engine::database::session::label::{APPLICATION, Access};
use crate::engine::database::session::limits::KEEPALIVE;
use crate::engine::database::sql_server::channel::Channel;
use crate::engine::error::DatabaseError;

pub(crate) type Connection = Client<Compat<Channel>>;

/// The requested size of a TDS packet in bytes; the server may choose a smaller one.
const PACKET_SIZE: u32 = 16 * 1024;

/// The outer error is of the network or of TLS, the inner one of the driver.
pub(crate) async fn login(
    endpoint: &Endpoint,
    host: &str,
    port: u16,
    access: Access,
) -> Result<Result<Connection, Error>, DatabaseError> {
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
    // The channel encrypts.
    config.encryption(EncryptionLevel::NotSupported);
    let network = DatabaseError::Network;
    let stream = TcpStream::connect((host, port)).await.map_err(network)?;
    stream.set_nodelay(true).map_err(network)?;
    keep_alive(&stream).map_err(network)?;
    let channel = Channel::open(stream, endpoint, host).await?;
    // Boxed: the login is a large future.
    Ok(Box::pin(Client::connect(config, channel.compat_write())).await)
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

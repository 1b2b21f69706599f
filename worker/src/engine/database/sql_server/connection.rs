//! A connection with SQL Server: the login on a channel.

use std::io;

use shared::endpoint::{Endpoint, LoginMethod};
use socket2::{SockRef, TcpKeepalive};
use tiberius::error::Error;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use crate::engine::database::session::label::{APPLICATION, Access};
use crate::engine::database::session::limits::KEEPALIVE;
use crate::engine::database::sql_server::channel::Channel;
use crate::engine::database::sql_server::integrated::{self, Request};
use crate::engine::database::sql_server::ntlm::Ntlm;
use crate::engine::error::DatabaseError;

pub(crate) type Connection = Client<Compat<Channel>>;

/// The requested size of a TDS packet in bytes; the server may choose a smaller one.
const PACKET_SIZE: u32 = 16 * 1024;

/// Logs in at the server with which `stream` is connected. The outer error is of the network or of
/// TLS, the inner one of the driver.
pub(super) async fn login(
    stream: TcpStream,
    endpoint: &Endpoint,
    (host, port): (&str, u16),
    access: Access,
) -> Result<Result<Connection, Error>, DatabaseError> {
    let mut config = Config::new();
    config.host(host);
    config.port(port);
    config.database(&endpoint.database);
    config.application_name(APPLICATION);
    // Only a reader may be routed to a read-only replica.
    config.readonly(access == Access::Read);
    config.packet_size(PACKET_SIZE);
    // The worker itself enforces the time limit of statements.
    config.command_timeout(None);
    // The channel encrypts.
    config.encryption(EncryptionLevel::NotSupported);
    let network = DatabaseError::Network;
    stream.set_nodelay(true).map_err(network)?;
    keep_alive(&stream).map_err(network)?;
    config.authentication(credentials(endpoint));
    let mut channel = Channel::open(stream, endpoint, host).await?;
    if endpoint.login.method == LoginMethod::Ntlm {
        let target = match &endpoint.login.spn {
            Some(spn) => spn.clone(),
            None => format!("MSSQLSvc/{host}:{port}"),
        };
        let ntlm = Ntlm::new(endpoint, &target);
        let request = Request {
            endpoint,
            host,
            access,
            packet_size: PACKET_SIZE,
        };
        let answer = integrated::log_in(channel.bytes(), &request, &ntlm).await?;
        channel.set_login_answer(answer);
    }
    // Boxed: the login is a large future.
    Ok(Box::pin(Client::connect(config, channel.compat_write())).await)
}

/// What the driver logs in with.
fn credentials(endpoint: &Endpoint) -> AuthMethod {
    match endpoint.login.method {
        LoginMethod::Password => AuthMethod::sql_server(&endpoint.user, endpoint.password.reveal()),
        LoginMethod::Token => AuthMethod::aad_token(endpoint.password.reveal()),
        // The channel logs in.
        LoginMethod::Ntlm => AuthMethod::None,
    }
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

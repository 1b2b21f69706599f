//! One connection: the handshake, the login, and then requests until the client disconnects.

mod authentication;
mod conversation;
mod error;
mod request;
mod state;
mod transaction;

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::error::SqlError;
use crate::options::{SharedSettings, TlsMode};
use crate::postgres;
use crate::protocol::handshake::HandshakeStream;
use crate::protocol::login::{self, Encryption, Login};
use crate::protocol::packet::{DEFAULT_SIZE, Message, MessageReader, MessageWriter, message_type};
use crate::protocol::token::{self, DoneToken, done_status};
use crate::tls::STRICT_PROTOCOL;
use authentication::authenticate;
use conversation::converse;
use state::Session;

/// Serves a connection until it ends.
///
/// # Errors
/// When the connection fails or the client violates the protocol.
pub(crate) async fn run(
    socket: TcpStream,
    settings: &SharedSettings,
    stop: &CancellationToken,
) -> io::Result<()> {
    if starts_with_tls(&socket).await? {
        let Some(config) = settings.strict_tls.clone() else {
            return Err(invalid("the client began with TLS"));
        };
        let stream = TlsAcceptor::from(config).accept(socket).await?;
        if stream.get_ref().1.alpn_protocol() != Some(STRICT_PROTOCOL) {
            return Err(invalid("the client did not name TDS 8.0 in its handshake"));
        }
        let mut reader = MessageReader::new(stream);
        let Some(first) = reader.next().await? else {
            return Ok(());
        };
        let stream = answer_prelogin(reader.into_inner(), &first, TlsMode::Strict)
            .await?
            .0;
        return receive_login(stream, settings, stop).await;
    }
    if settings.options.tls == TlsMode::Strict {
        return Err(invalid("the client did not begin with TLS"));
    }
    let mut reader = MessageReader::new(socket);
    let Some(first) = reader.next().await? else {
        return Ok(());
    };
    let mode = settings.options.tls;
    let (socket, encryption) = answer_prelogin(reader.into_inner(), &first, mode).await?;

    let Some(config) = settings
        .tls
        .clone()
        .filter(|_| encryption != Encryption::None)
    else {
        return receive_login(socket, settings, stop).await;
    };
    let (handshake, over) = HandshakeStream::new(socket);
    let stream = TlsAcceptor::from(config).accept(handshake).await?;
    over.store(true, std::sync::atomic::Ordering::Release);
    if encryption == Encryption::All {
        return receive_login(stream, settings, stop).await;
    }
    // Only the login is encrypted.
    let mut reader = MessageReader::new(stream);
    let login = reader.next().await?;
    let plain = reader.into_inner().into_inner().0.into_inner();
    match login {
        Some(message) if message.message_type == message_type::LOGIN7 => {
            start_session(plain, &message.body, settings, stop).await
        }
        _ => Ok(()),
    }
}

/// Whether the first byte of the client begins a TLS handshake. It is not taken from the socket.
async fn starts_with_tls(socket: &TcpStream) -> io::Result<bool> {
    const HANDSHAKE: u8 = 0x16;
    let mut first = [0];
    socket.peek(&mut first).await?;
    Ok(first == [HANDSHAKE])
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Answers a PRELOGIN message. Returns the stream and the agreed encryption.
async fn answer_prelogin<S: AsyncWrite + Unpin>(
    stream: S,
    message: &Message,
    mode: TlsMode,
) -> io::Result<(S, Encryption)> {
    if message.message_type != message_type::PRELOGIN {
        return Err(invalid("the first message of the client is not PRELOGIN"));
    }
    let (answer, encryption) = login::answer_prelogin(&message.body, mode)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut writer = MessageWriter::new(stream);
    writer.push(&answer);
    writer.finish().await?;
    Ok((writer.into_inner(), encryption))
}

async fn receive_login<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    settings: &SharedSettings,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mut reader = MessageReader::new(stream);
    match reader.next().await? {
        Some(message) if message.message_type == message_type::LOGIN7 => {
            start_session(reader.into_inner(), &message.body, settings, stop).await
        }
        _ => Ok(()),
    }
}

/// Checks the login, answers it, and serves the session.
async fn start_session<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    body: &[u8],
    settings: &SharedSettings,
    stop: &CancellationToken,
) -> io::Result<()> {
    let (stream, checked) = match login::parse(body) {
        Ok(login) => authenticate(stream, login, &settings.options).await?,
        Err(error) => (stream, Err(error)),
    };
    let (read_half, write_half) = tokio::io::split(stream);
    let mut writer = MessageWriter::new(write_half);
    let connected = match checked {
        Ok(login) => connect_postgres(&login, settings)
            .await
            .map(|(client, pid)| (login, client, pid)),
        Err(error) => Err(error),
    };
    let (login, client, pid) = match connected {
        Ok(connected) => connected,
        Err(error) => {
            let mut out = Vec::new();
            token::push_error(&mut out, &error);
            token::push_done(&mut out, DoneToken::Batch, done_status::ERROR, 0);
            writer.push(&out);
            writer.finish().await?;
            return writer.shutdown().await;
        }
    };
    // The same number as in sys.dm_exec_sessions.
    let number = u16::try_from(pid % 32_767).unwrap_or(0);
    writer.set_session(number);

    let database = &settings.options.database;
    let mut out = Vec::new();
    token::push_database_change(&mut out, database, "master");
    token::push_collation_change(&mut out);
    token::push_language_change(&mut out);
    token::push_login_ack(&mut out);
    token::push_packet_size_change(&mut out, login.packet_size, DEFAULT_SIZE);
    if let Some(features) = &login.features {
        token::push_feature_ack(&mut out, features);
    }
    if let Some((host, port)) = settings.options.login.route() {
        token::push_routing(&mut out, host, port);
    }
    token::push_done(&mut out, DoneToken::Batch, done_status::FINAL, 0);
    writer.push(&out);
    writer.finish().await?;
    writer.set_packet_size(login.packet_size);

    let session = Session::new(client, writer, &login, database, number).await;
    match session {
        Ok(session) => {
            let session = session
                .mangled_by(settings.options.mangling.clone())
                .recorded_in(settings.options.statements.clone());
            converse(session, MessageReader::new(read_half), stop).await
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// A session of PostgreSQL for the client's session, and the process id of its server process.
async fn connect_postgres(
    login: &Login,
    settings: &SharedSettings,
) -> Result<(tokio_postgres::Client, i32), SqlError> {
    let mut config = settings.postgres.clone();
    config.application_name(&login.application);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a PostgreSQL session failed: {error}");
        }
    });
    let database = postgres::literal(&settings.options.database);
    let snapshot = u8::from(settings.options.allow_snapshot);
    let parameters = format!(
        "SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET standin.database = {database}; SET standin.snapshot = '{snapshot}'"
    );
    client.batch_execute(&parameters).await?;
    let pid = client
        .query_one("SELECT pg_backend_pid()", &[])
        .await?
        .try_get(0)?;
    Ok((client, pid))
}

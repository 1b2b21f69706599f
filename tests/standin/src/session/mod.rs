//! One connection: the handshake, the login, and then requests until the client disconnects.

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
use crate::options::SharedSettings;
use crate::postgres;
use crate::protocol::handshake::HandshakeStream;
use crate::protocol::login::{self, Encryption, Login};
use crate::protocol::packet::{DEFAULT_SIZE, MessageReader, MessageWriter, message_type};
use crate::protocol::token::{self, DoneToken, done_status};
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
    let mut reader = MessageReader::new(socket);
    let Some(first) = reader.next().await? else {
        return Ok(());
    };
    if first.message_type != message_type::PRELOGIN {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the first message of the client is not PRELOGIN",
        ));
    }
    let (answer, encryption) = login::answer_prelogin(&first.body, settings.options.tls)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut writer = MessageWriter::new(reader.into_inner());
    writer.push(&answer);
    writer.finish().await?;
    let socket = writer.into_inner();

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
    let (read_half, write_half) = tokio::io::split(stream);
    let mut writer = MessageWriter::new(write_half);
    let connected = match login::parse(body).and_then(|login| check_login(login, settings)) {
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
    if let Some(utf8) = login.utf8_feature {
        token::push_feature_ack(&mut out, utf8);
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

/// # Errors
/// 18456 for a wrong user or password, 4060 for an unknown database.
fn check_login(login: Login, settings: &SharedSettings) -> Result<Login, SqlError> {
    let options = &settings.options;
    if !login.user.eq_ignore_ascii_case(&options.user) || login.password != options.password {
        return Err(
            SqlError::new(18456, format!("Login failed for user '{}'.", login.user))
                .with_severity(14),
        );
    }
    let known = ["", "master", options.database.as_str()];
    if !known
        .iter()
        .any(|name| login.database.eq_ignore_ascii_case(name))
    {
        return Err(SqlError::new(
            4060,
            format!(
                "Cannot open database \"{}\" requested by the login. The login failed.",
                login.database
            ),
        )
        .with_severity(11));
    }
    Ok(login)
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

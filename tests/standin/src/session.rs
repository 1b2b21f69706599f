//! One connection: the handshake, the login, and then batch after batch until
//! the client leaves.

mod conversation;
mod work;

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::error::SqlError;
use crate::handshake::Wrapped;
use crate::login::{self, Encryption, Login};
use crate::packet::{DEFAULT_SIZE, MessageReader, MessageWriter, kind};
use crate::server::Shared;
use crate::token::{self, Done, done};
use conversation::converse;
use work::Session;

/// Serves a connection to its end.
pub(crate) async fn run(
    socket: TcpStream,
    shared: &Shared,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mut reader = MessageReader::new(socket);
    let Some(first) = reader.next().await? else {
        return Ok(());
    };
    if first.kind != kind::PRELOGIN {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the client does not begin with PRELOGIN",
        ));
    }
    let (answer, encryption) = login::answer_prelogin(&first.body, shared.options.tls)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut writer = MessageWriter::new(reader.into_inner());
    writer.push(&answer);
    writer.finish().await?;
    let socket = writer.into_inner();

    let Some(config) = shared
        .tls
        .clone()
        .filter(|_| encryption != Encryption::None)
    else {
        return log_in(socket, shared, stop).await;
    };
    let (wrapped, over) = Wrapped::new(socket);
    let stream = TlsAcceptor::from(config).accept(wrapped).await?;
    over.store(true, std::sync::atomic::Ordering::Release);
    if encryption == Encryption::All {
        return log_in(stream, shared, stop).await;
    }
    // The login alone is encrypted; what follows is plain.
    let mut reader = MessageReader::new(stream);
    let login = reader.next().await?;
    let plain = reader.into_inner().into_inner().0.into_inner();
    match login {
        Some(message) if message.kind == kind::LOGIN7 => {
            admit(plain, &message.body, shared, stop).await
        }
        _ => Ok(()),
    }
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    shared: &Shared,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mut reader = MessageReader::new(stream);
    match reader.next().await? {
        Some(message) if message.kind == kind::LOGIN7 => {
            admit(reader.into_inner(), &message.body, shared, stop).await
        }
        _ => Ok(()),
    }
}

/// Checks the login and answers it; goes on with the conversation.
async fn admit<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    body: &[u8],
    shared: &Shared,
    stop: &CancellationToken,
) -> io::Result<()> {
    let (read_half, write_half) = tokio::io::split(stream);
    let mut writer = MessageWriter::new(write_half);
    let opened = match login::parse(body).and_then(|login| checked(login, shared)) {
        Ok(login) => open(&login, shared)
            .await
            .map(|(client, pid)| (login, client, pid)),
        Err(error) => Err(error),
    };
    let (login, client, pid) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let mut out = Vec::new();
            token::push_error(&mut out, &error);
            token::push_done(&mut out, Done::Batch, done::ERROR, 0);
            writer.push(&out);
            writer.finish().await?;
            return writer.shutdown().await;
        }
    };
    // As sys.dm_exec_sessions numbers them.
    let number = u16::try_from(pid % 32_767).unwrap_or(0);
    writer.set_session(number);

    let database = &shared.options.database;
    let mut out = Vec::new();
    token::push_database_change(&mut out, database, "master");
    token::push_info(
        &mut out,
        5701,
        &format!("Changed database context to '{database}'."),
    );
    token::push_collation_change(&mut out);
    token::push_language_change(&mut out);
    token::push_info(&mut out, 5703, "Changed language setting to us_english.");
    token::push_login_ack(&mut out);
    token::push_packet_size_change(&mut out, login.packet_size, DEFAULT_SIZE);
    match login.features {
        Some(true) => token::push_feature_ack_utf8(&mut out),
        Some(false) => out.extend_from_slice(&[0xAE, 0xFF]),
        None => {}
    }
    token::push_done(&mut out, Done::Batch, done::FINAL, 0);
    writer.push(&out);
    writer.finish().await?;
    writer.set_packet_size(login.packet_size);

    let session = Session::new(client, writer, &login, database, number).await;
    match session {
        Ok(session) => converse(session, MessageReader::new(read_half), stop).await,
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Refuses the wrong user, password or database.
fn checked(login: Login, shared: &Shared) -> Result<Login, SqlError> {
    let options = &shared.options;
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

/// A session of PostgreSQL for a session of ours, and its process id.
async fn open(login: &Login, shared: &Shared) -> Result<(tokio_postgres::Client, i32), SqlError> {
    let mut config = shared.postgres.clone();
    config.application_name(&login.application);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a PostgreSQL session ended: {error}");
        }
    });
    let database = crate::text::literal(&shared.options.database);
    let snapshot = u8::from(shared.options.snapshot);
    let settings = format!(
        "SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET standin.database = {database}; SET standin.snapshot = '{snapshot}'"
    );
    client.batch_execute(&settings).await?;
    let pid = client
        .query_one("SELECT pg_backend_pid()", &[])
        .await?
        .try_get(0)?;
    Ok((client, pid))
}

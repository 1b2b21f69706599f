//! Who logs in, and whether that is right: user and password, NTLMv2, or an access token.

use std::io::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::SqlError;
use crate::options::{LoginOptions, Options};
use crate::protocol::login::Login;
use crate::protocol::ntlm::{self, Account};
use crate::protocol::packet::{MessageReader, MessageWriter, message_type};
use crate::protocol::token;

/// Seconds from 1601 to 1970.
const FROM_1601: u64 = 11_644_473_600;

/// Checks a login, with further messages if it needs them, and records it. Returns the stream and
/// the login.
///
/// # Errors
/// The inner error is 18456 for a wrong user, password or token, and 4060 for an unknown database.
pub(super) async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    mut login: Login,
    options: &Options,
) -> io::Result<(S, Result<Login, SqlError>)> {
    let (stream, method, checked) = match (login.sspi.take(), token_of(&login)) {
        (Some(first), _) => {
            let (stream, checked) = check_ntlm(stream, &first, options).await?;
            (stream, "ntlm", checked)
        }
        (None, Some(token)) => (stream, "token", check_token(&token, options)?),
        (None, None) => {
            let is_right = login.user.eq_ignore_ascii_case(&options.user)
                && login.password == options.password;
            (stream, "password", Ok((login.user.clone(), is_right)))
        }
    };
    let checked = checked.and_then(|(user, is_right)| {
        let outcome = if is_right { "accepted" } else { "refused" };
        record(&options.login, outcome, method, &user, &login);
        login.user = user;
        if is_right {
            check_database(login, options)
        } else {
            Err(refused(&login.user))
        }
    });
    Ok((stream, checked))
}

fn token_of(login: &Login) -> Option<String> {
    login.features.as_ref()?.token.clone()
}

fn refused(user: &str) -> SqlError {
    SqlError::new(18456, format!("Login failed for user '{user}'.")).with_severity(14)
}

/// A line for each login, for tests to count.
fn record(options: &LoginOptions, outcome: &str, method: &str, user: &str, login: &Login) {
    let Some(file) = &options.login_log else {
        return;
    };
    let intent = if login.read_only {
        "read-only"
    } else {
        "read-write"
    };
    let line = format!("{outcome} {method} {user} {intent}\n");
    let written = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .and_then(|mut log| log.write_all(line.as_bytes()));
    if let Err(error) = written {
        tracing::warn!("cannot record a login in {}: {error}", file.display());
    }
}

fn check_token(token: &str, options: &Options) -> io::Result<Result<(String, bool), SqlError>> {
    let accepted = match &options.login.token_file {
        Some(file) => std::fs::read_to_string(file)?,
        None => String::new(),
    };
    let is_right = accepted.lines().any(|line| line == token);
    Ok(Ok(("<token-identified principal>".to_owned(), is_right)))
}

/// Exchanges the messages of NTLM that follow the first one.
async fn check_ntlm<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    first: &[u8],
    options: &Options,
) -> io::Result<(S, Result<(String, bool), SqlError>)> {
    let Some(domain) = &options.login.domain else {
        let message = "Login failed. The login is from an untrusted domain and cannot be used with Integrated authentication.";
        return Ok((stream, Err(SqlError::new(18452, message).with_severity(14))));
    };
    let mut nonce = [0; 8];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| io::Error::other("no random numbers"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = (now.unwrap_or_default().as_secs() + FROM_1601) * 10_000_000;
    let challenged = match ntlm::challenge(first, domain, nonce, now) {
        Ok(challenged) => challenged,
        Err(error) => return Ok((stream, Err(error))),
    };
    let mut writer = MessageWriter::new(stream);
    let mut out = Vec::new();
    token::push_sspi(&mut out, &challenged.message);
    writer.push(&out);
    writer.finish().await?;
    let mut reader = MessageReader::new(writer.into_inner());
    let answer = match reader.next().await? {
        Some(answer) if answer.message_type == message_type::SSPI => answer.body,
        _ => {
            let reason = "the client did not answer the challenge";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
    };
    let account = Account {
        domain,
        user: &options.user,
        password: &options.password,
    };
    let checked = challenged.check(&answer, &account);
    Ok((reader.into_inner(), checked))
}

/// # Errors
/// 4060 for an unknown database.
fn check_database(login: Login, options: &Options) -> Result<Login, SqlError> {
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

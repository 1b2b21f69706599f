//! Access tokens of Microsoft Entra ID, which a command of the user prints. A token is used for
//! further sessions until shortly before it expires.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::{Pid, Signal, kill_process_group};
use shared::endpoint::{Endpoint, Secret};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::engine::error::DatabaseError;

/// How long before its end a token is replaced.
const MARGIN: Duration = Duration::from_secs(120);

/// How long a token is used that does not say when it ends.
const UNKNOWN_LIFE: Duration = Duration::from_secs(300);

/// The longest token, and the longest text of an error that is read, in bytes.
const LONGEST_TOKEN: u64 = 64 * 1024;

/// The longest end of a command's standard error in a message, in characters.
const LONGEST_REASON: usize = 200;

#[derive(Debug)]
struct Token {
    value: Secret,
    replaced_from: Instant,
}

/// A command's last token. The lock is held while the command runs, so that it runs once for
/// several sessions.
type Cache = Arc<tokio::sync::Mutex<Option<Token>>>;

/// The tokens of this process by their commands.
static TOKENS: Mutex<BTreeMap<String, Cache>> = Mutex::new(BTreeMap::new());

/// A token for a login.
pub(super) async fn access_token(endpoint: &Endpoint) -> Result<Secret, DatabaseError> {
    let Some(command) = &endpoint.login.token_command else {
        let reason = "the endpoint has auth = token and no token_command: set it in [endpoints.NAME], it has no place in a URL";
        return Err(DatabaseError::NoToken(reason.to_owned()));
    };
    let cache = {
        let mut tokens = TOKENS.lock().expect("no panic while the lock is held");
        Arc::clone(tokens.entry(command.clone()).or_default())
    };
    let mut cached = cache.lock().await;
    if let Some(token) = &*cached
        && Instant::now() < token.replaced_from
    {
        return Ok(token.value.clone());
    }
    // The rest of the time is for the login.
    let limit = endpoint.connect_timeout * 2 / 3;
    let printed = tokio::time::timeout(limit, run(command)).await;
    let value = printed
        .unwrap_or_else(|_| Err(format!("did not end within {} s", limit.as_secs_f64())))
        .map_err(|reason| DatabaseError::NoToken(format!("the token_command {reason}")))?;
    *cached = Some(Token {
        replaced_from: Instant::now() + used_for(value.reveal(), SystemTime::now()),
        value: value.clone(),
    });
    Ok(value)
}

/// Kills a command that has not ended, and what it has started: the login was given up.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(|pid| kill_process_group(pid, Signal::KILL)) {
            tracing::debug!(%error, "the processes of a token_command have ended");
        }
    }
}

/// What `command` prints. The error is what is wrong with the command.
async fn run(command: &str) -> Result<Secret, String> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let mut group = Group(pid.and_then(Pid::from_raw));
    let (printed, reason) = tokio::join!(read(child.stdout.take()), read(child.stderr.take()));
    let status = child.wait().await;
    let status = status.map_err(|error| format!("cannot be awaited: {error}"))?;
    // What it has left running on purpose goes on.
    group.0 = None;
    if !status.success() {
        let reason = reason.trim();
        let from = reason.chars().count().saturating_sub(LONGEST_REASON);
        let reason: String = reason.chars().skip(from).collect();
        return Err(format!("failed ({status}): {reason}"));
    }
    let token = printed.trim();
    let is_token = |byte: u8| byte.is_ascii_graphic();
    if token.is_empty() || !token.bytes().all(is_token) {
        return Err("has not printed one token and nothing else".to_owned());
    }
    Ok(Secret::new(token))
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream
        && let Err(error) = stream.take(LONGEST_TOKEN).read_to_end(&mut bytes).await
    {
        tracing::debug!(%error, "cannot read what a token_command prints");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How long a token is used that was fetched at `now`. The time of its end is read from it if it is
/// a JSON Web Token.
fn used_for(token: &str, now: SystemTime) -> Duration {
    let Some(end) = expiry(token) else {
        return UNKNOWN_LIFE;
    };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    end.saturating_sub(now).saturating_sub(MARGIN)
}

/// The claim `exp` of a JSON Web Token, since the beginning of 1970.
fn expiry(token: &str) -> Option<Duration> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    Some(Duration::from_secs(claims.get("exp")?.as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_is_replaced_before_it_expires() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (token, seconds) in [
            (token(r#"{"exp": 1003600}"#), 3600 - 120),
            (token(r#"{"exp": 1000060}"#), 0),
            (token(r#"{"exp": 999999}"#), 0),
            (token(r#"{"exp": "soon"}"#), 300),
            (token("{}"), 300),
            ("opaque".to_owned(), 300),
            ("a.b.c".to_owned(), 300),
        ] {
            assert_eq!(
                used_for(&token, now),
                Duration::from_secs(seconds),
                "{token}"
            );
        }
    }

    #[tokio::test]
    async fn a_command_prints_a_token_or_the_reason_is_told() {
        assert_eq!(run("echo abc.def").await.unwrap().reveal(), "abc.def");
        for (command, mentions) in [
            ("echo 'run az login' >&2; exit 3", "run az login"),
            ("true", "has not printed one token"),
            ("echo two words", "has not printed one token"),
            ("exit 4", "4"),
        ] {
            let reason = run(command).await.unwrap_err();
            assert!(reason.contains(mentions), "{reason}");
        }
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_killed_with_what_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let command = format!("sleep 300 & echo $! > {}; wait", file.display());
        let waiting = tokio::time::timeout(Duration::from_secs(10), async {
            tokio::select! {
                ended = run(&command) => panic!("it ended: {ended:?}"),
                () = async {
                    while !std::fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n')) {
                        tokio::task::yield_now().await;
                    }
                } => {}
            }
        });
        waiting.await.unwrap();
        let pid = std::fs::read_to_string(&file).unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        let start = Instant::now();
        while state().is_ok_and(|state| !state.contains(") Z ")) {
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", state());
            tokio::task::yield_now().await;
        }
    }
}

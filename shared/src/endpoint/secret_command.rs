//! A command that prints a password or an access token, such as the client of a secret manager.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::token::life;
use crate::masking::mask_in_prose;
use crate::secret::Secret;

/// How long a command may run.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// How long new sessions use a secret before the command runs again. Tokens of cloud databases
/// are accepted for 15 minutes and longer; those that say when they end are used until shortly
/// before that.
const REUSE: Duration = Duration::from_secs(5 * 60);

/// The most bytes that are read of what a command prints.
const LONGEST_OUTPUT: u64 = 64 * 1024;

/// The most characters of a command's error message that are shown.
const LONGEST_MESSAGE: usize = 300;

/// A program with its arguments that prints a secret on standard output. No shell is involved.
/// Clones share the secret that was printed last.
#[derive(Debug, Clone)]
pub struct SecretCommand {
    words: Vec<String>,
    last: Arc<Mutex<Option<Printed>>>,
}

/// A secret and how long it is used.
#[derive(Debug, Clone)]
struct Printed {
    until: Instant,
    secret: Secret,
}

/// Why a command has printed no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretCommandError {
    /// The program cannot be started, or its output cannot be read.
    #[error("cannot run `{program}`: {reason}")]
    NotRun {
        /// The program.
        program: String,
        /// What the operating system reports.
        reason: io::Error,
    },
    /// The program runs too long.
    #[error("`{program}` did not end within {} s and was stopped", TIME_LIMIT.as_secs())]
    TooSlow {
        /// The program.
        program: String,
    },
    /// The program reports an error.
    #[error("`{program}` has failed ({status}){message}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// `: ` and the first line of its standard error without secrets, or nothing.
        message: String,
    },
    /// The program succeeds and prints no secret.
    #[error("`{program}` has printed {what}; it must print the secret alone")]
    NoSecret {
        /// The program.
        program: String,
        /// What it printed.
        what: &'static str,
    },
}

impl PartialEq for SecretCommand {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for SecretCommand {}

impl SecretCommand {
    /// The command of a program and its arguments; `None` without a program.
    #[must_use]
    pub fn new(words: Vec<String>) -> Option<Self> {
        let has_program = words.first().is_some_and(|program| !program.is_empty());
        has_program.then(|| Self {
            words,
            last: Arc::default(),
        })
    }

    /// The program and its arguments.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The secret: the one that was printed last if it is not too old, else from a new run, which
    /// takes at most 30 s. A secret is used for 5 minutes, and a JSON Web Token until 2 minutes
    /// before it expires.
    ///
    /// # Errors
    ///
    /// When the program cannot be run, fails, takes too long or prints nothing.
    pub async fn secret(&self) -> Result<Secret, SecretCommandError> {
        // The lock is held while the command runs: sessions that open meanwhile wait for its result.
        let mut last = self.last.lock().await;
        if let Some(printed) = last.as_ref().filter(|it| Instant::now() < it.until) {
            return Ok(printed.secret.clone());
        }
        let start = Instant::now();
        let secret = self.run().await?;
        let life = life(secret.reveal(), SystemTime::now()).unwrap_or(REUSE);
        *last = Some(Printed {
            until: start + life,
            secret: secret.clone(),
        });
        Ok(secret)
    }

    /// Forgets the secret that was printed last, because the database has refused it.
    pub async fn forget(&self) {
        *self.last.lock().await = None;
    }

    async fn run(&self) -> Result<Secret, SecretCommandError> {
        let program = self.words[0].clone();
        let not_run = |reason| SecretCommandError::NotRun {
            program: program.clone(),
            reason,
        };
        let mut child = Command::new(&program)
            .args(&self.words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(not_run)?;
        let mut group = Group(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let finished = async {
            let (stdout, stderr, status) =
                tokio::try_join!(read(stdout), read(stderr), child.wait())?;
            Ok::<_, io::Error>((stdout, stderr, status))
        };
        let (stdout, stderr, status) = match tokio::time::timeout(TIME_LIMIT, finished).await {
            Ok(finished) => finished.map_err(not_run)?,
            Err(_) => return Err(SecretCommandError::TooSlow { program }),
        };
        group.0 = None;
        if !status.success() {
            return Err(SecretCommandError::Failed {
                program,
                status,
                message: first_line(&stderr),
            });
        }
        let no_secret = |what| SecretCommandError::NoSecret {
            program: program.clone(),
            what,
        };
        let text = std::str::from_utf8(&stdout).map_err(|_| no_secret("text that is not UTF-8"))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        match text {
            "" => Err(no_secret("nothing")),
            text if text.contains('\n') => Err(no_secret("several lines")),
            text => Ok(Secret::new(text)),
        }
    }
}

/// The process group of a command that runs. It is killed if nothing waits for the command any more,
/// with the processes that the command has started.
#[derive(Debug)]
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // The group may have ended by itself.
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    if let Some(stream) = stream {
        stream.take(LONGEST_OUTPUT).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The first line of an error message, with secrets hidden.
fn first_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.map_or_else(String::new, |line| {
        let shown: String = mask_in_prose(line).chars().take(LONGEST_MESSAGE).collect();
        format!(": {shown}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(script: &str) -> SecretCommand {
        let words = ["/bin/sh", "-c", script];
        SecretCommand::new(words.map(str::to_owned).to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_output_without_its_last_newline_is_the_password() {
        for (script, password) in [
            ("printf 'a b\\n'", "a b"),
            ("printf 'a\\r\\n'", "a"),
            ("printf ' a'", " a"),
        ] {
            let printed = command(script).secret().await.unwrap();
            assert_eq!(printed.reveal(), password, "{script}");
        }
    }

    #[tokio::test]
    async fn a_failure_is_reported_without_what_was_printed() {
        for (script, words) in [
            (
                "echo hunter2; echo 'login with password=hunter2 failed' >&2; exit 3",
                "exit status: 3): login with password=*** failed",
            ),
            ("exit 1", "(exit status: 1)"),
            ("true", "has printed nothing"),
            ("printf 'hunter2\\nhunter2\\n'", "several lines"),
            ("printf '\\377'", "UTF-8"),
        ] {
            let error = command(script).secret().await.unwrap_err().to_string();
            assert!(
                error.contains(words) && !error.contains("hunter2"),
                "{error}"
            );
        }
        let absent = SecretCommand::new(vec!["/nowhere/vault".to_owned()]).unwrap();
        let error = absent.secret().await.unwrap_err().to_string();
        assert!(error.contains("cannot run `/nowhere/vault`"), "{error}");
        assert_eq!(SecretCommand::new(Vec::new()), None);
    }

    #[tokio::test]
    async fn a_password_is_used_again_until_it_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("runs");
        let command = command(&format!("echo x >> '{0}'; wc -l < '{0}'", file.display()));
        let copy = command.clone();
        let (first, second) = tokio::join!(command.secret(), copy.secret());
        assert_eq!(first.unwrap().reveal(), second.unwrap().reveal());
        copy.forget().await;
        command.secret().await.unwrap();
        let runs = std::fs::read_to_string(&file).unwrap();
        assert_eq!(runs.lines().count(), 2);
    }

    /// Whether the process exists and has not ended.
    fn is_running(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|state| !state.contains(") Z "))
    }

    #[tokio::test]
    async fn a_command_whose_password_is_no_longer_needed_is_killed_with_its_children() {
        const PERIOD: Duration = Duration::from_millis(10);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let command = command(&format!(
            "sleep 1000 & echo $! > '{}'; wait",
            file.display()
        ));
        let started = async {
            loop {
                match std::fs::read_to_string(&file) {
                    Ok(pid) if pid.ends_with('\n') => return pid.trim().to_owned(),
                    _ => tokio::time::sleep(PERIOD).await,
                }
            }
        };
        let child = tokio::select! {
            printed = command.secret() => panic!("{printed:?}"),
            child = started => child,
        };
        let start = Instant::now();
        while is_running(&child) {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{child} still runs"
            );
            tokio::time::sleep(PERIOD).await;
        }
    }
}

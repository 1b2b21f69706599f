//! Real services for tests: PostgreSQL, RabbitMQ and the SQL Server stand-in,
//! each in a private directory, on ports of its own, on loopback only.
//!
//! A service ends with the process that started it, whatever way that ends;
//! see [`guardian`]. With `RECONCILE_TEST_POSTGRES` and `RECONCILE_TEST_AMQP`
//! in the environment, the shared services are the ones named there, so that
//! many test executables need one start only.

pub mod broker;
pub mod database;
pub mod guardian;
pub mod postgres;
pub mod prometheus;
pub mod rabbitmq;
pub mod standin;

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use guardian::Guardian;

pub use broker::{Broker, shared_rabbitmq};
pub use database::{Database, shared_postgres};
pub use postgres::Postgres;
pub use prometheus::Prometheus;
pub use rabbitmq::RabbitMq;
pub use standin::{Standin, StandinTls};

/// Why a service is not there.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A program is missing on this machine.
    #[error("{program} is not installed; install the Debian package {package}")]
    NotInstalled {
        /// The program.
        program: String,
        /// The package that has it.
        package: &'static str,
    },
    /// An executable of this workspace has not been built.
    #[error(
        "{path} is missing; build it with `cargo build --workspace --bins`, in the same profile"
    )]
    NotBuilt {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The operating system refused something.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program ended with an error.
    #[error("`{command}` ended with {status}: {output}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it printed.
        output: String,
    },
    /// A service did not become ready in time, or ended while starting.
    #[error("{service} {state} after {waited:?}; the end of its log:\n{log}")]
    NotReady {
        /// The service.
        service: &'static str,
        /// "was not ready" or "had ended".
        state: &'static str,
        /// How long it was waited for.
        waited: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// A statement that the harness itself ran failed.
    #[error("cannot {action}")]
    Database {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: tokio_postgres::Error,
    },
}

impl ServiceError {
    /// A failed system call, with what was tried.
    pub(crate) fn system(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }
}

/// A port on loopback that nobody listens on, from below the range that the
/// kernel gives to outgoing connections, so that none of those takes it before
/// the service does.
pub fn free_port() -> u16 {
    for _ in 0..1000 {
        let port = fastrand::u16(20_000..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("a thousand random ports between 20000 and 32000 are all taken");
}

/// Runs a program to its end and returns what it printed on standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, ServiceError> {
    let shown = format!("{command:?}");
    let output: Output = command
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(ServiceError::system(format!("run {shown}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let printed = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Err(ServiceError::Failed {
        command: shown,
        status: output.status,
        output: last_lines(&printed, 20),
    })
}

/// Asks `condition` again and again until it gives a value or `bound` is over.
/// The pauses grow from 5 to 100 milliseconds.
pub fn poll<T>(bound: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + bound;
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// The last `count` lines of `text`.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The last lines of a log file, for an error message.
pub(crate) fn log_tail(path: &Path) -> String {
    match std::fs::read(path) {
        Ok(bytes) => last_lines(&String::from_utf8_lossy(&bytes), 25),
        Err(error) => format!("({} cannot be read: {error})", path.display()),
    }
}

/// Random letters for names and passwords: no character that a URL, a shell or
/// a configuration file would want quoted.
pub(crate) fn random_word(length: usize) -> String {
    std::iter::repeat_with(fastrand::lowercase)
        .take(length)
        .collect()
}

/// A name for a directory that a guardian makes and removes.
pub(crate) fn private_directory(service: &str) -> PathBuf {
    // A socket's path has 107 bytes at most: a long TMPDIR leaves too few.
    let base = Some(std::env::temp_dir()).filter(|path| path.as_os_str().len() <= 48);
    base.unwrap_or_else(|| PathBuf::from("/tmp"))
        .join(format!("reconcile-{service}-{}", random_word(10)))
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), ServiceError> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(content)
    };
    write().map_err(ServiceError::system(format!("write {}", path.display())))
}

/// Waits until a service is ready, as `ready` finds out.
///
/// # Errors
///
/// When it has ended, or is not ready after `bound`.
pub(crate) fn wait_until_ready(
    service: &'static str,
    guardian: &Guardian,
    bound: Duration,
    ready: impl Fn() -> bool,
) -> Result<(), ServiceError> {
    let begin = Instant::now();
    let stat = Path::new("/proc")
        .join(guardian.pid().to_string())
        .join("stat");
    let state = poll(bound, || {
        if ready() {
            return Some(None);
        }
        // A zombie has ended too; its name is in parentheses, its state behind them.
        let ended = std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        ended.then_some(Some("had ended"))
    });
    let state = match state {
        Some(None) => return Ok(()),
        Some(Some(ended)) => ended,
        None => "was not ready",
    };
    Err(ServiceError::NotReady {
        service,
        state,
        waited: begin.elapsed(),
        log: log_tail(guardian.log()),
    })
}

/// Starts a service up to three times, as long as it ends while starting:
/// between finding a port free and listening on it somebody else may take it.
pub(crate) fn start_with_retry<T>(
    mut start: impl FnMut() -> Result<T, ServiceError>,
) -> Result<T, ServiceError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match start() {
            Err(ServiceError::NotReady {
                state: "had ended", ..
            }) if attempts < 3 => {}
            result => return result,
        }
    }
}

/// Whether this process may become any user.
pub(crate) fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
    })
}

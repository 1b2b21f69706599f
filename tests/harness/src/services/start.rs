//! The parts of a start that all services share: a free port, a private
//! directory, and the wait until a service is ready.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::error::ServiceError;
use super::guardian::Guardian;
use crate::poll::poll;

/// A free port on loopback. It lies below the range that the kernel assigns to
/// outgoing connections, so that none of those takes it before the service does.
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

/// Random letters for names and passwords; a URL, a shell or a configuration
/// file needs no quotes around them.
pub(crate) fn random_word(length: usize) -> String {
    std::iter::repeat_with(fastrand::lowercase)
        .take(length)
        .collect()
}

/// A name for a directory that a guardian creates and removes.
pub(crate) fn private_directory(service: &str) -> PathBuf {
    // The path of a Unix socket has at most 107 bytes; a long TMPDIR leaves too few.
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

/// Waits until `ready` returns true.
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

/// Starts a service up to three times, if it ends while starting:
/// another process may take a free port before the service listens on it.
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
    *ROOT.get_or_init(|| std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0))
}

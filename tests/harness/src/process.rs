//! Runs workers, coordinators and other executables of this workspace, and
//! captures their output and exit status.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::poll::poll;

/// Why waiting for a process failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start {name}")]
    Start {
        /// The process.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// It did not print a line, or did not end, in time.
    #[error("{name} did not {what} within {bound:?}; it {state}; its last lines:\n{lines}")]
    Late {
        /// The process.
        name: String,
        /// The expected event.
        what: String,
        /// The time limit.
        bound: Duration,
        /// Whether it still runs.
        state: String,
        /// The end of its standard error.
        lines: String,
    },
}

/// A process that is killed when this value is dropped, or when the process
/// that started it ends.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
    stderr: Arc<Mutex<Vec<String>>>,
    stdout: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `command` with empty standard input, and captures its output.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Result<Self, ProcessError> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| ProcessError::Start {
            name: name.to_owned(),
            source,
        })?;
        reaper().write('+', child.id());
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let stdout = Arc::new(Mutex::new(Vec::new()));
        let mut readers = Vec::new();
        if let Some(pipe) = child.stderr.take() {
            let lines = Arc::clone(&stderr);
            readers.push(std::thread::spawn(move || {
                for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    lines
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(line);
                }
            }));
        }
        if let Some(mut pipe) = child.stdout.take() {
            let bytes = Arc::clone(&stdout);
            readers.push(std::thread::spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                    let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                    bytes.extend_from_slice(&buffer[..count]);
                }
            }));
        }
        Ok(Self {
            name: name.to_owned(),
            child,
            status: None,
            stderr,
            stdout,
            readers,
        })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join("\n")
    }

    /// Its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        let bytes = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a line of standard error that contains `part`, and returns the first,
    /// also one printed before this call.
    ///
    /// # Errors
    ///
    /// When there is none within `bound`, or the process ended without one.
    pub fn wait_for_line(&mut self, part: &str, bound: Duration) -> Result<String, ProcessError> {
        let find = |lines: &Mutex<Vec<String>>| {
            let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.iter().find(|line| line.contains(part)).cloned()
        };
        let found = poll(bound, || {
            if let Some(line) = find(&self.stderr) {
                return Some(Some(line));
            }
            let ended = self.poll_status().is_some();
            // Its last lines may not have been read at the first search.
            if ended {
                self.join_readers();
            }
            ended.then(|| find(&self.stderr))
        });
        found
            .flatten()
            .ok_or_else(|| self.late(format!("print {part:?}"), bound))
    }

    /// Waits until it ends by itself and all its output has been read.
    ///
    /// # Errors
    ///
    /// When it still runs after `bound`; it is not killed.
    pub fn wait(&mut self, bound: Duration) -> Result<ExitStatus, ProcessError> {
        match poll(bound, || self.poll_status()) {
            Some(status) => {
                self.join_readers();
                Ok(status)
            }
            None => Err(self.late("end".to_owned(), bound)),
        }
    }

    /// Sends a signal by its name ("TERM", "INT", "STOP", "CONT", "KILL"). Does nothing when it has ended.
    pub fn signal(&mut self, signal: &str) {
        if self.poll_status().is_none() {
            // Not ended and not reaped: the id is still its own.
            drop(
                Command::new("kill")
                    .args(["-s", signal, &self.pid().to_string()])
                    .status(),
            );
        }
    }

    /// Kills it with SIGKILL, and returns when it has ended.
    pub fn kill(&mut self) {
        if self.status.is_none() {
            drop(self.child.kill());
            self.status = self.child.wait().ok();
            reaper().write('-', self.child.id());
        }
        self.join_readers();
    }

    fn poll_status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
            if self.status.is_some() {
                reaper().write('-', self.child.id());
            }
        }
        self.status
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
    }

    fn late(&mut self, what: String, bound: Duration) -> ProcessError {
        let state = match self.poll_status() {
            Some(status) => format!("had ended with {status}"),
            None => "still ran".to_owned(),
        };
        let stderr = self.stderr();
        let lines: Vec<&str> = stderr.lines().collect();
        let lines = lines[lines.len().saturating_sub(25)..].join("\n");
        ProcessError::Late {
            name: self.name.clone(),
            what,
            bound,
            state,
            lines,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command of this workspace that ran to its end.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// From its start to its end.
    pub elapsed: Duration,
}

/// Runs `command` to its end, at most for `bound`.
///
/// # Errors
///
/// When it cannot be started, or is killed because it takes longer.
pub fn run_to_end(
    name: &str,
    command: &mut Command,
    bound: Duration,
) -> Result<Finished, ProcessError> {
    let begin = Instant::now();
    let mut process = Process::start(name, command)?;
    let status = process.wait(bound)?;
    let elapsed = begin.elapsed();
    Ok(Finished {
        status,
        stdout: process.stdout(),
        stderr: process.stderr(),
        elapsed,
    })
}

/// A shell that kills the remaining processes when this process ends without dropping them.
#[derive(Debug)]
struct Reaper {
    pipe: Mutex<Option<ChildStdin>>,
}

impl Reaper {
    fn write(&self, sign: char, pid: u32) {
        let mut line = String::new();
        writeln!(line, "{sign} {pid}").expect("writing to a String cannot fail");
        if let Some(pipe) = self
            .pipe
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            // If the reaper has ended, a process is still killed on drop.
            drop(pipe.write_all(line.as_bytes()));
        }
    }
}

fn reaper() -> &'static Reaper {
    static REAPER: OnceLock<Reaper> = OnceLock::new();
    const SCRIPT: &str = r#"
        trap '' HUP INT TERM
        alive=' '
        while read -r sign pid; do
            case $sign in
                +) alive="$alive$pid " ;;
                -) case $alive in *" $pid "*) alive="${alive%% $pid *} ${alive#* $pid }" ;; esac ;;
            esac
        done
        for pid in $alive; do kill -s KILL "$pid"; done 2>/dev/null
    "#;
    REAPER.get_or_init(|| {
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Reaper {
            pipe: Mutex::new(child.ok().and_then(|mut child| child.stdin.take())),
        }
    })
}

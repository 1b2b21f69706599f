//! Ends a service when the process that started it ends.
//!
//! A guardian is a small shell process that holds the reading end of a pipe.
//! When the writing end closes, which the kernel does for a process that ends
//! in any way, it stops the service and removes the service's directory.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::error::ServiceError;

const SCRIPT: &str = include_str!("guardian.sh");

/// A running service, stopped when this value is dropped.
#[derive(Debug)]
pub struct Guardian {
    child: Child,
    pipe: Mutex<Option<Pipe>>,
    log: PathBuf,
}

#[derive(Debug)]
struct Pipe {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    pid: u32,
}

impl Guardian {
    /// Creates `directory`, if one is given, and prepares to start
    /// `command`, whose output goes to `log`. At the end the service gets
    /// `signal` ("QUIT", "TERM", …) and the directory is removed.
    ///
    /// # Errors
    ///
    /// When the shell cannot be started or the directory cannot be made.
    pub fn new(
        directory: Option<&Path>,
        log: &Path,
        signal: &str,
        command: &Command,
    ) -> Result<Self, ServiceError> {
        let mut guardian = Command::new("/bin/sh");
        guardian.args(["-c", SCRIPT, "guardian"]);
        guardian.args([
            directory.map_or(OsStr::new(""), Path::as_os_str),
            log.as_os_str(),
            OsStr::new(signal),
        ]);
        guardian.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => guardian.env(name, value),
                None => guardian.env_remove(name),
            };
        }
        // A process group of its own: Ctrl-C in a terminal must not end it before it has cleaned up.
        let mut child = guardian
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()
            .map_err(ServiceError::system("start /bin/sh"))?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both are piped");
        };
        let mut pipe = Pipe {
            orders,
            answers: BufReader::new(answers),
            pid: 0,
        };
        pipe.read_answer()?;
        Ok(Self {
            child,
            pipe: Mutex::new(Some(pipe)),
            log: log.to_owned(),
        })
    }

    /// The service's process id; 0 while it is stopped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pipe
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map_or(0, |pipe| pipe.pid)
    }

    /// The file that receives the service's output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Kills the service as a crash would, and returns when it has ended.
    ///
    /// # Errors
    ///
    /// When the guardian itself has ended.
    pub fn kill(&self) -> Result<(), ServiceError> {
        self.order("kill")
    }

    /// Stops the service by its signal.
    ///
    /// # Errors
    ///
    /// When the guardian itself has ended.
    pub fn stop(&self) -> Result<(), ServiceError> {
        self.order("stop")
    }

    /// Starts the service, also again after [`Self::kill`] or [`Self::stop`].
    ///
    /// # Errors
    ///
    /// When the guardian itself has ended.
    pub fn start(&self) -> Result<(), ServiceError> {
        self.order("start")
    }

    fn order(&self, order: &str) -> Result<(), ServiceError> {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pipe) = pipe.as_mut() else {
            return Ok(());
        };
        writeln!(pipe.orders, "{order}").map_err(ServiceError::system(format!(
            "order the guardian to {order}"
        )))?;
        pipe.read_answer()
    }
}

impl Pipe {
    fn read_answer(&mut self) -> Result<(), ServiceError> {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .map_err(ServiceError::system("read the answer of the guardian"))?;
        match line
            .trim()
            .strip_prefix("pid ")
            .and_then(|pid| pid.parse().ok())
        {
            Some(pid) => {
                self.pid = pid;
                Ok(())
            }
            None => Err(ServiceError::System {
                action: "read the answer of the guardian".to_owned(),
                source: std::io::Error::other(format!("the answer is {line:?}")),
            }),
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // Closing the pipe orders the guardian to finish. After the wait the
        // ports are free and the directory is removed.
        drop(
            self.pipe
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        drop(self.child.wait());
    }
}

//! Why a service did not start.

use std::path::PathBuf;
use std::time::Duration;

/// Why a service did not start, or an action on it failed.
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
        /// The expected path.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("cannot {action}")]
    System {
        /// The attempted action.
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
        /// Its output.
        output: String,
    },
    /// A service did not become ready in time, or ended while starting.
    #[error("{service} {state} after {waited:?}; the end of its log:\n{log}")]
    NotReady {
        /// The service.
        service: &'static str,
        /// "was not ready" or "had ended".
        state: &'static str,
        /// The time spent waiting.
        waited: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// A statement that the harness itself ran failed.
    #[error("cannot {action}")]
    Database {
        /// The attempted action.
        action: String,
        /// Why it failed.
        source: tokio_postgres::Error,
    },
}

impl ServiceError {
    /// A failed system call in this action.
    pub fn system(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }
}

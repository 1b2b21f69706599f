//! Where log lines go and how they look.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How much is logged when `RUST_LOG` does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings only, for a program whose output is its report.
    Quiet,
    /// What our own crates do, for a service.
    Service,
}

impl Verbosity {
    fn directives(self) -> &'static str {
        match self {
            Self::Quiet => "warn",
            Self::Service => {
                "warn,reconcile=info,reconcile_worker=info,coordinator=info,worker=info,shared=info"
            }
        }
    }
}

/// Sends log lines to standard error, in colour on a terminal (unless
/// `NO_COLOR` is set). `RUST_LOG` says which, in the notation of
/// `tracing_subscriber`; without it, or when it is not understood, `verbosity` does.
///
/// Only the first call in a process has an effect.
pub fn init(verbosity: Verbosity) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(verbosity.directives()));
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let already_set = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(matches!(verbosity, Verbosity::Service))
        .try_init()
        .is_err();
    if already_set {
        tracing::debug!("logging was set up before");
    }
}

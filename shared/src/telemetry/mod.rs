//! How a process is seen from outside.

pub mod metrics;
pub mod trace;

use crate::config::{LogOptions, TelemetryConfig};
use crate::logging::{self, Verbosity};
use trace::{Destination, Identity, TraceError, TraceFlags, Tracing};

/// How a process logs, and whether it sends traces.
#[derive(Debug)]
pub struct Setup<'a> {
    /// How much is logged.
    pub verbosity: Verbosity,
    /// The flags of log lines.
    pub log: LogOptions,
    /// The flags about traces, and who would send them; absent where none are ever sent.
    pub traces: Option<(&'a TraceFlags, Identity)>,
}

/// Sets up log lines and traces, by flags over environment over `config`. Must
/// be called inside the tokio runtime, as [`Tracing::start`].
///
/// # Errors
///
/// When flags or configuration name a collector that cannot be one. What the
/// variables of OpenTelemetry say wrong is a warning: they may be set for
/// everything on a machine.
pub fn set_up(setup: Setup<'_>, config: &TelemetryConfig) -> Result<Option<Tracing>, TraceError> {
    let started = match setup.traces {
        None => Ok(None),
        Some((flags, identity)) => {
            Destination::resolve(flags, &config.traces, |name| std::env::var(name).ok()).and_then(
                |destination| {
                    destination
                        .map(|destination| Tracing::start(&destination, &identity))
                        .transpose()
                },
            )
        }
    };
    let (tracing, layer, warning) = match started {
        Ok(Some((tracing, layer))) => (Some(tracing), Some(layer), None),
        Ok(None) => (None, None, None),
        Err(error) if error.is_of_environment() => (None, None, Some(error)),
        Err(error) => return Err(error),
    };
    let log = setup.log.or(config.log.clone());
    logging::init(setup.verbosity, log.log_format(), layer);
    if let Some(warning) = warning {
        tracing::warn!("cannot export traces: {warning}; everything else goes on without them");
    }
    Ok(tracing)
}

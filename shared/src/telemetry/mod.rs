//! The telemetry of a process: log lines, traces, metrics.

pub mod metrics;
pub mod trace;

use crate::config::{LogOptions, TelemetryConfig};
use crate::logging::{self, Verbosity};
use trace::{Destination, Identity, TraceError, TraceFlags, Tracing};

/// How a process logs, and whether it exports traces.
#[derive(Debug)]
pub struct Setup<'a> {
    /// How much is logged.
    pub verbosity: Verbosity,
    /// The flags of log lines.
    pub log: LogOptions,
    /// The flags for traces, and the identity of the process. `None` for a process that never exports
    /// traces.
    pub traces: Option<(&'a TraceFlags, Identity)>,
}

/// Starts logging and the export of traces. Flags take precedence over the environment, and the
/// environment over `config`. Must be called inside the tokio runtime, like [`Tracing::start`].
///
/// # Errors
///
/// When flags or configuration contain an invalid collector. An invalid variable of OpenTelemetry
/// is only a warning, because it may be set for all programs of a machine.
pub fn set_up(setup: Setup<'_>, config: &TelemetryConfig) -> Result<Option<Tracing>, TraceError> {
    let start = |(flags, identity): (&TraceFlags, Identity)| {
        let variable = |name: &str| std::env::var(name).ok();
        Destination::resolve(flags, &config.traces, variable)?
            .map(|destination| Tracing::start(&destination, &identity))
            .transpose()
    };
    let started = setup.traces.map_or(Ok(None), start);
    let (tracing, layer, warning) = match started {
        Ok(Some((tracing, layer))) => (Some(tracing), Some(layer), None),
        Ok(None) => (None, None, None),
        Err(error) if error.is_of_environment() => (None, None, Some(error)),
        Err(error) => return Err(error),
    };
    let log = setup.log.or(config.log.clone());
    logging::init(setup.verbosity, log.log_format(), layer);
    if let Some(warning) = warning {
        tracing::warn!("cannot export traces: {warning}; the program continues without traces");
    }
    Ok(tracing)
}

//! Log lines and status messages on standard error.

mod line;

use std::fmt;
use std::io::{IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};
pub use tracing::Level;
use tracing::Metadata;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::config::LogFormat;
use crate::masking::{mask_in_prose, mask_quoted};
use crate::telemetry::trace::{TraceLayer, is_ours};

/// How much is logged when `RUST_LOG` is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings only, for a program whose output is its report.
    Quiet,
    /// Also information from this program's own crates, for a service.
    Service,
}

impl Verbosity {
    fn directives(self) -> &'static str {
        match self {
            // The result of a table is in the report.
            Self::Quiet => "warn,worker::table=off",
            Self::Service => {
                "warn,reconcile=info,reconcile_worker=info,coordinator=info,worker=info,shared=info"
            }
        }
    }
}

/// The spans whose fields appear in log lines: a run and a table of it.
const CONTEXT: [&str; 2] = [
    "parallel_reconcile_tables",
    "parallel_reconcile_single_table",
];

/// Sends log lines to standard error, in colour on a terminal (unless
/// `NO_COLOR` is set), and spans to `traces`. `RUST_LOG` selects the lines, in
/// the notation of `tracing_subscriber`; without it, or when it is invalid,
/// `verbosity` does. Lines of libraries below INFO are never
/// logged, and lines of [`DRIVERS`] only if `RUST_LOG` asks for DEBUG or names the driver: this
/// program reports their errors itself.
///
/// Only the first call in a process has an effect.
pub fn init(verbosity: Verbosity, format: LogFormat, traces: Option<TraceLayer>) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(verbosity.directives()));
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let is_debugging = filter
        .max_level_hint()
        .is_none_or(|most| most >= LevelFilter::DEBUG);
    // The spans of runs and tables are enabled at every verbosity, since log lines
    // have their fields.
    let context = filter_fn(|metadata| {
        metadata.is_span() && CONTEXT.contains(&metadata.name()) && is_ours(metadata.target())
    });
    let filter = filter
        .or(context.with_max_level_hint(LevelFilter::INFO))
        .and(filter_fn(move |metadata| {
            let is_wanted = is_debugging || !is_driver(metadata.target());
            !is_unsafe(metadata) && (is_wanted || names(&asked, metadata.target()))
        }));
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .with_writer(std::io::stderr);
    let lines = lines
        .with_ansi(colour && format == LogFormat::Human)
        .event_format(line::Line(format))
        .with_filter(filter);
    let already_set = Registry::default()
        .with(traces)
        .with(lines)
        .try_init()
        .is_err();
    JSON_LINES.store(format == LogFormat::Json, Ordering::Relaxed);
    if already_set {
        tracing::debug!("logging was set up before");
    }
}

/// Whether lines on standard error are JSON objects.
static JSON_LINES: AtomicBool = AtomicBool::new(false);

/// Whether messages that are no warnings are left out.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Leaves out all further messages of [`print_status`] and [`print_message`] that are no warnings.
pub fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

/// Prints a message for the user on standard error at every verbosity: as text, or as
/// a JSON object where log lines are JSON.
pub fn print_status(text: impl fmt::Display) {
    print_message(Level::INFO, text, Map::new());
}

/// Prints a message for the user like [`print_status`], also where only warnings are printed.
pub fn print_warning(text: impl fmt::Display) {
    print_message(Level::WARN, text, Map::new());
}

/// Prints a message like [`print_status`], with a level and fields that only JSON lines contain.
pub fn print_message(level: Level, text: impl fmt::Display, fields: Map<String, Value>) {
    if level > Level::WARN && IS_QUIET.load(Ordering::Relaxed) {
        return;
    }
    print(level, "", text, fields);
}

/// Whether lines on standard error are JSON objects.
#[must_use]
pub fn prints_json() -> bool {
    JSON_LINES.load(Ordering::Relaxed)
}

/// Prints clap's help, version or error; an error without secrets of the command line.
pub fn print_usage_error(error: &clap::Error) {
    let text = error.to_string();
    let arguments: Vec<String> = std::env::args_os()
        .filter_map(|argument| argument.into_string().ok())
        .collect();
    let masked = arguments.iter().fold(text.clone(), |text, argument| {
        let value = argument.split_once('=').map_or("", |(_, value)| value);
        mask_quoted(&mask_quoted(&text, argument), value)
    });
    let masked = mask_in_prose(&masked);
    let printed = if error.use_stderr() && masked != text {
        writeln!(std::io::stderr(), "{}", masked.trim_end())
    } else {
        error.print()
    };
    // If the stream is closed, the exit code carries the same information.
    printed.ok();
}

/// Prints the error that the program ends with, like [`print_status`].
pub fn report_error(text: impl fmt::Display) {
    print(Level::ERROR, "error: ", text, Map::new());
}

fn print(level: Level, prefix: &str, text: impl fmt::Display, fields: Map<String, Value>) {
    let text = text.to_string();
    let text = mask_in_prose(&text);
    let line = if prints_json() {
        line::message(level, &text, fields)
    } else {
        format!("{prefix}{text}")
    };
    // A closed standard error must not stop the program.
    writeln!(std::io::stderr(), "{line}").ok();
}

/// The drivers of the databases and of the broker. They also log what is no error here, such as
/// the end of a connection that this program closes.
const DRIVERS: [&str; 7] = [
    "lapin",
    "amq_protocol",
    "amq_protocol_tcp",
    "tcp_stream",
    "tokio_postgres",
    "tiberius",
    "rustls",
];

/// The name of the crate in a target.
fn crate_of(target: &str) -> &str {
    target.split("::").next().unwrap_or_default()
}

fn is_driver(target: &str) -> bool {
    DRIVERS.contains(&crate_of(target))
}

/// Whether the directives of `RUST_LOG` name the crate of a target.
fn names(directives: &str, target: &str) -> bool {
    directives
        .split(',')
        .filter_map(|directive| directive.split_once('='))
        .any(|(named, _)| crate_of(named.trim()) == crate_of(target))
}

/// Whether a line may contain what must not be logged. Drivers and libraries debug with whole
/// statements and frames, and with them passwords and values of rows. The driver of SQL Server
/// also warns of what this program does itself, such as encryption.
fn is_unsafe(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let lowest = match crate_of(target) {
        "tiberius" => Level::ERROR,
        // It logs names of hosts and of algorithms.
        "rustls" => Level::TRACE,
        _ if is_ours(target) => Level::TRACE,
        _ => Level::INFO,
    };
    *metadata.level() > lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_can_name_a_driver() {
        assert!(is_driver("lapin::io_loop") && !is_driver("shared::transport"));
        assert!(names("info,lapin=warn", "lapin::io_loop"));
        assert!(!names("info,worker=debug", "lapin::io_loop"));
        assert!(!names("", "lapin"));
    }
}

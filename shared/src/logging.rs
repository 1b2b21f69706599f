//! Log lines and status messages on standard error.

mod line;

use std::fmt;
use std::io::{IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Level, Metadata};
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
/// logged.
///
/// Only the first call in a process has an effect.
pub fn init(verbosity: Verbosity, format: LogFormat, traces: Option<TraceLayer>) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(verbosity.directives()));
    // The spans of runs and tables are enabled at every verbosity, since log lines
    // have their fields.
    let context = filter_fn(|metadata| {
        metadata.is_span() && CONTEXT.contains(&metadata.name()) && is_ours(metadata.target())
    });
    let filter = filter
        .or(context.with_max_level_hint(LevelFilter::INFO))
        .and(filter_fn(|metadata| !is_unsafe(metadata)));
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

/// Prints a message for the user on standard error at every verbosity: as text, or as
/// a JSON object where log lines are JSON.
pub fn print_status(text: impl fmt::Display) {
    print(Level::INFO, "", text);
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
    print(Level::ERROR, "error: ", text);
}

fn print(level: Level, prefix: &str, text: impl fmt::Display) {
    let text = text.to_string();
    let text = mask_in_prose(&text);
    let line = if JSON_LINES.load(Ordering::Relaxed) {
        line::message(level, &text)
    } else {
        format!("{prefix}{text}")
    };
    // A closed standard error must not stop the program.
    writeln!(std::io::stderr(), "{line}").ok();
}

/// Whether a line may contain what must not be logged. Drivers and libraries debug with whole
/// statements and frames, and with them passwords and values of rows. The driver of SQL Server
/// also warns of what this program does itself, such as encryption.
fn is_unsafe(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let name = target.split("::").next().unwrap_or_default();
    let lowest = match name {
        "tiberius" => Level::ERROR,
        // It logs names of hosts and of algorithms.
        "rustls" => Level::TRACE,
        _ if is_ours(target) => Level::TRACE,
        _ => Level::INFO,
    };
    *metadata.level() > lowest
}

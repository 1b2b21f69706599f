//! Where log lines go and how they look.

mod line;

use std::fmt;
use std::io::{IsTerminal, Write as _};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::telemetry::trace::TraceLayer;

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
            // What became of a table is in the report.
            Self::Quiet => "warn,worker::table=off",
            Self::Service => {
                "warn,reconcile=info,reconcile_worker=info,coordinator=info,worker=info,shared=info"
            }
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// For programs: one JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            other => Err(format!("`{other}` is not one of human, json")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}

/// The spans of our own that log lines tell of: a run and a table of it.
const CONTEXT: [&str; 2] = [
    "parallel_reconcile_tables",
    "parallel_reconcile_single_table",
];

/// Sends log lines to standard error, in colour on a terminal (unless
/// `NO_COLOR` is set), and spans to `traces`. `RUST_LOG` says which lines, in
/// the notation of `tracing_subscriber`; without it, or when it is not
/// understood, `verbosity` does. What database drivers say below INFO is never shown.
///
/// Only the first call in a process has an effect.
pub fn init(verbosity: Verbosity, format: LogFormat, traces: Option<TraceLayer>) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(verbosity.directives()));
    // A line that is logged tells of its table, however little is logged.
    let context = filter_fn(|metadata| {
        metadata.is_span() && CONTEXT.contains(&metadata.name()) && is_ours(metadata.target())
    });
    let filter = filter
        .or(context.with_max_level_hint(LevelFilter::INFO))
        .and(filter_fn(|metadata| !tells_statements(metadata)));
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .with_writer(std::io::stderr);
    let lines: TraceLayerOn<_> = match format {
        LogFormat::Human => Box::new(
            lines
                .with_ansi(colour)
                .event_format(line::Human)
                .with_filter(filter),
        ),
        LogFormat::Json => Box::new(
            lines
                .with_ansi(false)
                .event_format(line::Json)
                .with_filter(filter),
        ),
    };
    let already_set = Registry::default()
        .with(traces)
        .with(lines)
        .try_init()
        .is_err();
    OBJECTS.store(format == LogFormat::Json, Ordering::Relaxed);
    if already_set {
        tracing::debug!("logging was set up before");
    }
}

/// Whether whoever reads standard error expects objects.
static OBJECTS: AtomicBool = AtomicBool::new(false);

/// Tells whoever started the program, on standard error, whatever is logged:
/// as it is, or where lines are objects as one of them.
pub fn say(text: impl fmt::Display) {
    tell(Level::INFO, "", text);
}

/// Like [`say`], for the error that the program ends with.
pub fn complain(text: impl fmt::Display) {
    tell(Level::ERROR, "error: ", text);
}

fn tell(level: Level, prefix: &str, text: impl fmt::Display) {
    let line = if OBJECTS.load(Ordering::Relaxed) {
        line::said(level, &text)
    } else {
        format!("{prefix}{text}")
    };
    // Nobody reads it: no reason to stop working.
    writeln!(std::io::stderr(), "{line}").ok();
}

/// A layer over some subscriber.
type TraceLayerOn<S> = Box<dyn tracing_subscriber::Layer<S> + Send + Sync>;

/// Whether a line is a database driver's own about what it does. Such lines
/// hold whole statements, and with them values of rows. They are never shown:
/// a log must not say what a redacted report does not.
fn tells_statements(metadata: &Metadata<'_>) -> bool {
    let name = metadata.target().split("::").next().unwrap_or_default();
    matches!(name, "tokio_postgres" | "postgres_protocol" | "tiberius")
        && *metadata.level() > Level::INFO
}

/// Whether spans and events of this target are our own and no library's.
pub(crate) fn is_ours(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or(target);
    matches!(
        name,
        "shared" | "worker" | "coordinator" | "reconcile" | "reconcile_worker"
    )
}

/// A level as lines name it.
fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

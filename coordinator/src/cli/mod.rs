//! The command line: `reconcile run`, `reconcile config` and `reconcile estimate`.

mod estimate;
mod exit;
mod flags;
mod progress;
mod settings;
mod table_list;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser as _};
use shared::config::{ReportFormat, nearest};
use shared::ids::WorkerId;
use shared::logging::{self, Verbosity};
use shared::transport::Transport;
use shared::transport::local::LocalTransport;
use shared::transport::rabbit::RabbitTransport;
use tokio::signal::unix::{Signal, SignalKind, signal};
use worker::engine::{ReconcileEngine, catalog};
use worker::service::{self, WorkerHandle, WorkerOptions};

use crate::report::{Output, RunReport, write_stdout};
use crate::run::{self, Canceller, RunRequest};

use exit::CommandError;
use flags::{Command, Flags, RunFlags};
use progress::Progress;
use settings::{Mode, RunSettings};

/// How long a worker of this process may take to end after its run has.
const LOCAL_DRAIN: Duration = Duration::from_secs(5);

/// Runs the command that the arguments of this process name.
///
/// # Panics
///
/// When the operating system gives no threads.
#[must_use]
pub fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return refuse(&error),
    };
    logging::init(Verbosity::Quiet);
    // Fails only when one is installed already, and then there is one.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("the operating system gives threads and a reactor")
    };
    let code = match actix_rt::System::with_tokio_rt(runtime).block_on(command(flags)) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error}"));
            exit::of_error(&error)
        }
    };
    ExitCode::from(code)
}

/// Prints what clap has to say: help, version, or what is wrong with the flags.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.get(ContextKind::InvalidSubcommand) {
        // Clap lists no commands, and finds `rnu` too far from `run`.
        Some(ContextValue::String(name)) => {
            let command = Flags::command();
            let names: Vec<&str> = command
                .get_subcommands()
                .map(clap::Command::get_name)
                .collect();
            let hint = nearest(name, names.iter().copied())
                .map(|name| format!("did you mean `{name}`? "))
                .unwrap_or_default();
            say(&format!(
                "error: there is no command `{name}`; {hint}known are {}",
                names.join(", ")
            ));
        }
        // Nobody reads it: the code says the same.
        _ => {
            error.print().ok();
        }
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::UNUSABLE))
}

async fn command(flags: Flags) -> Result<u8, CommandError> {
    let config = || shared::config::load(flags.config.as_deref());
    match flags.command {
        Command::Config => {
            write_stdout(&config()?.to_string())?;
            Ok(exit::EQUAL)
        }
        Command::Estimate(flags) => {
            write_stdout(&format!("{}\n", flags.estimate()?))?;
            Ok(exit::EQUAL)
        }
        Command::Run(flags) => {
            let config = config()?;
            warn_of_idle_flags(&flags);
            let settings = RunSettings::resolve(*flags, config)?;
            Box::pin(run(settings)).await
        }
    }
}

/// A flag without effect is not an error, but rarely what was meant.
fn warn_of_idle_flags(flags: &RunFlags) {
    if flags.parallel_workers.is_some() && !flags.parallel && flags.broker.is_none() {
        tracing::warn!("--parallel-workers has no effect in this process without --parallel");
    }
}

async fn run(settings: RunSettings) -> Result<u8, CommandError> {
    let RunSettings {
        mode,
        limits,
        format,
        output,
        tables,
    } = settings;
    let catalog = match tables.needs_catalog().transpose()? {
        None => Vec::new(),
        Some(source) => catalog::list_tables(source)
            .await
            .map_err(|reason| tables.catalog_error(reason))?,
    };
    let tables = tables.plan(&catalog)?;
    let mut signals = Signals::listen().map_err(CommandError::Signals)?;
    let (transport, worker) = connect(mode).await?;
    let progress = Progress::new(tables.len(), transport.task_queue());
    let handle = run::start(
        RunRequest::new(tables, limits),
        transport.clone(),
        Box::new(progress),
    )
    .await?;

    let canceller = handle.canceller();
    let report = tokio::select! {
        report = handle.report() => report?,
        () = end_on_second(&mut signals, canceller) => {
            // Leaves no half of a report behind.
            drop(output);
            std::process::exit(exit::INTERRUPTED.into());
        }
    };
    if let Some(worker) = worker
        && tokio::time::timeout(LOCAL_DRAIN, worker.drain())
            .await
            .is_err()
    {
        tracing::warn!("a statement of the run may still be running in a database");
    }
    if tokio::time::timeout(LOCAL_DRAIN, transport.close())
        .await
        .is_err()
    {
        tracing::warn!("the connection to the broker did not close in time");
    }
    deliver(&report, format, output)?;
    Ok(exit::of_report(&report))
}

/// The transport, and the worker of this process if it has one.
async fn connect(mode: Mode) -> Result<(Arc<dyn Transport>, Option<WorkerHandle>), CommandError> {
    match mode {
        Mode::Broker(options) => Ok((RabbitTransport::connect(*options).await?, None)),
        Mode::Local {
            endpoints,
            concurrency,
            heartbeat_period,
        } => {
            let transport: Arc<dyn Transport> = LocalTransport::new();
            let engine = Arc::new(ReconcileEngine::new(endpoints, concurrency.into()));
            let options = WorkerOptions {
                heartbeat_period,
                drain_grace: Duration::ZERO,
                ..WorkerOptions::new(WorkerId::generate(), concurrency)
            };
            let worker = service::start(options, transport.clone(), engine).await?;
            Ok((transport, Some(worker)))
        }
    }
}

/// Cancels the run at the first signal and returns at the second.
async fn end_on_second(signals: &mut Signals, canceller: Canceller) {
    signals.next().await;
    canceller.cancel();
    signals.next().await;
}

/// Puts the report where the user wants it.
fn deliver(
    report: &RunReport,
    format: ReportFormat,
    output: Option<Output>,
) -> Result<(), CommandError> {
    let to_terminal = output.is_none() && io::stdout().is_terminal();
    let colour = to_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let text = match format {
        ReportFormat::Console => report.to_console(colour),
        ReportFormat::Json => report.to_json(),
        ReportFormat::Csv => report.to_csv(),
    };
    match output {
        None => write_stdout(&text)?,
        Some(output) => {
            let path = output.path().to_owned();
            if let Err(error) = output.write(&text) {
                // The run may have taken hours: its report is not lost with the file.
                write_stdout(&text)?;
                return Err(error.into());
            }
            say(&format!(
                "{}: the report is in {}",
                report.status.as_str(),
                path.display()
            ));
        }
    }
    Ok(())
}

/// SIGINT and SIGTERM, which mean the same.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Tells whoever started the program, on standard error.
fn say(line: &str) {
    // Nobody reads it: no reason to end differently.
    writeln!(io::stderr(), "{line}").ok();
}

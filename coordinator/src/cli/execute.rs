//! Carries out one run, be it new or one that goes on: transport, worker of
//! this process, store, progress, signals, report.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use shared::config::ReportFormat;
use shared::ids::WorkerId;
use shared::message::TableSpec;
use shared::transport::Transport;
use shared::transport::local::LocalTransport;
use shared::transport::rabbit::RabbitTransport;
use tokio_util::sync::CancellationToken;
use worker::engine::{ReconcileEngine, list_tables};
use worker::service::{self, WorkerHandle, WorkerOptions};

use super::exit::{self, CommandError};
use super::progress::Progress;
use super::say;
use super::settings::{Mode, RunSettings};
use super::signals::Signals;
use super::telemetry::{HASTY_PUSH_LIMIT, PUSH_LIMIT, RunTelemetry};
use crate::repair::Scripts;
use crate::report::{Output, RunReport, write_stdout};
use crate::run::{self, Canceller, RunObserver, RunRequest};
use crate::store::{Recorder, RunLock, RunStore, RunWriter, StoreError};

/// How long a worker of this process may take to end after its run has.
const LOCAL_DRAIN: Duration = Duration::from_secs(5);

/// What keeps a run while it goes on.
#[derive(Debug)]
pub(super) struct Keeping {
    writer: Arc<RunWriter>,
    _lock: RunLock,
}

impl Keeping {
    /// Keeps the run of `lock`, which is in `store`.
    pub(super) fn start(
        store: &RunStore,
        lock: RunLock,
        request: &RunRequest,
    ) -> Result<Self, StoreError> {
        let writer = Arc::new(RunWriter::start(&store.path(), request.run)?);
        Ok(Self {
            writer,
            _lock: lock,
        })
    }
}

/// Everything that a run needs.
pub(super) struct Execution {
    pub(super) mode: Mode,
    pub(super) request: RunRequest,
    pub(super) keeping: Option<Keeping>,
    /// Where repair scripts are written, if they are.
    pub(super) output_dir: Option<PathBuf>,
    /// Which database the target is, where that is known.
    pub(super) target: Option<String>,
}

/// Plans a new run and carries it out.
pub(super) async fn new_run(mut settings: RunSettings) -> Result<u8, CommandError> {
    let settings_of_telemetry = std::mem::take(&mut settings.telemetry);
    let mut telemetry = RunTelemetry::start(settings_of_telemetry, Utc::now()).await?;
    let ended = Box::pin(plan_and_carry_out(settings, &mut telemetry)).await;
    telemetry.finish(PUSH_LIMIT).await;
    ended
}

async fn plan_and_carry_out(
    settings: RunSettings,
    telemetry: &mut RunTelemetry,
) -> Result<u8, CommandError> {
    let kept = settings.kept();
    let RunSettings {
        mode,
        limits,
        format,
        output,
        tables,
        state_dir,
        output_dir,
        telemetry: _,
    } = settings;
    let catalog = match tables.needs_catalog().transpose()? {
        None => Vec::new(),
        Some(source) => list_tables(source)
            .await
            .map_err(|reason| tables.catalog_error(reason))?,
    };
    let request = RunRequest::new(tables.plan(&catalog)?, limits);
    let keeping = match state_dir {
        None => None,
        Some(directory) => {
            let mut store = RunStore::open(&directory)?;
            store.prune(request.started_at)?;
            let lock = RunLock::take(&directory, request.run)?;
            store.create(request.run, request.started_at, &kept, &request.tables)?;
            Some(Keeping::start(&store, lock, &request)?)
        }
    };
    let execution = Execution {
        mode,
        request,
        keeping,
        output_dir,
        target: kept.target.database,
    };
    let report = carry_out(execution, telemetry).await?;
    deliver(&report, format, output)?;
    Ok(exit::of_report(&report))
}

/// Runs to the end. A second signal ends the process.
pub(super) async fn carry_out(
    execution: Execution,
    telemetry: &mut RunTelemetry,
) -> Result<RunReport, CommandError> {
    let Execution {
        mode,
        request,
        keeping,
        output_dir,
        target,
    } = execution;
    let scripts = output_dir
        .map(|directory| Scripts::prepare(&directory, target, request.run))
        .transpose()?;
    let specs: Vec<TableSpec> = request
        .tables
        .iter()
        .filter(|_| scripts.is_some())
        .map(|table| table.spec.clone())
        .collect();
    let mut signals = Signals::listen().map_err(CommandError::Signals)?;
    let (transport, worker) = connect(mode).await?;
    telemetry.connected(&transport, worker.as_ref());
    say(format!("run {}", request.run));
    let progress = Progress::new(request.tables.len(), transport.task_queue());
    let spool = scripts.as_ref().map(Scripts::spool);
    let watching = ((progress, spool), telemetry.observer());
    let observer: Box<dyn RunObserver> = match &keeping {
        None => Box::new(watching),
        Some(keeping) => Box::new((watching, Recorder::new(Arc::clone(&keeping.writer)))),
    };
    let handle = run::start(request, transport.clone(), observer).await?;
    if let Some(trace) = handle.trace_id() {
        say(format!("trace {trace}"));
    }

    let canceller = handle.canceller();
    let stop_asked = keeping
        .as_ref()
        .map(|keeping| keeping.writer.stop_asked())
        .unwrap_or_default();
    let mut report = tokio::select! {
        report = handle.report() => report?,
        () = end_on_second(&mut signals, stop_asked, canceller) => {
            telemetry.finish(HASTY_PUSH_LIMIT).await;
            std::process::exit(exit::INTERRUPTED.into())
        }
    };
    let kept = scripts.and_then(|scripts| scripts.finish(&mut report, &specs));
    if let Some(keeping) = &keeping {
        keeping.writer.finish(&mut report).await;
    }
    if let Some(spool) = kept {
        spool.remove();
    }
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
    Ok(report)
}

/// The transport, and the worker of this process if it has one.
pub(super) async fn connect(
    mode: Mode,
) -> Result<(Arc<dyn Transport>, Option<WorkerHandle>), CommandError> {
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

/// Cancels the run when somebody asks for it, by a signal or through the
/// store, and returns at the next signal.
async fn end_on_second(signals: &mut Signals, stop_asked: CancellationToken, canceller: Canceller) {
    tokio::select! {
        () = signals.next() => {}
        () = stop_asked.cancelled() => {}
    }
    canceller.cancel();
    signals.next().await;
}

/// Puts the report where the user wants it.
pub(super) fn deliver(
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
            say(format!(
                "{}: the report is in {}",
                report.status.as_str(),
                path.display()
            ));
        }
    }
    Ok(())
}

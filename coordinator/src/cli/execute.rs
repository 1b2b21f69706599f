//! Carries out one run, new or resumed: transport, worker of this process, store,
//! progress, signals, report.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use shared::config::ReportFormat;
use shared::ids::WorkerId;
use shared::logging::print_status;
use shared::message::TableSpec;
use shared::signals::{Received, Signals};
use shared::transport::Transport;
use shared::transport::local::LocalTransport;
use shared::transport::rabbit::RabbitTransport;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use worker::engine::{ReconcileEngine, SpillDirectory};
use worker::service::{self, WorkerHandle, WorkerOptions};

use super::catalogs::read_catalogs;
use super::connections::Mode;
use super::exit::{self, CommandError};
use super::progress::Progress;
use super::settings::RunSettings;
use super::telemetry::{HASTY_PUSH_LIMIT, PUSH_LIMIT, RunTelemetry};
use super::unfinished::{RequestedRun, unfinished};
use super::usage::UsageError;
use crate::repair::Scripts;
use crate::report::{Output, RunReport, write_stdout};
use crate::rows_file::RowsFile;
use crate::run::{self, Canceller, RunObserver, RunRequest};
use crate::run_state::{CancelReason, Restored};
use crate::store::{Recorder, RunLock, RunStore, RunWriter, StoreError, StoredRun};

/// How long the worker of this process and the transport may take to end after the run.
const LOCAL_DRAIN: Duration = Duration::from_secs(5);

/// Stores a run while it is carried out.
#[derive(Debug)]
pub(super) struct Storage {
    writer: Arc<RunWriter>,
    _lock: RunLock,
}

impl Storage {
    /// Starts storing the run of `lock`, which is in `store`.
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

pub(super) struct Execution {
    pub(super) mode: Mode,
    pub(super) request: RunRequest,
    pub(super) storage: Option<Storage>,
    /// The directory for repair scripts; absent: none are written.
    pub(super) output_dir: Option<PathBuf>,
    /// The file for all differing rows; absent: there is none.
    pub(super) rows_output: Option<PathBuf>,
    /// The database of the target, where it is known.
    pub(super) target: Option<String>,
    /// Whether SIGTERM leaves the run to the next coordinator instead of cancelling it.
    pub(super) survives_sigterm: bool,
}

/// How a stored run is continued.
#[derive(Debug)]
pub(super) struct Continuation {
    pub(super) mode: Mode,
    /// Why its remaining tables are only cancelled, if they are.
    pub(super) cancel: Option<CancelReason>,
    /// As in [`Execution`].
    pub(super) survives_sigterm: bool,
}

/// Plans a new run and carries it out.
pub(super) async fn new_run(mut settings: RunSettings) -> Result<u8, CommandError> {
    let metrics = std::mem::take(&mut settings.telemetry);
    let mut telemetry = RunTelemetry::start(metrics, Utc::now()).await?;
    let ended = Box::pin(plan_and_carry_out(settings, &mut telemetry)).await;
    telemetry.finish(PUSH_LIMIT).await;
    ended
}

async fn plan_and_carry_out(
    settings: RunSettings,
    telemetry: &mut RunTelemetry,
) -> Result<u8, CommandError> {
    let mut stored = settings.to_stored();
    let RunSettings {
        mode,
        limits,
        format,
        output,
        tables,
        state_dir,
        output_dir,
        rows_output,
        resume_within,
        telemetry: _,
    } = settings;
    // Without a broker, the statements of the run would be left with it.
    let survives_sigterm = resume_within.is_some() && matches!(mode, Mode::Broker(_));
    let selected = tables.plan(&read_catalogs(&tables).await?)?;
    stored.scope = selected.scope.clone();
    let request = RunRequest {
        scope: selected.scope,
        ..RunRequest::new(selected.tables, limits)
    };
    let storage = match state_dir {
        None => None,
        Some(directory) => {
            let mut store = RunStore::open(&directory)?;
            store.prune(request.started_at)?;
            let requested = RequestedRun {
                settings: &stored,
                tables: &request.tables,
                at: request.started_at,
            };
            if let Some(within) = resume_within
                && let Some((run, lock)) = unfinished(&store, &requested, within)?
            {
                print_status(format!("run {} has not ended and is continued", run.id));
                let continuation = Continuation {
                    mode,
                    cancel: None,
                    survives_sigterm,
                };
                let report = carry_on(&store, (&run, lock), continuation, telemetry).await?;
                deliver(&report, format, output)?;
                return Ok(exit::of_report(&report));
            }
            let lock = RunLock::take(&directory, request.run)?;
            store.create(request.run, request.started_at, &stored, &request.tables)?;
            Some(Storage::start(&store, lock, &request)?)
        }
    };
    let execution = Execution {
        mode,
        request,
        storage,
        output_dir,
        rows_output,
        target: stored.target.database,
        survives_sigterm,
    };
    let report = carry_out(execution, telemetry).await?;
    deliver(&report, format, output)?;
    Ok(exit::of_report(&report))
}

/// Carries out the remaining tables of a run.
pub(super) async fn carry_on(
    store: &RunStore,
    (run, lock): (&StoredRun, RunLock),
    continuation: Continuation,
    telemetry: &mut RunTelemetry,
) -> Result<RunReport, CommandError> {
    let (tables, restored) = store.tables(run)?.into_iter().unzip();
    let cancelling = run.cancelling.clone();
    let request = RunRequest {
        run: run.id,
        tables,
        scope: run.settings.scope.clone(),
        limits: run.settings.limits.clone(),
        started_at: run.started_at,
        restored: Some(Restored {
            tables: restored,
            cancelling: cancelling
                .as_ref()
                .map(|cancelling| cancelling.reason)
                .or(continuation.cancel),
            root_cause: cancelling.and_then(|cancelling| cancelling.root_cause),
            databases: run.databases.clone(),
        }),
    };
    print_status(format!(
        "{} of {} tables had ended",
        run.counts.total(),
        run.tables
    ));
    let storage = Storage::start(store, lock, &request)?;
    let execution = Execution {
        mode: continuation.mode,
        request,
        storage: Some(storage),
        output_dir: run.settings.output_dir.clone(),
        rows_output: run.settings.rows_output.clone(),
        target: run.settings.target.database.clone(),
        survives_sigterm: continuation.survives_sigterm,
    };
    Box::pin(carry_out(execution, telemetry)).await
}

/// Carries a run out to its end. A second signal ends the process.
pub(super) async fn carry_out(
    execution: Execution,
    telemetry: &mut RunTelemetry,
) -> Result<RunReport, CommandError> {
    let Execution {
        request, storage, ..
    } = execution;
    let (run, survives_sigterm) = (request.run, execution.survives_sigterm);
    let scripts = execution
        .output_dir
        .map(|directory| Scripts::prepare(&directory, execution.target, request.run))
        .transpose()?;
    let rows_file = execution
        .rows_output
        .map(|path| RowsFile::prepare(&path, request.run))
        .transpose()?;
    let specs: Vec<TableSpec> = request
        .tables
        .iter()
        .filter(|_| scripts.is_some())
        .map(|table| table.spec.clone())
        .collect();
    let mut signals = Signals::listen().map_err(CommandError::Signals)?;
    let (transport, worker) = connect(execution.mode).await?;
    telemetry.connected(&transport, worker.as_ref());
    print_status(format!("run {}", request.run));
    let progress = Progress::new(request.tables.len(), transport.task_queue());
    let spools = (
        scripts.as_ref().map(Scripts::spool),
        rows_file.as_ref().map(RowsFile::spool),
    );
    let observers = ((progress, spools), telemetry.observer());
    let observer: Box<dyn RunObserver> = match &storage {
        None => Box::new(observers),
        Some(storage) => Box::new((observers, Recorder::new(Arc::clone(&storage.writer)))),
    };
    let handle = run::start(request, transport.clone(), observer).await?;
    if let Some(trace) = handle.trace_id() {
        print_status(format!("trace {trace}"));
    }

    let canceller = handle.canceller();
    let stop_asked = storage
        .as_ref()
        .map(|storage| storage.writer.stop_asked())
        .unwrap_or_default();
    let mut report = tokio::select! {
        report = handle.report() => report?,
        end = early_end(&mut signals, stop_asked, canceller, survives_sigterm) => {
            let code = match end {
                EarlyEnd::LeftUnfinished => {
                    print_status(format!(
                        "SIGTERM: run {run} is left unfinished; `reconcile resume {run}` continues it"
                    ));
                    exit::LEFT
                }
                EarlyEnd::SecondSignal => {
                    telemetry.finish(HASTY_PUSH_LIMIT).await;
                    exit::INTERRUPTED
                }
            };
            std::process::exit(code.into())
        }
    };
    let statements = scripts.and_then(|scripts| scripts.finish(&mut report, &specs));
    let rows = rows_file.and_then(|rows_file| rows_file.finish(&mut report));
    if let Some(storage) = &storage {
        storage.writer.finish(&mut report).await;
    }
    if let Some(statements) = statements {
        statements.remove();
    }
    if let Some(rows) = rows {
        rows.remove();
    }
    shut_down(transport, worker).await;
    Ok(report)
}

async fn shut_down(transport: Arc<dyn Transport>, worker: Option<WorkerHandle>) {
    if let Some(worker) = worker
        && timeout(LOCAL_DRAIN, worker.drain()).await.is_err()
    {
        tracing::warn!("a statement of the run may still be running in a database");
    }
    if timeout(LOCAL_DRAIN, transport.close()).await.is_err() {
        tracing::warn!("the connection to the broker did not close in time");
    }
}

/// The transport, and the worker of this process if it has one.
async fn connect(mode: Mode) -> Result<(Arc<dyn Transport>, Option<WorkerHandle>), CommandError> {
    match mode {
        Mode::Broker(options) => Ok((RabbitTransport::connect(*options).await?, None)),
        Mode::Local {
            endpoints,
            concurrency,
            heartbeat_period,
            spill_dir,
        } => {
            let transport: Arc<dyn Transport> = LocalTransport::new();
            let engine = ReconcileEngine::new(endpoints, concurrency.into());
            let spill_directory = SpillDirectory::new(spill_dir);
            spill_directory
                .check()
                .map_err(UsageError::SpillDirectory)?;
            let engine = Arc::new(engine.spilling_to(spill_directory));
            let options = WorkerOptions {
                heartbeat_period,
                drain_grace: Duration::ZERO,
                has_peers: false,
                ..WorkerOptions::new(WorkerId::generate(), concurrency)
            };
            let worker = service::start(options, transport.clone(), engine).await?;
            Ok((transport, Some(worker)))
        }
    }
}

/// Why the process ends before its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EarlyEnd {
    /// The next coordinator of the run continues it.
    LeftUnfinished,
    /// A second signal did not wait for the cancelled run.
    SecondSignal,
}

/// Cancels the run at a signal or at a request through the store, and returns at the
/// next signal. With `survives_sigterm`, it returns at SIGTERM, and the run is not cancelled.
async fn early_end(
    signals: &mut Signals,
    stop_asked: CancellationToken,
    canceller: Canceller,
    survives_sigterm: bool,
) -> EarlyEnd {
    let left = tokio::select! {
        signal = signals.receive() => survives_sigterm && signal == Received::Terminate,
        () = stop_asked.cancelled() => false,
    };
    if left {
        return EarlyEnd::LeftUnfinished;
    }
    canceller.cancel();
    signals.next().await;
    EarlyEnd::SecondSignal
}

/// Prints the report, or writes it to the file.
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
                // The run may have taken hours: print its report rather than lose it.
                write_stdout(&text)?;
                return Err(error.into());
            }
            print_status(format!(
                "{}: the report is in {}",
                report.verdict.as_str(),
                path.display()
            ));
        }
    }
    Ok(())
}

//! Carries out one run, new or resumed: transport, worker of this process, store,
//! progress, signals, report.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use shared::ids::{RunId, WorkerId};
use shared::logging::{be_quiet, print_status, print_warning};
use shared::message::TableSpec;
use shared::signals::{Received, Signals};
use shared::transport::Transport;
use shared::transport::local::LocalTransport;
use shared::transport::rabbit::RabbitTransport;
use tokio::time::timeout;
use worker::engine::{ReconcileEngine, SpillDirectory};
use worker::service::{self, WorkerHandle, WorkerOptions};

use super::check;
use super::connections::Mode;
use super::delivery::Delivery;
use super::exit::{self, CommandError};
use super::hint::Hint;
use super::progress::Progress;
use super::run_end::{Delivered, PauseMessage};
use super::settings::RunSettings;
use super::telemetry::{HASTY_PUSH_LIMIT, PUSH_LIMIT, RunTelemetry};
use super::unfinished::{RequestedRun, unfinished};
use super::usage::UsageError;
use crate::repair::Scripts;
use crate::rows_file::RowsFile;
use crate::run::{self, RunControl, RunEnd, RunObserver, RunRequest};
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
    /// Whether SIGTERM leaves the run to the next coordinator, with its running attempts, instead
    /// of pausing it.
    pub(super) survives_sigterm: bool,
    /// The command that continues the run.
    pub(super) resume: String,
    /// Whether no progress is shown.
    pub(super) quiet: bool,
}

/// How a stored run is continued.
#[derive(Debug)]
pub(super) struct Continuation {
    pub(super) mode: Mode,
    /// Why its remaining tables are only cancelled, if they are.
    pub(super) cancel: Option<CancelReason>,
    /// As in [`Execution`].
    pub(super) survives_sigterm: bool,
    /// As in [`Execution`].
    pub(super) resume: String,
    /// As in [`Execution`].
    pub(super) quiet: bool,
}

/// Plans a new run and carries it out.
pub(super) async fn new_run(mut settings: RunSettings, hint: &Hint) -> Result<u8, CommandError> {
    let metrics = std::mem::take(&mut settings.telemetry);
    let mut telemetry = RunTelemetry::start(metrics, Utc::now()).await?;
    let ended = Box::pin(plan_and_carry_out(settings, hint, &mut telemetry)).await;
    telemetry.finish(PUSH_LIMIT).await;
    ended.map(Delivered::exit_code)
}

async fn plan_and_carry_out(
    settings: RunSettings,
    hint: &Hint,
    telemetry: &mut RunTelemetry,
) -> Result<Delivered, CommandError> {
    if let Some(ignored) = &settings.check
        && let Some(code) = Box::pin(check::before_run(&settings, ignored)).await?
    {
        return Ok(Delivered::Report(code));
    }
    let mut stored = settings.to_stored();
    let RunSettings {
        mode,
        limits,
        delivery,
        tables,
        state_dir,
        output_dir,
        rows_output,
        resume_within,
        telemetry: _,
        check: _,
        name: _,
        quiet,
    } = settings;
    if quiet {
        be_quiet();
    }
    // Without a broker, the statements of the run would be left with it.
    let survives_sigterm = resume_within.is_some() && matches!(mode, Mode::Broker(_));
    let selected = tables.select().await?;
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
                let resume = hint.resume(run.id, &run.settings);
                let continuation = Continuation {
                    mode,
                    cancel: None,
                    survives_sigterm,
                    resume: resume.clone(),
                    quiet,
                };
                let end = carry_on(&store, (&run, lock), continuation, telemetry).await?;
                return deliver_end(end, run.id, resume, delivery);
            }
            let lock = RunLock::take(&directory, request.run)?;
            store.create(request.run, request.started_at, &stored, &request.tables)?;
            Some(Storage::start(&store, lock, &request)?)
        }
    };
    let run = request.run;
    let resume = hint.resume(run, &stored);
    let execution = Execution {
        mode,
        request,
        storage,
        output_dir,
        rows_output,
        target: stored.target.database,
        survives_sigterm,
        resume: resume.clone(),
        quiet,
    };
    let end = carry_out(execution, telemetry).await?;
    deliver_end(end, run, resume, delivery)
}

/// Carries out the remaining tables of a run.
pub(super) async fn carry_on(
    store: &RunStore,
    (run, lock): (&StoredRun, RunLock),
    continuation: Continuation,
    telemetry: &mut RunTelemetry,
) -> Result<RunEnd, CommandError> {
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
        resume: continuation.resume,
        quiet: continuation.quiet,
    };
    Box::pin(carry_out(execution, telemetry)).await
}

/// Carries a run out to its end or until it is paused. A second signal ends the process.
pub(super) async fn carry_out(
    execution: Execution,
    telemetry: &mut RunTelemetry,
) -> Result<RunEnd, CommandError> {
    let Execution {
        request,
        storage,
        resume,
        ..
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
    let progress = Progress::new(transport.task_queue(), execution.quiet);
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

    let stops = Stops {
        control: handle.control(),
        writer: storage.as_ref().map(|storage| &*storage.writer),
        survives_sigterm,
    };
    let end = tokio::select! {
        end = handle.end() => end?,
        early = early_end(&mut signals, stops) => {
            let resume = storage.is_some().then_some(resume);
            std::process::exit(leave(early, run, resume, telemetry).await.into())
        }
    };
    let mut report = match end {
        RunEnd::Ended(report) => report,
        RunEnd::Paused(paused) => {
            if let Some(storage) = &storage {
                storage.writer.flush().await;
            }
            shut_down(transport, worker).await;
            return Ok(RunEnd::Paused(paused));
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
    Ok(RunEnd::Ended(report))
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
    /// A second signal did not wait until the run had stopped.
    SecondSignal,
}

/// How a run ends before its last table.
struct Stops<'a> {
    control: RunControl,
    /// Absent if the run is not stored.
    writer: Option<&'a RunWriter>,
    survives_sigterm: bool,
}

/// Pauses the run at a signal, or cancels it if it cannot be resumed or if that was requested
/// through the store. Returns at the next signal. With `survives_sigterm`, it returns at SIGTERM,
/// and the attempts of the run go on.
async fn early_end(signals: &mut Signals, stops: Stops<'_>) -> EarlyEnd {
    let Stops {
        control,
        writer,
        survives_sigterm,
    } = stops;
    let stop_asked = writer.map(RunWriter::stop_asked).unwrap_or_default();
    tokio::select! {
        signal = signals.receive() => {
            if survives_sigterm && signal == Received::Terminate {
                return EarlyEnd::LeftUnfinished;
            }
            if writer.is_some_and(|writer| writer.broken().is_none()) {
                control.pause();
            } else {
                control.cancel();
            }
        }
        () = stop_asked.cancelled() => control.cancel(),
    }
    tokio::select! {
        () = signals.next() => EarlyEnd::SecondSignal,
        // A pause can still become a cancellation.
        () = async {
            stop_asked.cancelled().await;
            control.cancel();
            std::future::pending().await
        } => EarlyEnd::SecondSignal,
    }
}

/// What is done before the process ends without its run; the exit code. `resume`: the command that
/// continues the run, if it is stored.
async fn leave(
    early: EarlyEnd,
    run: RunId,
    resume: Option<String>,
    telemetry: &RunTelemetry,
) -> u8 {
    let continued = match resume {
        Some(resume) => format!("`{resume}` continues it"),
        None => "it was not stored, so it cannot be resumed".to_owned(),
    };
    match early {
        EarlyEnd::LeftUnfinished => {
            print_warning(format!(
                "SIGTERM: run {run} is left unfinished; {continued}"
            ));
            exit::LEFT
        }
        EarlyEnd::SecondSignal => {
            telemetry.finish(HASTY_PUSH_LIMIT).await;
            print_warning(format!(
                "run {run} was left at once: its statements may still run in the databases; {continued}"
            ));
            exit::INTERRUPTED
        }
    }
}

/// Delivers the report of a run, if it has one.
pub(super) fn deliver_end(
    end: RunEnd,
    run: RunId,
    resume: String,
    delivery: Delivery,
) -> Result<Delivered, CommandError> {
    match end {
        RunEnd::Ended(report) => {
            delivery.deliver(&report)?;
            Ok(Delivered::Report(exit::of_report(&report)))
        }
        RunEnd::Paused(paused) => Ok(Delivered::Paused(PauseMessage {
            run,
            paused,
            resume,
        })),
    }
}

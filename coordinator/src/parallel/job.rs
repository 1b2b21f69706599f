//! Runs of an embedding program: from options, tables and the function to the
//! report.

use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use shared::ids::{TableName, TableNameError, WorkerId};
use shared::transport::local::LocalTransport;
use shared::transport::{Transport, TransportError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use worker::service::{self, WorkerOptions};

use super::findings::Findings;
use super::function::{FunctionEngine, ReconcileFunction};
use super::options::{OptionsError, ParallelOptions, SHORTEST};
use super::stats::{Counted, RUNS, TableCounter};
use super::table::{IntoTable, Table, TableJob};
use crate::report::RunReport;
use crate::run::{self, RunLost, RunRequest};
use crate::run_state::Limits;

/// How long the end of a run waits for functions that do not stop.
const DRAIN: Duration = Duration::from_secs(1);

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ParallelError {
    /// The options are not valid.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The list is empty. A run that verifies nothing must not look like success.
    #[error("the list of tables is empty")]
    NoTables,
    /// A text is not a table name.
    #[error(transparent)]
    TableName(#[from] TableNameError),
    /// The same pair of tables is listed twice.
    #[error("{0} is listed twice")]
    Twice(TableName),
    /// The timeout of a table is zero.
    #[error("the timeout of {0} is zero; it must be at least 1 ms")]
    Timeout(TableName),
    /// The future was not polled inside a tokio runtime.
    #[error("a run needs a tokio runtime; await it inside one")]
    NoRuntime,
    /// The operating system cannot start a thread for the run.
    #[error("cannot start a thread for the run: {0}")]
    Thread(io::Error),
    /// The in-process transport failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The run ended without a report, which is a defect.
    #[error(transparent)]
    Lost(#[from] RunLost),
}

/// Runs an async function over a list of tables, several at a time.
///
/// A run returns a report in which every table has ended in exactly one of
/// matched, mismatched, failed, timeout and cancelled. A table that could not
/// be verified never counts as equal.
///
/// **Timeouts and cancellation.** The function gets a token. It is triggered at
/// the table's timeout, when fail-fast ends the run, and when the run's future
/// is dropped. A function that has not returned within
/// [`ParallelOptions::cancel_grace`] is dropped at its next await. A function
/// that blocks its thread cannot be dropped; the run ends without it, and it
/// counts among `max_workers` until it returns.
///
/// **Panics** of the function are failures of its table, of kind `Panic`.
///
/// **Where things run.** The function runs on the runtime that polls the run,
/// of either flavour; on a current-thread runtime functions take turns. The
/// run's own thread has the timers, so timeouts work also while the runtime is
/// busy.
///
/// ```
/// use std::time::Duration;
/// use coordinator::parallel::{Comparison, Findings, ParallelOptions, ParallelReconciler, Table};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let reconciler = ParallelReconciler::new(ParallelOptions {
///     max_workers: 2,
///     ..ParallelOptions::default()
/// })?;
/// let tables = [
///     Table::new("orders".parse()?),
///     Table::new("stuck".parse()?).timeout(Duration::from_millis(20)),
///     Table::new("broken".parse()?),
/// ];
/// let report = reconciler
///     .run(tables, |table, cancel| async move {
///         match table.source.name.as_str() {
///             "stuck" => {
///                 cancel.cancelled().await;
///                 Err("stopped the query".to_owned())
///             }
///             "broken" => Err("no such table".to_owned()),
///             _ => Ok(Findings::of_counts(10, 10)),
///         }
///     })
///     .await?;
/// assert_eq!((report.matched, report.timeout, report.failed), (1, 1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct ParallelReconciler {
    options: ParallelOptions,
}

impl ParallelReconciler {
    /// A reconciler with these options.
    ///
    /// # Errors
    ///
    /// When an option is out of its range; the error names it.
    pub fn new(options: ParallelOptions) -> Result<Self, OptionsError> {
        options.validate()?;
        Ok(Self { options })
    }

    /// Compares `tables` with `function` and reports. Nothing happens until the
    /// future is polled. Dropping it cancels the run: no further table starts,
    /// and running functions are asked to stop.
    ///
    /// A function's error is anything that is or becomes a
    /// `Box<dyn Error + Send + Sync>`. A [`Failure`](super::Failure) in it
    /// keeps its kind and its `retryable`.
    ///
    /// # Errors
    ///
    /// When the list is empty, names a table twice, or holds a text that is not
    /// a table name or a zero timeout; outside of a tokio runtime; when there
    /// is no thread. An error of a table is never an error of the run; it is in the
    /// report.
    pub async fn run<I, F, Fut, T, E>(
        &self,
        tables: I,
        function: F,
    ) -> Result<RunReport, ParallelError>
    where
        I: IntoIterator<Item: IntoTable>,
        F: Fn(TableJob, CancellationToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Findings>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        create_parallel_reconcile_job(self.options, tables, function)?
            .run()
            .await
    }
}

/// A list of tables and a function that can be run repeatedly.
///
/// Cheap to clone. Runs of one job may overlap; each has its own limits, so two
/// runs have up to twice `max_workers` running functions.
#[derive(Debug, Clone)]
pub struct ParallelReconcileJob {
    options: ParallelOptions,
    concurrency: u16,
    limits: Limits,
    tables: Arc<[Table]>,
    function: ReconcileFunction,
}

/// Creates a job that can be run repeatedly, also concurrently.
///
/// # Errors
///
/// When an option is out of its range, or the list is empty, names a table
/// twice, or holds a text that is not a table name or a zero timeout.
///
/// ```
/// use coordinator::parallel::{Failure, Findings, ParallelOptions, create_parallel_reconcile_job};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let job = create_parallel_reconcile_job(
///     ParallelOptions::default(),
///     ["customers", "orders"],
///     |_table, _cancel| async { Ok::<_, Failure>(Findings::of_counts(3, 3)) },
/// )?;
/// let (first, second) = tokio::join!(job.run(), job.run());
/// assert_eq!(first?.matched + second?.matched, 4);
/// # Ok(())
/// # }
/// ```
pub fn create_parallel_reconcile_job<I, F, Fut, T, E>(
    options: ParallelOptions,
    tables: I,
    function: F,
) -> Result<ParallelReconcileJob, ParallelError>
where
    I: IntoIterator<Item: IntoTable>,
    F: Fn(TableJob, CancellationToken) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<Findings>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let (concurrency, limits) = options.validate()?;
    let tables: Vec<Table> = tables
        .into_iter()
        .map(IntoTable::into_table)
        .collect::<Result<_, _>>()?;
    if tables.is_empty() {
        return Err(ParallelError::NoTables);
    }
    let mut listed = BTreeSet::new();
    for table in &tables {
        if table.timeout.is_some_and(|timeout| timeout < SHORTEST) {
            return Err(ParallelError::Timeout(table.source().clone()));
        }
        if !listed.insert((&table.source, &table.target)) {
            return Err(ParallelError::Twice(table.source().clone()));
        }
    }
    Ok(ParallelReconcileJob {
        options,
        concurrency,
        limits,
        tables: tables.into(),
        function: ReconcileFunction::new(function),
    })
}

impl ParallelReconcileJob {
    /// Compares every table once and reports, as [`ParallelReconciler::run`] does.
    /// Dropping the future cancels the run.
    ///
    /// # Errors
    ///
    /// Outside of a tokio runtime, or when there is no thread.
    pub async fn run(&self) -> Result<RunReport, ParallelError> {
        self.run_until(&CancellationToken::new()).await
    }

    /// Like [`run`](Self::run), but `cancel` ends the run early with a report: the
    /// remaining tables are cancelled, and `interrupted` is set.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    pub async fn run_until(&self, cancel: &CancellationToken) -> Result<RunReport, ParallelError> {
        let runtime = Handle::try_current().map_err(|_| ParallelError::NoRuntime)?;
        let engine = FunctionEngine::new(
            self.function.clone(),
            runtime,
            self.concurrency,
            self.options.cancel_grace,
        );
        let timeout = self.options.timeout_per_table;
        let tables = self.tables.iter().map(|table| table.planned(timeout));
        let request = RunRequest::new(tables.collect(), self.limits.clone());
        let (run, concurrency) = (request.run, self.concurrency);
        let cancel = cancel.child_token();
        // When the caller drops this future, the run is cancelled.
        let _abandoned = cancel.clone().drop_guard();
        let (done, report) = oneshot::channel();
        // The thread ends with the run, which `cancel` ends early.
        thread::Builder::new()
            .name("reconcile-run".to_owned())
            .spawn(move || {
                let counted = Counted::new(&RUNS);
                let run = run_to_end(request, engine, concurrency, cancel);
                let report = actix_rt::System::new().block_on(run);
                drop(counted);
                // If the receiver was dropped, the report is not needed.
                done.send(report).ok();
            })
            .map_err(ParallelError::Thread)?;
        report.await.map_err(|_| RunLost(run))?
    }
}

/// The whole run. Must be called inside an actix system.
async fn run_to_end(
    request: RunRequest,
    engine: FunctionEngine,
    concurrency: u16,
    cancel: CancellationToken,
) -> Result<RunReport, ParallelError> {
    let transport: Arc<dyn Transport> = LocalTransport::new();
    let options = WorkerOptions {
        drain_grace: Duration::ZERO,
        has_peers: false,
        ..WorkerOptions::new(WorkerId::generate(), concurrency)
    };
    let worker = service::start(options, transport.clone(), Arc::new(engine)).await?;
    let counter = Box::<TableCounter>::default();
    let handle = run::start(request, transport.clone(), counter).await?;
    let control = handle.control();
    let cancelling = async {
        cancel.cancelled().await;
        control.cancel();
        std::future::pending().await
    };
    let report = tokio::select! {
        report = handle.report() => report,
        never = cancelling => never,
    };
    if tokio::time::timeout(DRAIN, worker.drain()).await.is_err() {
        tracing::warn!("a function of the run has not stopped yet");
    }
    transport.close().await;
    Ok(report?)
}

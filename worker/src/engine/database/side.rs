//! One side of a running comparison: its session, its statements, and how a
//! statement ends when the comparison is cancelled.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::endpoint::DatabaseKind;
use shared::ids::TableName;
use shared::outcome::SideRead;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::engine::database::constraints::Constraints;
use crate::engine::database::kinds::database;
use crate::engine::database::scan::{Query, Scanned};
use crate::engine::database::session::label::Isolation;
use crate::engine::database::session::pool::SessionLease;
use crate::engine::database::statement::SideStatements;
use crate::engine::database::{catalog, spans};
use crate::engine::error::DatabaseError;
use crate::engine::task::{Progress, Stop};
use crate::engine::values::canonical::RowSink;
use crate::engine::values::column::{SideOf, Table};

/// A side before its columns are known.
#[derive(Debug)]
pub(crate) struct OpenSide {
    lease: SessionLease,
    cancel: CancellationToken,
    counter: RowCounter,
    started: DateTime<Utc>,
    finished: DateTime<Utc>,
    discreet: bool,
}

/// How a statement ended.
enum Ended<T> {
    Done(T),
    Failed(Stop),
    Overdue(Stop),
    Cancelled,
}

impl<T> Ended<T> {
    fn of(result: Result<T, Stop>) -> Self {
        match result {
            Ok(value) => Self::Done(value),
            Err(stop) => Self::Failed(stop),
        }
    }
}

/// Tells one side's progress.
#[derive(Debug, Clone)]
pub(crate) struct RowCounter {
    progress: Arc<Progress>,
    side: SideOf,
}

impl RowCounter {
    fn add(&self, Scanned { rows, bytes }: Scanned) {
        match self.side {
            SideOf::Source => {
                self.progress.add_source_rows(rows);
                self.progress.add_source_bytes(bytes);
            }
            SideOf::Target => {
                self.progress.add_target_rows(rows);
                self.progress.add_target_bytes(bytes);
            }
        }
    }
}

impl OpenSide {
    /// A side over a session in a transaction.
    #[must_use]
    pub(crate) fn new(
        lease: SessionLease,
        cancel: CancellationToken,
        progress: Arc<Progress>,
        side: SideOf,
    ) -> Self {
        let now = Utc::now();
        Self {
            lease,
            cancel,
            counter: RowCounter { progress, side },
            started: now,
            finished: now,
            discreet: false,
        }
    }

    /// With `discreet`, failures do not quote what the database quotes.
    #[must_use]
    pub(crate) fn discreet(self, discreet: bool) -> Self {
        Self { discreet, ..self }
    }

    /// Which side it is.
    #[must_use]
    pub(crate) fn side(&self) -> SideOf {
        self.counter.side
    }

    /// The kind of database.
    #[must_use]
    pub(crate) fn engine(&self) -> DatabaseKind {
        self.lease.endpoint().engine
    }

    /// How this side is read, for the report.
    #[must_use]
    pub(crate) fn isolation(&self) -> Isolation {
        self.lease.isolation
    }

    /// How and when this side was read so far: from when its transaction began.
    #[must_use]
    pub(crate) fn read(&self) -> SideRead {
        let moment = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        SideRead {
            isolation: self.isolation().level().to_owned(),
            started_at: moment(self.started),
            finished_at: moment(self.finished),
        }
    }

    /// Looks the table up.
    ///
    /// # Errors
    ///
    /// When there is no such table, or the comparison is cancelled. The session is closed then.
    pub(crate) async fn describe(mut self, name: &TableName) -> Result<(Self, Table), Stop> {
        let endpoint = self.lease.endpoint().clone();
        let overdue = self.overdue();
        let ended = tokio::select! {
            described = catalog::describe(&mut *self.lease.session, &endpoint, name) => {
                Ended::of(described.map_err(Stop::Failed))
            }
            () = self.cancel.cancelled() => Ended::Cancelled,
            limit = overdue => Ended::Overdue(self.overdue_failure(limit, "reading the catalog")),
        };
        self.settle(ended).await
    }

    /// Reads what must be known before the table is written to.
    ///
    /// # Errors
    ///
    /// As [`OpenSide::scan`].
    pub(crate) async fn constraints(mut self, table: &Table) -> Result<(Self, Constraints), Stop> {
        let what = "reading constraints from the catalog";
        let overdue = self.overdue();
        let ended = tokio::select! {
            read = self.lease.session.constraints(table) => {
                Ended::of(read.map_err(|error| self.failure(&error, what)))
            }
            () = self.cancel.cancelled() => Ended::Cancelled,
            limit = overdue => Ended::Overdue(self.overdue_failure(limit, what)),
        };
        self.settle(ended).await
    }

    /// Counts the table's rows in the database.
    ///
    /// # Errors
    ///
    /// As [`OpenSide::scan`].
    pub(crate) async fn count(self, statement: String) -> Result<(Self, u64), Stop> {
        let span = spans::reading(self.side(), self.lease.endpoint(), &statement);
        spans::within(span, self.run_count(statement)).await
    }

    async fn run_count(mut self, statement: String) -> Result<(Self, u64), Stop> {
        let overdue = self.overdue();
        let ended = tokio::select! {
            counted = self.lease.session.count(&statement) => {
                Ended::of(counted.map_err(|error| self.failure(&error, &statement)))
            }
            () = self.cancel.cancelled() => Ended::Cancelled,
            limit = overdue => Ended::Overdue(self.overdue_failure(limit, &statement)),
        };
        if let Ended::Done(count) = &ended {
            spans::rows(*count);
        }
        self.settle(ended).await
    }

    /// Reads the rows of `query` into `sink`.
    ///
    /// # Errors
    ///
    /// When the database reports an error, the statement takes too long or the
    /// comparison is cancelled. The statement has ended and the session is closed then.
    pub(crate) async fn scan<S: RowSink>(self, query: &Query, sink: S) -> Result<(Self, S), Stop> {
        let span = spans::reading(self.side(), self.lease.endpoint(), &query.statement);
        spans::within(span, self.run_scan(query, sink)).await
    }

    async fn run_scan<S: RowSink>(mut self, query: &Query, mut sink: S) -> Result<(Self, S), Stop> {
        let counter = self.counter.clone();
        let progress = move |scanned| counter.add(scanned);
        let overdue = self.overdue();
        let ended = tokio::select! {
            scanned = self.lease.session.scan(query, &mut sink, &progress) => {
                Ended::of(scanned.map_err(|error| self.failure(&error, &query.statement)))
            }
            () = self.cancel.cancelled() => Ended::Cancelled,
            limit = overdue => Ended::Overdue(self.overdue_failure(limit, &query.statement)),
        };
        if let Ended::Done(count) = &ended {
            spans::rows(*count);
        }
        let (side, _) = self.settle(ended).await?;
        Ok((side, sink))
    }

    /// Ends the transaction, for as long as nothing is read.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub(crate) async fn pause(mut self) -> Result<Self, Stop> {
        let ended = tokio::select! {
            paused = self.lease.pause() => Ended::of(paused.map_err(Stop::Failed)),
            () = self.cancel.cancelled() => Ended::Cancelled,
        };
        Ok(self.settle(ended).await?.0)
    }

    /// Begins a new transaction after [`OpenSide::pause`].
    ///
    /// # Errors
    ///
    /// When the connection was lost.
    pub(crate) async fn resume(mut self) -> Result<Self, Stop> {
        let ended = tokio::select! {
            resumed = self.lease.resume() => Ended::of(resumed.map_err(Stop::Failed)),
            () = self.cancel.cancelled() => Ended::Cancelled,
        };
        Ok(self.settle(ended).await?.0)
    }

    /// Ends when a statement that begins now has taken too long, where the
    /// database does not see to that itself.
    fn overdue(&self) -> impl Future<Output = Duration> + Send + use<> {
        let limit = (!database(self.engine()).enforces_statement_timeout())
            .then(|| self.lease.statement_timeout());
        async move {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
            limit.unwrap_or_default()
        }
    }

    fn overdue_failure(&self, limit: Duration, statement: &str) -> Stop {
        self.failure(&DatabaseError::StatementTimeout(limit), statement)
    }

    fn failure(&self, error: &DatabaseError, statement: &str) -> Stop {
        // The statement names table and columns; its values are parameters or keys and are left out.
        let shown = statement
            .split_once(" WHERE ")
            .map_or(statement, |(before, _)| before);
        let shown: String = if shown.chars().count() > 200 {
            shown.chars().take(200).chain(['…']).collect()
        } else {
            shown.to_owned()
        };
        let (endpoint, what) = (self.lease.endpoint(), format!("`{shown}` failed"));
        Stop::Failed(if self.discreet {
            error.redacted_at(endpoint, &what)
        } else {
            error.at(endpoint, &what)
        })
    }

    /// Goes on with the side, or ends its session: by stopping the statement
    /// when it was cancelled or is overdue, by closing the connection after an error.
    async fn settle<T>(mut self, ended: Ended<T>) -> Result<(Self, T), Stop> {
        match ended {
            Ended::Done(value) => {
                self.finished = Utc::now();
                Ok((self, value))
            }
            Ended::Failed(stop) => {
                self.lease.close().await;
                Err(stop)
            }
            Ended::Overdue(stop) => {
                self.lease.stop().await;
                Err(stop)
            }
            Ended::Cancelled => {
                self.lease.stop().await;
                Err(Stop::Cancelled)
            }
        }
    }

    /// The statements of this side, once the comparison is planned.
    #[must_use]
    pub(crate) fn statements(
        &self,
        table: &Table,
        plan: &crate::engine::plan::Plan,
    ) -> SideStatements {
        SideStatements::new(database(self.engine()), table, plan, self.side())
    }

    /// Ends the transaction and gives the session back.
    pub(crate) async fn close(self) {
        self.lease.give_back().await;
    }
}

/// Runs the two sides at the same time, each on its own task, so that two cores
/// can work. When one fails, the other one's statement is stopped. The failure
/// wins over the cancellation that it caused.
///
/// # Errors
///
/// The first failure, or `Stop::Cancelled`.
pub(crate) fn both<A, B>(
    source: impl Future<Output = Result<A, Stop>> + Send + 'static,
    target: impl Future<Output = Result<B, Stop>> + Send + 'static,
    stop_both: &CancellationToken,
) -> impl Future<Output = Result<(A, B), Stop>> + Send + 'static
where
    A: Send + 'static,
    B: Send + 'static,
{
    let source = spawn_side(source, stop_both.clone());
    let target = spawn_side(target, stop_both.clone());
    async move {
        match tokio::join!(finish(source), finish(target)) {
            (Ok(source), Ok(target)) => Ok((source, target)),
            (Err(Stop::Failed(failure)), _) | (_, Err(Stop::Failed(failure))) => {
                Err(Stop::Failed(failure))
            }
            _ => Err(Stop::Cancelled),
        }
    }
}

fn spawn_side<T: Send + 'static>(
    work: impl Future<Output = Result<T, Stop>> + Send + 'static,
    stop_both: CancellationToken,
) -> JoinHandle<Result<T, Stop>> {
    let guarded = async move {
        // Also when the side panics.
        let stop_other = stop_both.drop_guard();
        let result = work.await;
        if result.is_ok() {
            stop_other.disarm();
        }
        result
    };
    tokio::spawn(guarded.in_current_span())
}

/// A panic of one side is a panic of the comparison; the worker isolates it.
async fn finish<T>(side: JoinHandle<Result<T, Stop>>) -> Result<T, Stop> {
    match side.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Stop::Cancelled),
        },
    }
}

/// Runs what computes for long where it holds nothing up; its panic is one of the comparison.
///
/// # Errors
///
/// As `work`.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Stop> + Send + 'static,
) -> Result<T, Stop> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

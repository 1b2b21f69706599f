//! One side of a running comparison: its session, its statements, and how a
//! statement ends when the comparison is cancelled.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::endpoint::{DatabaseKind, Endpoint};
use shared::ids::TableName;
use shared::naming::Naming;
use shared::outcome::{Failure, FailureKind, SideRead};
use tokio_util::sync::CancellationToken;

use crate::engine::database::constraints::Constraints;
use crate::engine::database::kinds::database;
use crate::engine::database::scan::{Query, Scanned, Undecoded};
use crate::engine::database::session::label::Isolation;
use crate::engine::database::session::limits::ANSWER_LIMIT;
use crate::engine::database::session::pool::SessionLease;
use crate::engine::database::surrogate::find_column;
use crate::engine::database::{hold, spans};
use crate::engine::error::DatabaseError;
use crate::engine::running::RunningStatements;
use crate::engine::task::{Progress, Stop};
use crate::engine::values::canonical::RowSink;
use crate::engine::values::column::{SideOf, Table};

/// The most characters of a statement that a failure quotes.
const LONGEST_QUOTE: usize = 200;

/// One side of a comparison, with a session in a transaction.
#[derive(Debug)]
pub(crate) struct OpenSide {
    /// Absent while [detached](Self::detach), and once the session has ended.
    lease: Option<SessionLease>,
    endpoint: Arc<Endpoint>,
    isolation: Isolation,
    /// The table as the plan knows it, once it was described.
    described: Option<Arc<Table>>,
    cancel: CancellationToken,
    side: SideOf,
    progress: Arc<Progress>,
    running: Arc<RunningStatements>,
    started: DateTime<Utc>,
    finished: DateTime<Utc>,
    redacted: bool,
}

#[derive(Debug, thiserror::Error)]
enum WorkError {
    /// An error that does not name the statement yet.
    #[error(transparent)]
    Statement(#[from] DatabaseError),
    /// A failure with everything a user needs.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl OpenSide {
    /// A side over a session in a transaction. With `redacted`, failures do not
    /// repeat the database's messages, which may quote values.
    pub(crate) fn new(
        lease: SessionLease,
        (side, redacted): (SideOf, bool),
        cancel: CancellationToken,
        (progress, running): (Arc<Progress>, Arc<RunningStatements>),
    ) -> Self {
        let now = Utc::now();
        Self {
            endpoint: Arc::new(lease.endpoint().clone()),
            isolation: lease.isolation,
            described: None,
            lease: Some(lease),
            cancel,
            side,
            progress,
            running,
            started: now,
            finished: now,
            redacted,
        }
    }

    /// Moves the session into a value that a task of its own can own. What
    /// remains here still describes the side and has no session.
    pub(crate) fn detach(&mut self) -> Self {
        Self {
            lease: self.lease.take(),
            endpoint: Arc::clone(&self.endpoint),
            isolation: self.isolation,
            described: self.described.clone(),
            cancel: self.cancel.clone(),
            side: self.side,
            progress: Arc::clone(&self.progress),
            running: Arc::clone(&self.running),
            started: self.started,
            finished: self.finished,
            redacted: self.redacted,
        }
    }

    pub(crate) fn kind(&self) -> DatabaseKind {
        self.endpoint.kind
    }

    /// How this side was read and when, from the start of its transaction until
    /// now, for the report.
    pub(crate) fn read(&self) -> SideRead {
        let moment = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        SideRead {
            isolation: self.isolation.level().to_owned(),
            started_at: moment(self.started),
            finished_at: moment(self.finished),
        }
    }

    /// Describes the table with this name. Must be the first work of the transaction.
    /// This and all later transactions read the table as it is described here, or
    /// [`check`](Self::check) or [`resume`](Self::resume) fails.
    pub(crate) async fn describe(
        &mut self,
        name: &TableName,
        naming: Naming,
    ) -> Result<Table, Stop> {
        let (endpoint, limit) = (Arc::clone(&self.endpoint), self.statement_limit());
        let describe =
            async |lease: &mut SessionLease| hold::describe(lease, &endpoint, name, naming).await;
        let table = self.run("reading the catalog", limit, describe).await?;
        self.described = Some(Arc::new(table.clone()));
        Ok(table)
    }

    /// Fails if the transaction may have read anything but the described table.
    pub(crate) async fn check(&mut self) -> Result<(), Stop> {
        let Some(table) = self.described.clone() else {
            return Ok(());
        };
        let (endpoint, limit) = (Arc::clone(&self.endpoint), self.statement_limit());
        self.run("reading the catalog", limit, async |lease| {
            hold::check(lease, &endpoint, &table).await
        })
        .await
    }

    /// Reads what must be known before the table is written to.
    pub(crate) async fn constraints(&mut self, table: &Table) -> Result<Constraints, Stop> {
        let what = "reading constraints from the catalog";
        self.run(what, self.statement_limit(), async |lease| {
            lease.session.constraints(table).await
        })
        .await
    }

    pub(crate) async fn count(&mut self, statement: &str) -> Result<u64, Stop> {
        self.run_reading(statement, async |lease| {
            lease.session.count(statement).await
        })
        .await
    }

    /// Reads the rows of `query` into `sink`.
    ///
    /// # Errors
    ///
    /// When the database reports an error, the statement takes too long or the
    /// comparison is cancelled. The statement has ended and the session is closed
    /// then, and every later use of this side fails.
    pub(crate) async fn scan(
        &mut self,
        query: &Query,
        sink: &mut impl RowSink,
    ) -> Result<(), Stop> {
        let (side, progress) = (self.side, Arc::clone(&self.progress));
        let progress = move |Scanned { rows, bytes }| progress.add(side, rows, bytes);
        self.run_reading(&query.statement, async |lease| {
            match (
                lease.session.scan(query, sink, &progress).await,
                &query.undecoded,
            ) {
                (Err(DatabaseError::NotUnicode), Some(undecoded)) => {
                    Err(name_column(lease, undecoded).await)
                }
                (scanned, _) => scanned,
            }
        })
        .await?;
        Ok(())
    }

    /// Checks and ends the transaction, so that none is open while nothing is read.
    pub(crate) async fn pause(&mut self) -> Result<(), Stop> {
        self.check().await?;
        self.run("ending a transaction", None, async |lease| {
            lease.pause().await
        })
        .await
    }

    /// Begins a new transaction after [`OpenSide::pause`]. Fails if the table has changed.
    pub(crate) async fn resume(&mut self) -> Result<(), Stop> {
        let (endpoint, described) = (Arc::clone(&self.endpoint), self.described.clone());
        let resume = async |lease: &mut SessionLease| {
            lease.resume().await?;
            if let Some(table) = described {
                hold::describe_again(lease, &endpoint, &table).await?;
            }
            Ok::<_, Failure>(lease.isolation)
        };
        let limit = self.statement_limit();
        self.isolation = self.run("beginning a transaction", limit, resume).await?;
        Ok(())
    }

    /// Ends the transaction and gives the session back to the pool.
    pub(crate) async fn close(self) {
        if let Some(lease) = self.lease {
            lease.give_back().await;
        }
    }

    /// Runs a statement that returns rows, or their number, in a span of its own.
    async fn run_reading(
        &mut self,
        statement: &str,
        work: impl AsyncFnOnce(&mut SessionLease) -> Result<u64, DatabaseError>,
    ) -> Result<u64, Stop> {
        let span = spans::reading(self.side, &self.endpoint, statement);
        let reading = async {
            let rows = self.run(statement, self.statement_limit(), work).await?;
            spans::rows(rows);
            Ok(rows)
        };
        spans::within(span, reading).await
    }

    /// Runs `work` on the session. When the comparison is cancelled or `limit`
    /// has passed, the running statement is stopped; after an error the
    /// connection is closed. The session has ended in both cases. It stays listed as
    /// running if the database has not confirmed that.
    async fn run<T, E: Into<WorkError>>(
        &mut self,
        what: &str,
        limit: Option<Duration>,
        work: impl AsyncFnOnce(&mut SessionLease) -> Result<T, E>,
    ) -> Result<T, Stop> {
        let Some(mut lease) = self.lease.take() else {
            return Err(Failure::new(
                FailureKind::InternalError,
                format!(
                    "{what}: the session with endpoint `{}` has ended before; please report this",
                    self.endpoint.name
                ),
            )
            .into());
        };
        let statement = self.running.list(lease.listed());
        let stopped = tokio::select! {
            done = work(&mut lease) => match done {
                Ok(value) => {
                    statement.ended();
                    self.finished = Utc::now();
                    self.lease = Some(lease);
                    return Ok(value);
                }
                Err(error) => {
                    if lease.stop().await {
                        statement.ended();
                    }
                    return Err(self.failure(error.into(), what));
                }
            },
            () = self.cancel.cancelled() => Stop::Cancelled,
            limit = elapsed(limit) => {
                self.failure(self.limit_passed(limit).into(), what)
            }
        };
        if lease.stop().await {
            statement.ended();
        }
        Err(stopped)
    }

    /// How long a statement may run. Where the database enforces the limit itself, its error
    /// comes first, unless the connection is lost without a sign.
    fn statement_limit(&self) -> Option<Duration> {
        let limit = self.lease.as_ref()?.statement_timeout();
        Some(if self.is_limit_enforced() {
            limit.saturating_add(ANSWER_LIMIT)
        } else {
            limit
        })
    }

    fn is_limit_enforced(&self) -> bool {
        database(self.kind()).facts().enforces_statement_timeout
    }

    fn limit_passed(&self, limit: Duration) -> DatabaseError {
        if self.is_limit_enforced() {
            DatabaseError::Unanswered(limit)
        } else {
            DatabaseError::StatementTimeout(limit)
        }
    }

    fn failure(&self, error: WorkError, statement: &str) -> Stop {
        let error = match error {
            WorkError::Statement(error) => error,
            WorkError::Failure(failure) => return Stop::Failed(failure),
        };
        // Table and columns are quoted; the condition, which contains keys, is not.
        let quoted = statement
            .split_once(" WHERE ")
            .map_or(statement, |(before, _)| before);
        let what = match quoted.char_indices().nth(LONGEST_QUOTE) {
            Some((end, _)) => format!("`{}…` failed", &quoted[..end]),
            None => format!("`{quoted}` failed"),
        };
        Stop::Failed(if self.redacted {
            error.redacted_at(&self.endpoint, &what)
        } else {
            error.at(&self.endpoint, &what)
        })
    }
}

/// The error for a text that the driver cannot decode, with the name of its column.
async fn name_column(lease: &mut SessionLease, undecoded: &Undecoded) -> DatabaseError {
    let found = match undecoded.columns.as_slice() {
        [only] => Some(only.clone()),
        // The driver cannot continue on the connection.
        _ => match lease.renew().await {
            Ok(()) => find_column(&mut *lease.session, undecoded).await,
            Err(error) => {
                tracing::debug!(%error, "the column with an unpaired surrogate was not read again");
                None
            }
        },
    };
    found.map_or(DatabaseError::NotUnicode, |(column, as_text)| {
        DatabaseError::UnpairedSurrogate { column, as_text }
    })
}

/// Returns `limit` once so much time has passed; never without a limit.
async fn elapsed(limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => {
            tokio::time::sleep(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}

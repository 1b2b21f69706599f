//! Sessions with databases: connecting, transactions, stopping.

pub mod pool;
pub mod postgres;
pub mod quiet;
pub mod sql_server;
mod tls;

use shared::endpoint::{DatabaseKind, Endpoint};

use super::error::DatabaseError;
use postgres::PostgresSession;
use quiet::SessionId;
use sql_server::SqlServerSession;

/// The longest that a statement waits for a lock.
const LOCK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// How long the end of an interrupted statement is waited for on its own connection.
const INTERRUPT_LIMIT: std::time::Duration = std::time::Duration::from_secs(2);

/// A session with a database of either kind.
#[derive(Debug)]
pub enum Session {
    /// With PostgreSQL.
    Postgres(Box<PostgresSession>),
    /// With SQL Server.
    SqlServer(Box<SqlServerSession>),
}

/// How one side was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// PostgreSQL: one snapshot for all statements.
    RepeatableRead,
    /// SQL Server: one snapshot for all statements.
    Snapshot,
    /// SQL Server without ALLOW_SNAPSHOT_ISOLATION: every row committed, but
    /// not all as of the same moment.
    ReadCommitted,
    /// SQL Server, where it was asked for: no locks, and rows that may never be committed.
    ReadUncommitted,
}

impl Isolation {
    /// The level as SQL calls it.
    #[must_use]
    pub fn level(self) -> &'static str {
        match self {
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Snapshot => "SNAPSHOT",
            Self::ReadCommitted => "READ COMMITTED",
            Self::ReadUncommitted => "READ UNCOMMITTED",
        }
    }
}

impl std::fmt::Display for Isolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RepeatableRead => "REPEATABLE READ snapshot",
            Self::Snapshot => "SNAPSHOT",
            Self::ReadCommitted => "READ COMMITTED, not a snapshot",
            Self::ReadUncommitted => "READ UNCOMMITTED, not even committed rows",
        })
    }
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading, and nothing else.
    Read,
    /// Also writing.
    Write,
}

/// What a session is for and how it reads: some of it a DBA sees.
#[derive(Debug, Clone)]
pub struct Label {
    /// The application's name, with run and table where the database lets it change.
    pub application: String,
    /// The longest that a statement may run.
    pub statement_timeout: std::time::Duration,
    /// Whether SQL Server is read without locks, and without consistency.
    pub read_uncommitted: bool,
}

impl Label {
    /// The longest that a statement waits for a lock, in milliseconds: shorter
    /// than it may run, since it is worth another attempt that a lock is held
    /// and not that a statement takes long.
    fn lock_timeout_ms(&self) -> u128 {
        LOCK_TIMEOUT
            .min(self.statement_timeout / 2)
            .as_millis()
            .max(1)
    }
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached in time, its certificate is not
    /// trusted, or it refuses the login.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, DatabaseError> {
        Self::connect_for(endpoint, Access::Read).await
    }

    /// Connects and logs in, perhaps to write.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_for(endpoint: &Endpoint, access: Access) -> Result<Self, DatabaseError> {
        let connecting = async {
            Ok(match endpoint.engine {
                DatabaseKind::Postgres => {
                    Self::Postgres(Box::new(PostgresSession::connect(endpoint).await?))
                }
                DatabaseKind::SqlServer => {
                    Self::SqlServer(Box::new(SqlServerSession::connect(endpoint, access).await?))
                }
            })
        };
        tokio::time::timeout(endpoint.connect_timeout, connecting)
            .await
            .unwrap_or(Err(DatabaseError::ConnectTimeout(endpoint.connect_timeout)))
    }

    /// Starts a read-only transaction; every later statement sees the same data where the database can do that.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    pub async fn begin(&mut self, label: &Label) -> Result<Isolation, DatabaseError> {
        match self {
            Self::Postgres(session) => session.begin(label).await,
            Self::SqlServer(session) => session.begin(label).await,
        }
    }

    /// Ends the transaction; the session can be used for another table.
    ///
    /// # Errors
    ///
    /// When the connection is lost: the session is of no more use.
    pub async fn end(&mut self) -> Result<(), DatabaseError> {
        match self {
            Self::Postgres(session) => session.end().await,
            Self::SqlServer(session) => session.end().await,
        }
    }

    /// The number under which the database lists this session.
    #[must_use]
    pub fn id(&self) -> SessionId {
        match self {
            Self::Postgres(session) => SessionId::Postgres(session.pid()),
            Self::SqlServer(session) => SessionId::SqlServer(session.spid()),
        }
    }

    /// Stops whatever statement runs and closes the connection. Returns when
    /// the driver has seen its end, or after a short time.
    pub async fn interrupt(self) {
        let stopped = match self {
            Self::Postgres(session) => {
                tokio::time::timeout(INTERRUPT_LIMIT, session.interrupt()).await
            }
            Self::SqlServer(session) => {
                tokio::time::timeout(INTERRUPT_LIMIT, session.interrupt()).await
            }
        };
        if stopped.is_err() {
            tracing::debug!(
                "a statement's end was not seen on its own connection, which was dropped"
            );
        }
    }
}

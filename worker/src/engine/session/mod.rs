//! Sessions with databases: connecting, transactions, stopping.

pub mod pool;
pub mod postgres;
pub mod sql_server;
mod tls;

use shared::endpoint::{Endpoint, Engine};

use super::error::DatabaseError;
use postgres::PostgresSession;
use sql_server::SqlServerSession;

/// How long a statement waits for a lock.
const LOCK_TIMEOUT_SECONDS: u32 = 30;

/// How long a database may take to confirm that a statement has ended.
const INTERRUPT_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

/// A session with a database of either kind.
#[derive(Debug)]
pub enum Session {
    /// With PostgreSQL.
    Postgres(PostgresSession),
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
}

impl std::fmt::Display for Isolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RepeatableRead => "REPEATABLE READ snapshot",
            Self::Snapshot => "SNAPSHOT",
            Self::ReadCommitted => "READ COMMITTED, not a snapshot",
        })
    }
}

/// What a DBA sees of a session.
#[derive(Debug, Clone)]
pub struct Label {
    /// The application's name, with run and table where the database lets it change.
    pub application: String,
    /// The longest that a statement may run.
    pub statement_timeout: std::time::Duration,
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached in time, its certificate is not
    /// trusted, or it refuses the login.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, DatabaseError> {
        let connecting = async {
            Ok(match endpoint.engine {
                Engine::Postgres => Self::Postgres(PostgresSession::connect(endpoint).await?),
                Engine::SqlServer => {
                    Self::SqlServer(Box::new(SqlServerSession::connect(endpoint).await?))
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

    /// Stops whatever statement runs and closes the connection. Returns when
    /// the database has confirmed the end, or after ten seconds.
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
            tracing::warn!(
                seconds = INTERRUPT_LIMIT.as_secs(),
                "a database did not confirm that a statement was stopped; the connection was dropped"
            );
        }
    }
}

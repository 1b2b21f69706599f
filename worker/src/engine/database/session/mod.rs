//! Sessions with databases: connecting, transactions, stopping.

pub(crate) mod label;
pub(crate) mod pool;
pub(crate) mod postgres;
pub(crate) mod quiet;
pub(crate) mod sql_server;
pub(crate) mod tls;

use postgres::PostgresSession;
use shared::endpoint::{DatabaseKind, Endpoint};
use sql_server::SqlServerSession;

use crate::engine::database::session::label::{Access, Isolation, Label, SessionId};
use crate::engine::error::DatabaseError;

/// How long the end of an interrupted statement is waited for on its own connection.
const INTERRUPT_LIMIT: std::time::Duration = std::time::Duration::from_secs(2);

/// A session with a database of either kind.
#[derive(Debug)]
pub(crate) enum Session {
    /// With PostgreSQL.
    Postgres(Box<PostgresSession>),
    /// With SQL Server.
    SqlServer(Box<SqlServerSession>),
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached in time, its certificate is not
    /// trusted, or it refuses the login.
    pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Self, DatabaseError> {
        Self::connect_for(endpoint, Access::Read).await
    }

    /// Connects and logs in, perhaps to write.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub(crate) async fn connect_for(
        endpoint: &Endpoint,
        access: Access,
    ) -> Result<Self, DatabaseError> {
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
    pub(crate) async fn begin(&mut self, label: &Label) -> Result<Isolation, DatabaseError> {
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
    pub(crate) async fn end(&mut self) -> Result<(), DatabaseError> {
        match self {
            Self::Postgres(session) => session.end().await,
            Self::SqlServer(session) => session.end().await,
        }
    }

    /// The number under which the database lists this session.
    #[must_use]
    pub(crate) fn id(&self) -> SessionId {
        match self {
            Self::Postgres(session) => SessionId::Postgres(session.pid()),
            Self::SqlServer(session) => SessionId::SqlServer(session.spid()),
        }
    }

    /// Stops whatever statement runs and closes the connection. Returns when
    /// the driver has seen its end, or after a short time.
    pub(crate) async fn interrupt(self) {
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

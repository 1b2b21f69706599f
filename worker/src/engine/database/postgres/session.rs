//! A session with PostgreSQL.

use shared::endpoint::{Endpoint, TlsMode};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{CancelToken, Client, Config, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::engine::database::session::label::{Isolation, Label};
use crate::engine::database::session::tls;
use crate::engine::error::DatabaseError;

/// What a role or a database may have set otherwise, and a comparison relies on:
/// that nothing is written, that text in statements means itself, and that rows
/// which a policy hides are an error rather than not there.
const RELIED_ON: &str = "SET default_transaction_read_only = on; SET standard_conforming_strings = on; SET row_security = off";

/// The side that is read first waits for the other one in its transaction, and
/// for the next look outside of one. Which limits there are depends on the
/// server's version.
const NO_LIMITS_ON_WAITING: &str = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
    WHERE name IN ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')";

/// Ends a statement whose client was killed or cut off, though it has not
/// produced a row yet.
const NOTICE_LOST_CLIENTS: &str = "SET client_connection_check_interval = '5s'";

/// What decides how PostgreSQL writes values as text, and in which zone it
/// takes a time of a condition that names none: the same on all servers,
/// whatever they, the database or the user set. With what is [`RELIED_ON`], for
/// each transaction, since a pooler may give the next one another session.
const SAME_EVERYWHERE: &str = "SET LOCAL extra_float_digits = 3; SET LOCAL DateStyle = 'ISO'; \
    SET LOCAL IntervalStyle = 'postgres'; SET LOCAL bytea_output = 'hex'; SET LOCAL TimeZone = 'UTC'; \
    SET LOCAL standard_conforming_strings = on; SET LOCAL row_security = off";

/// A connection and the task that drives it.
pub(crate) struct PostgresSession {
    client: Client,
    driver: JoinHandle<()>,
    cancel: CancelToken,
    tls: MakeRustlsConnect,
    pid: i32,
    /// Catalog queries, prepared when they are first needed.
    pub(crate) catalog: Option<CatalogStatements>,
}

impl std::fmt::Debug for PostgresSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresSession")
            .field("closed", &self.client.is_closed())
            .finish_non_exhaustive()
    }
}

impl PostgresSession {
    pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Self, DatabaseError> {
        let mut config = Config::new();
        config
            .host(&endpoint.host)
            .port(endpoint.port)
            .dbname(&endpoint.database)
            .user(&endpoint.user)
            .application_name("reconcile")
            .connect_timeout(endpoint.connect_timeout)
            .ssl_mode(match endpoint.tls.mode {
                TlsMode::Off => SslMode::Disable,
                TlsMode::Prefer => SslMode::Prefer,
                TlsMode::Require => SslMode::Require,
            });
        if !endpoint.password.is_empty() {
            config.password(endpoint.password.reveal());
        }
        let tls = MakeRustlsConnect::new(tls::client_config(&endpoint.tls)?);
        let (client, connection) = config.connect(tls.clone()).await?;
        // The driver ends with the connection, which ends when the client is
        // dropped; what goes wrong on it is also reported to the statement.
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a PostgreSQL connection ended");
            }
        });
        let cancel = client.cancel_token();
        client.batch_execute(RELIED_ON).await?;
        client.batch_execute(NO_LIMITS_ON_WAITING).await?;
        // A server that cannot do it, before version 14 or on Windows, notices at its next row.
        if let Err(error) = client.batch_execute(NOTICE_LOST_CLIENTS).await {
            tracing::debug!(endpoint = endpoint.name, %error, "the server does not look after lost clients");
        }
        let pid = client
            .query_one("SELECT pg_catalog.pg_backend_pid()", &[])
            .await?
            .try_get(0)?;
        Ok(Self {
            client,
            driver,
            cancel,
            tls,
            pid,
            catalog: None,
        })
    }

    pub(crate) async fn begin(&mut self, label: &Label) -> Result<Isolation, DatabaseError> {
        // PostgreSQL cuts names of applications at 63 bytes itself.
        let statements = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL application_name = {}; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}",
            literal(&label.application),
            // 0 would be no limit.
            label
                .statement_timeout
                .as_millis()
                .clamp(1, i32::MAX as u128),
            label.lock_timeout_ms()
        );
        self.client
            .batch_execute(&format!("{statements}; {SAME_EVERYWHERE}"))
            .await?;
        Ok(Isolation::RepeatableRead)
    }

    pub(crate) async fn end(&mut self) -> Result<(), DatabaseError> {
        Ok(self.client.batch_execute("COMMIT").await?)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) async fn interrupt(self) {
        if let Err(error) = self.cancel.cancel_query(self.tls).await {
            tracing::debug!(%error, "a cancel request was not delivered");
        }
        // Without its client the driver reads to the end of the statement, says
        // goodbye and ends: then nothing runs on the server any more.
        drop(self.client);
        if let Err(error) = self.driver.await {
            tracing::debug!(%error, "the driver of an interrupted connection panicked");
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

/// `text` as an SQL string. Needs `standard_conforming_strings`, which every session sets.
#[must_use]
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `name` as an SQL identifier.
#[must_use]
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Statements that are prepared once a session.
#[derive(Clone)]
pub(crate) struct CatalogStatements {
    pub(crate) columns: Statement,
    pub(crate) keys: Statement,
}

impl std::fmt::Debug for CatalogStatements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CatalogStatements")
    }
}

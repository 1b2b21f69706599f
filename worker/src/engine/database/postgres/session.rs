//! A session with PostgreSQL.

use async_trait::async_trait;
use futures::future::maybe_done;
use futures::poll;
use shared::endpoint::{Endpoint, TlsMode};
use shared::identity::DatabaseIdentity;
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::{CancelToken, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::engine::database::constraints::Constraints;
use crate::engine::database::dialect::Dialect as _;
use crate::engine::database::footprint::Footprint;
use crate::engine::database::postgres::catalog::{self, CatalogStatements};
use crate::engine::database::postgres::dialect::Postgres;
use crate::engine::database::postgres::hold::Catalog;
use crate::engine::database::postgres::link::Connector;
use crate::engine::database::postgres::literal::quoted;
use crate::engine::database::postgres::{
    constraints, footprint, identity, numbers, scan, schema, server_state,
};
use crate::engine::database::scan::{Query, Scanned, row_count};
use crate::engine::database::schema::{DatabaseSchema, NumberState, NumberedColumn, QualifiedName};
use crate::engine::database::server_state::ServerState;
use crate::engine::database::session::label::{
    APPLICATION, Access, Activity, Isolation, Label, Mark, SessionId,
};
use crate::engine::database::session::limits::KEEPALIVE;
use crate::engine::database::session::{Database, Held, Session, tls};
use crate::engine::error::DatabaseError;
use crate::engine::values::canonical::RowSink;
use crate::engine::values::column::{CatalogTable, Table};

/// Settings that a comparison relies on and that a role or a database may have
/// changed: nothing is written, backslashes in texts of statements are ordinary
/// characters, and rows that a policy hides are an error instead of absent.
const REQUIRED_SETTINGS: &str = "SET default_transaction_read_only = on; SET standard_conforming_strings = on; SET row_security = off";

/// The side that is read first waits idle for the other one in its transaction,
/// and for the next recheck outside of one. Which limits exist depends on the
/// server's version.
const NO_IDLE_LIMITS: &str = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
    WHERE name IN ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')";

/// Ends a statement whose client was killed or cut off even before the
/// statement has produced a row.
const DETECT_LOST_CLIENTS: &str = "SET client_connection_check_interval = '5s'";

/// Settings that decide how PostgreSQL writes values as text, and which zone it
/// assumes for a time in a condition that names none: the same on all servers,
/// whatever the server, the database or the user has set. They are repeated in each
/// transaction, together with some of [`REQUIRED_SETTINGS`], since a pooler may
/// give the next transaction another session.
const FIXED_FORMATS: &str = "SET LOCAL extra_float_digits = 3; SET LOCAL DateStyle = 'ISO'; \
    SET LOCAL IntervalStyle = 'postgres'; SET LOCAL bytea_output = 'hex'; SET LOCAL TimeZone = 'UTC'; \
    SET LOCAL standard_conforming_strings = on; SET LOCAL row_security = off";

pub(crate) struct PostgresSession {
    client: Client,
    /// Returns whether the connection ended after everything was answered.
    driver: JoinHandle<bool>,
    cancel: CancelToken,
    tls: Connector,
    id: SessionId,
    mark: Mark,
    identity: DatabaseIdentity,
    /// Catalog queries, prepared when they are first needed.
    catalog: Option<CatalogStatements>,
}

impl std::fmt::Debug for PostgresSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresSession")
            .field("closed", &self.client.is_closed())
            .finish_non_exhaustive()
    }
}

impl PostgresSession {
    fn catalog(&mut self) -> Catalog<'_> {
        Catalog {
            client: &self.client,
            statements: &mut self.catalog,
        }
    }
}

#[async_trait]
impl Database for Postgres {
    async fn connect(
        &self,
        endpoint: &Endpoint,
        access: Access,
    ) -> Result<Box<dyn Session>, DatabaseError> {
        // The connector negotiates TLS itself. The driver does not use it over a Unix socket,
        // where servers have no TLS.
        let (ssl_mode, negotiation) = match (endpoint.host.starts_with('/'), endpoint.tls.mode) {
            (false, _) => (SslMode::Require, SslNegotiation::Direct),
            (true, TlsMode::Require | TlsMode::Strict) => {
                (SslMode::Require, SslNegotiation::Postgres)
            }
            (true, _) => (SslMode::Disable, SslNegotiation::Postgres),
        };
        let mut config = Config::new();
        config
            .host(&endpoint.host)
            .port(endpoint.port)
            .dbname(&endpoint.database)
            .user(&endpoint.user)
            .application_name(APPLICATION)
            .connect_timeout(endpoint.connect_timeout)
            .keepalives_idle(KEEPALIVE.idle)
            .keepalives_interval(KEEPALIVE.interval)
            .keepalives_retries(KEEPALIVE.retries)
            .tcp_user_timeout(KEEPALIVE.unacknowledged)
            .ssl_mode(ssl_mode)
            .ssl_negotiation(negotiation);
        if !endpoint.password.is_empty() {
            config.password(endpoint.password.reveal());
        }
        let tls = MakeRustlsConnect::new(tls::client_config(&endpoint.tls)?);
        let tls = Connector::new(endpoint.tls.mode, tls);
        let (client, connection) = config.connect(tls.clone()).await?;
        // The driver ends with the connection, which ends when the client is
        // dropped; its errors are also reported to the statement.
        let driver = tokio::spawn(async move {
            let ended = connection.await;
            if let Err(error) = &ended {
                tracing::debug!(%error, "a PostgreSQL connection ended");
            }
            ended.is_ok()
        });
        if access != Access::Read {
            let standby = "SELECT pg_catalog.pg_is_in_recovery()";
            if client.query_one(standby, &[]).await?.try_get(0)? {
                return Err(DatabaseError::Standby);
            }
        }
        let cancel = client.cancel_token();
        client.batch_execute(REQUIRED_SETTINGS).await?;
        client.batch_execute(NO_IDLE_LIMITS).await?;
        // A server that cannot do it, before version 14 or on Windows, detects it at its next row.
        if let Err(error) = client.batch_execute(DETECT_LOST_CLIENTS).await {
            tracing::debug!(endpoint = endpoint.name, %error, "the server does not detect lost clients while a statement runs");
        }
        let pid: i32 = client
            .query_one("SELECT pg_catalog.pg_backend_pid()", &[])
            .await?
            .try_get(0)?;
        let identity = identity::read(&client, endpoint).await?;
        Ok(Box::new(PostgresSession {
            client,
            driver,
            cancel,
            tls,
            id: SessionId {
                number: pid.into(),
                name: APPLICATION.to_owned(),
            },
            mark: Mark::random(),
            identity,
            catalog: None,
        }))
    }
}

#[async_trait]
impl Session for PostgresSession {
    async fn begin(&mut self, label: &Label) -> Result<Isolation, DatabaseError> {
        self.id.name = self.mark.name(&label.application);
        // None of these statements takes the snapshot, which `hold` needs.
        let statements = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL application_name = {}; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}",
            quoted(&self.id.name),
            // 0 would be no limit.
            label
                .statement_timeout
                .as_millis()
                .clamp(1, i32::MAX as u128),
            label.lock_timeout_ms()
        );
        self.client
            .batch_execute(&format!("{statements}; {FIXED_FORMATS}"))
            .await?;
        Ok(Isolation::RepeatableRead)
    }

    async fn end(&mut self) -> Result<(), DatabaseError> {
        Ok(self.client.batch_execute("COMMIT").await?)
    }

    fn id(&self) -> SessionId {
        self.id.clone()
    }

    fn identity(&self) -> &DatabaseIdentity {
        &self.identity
    }

    async fn interrupt(self: Box<Self>) -> bool {
        if let Err(error) = self.cancel.cancel_query(self.tls).await {
            tracing::debug!(%error, "a cancel request was not delivered");
        }
        // Without its client the driver reads to the end of the statement, sends
        // Terminate and ends: then nothing runs on the server any more.
        drop(self.client);
        match self.driver.await {
            Ok(is_confirmed) => is_confirmed,
            Err(error) => {
                tracing::debug!(%error, "the driver of an interrupted connection panicked");
                false
            }
        }
    }

    /// Finds the session by its name, which it has until its transaction ends: behind a pooler,
    /// its number may be that of another client's.
    async fn activity(&mut self, of: &SessionId) -> Result<Activity, DatabaseError> {
        let statement = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE application_name = $1 AND usename = current_user AND state <> 'idle'";
        let running: i64 = self
            .client
            .query_one(statement, &[&of.name])
            .await?
            .try_get(0)?;
        Ok(if running == 0 {
            Activity::Idle
        } else {
            Activity::Running
        })
    }

    async fn terminate(&mut self, other: &SessionId) -> Result<(), DatabaseError> {
        // One statement finds and ends it, so that no other session can take its place between.
        let statement = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
            WHERE application_name = $1 AND usename = current_user AND pid <> pg_catalog.pg_backend_pid()";
        self.client.query(statement, &[&other.name]).await?;
        Ok(())
    }

    async fn list_tables(&mut self) -> Result<Vec<CatalogTable>, DatabaseError> {
        catalog::list_tables(&self.client).await
    }

    async fn find_tables(&mut self, schema: &str, name: &str) -> Result<Vec<Table>, DatabaseError> {
        let mut catalog = self.catalog();
        let client = catalog.client;
        catalog::find_tables(client, catalog.statements().await?, schema, name).await
    }

    async fn hold(
        &mut self,
        schema: &str,
        name: &str,
        lock_first: bool,
    ) -> Result<Held, DatabaseError> {
        let mut catalog = self.catalog();
        if lock_first {
            catalog.lock(schema, name).await
        } else {
            catalog.read(schema, name).await
        }
    }

    async fn is_unchanged(&mut self, table: &Table) -> Result<bool, DatabaseError> {
        let qualified = Postgres.qualified(&table.schema, &table.name);
        self.catalog().is_unchanged(table, &qualified).await
    }

    async fn constraints(&mut self, table: &Table) -> Result<Constraints, DatabaseError> {
        constraints::read(&self.client, table).await
    }

    async fn schemas(&mut self, tables: &[QualifiedName]) -> Result<DatabaseSchema, DatabaseError> {
        schema::read(&self.client, tables).await
    }

    async fn number_states(
        &mut self,
        columns: &[NumberedColumn],
    ) -> Result<Vec<NumberState>, DatabaseError> {
        numbers::read(&self.client, columns).await
    }

    async fn server_state(&mut self) -> Result<ServerState, DatabaseError> {
        server_state::read(&self.client).await
    }

    async fn footprint(&mut self, table: &Table) -> Result<Footprint, DatabaseError> {
        footprint::read(&self.client, table).await
    }

    async fn count(&mut self, statement: &str) -> Result<u64, DatabaseError> {
        let count: i64 = self.client.query_one(statement, &[]).await?.try_get(0)?;
        row_count(Some(count))
    }

    async fn scan(
        &mut self,
        query: &Query,
        sink: &mut dyn RowSink,
        progress: &(dyn Fn(Scanned) + Sync),
    ) -> Result<u64, DatabaseError> {
        scan::scan(&self.client, query, sink, progress).await
    }

    async fn execute(&mut self, sql: &str) -> Result<(), DatabaseError> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// The extended protocol, which refuses a text of several statements.
    async fn change_one(&mut self, sql: &str) -> Result<u64, DatabaseError> {
        Ok(self.client.execute_typed(sql, &[]).await?)
    }

    /// All statements are sent before the first one is answered. After an error the
    /// transaction refuses the others.
    async fn change(&mut self, statements: &[String]) -> Result<Vec<u64>, DatabaseError> {
        let mut requests: Vec<_> = statements
            .iter()
            .map(|sql| Box::pin(maybe_done(self.client.execute_typed(sql, &[]))))
            .collect();
        for request in &mut requests {
            // The first poll sends the statement; the answer is awaited below.
            if poll!(request.as_mut()).is_ready() {
                continue;
            }
        }
        let mut counts = Vec::with_capacity(requests.len());
        for mut request in requests {
            request.as_mut().await;
            counts.extend(request.as_mut().take_output().transpose()?);
        }
        Ok(counts)
    }
}

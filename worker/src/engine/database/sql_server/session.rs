//! A session with SQL Server.

use async_trait::async_trait;
use shared::endpoint::Endpoint;
use shared::identity::DatabaseIdentity;
use tiberius::Row;
use tiberius::error::Error;

use crate::engine::database::constraints::Constraints;
use crate::engine::database::scan::{Query, Scanned, row_count};
use crate::engine::database::session::label::{Access, Activity, Isolation, Label, SessionId};
use crate::engine::database::session::{Database, Held, Session};
use crate::engine::database::sql_server::connection::{Connection, login};
use crate::engine::database::sql_server::dialect::SqlServer;
use crate::engine::database::sql_server::{catalog, constraints, identity, scan};
use crate::engine::error::DatabaseError;
use crate::engine::values::canonical::RowSink;
use crate::engine::values::column::{CatalogTable, Table};

/// The largest size of a session's CONTEXT_INFO in bytes.
const MAX_CONTEXT: usize = 128;

#[derive(Debug)]
pub(crate) struct SqlServerSession {
    client: Connection,
    /// The most consistent isolation level that the database allows.
    best: Isolation,
    /// The session's isolation level and lock timeout in milliseconds, once they are set.
    set: Option<(Isolation, u128)>,
    spid: i16,
    identity: DatabaseIdentity,
}

impl SqlServerSession {
    async fn run(&mut self, sql: &str) -> Result<Vec<Vec<Row>>, DatabaseError> {
        Ok(self.client.simple_query(sql).await?.into_results().await?)
    }
}

#[async_trait]
impl Database for SqlServer {
    async fn connect(
        &self,
        endpoint: &Endpoint,
        access: Access,
    ) -> Result<Box<dyn Session>, DatabaseError> {
        let login = async |host: &str, port| login(endpoint, host, port, access).await;
        let mut client = match login(&endpoint.host, endpoint.port).await? {
            // A gateway names the server that holds the database.
            Err(Error::Routing { host, port }) => login(&host, port).await??,
            other => other?,
        };
        let identity = identity::read(&mut client, endpoint).await?;
        let state = client
            .simple_query("SELECT snapshot_isolation_state, @@SPID FROM sys.databases WHERE database_id = DB_ID()")
            .await?
            .into_row()
            .await?;
        let allows_snapshots = state.as_ref().and_then(|row| row.get::<u8, _>(0)) == Some(1);
        Ok(Box::new(SqlServerSession {
            client,
            best: if allows_snapshots {
                Isolation::Snapshot
            } else {
                Isolation::ReadCommitted
            },
            set: None,
            spid: state.and_then(|row| row.get(1)).unwrap_or_default(),
            identity,
        }))
    }
}

#[async_trait]
impl Session for SqlServerSession {
    async fn begin(&mut self, label: &Label) -> Result<Isolation, DatabaseError> {
        let isolation = if label.read_uncommitted {
            Isolation::ReadUncommitted
        } else {
            self.best
        };
        // The application's name is fixed at the login; CONTEXT_INFO can change with each table.
        let context = context_info(&label.application);
        let set = (isolation, label.lock_timeout_ms());
        if self.set == Some(set) {
            self.execute(&format!("SET CONTEXT_INFO {context}; BEGIN TRANSACTION"))
                .await?;
        } else {
            // Both stay set when another table uses the session.
            self.set = None;
            self.execute(&format!(
                "SET CONTEXT_INFO {context}; SET LOCK_TIMEOUT {}; SET TRANSACTION ISOLATION LEVEL {}; BEGIN TRANSACTION",
                set.1,
                isolation.level()
            ))
            .await?;
            self.set = Some(set);
        }
        Ok(isolation)
    }

    async fn end(&mut self) -> Result<(), DatabaseError> {
        self.execute("COMMIT TRANSACTION").await
    }

    fn id(&self) -> SessionId {
        SessionId(self.spid.into())
    }

    fn identity(&self) -> &DatabaseIdentity {
        &self.identity
    }

    async fn interrupt(mut self: Box<Self>) {
        if let Err(error) = self.client.cancel_query().await {
            tracing::debug!(%error, "an attention was not answered");
        }
    }

    async fn activity(&mut self, SessionId(spid): SessionId) -> Result<Activity, DatabaseError> {
        // Without VIEW SERVER STATE a login sees its own session only.
        let results = self
            .run(&format!(
                "SELECT COUNT(*) FROM sys.dm_exec_requests WHERE session_id = {spid}; SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE')"
            ))
            .await?;
        let number = |at: usize| results.get(at)?.first()?.get::<i32, _>(0);
        Ok(match (number(1), number(0)) {
            (Some(1), Some(0) | None) => Activity::Idle,
            (Some(1), _) => Activity::Running,
            _ => Activity::NotVisible,
        })
    }

    /// Ending a session needs ALTER ANY CONNECTION, which the endpoint's user does not have.
    async fn terminate(&mut self, _other: SessionId) -> Result<(), DatabaseError> {
        Ok(())
    }

    async fn list_tables(&mut self) -> Result<Vec<CatalogTable>, DatabaseError> {
        catalog::list_tables(&mut self.client).await
    }

    async fn find_tables(&mut self, schema: &str, name: &str) -> Result<Vec<Table>, DatabaseError> {
        catalog::find_tables(&mut self.client, schema, name).await
    }

    /// A schema stability lock lasts no longer than a statement. With SNAPSHOT, the server
    /// reports error 3961 if the table has changed since the snapshot; otherwise
    /// `is_unchanged` finds it.
    async fn hold(
        &mut self,
        schema: &str,
        name: &str,
        _lock_first: bool,
    ) -> Result<Held, DatabaseError> {
        let mut tables = self.find_tables(schema, name).await?;
        Ok(match (tables.pop(), tables.is_empty()) {
            (Some(table), true) => Held::Table(Box::new(table)),
            _ => Held::Absent,
        })
    }

    async fn is_unchanged(&mut self, table: &Table) -> Result<bool, DatabaseError> {
        catalog::is_unchanged(&mut self.client, table).await
    }

    async fn constraints(&mut self, table: &Table) -> Result<Constraints, DatabaseError> {
        constraints::read(&mut self.client, table).await
    }

    async fn count(&mut self, statement: &str) -> Result<u64, DatabaseError> {
        let row = self
            .client
            .simple_query(statement)
            .await?
            .into_row()
            .await?;
        row_count(row.and_then(|row| row.get::<i64, _>(0)))
    }

    async fn scan(
        &mut self,
        query: &Query,
        sink: &mut dyn RowSink,
        progress: &(dyn Fn(Scanned) + Sync),
    ) -> Result<u64, DatabaseError> {
        scan::scan(&mut self.client, query, sink, progress).await
    }

    async fn execute(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.run(sql).await.map(drop)
    }

    async fn change(&mut self, statements: &[String]) -> Result<Vec<u64>, DatabaseError> {
        let batch: String = statements
            .iter()
            .map(|statement| format!("{statement}\nSELECT @@ROWCOUNT;\n"))
            .collect();
        let results = self.run(&batch).await?;
        Ok(results
            .iter()
            .filter_map(|rows| rows.first()?.get::<i32, _>(0))
            .map(|rows| u64::try_from(rows).unwrap_or_default())
            .collect())
    }
}

/// As much of `text` as CONTEXT_INFO can hold, as an SQL binary.
fn context_info(text: &str) -> String {
    let bytes = &text.as_bytes()[..text.len().min(MAX_CONTEXT)];
    format!("0x{}", hex::encode(bytes))
}

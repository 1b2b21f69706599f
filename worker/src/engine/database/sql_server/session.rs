//! A session with SQL Server.

use async_trait::async_trait;
use shared::endpoint::Endpoint;
use shared::identity::DatabaseIdentity;
use tiberius::Row;

use crate::engine::database::constraints::Constraints;
use crate::engine::database::footprint::Footprint;
use crate::engine::database::scan::{Query, Scanned, row_count};
use crate::engine::database::schema::{DatabaseSchema, NumberState, NumberedColumn, QualifiedName};
use crate::engine::database::server_state::ServerState;
use crate::engine::database::session::label::{
    APPLICATION, Access, Activity, Isolation, Label, Mark, SessionId,
};
use crate::engine::database::session::{Database, Held, Session};
use crate::engine::database::sql_server::answer::{
    only_row, optional, optional_row, required, results,
};
use crate::engine::database::sql_server::catalog::MEMORY_OPTIMIZED_HINT;
use crate::engine::database::sql_server::connection::Connection;
use crate::engine::database::sql_server::dialect::SqlServer;
use crate::engine::database::sql_server::route::connect;
use crate::engine::database::sql_server::{
    catalog, constraints, footprint, identity, numbers, scan, schema, server_state,
};
use crate::engine::error::DatabaseError;
use crate::engine::values::canonical::RowSink;
use crate::engine::values::column::{CatalogTable, Table};

/// The size of a session's CONTEXT_INFO in bytes.
const CONTEXT_LENGTH: usize = 128;

/// The session's number, and whether the database allows snapshots. `DB_ID()` need not be the
/// `database_id` of the view in Azure SQL Database.
const STATE: &str = "SELECT CAST(@@SPID AS int); \
    SELECT CAST(snapshot_isolation_state AS int) FROM sys.databases WHERE name = DB_NAME()";

/// `snapshot_isolation_state` of a database with ALLOW_SNAPSHOT_ISOLATION.
const SNAPSHOTS_ALLOWED: i32 = 1;

/// The column in which a statement's row count is read.
const CHANGED: &str = "reconcile_changed_rows";

#[derive(Debug)]
pub(crate) struct SqlServerSession {
    client: Connection,
    /// The most consistent isolation level that the database allows.
    best: Isolation,
    /// The session's isolation level and lock timeout in milliseconds, once they are set.
    set: Option<(Isolation, u128)>,
    id: SessionId,
    mark: Mark,
    identity: DatabaseIdentity,
}

impl SqlServerSession {
    /// Begins the transaction again without SNAPSHOT, in which the server reads no
    /// memory-optimized table (error 41332). With its hint, such a table is read in one snapshot
    /// all the same.
    async fn leave_snapshot(&mut self) -> Result<(), DatabaseError> {
        if let Some((Isolation::Snapshot, lock_timeout)) = self.set.take() {
            let level = Isolation::ReadCommitted;
            self.execute(&format!(
                "COMMIT TRANSACTION; SET TRANSACTION ISOLATION LEVEL {}; BEGIN TRANSACTION",
                level.level()
            ))
            .await?;
            self.set = Some((level, lock_timeout));
        }
        Ok(())
    }

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
        let mut client = connect(endpoint, access).await?;
        let identity = identity::read(&mut client, endpoint).await?;
        let [spid, state] = results(client.simple_query(STATE).await?).await?;
        let spid: i32 = required(only_row(&spid)?, 0)?;
        // The row is absent if VIEW ANY DATABASE was denied.
        let state = match optional_row(&state)? {
            Some(row) => optional::<i32>(row, 0)?,
            None => None,
        };
        let allows_snapshots = state == Some(SNAPSHOTS_ALLOWED);
        Ok(Box::new(SqlServerSession {
            client,
            best: if allows_snapshots {
                Isolation::Snapshot
            } else {
                Isolation::ReadCommitted
            },
            set: None,
            id: SessionId {
                number: spid.into(),
                name: APPLICATION.to_owned(),
            },
            mark: Mark::random(),
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
        self.id.name = self.mark.name(&label.application);
        let context = context_info(&self.id.name);
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
        self.id.clone()
    }

    fn identity(&self) -> &DatabaseIdentity {
        &self.identity
    }

    /// The server confirms an attention when the statement has ended.
    async fn interrupt(mut self: Box<Self>) -> bool {
        match self.client.cancel_query().await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "an attention was not answered");
                false
            }
        }
    }

    /// Without VIEW SERVER STATE a login sees its own session only. A later session with the
    /// same number has another CONTEXT_INFO.
    async fn activity(&mut self, of: &SessionId) -> Result<Activity, DatabaseError> {
        let (number, context) = (of.number, context_info(&of.name));
        let statement = format!(
            "SELECT CAST(HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE') AS int); \
             SELECT COUNT_BIG(*) FROM sys.dm_exec_requests WHERE session_id = {number} AND context_info = {context}"
        );
        let [visible, running] = results(self.client.simple_query(statement).await?).await?;
        let visible: Option<i32> = optional(only_row(&visible)?, 0)?;
        let running: i64 = required(only_row(&running)?, 0)?;
        Ok(match (visible, running) {
            (Some(1), 0) => Activity::Idle,
            (Some(1), _) => Activity::Running,
            _ => Activity::NotVisible,
        })
    }

    /// Ending a session needs ALTER ANY CONNECTION, which the endpoint's user does not have.
    async fn terminate(&mut self, _other: &SessionId) -> Result<(), DatabaseError> {
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
        let (Some(table), true) = (tables.pop(), tables.is_empty()) else {
            return Ok(Held::Absent);
        };
        if table.hint == MEMORY_OPTIMIZED_HINT {
            self.leave_snapshot().await?;
        }
        Ok(Held::Table(Box::new(table)))
    }

    async fn is_unchanged(&mut self, table: &Table) -> Result<bool, DatabaseError> {
        catalog::is_unchanged(&mut self.client, table).await
    }

    async fn constraints(&mut self, table: &Table) -> Result<Constraints, DatabaseError> {
        constraints::read(&mut self.client, table).await
    }

    async fn schemas(&mut self, tables: &[QualifiedName]) -> Result<DatabaseSchema, DatabaseError> {
        schema::read(&mut self.client, tables).await
    }

    async fn number_states(
        &mut self,
        columns: &[NumberedColumn],
    ) -> Result<Vec<NumberState>, DatabaseError> {
        numbers::read(&mut self.client, columns).await
    }

    async fn server_state(&mut self) -> Result<ServerState, DatabaseError> {
        server_state::read(&mut self.client).await
    }

    async fn footprint(&mut self, table: &Table) -> Result<Footprint, DatabaseError> {
        footprint::read(&mut self.client, table).await
    }

    async fn count(&mut self, statement: &str) -> Result<u64, DatabaseError> {
        let [rows] = results(self.client.simple_query(statement).await?).await?;
        row_count(optional(only_row(&rows)?, 0)?)
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

    /// A trigger may send rows and counts of its own before those of the statement.
    /// Directly after the statement, `@@ROWCOUNT` is the statement's own again, and its
    /// result set is the last one.
    async fn change_one(&mut self, sql: &str) -> Result<u64, DatabaseError> {
        let results = self
            .run(&format!(
                "{sql}\nSELECT CAST(@@ROWCOUNT AS int) AS {CHANGED};"
            ))
            .await?;
        let changed = results.last().and_then(|rows| rows.first());
        let changed =
            changed.filter(|row| matches!(row.columns(), [only] if only.name() == CHANGED));
        let changed = changed.map(|row| row.try_get::<i32, _>(0)).transpose()?;
        changed
            .flatten()
            .and_then(|rows| u64::try_from(rows).ok())
            .ok_or_else(|| {
                DatabaseError::Malformed("a statement was not followed by its row count".to_owned())
            })
    }
}

/// As much of `text` as CONTEXT_INFO can hold, as an SQL binary of its whole length: the server
/// stores a shorter one with zeros behind it.
fn context_info(text: &str) -> String {
    let mut bytes = [0; CONTEXT_LENGTH];
    let text = &text.as_bytes()[..text.len().min(CONTEXT_LENGTH)];
    bytes[..text.len()].copy_from_slice(text);
    format!("0x{}", hex::encode(bytes))
}

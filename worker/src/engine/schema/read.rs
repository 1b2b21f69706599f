//! Reads what the comparison of schemas needs of one database.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::endpoint::Endpoint;
use shared::failure::Failure;
use shared::ids::TableName;
use shared::naming::Naming;

use crate::engine::database::catalog::{describe, find_listed};
use crate::engine::database::kinds::database;
use crate::engine::database::schema::{DatabaseSchema, NumberState, NumberedColumn, QualifiedName};
use crate::engine::database::session::Session;
use crate::engine::database::session::label::{Access, Label};
use crate::engine::database::session::limits::{ANSWER_LIMIT, within};
use crate::engine::error::DatabaseError;
use crate::engine::values::column::CatalogTable;

/// The longest that a statement may run, unless the endpoint has a limit of its own.
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);

/// The most columns whose largest values one statement reads.
const COLUMNS_AT_ONCE: usize = 50;

/// A session that reads the catalog of one database.
#[derive(Debug)]
pub(super) struct CatalogReader<'a> {
    endpoint: &'a Endpoint,
    session: Box<dyn Session>,
    label: Label,
    /// All tables and views.
    pub(super) catalog: Vec<CatalogTable>,
}

impl<'a> CatalogReader<'a> {
    /// Connects and lists the tables, in a transaction that [`schemas`](Self::schemas) ends.
    pub(super) async fn open(endpoint: &'a Endpoint) -> Result<Self, Failure> {
        let session = database(endpoint.kind)
            .open(endpoint, Access::Read)
            .await
            .map_err(|error| error.without_connection(endpoint))?;
        let mut reader = Self {
            endpoint,
            session,
            label: Label {
                application: "reconcile check".to_owned(),
                statement_timeout: endpoint.statement_timeout.unwrap_or(STATEMENT_LIMIT),
                read_uncommitted: false,
            },
            catalog: Vec::new(),
        };
        reader.begin().await?;
        let limit = reader.limit();
        let listed = within(limit, reader.session.list_tables()).await;
        reader.catalog = listed.map_err(|error| error.at(endpoint, "cannot list the tables"))?;
        Ok(reader)
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        let begun = within(
            self.endpoint.connect_timeout,
            self.session.begin(&self.label),
        );
        let begun = begun.await;
        begun
            .map(drop)
            .map_err(|error| error.at(self.endpoint, "cannot begin a transaction"))
    }

    fn limit(&self) -> Duration {
        self.label.statement_timeout.saturating_add(ANSWER_LIMIT)
    }

    /// Schema and name of a table as the catalog has them. A partition is not listed, but can
    /// be looked up.
    ///
    /// # Errors
    ///
    /// As [`describe`].
    pub(super) async fn resolve(
        &mut self,
        name: &TableName,
        naming: Naming,
    ) -> Result<QualifiedName, Failure> {
        if let Some(table) = find_listed(&self.catalog, self.endpoint, name, naming)? {
            return Ok((table.schema.clone(), table.name.clone()));
        }
        let table = describe(&mut *self.session, self.endpoint, name, naming).await?;
        Ok((table.schema, table.name))
    }

    /// Reads the schemas of these tables and ends the transaction.
    pub(super) async fn schemas(
        &mut self,
        tables: &BTreeSet<QualifiedName>,
    ) -> Result<DatabaseSchema, Failure> {
        let endpoint = self.endpoint;
        let tables: Vec<QualifiedName> = tables.iter().cloned().collect();
        // Several statements, each within its limit.
        let limit = self.limit().saturating_mul(10);
        let read = within(limit, self.session.schemas(&tables)).await;
        let schemas = read.map_err(|error| {
            error.at(
                endpoint,
                "cannot read keys, indexes and constraints from the catalog",
            )
        })?;
        self.end().await;
        Ok(schemas)
    }

    /// Where the numbers of each column are, or why that could not be read. A column that cannot
    /// be read does not affect the others.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub(super) async fn number_states(
        &mut self,
        columns: &[NumberedColumn],
    ) -> Result<Vec<Result<NumberState, String>>, Failure> {
        let mut states = Vec::with_capacity(columns.len());
        for chunk in columns.chunks(COLUMNS_AT_ONCE) {
            match self.number_states_at_once(chunk).await? {
                Ok(read) => states.extend(read.into_iter().map(Ok)),
                Err(_) => {
                    for column in chunk {
                        states.push(self.number_state(column).await?);
                    }
                }
            }
        }
        Ok(states)
    }

    async fn number_state(
        &mut self,
        column: &NumberedColumn,
    ) -> Result<Result<NumberState, String>, Failure> {
        let read = self
            .number_states_at_once(std::slice::from_ref(column))
            .await?;
        let what = format!(
            "cannot read `{}` of {}.{}",
            column.column, column.schema, column.table
        );
        Ok(match read {
            Ok(mut states) => states
                .pop()
                .ok_or_else(|| format!("{what}: the database returned no value")),
            Err(error) => Err(error.at(self.endpoint, &what).message),
        })
    }

    /// One statement in a transaction of its own, so that an error affects no other.
    async fn number_states_at_once(
        &mut self,
        columns: &[NumberedColumn],
    ) -> Result<Result<Vec<NumberState>, DatabaseError>, Failure> {
        self.begin().await?;
        let limit = self.limit();
        let read = within(limit, self.session.number_states(columns)).await;
        self.end().await;
        Ok(read)
    }

    /// Ends the transaction. If that fails, the next one cannot begin, which is reported.
    async fn end(&mut self) {
        if let Err(error) = within(ANSWER_LIMIT, self.session.end()).await {
            tracing::debug!(endpoint = self.endpoint.name, %error, "a transaction that only read was not ended");
        }
    }
}

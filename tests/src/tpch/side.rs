//! The two sides that tables are loaded into.

use std::pin::Pin;

use anyhow::Context;
use bytes::Bytes;
use futures::SinkExt;
use shared::endpoint::{Endpoint, TlsMode};
use tiberius::{AuthMethod, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_postgres::{Client, CopyInSink};
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use super::{Column, Table};
use crate::services::database::connect;

/// A session of a SQL Server, or of what stands in for one.
pub type SqlServer = tiberius::Client<Compat<TcpStream>>;

/// A place for tables.
pub struct Side {
    /// Where rows go.
    rows: Client,
    /// Schema of the tables there.
    schema: &'static str,
    /// Where the tables are made, when not also there.
    tables: Option<SqlServer>,
}

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Side")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl Side {
    /// A PostgreSQL database.
    ///
    /// # Errors
    ///
    /// When it cannot be reached.
    pub async fn postgres(url: &str) -> anyhow::Result<Self> {
        Ok(Self {
            rows: connect(url).await?,
            schema: "public",
            tables: None,
        })
    }

    /// A SQL Server stand-in. Tables are made through TDS, so that its catalog
    /// is as a client of SQL Server would have made it; rows go straight into
    /// the PostgreSQL database underneath, where TDS would take hours.
    ///
    /// # Errors
    ///
    /// When one of the two cannot be reached.
    pub async fn standin(mssql_url: &str, postgres_url: &str) -> anyhow::Result<Self> {
        Ok(Self {
            rows: connect(postgres_url).await?,
            schema: "dbo",
            tables: Some(Box::pin(connect_sql_server(mssql_url)).await?),
        })
    }

    /// A new, empty table, in place of one of the same name.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    pub async fn create(&mut self, table: &Table) -> anyhow::Result<()> {
        let is_key = |position: usize| table.key.contains(&position);
        let definition = |type_of: &dyn Fn(&Column) -> String| {
            let columns: Vec<String> = table
                .columns
                .iter()
                .enumerate()
                .map(|(position, column)| {
                    format!(
                        "{} {}{}",
                        column.name,
                        type_of(column),
                        if is_key(position) {
                            " NOT NULL"
                        } else {
                            " NULL"
                        }
                    )
                })
                .collect();
            columns.join(", ")
        };
        let name = format!("{}.{}", self.schema, table.name);
        let Some(sql_server) = &mut self.tables else {
            let columns = definition(&|column| column.kind.postgres());
            let statements =
                format!("DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({columns})");
            return self
                .rows
                .batch_execute(&statements)
                .await
                .with_context(|| format!("cannot create {name}"));
        };
        let columns = definition(&|column| column.kind.sql_server());
        let constraint = if table.key.is_empty() {
            String::new()
        } else {
            format!(", PRIMARY KEY ({})", key(table))
        };
        for statement in [
            format!("DROP TABLE IF EXISTS {name}"),
            format!("CREATE TABLE {name} ({columns}{constraint})"),
        ] {
            sql_server
                .execute(&*statement, &[])
                .await
                .with_context(|| format!("cannot run {statement}"))?;
        }
        Ok(())
    }

    /// Begins to take rows of an empty table.
    pub(super) async fn begin_rows(&mut self, table: &Table) -> anyhow::Result<RowSink> {
        let name = format!("{}.{}", self.schema, table.name);
        // Emptied in the same transaction: the server need not log the rows.
        self.rows
            .batch_execute(&format!("BEGIN; TRUNCATE {name}"))
            .await?;
        let statement = format!(
            "COPY {name} ({}) FROM STDIN (DELIMITER '|')",
            column_list(table.columns)
        );
        let sink = self
            .rows
            .copy_in(&*statement)
            .await
            .with_context(|| format!("cannot copy into {name}"))?;
        Ok(RowSink(Box::pin(sink)))
    }

    /// After the last row: commits, makes the key, and lets the planner know.
    pub(super) async fn finish_rows(&mut self, table: &Table) -> anyhow::Result<()> {
        let name = format!("{}.{}", self.schema, table.name);
        let key = if table.key.is_empty() || self.tables.is_some() {
            String::new()
        } else {
            format!("ALTER TABLE {name} ADD PRIMARY KEY ({});", key(table))
        };
        // Vacuum sets the visibility bits that the first reader would else have to set.
        self.rows
            .batch_execute(&format!("{key} COMMIT"))
            .await
            .with_context(|| format!("cannot make the key of {name}"))?;
        self.rows
            .batch_execute(&format!("VACUUM ANALYZE {name}"))
            .await
            .with_context(|| format!("cannot analyze {name}"))
    }

    /// Runs a statement on PostgreSQL and returns how many rows it touched.
    pub(super) async fn execute(&self, statement: &str) -> anyhow::Result<u64> {
        self.rows
            .execute(statement, &[])
            .await
            .with_context(|| format!("cannot run {statement}"))
    }
}

/// Takes lines of COPY's text format.
pub(super) struct RowSink(Pin<Box<CopyInSink<Bytes>>>);

impl RowSink {
    pub(super) async fn send(&mut self, lines: Bytes) -> anyhow::Result<()> {
        Ok(self.0.feed(lines).await?)
    }

    pub(super) async fn finish(mut self) -> anyhow::Result<u64> {
        Ok(self.0.as_mut().finish().await?)
    }
}

fn key(table: &Table) -> String {
    let names: Vec<&str> = table
        .key
        .iter()
        .map(|position| table.columns[*position].name)
        .collect();
    names.join(", ")
}

fn column_list(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    names.join(", ")
}

/// A session of a SQL Server at an endpoint URL.
///
/// # Errors
///
/// When the URL is wrong or the server refuses.
pub async fn connect_sql_server(url: &str) -> anyhow::Result<SqlServer> {
    let endpoint = Endpoint::from_url("harness", url)?;
    let mut config = tiberius::Config::new();
    config.host(&endpoint.host);
    config.port(endpoint.port);
    config.database(&endpoint.database);
    config.authentication(AuthMethod::sql_server(
        &endpoint.user,
        endpoint.password.reveal(),
    ));
    config.encryption(if endpoint.tls.mode == TlsMode::Off {
        EncryptionLevel::NotSupported
    } else {
        EncryptionLevel::Required
    });
    match &endpoint.tls.ca_file {
        Some(file) => config.trust_cert_ca(file.to_string_lossy()),
        None if endpoint.tls.trust_server_certificate => config.trust_cert(),
        None => {}
    }
    let stream = TcpStream::connect(config.get_addr())
        .await
        .with_context(|| format!("cannot reach {}", endpoint.location()))?;
    stream.set_nodelay(true)?;
    // A login's future is 17 kB large: not a thing for the callers' stacks.
    Box::pin(tiberius::Client::connect(config, stream.compat_write()))
        .await
        .with_context(|| format!("cannot log in to {}", endpoint.location()))
}

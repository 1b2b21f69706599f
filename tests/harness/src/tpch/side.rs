//! The two sides that tables are loaded into.

use std::pin::Pin;

use anyhow::Context;
use bytes::Bytes;
use futures::SinkExt;
use tokio_postgres::{Client, CopyInSink};

use super::insert::{Inserter, column_list};
use super::sql_server::{self, SqlServer};
use super::{Column, Table};
use crate::services::database::connect;

/// One of the two databases that are loaded.
pub struct Side {
    sessions: Sessions,
    /// Schema of the tables there.
    schema: &'static str,
}

/// The sessions through which it is loaded.
enum Sessions {
    Postgres(Client),
    SqlServer(SqlServer),
    /// Tables are created over TDS; rows are copied into the PostgreSQL below.
    Standin {
        tables: SqlServer,
        rows: Client,
    },
}

impl Sessions {
    /// The session of a PostgreSQL that takes rows by COPY.
    fn copying(&self) -> Option<&Client> {
        match self {
            Self::Postgres(rows) | Self::Standin { rows, .. } => Some(rows),
            Self::SqlServer(_) => None,
        }
    }
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
            sessions: Sessions::Postgres(connect(url).await?),
            schema: "public",
        })
    }

    /// A SQL Server database. Rows go into it as INSERT statements, about ten
    /// thousand a second: small scales only.
    ///
    /// # Errors
    ///
    /// When it cannot be reached.
    pub async fn sql_server(url: &str) -> anyhow::Result<Self> {
        Ok(Self {
            sessions: Sessions::SqlServer(Box::pin(sql_server::connect(url)).await?),
            schema: "dbo",
        })
    }

    /// A SQL Server stand-in. Tables are created over TDS, so that its catalog
    /// describes them as SQL Server would; rows are copied into the PostgreSQL
    /// database below, because TDS would take hours.
    ///
    /// # Errors
    ///
    /// When one of the two cannot be reached.
    pub async fn standin(mssql_url: &str, postgres_url: &str) -> anyhow::Result<Self> {
        let rows = connect(postgres_url).await?;
        let tables = Box::pin(sql_server::connect(mssql_url)).await?;
        Ok(Self {
            sessions: Sessions::Standin { tables, rows },
            schema: "dbo",
        })
    }

    fn name_of(&self, table: &Table) -> String {
        format!("{}.{}", self.schema, table.name)
    }

    /// Creates an empty table, and drops an existing one of the same name.
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
        let name = self.name_of(table);
        let sql_server = match &mut self.sessions {
            Sessions::SqlServer(session)
            | Sessions::Standin {
                tables: session, ..
            } => session,
            Sessions::Postgres(session) => {
                let columns = definition(&|column| column.kind.postgres());
                let statements =
                    format!("DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({columns})");
                return session
                    .batch_execute(&statements)
                    .await
                    .with_context(|| format!("cannot create {name}"));
            }
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

    /// Starts to store rows of an empty table.
    pub(super) async fn begin_rows(&mut self, table: &Table) -> anyhow::Result<RowSink<'_>> {
        let name = self.name_of(table);
        let rows = match &mut self.sessions {
            Sessions::SqlServer(session) => {
                return Ok(RowSink::Insert(Inserter::new(session, name, table.columns)));
            }
            Sessions::Postgres(rows) | Sessions::Standin { rows, .. } => rows,
        };
        // Emptied in the same transaction: the server need not log the rows.
        rows.batch_execute(&format!("BEGIN; TRUNCATE {name}"))
            .await?;
        let statement = format!(
            "COPY {name} ({}) FROM STDIN (DELIMITER '|')",
            column_list(table.columns)
        );
        let sink = rows
            .copy_in(&*statement)
            .await
            .with_context(|| format!("cannot copy into {name}"))?;
        Ok(RowSink::Copy(Box::pin(sink)))
    }

    /// After the last row: commits, makes the key, and lets the planner know.
    pub(super) async fn finish_rows(&mut self, table: &Table) -> anyhow::Result<()> {
        let name = self.name_of(table);
        let Some(rows) = self.sessions.copying() else {
            return Ok(());
        };
        let has_key = table.key.is_empty() || matches!(self.sessions, Sessions::Standin { .. });
        let key = if has_key {
            String::new()
        } else {
            format!("ALTER TABLE {name} ADD PRIMARY KEY ({});", key(table))
        };
        // VACUUM sets hint bits; without it the first reader would have to write them.
        rows.batch_execute(&format!("{key} COMMIT"))
            .await
            .with_context(|| format!("cannot make the key of {name}"))?;
        rows.batch_execute(&format!("VACUUM ANALYZE {name}"))
            .await
            .with_context(|| format!("cannot analyze {name}"))
    }

    /// Whether there is such a table.
    pub(super) async fn has(&mut self, table: &Table) -> anyhow::Result<bool> {
        let name = self.name_of(table);
        let sql_server = match &mut self.sessions {
            Sessions::SqlServer(session)
            | Sessions::Standin {
                tables: session, ..
            } => session,
            Sessions::Postgres(session) => {
                let find = "SELECT to_regclass($1::text) IS NOT NULL";
                return Ok(session.query_one(find, &[&name]).await?.get(0));
            }
        };
        let find = format!("SELECT 1 AS found WHERE OBJECT_ID(N'{name}') IS NOT NULL");
        let found = sql_server.simple_query(find).await?.into_first_result();
        Ok(!found.await?.is_empty())
    }

    /// Stores `word` as the comment of a table of PostgreSQL.
    pub(super) async fn mark(&self, table: &Table, word: &str) -> anyhow::Result<()> {
        let statement = format!("COMMENT ON TABLE {} IS '{word}'", self.name_of(table));
        self.execute(&statement).await.map(drop)
    }

    /// The comment that [`Self::mark`] stored, if there is one.
    pub(super) async fn mark_of(&self, table: &Table) -> anyhow::Result<Option<String>> {
        let row = self
            .planted_in()?
            .query_one(
                "SELECT obj_description(to_regclass($1::text), 'pg_class')",
                &[&self.name_of(table)],
            )
            .await?;
        Ok(row.get(0))
    }

    /// The session that plants differences.
    fn planted_in(&self) -> anyhow::Result<&Client> {
        self.sessions
            .copying()
            .context("differences are planted in PostgreSQL only")
    }

    /// Runs a statement on PostgreSQL and returns the number of affected rows.
    pub(super) async fn execute(&self, statement: &str) -> anyhow::Result<u64> {
        self.planted_in()?
            .execute(statement, &[])
            .await
            .with_context(|| format!("cannot run {statement}"))
    }
}

/// Stores lines of COPY's text format.
pub(super) enum RowSink<'a> {
    /// As they are.
    Copy(Pin<Box<CopyInSink<Bytes>>>),
    /// As INSERT statements.
    Insert(Inserter<'a>),
}

impl RowSink<'_> {
    pub(super) async fn send(&mut self, lines: Bytes) -> anyhow::Result<()> {
        match self {
            Self::Copy(sink) => Ok(sink.feed(lines).await?),
            Self::Insert(inserter) => inserter.send(&lines).await,
        }
    }

    /// How many rows were stored.
    pub(super) async fn finish(self) -> anyhow::Result<u64> {
        match self {
            Self::Copy(mut sink) => Ok(sink.as_mut().finish().await?),
            Self::Insert(inserter) => inserter.finish().await,
        }
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

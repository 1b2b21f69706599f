//! What is done for a request: its statements are translated, run underneath,
//! and their rows sent.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt, pin_mut};
use tokio::io::AsyncWrite;
use tokio_postgres::{CancelToken, Client, SimpleQueryMessage};

use crate::catalog::{Lookup, Table};
use crate::error::SqlError;
use crate::login::Login;
use crate::packet::{Message, MessageWriter, kind};
use crate::rpc;
use crate::sql::batch::{self, Command, Isolation};
use crate::sql::convert::Typed;
use crate::sql::{Facts, Fault, Plan, Translator, qualified};
use crate::sqltype::SqlType;
use crate::token::{self, Done, ResultColumn, done};
use crate::transcode::RowEncoder;
use crate::wire::{Reader, utf16};

/// One session, between its requests.
#[derive(Debug)]
pub(super) struct Session<W> {
    client: Client,
    writer: MessageWriter<W>,
    lookup: Lookup,
    facts: Facts,
    isolation: Isolation,
    /// The number of the transaction that is open.
    transaction: u64,
    no_count: bool,
    /// Whether the client said at its login that it reads UTF-8.
    reads_utf8: bool,
    out: Vec<u8>,
}

/// Why a request ended before its end.
enum Halt {
    /// The client is told, and the session goes on.
    Sql(SqlError),
    /// An attention came, or the client left.
    Interrupted,
    /// The client cannot be reached.
    Io(io::Error),
}

impl From<SqlError> for Halt {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl From<tokio_postgres::Error> for Halt {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error.into())
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<W: AsyncWrite + Unpin + Send> Session<W> {
    pub(super) async fn new(
        client: Client,
        writer: MessageWriter<W>,
        login: &Login,
        database: &str,
        number: u16,
    ) -> Result<Self, SqlError> {
        let lookup = Lookup::new(&client).await?;
        let facts = Facts {
            session: number,
            database: database.to_owned(),
            login: login.user.clone(),
            host: login.host.clone(),
            application: login.application.clone(),
            ..Facts::default()
        };
        Ok(Self {
            client,
            writer,
            lookup,
            facts,
            isolation: Isolation::ReadCommitted,
            transaction: 0,
            no_count: false,
            reads_utf8: login.features == Some(true),
            out: Vec::new(),
        })
    }

    pub(super) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    /// The answer to an attention: a message of its own that says so.
    pub(super) async fn acknowledge_attention(&mut self) -> io::Result<()> {
        self.out.clear();
        token::push_done(&mut self.out, Done::Batch, done::ATTENTION, 0);
        self.writer.push(&self.out);
        self.writer.finish().await
    }

    pub(super) async fn goodbye(&mut self) -> io::Result<()> {
        self.writer.shutdown().await
    }

    /// Answers one request. What goes wrong in it is told to the client; an
    /// error means that the client cannot be reached.
    pub(super) async fn answer(
        &mut self,
        message: Message,
        interrupted: Arc<AtomicBool>,
    ) -> io::Result<()> {
        self.out.clear();
        let (ends, outcome) = match message.kind {
            kind::SQL_BATCH => (Done::Batch, self.batch(&message.body, &interrupted).await),
            kind::RPC => (
                Done::Procedure,
                self.call(&message.body, &interrupted).await,
            ),
            kind::TRANSACTION => (Done::Batch, self.transaction_request(&message.body).await),
            other => (
                Done::Batch,
                Err(SqlError::unsupported(format!("a message of type {other}")).into()),
            ),
        };
        match outcome {
            Ok(()) => {}
            Err(Halt::Io(error)) => return Err(error),
            // The attention's own answer follows as a message; this one ends here.
            Err(Halt::Interrupted) => {
                token::push_done(&mut self.out, ends, done::ERROR, 0);
                self.abandon_transaction().await;
            }
            Err(Halt::Sql(error)) => {
                token::push_error(&mut self.out, &error);
                self.abandon_transaction().await;
                if ends == Done::Procedure {
                    token::push_return_status(&mut self.out, error.number);
                }
                token::push_done(&mut self.out, ends, done::ERROR, 0);
            }
        }
        self.writer.push(&self.out);
        self.out.clear();
        self.writer.finish().await
    }

    async fn batch(&mut self, body: &[u8], interrupted: &AtomicBool) -> Result<(), Halt> {
        let mut reader = Reader::new(body);
        reader.skip_headers()?;
        let text = utf16(reader.bytes(body.len() - skipped(body))?);
        self.run(&text, HashMap::new(), Done::Batch, interrupted)
            .await
    }

    async fn call(&mut self, body: &[u8], interrupted: &AtomicBool) -> Result<(), Halt> {
        let rpc::Call {
            statement,
            parameters,
        } = rpc::parse(body)?;
        self.run(&statement, parameters, Done::InProcedure, interrupted)
            .await?;
        token::push_return_status(&mut self.out, 0);
        token::push_done(&mut self.out, Done::Procedure, done::FINAL, 0);
        Ok(())
    }

    /// Runs the statements of a batch or a procedure.
    async fn run(
        &mut self,
        text: &str,
        parameters: HashMap<String, Typed>,
        kind: Done,
        interrupted: &AtomicBool,
    ) -> Result<(), Halt> {
        let commands = batch::parse(text)?;
        let mut translator = Translator {
            parameters,
            facts: self.facts.clone(),
            ..Translator::default()
        };
        if commands.is_empty() && kind == Done::Batch {
            token::push_done(&mut self.out, kind, done::FINAL, 0);
        }
        let last = commands.len().saturating_sub(1);
        for (at, command) in commands.into_iter().enumerate() {
            if interrupted.load(Ordering::Acquire) {
                return Err(Halt::Interrupted);
            }
            let more = if at < last || kind == Done::InProcedure {
                done::MORE
            } else {
                done::FINAL
            };
            let outcome = self.command(command, &mut translator, interrupted).await;
            let rows = match outcome {
                Err(_) if interrupted.load(Ordering::Acquire) => return Err(Halt::Interrupted),
                other => other?,
            };
            self.facts.row_count = rows.unwrap_or(0);
            translator.facts = self.facts.clone();
            let counted = if rows.is_some() && !self.no_count {
                done::COUNT
            } else {
                0
            };
            token::push_done(&mut self.out, kind, more | counted, rows.unwrap_or(0));
        }
        Ok(())
    }

    /// Carries one command out; gives the number of rows where it has one.
    async fn command(
        &mut self,
        command: Command,
        translator: &mut Translator,
        interrupted: &AtomicBool,
    ) -> Result<Option<u64>, Halt> {
        match command {
            Command::Sql(statement) => {
                return self.statement(&statement, translator, interrupted).await;
            }
            Command::Begin => self.begin().await?,
            Command::Commit => self.commit().await?,
            Command::Rollback => self.rollback().await?,
            Command::Use(name) => {
                if !name.eq_ignore_ascii_case(&self.facts.database) {
                    return Err(SqlError::new(911, format!("Database '{name}' does not exist. Make sure that the name is entered correctly.")).into());
                }
                let database = self.facts.database.clone();
                token::push_database_change(&mut self.out, &database, &database);
                token::push_info(
                    &mut self.out,
                    5701,
                    &format!("Changed database context to '{database}'."),
                );
            }
            Command::Wait(delay) => {
                self.client
                    .query("SELECT pg_sleep($1)", &[&delay.as_secs_f64()])
                    .await?;
            }
            Command::Isolation(isolation) => self.isolation = isolation,
            Command::LockTimeout(milliseconds) => {
                // PostgreSQL waits without end at 0, SQL Server at -1; 1 ms is the nearest to not at all.
                let milliseconds = match milliseconds {
                    0 => 1,
                    endless if endless < 0 => 0,
                    other => other,
                };
                self.client
                    .batch_execute(&format!("SET lock_timeout = {milliseconds}"))
                    .await?;
            }
            Command::NoCount(on) => self.no_count = on,
            Command::IdentityInsert(on) => self.facts.identity_insert = on,
            Command::CheckConstraint {
                table,
                name,
                checked,
            } => {
                let table = translator.table_ref(&table)?;
                let table = self.lookup.table(&self.client, &table).await?;
                self.client
                    .batch_execute(&check_constraint(&table, &name, checked))
                    .await?;
            }
            Command::Print(text) => token::push_info(&mut self.out, 0, &text),
            Command::Accepted => {}
        }
        Ok(None)
    }

    async fn statement(
        &mut self,
        statement: &sqlparser::ast::Statement,
        translator: &mut Translator,
        interrupted: &AtomicBool,
    ) -> Result<Option<u64>, Halt> {
        let plan = loop {
            match translator.translate(statement) {
                Ok(plan) => break plan,
                Err(Fault::Sql(error)) => return Err(error.into()),
                Err(Fault::Unknown(name)) => {
                    let table = self.lookup.table(&self.client, &name).await?;
                    translator.tables.insert(name, table);
                }
            }
        };
        match plan {
            Plan::Rows {
                sql,
                columns,
                names,
            } => self.rows(&sql, columns, names, interrupted).await.map(Some),
            Plan::Change(sql) => {
                let mut rows = 0;
                for message in self.client.simple_query(&sql).await? {
                    if let SimpleQueryMessage::CommandComplete(count) = message {
                        rows += count;
                    }
                }
                Ok(Some(rows))
            }
            Plan::Define(sql) => {
                self.client.batch_execute(&sql).await?;
                translator.tables.clear();
                Ok(None)
            }
        }
    }

    /// Streams the rows of a query; never more than a few packets are in memory.
    async fn rows(
        &mut self,
        sql: &str,
        columns: Vec<Typed>,
        names: Vec<String>,
        interrupted: &AtomicBool,
    ) -> Result<u64, Halt> {
        let columns: Vec<ResultColumn> = columns
            .into_iter()
            .zip(names)
            .map(|(column, name)| result_column(column, name, self.reads_utf8))
            .collect();
        let stream = self
            .client
            .copy_out(&format!("COPY ({sql}) TO STDOUT (FORMAT binary)"))
            .await?;
        pin_mut!(stream);
        token::push_columns(&mut self.out, &columns)?;
        let mut encoder = RowEncoder::new(&columns);
        let mut rows = 0;
        while let Some(message) = stream.next().await {
            if encoder.push(&message?, &mut self.out)? {
                rows += 1;
            }
            self.writer.push(&self.out);
            self.out.clear();
            if self.writer.is_full() {
                if interrupted.load(Ordering::Acquire) {
                    return Err(Halt::Interrupted);
                }
                self.writer.send_complete().await?;
            }
        }
        Ok(rows)
    }

    async fn begin(&mut self) -> Result<(), Halt> {
        if self.facts.transactions == 0 {
            let level = match self.isolation {
                Isolation::ReadCommitted => "READ COMMITTED",
                Isolation::RepeatableRead | Isolation::Snapshot => "REPEATABLE READ",
                Isolation::Serializable => "SERIALIZABLE",
            };
            self.client
                .batch_execute(&format!("BEGIN ISOLATION LEVEL {level}"))
                .await?;
            self.transaction += 1;
            token::push_begin_transaction(&mut self.out, self.transaction);
        }
        self.facts.transactions += 1;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Halt> {
        match self.facts.transactions {
            0 => {
                return Err(SqlError::new(
                    3902,
                    "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.",
                )
                .into());
            }
            1 => {
                self.client.batch_execute("COMMIT").await?;
                token::push_end_transaction(&mut self.out, true, self.transaction);
            }
            _ => {}
        }
        self.facts.transactions -= 1;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), Halt> {
        if self.facts.transactions == 0 {
            return Err(SqlError::new(
                3903,
                "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.",
            )
            .into());
        }
        self.client.batch_execute("ROLLBACK").await?;
        token::push_end_transaction(&mut self.out, false, self.transaction);
        self.facts.transactions = 0;
        Ok(())
    }

    /// An error ends the transaction, as with XACT_ABORT ON: PostgreSQL would
    /// refuse every further statement in it.
    async fn abandon_transaction(&mut self) {
        if self.facts.transactions > 0 {
            if let Err(error) = self.client.batch_execute("ROLLBACK").await {
                tracing::debug!("could not roll back: {error}");
            }
            token::push_end_transaction(&mut self.out, false, self.transaction);
            self.facts.transactions = 0;
        }
    }

    /// A transaction request, which is a message and no statement.
    async fn transaction_request(&mut self, body: &[u8]) -> Result<(), Halt> {
        const BEGIN: u16 = 5;
        const COMMIT: u16 = 7;
        const ROLLBACK: u16 = 8;
        const BEGIN_ANOTHER: u8 = 1;
        let mut reader = Reader::new(body);
        reader.skip_headers()?;
        let request = reader.u16()?;
        match request {
            BEGIN => {
                let level = if reader.is_empty() { 0 } else { reader.u8()? };
                match level {
                    0 => {}
                    1 | 2 => self.isolation = Isolation::ReadCommitted,
                    3 => self.isolation = Isolation::RepeatableRead,
                    4 => self.isolation = Isolation::Serializable,
                    5 => self.isolation = Isolation::Snapshot,
                    other => {
                        return Err(
                            SqlError::unsupported(format!("isolation level {other}")).into()
                        );
                    }
                }
                self.begin().await?;
            }
            COMMIT | ROLLBACK => {
                if request == COMMIT {
                    self.commit().await?
                } else {
                    self.rollback().await?
                }
                let name = if reader.is_empty() { 0 } else { reader.u8()? };
                reader.bytes(name.into())?;
                if !reader.is_empty() && reader.u8()? & BEGIN_ANOTHER != 0 {
                    self.begin().await?;
                }
            }
            other => {
                return Err(SqlError::unsupported(format!("transaction request {other}")).into());
            }
        }
        token::push_done(&mut self.out, Done::Batch, done::FINAL, 0);
        Ok(())
    }
}

/// A constraint that is not checked is one that is checked at the end.
fn check_constraint(table: &Table, name: &str, checked: bool) -> String {
    let (table, name) = (
        qualified(&table.schema, &table.name),
        crate::text::quoted(name),
    );
    if checked {
        format!(
            "SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE {table} ALTER CONSTRAINT {name} NOT DEFERRABLE"
        )
    } else {
        format!("ALTER TABLE {table} ALTER CONSTRAINT {name} DEFERRABLE INITIALLY DEFERRED")
    }
}

/// Bytes of the ALL_HEADERS block.
fn skipped(body: &[u8]) -> usize {
    body.first_chunk()
        .map_or(0, |length| u32::from_le_bytes(*length).max(4) as usize)
        .min(body.len())
}

fn result_column(column: Typed, name: String, reads_utf8: bool) -> ResultColumn {
    let declared = column.sql_type.unwrap_or(SqlType::Int);
    ResultColumn {
        name,
        sql_type: if column.collation.is_utf8() && !reads_utf8 {
            declared.widened()
        } else {
            declared
        },
        nullable: column.nullable,
        collation: column.collation,
        identity: column.identity,
        computed: column.computed,
    }
}

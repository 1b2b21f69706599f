//! Executes requests: statements are translated, run in PostgreSQL, and answered with their rows.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt, pin_mut};
use sqlparser::ast::Statement;
use tokio::io::AsyncWrite;
use tokio_postgres::SimpleQueryMessage;

use super::error::RequestError;
use super::state::Session;
use crate::catalog::Table;
use crate::error::SqlError;
use crate::mangling::{Wrong, mangled};
use crate::postgres;
use crate::protocol::packet::{Message, message_type};
use crate::protocol::row::RowEncoder;
use crate::protocol::rpc;
use crate::protocol::token::{self, DoneToken, ResultColumn, done_status};
use crate::protocol::wire::Reader;
use crate::sql::batch::{self, Command, Isolation};
use crate::sql::translator::{TranslateError, TranslatedQuery, Translation, Translator};
use crate::sql::typed::TypedSql;
use crate::types::sql_type::SqlType;

impl<W: AsyncWrite + Unpin + Send> Session<W> {
    /// Answers one request. Errors of the request are sent to the client.
    ///
    /// # Errors
    /// When the connection to the client fails.
    pub(super) async fn answer(
        &mut self,
        message: Message,
        interrupted: Arc<AtomicBool>,
    ) -> io::Result<()> {
        self.out.clear();
        let (done, outcome) = match message.message_type {
            message_type::SQL_BATCH => (
                DoneToken::Batch,
                self.batch(&message.body, &interrupted).await,
            ),
            message_type::RPC => (
                DoneToken::Procedure,
                self.call(&message.body, &interrupted).await,
            ),
            message_type::TRANSACTION => (
                DoneToken::Batch,
                self.transaction_request(&message.body).await,
            ),
            other => (
                DoneToken::Batch,
                Err(SqlError::unsupported(format!("a message of type {other}")).into()),
            ),
        };
        match outcome {
            Ok(()) => {}
            Err(RequestError::Io(error)) => return Err(error),
            // The response ends here; the attention is answered with a message of its own.
            Err(RequestError::Interrupted) => {
                token::push_done(&mut self.out, done, done_status::ERROR, 0);
                self.abort_transaction().await;
            }
            Err(RequestError::Sql(error)) => {
                token::push_error(&mut self.out, &error);
                self.abort_transaction().await;
                if done == DoneToken::Procedure {
                    token::push_return_status(&mut self.out, error.number);
                }
                token::push_done(&mut self.out, done, done_status::ERROR, 0);
            }
        }
        self.writer.push(&self.out);
        self.out.clear();
        self.writer.finish().await
    }

    async fn batch(&mut self, body: &[u8], interrupted: &AtomicBool) -> Result<(), RequestError> {
        let mut reader = Reader::new(body);
        reader.skip_headers()?;
        let text = reader.remaining_utf16();
        self.run(&text, HashMap::new(), DoneToken::Batch, interrupted)
            .await
    }

    async fn call(&mut self, body: &[u8], interrupted: &AtomicBool) -> Result<(), RequestError> {
        let rpc::Call {
            statement,
            parameters,
        } = rpc::parse(body)?;
        self.run(&statement, parameters, DoneToken::InProcedure, interrupted)
            .await?;
        token::push_return_status(&mut self.out, 0);
        token::push_done(&mut self.out, DoneToken::Procedure, done_status::FINAL, 0);
        Ok(())
    }

    /// Runs the statements of a batch or a procedure.
    async fn run(
        &mut self,
        text: &str,
        parameters: HashMap<String, TypedSql>,
        done: DoneToken,
        interrupted: &AtomicBool,
    ) -> Result<(), RequestError> {
        let commands = batch::parse(text)?;
        self.record(text)?;
        let mut translator = Translator {
            parameters,
            session: self.info.clone(),
            ..Translator::default()
        };
        if commands.is_empty() && done == DoneToken::Batch {
            token::push_done(&mut self.out, done, done_status::FINAL, 0);
        }
        let last = commands.len().saturating_sub(1);
        for (at, command) in commands.into_iter().enumerate() {
            if interrupted.load(Ordering::Acquire) {
                return Err(RequestError::Interrupted);
            }
            let more = if at < last || done == DoneToken::InProcedure {
                done_status::MORE
            } else {
                done_status::FINAL
            };
            let outcome = self.command(command, &mut translator, interrupted).await;
            let rows = match outcome {
                Err(_) if interrupted.load(Ordering::Acquire) => {
                    return Err(RequestError::Interrupted);
                }
                other => other?,
            };
            self.info.row_count = rows.unwrap_or(0);
            translator.session = self.info.clone();
            let counted = if rows.is_some() && !self.no_count {
                done_status::COUNT
            } else {
                0
            };
            token::push_done(&mut self.out, done, more | counted, rows.unwrap_or(0));
        }
        Ok(())
    }

    /// Executes one command; returns the number of rows if it has one.
    async fn command(
        &mut self,
        command: Command,
        translator: &mut Translator,
        interrupted: &AtomicBool,
    ) -> Result<Option<u64>, RequestError> {
        match command {
            Command::Sql(statement) => {
                return self.statement(&statement, translator, interrupted).await;
            }
            Command::Begin => self.begin().await?,
            Command::Commit => self.commit().await?,
            Command::Rollback => self.rollback().await?,
            Command::Use(name) => {
                let database = &self.info.database;
                if !name.eq_ignore_ascii_case(database) {
                    return Err(no_database(&name).into());
                }
                token::push_database_change(&mut self.out, database, database);
            }
            Command::Wait(delay) => {
                self.client
                    .query("SELECT pg_sleep($1)", &[&delay.as_secs_f64()])
                    .await?;
            }
            Command::Isolation(isolation) => {
                self.isolation = isolation;
                self.info.snapshot = isolation == Isolation::Snapshot;
            }
            Command::LockTimeout(milliseconds) => {
                // An unlimited wait is 0 in PostgreSQL and -1 in SQL Server. With 0 SQL Server
                // does not wait; the shortest wait of PostgreSQL is 1 ms.
                let milliseconds = match milliseconds {
                    0 => 1,
                    unlimited if unlimited < 0 => 0,
                    other => other,
                };
                self.client
                    .batch_execute(&format!("SET lock_timeout = {milliseconds}"))
                    .await?;
            }
            Command::NoCount(on) => self.no_count = on,
            Command::IdentityInsert(on) => self.info.identity_insert = on,
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
            Command::ContextInfo(digits) => {
                let bytes = hex::decode(&digits).map_err(SqlError::unsupported)?;
                let text = String::from_utf8_lossy(&bytes);
                let text = text.trim_end_matches('\0');
                self.client
                    .query("SELECT set_config('application_name', $1, false)", &[&text])
                    .await?;
            }
            Command::Print(text) => token::push_info(&mut self.out, 0, &text),
            Command::Ignored => {}
        }
        Ok(None)
    }

    async fn statement(
        &mut self,
        statement: &Statement,
        translator: &mut Translator,
        interrupted: &AtomicBool,
    ) -> Result<Option<u64>, RequestError> {
        let translation = loop {
            match translator.translate(statement) {
                Ok(translation) => break translation,
                Err(TranslateError::Sql(error)) => return Err(error.into()),
                Err(TranslateError::UnknownTable(name)) => {
                    let table = self.lookup.table(&self.client, &name).await?;
                    translator.tables.insert(name, table);
                }
            }
        };
        match translation {
            Translation::Query(query) => {
                let tables: Vec<Table> = translator.tables.values().cloned().collect();
                self.check_snapshot(&tables).await?;
                self.result(query, interrupted).await.map(Some)
            }
            Translation::Change(sql) => {
                let (rows, sent) = self.change(&sql).await?;
                if let Some(batch) = sent {
                    self.send_as_trigger(&batch, interrupted).await?;
                }
                Ok(Some(rows))
            }
            Translation::Define(sql) => {
                self.client.batch_execute(&sql).await?;
                translator.tables.clear();
                Ok(None)
            }
        }
    }

    /// Changes rows. Returns how many, and what a trigger wants to send: it sets the
    /// parameter `standin.sent` to queries of Transact-SQL.
    async fn change(&mut self, sql: &str) -> Result<(u64, Option<String>), RequestError> {
        const SENT: &str = "SELECT current_setting('standin.sent', true)";
        let (mut counts, mut sent) = (Vec::new(), None);
        for message in self.client.simple_query(&format!("{sql};\n{SENT}")).await? {
            match message {
                SimpleQueryMessage::CommandComplete(count) => counts.push(count),
                SimpleQueryMessage::Row(row) => {
                    sent = row
                        .get(0)
                        .filter(|sent| !sent.is_empty())
                        .map(str::to_owned);
                }
                _ => {}
            }
        }
        // The last count is that of the parameter.
        counts.pop();
        if sent.is_some() {
            let reset = "SELECT set_config('standin.sent', '', false)";
            self.client.simple_query(reset).await?;
        }
        Ok((counts.iter().sum(), sent))
    }

    /// Sends the rows of queries before those of the statement that has fired a trigger.
    async fn send_as_trigger(
        &mut self,
        text: &str,
        interrupted: &AtomicBool,
    ) -> Result<(), RequestError> {
        for command in batch::parse(text)? {
            let Command::Sql(statement) = command else {
                continue;
            };
            let translator = Translator {
                session: self.info.clone(),
                ..Translator::default()
            };
            let Ok(Translation::Query(query)) = translator.translate(&statement) else {
                return Err(SqlError::unsupported(statement).into());
            };
            let rows = self.rows(query, interrupted).await?;
            let status = done_status::MORE | done_status::COUNT;
            token::push_done(&mut self.out, DoneToken::InProcedure, status, rows);
        }
        Ok(())
    }

    /// The rows of a query, or what stands in for them on purpose.
    async fn result(
        &mut self,
        query: TranslatedQuery,
        interrupted: &AtomicBool,
    ) -> Result<u64, RequestError> {
        let mangling = self.mangling.as_ref();
        match mangling.and_then(|mangling| mangling.next(&query.sql)) {
            None => self.rows(query, interrupted).await,
            Some(Wrong::ExtraResult) => {
                let rows = self.rows(query.clone(), interrupted).await?;
                let counted = done_status::MORE | done_status::COUNT;
                token::push_done(&mut self.out, DoneToken::InProcedure, counted, rows);
                self.rows(query, interrupted).await
            }
            Some(wrong) => self.rows(mangled(query, wrong), interrupted).await,
        }
    }

    /// Streams the rows of a query, with at most a few packets in memory.
    async fn rows(
        &mut self,
        query: TranslatedQuery,
        interrupted: &AtomicBool,
    ) -> Result<u64, RequestError> {
        let columns: Vec<ResultColumn> = query
            .columns
            .into_iter()
            .zip(query.names)
            .map(|(column, name)| result_column(column, name, self.reads_utf8))
            .collect();
        let stream = self
            .client
            .copy_out(&format!("COPY ({}) TO STDOUT (FORMAT binary)", query.sql))
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
                    return Err(RequestError::Interrupted);
                }
                self.writer.send_complete().await?;
            }
        }
        Ok(rows)
    }
}

/// PostgreSQL has no disabled constraints. One that is not checked becomes deferred.
fn check_constraint(table: &Table, name: &str, checked: bool) -> String {
    let (table, name) = (table.qualified(), postgres::quoted(name));
    if checked {
        format!(
            "SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE {table} ALTER CONSTRAINT {name} NOT DEFERRABLE"
        )
    } else {
        format!("ALTER TABLE {table} ALTER CONSTRAINT {name} DEFERRABLE INITIALLY DEFERRED")
    }
}

fn no_database(name: &str) -> SqlError {
    SqlError::new(
        911,
        format!("Database '{name}' does not exist. Make sure that the name is entered correctly."),
    )
}

fn result_column(column: TypedSql, name: String, reads_utf8: bool) -> ResultColumn {
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

//! The transactions of a session.

use tokio::io::AsyncWrite;

use super::error::RequestError;
use super::state::Session;
use crate::catalog::Table;
use crate::error::SqlError;
use crate::protocol::token::{self, DoneToken, done_status};
use crate::protocol::wire::Reader;
use crate::sql::batch::Isolation;

/// Whether the snapshot sees the table with the qualified name `$1`, schema `$2` and name
/// `$3` as it is stored now. The functions read the catalog as it is now, the tables of
/// the catalog are read in the snapshot.
const IN_SNAPSHOT: &str = "SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE n.nspname = $2 AND c.relname = $3 AND c.oid = to_regclass($1) \
    AND (c.relfilenode = 0 OR c.relfilenode = pg_relation_filenode(c.oid)))";

impl<W: AsyncWrite + Unpin + Send> Session<W> {
    /// Error 3961 if a SNAPSHOT transaction reads a table that was truncated, rewritten or
    /// replaced after its snapshot was taken.
    pub(super) async fn check_snapshot(&self, tables: &[Table]) -> Result<(), RequestError> {
        if self.isolation != Isolation::Snapshot || self.info.transactions == 0 {
            return Ok(());
        }
        for table in tables.iter().filter(|table| table.schema != "sys") {
            let name = table.qualified();
            // Waits until the other transaction has ended.
            self.client
                .batch_execute(&format!("SELECT FROM {name} LIMIT 0"))
                .await?;
            let row = self
                .client
                .query_one(IN_SNAPSHOT, &[&name, &table.schema, &table.name])
                .await?;
            if !row.get::<_, bool>(0) {
                return Err(SqlError::snapshot_too_old(&self.info.database).into());
            }
        }
        Ok(())
    }

    pub(super) async fn begin(&mut self) -> Result<(), RequestError> {
        if self.info.transactions == 0 {
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
        self.info.transactions += 1;
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<(), RequestError> {
        match self.info.transactions {
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
        self.info.transactions -= 1;
        Ok(())
    }

    pub(super) async fn rollback(&mut self) -> Result<(), RequestError> {
        if self.info.transactions == 0 {
            return Err(SqlError::new(
                3903,
                "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.",
            )
            .into());
        }
        self.client.batch_execute("ROLLBACK").await?;
        token::push_end_transaction(&mut self.out, false, self.transaction);
        self.info.transactions = 0;
        Ok(())
    }

    /// Rolls back after an error, as SQL Server does with XACT_ABORT ON: PostgreSQL would refuse
    /// every further statement of the transaction.
    pub(super) async fn abort_transaction(&mut self) {
        if self.info.transactions > 0 {
            if let Err(error) = self.client.batch_execute("ROLLBACK").await {
                tracing::debug!("cannot roll back: {error}");
            }
            token::push_end_transaction(&mut self.out, false, self.transaction);
            self.info.transactions = 0;
        }
    }

    /// Answers a transaction manager request (MS-TDS 2.2.6.9).
    pub(super) async fn transaction_request(&mut self, body: &[u8]) -> Result<(), RequestError> {
        const BEGIN: u16 = 5;
        const COMMIT: u16 = 7;
        const ROLLBACK: u16 = 8;
        const BEGIN_NEXT: u8 = 1;
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
                    self.commit().await?;
                } else {
                    self.rollback().await?;
                }
                let name_length = if reader.is_empty() { 0 } else { reader.u8()? };
                reader.bytes(name_length.into())?;
                if !reader.is_empty() && reader.u8()? & BEGIN_NEXT != 0 {
                    self.begin().await?;
                }
            }
            other => {
                return Err(SqlError::unsupported(format!("transaction request {other}")).into());
            }
        }
        token::push_done(&mut self.out, DoneToken::Batch, done_status::FINAL, 0);
        Ok(())
    }
}

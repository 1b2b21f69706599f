//! The state of one session between its requests.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWrite;
use tokio_postgres::{CancelToken, Client};

use crate::catalog::TableLookup;
use crate::error::SqlError;
use crate::mangling::Mangling;
use crate::protocol::login::Login;
use crate::protocol::packet::MessageWriter;
use crate::protocol::token::{self, DoneToken, done_status};
use crate::sql::batch::Isolation;
use crate::sql::translator::SessionInfo;
use crate::statements::StatementLog;

/// One session and the half of the connection that it writes to.
#[derive(Debug)]
pub(super) struct Session<W> {
    /// The session's connection to PostgreSQL.
    pub(super) client: Client,
    pub(super) writer: MessageWriter<W>,
    pub(super) lookup: TableLookup,
    pub(super) info: SessionInfo,
    pub(super) isolation: Isolation,
    /// The descriptor of the open transaction, or of the last one.
    pub(super) transaction: u64,
    /// Whether DONE tokens have no row counts.
    pub(super) no_count: bool,
    /// Whether the client requested UTF-8 at its login.
    pub(super) reads_utf8: bool,
    /// Which results are wrong on purpose.
    pub(super) mangling: Option<Arc<Mangling>>,
    /// Where the statements of the product are recorded.
    statements: Option<Arc<StatementLog>>,
    /// Tokens of the current response that are not in `writer` yet.
    pub(super) out: Vec<u8>,
}

impl<W: AsyncWrite + Unpin + Send> Session<W> {
    pub(super) async fn new(
        client: Client,
        writer: MessageWriter<W>,
        login: &Login,
        database: &str,
        number: u16,
    ) -> Result<Self, SqlError> {
        let lookup = TableLookup::new(&client).await?;
        let info = SessionInfo {
            number,
            database: database.to_owned(),
            login: login.user.clone(),
            host: login.host.clone(),
            application: login.application.clone(),
            ..SessionInfo::default()
        };
        Ok(Self {
            client,
            writer,
            lookup,
            info,
            isolation: Isolation::ReadCommitted,
            transaction: 0,
            no_count: false,
            reads_utf8: login.features.as_ref().is_some_and(|it| it.utf8),
            mangling: None,
            statements: None,
            out: Vec::new(),
        })
    }

    pub(super) fn mangled_by(mut self, mangling: Option<Arc<Mangling>>) -> Self {
        self.mangling = mangling;
        self
    }

    /// Records the statements of this session, if its client is the product.
    pub(super) fn recorded_in(mut self, statements: Option<Arc<StatementLog>>) -> Self {
        let is_product = self.info.application.starts_with("reconcile");
        self.statements = statements.filter(|_| is_product);
        self
    }

    /// # Errors
    /// When the statement cannot be recorded.
    pub(super) fn record(&self, text: &str) -> io::Result<()> {
        self.statements
            .as_ref()
            .map_or(Ok(()), |statements| statements.record(text))
    }

    pub(super) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    /// Answers an attention with a message of its own.
    pub(super) async fn acknowledge_attention(&mut self) -> io::Result<()> {
        self.out.clear();
        token::push_done(&mut self.out, DoneToken::Batch, done_status::ATTENTION, 0);
        self.writer.push(&self.out);
        self.writer.finish().await
    }

    /// Closes the sending half of the connection.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.writer.shutdown().await
    }
}

//! Sessions with databases: what every kind of database offers.

pub(crate) mod idle;
pub(crate) mod label;
pub(crate) mod limits;
pub(crate) mod logins;
pub(crate) mod pool;
pub(crate) mod tls;

use async_trait::async_trait;
use shared::endpoint::{Endpoint, LoginMethod, Secret, SecretCommand};
use shared::identity::DatabaseIdentity;

use crate::engine::database::constraints::Constraints;
use crate::engine::database::dialect::RepairDialect;
use crate::engine::database::footprint::Footprint;
use crate::engine::database::scan::{Query, Scanned};
use crate::engine::database::schema::{DatabaseSchema, NumberState, NumberedColumn, QualifiedName};
use crate::engine::database::script::ScriptDialect;
use crate::engine::database::server_state::ServerState;
use crate::engine::database::session::label::{Access, Activity, Isolation, Label, SessionId};
use crate::engine::database::session::limits::INTERRUPT_LIMIT;
use crate::engine::database::session::logins::Logins;
use crate::engine::error::DatabaseError;
use crate::engine::values::canonical::RowSink;
use crate::engine::values::column::{CatalogTable, Table};

/// A kind of database: its SQL and how to connect to it.
#[async_trait]
pub(crate) trait Database: RepairDialect + ScriptDialect {
    /// Connects and logs in.
    async fn connect(
        &self,
        endpoint: &Endpoint,
        access: Access,
    ) -> Result<Box<dyn Session>, DatabaseError>;

    /// [`connect`](Self::connect) within the endpoint's time limit, unless an earlier login of
    /// this process was refused. If a command prints the password or the token, it has a time
    /// limit of its own.
    async fn open(
        &self,
        endpoint: &Endpoint,
        access: Access,
    ) -> Result<Box<dyn Session>, DatabaseError> {
        let limit = endpoint.connect_timeout;
        let connect = async |endpoint: &Endpoint| {
            tokio::time::timeout(limit, self.connect(endpoint, access))
                .await
                .unwrap_or(Err(DatabaseError::ConnectTimeout(limit)))
        };
        let login = async {
            let Some(command) = &endpoint.secret_command else {
                return connect(endpoint).await;
            };
            let secret = secret_of(endpoint, command).await?;
            let opened = connect(&with_secret(endpoint, &secret)).await;
            if !opened.as_ref().is_err_and(DatabaseError::is_refused_login) {
                return opened;
            }
            // It may have been changed since the command ran.
            command.forget().await;
            let newer = secret_of(endpoint, command).await?;
            if newer == secret {
                return opened;
            }
            connect(&with_secret(endpoint, &newer)).await
        };
        Logins::of(endpoint).log_in(login).await
    }
}

async fn secret_of(endpoint: &Endpoint, command: &SecretCommand) -> Result<Secret, DatabaseError> {
    let key = match endpoint.login.method {
        LoginMethod::Token => "token_command",
        LoginMethod::Password | LoginMethod::Ntlm => "password_command",
    };
    let printed = command.secret().await;
    printed.map_err(|reason| DatabaseError::NoSecret { key, reason })
}

fn with_secret(endpoint: &Endpoint, secret: &Secret) -> Endpoint {
    Endpoint {
        password: secret.clone(),
        ..endpoint.clone()
    }
}

/// What a transaction finds that begins with a table.
#[derive(Debug)]
pub(crate) enum Held {
    /// The table. It stays as it is described until the transaction ends, or
    /// [`Session::is_unchanged`] returns false then.
    Table(Box<Table>),
    /// No table, or not only one, has this name.
    Absent,
    /// The table cannot be locked before it is read.
    Unlockable,
    /// The table was changed while the transaction began.
    Changed,
}

/// A session with a database. Every method fails if the database reports an
/// error or the connection is lost.
#[async_trait]
pub(crate) trait Session: std::fmt::Debug + Send {
    /// Begins a read-only transaction. All its statements see the same data
    /// where the database can do that.
    async fn begin(&mut self, label: &Label) -> Result<Isolation, DatabaseError>;

    /// Ends the transaction; the session can be used for another table.
    async fn end(&mut self) -> Result<(), DatabaseError>;

    /// How the database lists this session in the transaction that was begun last.
    fn id(&self) -> SessionId;

    /// The database of this session, as it was when the session began. It was read once.
    fn identity(&self) -> &DatabaseIdentity;

    /// Stops the statement that runs and closes the connection. Returns whether the
    /// database has confirmed on this connection that the statement ended.
    async fn interrupt(self: Box<Self>) -> bool;

    /// What the database says about another session with it.
    async fn activity(&mut self, of: &SessionId) -> Result<Activity, DatabaseError>;

    /// Ends another session by force, where the database lets its user do that. A session
    /// with the same number and another name is left alone.
    async fn terminate(&mut self, other: &SessionId) -> Result<(), DatabaseError>;

    /// All tables and views but the system's own.
    async fn list_tables(&mut self) -> Result<Vec<CatalogTable>, DatabaseError>;

    /// The tables with exactly this name; if there is none, those whose names
    /// differ from it by case only.
    async fn find_tables(&mut self, schema: &str, name: &str) -> Result<Vec<Table>, DatabaseError>;

    /// Makes sure, as the first work of a transaction, that all its statements read the
    /// same table as it is described now. With `lock_first`, the table is locked before
    /// the transaction's snapshot is taken, where the database can do that: a snapshot
    /// that is older than a change of the table may see the table as empty.
    ///
    /// Without a table, the transaction cannot be used any more.
    async fn hold(
        &mut self,
        schema: &str,
        name: &str,
        lock_first: bool,
    ) -> Result<Held, DatabaseError>;

    /// Whether all statements of the transaction have read `table` as
    /// [`hold`](Self::hold) has described it.
    async fn is_unchanged(&mut self, table: &Table) -> Result<bool, DatabaseError>;

    async fn constraints(&mut self, table: &Table) -> Result<Constraints, DatabaseError>;

    /// What the catalog says about several tables, each given by its schema and name as the
    /// catalog has them. The number of requests does not grow with every table.
    async fn schemas(&mut self, tables: &[QualifiedName]) -> Result<DatabaseSchema, DatabaseError>;

    /// Where the numbers of several columns are, in their order. One request, which reads one
    /// value for each column; the columns need an index for that.
    async fn number_states(
        &mut self,
        columns: &[NumberedColumn],
    ) -> Result<Vec<NumberState>, DatabaseError>;

    /// What the server says of itself, in one round trip.
    async fn server_state(&mut self) -> Result<ServerState, DatabaseError>;

    /// Size and readable columns of a table.
    async fn footprint(&mut self, table: &Table) -> Result<Footprint, DatabaseError>;

    /// The number that `statement` returns.
    async fn count(&mut self, statement: &str) -> Result<u64, DatabaseError>;

    /// Reads all rows of `query` into `sink` and returns their number.
    /// `progress` is called every few thousand rows with what was read since.
    ///
    /// Fails also if a row does not follow the protocol or the sink cannot take one.
    async fn scan(
        &mut self,
        query: &Query,
        sink: &mut dyn RowSink,
        progress: &(dyn Fn(Scanned) + Sync),
    ) -> Result<u64, DatabaseError>;

    /// Runs SQL and ignores its result.
    async fn execute(&mut self, sql: &str) -> Result<(), DatabaseError>;

    /// Runs one statement that changes rows, as a request of its own, and returns how
    /// many rows it has changed. What triggers change or return is not counted.
    async fn change_one(&mut self, sql: &str) -> Result<u64, DatabaseError>;

    /// [`change_one`](Self::change_one) for each statement, in order. After the first
    /// error no later statement takes effect.
    async fn change(&mut self, statements: &[String]) -> Result<Vec<u64>, DatabaseError> {
        let mut counts = Vec::with_capacity(statements.len());
        for sql in statements {
            counts.push(self.change_one(sql).await?);
        }
        Ok(counts)
    }
}

/// [`Session::interrupt`] within a short time limit.
pub(crate) async fn interrupt(session: Box<dyn Session>) -> bool {
    let stopped = tokio::time::timeout(INTERRUPT_LIMIT, session.interrupt()).await;
    let is_confirmed = stopped.unwrap_or(false);
    if !is_confirmed {
        tracing::debug!(
            "the end of a statement was not seen on its own connection, which was dropped"
        );
    }
    is_confirmed
}

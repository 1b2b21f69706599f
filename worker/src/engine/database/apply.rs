//! Carries statements out in a target, in one transaction. The only place where
//! anything is written to a database.

use shared::endpoint::{DatabaseKind, Endpoint};
use shared::outcome::Failure;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::Severity;

use crate::engine::database::session::Session;
use crate::engine::database::session::label::Access;
use crate::engine::error::DatabaseError;

/// The least class of errors of SQL Server that end the connection.
const FATAL: u8 = 20;

/// Why it is not known that a transaction was committed.
#[derive(Debug)]
pub enum CommitError {
    /// The database refused: nothing was done.
    Refused(Failure),
    /// The connection was lost while it answered: it was done, or it was not.
    Unanswered(Failure),
}

/// A target in a transaction that may write.
#[derive(Debug)]
pub struct WritableTarget {
    session: Session,
    endpoint: Endpoint,
}

impl WritableTarget {
    /// Connects and begins the transaction.
    ///
    /// # Errors
    ///
    /// When the target cannot be reached or refuses.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, Failure> {
        let failed = |error: DatabaseError| error.at(endpoint, "cannot connect");
        let session = Session::connect_for(endpoint, Access::Write)
            .await
            .map_err(failed)?;
        let mut target = Self {
            session,
            endpoint: endpoint.clone(),
        };
        let begin = match endpoint.engine {
            DatabaseKind::Postgres => {
                "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL lock_timeout = '30s'"
            }
            DatabaseKind::SqlServer => {
                "SET LOCK_TIMEOUT 30000; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN TRANSACTION"
            }
        };
        target.execute(begin).await?;
        Ok(target)
    }

    /// Runs SQL whose result is of no interest.
    ///
    /// # Errors
    ///
    /// When the database reports an error; the transaction is of no more use then.
    pub async fn execute(&mut self, sql: &str) -> Result<(), Failure> {
        let done = self.send(sql).await;
        done.map_err(|error| self.failure(error, sql))
    }

    async fn send(&mut self, sql: &str) -> Result<(), DatabaseError> {
        match &mut self.session {
            Session::Postgres(session) => session
                .client()
                .batch_execute(sql)
                .await
                .map_err(Into::into),
            Session::SqlServer(session) => run_in_sql_server(session, sql).await.map(drop),
        }
    }

    /// Runs statements, each of which ends with a semicolon, and says how many
    /// rows each has changed.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub async fn change(&mut self, statements: &[String]) -> Result<Vec<u64>, Failure> {
        let counted = match &mut self.session {
            Session::Postgres(session) => session
                .client()
                .simple_query(&statements.join("\n"))
                .await
                .map(|messages| {
                    messages
                        .into_iter()
                        .filter_map(|message| match message {
                            SimpleQueryMessage::CommandComplete(rows) => Some(rows),
                            _ => None,
                        })
                        .collect::<Vec<_>>()
                })
                .map_err(DatabaseError::from),
            Session::SqlServer(session) => {
                let batch: String = statements
                    .iter()
                    .map(|statement| format!("{statement}\nSELECT @@ROWCOUNT;\n"))
                    .collect();
                run_in_sql_server(session, &batch).await.map(|results| {
                    results
                        .iter()
                        .filter_map(|rows| rows.first()?.get::<i32, _>(0))
                        .map(|rows| u64::try_from(rows).unwrap_or_default())
                        .collect()
                })
            }
        };
        let counted =
            counted.map_err(|error| self.failure(error, statements.first().map_or("", |s| s)))?;
        if counted.len() != statements.len() {
            let error = DatabaseError::Malformed(format!(
                "{} statements were counted of {}",
                counted.len(),
                statements.len()
            ));
            return Err(self.failure(error, ""));
        }
        Ok(counted)
    }

    /// Makes what was done last.
    ///
    /// # Errors
    ///
    /// When the database refuses, or does not answer.
    pub async fn commit(mut self) -> Result<(), CommitError> {
        let commit = match self.endpoint.engine {
            DatabaseKind::Postgres => "COMMIT",
            DatabaseKind::SqlServer => "COMMIT TRANSACTION",
        };
        self.send(commit).await.map_err(|error| {
            let refused = is_refusal(&error);
            let failure = self.failure(error, commit);
            if refused {
                CommitError::Refused(failure)
            } else {
                CommitError::Unanswered(failure)
            }
        })
    }

    /// Takes back what was done.
    ///
    /// # Errors
    ///
    /// When the connection is lost, which takes it back as well.
    pub async fn roll_back(mut self) -> Result<(), Failure> {
        self.execute(match self.endpoint.engine {
            DatabaseKind::Postgres => "ROLLBACK",
            DatabaseKind::SqlServer => "ROLLBACK TRANSACTION",
        })
        .await
    }

    /// Without the statement, whose values are nobody's business.
    fn failure(&self, error: DatabaseError, sql: &str) -> Failure {
        let words: Vec<&str> = sql.split_whitespace().take(3).collect();
        error.at(&self.endpoint, &format!("`{} …` failed", words.join(" ")))
    }
}

/// Whether the database has said that it did not do it. A session that is ended
/// from outside says so too, and may have committed before.
fn is_refusal(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Postgres(error) => error
            .as_db_error()
            .is_some_and(|said| said.parsed_severity() == Some(Severity::Error)),
        DatabaseError::SqlServer(tiberius::error::Error::Server(said)) => said.class() < FATAL,
        _ => false,
    }
}

async fn run_in_sql_server(
    session: &mut crate::engine::database::session::sql_server::SqlServerSession,
    sql: &str,
) -> Result<Vec<Vec<tiberius::Row>>, DatabaseError> {
    Ok(session
        .client()
        .simple_query(sql)
        .await?
        .into_results()
        .await?)
}

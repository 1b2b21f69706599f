//! Carries statements out in a target, in one transaction. The only place where
//! anything is written to a database.

use shared::endpoint::Endpoint;
use shared::failure::Failure;

use crate::engine::database::dialect::RepairDialect;
use crate::engine::database::kinds::database;
use crate::engine::database::session::Session;
use crate::engine::database::session::label::Access;
use crate::engine::error::DatabaseError;

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
    session: Box<dyn Session>,
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
        let session = database(endpoint.engine)
            .open(endpoint, Access::Write)
            .await
            .map_err(failed)?;
        let mut target = Self {
            session,
            endpoint: endpoint.clone(),
        };
        let begin = target.dialect().begin_writing();
        target.execute(begin).await?;
        Ok(target)
    }

    /// Runs SQL whose result is of no interest.
    ///
    /// # Errors
    ///
    /// When the database reports an error; the transaction is of no more use then.
    pub async fn execute(&mut self, sql: &str) -> Result<(), Failure> {
        let done = self.session.execute(sql).await;
        done.map_err(|error| self.failure(error, sql))
    }

    fn dialect(&self) -> &'static dyn RepairDialect {
        database(self.endpoint.engine)
    }

    /// Runs statements, each of which ends with a semicolon, and says how many
    /// rows each has changed.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub async fn change(&mut self, statements: &[String]) -> Result<Vec<u64>, Failure> {
        let counted = self.session.change(statements).await;
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
        let commit = self.dialect().commit();
        self.session.execute(commit).await.map_err(|error| {
            let refused = error.is_refusal();
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
        self.execute(self.dialect().roll_back()).await
    }

    /// Without the statement, whose values are nobody's business.
    fn failure(&self, error: DatabaseError, sql: &str) -> Failure {
        let words: Vec<&str> = sql.split_whitespace().take(3).collect();
        error.at(&self.endpoint, &format!("`{} …` failed", words.join(" ")))
    }
}

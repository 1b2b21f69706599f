//! Executes statements in a target, in one transaction. This is the only place
//! that writes to a database.

use shared::endpoint::Endpoint;
use shared::failure::{Failure, FailureKind};
use shared::identity::DatabaseIdentity;

use crate::engine::database::dialect::Facts;
use crate::engine::database::kinds::database;
use crate::engine::database::session::label::Access;
use crate::engine::database::session::{self, Session};
use crate::engine::error::{DatabaseError, advice};

/// Why a commit did not succeed.
#[derive(Debug)]
pub enum CommitError {
    /// The database refused; nothing was changed.
    Refused(Failure),
    /// The connection was lost before the answer arrived: the transaction may be committed or not.
    Unanswered(Failure),
}

/// A connection to a target for a transaction that may write.
#[derive(Debug)]
pub struct WritableTarget {
    session: Box<dyn Session>,
    endpoint: Endpoint,
}

impl WritableTarget {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When the target cannot be reached or refuses.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, Failure> {
        let failed = |error: DatabaseError| error.at(endpoint, "cannot connect");
        let session = database(endpoint.kind)
            .open(endpoint, Access::Write)
            .await
            .map_err(failed)?;
        Ok(Self {
            session,
            endpoint: endpoint.clone(),
        })
    }

    /// The database that the connection leads to.
    #[must_use]
    pub fn database(&self) -> &DatabaseIdentity {
        self.session.identity()
    }

    /// Begins the transaction. Where reads are no protection, it locks `tables`, quoted names
    /// with their schemas, against all other writers until the transaction ends: a guard that
    /// holds when it is evaluated still holds at the commit.
    ///
    /// # Errors
    ///
    /// If the database reports an error, or if another session holds a lock for longer than
    /// 30 seconds.
    pub async fn begin(&mut self, tables: &[String]) -> Result<(), Failure> {
        let dialect = database(self.endpoint.kind);
        self.execute(self.facts().begin_writing).await?;
        let Some(lock) = dialect.lock(tables).filter(|_| !tables.is_empty()) else {
            return Ok(());
        };
        let Err(error) = self.session.execute(&lock).await else {
            return Ok(());
        };
        let mut failure = self.failure(error, &lock);
        if failure.kind == FailureKind::LockTimeout
            && let Some(holder) = self.lock_holder(tables).await
        {
            failure.message.push_str(&format!(
                "; session {holder} holds a lock on one of the tables"
            ));
        }
        Err(failure)
    }

    /// A session that holds a lock on one of `tables`, after the transaction has failed.
    async fn lock_holder(&mut self, tables: &[String]) -> Option<u64> {
        let statement = database(self.endpoint.kind).lock_holder(tables)?;
        self.session.execute(self.facts().roll_back).await.ok()?;
        let holder = self.session.count(&statement).await.ok()?;
        (holder > 0).then_some(holder)
    }

    /// Runs SQL and ignores its result.
    ///
    /// # Errors
    ///
    /// If the database reports an error; the transaction cannot be used any more then.
    pub async fn execute(&mut self, sql: &str) -> Result<(), Failure> {
        let done = self.session.execute(sql).await;
        done.map_err(|error| self.failure(error, sql))
    }

    fn facts(&self) -> &'static Facts {
        database(self.endpoint.kind).facts()
    }

    /// Runs one statement that changes rows, as a request of its own, and returns how
    /// many rows it has changed. What triggers change or return is not counted.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub async fn change_one(&mut self, sql: &str) -> Result<u64, Failure> {
        let changed = self.session.change_one(sql).await;
        changed.map_err(|error| self.failure(error, sql))
    }

    /// [`change_one`](Self::change_one) for each statement, in order. Where the driver
    /// can, the next one is sent before the last one is answered.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute), after the first statement that fails.
    pub async fn change(&mut self, statements: &[String]) -> Result<Vec<u64>, Failure> {
        let counted = self.session.change(statements).await;
        counted.map_err(|error| self.failure(error, statements.first().map_or("", |s| s)))
    }

    /// Commits the transaction.
    ///
    /// # Errors
    ///
    /// If the database refuses or does not answer.
    pub async fn commit(mut self) -> Result<(), CommitError> {
        let commit = self.facts().commit;
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

    /// Rolls the transaction back.
    ///
    /// # Errors
    ///
    /// If the connection is lost, which rolls back as well.
    pub async fn roll_back(mut self) -> Result<(), Failure> {
        self.execute(self.facts().roll_back).await
    }

    /// Stops the statement that runs and closes the connection without a commit: the
    /// database rolls the transaction back.
    pub async fn abandon(self) {
        session::interrupt(self.session).await;
    }

    /// The failure of a statement, of which only the first words are quoted: the others may be values.
    fn failure(&self, error: DatabaseError, sql: &str) -> Failure {
        let words: Vec<&str> = sql.split_whitespace().take(3).collect();
        let error = match privilege(words.first().copied()) {
            Some(privilege) => error.with_privilege(privilege),
            None => error,
        };
        error.at(&self.endpoint, &format!("`{} …` failed", words.join(" ")))
    }
}

/// Advice on the privilege that a statement with this first word needs.
fn privilege(word: Option<&str>) -> Option<&'static str> {
    Some(match word? {
        "INSERT" => advice::PERMISSION_INSERT,
        "UPDATE" => advice::PERMISSION_UPDATE,
        "DELETE" => advice::PERMISSION_DELETE,
        "ALTER" | "SET" => advice::PERMISSION_ALTER,
        "LOCK" => advice::PERMISSION_LOCK,
        _ => return None,
    })
}

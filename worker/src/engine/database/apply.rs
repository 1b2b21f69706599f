//! Executes statements in a target, in one transaction. This is the only place
//! that writes to a database.

use std::collections::BTreeSet;

use shared::endpoint::Endpoint;
use shared::failure::{Failure, FailureKind};
use shared::identity::DatabaseIdentity;
use shared::outcome::{Sequence, TableStructure};

use crate::engine::database::dialect::Facts;
use crate::engine::database::guarded::ColumnNames;
use crate::engine::database::kinds::database;
use crate::engine::database::session::label::Access;
use crate::engine::database::session::{self, Session};
use crate::engine::database::structure::structure;
use crate::engine::error::{DatabaseError, advice};
use crate::engine::values::column::Table;

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

    /// Checks, before statements with these names are executed, that `names` are columns, and
    /// that `sequences` number columns of the table: the database would read another name
    /// as a call of a function.
    ///
    /// # Errors
    ///
    /// The first name that the catalog does not have, or what the database reports.
    pub async fn check_names(
        &mut self,
        (schema, table): (&str, &str),
        names: &ColumnNames,
        sequences: &[Sequence],
    ) -> Result<(), Failure> {
        let own = self.check_columns((schema, table), &names.own).await?;
        for ((schema, table), columns) in &names.of_guards {
            self.check_columns((schema, table), columns).await?;
        }
        if sequences.is_empty() {
            return Ok(());
        }
        let known = self.session.constraints(&own).await;
        let known = known.map_err(|error| self.failure(error, ""))?.sequences;
        match sequences.iter().find(|it| !known.contains(it)) {
            Some(Sequence { schema, name, .. }) => Err(self.unknown(&format!(
                "the sequence {schema}.{name} does not number rows of {}.{}",
                own.schema, own.name
            ))),
            None => Ok(()),
        }
    }

    async fn check_columns(
        &mut self,
        (schema, name): (&str, &str),
        columns: &BTreeSet<String>,
    ) -> Result<Table, Failure> {
        let found = self.session.find_tables(schema, name).await;
        let found = found.map_err(|error| self.failure(error, ""))?;
        let is_named = |it: &Table| it.schema == schema && it.name == name;
        let Some(table) = found.into_iter().find(is_named) else {
            return Err(self.unknown(&format!("the table {schema}.{name} does not exist")));
        };
        let is_known = |column: &String| table.columns.iter().any(|it| it.name == *column);
        match columns.iter().find(|column| !is_known(column)) {
            Some(column) => Err(self.unknown(&format!(
                "the table {schema}.{name} has no column `{column}`, which a script names"
            ))),
            None => Ok(table),
        }
    }

    fn unknown(&self, what: &str) -> Failure {
        Failure::new(
            FailureKind::TableChanged,
            format!(
                "{}: {what}; write the scripts again with `reconcile run --generate-repair`",
                self.endpoint.name
            ),
        )
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

    /// The structure of a table as the catalog has it now. `None` if there is no such table.
    ///
    /// # Errors
    ///
    /// If the catalog cannot be read.
    pub async fn structure(
        &mut self,
        schema: &str,
        table: &str,
    ) -> Result<Option<TableStructure>, Failure> {
        let what = format!("cannot describe {schema}.{table}");
        let failed = |error: DatabaseError| error.at(&self.endpoint, &what);
        let found = self.session.find_tables(schema, table).await;
        let mut found = found.map_err(failed)?.into_iter();
        let Some(found) = found.find(|it| it.schema == schema && it.name == table) else {
            return Ok(None);
        };
        let constraints = self.session.constraints(&found).await.map_err(failed)?;
        Ok(Some(structure(&found, &constraints)))
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

//! The store of runs: the settings of a run, how each of its tables ended, and
//! what a new coordinator needs to resume it.
//!
//! It is one SQLite database in the state directory. It contains names of
//! endpoints and tables, differing rows as the report lists them, and no secret.
//!
//! Transactions survive the end of the process, but not always a power failure
//! (WAL, `synchronous = NORMAL`). A resumed run repeats what is lost then; it
//! never treats it as done.

mod error;
mod lock;
mod read;
mod recorder;
mod schema;
mod stored_run;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, Params, Row, params};
use shared::ids::RunId;

use crate::run_state::{OpenTable, PlannedTable};

pub(crate) use error::StoreError;
pub(crate) use lock::RunLock;
pub use recorder::Recorder;
pub(crate) use stored_run::{
    LATEST, RunningTable, StoredRun, database_identity, schema_of_identity,
};
pub use stored_run::{StoredSettings, StoredSide, WorkerLocation};
pub use writer::RunWriter;

/// Runs that began more days ago are removed.
const KEPT_DAYS: i64 = 90;

/// Only so many runs are kept, the latest ones.
const KEPT_RUNS: u32 = 1_000;

const FILE: &str = "runs.db";

/// The store of runs.
#[derive(Debug)]
pub struct RunStore {
    directory: PathBuf,
    connection: Connection,
}

impl RunStore {
    /// Opens the store in `directory` and creates it if there is none.
    ///
    /// # Errors
    ///
    /// When the directory or the database cannot be created or written, or was
    /// written by a newer version.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        schema::create_private(directory, &path)
            .map_err(|reason| StoreError::Directory { path, reason })?;
        let store = Self::open_existing(directory)?;
        store.check_writable()?;
        Ok(store)
    }

    /// Opens the store in `directory` if there is one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn find(directory: &Path) -> Result<Option<Self>, StoreError> {
        if directory.join(FILE).exists() {
            Self::open_existing(directory).map(Some)
        } else {
            Ok(None)
        }
    }

    fn open_existing(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let connection = schema::connect(&path)?;
        Ok(Self {
            directory: directory.to_owned(),
            connection,
        })
    }

    /// The path of the database.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path();
        move |reason| StoreError::Database {
            path: path.clone(),
            reason,
        }
    }

    fn query<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = || {
            let mut statement = self.connection.prepare(sql)?;
            statement
                .query_map(parameters, read)?
                .collect::<Result<_, _>>()
        };
        rows().map_err(self.failed())
    }

    /// Reports an error before the run rather than during it.
    fn check_writable(&self) -> Result<(), StoreError> {
        self.connection
            .execute_batch("BEGIN IMMEDIATE; UPDATE runs SET id = id WHERE key = 0; COMMIT")
            .map_err(self.failed())
    }

    /// Stores a new run.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn create(
        &mut self,
        run: RunId,
        started_at: DateTime<Utc>,
        settings: &StoredSettings,
        tables: &[PlannedTable],
    ) -> Result<(), StoreError> {
        let failed = self.failed();
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction.execute(
                "INSERT INTO runs (id, started_at, settings, tables) VALUES (?1, ?2, ?3, ?4)",
                params![
                    run.to_string(),
                    stored_run::time_text(started_at),
                    stored_run::json(settings),
                    tables.len()
                ],
            )?;
            let key = transaction.last_insert_rowid();
            let mut insert = transaction.prepare(
                "INSERT INTO tables (run, position, planned, open) VALUES (?1, ?2, ?3, ?4)",
            )?;
            let open = stored_run::json(&OpenTable::default());
            for (position, table) in tables.iter().enumerate() {
                insert.execute(params![key, position, stored_run::json(table), open])?;
            }
            drop(insert);
            transaction.commit()
        };
        write(&mut self.connection).map_err(failed)
    }

    /// Removes runs that are too old or too many, and returns how many it removed.
    /// Runs that have not ended stay until they are too old.
    pub(crate) fn prune(&mut self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let oldest = stored_run::time_text(now - TimeDelta::days(KEPT_DAYS));
        let candidates: Vec<String> = self.query(
            "SELECT id FROM runs WHERE started_at < ?1 OR (finished_at IS NOT NULL AND key NOT IN \
             (SELECT key FROM runs ORDER BY started_at DESC, key DESC LIMIT ?2))",
            params![oldest, KEPT_RUNS],
            |row| row.get(0),
        )?;
        let mut removed = 0;
        for id in candidates {
            if let Ok(run) = id.parse() {
                if RunLock::is_held(&self.directory, run) {
                    continue;
                }
                RunLock::clean_up(&self.directory, run);
            }
            removed += self
                .connection
                .execute("DELETE FROM runs WHERE id = ?1", [id])
                .map_err(self.failed())?;
        }
        Ok(removed)
    }

    /// Asks the coordinator of a run to cancel it. The coordinator must use this store.
    pub(crate) fn ask_to_stop(&self, run: RunId) -> Result<(), StoreError> {
        self.connection
            .execute(
                "UPDATE runs SET stop_asked = 1 WHERE id = ?1 AND finished_at IS NULL",
                [run.to_string()],
            )
            .map(drop)
            .map_err(self.failed())
    }
}

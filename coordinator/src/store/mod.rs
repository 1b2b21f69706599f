//! The store of runs: what a run is, how each of its tables ended, and what a
//! new coordinator must know to go on when the old one is gone.
//!
//! One SQLite database in the state directory. It holds names of endpoints and
//! tables, differing rows as the report lists them, and no secret.
//!
//! Transactions survive the death of the process, not always a power failure
//! (WAL, `synchronous = NORMAL`): what is lost then is done again, never taken
//! for done.

mod error;
mod kept;
mod lock;
mod read;
mod recorder;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, params};
use shared::ids::RunId;

use crate::run_state::{OpenTable, PlannedTable};

pub use error::StoreError;
pub use kept::{
    Activity, Cancelling, KeptRun, KeptSettings, KeptSide, KeptTables, Place, Running, database_of,
};
pub use lock::RunLock;
pub use recorder::Recorder;
pub use writer::RunWriter;

/// Runs that began longer ago are removed.
pub const KEPT_DAYS: i64 = 90;

/// No more runs than this are kept, the latest.
pub const KEPT_RUNS: u32 = 1_000;

/// The database in the state directory.
pub const FILE: &str = "runs.db";

/// Where runs are kept.
#[derive(Debug)]
pub struct RunStore {
    directory: PathBuf,
    connection: Connection,
}

impl RunStore {
    /// Opens the store in `directory` and makes it if there is none.
    ///
    /// # Errors
    ///
    /// When the directory or the database cannot be made or written, or was
    /// made by a newer version.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        schema::make_private(directory, &path)
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

    /// The database.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// The state directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path();
        move |reason| StoreError::Database {
            path: path.clone(),
            reason,
        }
    }

    /// Fails now rather than in the middle of a run.
    fn check_writable(&self) -> Result<(), StoreError> {
        self.connection
            .execute_batch("BEGIN IMMEDIATE; UPDATE runs SET id = id WHERE key = 0; COMMIT")
            .map_err(self.failed())
    }

    /// Puts a new run into the store.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    ///
    /// # Panics
    ///
    /// Never: settings and tables serialise.
    pub fn create(
        &mut self,
        run: RunId,
        started_at: DateTime<Utc>,
        settings: &KeptSettings,
        tables: &[PlannedTable],
    ) -> Result<(), StoreError> {
        let failed = self.failed();
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction.execute(
                "INSERT INTO runs (id, started_at, settings, tables) VALUES (?1, ?2, ?3, ?4)",
                params![
                    run.to_string(),
                    kept::time_text(started_at),
                    kept::json(settings),
                    tables.len()
                ],
            )?;
            let key = transaction.last_insert_rowid();
            let mut insert = transaction.prepare(
                "INSERT INTO tables (run, position, planned, open) VALUES (?1, ?2, ?3, ?4)",
            )?;
            let open = kept::json(&OpenTable::default());
            for (position, table) in tables.iter().enumerate() {
                insert.execute(params![key, position, kept::json(table), open])?;
            }
            drop(insert);
            transaction.commit()
        };
        write(&mut self.connection).map_err(failed)
    }

    /// Removes runs that are too old or too many. Runs that have not finished
    /// stay until they are too old.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn prune(&mut self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let oldest = kept::time_text(now - TimeDelta::days(KEPT_DAYS));
        let candidates: Vec<String> = {
            let select = "SELECT id FROM runs WHERE started_at < ?1 OR (finished_at IS NOT NULL AND key NOT IN \
                          (SELECT key FROM runs ORDER BY started_at DESC, key DESC LIMIT ?2))";
            let read = || {
                let mut statement = self.connection.prepare(select)?;
                let rows = statement.query_map(params![oldest, KEPT_RUNS], |row| row.get(0))?;
                rows.collect::<rusqlite::Result<Vec<_>>>()
            };
            read().map_err(self.failed())?
        };
        let mut removed = 0;
        for id in candidates {
            if id
                .parse()
                .is_ok_and(|run| RunLock::is_held(&self.directory, run))
            {
                continue;
            }
            if let Ok(run) = id.parse() {
                RunLock::clean_up(&self.directory, run);
            }
            removed += self
                .connection
                .execute("DELETE FROM runs WHERE id = ?1", [id])
                .map_err(self.failed())?;
        }
        Ok(removed)
    }

    /// Asks the coordinator of a run, wherever it has this store, to end the run.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn ask_to_stop(&self, run: RunId) -> Result<(), StoreError> {
        self.connection
            .execute(
                "UPDATE runs SET stop_asked = 1 WHERE id = ?1 AND finished_at IS NULL",
                [run.to_string()],
            )
            .map(drop)
            .map_err(self.failed())
    }
}

//! The database: its file, its tables, its version.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::StoreError;

/// How long to wait for another process that has locked the database.
const BUSY: Duration = Duration::from_secs(5);

/// The version that this program writes (`user_version`).
pub(super) const VERSION: i64 = 2;

/// The statements that update a database by one version each, from version 0.
const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE runs (
        key         INTEGER PRIMARY KEY,
        id          TEXT NOT NULL UNIQUE,
        started_at  TEXT NOT NULL,              -- RFC 3339, UTC
        settings    TEXT NOT NULL,              -- JSON
        tables      INTEGER NOT NULL,
        cancelling  TEXT,                       -- JSON: why the run is being cancelled
        running     TEXT,                       -- JSON: the last snapshot of its running tables
        stop_asked  INTEGER NOT NULL DEFAULT 0, -- 1 when the user has asked to cancel it
        finished_at TEXT,                       -- RFC 3339, UTC
        ended       TEXT                        -- JSON: the summary of the report
    );
    CREATE INDEX runs_by_start ON runs (started_at);
    CREATE TABLE tables (
        run      INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
        position INTEGER NOT NULL,              -- in the list of the run, from 0
        planned  TEXT NOT NULL,                 -- JSON: what is compared
        open     TEXT,                          -- JSON: attempts so far, while it has not ended
        status   TEXT,                          -- how it ended
        record   TEXT,                          -- JSON: its final account
        PRIMARY KEY (run, position)
    );
",
    // JSON: the databases behind its endpoints, as its workers found them.
    "ALTER TABLE runs ADD COLUMN databases TEXT",
];

/// Creates the directory and an empty database that only this user can read,
/// because it will contain differing rows.
pub(super) fn create_private(directory: &Path, file: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)
        .map(drop)
}

/// Opens the existing database at `path` and updates it to this version.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let failed = |reason| StoreError::Database {
        path: path.to_owned(),
        reason,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let prepare = |connection: &Connection| {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "foreign_keys", true)
    };
    prepare(&connection).map_err(failed)?;
    let found = migrate(&mut connection).map_err(failed)?;
    if found > VERSION {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: VERSION,
        });
    }
    Ok(connection)
}

/// Returns the version that the database has afterwards.
fn migrate(connection: &mut Connection) -> rusqlite::Result<i64> {
    let version =
        |connection: &Connection| connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    let found: i64 = version(connection)?;
    if found >= VERSION {
        return Ok(found);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have updated it while this one waited.
    let found: i64 = version(&transaction)?;
    for step in MIGRATIONS
        .iter()
        .skip(usize::try_from(found).unwrap_or(usize::MAX))
    {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", found.max(VERSION))?;
    transaction.commit()?;
    Ok(found.max(VERSION))
}

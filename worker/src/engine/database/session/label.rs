//! What a session is for, and how it reads.

use std::time::Duration;

/// The longest that a statement waits for a lock.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// How one side was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// PostgreSQL: one snapshot for all statements.
    RepeatableRead,
    /// SQL Server: one snapshot for all statements.
    Snapshot,
    /// SQL Server without ALLOW_SNAPSHOT_ISOLATION: every row committed, but
    /// not all as of the same moment.
    ReadCommitted,
    /// SQL Server, on request: no locks, and rows that may never be committed.
    ReadUncommitted,
}

impl Isolation {
    pub(crate) fn level(self) -> &'static str {
        match self {
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Snapshot => "SNAPSHOT",
            Self::ReadCommitted => "READ COMMITTED",
            Self::ReadUncommitted => "READ UNCOMMITTED",
        }
    }
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Also on a replica.
    Read,
    /// On the server that is written to.
    ReadPrimary,
    Write,
}

/// What a session is for and how it reads. A DBA sees its name.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    /// The application's name, with run and table where the database lets it change.
    pub application: String,
    /// The longest that a statement may run.
    pub statement_timeout: Duration,
    /// Whether SQL Server is read without locks, and without consistency.
    pub read_uncommitted: bool,
}

impl Label {
    /// The longest that a statement waits for a lock, in milliseconds. It is
    /// shorter than the statement may run: a held lock is worth another
    /// attempt, a slow statement is not.
    pub(crate) fn lock_timeout_ms(&self) -> u128 {
        LOCK_TIMEOUT
            .min(self.statement_timeout / 2)
            .as_millis()
            .max(1)
    }
}

/// The number under which a database lists a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionId(pub(crate) i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    Idle,
    Running,
    /// The endpoint's user may not see it.
    NotVisible,
}

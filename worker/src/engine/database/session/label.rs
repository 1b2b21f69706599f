//! What a session is for, and how it reads.

use std::time::Duration;

/// The name of a session outside of a transaction.
pub(crate) const APPLICATION: &str = "reconcile";

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

/// How a database lists a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionId {
    /// Its number. A later session may have the same number; behind a pooler that shares
    /// sessions, the number that was read may be that of another client's.
    pub number: i64,
    /// The name that its transaction has, and no other session.
    pub name: String,
}

/// What distinguishes a session from others that read the same table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(u16);

impl Mark {
    /// The longest name in bytes: what PostgreSQL keeps of an application's name.
    const LONGEST: usize = 63;

    pub(crate) fn random() -> Self {
        Self(fastrand::u16(..))
    }

    /// The name of the session while it works for `application`, which is cut to fit.
    pub(crate) fn name(self, application: &str) -> String {
        let mark = format!(" #{:04x}", self.0);
        let mut end = application.len().min(Self::LONGEST - mark.len());
        while !application.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}{mark}", &application[..end])
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    Idle,
    Running,
    /// The endpoint's user may not see it.
    NotVisible,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_with_its_mark_and_fits_into_an_application_name() {
        let mark = Mark(0x0a3f);
        assert_eq!(mark.name("reconcile 1 dbo.t"), "reconcile 1 dbo.t #0a3f");
        let long = mark.name(&"reconcile é".repeat(20));
        assert!(long.ends_with(" #0a3f"), "{long}");
        assert!((62..=63).contains(&long.len()), "{long}");
    }
}

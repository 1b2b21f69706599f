//! The statements of one comparison that run in its databases.

use std::sync::{Arc, Mutex, MutexGuard};

use shared::outcome::OpenSession;

/// The sessions in which a statement of a comparison runs. A session is listed before its
/// statement begins, and until its database has confirmed that the statement ended. What is
/// still listed when the comparison has ended, in whatever way, may still run.
#[derive(Debug, Default)]
pub struct RunningStatements(Mutex<Listed>);

#[derive(Debug, Default)]
struct Listed {
    /// How many statements were listed so far.
    count: u64,
    sessions: Vec<(u64, OpenSession)>,
}

/// One listed statement. It stays listed if this is dropped.
#[derive(Debug)]
pub(crate) struct RunningStatement {
    of: Arc<RunningStatements>,
    number: u64,
}

impl RunningStatements {
    /// The sessions whose statements are not confirmed to have ended.
    #[must_use]
    pub fn unconfirmed(&self) -> Vec<OpenSession> {
        let listed = self.listed();
        let sessions = listed.sessions.iter();
        sessions.map(|(_, session)| session.clone()).collect()
    }

    pub(crate) fn list(self: &Arc<Self>, session: OpenSession) -> RunningStatement {
        let mut listed = self.listed();
        listed.count += 1;
        let number = listed.count;
        listed.sessions.push((number, session));
        RunningStatement {
            of: Arc::clone(self),
            number,
        }
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.0.lock().expect("no panic while the lock is held")
    }
}

impl RunningStatement {
    /// The database has confirmed the end of the statement.
    pub(crate) fn ended(self) {
        let mut listed = self.of.listed();
        listed.sessions.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_listed_until_its_end_is_confirmed() {
        let running = Arc::new(RunningStatements::default());
        let session = |number| OpenSession {
            endpoint: "source".to_owned(),
            number,
            name: format!("reconcile #{number}"),
        };
        let first = running.list(session(1));
        drop(running.list(session(2)));
        // The same session again: each statement is one of its own.
        let again = running.list(session(1));
        again.ended();
        assert_eq!(running.unconfirmed(), [session(1), session(2)]);
        first.ended();
        assert_eq!(running.unconfirmed(), [session(2)]);
    }
}

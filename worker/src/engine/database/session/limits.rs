//! Time limits of sessions, and how a lost connection is noticed.

use std::time::Duration;

use crate::engine::error::DatabaseError;

/// The oldest that a session may be when a table begins to use it.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// How long a session that was idle may take to begin a transaction. Firewalls and proxies forget
/// idle connections without a sign; a new connection costs less than a longer wait.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_secs(2);

/// How long the database may take to answer what needs no work: to end a transaction that only
/// read.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long the driver may take to report the end of an interrupted statement.
pub(crate) const INTERRUPT_LIMIT: Duration = Duration::from_secs(2);

/// How often and how long TCP asks whether the other end is still there, while a statement runs
/// that sends nothing. It also keeps firewalls from forgetting the connection.
#[derive(Debug)]
pub(crate) struct Keepalive {
    /// How long nothing has come before the first question.
    pub idle: Duration,
    /// Between questions.
    pub interval: Duration,
    /// How many remain unanswered before the connection counts as lost.
    pub retries: u32,
    /// How long sent bytes may remain unacknowledged before the connection counts as lost.
    pub unacknowledged: Duration,
}

pub(crate) const KEEPALIVE: Keepalive = Keepalive {
    idle: Duration::from_secs(30),
    interval: Duration::from_secs(10),
    retries: 3,
    unacknowledged: Duration::from_secs(60),
};

/// `work` if it ends within the limit.
///
/// # Errors
///
/// [`DatabaseError::Unanswered`] if it does not.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    let ended = tokio::time::timeout(limit, work).await;
    ended.unwrap_or(Err(DatabaseError::Unanswered(limit)))
}

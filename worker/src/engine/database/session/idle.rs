//! Waits until a database has confirmed, over another connection, that a
//! session runs no statement. A cancel request has no answer of its own, and
//! the server may go on after a connection was cut.

use std::time::{Duration, Instant};

use shared::endpoint::Endpoint;

use crate::engine::database::kinds::database;
use crate::engine::database::session::Session;
use crate::engine::database::session::label::{Access, Activity, SessionId};
use crate::engine::database::session::limits::within;
use crate::engine::error::DatabaseError;

/// How long a statement may go on after it was cancelled before its session is
/// terminated, and as long again after that.
const GRACE: Duration = Duration::from_secs(3);

/// The longest that all polls together may take: both times of grace, and answers.
const LIMIT: Duration = Duration::from_secs(10);

/// Time between two polls.
const PERIOD: Duration = Duration::from_millis(20);

/// Polls until the session runs nothing. A session that goes on is terminated
/// where the database lets its user do that. Takes at most the time to connect and
/// [`LIMIT`].
pub(crate) async fn wait_until_idle(
    endpoint: &Endpoint,
    id: &SessionId,
) -> Result<Activity, DatabaseError> {
    let session = database(endpoint.kind).open(endpoint, Access::Read).await?;
    within(LIMIT, poll(session, id)).await
}

async fn poll(mut session: Box<dyn Session>, id: &SessionId) -> Result<Activity, DatabaseError> {
    let mut start = Instant::now();
    let mut terminated = false;
    loop {
        match session.activity(id).await? {
            Activity::Running if start.elapsed() < GRACE => tokio::time::sleep(PERIOD).await,
            Activity::Running if !terminated => {
                session.terminate(id).await?;
                (terminated, start) = (true, Instant::now());
            }
            activity => return Ok(activity),
        }
    }
}

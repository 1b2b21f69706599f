//! Asks a database, over another connection, whether a session of ours still
//! runs a statement. A cancel request has no answer of its own, and a cut
//! connection tells nothing.

use std::time::{Duration, Instant};

use shared::endpoint::Endpoint;

use crate::engine::database::session::Session;
use crate::engine::database::session::label::SessionId;
use crate::engine::error::DatabaseError;

/// How long a statement may go on after it was asked to stop, before its
/// session is ended by force, and as long again after that.
const PATIENCE: Duration = Duration::from_secs(3);

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(20);

/// Whether a session is known to run nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quiet {
    /// The database says so.
    Confirmed,
    /// The database says that a statement still runs.
    StillRunning,
    /// The endpoint's user may not see it.
    NotVisible,
}

/// Polls until the session runs nothing. A PostgreSQL session that goes on is
/// terminated.
///
/// # Errors
///
/// When the database cannot be asked.
pub(crate) async fn wait_until_quiet(
    endpoint: &Endpoint,
    id: SessionId,
) -> Result<Quiet, DatabaseError> {
    let mut session = Session::connect(endpoint).await?;
    let mut start = Instant::now();
    let mut forced = false;
    loop {
        match look(&mut session, id).await? {
            Quiet::StillRunning if start.elapsed() < PATIENCE => tokio::time::sleep(PERIOD).await,
            Quiet::StillRunning if !forced => {
                terminate(&mut session, id).await?;
                (forced, start) = (true, Instant::now());
            }
            answer => return Ok(answer),
        }
    }
}

async fn look(session: &mut Session, id: SessionId) -> Result<Quiet, DatabaseError> {
    let running = match (session, id) {
        (Session::Postgres(session), SessionId::Postgres(pid)) => {
            let statement = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE pid = $1 AND usename = current_user AND state <> 'idle'";
            session
                .client()
                .query_one(statement, &[&pid])
                .await?
                .try_get::<_, i64>(0)?
        }
        (Session::SqlServer(session), SessionId::SqlServer(spid)) => {
            // Without VIEW SERVER STATE a login sees its own session only.
            let statement = format!(
                "SELECT COUNT(*) FROM sys.dm_exec_requests WHERE session_id = {spid}; SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE')"
            );
            let results = session
                .client()
                .simple_query(statement)
                .await?
                .into_results()
                .await?;
            let number = |at: usize| {
                results
                    .get(at)
                    .and_then(|rows| rows.first())
                    .and_then(|row| row.get::<i32, _>(0))
            };
            if number(1) != Some(1) {
                return Ok(Quiet::NotVisible);
            }
            number(0).unwrap_or_default().into()
        }
        _ => return Ok(Quiet::NotVisible),
    };
    Ok(if running == 0 {
        Quiet::Confirmed
    } else {
        Quiet::StillRunning
    })
}

async fn terminate(session: &mut Session, id: SessionId) -> Result<(), DatabaseError> {
    if let (Session::Postgres(session), SessionId::Postgres(pid)) = (session, id) {
        session
            .client()
            .query("SELECT pg_catalog.pg_terminate_backend($1)", &[&pid])
            .await?;
    }
    Ok(())
}

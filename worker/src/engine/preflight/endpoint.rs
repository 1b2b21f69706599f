//! The check of an endpoint: connects, begins a transaction as a run does, and reads what the
//! server says of itself.

use std::time::Duration;

use chrono::Utc;
use shared::endpoint::{Endpoint, TlsMode};
use shared::endpoint_state::EndpointState;
use shared::failure::Failure;

use crate::engine::database::kinds::database;
use crate::engine::database::session::label::{Access, Isolation, Label};
use crate::engine::database::session::limits::{ANSWER_LIMIT, within};
use crate::engine::error::DatabaseError;

/// The fewest sessions that a process may open with an endpoint: both sides of a table may use it.
const FEWEST_SESSIONS: u32 = 2;

/// Checks an endpoint for a process that compares `concurrency` tables at the same time.
///
/// # Errors
///
/// When the endpoint cannot be reached, refuses the login or its state cannot be read.
pub async fn check_endpoint(
    endpoint: &Endpoint,
    concurrency: u32,
) -> Result<EndpointState, Failure> {
    let failed = |error: DatabaseError| error.without_connection(endpoint);
    let mut session = database(endpoint.kind)
        .open(endpoint, Access::Read)
        .await
        .map_err(failed)?;
    let label = Label {
        application: "reconcile check".to_owned(),
        statement_timeout: Duration::from_secs(30),
        read_uncommitted: false,
    };
    let begun = within(endpoint.connect_timeout, session.begin(&label)).await;
    let isolation = begun.map_err(failed)?;
    let unreadable = |error: DatabaseError| error.at(endpoint, "cannot read the server's state");
    // The first statement may have to be compiled, which would count as a difference of clocks.
    within(ANSWER_LIMIT, session.server_state())
        .await
        .map_err(unreadable)?;
    let before = Utc::now();
    let state = within(ANSWER_LIMIT, session.server_state()).await;
    let round_trip = Utc::now() - before;
    let state = state.map_err(unreadable)?;
    let half = round_trip / 2;
    let ahead = state.now - (before + half);
    let identity = session.identity().clone();
    // The connection closes either way.
    if let Err(error) = within(ANSWER_LIMIT, session.end()).await {
        tracing::debug!(endpoint = endpoint.name, %error, "a session was lost at the end of a check");
    }
    Ok(EndpointState {
        database: identity,
        oldest_supported: state.oldest_supported.map(str::to_owned),
        isolation: isolation.level().to_owned(),
        is_consistent: matches!(isolation, Isolation::RepeatableRead | Isolation::Snapshot),
        is_encrypted: state.is_encrypted.or(match endpoint.tls.mode {
            TlsMode::Off => Some(false),
            TlsMode::Require | TlsMode::Strict => Some(true),
            TlsMode::Prefer => None,
        }),
        is_replica: state.is_replica,
        max_sessions: state.sessions.most,
        open_sessions: state.sessions.open,
        own_sessions: endpoint.max_connections.map_or(concurrency, |most| {
            concurrency.min(most.max(FEWEST_SESSIONS))
        }),
        clock_ahead_ms: ahead.num_milliseconds(),
        clock_error_ms: u64::try_from(half.num_milliseconds()).unwrap_or(0) + 1,
    })
}

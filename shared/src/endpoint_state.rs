//! What a process finds out about the database of an endpoint before a run.

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::identity::DatabaseIdentity;

/// A database as one process sees it over one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointState {
    /// Which database it is, on which server.
    pub database: DatabaseIdentity,
    /// The oldest version that is supported, if the server's is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_supported: Option<String>,
    /// The isolation level under which its tables are read: `SNAPSHOT`.
    pub isolation: String,
    /// Whether all statements of a transaction see the same data under that level.
    pub is_consistent: bool,
    /// Whether the connection is encrypted; `None` if the user may not see it.
    pub is_encrypted: Option<bool>,
    /// Whether it is a copy that cannot be written to and may lag behind.
    pub is_replica: bool,
    /// The most sessions that the server, the database or the user may have, whichever leaves
    /// fewer for this process; `None` if the user may not see it.
    pub max_sessions: Option<u64>,
    /// How many of these are open, with the one of this check; `None` if the user may not see it.
    pub open_sessions: Option<u64>,
    /// The most sessions that this process opens during a run, for one side of its tables.
    pub own_sessions: u32,
    /// Milliseconds by which the server's clock is ahead of this host's; negative: behind.
    pub clock_ahead_ms: i64,
    /// How far `clock_ahead_ms` may be wrong, in milliseconds: half of the round trip.
    pub clock_error_ms: u64,
}

/// How the check of an endpoint ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointCheck {
    /// The database answered.
    Reached(Box<EndpointState>),
    /// There is no connection.
    Failed(Failure),
}

impl From<Result<EndpointState, Failure>> for EndpointCheck {
    fn from(result: Result<EndpointState, Failure>) -> Self {
        match result {
            Ok(state) => Self::Reached(Box::new(state)),
            Err(failure) => Self::Failed(failure),
        }
    }
}

/// An endpoint as a process has checked it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedEndpoint {
    /// Its name in the configuration of the process.
    pub endpoint: String,
    /// How the check ended.
    pub check: EndpointCheck,
}

/// The answer of a worker to the request to check endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedEndpoints {
    /// The number of the request.
    pub request: u64,
    /// The endpoints, in the order of the request.
    pub endpoints: Vec<CheckedEndpoint>,
}

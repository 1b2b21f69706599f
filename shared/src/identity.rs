//! Which database an endpoint leads to.

use serde::{Deserialize, Serialize};

use crate::endpoint::DatabaseKind;

/// A database as a worker finds it behind an endpoint. It contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseIdentity {
    /// The endpoint's name in the configuration.
    pub endpoint: String,
    /// The kind of the database.
    pub kind: DatabaseKind,
    /// The server's version as it reports it, in short: `16.0.4105.2`, `15.18`.
    pub version: String,
    /// The host that the endpoint names.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database's name.
    pub database: String,
    /// The user of the session.
    pub user: String,
    /// What no other database has, as far as the user may see it: for PostgreSQL the system
    /// identifier and the database's oid, for SQL Server the server's name and the database's
    /// GUID or creation date.
    pub id: String,
}

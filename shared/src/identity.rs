//! Which database an endpoint leads to.

use std::fmt;

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

impl DatabaseIdentity {
    /// Whether both are the same database. The endpoint, the host, the user and the version may
    /// differ: a server has several names, and its replicas have versions of their own.
    #[must_use]
    pub fn is_same_database(&self, other: &Self) -> bool {
        self.kind == other.kind && self.id == other.id
    }
}

impl fmt::Display for DatabaseIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            version,
            host,
            port,
            database,
            user,
            id,
            endpoint: _,
        } = self;
        write!(
            f,
            "{kind} {version}, database `{database}` at {host}:{port} as {user} ({id})"
        )
    }
}

/// Why `found` is not the same as `expected`; `None` if no endpoint that both name leads to
/// different databases.
#[must_use]
pub fn contradiction(found: &[DatabaseIdentity], expected: &[DatabaseIdentity]) -> Option<String> {
    found.iter().find_map(|found| {
        let expected = expected
            .iter()
            .find(|expected| expected.endpoint == found.endpoint)?;
        (!found.is_same_database(expected)).then(|| {
            format!(
                "its endpoint `{}` is {found}, and the run compares {expected}",
                found.endpoint
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(endpoint: &str, host: &str, id: &str) -> DatabaseIdentity {
        DatabaseIdentity {
            endpoint: endpoint.to_owned(),
            kind: DatabaseKind::Postgres,
            version: "15.8".to_owned(),
            host: host.to_owned(),
            port: 5432,
            database: "shop".to_owned(),
            user: "reader".to_owned(),
            id: id.to_owned(),
        }
    }

    #[test]
    fn only_the_same_endpoint_with_another_database_is_a_contradiction() {
        let run = [
            database("source", "a", "system 1, oid 5"),
            database("target", "b", "system 2, oid 5"),
        ];
        assert_eq!(contradiction(&run, &run), None);
        let replica = [database("target", "replica", "system 2, oid 5")];
        assert_eq!(contradiction(&replica, &run), None);
        assert_eq!(contradiction(&[], &run), None);
        let third = [database("third", "c", "system 3, oid 5")];
        assert_eq!(contradiction(&third, &run), None);
        let wrong = [run[0].clone(), database("target", "b", "system 2, oid 6")];
        let message = contradiction(&wrong, &run).unwrap();
        assert!(message.contains("`target`"), "{message}");
        assert!(
            message.contains("oid 6") && message.contains("oid 5"),
            "{message}"
        );
        let other_kind = DatabaseIdentity {
            kind: DatabaseKind::SqlServer,
            ..run[0].clone()
        };
        assert!(contradiction(&[other_kind], &run).is_some());
    }
}

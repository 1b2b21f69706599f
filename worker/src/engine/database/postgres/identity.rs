//! Which PostgreSQL database a connection leads to.

use shared::endpoint::Endpoint;
use shared::identity::DatabaseIdentity;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::engine::error::DatabaseError;

/// What every user may read.
const READABLE: &str = "pg_catalog.current_setting('server_version'), d.datname, current_user, d.oid \
    FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()";

/// The number that `initdb` draws for a cluster and that its physical copies keep. Every user may
/// call the function unless an administrator has revoked that.
const SYSTEM_IDENTIFIER: &str = "(SELECT system_identifier FROM pg_catalog.pg_control_system())";

/// Reads the identity, in one round trip where the system identifier may be read.
pub(super) async fn read(
    client: &Client,
    endpoint: &Endpoint,
) -> Result<DatabaseIdentity, DatabaseError> {
    let row = match first_row(client, SYSTEM_IDENTIFIER).await {
        Ok(row) => row,
        Err(error) => {
            tracing::debug!(endpoint = endpoint.name, %error, "the system identifier cannot be read");
            first_row(client, "NULL").await?
        }
    };
    let text = |column: usize| -> Result<String, DatabaseError> {
        let value = row.try_get(column)?;
        Ok(value.ok_or_else(|| absent("a value"))?.to_owned())
    };
    let (database, oid) = (text(2)?, text(4)?);
    let id = match row.try_get(0)? {
        Some(system) => format!("system identifier {system}, database oid {oid}"),
        None => format!("database `{database}` with oid {oid}, system identifier not readable"),
    };
    Ok(DatabaseIdentity {
        endpoint: endpoint.name.clone(),
        kind: endpoint.kind,
        // Packagers append their own version: `15.18 (Debian 15.18-0+deb12u1)`.
        version: text(1)?.split(' ').next().unwrap_or_default().to_owned(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        database,
        user: text(3)?,
        id,
    })
}

async fn first_row(client: &Client, system: &str) -> Result<SimpleQueryRow, DatabaseError> {
    let messages = client
        .simple_query(&format!("SELECT {system}, {READABLE}"))
        .await?;
    let mut rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    match (rows.next(), rows.next()) {
        (Some(row), None) => Ok(row),
        _ => Err(absent("exactly one row")),
    }
}

fn absent(what: &str) -> DatabaseError {
    DatabaseError::Malformed(format!(
        "pg_database has not {what} of the current database"
    ))
}

//! Which SQL Server database a connection leads to.

use chrono::NaiveDateTime;
use shared::endpoint::Endpoint;
use shared::identity::DatabaseIdentity;
use tiberius::Row;
use uuid::Uuid;

use crate::engine::database::sql_server::connection::Connection;
use crate::engine::error::DatabaseError;

/// What every login may read, whatever its permissions. The row of the own database is absent only
/// if VIEW ANY DATABASE was denied.
const SESSION: &str = "SELECT CONVERT(nvarchar(128), SERVERPROPERTY('ServerName')), \
    CONVERT(nvarchar(128), SERVERPROPERTY('ProductVersion')), DB_NAME(), ORIGINAL_LOGIN()";

/// `DB_ID()` need not be the `database_id` of this view in Azure SQL Database.
const DATABASE: &str = "SELECT service_broker_guid, create_date, group_database_id \
    FROM sys.databases WHERE name = DB_NAME()";

/// Reads the identity in one round trip.
pub(super) async fn read(
    client: &mut Connection,
    endpoint: &Endpoint,
) -> Result<DatabaseIdentity, DatabaseError> {
    let results = client
        .simple_query(format!("{SESSION}; {DATABASE}"))
        .await?
        .into_results()
        .await?;
    let first = |result: usize| results.get(result).and_then(|rows| rows.first());
    let text = |column: usize| -> Result<String, DatabaseError> {
        let value = first(0).map(|row| row.try_get::<&str, _>(column));
        Ok(value.transpose()?.flatten().unwrap_or_default().to_owned())
    };
    let (server, database) = (text(0)?, text(2)?);
    Ok(DatabaseIdentity {
        endpoint: endpoint.name.clone(),
        kind: endpoint.kind,
        version: text(1)?,
        host: endpoint.host.clone(),
        port: endpoint.port,
        user: text(3)?,
        id: id(&server, &database, first(1))?,
        database,
    })
}

/// The replicas of an availability group share the group's identifier of the database, and have
/// servers and creation dates of their own.
fn id(server: &str, database: &str, row: Option<&Row>) -> Result<String, DatabaseError> {
    let Some(row) = row else {
        return Ok(format!("server {server}, database `{database}`"));
    };
    if let Some(group) = row.try_get::<Uuid, _>(2)? {
        return Ok(format!("availability group database {group}"));
    }
    let guid = row.try_get::<Uuid, _>(0)?.unwrap_or_default();
    let created = row.try_get::<NaiveDateTime, _>(1)?.unwrap_or_default();
    Ok(format!(
        "server {server}, database {guid} of {}",
        created.format("%Y-%m-%dT%H:%M:%S%.3f")
    ))
}

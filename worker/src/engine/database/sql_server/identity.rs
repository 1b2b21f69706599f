//! Which SQL Server database a connection leads to.

use chrono::NaiveDateTime;
use shared::endpoint::Endpoint;
use shared::identity::DatabaseIdentity;
use tiberius::Row;
use uuid::Uuid;

use crate::engine::database::sql_server::answer::{
    only_row, optional, optional_row, required, results, text,
};
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
    let statements = format!("{SESSION}; {DATABASE}");
    let [session, databases] = results(client.simple_query(statements).await?).await?;
    let session = only_row(&session)?;
    let (server, database) = (text(session, 0)?, text(session, 2)?);
    Ok(DatabaseIdentity {
        endpoint: endpoint.name.clone(),
        kind: endpoint.kind,
        version: text(session, 1)?,
        host: endpoint.host.clone(),
        port: endpoint.port,
        user: text(session, 3)?,
        id: id(&server, &database, optional_row(&databases)?)?,
        database,
    })
}

/// The replicas of an availability group share the group's identifier of the database, and have
/// servers and creation dates of their own.
fn id(server: &str, database: &str, row: Option<&Row>) -> Result<String, DatabaseError> {
    let Some(row) = row else {
        return Ok(format!("server {server}, database `{database}`"));
    };
    if let Some(group) = optional::<Uuid>(row, 2)? {
        return Ok(format!("availability group database {group}"));
    }
    let guid = optional::<Uuid>(row, 0)?.unwrap_or_default();
    let created: NaiveDateTime = required(row, 1)?;
    Ok(format!(
        "server {server}, database {guid} of {}",
        created.format("%Y-%m-%dT%H:%M:%S%.3f")
    ))
}

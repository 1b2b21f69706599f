//! The state of a SQL Server.

use chrono::NaiveDateTime;

use crate::engine::database::server_state::{ServerState, SessionLimit};
use crate::engine::database::sql_server::answer::{only_row, optional, required, results, text};
use crate::engine::database::sql_server::connection::Connection;
use crate::engine::error::DatabaseError;

/// The major number of SQL Server 2016.
const OLDEST: (u32, &str) = (13, "2016");

/// The editions that a user installs, by `SERVERPROPERTY('EngineEdition')`: Standard, Enterprise
/// and Express. The versions of Azure's services do not grow with their abilities.
const INSTALLED: [i32; 3] = [2, 3, 4];

/// What every login may read. How many sessions are open needs VIEW SERVER STATE, and whether this
/// one is encrypted too.
const STATE: &str = "\
SELECT CONVERT(nvarchar(128), SERVERPROPERTY('ProductVersion')), \
       CONVERT(int, SERVERPROPERTY('EngineEdition')), \
       CAST(@@MAX_CONNECTIONS AS int), \
       CONVERT(nvarchar(128), DATABASEPROPERTYEX(DB_NAME(), 'Updateability')), \
       SYSUTCDATETIME()";

pub(crate) async fn read(client: &mut Connection) -> Result<ServerState, DatabaseError> {
    let [rows] = results(client.simple_query(STATE).await?).await?;
    let row = only_row(&rows)?;
    let (version, edition) = (text(row, 0)?, optional::<i32>(row, 1)?);
    let most: i32 = required(row, 2)?;
    let updateability: Option<&str> = optional(row, 3)?;
    let now: NaiveDateTime = required(row, 4)?;
    Ok(ServerState {
        oldest_supported: is_older(&version, edition).then_some(OLDEST.1),
        is_encrypted: None,
        is_replica: updateability == Some("READ_ONLY"),
        sessions: SessionLimit {
            most: u64::try_from(most).ok(),
            open: None,
        },
        now: now.and_utc(),
    })
}

fn is_older(version: &str, edition: Option<i32>) -> bool {
    let major = version.split('.').next().and_then(|it| it.parse().ok());
    edition.is_some_and(|edition| INSTALLED.contains(&edition))
        && major.is_some_and(|major: u32| major < OLDEST.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_installed_server_has_a_version_that_is_too_old() {
        assert!(is_older("12.0.6164.21", Some(3)));
        assert!(!is_older("13.0.1601.5", Some(2)));
        // Azure SQL Database and Managed Instance call themselves 12.
        assert!(!is_older("12.0.2000.8", Some(5)));
        assert!(!is_older("12.0.2000.8", Some(8)));
        assert!(!is_older("12.0.6164.21", None));
    }
}

//! The state of a PostgreSQL server.

use chrono::DateTime;
use tokio_postgres::Client;

use crate::engine::database::server_state::{ServerState, SessionLimit};
use crate::engine::error::DatabaseError;

/// The oldest supported version as the server numbers it, and as users know it.
const OLDEST: (i32, &str) = (110_000, "11");

/// Every user may read this. Limits of databases and users do not concern superusers; -1 is no
/// limit.
const STATE: &str = "\
SELECT pg_catalog.current_setting('server_version_num')::int4, \
       (SELECT s.ssl FROM pg_catalog.pg_stat_ssl AS s WHERE s.pid = pg_catalog.pg_backend_pid()), \
       pg_catalog.pg_is_in_recovery(), \
       (EXTRACT(EPOCH FROM pg_catalog.clock_timestamp()) * 1000000)::int8, \
       pg_catalog.current_setting('max_connections')::int8 - pg_catalog.current_setting('superuser_reserved_connections')::int8, \
       (SELECT sum(s.numbackends)::int8 FROM pg_catalog.pg_stat_database AS s), \
       CASE WHEN r.rolsuper THEN -1 ELSE d.datconnlimit END::int8, \
       (SELECT s.numbackends FROM pg_catalog.pg_stat_database AS s WHERE s.datid = d.oid)::int8, \
       CASE WHEN r.rolsuper THEN -1 ELSE r.rolconnlimit END::int8, \
       (SELECT count(*) FROM pg_catalog.pg_stat_activity AS a WHERE a.usesysid = r.oid) \
FROM pg_catalog.pg_database AS d, pg_catalog.pg_roles AS r \
WHERE d.datname = pg_catalog.current_database() AND r.rolname = current_user";

pub(crate) async fn read(client: &Client) -> Result<ServerState, DatabaseError> {
    let row = client.query_one(STATE, &[]).await?;
    let version: i32 = row.try_get(0)?;
    let micros: i64 = row.try_get(3)?;
    let now = DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| DatabaseError::Malformed(format!("{micros} µs is no time of a clock")))?;
    let number = |at: usize| -> Result<i64, DatabaseError> {
        Ok(row.try_get::<_, Option<i64>>(at)?.unwrap_or_default())
    };
    let limits = [
        (number(4)?, number(5)?),
        (number(6)?, number(7)?),
        (number(8)?, number(9)?),
    ];
    Ok(ServerState {
        oldest_supported: (version < OLDEST.0).then_some(OLDEST.1),
        is_encrypted: row.try_get(1)?,
        is_replica: row.try_get(2)?,
        sessions: SessionLimit::tightest(limits),
        now,
    })
}

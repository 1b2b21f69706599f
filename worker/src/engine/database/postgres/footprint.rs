//! Size and readable columns of a PostgreSQL table.

use tokio_postgres::Client;

use crate::engine::database::footprint::Footprint;
use crate::engine::database::postgres::hold::oid;
use crate::engine::error::DatabaseError;
use crate::engine::values::column::Table;

/// Rows, bytes and unreadable columns of the table `$1` with its children and partitions.
///
/// The rows are estimated as the planner does it: the rows of a page at the last ANALYZE, times
/// the pages of today. A table that has pages and was never analyzed has no estimate.
const FOOTPRINT: &str = "\
WITH RECURSIVE parts (oid) AS ( \
  SELECT $1::oid \
  UNION \
  SELECT i.inhrelid FROM parts JOIN pg_catalog.pg_inherits AS i ON i.inhparent = parts.oid), \
sizes (rows, bytes) AS ( \
  SELECT CASE WHEN s.pages = 0 THEN 0 \
              WHEN c.relpages > 0 AND c.reltuples >= 0 THEN c.reltuples::float8 / c.relpages * s.pages END, \
         pg_catalog.pg_table_size(c.oid) \
  FROM parts JOIN pg_catalog.pg_class AS c ON c.oid = parts.oid \
  CROSS JOIN LATERAL (SELECT pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int8) AS s (pages) \
  WHERE c.relkind IN ('r', 'm')) \
SELECT (SELECT CASE WHEN bool_and(rows IS NOT NULL) THEN round(sum(rows))::int8 END FROM sizes), \
       (SELECT sum(bytes)::int8 FROM sizes), \
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a \
             WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped \
               AND NOT pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT') ORDER BY a.attnum)";

pub(crate) async fn read(client: &Client, table: &Table) -> Result<Footprint, DatabaseError> {
    let row = client.query_one(FOOTPRINT, &[&oid(table)?]).await?;
    let number = |number: Option<i64>| number.and_then(|it| u64::try_from(it).ok());
    Ok(Footprint {
        rows: number(row.try_get(0)?),
        bytes: number(row.try_get(1)?),
        unreadable: row.try_get(2)?,
    })
}

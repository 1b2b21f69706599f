//! Size and readable columns of a table of SQL Server.

use tiberius::{Row, ToSql};

use crate::engine::database::footprint::Footprint;
use crate::engine::database::sql_server::answer::{malformed, only_row, optional, text};
use crate::engine::database::sql_server::catalog::query_rows;
use crate::engine::database::sql_server::connection::Connection;
use crate::engine::error::DatabaseError;
use crate::engine::values::column::Table;

/// Bytes of a page.
const PAGE: u64 = 8192;

/// The pages of the heap or the clustered index with its large values. Every user may read this of
/// tables that the user may see; the dynamic management views need VIEW DATABASE STATE. A unit of
/// type 2 (large values) belongs to the partition, the others to the heap or index of it.
const PAGES: &str = "\
SELECT CAST(SUM(a.used_pages) AS bigint) \
FROM sys.partitions AS p JOIN sys.allocation_units AS a \
  ON (a.type = 2 AND a.container_id = p.partition_id) OR (a.type <> 2 AND a.container_id = p.hobt_id) \
WHERE p.object_id = @P1 AND p.index_id IN (0, 1)";

/// The columns that the user may not read.
const UNREADABLE: &str = "\
SELECT c.name FROM sys.columns AS c \
JOIN sys.objects AS o ON o.object_id = c.object_id JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
WHERE c.object_id = @P1 \
  AND HAS_PERMS_BY_NAME(QUOTENAME(s.name) + '.' + QUOTENAME(o.name), 'OBJECT', 'SELECT', c.name, 'COLUMN') = 0 \
ORDER BY c.column_id";

pub(crate) async fn read(
    client: &mut Connection,
    table: &Table,
) -> Result<Footprint, DatabaseError> {
    let object = i32::try_from(table.object)
        .map_err(|_| malformed(&format!("{} is no object_id", table.object)))?;
    let object: &[&dyn ToSql] = &[&object];
    let pages = query_rows(client, PAGES, object).await?;
    let pages: Option<i64> = optional(only_row(&pages)?, 0)?;
    let unreadable = query_rows(client, UNREADABLE, object).await?;
    let name = |row: &Row| text(row, 0);
    Ok(Footprint {
        rows: table.estimated_rows,
        bytes: pages
            .and_then(|pages| u64::try_from(pages).ok())
            .map(|pages| pages.saturating_mul(PAGE)),
        unreadable: unreadable.iter().map(name).collect::<Result<_, _>>()?,
    })
}

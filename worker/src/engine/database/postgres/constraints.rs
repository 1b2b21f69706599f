//! What PostgreSQL's catalog says about writing to a table.

use shared::outcome::{ForeignKey, Sequence};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use crate::engine::database::constraints::Constraints;
use crate::engine::error::DatabaseError;
use crate::engine::values::column::Table;

const KIND: &str = "\
SELECT c.relkind IN ('v', 'm'), c.relkind <> 'p' AND EXISTS (SELECT 1 FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = c.oid) \
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
WHERE n.nspname = $1 AND c.relname = $2";

const COLUMNS: &str = "\
SELECT a.attname::text, a.attidentity::text, a.attgenerated::text \
FROM pg_catalog.pg_attribute AS a \
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid \
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped \
  AND (a.attidentity <> '' OR a.attgenerated <> '')";

/// Of identity columns (`i`) and of `serial` ones (`a`).
const SEQUENCES: &str = "\
SELECT a.attname::text, sn.nspname::text, s.relname::text, q.seqincrement > 0 \
FROM pg_catalog.pg_depend AS d \
JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = d.objid \
JOIN pg_catalog.pg_class AS s ON s.oid = q.seqrelid \
JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.relnamespace \
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid \
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass \
  AND d.deptype IN ('a', 'i') AND n.nspname = $1 AND c.relname = $2 \
  AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) ORDER BY a.attnum, s.relname";

const KEYS: &str = "\
SELECT k.conname::text, pn.nspname::text, p.relname::text, k.condeferrable, \
  ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place) \
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place) \
FROM pg_catalog.pg_constraint AS k \
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid \
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
JOIN pg_catalog.pg_class AS p ON p.oid = k.confrelid \
JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace \
WHERE k.contype = 'f' AND n.nspname = $1 AND c.relname = $2 \
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS up WHERE up.oid = k.conparentid AND up.conrelid = k.conrelid) ORDER BY 1";

/// Those of the table and of its partitions. Those that act have CASCADE, SET NULL or SET DEFAULT.
const DEPENDENTS: &str = "\
WITH RECURSIVE parts (oid) AS ( \
  SELECT c.oid FROM pg_catalog.pg_class AS c \
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
  UNION \
  SELECT h.inhrelid FROM parts JOIN pg_catalog.pg_inherits AS h ON h.inhparent = parts.oid) \
SELECT k.oid::int8, cn.nspname::text, c.relname::text, a.attname::text, pa.attname::text, \
  k.confdeltype IN ('c', 'n', 'd'), k.confupdtype IN ('c', 'n', 'd'), \
  pg_catalog.has_table_privilege(c.oid, 'SELECT') AND NOT pg_catalog.row_security_active(c.oid) \
FROM pg_catalog.pg_constraint AS k \
JOIN parts ON parts.oid = k.confrelid \
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid \
JOIN pg_catalog.pg_namespace AS cn ON cn.oid = c.relnamespace \
CROSS JOIN LATERAL ROWS FROM (unnest(k.conkey), unnest(k.confkey)) AS u (child, own) \
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.child \
JOIN pg_catalog.pg_attribute AS pa ON pa.attrelid = k.confrelid AND pa.attnum = u.own \
WHERE k.contype = 'f' \
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS up WHERE up.oid = k.conparentid AND up.confrelid IN (SELECT oid FROM parts)) \
ORDER BY k.oid";

/// Those that are checked at once and for all rows of the table or of a partition. The column
/// `indnullsnotdistinct` exists since version 15.
const UNIQUE: &str = "\
WITH RECURSIVE parts (oid) AS ( \
  SELECT c.oid FROM pg_catalog.pg_class AS c \
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
  UNION \
  SELECT h.inhrelid FROM parts JOIN pg_catalog.pg_inherits AS h ON h.inhparent = parts.oid) \
SELECT i.indexrelid::regclass::text, a.attname::text, coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) \
FROM pg_catalog.pg_index AS i \
JOIN parts ON parts.oid = i.indrelid \
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS u (number, place) \
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.number \
WHERE i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND u.place <= i.indnkeyatts \
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits AS h JOIN pg_catalog.pg_index AS up ON up.indexrelid = h.inhparent \
    WHERE h.inhrelid = i.indexrelid AND up.indrelid IN (SELECT oid FROM parts)) \
ORDER BY i.indexrelid, u.place";

pub(crate) async fn read(client: &Client, table: &Table) -> Result<Constraints, DatabaseError> {
    let mut found = Constraints::default();
    let names: [&(dyn ToSql + Sync); 2] = [&table.schema, &table.name];
    for row in client.query(KIND, &names).await? {
        found.is_view = row.try_get(0)?;
        found.is_inherited = row.try_get(1)?;
    }
    for row in client.query(COLUMNS, &names).await? {
        let name: String = row.try_get(0)?;
        let (identity, generated): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        if !generated.is_empty() {
            found.generated.insert(name);
            continue;
        }
        if identity == "a" {
            found.fixed.insert(name.clone());
        }
        found.identity.insert(name);
    }
    for row in client.query(SEQUENCES, &names).await? {
        found.sequences.push(Sequence {
            column: row.try_get(0)?,
            schema: row.try_get(1)?,
            name: row.try_get(2)?,
            ascending: row.try_get(3)?,
        });
    }
    for row in client.query(KEYS, &names).await? {
        found.foreign_keys.push(ForeignKey {
            name: row.try_get(0)?,
            schema: row.try_get(1)?,
            table: row.try_get(2)?,
            deferrable: row.try_get(3)?,
            trusted: true,
            columns: row.try_get(4)?,
            touched: None,
        });
    }
    let mut key = None;
    for row in client.query(DEPENDENTS, &names).await? {
        let names = [
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
        ];
        found.add_dependent_column(
            &mut key,
            row.try_get(0)?,
            names,
            [row.try_get(5)?, row.try_get(6)?, row.try_get(7)?],
        );
    }
    for row in client.query(UNIQUE, &names).await? {
        let name: String = row.try_get(0)?;
        found.add_unique_column(&name, row.try_get(1)?, row.try_get(2)?);
    }
    Ok(found)
}

//! What a table's catalog says about writing to it: columns that the database
//! fills itself, the sequences behind them, and foreign keys.

use std::collections::BTreeSet;

use shared::outcome::{ForeignKey, Sequence};

use crate::engine::column::Table;
use crate::engine::error::DatabaseError;
use crate::engine::session::Session;
use crate::engine::session::postgres::PostgresSession;
use crate::engine::session::sql_server::SqlServerSession;

/// What must be known before a table is written to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Constraints {
    /// Columns whose values the database makes and nobody may give: computed
    /// and generated ones, row versions.
    pub generated: BTreeSet<String>,
    /// Columns that number rows by themselves.
    pub identity: BTreeSet<String>,
    /// Those of them that cannot be changed.
    pub fixed: BTreeSet<String>,
    /// Sequences that belong to columns of whole numbers, in PostgreSQL, where
    /// a row that brings its number along does not move them.
    pub sequences: Vec<Sequence>,
    /// The table's foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
}

const POSTGRES_COLUMNS: &str = "\
SELECT a.attname::text, a.attidentity::text, a.attgenerated::text \
FROM pg_catalog.pg_attribute AS a \
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid \
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped \
  AND (a.attidentity <> '' OR a.attgenerated <> '')";

/// Of identity columns (`i`) and of `serial` ones (`a`).
const POSTGRES_SEQUENCES: &str = "\
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

const POSTGRES_KEYS: &str = "\
SELECT k.conname::text, pn.nspname::text, p.relname::text, k.condeferrable \
FROM pg_catalog.pg_constraint AS k \
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid \
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
JOIN pg_catalog.pg_class AS p ON p.oid = k.confrelid \
JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace \
WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = $1 AND c.relname = $2 ORDER BY 1";

const SQL_SERVER_COLUMNS: &str = "\
SELECT c.name, c.is_identity, c.is_computed, CAST(c.system_type_id AS int) \
FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
JOIN sys.columns AS c ON c.object_id = o.object_id \
WHERE s.name = @P1 AND o.name = @P2 AND o.type IN ('U', 'V')";

const SQL_SERVER_KEYS: &str = "\
SELECT f.name, ps.name, p.name \
FROM sys.foreign_keys AS f JOIN sys.objects AS o ON o.object_id = f.parent_object_id \
JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
JOIN sys.objects AS p ON p.object_id = f.referenced_object_id \
JOIN sys.schemas AS ps ON ps.schema_id = p.schema_id \
WHERE s.name = @P1 AND o.name = @P2 AND f.is_disabled = 0 ORDER BY f.name";

/// `rowversion`, which the catalog calls `timestamp`.
const ROW_VERSION: i32 = 189;

/// Reads what must be known before `table` is written to.
///
/// # Errors
///
/// When the catalog cannot be read.
pub async fn constraints(
    session: &mut Session,
    table: &Table,
) -> Result<Constraints, DatabaseError> {
    match session {
        Session::Postgres(session) => in_postgres(session, table).await,
        Session::SqlServer(session) => in_sql_server(session, table).await,
    }
}

async fn in_postgres(
    session: &PostgresSession,
    table: &Table,
) -> Result<Constraints, DatabaseError> {
    let client = session.client();
    let mut found = Constraints::default();
    for row in client
        .query(POSTGRES_COLUMNS, &[&table.schema, &table.name])
        .await?
    {
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
    for row in client
        .query(POSTGRES_SEQUENCES, &[&table.schema, &table.name])
        .await?
    {
        found.sequences.push(Sequence {
            column: row.try_get(0)?,
            schema: row.try_get(1)?,
            name: row.try_get(2)?,
            ascending: row.try_get(3)?,
        });
    }
    for row in client
        .query(POSTGRES_KEYS, &[&table.schema, &table.name])
        .await?
    {
        found.foreign_keys.push(ForeignKey {
            name: row.try_get(0)?,
            schema: row.try_get(1)?,
            table: row.try_get(2)?,
            deferrable: row.try_get(3)?,
        });
    }
    Ok(found)
}

async fn in_sql_server(
    session: &mut SqlServerSession,
    table: &Table,
) -> Result<Constraints, DatabaseError> {
    let client = session.client();
    let mut found = Constraints::default();
    let names: [&str; 2] = [&table.schema, &table.name];
    let columns = client
        .query(SQL_SERVER_COLUMNS, &[&names[0], &names[1]])
        .await?
        .into_first_result()
        .await?;
    for row in columns {
        let name = row.try_get::<&str, _>(0)?.unwrap_or_default().to_owned();
        let flag = |at| row.try_get::<bool, _>(at).map(Option::unwrap_or_default);
        let version = row.try_get::<i32, _>(3)? == Some(ROW_VERSION);
        if flag(2)? || version {
            found.generated.insert(name);
        } else if flag(1)? {
            found.fixed.insert(name.clone());
            found.identity.insert(name);
        }
    }
    let keys = client
        .query(SQL_SERVER_KEYS, &[&names[0], &names[1]])
        .await?
        .into_first_result()
        .await?;
    for row in keys {
        let text = |at| -> Result<String, DatabaseError> {
            Ok(row.try_get::<&str, _>(at)?.unwrap_or_default().to_owned())
        };
        found.foreign_keys.push(ForeignKey {
            name: text(0)?,
            schema: text(1)?,
            table: text(2)?,
            deferrable: false,
        });
    }
    Ok(found)
}

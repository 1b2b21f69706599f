//! What a table's catalog says about writing to it: columns that the database
//! fills itself, the sequences behind them, and foreign keys.

use std::collections::BTreeSet;

use shared::outcome::{ForeignKey, Sequence};

use crate::engine::database::session::Session;
use crate::engine::database::session::postgres::PostgresSession;
use crate::engine::database::session::sql_server::SqlServerSession;
use crate::engine::error::DatabaseError;
use crate::engine::values::column::Table;

/// What must be known before a table is written to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Constraints {
    /// It is no table but shows others.
    pub is_view: bool,
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
    /// Foreign keys that refer to the table, and for which the database would
    /// delete or change rows of another one along with a row of this.
    pub dependents: Vec<Dependent>,
}

/// A foreign key that acts when a row that it refers to is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependent {
    /// The schema of the table that has it.
    pub schema: String,
    /// That table.
    pub table: String,
    /// Its columns, each with the one that it refers to.
    pub columns: Vec<(String, String)>,
}

impl Constraints {
    /// Notes a column of a foreign key, whose columns come one after the other.
    fn depends(&mut self, key: &mut Option<i64>, id: i64, found: [String; 4]) {
        let [schema, table, column, own] = found;
        if *key != Some(id) {
            *key = Some(id);
            self.dependents.push(Dependent {
                schema,
                table,
                columns: Vec::new(),
            });
        }
        if let Some(dependent) = self.dependents.last_mut() {
            dependent.columns.push((column, own));
        }
    }
}

const POSTGRES_VIEW: &str = "\
SELECT c.relkind IN ('v', 'm') \
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
WHERE n.nspname = $1 AND c.relname = $2";

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
WHERE k.contype = 'f' AND n.nspname = $1 AND c.relname = $2 \
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS up WHERE up.oid = k.conparentid AND up.conrelid = k.conrelid) ORDER BY 1";

/// CASCADE, SET NULL, SET DEFAULT.
const POSTGRES_DEPENDENTS: &str = "\
SELECT k.oid::int8, cn.nspname::text, c.relname::text, a.attname::text, pa.attname::text \
FROM pg_catalog.pg_constraint AS k \
JOIN pg_catalog.pg_class AS p ON p.oid = k.confrelid \
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.relnamespace \
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid \
JOIN pg_catalog.pg_namespace AS cn ON cn.oid = c.relnamespace \
CROSS JOIN LATERAL ROWS FROM (unnest(k.conkey), unnest(k.confkey)) AS u (child, own) \
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.child \
JOIN pg_catalog.pg_attribute AS pa ON pa.attrelid = k.confrelid AND pa.attnum = u.own \
WHERE k.contype = 'f' AND k.confdeltype IN ('c', 'n', 'd') \
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS up WHERE up.oid = k.conparentid AND up.confrelid = k.confrelid) \
  AND n.nspname = $1 AND p.relname = $2 ORDER BY k.oid";

const SQL_SERVER_COLUMNS: &str = "\
SELECT c.name, c.is_identity, c.is_computed, CAST(c.system_type_id AS int), \
  CAST(c.generated_always_type AS int), o.type \
FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
JOIN sys.columns AS c ON c.object_id = o.object_id \
WHERE s.name = @P1 AND o.name = @P2 AND o.type IN ('U', 'V')";

const SQL_SERVER_KEYS: &str = "\
SELECT f.name, ps.name, p.name, f.is_not_trusted \
FROM sys.foreign_keys AS f JOIN sys.objects AS o ON o.object_id = f.parent_object_id \
JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
JOIN sys.objects AS p ON p.object_id = f.referenced_object_id \
JOIN sys.schemas AS ps ON ps.schema_id = p.schema_id \
WHERE s.name = @P1 AND o.name = @P2 AND f.is_disabled = 0 ORDER BY f.name";

const SQL_SERVER_DEPENDENTS: &str = "\
SELECT CAST(f.object_id AS bigint), cs.name, c.name, cc.name, pc.name \
FROM sys.foreign_keys AS f JOIN sys.objects AS o ON o.object_id = f.referenced_object_id \
JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
JOIN sys.objects AS c ON c.object_id = f.parent_object_id \
JOIN sys.schemas AS cs ON cs.schema_id = c.schema_id \
JOIN sys.foreign_key_columns AS k ON k.constraint_object_id = f.object_id \
JOIN sys.columns AS cc ON cc.object_id = k.parent_object_id AND cc.column_id = k.parent_column_id \
JOIN sys.columns AS pc ON pc.object_id = k.referenced_object_id AND pc.column_id = k.referenced_column_id \
WHERE s.name = @P1 AND o.name = @P2 AND f.is_disabled = 0 AND f.delete_referential_action > 0 \
ORDER BY f.object_id, k.constraint_column_id";

/// `rowversion`, which the catalog calls `timestamp`.
const ROW_VERSION: i32 = 189;

/// Reads what must be known before `table` is written to.
///
/// # Errors
///
/// When the catalog cannot be read.
pub(crate) async fn constraints(
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
        .query(POSTGRES_VIEW, &[&table.schema, &table.name])
        .await?
    {
        found.is_view = row.try_get(0)?;
    }
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
            trusted: true,
        });
    }
    let mut key = None;
    for row in client
        .query(POSTGRES_DEPENDENTS, &[&table.schema, &table.name])
        .await?
    {
        let names = [
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
        ];
        found.depends(&mut key, row.try_get(0)?, names);
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
        // The period of a table that keeps its history.
        let period = row.try_get::<i32, _>(4)?.is_some_and(|kind| kind != 0);
        found.is_view |= row
            .try_get::<&str, _>(5)?
            .is_some_and(|kind| kind.trim_end() == "V");
        if flag(2)? || version || period {
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
            trusted: !row.try_get::<bool, _>(3)?.unwrap_or_default(),
        });
    }
    let dependents = client
        .query(SQL_SERVER_DEPENDENTS, &[&names[0], &names[1]])
        .await?
        .into_first_result()
        .await?;
    let mut key = None;
    for row in dependents {
        let text = |at| -> Result<String, DatabaseError> {
            Ok(row.try_get::<&str, _>(at)?.unwrap_or_default().to_owned())
        };
        let id = row.try_get::<i64, _>(0)?.unwrap_or_default();
        found.depends(&mut key, id, [text(1)?, text(2)?, text(3)?, text(4)?]);
    }
    Ok(found)
}

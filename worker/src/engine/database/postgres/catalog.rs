//! PostgreSQL's catalog.

use tokio_postgres::{Client, Row, Statement};

use crate::engine::error::DatabaseError;
use crate::engine::values::column::{
    CatalogTable, Column, ColumnType, Repertoire, Table, Visibility, keys,
};

/// Columns of the tables with a name; one of the two conditions below is put
/// behind it. A domain may be made of domains: what is in the end holds.
/// `attgenerated` is read as JSON, because PostgreSQL 11 does not have it.
const COLUMNS: &str = "\
SELECT n.nspname, c.relname, c.oid, c.reltuples, a.attname, NOT a.attnotnull, \
       pg_catalog.format_type(a.atttypid, a.atttypmod), b.typname, b.typtype::text, \
       CASE WHEN b.oid <> a.atttypid THEN pg_catalog.format_type(b.oid, b.modifier) END, b.modifier, \
       CASE WHEN b.typtype = 'e' THEN ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = b.oid) END, \
       COALESCE(to_jsonb(a) ->> 'attgenerated', '') <> '', a.atthasdef OR a.attidentity <> '' \
FROM pg_catalog.pg_class AS c \
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
LEFT JOIN LATERAL ( \
  WITH RECURSIVE made_of (type, modifier) AS ( \
    SELECT a.atttypid, a.atttypmod \
    UNION ALL \
    SELECT d.typbasetype, d.typtypmod \
    FROM made_of JOIN pg_catalog.pg_type AS d ON d.oid = made_of.type AND d.typtype = 'd') \
  SELECT t.oid, t.typname, t.typtype, made_of.modifier \
  FROM made_of JOIN pg_catalog.pg_type AS t ON t.oid = made_of.type AND t.typtype <> 'd' \
) AS b ON true \
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND ";

const EXACT: &str = "n.nspname = $1::text AND c.relname = $2::text ORDER BY c.oid, a.attnum";

const ANY_CASE: &str = "lower(n.nspname::text) = lower($1) AND lower(c.relname::text) = lower($2) ORDER BY c.oid, a.attnum";

/// Columns of unique indexes that hold for all rows, primary key first. An index does not hold
/// for rows of tables that inherit from its table, unless they are partitions.
const KEYS: &str = "\
SELECT i.indexrelid, a.attname \
FROM pg_catalog.pg_index AS i \
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, position) \
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND a.attnotnull \
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND k.position <= i.indnkeyatts \
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits AS h JOIN pg_catalog.pg_class AS c ON c.oid = h.inhparent \
    WHERE h.inhparent = i.indrelid AND c.relkind <> 'p') \
ORDER BY i.indisprimary DESC, i.indexrelid, k.position";

/// What an extension has made belongs to it (`deptype` e).
const TABLES: &str = "\
SELECT n.nspname, c.relname, c.reltuples, c.relkind IN ('v', 'm'), \
       EXISTS (SELECT 1 FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::regclass \
               AND d.objid = c.oid AND d.deptype = 'e') \
FROM pg_catalog.pg_class AS c \
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition \
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%' \
ORDER BY 1, 2";

/// Whether the transaction's snapshot sees the table `$1`, its children and its
/// partitions as they are stored now, and `$2` is still its name. The functions read
/// the catalog as it is now, the tables of the catalog are read in the snapshot.
const UNCHANGED: &str = "\
WITH RECURSIVE parts (oid) AS ( \
  SELECT $1::oid \
  UNION \
  SELECT i.inhrelid FROM parts JOIN pg_catalog.pg_inherits AS i ON i.inhparent = parts.oid) \
SELECT pg_catalog.to_regclass($2)::oid IS NOT DISTINCT FROM $1::oid AND NOT EXISTS ( \
  SELECT FROM parts JOIN pg_catalog.pg_class AS c ON c.oid = parts.oid \
  WHERE c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid))";
/// What a `bit(1)` is converted to before it is read.
pub(crate) const BIT_AS_BOOLEAN: &str = "integer::boolean";

/// Queries of the catalog, prepared once a session.
pub(crate) struct CatalogStatements {
    columns: Statement,
    keys: Statement,
    unchanged: Statement,
}

impl CatalogStatements {
    pub(crate) async fn prepare(client: &Client) -> Result<Self, DatabaseError> {
        let exact = format!("{COLUMNS}{EXACT}");
        let (columns, keys, unchanged) = tokio::try_join!(
            client.prepare(&exact),
            client.prepare(KEYS),
            client.prepare(UNCHANGED)
        )?;
        Ok(Self {
            columns,
            keys,
            unchanged,
        })
    }
}

pub(crate) async fn list_tables(client: &Client) -> Result<Vec<CatalogTable>, DatabaseError> {
    let rows = client.query(TABLES, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(CatalogTable {
                schema: row.try_get(0)?,
                name: row.try_get(1)?,
                estimated_rows: estimate(row.try_get(2)?),
                is_view: row.try_get(3)?,
                is_system: row.try_get(4)?,
            })
        })
        .collect()
}

pub(crate) async fn find_tables(
    client: &Client,
    statements: &CatalogStatements,
    schema: &str,
    name: &str,
) -> Result<Vec<Table>, DatabaseError> {
    let mut rows = client.query(&statements.columns, &[&schema, &name]).await?;
    if rows.is_empty() {
        rows = client
            .query(&format!("{COLUMNS}{ANY_CASE}"), &[&schema, &name])
            .await?;
    }
    let mut tables: Vec<(u32, Table)> = Vec::new();
    for row in &rows {
        let oid: u32 = row.try_get(2)?;
        if tables.last().is_none_or(|(last, _)| *last != oid) {
            let table = Table {
                object: oid.into(),
                schema: row.try_get(0)?,
                name: row.try_get(1)?,
                columns: Vec::new(),
                keys: Vec::new(),
                condition: None,
                estimated_rows: estimate(row.try_get(3)?),
                hint: "",
                visibility: Visibility::default(),
            };
            tables.push((oid, table));
        }
        if let (Some(column), Some((_, table))) = (column(row)?, tables.last_mut()) {
            table.columns.push(column);
        }
    }
    if let [(oid, table)] = tables.as_mut_slice() {
        let rows = client.query(&statements.keys, &[&*oid]).await?;
        let columns = rows
            .iter()
            .map(|row| Ok((row.try_get::<_, u32>(0)?.into(), row.try_get(1)?)))
            .collect::<Result<Vec<_>, DatabaseError>>()?;
        table.keys = keys(&columns);
    }
    if let Some(what) = tables.iter().find_map(|(_, table)| table.contradiction()) {
        return Err(DatabaseError::Malformed(what));
    }
    Ok(tables.into_iter().map(|(_, table)| table).collect())
}

/// Whether the snapshot sees the table with this number and qualified name as it is now.
pub(crate) async fn is_unchanged(
    client: &Client,
    statements: &CatalogStatements,
    oid: u32,
    qualified: &str,
) -> Result<bool, DatabaseError> {
    let row = client
        .query_one(&statements.unchanged, &[&oid, &qualified])
        .await?;
    Ok(row.try_get(0)?)
}

/// -1 means that the table was never analyzed.
pub(crate) fn estimate(reltuples: f32) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate that is not negative"
    )]
    (reltuples >= 0.0).then_some(reltuples as u64)
}

/// A table without columns has one row without a column.
fn column(row: &Row) -> Result<Option<Column>, DatabaseError> {
    let Some(name) = row.try_get::<_, Option<String>>(4)? else {
        return Ok(None);
    };
    let base: &str = row.try_get(7)?;
    let class: &str = row.try_get(8)?;
    let domain_base: Option<String> = row.try_get(9)?;
    let modifier: i32 = row.try_get(10)?;
    let kind = if class == "e" {
        ColumnType::Text { padded: false }
    } else {
        column_type(base, modifier)
    };
    let declared: String = row.try_get(6)?;
    let enum_type = (class == "e").then(|| domain_base.clone().unwrap_or(declared.clone()));
    let read_as = match (&kind, domain_base) {
        // Only as text it can be compared with text that is none of its labels.
        _ if class == "e" => Some("text".to_owned()),
        (ColumnType::Bool, _) if base == "bit" => Some(BIT_AS_BOOLEAN.to_owned()),
        (ColumnType::Money, _) => Some("numeric".to_owned()),
        (ColumnType::Json | ColumnType::Xml, _) => Some("text".to_owned()),
        (_, base) => base,
    };
    Ok(Some(Column {
        name,
        kind,
        declared,
        nullable: row.try_get(5)?,
        computed: row.try_get(12)?,
        masked: false,
        has_default: row.try_get(13)?,
        read_as,
        repertoire: Repertoire {
            code_page: None,
            labels: row
                .try_get::<_, Option<Vec<String>>>(11)?
                .unwrap_or_default(),
            enum_type,
            ignores_trailing_blanks: false,
        },
    }))
}

/// The type of values of a PostgreSQL type; `modifier` is the digits of a second of
/// times, -1 for the most, and the length of a `bit`.
pub(crate) fn column_type(name: &str, modifier: i32) -> ColumnType {
    // A type modifier of -1 means the finest: six digits.
    let digits = u8::try_from(modifier).unwrap_or(6);
    match name {
        "bool" => ColumnType::Bool,
        "bit" if modifier == 1 => ColumnType::Bool,
        "int2" | "int4" | "int8" => ColumnType::Int,
        "numeric" => ColumnType::Decimal,
        "money" => ColumnType::Money,
        "float4" => ColumnType::Float32,
        "float8" => ColumnType::Float64,
        "bpchar" => ColumnType::Text { padded: true },
        "varchar" | "text" | "name" | "citext" => ColumnType::Text { padded: false },
        "bytea" => ColumnType::Bytes,
        "date" => ColumnType::Date,
        "time" => ColumnType::Time(digits),
        "timestamp" => ColumnType::Timestamp(digits),
        "timestamptz" => ColumnType::Instant(digits),
        "uuid" => ColumnType::Uuid,
        "json" | "jsonb" => ColumnType::Json,
        "xml" => ColumnType::Xml,
        _ => ColumnType::Other,
    }
}

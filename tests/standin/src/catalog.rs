//! The catalog: how the database underneath is prepared, and what tables look like.

use tokio_postgres::{Client, Statement};

use crate::collation::Collation;
use crate::error::SqlError;
use crate::sqltype::SqlType;

/// Collations, conversions and the views of the schema `sys`.
const PREPARE: &str = include_str!("catalog.sql");
/// Two servers that start at once on one database prepare it one after the other.
const PREPARE_LOCK: i64 = 0x5441_4E44_494E;

/// A table or a view, with the names as they were declared.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

/// A column as it was declared.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) sql_type: SqlType,
    pub(crate) collation: Collation,
    pub(crate) nullable: bool,
    pub(crate) identity: bool,
    pub(crate) computed: bool,
}

/// A name of one or two parts; the schema is `dbo` when none is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TableRef {
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl std::fmt::Display for TableRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// The text that is kept as a column's comment.
pub(crate) fn declaration(sql_type: SqlType, collation: &Collation) -> String {
    match collation.declared() {
        Some(name) if sql_type.has_collation() => format!("{sql_type} COLLATE {name}"),
        _ => sql_type.to_string(),
    }
}

fn parse_declaration(text: &str) -> (SqlType, Collation) {
    let mut words = text.split_whitespace();
    let sql_type = words
        .next()
        .and_then(|word| SqlType::parse(word).ok())
        .unwrap_or(SqlType::CatalogOnly("sql_variant"));
    let collation = match (words.next(), words.next()) {
        (Some("COLLATE"), Some(name)) => Collation::named(name),
        _ => Collation::default(),
    };
    (sql_type, collation)
}

/// Prepares the database: may be done again, and by several servers at once.
///
/// # Errors
/// What PostgreSQL says.
pub(crate) async fn prepare(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .execute("SELECT pg_advisory_lock($1)", &[&PREPARE_LOCK])
        .await?;
    let outcome = client.batch_execute(PREPARE).await;
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&PREPARE_LOCK])
        .await?;
    outcome
}

/// Looks tables up for one session.
#[derive(Debug)]
pub(crate) struct Lookup {
    statement: Statement,
}

impl Lookup {
    pub(crate) async fn new(client: &Client) -> Result<Self, SqlError> {
        let statement = client
            .prepare(
                "SELECT n.nspname::text, c.relname::text, c.relkind = 'v', a.attname::text,
                        sys.declared_type(a.attrelid, a.attnum, a.atttypid, a.atttypmod),
                        NOT a.attnotnull, a.attidentity <> '', a.attgenerated <> ''
                 FROM pg_class c
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                 LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                 WHERE lower(n.nspname) = lower($1::text) AND lower(c.relname) = lower($2::text)
                   AND c.relkind IN ('r', 'p', 'v')
                 ORDER BY n.nspname <> $1, c.relname <> $2, c.oid, a.attnum",
            )
            .await?;
        Ok(Self { statement })
    }

    /// The table of that name, in any case.
    ///
    /// # Errors
    /// 208 when there is none, and what PostgreSQL says.
    pub(crate) async fn table(&self, client: &Client, name: &TableRef) -> Result<Table, SqlError> {
        let rows = client
            .query(&self.statement, &[&name.schema, &name.name])
            .await?;
        let first = rows.first().ok_or_else(|| SqlError::no_object(name))?;
        let mut table = Table {
            schema: first.get(0),
            name: first.get(1),
            columns: Vec::with_capacity(rows.len()),
        };
        for row in &rows {
            let Some(column) = row.get::<_, Option<String>>(3) else {
                continue;
            };
            if row.get::<_, &str>(0) != table.schema || row.get::<_, &str>(1) != table.name {
                break;
            }
            let (sql_type, collation) = parse_declaration(row.get(4));
            table.columns.push(Column {
                name: column,
                sql_type,
                collation,
                nullable: row.get(5),
                identity: row.get(6),
                computed: row.get(7),
            });
        }
        Ok(table)
    }
}

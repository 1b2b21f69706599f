//! The catalog: prepares the PostgreSQL database, and describes its tables as SQL Server's.

use tokio_postgres::{Client, Statement};

use crate::error::SqlError;
use crate::postgres;
use crate::types::collation::Collation;
use crate::types::sql_type::SqlType;

/// Creates the schema `sys`: collations, conversions and catalog views.
const PREPARE: &str = include_str!("catalog.sql");
/// The advisory lock that serializes the preparation by several servers.
const PREPARE_LOCK: i64 = 0x5441_4E44_494E;

/// A table or a view, with the declared spelling of its names.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    /// Whether its comment is `memory_optimized`.
    pub(crate) memory_optimized: bool,
}

impl Table {
    /// The quoted name for PostgreSQL.
    pub(crate) fn qualified(&self) -> String {
        postgres::qualified(&self.schema, &self.name)
    }

    /// # Errors
    /// 207 when there is no such column.
    pub(crate) fn column(&self, name: &str) -> Result<&Column, SqlError> {
        find_column(&self.columns, name).ok_or_else(|| SqlError::no_column(name))
    }
}

/// A column with its declared type.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) sql_type: SqlType,
    pub(crate) collation: Collation,
    pub(crate) nullable: bool,
    pub(crate) identity: bool,
    pub(crate) computed: bool,
}

/// The name of a table as a statement spells it; the default schema is `dbo`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TableRef {
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl TableRef {
    /// The quoted name for PostgreSQL.
    pub(crate) fn qualified(&self) -> String {
        postgres::qualified(&self.schema, &self.name)
    }
}

impl std::fmt::Display for TableRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Whether two names are equal; their case is ignored.
pub(crate) fn same_name(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
}

/// The column of a name. The case of the name is ignored, but a column with the same case is
/// preferred.
pub(crate) fn find_column<'a>(
    columns: impl IntoIterator<Item = &'a Column> + Clone,
    name: &str,
) -> Option<&'a Column> {
    let mut exact = columns.clone().into_iter();
    exact.find(|column| column.name == name).or_else(|| {
        columns
            .into_iter()
            .find(|column| same_name(&column.name, name))
    })
}

/// The declared type of a column, in the form that is stored as the column's comment.
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

/// Prepares the database. It may be prepared repeatedly, and by several servers at once.
///
/// # Errors
/// Those of PostgreSQL.
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

/// Looks up the tables of one session.
#[derive(Debug)]
pub(crate) struct TableLookup {
    statement: Statement,
}

impl TableLookup {
    pub(crate) async fn new(client: &Client) -> Result<Self, SqlError> {
        let statement = client
            .prepare(
                "SELECT n.nspname::text, c.relname::text, c.relkind = 'v', a.attname::text,
                        sys.declared_type(a.attrelid, a.attnum, a.atttypid, a.atttypmod),
                        NOT a.attnotnull, a.attidentity <> '', a.attgenerated <> '',
                        coalesce(obj_description(c.oid, 'pg_class'), '') = 'memory_optimized'
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

    /// Describes the table of a name. The case of the name is ignored, but a table with the same
    /// case is preferred.
    ///
    /// # Errors
    /// 208 when there is no such table, and those of PostgreSQL.
    pub(crate) async fn table(&self, client: &Client, name: &TableRef) -> Result<Table, SqlError> {
        let rows = client
            .query(&self.statement, &[&name.schema, &name.name])
            .await?;
        let first = rows.first().ok_or_else(|| SqlError::no_object(name))?;
        let mut table = Table {
            schema: first.get(0),
            name: first.get(1),
            columns: Vec::with_capacity(rows.len()),
            memory_optimized: first.get(8),
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

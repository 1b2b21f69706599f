//! Locks a table before the snapshot of a transaction is taken.
//!
//! TRUNCATE and statements that rewrite a table are not MVCC-safe: a snapshot that is
//! older than they are sees the table as empty. A statement that waits for its lock
//! already has its snapshot. LOCK TABLE takes none.

use shared::naming::cut;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use crate::engine::database::dialect::Dialect as _;
use crate::engine::database::postgres::catalog::{self, CatalogStatements};
use crate::engine::database::postgres::dialect::Postgres;
use crate::engine::database::session::Held;
use crate::engine::error::DatabaseError;
use crate::engine::values::column::Table;

/// The columns of table `$1` in the transaction's snapshot, with the types that a
/// statement returns: of a domain its base type.
const COLUMNS: &str = "\
SELECT a.attname::text, ( \
  WITH RECURSIVE made_of (type) AS ( \
    SELECT a.atttypid \
    UNION ALL \
    SELECT d.typbasetype FROM made_of JOIN pg_catalog.pg_type AS d ON d.oid = made_of.type AND d.typtype = 'd') \
  SELECT t.oid FROM made_of JOIN pg_catalog.pg_type AS t ON t.oid = made_of.type AND t.typtype <> 'd') \
FROM pg_catalog.pg_attribute AS a \
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// What is needed to describe a table.
pub(crate) struct Catalog<'a> {
    pub(crate) client: &'a Client,
    pub(crate) statements: &'a mut Option<CatalogStatements>,
}

impl Catalog<'_> {
    /// The queries of the catalog, prepared when they are first needed. To prepare them
    /// takes the snapshot of the transaction.
    pub(crate) async fn statements(&mut self) -> Result<&CatalogStatements, DatabaseError> {
        Ok(match &mut *self.statements {
            Some(statements) => statements,
            empty @ None => empty.insert(CatalogStatements::prepare(self.client).await?),
        })
    }

    /// Locks the table, and then describes it in the transaction's snapshot.
    pub(crate) async fn lock(&mut self, schema: &str, name: &str) -> Result<Held, DatabaseError> {
        // The server would cut the name and lock another table.
        if cut(name) != name {
            return Ok(Held::Absent);
        }
        let client = self.client;
        let qualified = Postgres.qualified(schema, name);
        let lock = format!("LOCK TABLE {qualified} IN ACCESS SHARE MODE");
        // The server receives both together and executes them in this order.
        let (locked, described) = tokio::join!(
            biased;
            client.batch_execute(&lock),
            self.describe(schema, name)
        );
        match locked.map_err(|error| (refusal(&error), error)) {
            // The schema may have got another name while the lock was waited for.
            Ok(()) => Ok(described?.map_or(Held::Changed, |table| Held::Table(Box::new(table)))),
            Err((Some(held), _)) => Ok(held),
            Err((None, error)) => Err(error.into()),
        }
    }

    /// Describes a table that cannot be locked first: a materialized view, a foreign
    /// table, or one of which the user may read some columns only. The first read locks
    /// it, after the snapshot was taken.
    pub(crate) async fn read(&mut self, schema: &str, name: &str) -> Result<Held, DatabaseError> {
        let Some(table) = self.describe(schema, name).await? else {
            return Ok(Held::Absent);
        };
        let qualified = Postgres.qualified(schema, name);
        let read = format!("SELECT FROM {qualified} LIMIT 0");
        if let Err(error) = self.client.batch_execute(&read).await {
            return match refusal(&error) {
                Some(Held::Absent) => Ok(Held::Changed),
                _ => Err(error.into()),
            };
        }
        // From here on the table does not change, but it may have changed since the snapshot.
        let is_unchanged = self.has_columns(&table, &qualified).await?
            && self.is_unchanged(&table, &qualified).await?;
        Ok(if is_unchanged {
            Held::Table(Box::new(table))
        } else {
            Held::Changed
        })
    }

    pub(crate) async fn is_unchanged(
        &mut self,
        table: &Table,
        qualified: &str,
    ) -> Result<bool, DatabaseError> {
        let (client, oid) = (self.client, oid(table)?);
        catalog::is_unchanged(client, self.statements().await?, oid, qualified).await
    }

    /// Whether statements read the columns that the snapshot sees: the parser reads the
    /// catalog as it is now.
    async fn has_columns(&self, table: &Table, qualified: &str) -> Result<bool, DatabaseError> {
        let statement = format!("SELECT * FROM {qualified}");
        let statement = self.client.prepare(&statement).await?;
        let now = statement.columns().iter();
        let now = now.map(|column| (column.name().to_owned(), column.type_().oid()));
        let rows = self.client.query(COLUMNS, &[&oid(table)?]).await?;
        let seen: Result<Vec<(String, u32)>, Error> = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect();
        Ok(now.eq(seen?))
    }

    /// The table with exactly this name.
    async fn describe(&mut self, schema: &str, name: &str) -> Result<Option<Table>, DatabaseError> {
        let client = self.client;
        let statements = self.statements().await?;
        let tables = catalog::find_tables(client, statements, schema, name).await?;
        let mut tables = tables.into_iter();
        Ok(tables.find(|table| table.schema == schema && table.name == name))
    }
}

/// What it means that a table could not be locked or read; `None` if it says nothing
/// about the table.
fn refusal(error: &Error) -> Option<Held> {
    let code = error.code()?;
    if [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME].contains(code) {
        return Some(Held::Absent);
    }
    let unlockable = [
        // LOCK TABLE needs a privilege on the whole table.
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::WRONG_OBJECT_TYPE,
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    unlockable.contains(code).then_some(Held::Unlockable)
}

pub(super) fn oid(table: &Table) -> Result<u32, DatabaseError> {
    u32::try_from(table.object)
        .map_err(|_| DatabaseError::Malformed(format!("{} is no oid", table.object)))
}

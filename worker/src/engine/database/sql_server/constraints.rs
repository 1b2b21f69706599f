//! What SQL Server's catalog says about writing to a table.

use shared::outcome::ForeignKey;
use tiberius::ToSql;

use crate::engine::database::constraints::Constraints;
use crate::engine::database::sql_server::answer::{optional, required, text};
use crate::engine::database::sql_server::catalog::query_rows;
use crate::engine::database::sql_server::connection::Connection;
use crate::engine::error::DatabaseError;
use crate::engine::values::column::Table;

const COLUMNS: &str = "\
SELECT c.name, CAST(c.is_identity AS bit), CAST(c.is_computed AS bit), CAST(c.system_type_id AS int), \
  CAST(c.generated_always_type AS int), CAST(CASE WHEN o.type = 'V' THEN 1 ELSE 0 END AS bit) \
FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
JOIN sys.columns AS c ON c.object_id = o.object_id \
WHERE s.name = @P1 AND o.name = @P2 AND o.type IN ('U', 'V')";

const KEYS: &str = "\
SELECT f.name, ps.name, p.name, CAST(f.is_not_trusted AS bit), c.name \
FROM sys.foreign_keys AS f JOIN sys.objects AS o ON o.object_id = f.parent_object_id \
JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
JOIN sys.objects AS p ON p.object_id = f.referenced_object_id \
JOIN sys.schemas AS ps ON ps.schema_id = p.schema_id \
JOIN sys.foreign_key_columns AS k ON k.constraint_object_id = f.object_id \
JOIN sys.columns AS c ON c.object_id = k.parent_object_id AND c.column_id = k.parent_column_id \
WHERE s.name = @P1 AND o.name = @P2 AND f.is_disabled = 0 ORDER BY f.name, k.constraint_column_id";

const DEPENDENTS: &str = "\
SELECT CAST(f.object_id AS bigint), cs.name, c.name, cc.name, pc.name, CAST(f.delete_referential_action AS int), CAST(f.update_referential_action AS int), \
  CAST(HAS_PERMS_BY_NAME(QUOTENAME(cs.name) + N'.' + QUOTENAME(c.name), 'OBJECT', 'SELECT') AS int) \
FROM sys.foreign_keys AS f JOIN sys.objects AS o ON o.object_id = f.referenced_object_id \
JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
JOIN sys.objects AS c ON c.object_id = f.parent_object_id \
JOIN sys.schemas AS cs ON cs.schema_id = c.schema_id \
JOIN sys.foreign_key_columns AS k ON k.constraint_object_id = f.object_id \
JOIN sys.columns AS cc ON cc.object_id = k.parent_object_id AND cc.column_id = k.parent_column_id \
JOIN sys.columns AS pc ON pc.object_id = k.referenced_object_id AND pc.column_id = k.referenced_column_id \
WHERE s.name = @P1 AND o.name = @P2 AND f.is_disabled = 0 \
ORDER BY f.object_id, k.constraint_column_id";

/// A unique index refuses a second NULL.
const UNIQUE: &str = "\
SELECT i.name, c.name \
FROM sys.indexes AS i JOIN sys.objects AS o ON o.object_id = i.object_id \
JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id \
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id \
WHERE s.name = @P1 AND o.name = @P2 AND i.is_unique = 1 AND i.is_disabled = 0 AND i.has_filter = 0 \
  AND ic.is_included_column = 0 ORDER BY i.name, ic.key_ordinal";

const INSTEAD_OF_TRIGGERS: &str = "\
SELECT t.name FROM sys.triggers AS t JOIN sys.objects AS o ON o.object_id = t.parent_id \
JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
WHERE s.name = @P1 AND o.name = @P2 AND t.is_instead_of_trigger = 1 AND t.is_disabled = 0 ORDER BY t.name";

/// `rowversion`, which the catalog calls `timestamp`.
const ROW_VERSION: i32 = 189;

pub(crate) async fn read(
    client: &mut Connection,
    table: &Table,
) -> Result<Constraints, DatabaseError> {
    let mut found = Constraints::default();
    let names: [&dyn ToSql; 2] = [&table.schema, &table.name];
    for row in query_rows(client, COLUMNS, &names).await? {
        let name = text(&row, 0)?;
        let flag = |at| required::<bool>(&row, at);
        let version = required::<i32>(&row, 3)? == ROW_VERSION;
        // The period of a table that keeps its history.
        let period = optional::<i32>(&row, 4)?.is_some_and(|kind| kind != 0);
        found.is_view |= flag(5)?;
        if flag(2)? || version || period {
            found.generated.insert(name);
        } else if flag(1)? {
            found.fixed.insert(name.clone());
            found.identity.insert(name);
        }
    }
    for row in query_rows(client, KEYS, &names).await? {
        let text = |at| text(&row, at);
        let (name, column) = (text(0)?, text(4)?);
        match found.foreign_keys.last_mut() {
            // Names of constraints are unique within a schema.
            Some(last) if last.name == name => last.columns.push(column),
            _ => found.foreign_keys.push(ForeignKey {
                name,
                schema: text(1)?,
                table: text(2)?,
                deferrable: false,
                trusted: !required::<bool>(&row, 3)?,
                columns: vec![column],
                touched: None,
            }),
        }
    }
    let mut key = None;
    for row in query_rows(client, DEPENDENTS, &names).await? {
        let text = |at| text(&row, at);
        let id = required(&row, 0)?;
        let flag =
            |at| Ok::<_, DatabaseError>(optional::<i32>(&row, at)?.is_some_and(|it| it != 0));
        let names = [text(1)?, text(2)?, text(3)?, text(4)?];
        let flags = [flag(5)?, flag(6)?, flag(7)?];
        found.add_dependent_column(&mut key, id, names, flags);
    }
    for row in query_rows(client, UNIQUE, &names).await? {
        found.add_unique_column(&text(&row, 0)?, text(&row, 1)?, true);
    }
    for row in query_rows(client, INSTEAD_OF_TRIGGERS, &names).await? {
        found.instead_of_triggers.push(text(&row, 0)?);
    }
    Ok(found)
}

//! SQL Server's catalog.

use tiberius::{Row, ToSql};

use crate::engine::database::sql_server::answer::{
    malformed, only_row, optional, required, results, text,
};
use crate::engine::database::sql_server::connection::Connection;
use crate::engine::error::DatabaseError;
use crate::engine::values::column::{
    CatalogTable, Column, ColumnType, Repertoire, Table, Visibility, keys,
};

/// How a memory-optimized table is read in a transaction.
pub(crate) const MEMORY_OPTIMIZED_HINT: &str = " WITH (SNAPSHOT)";

/// `is_ms_shipped` marks what the server has made. The tools of Microsoft mark what they make, such
/// as the table `sysdiagrams` of the diagrams, by an extended property; a copy of `sysdiagrams`
/// may lack it.
const TABLES: &str = "\
SELECT s.name, o.name, \
       CAST(COALESCE((SELECT SUM(p.rows) FROM sys.partitions AS p WHERE p.object_id = o.object_id AND p.index_id IN (0, 1)), 0) AS bigint), \
       CAST(CASE WHEN o.type = 'V' THEN 1 ELSE 0 END AS bit), \
       CAST(CASE WHEN o.is_ms_shipped = 1 OR (s.name = 'dbo' AND o.name = 'sysdiagrams') \
                 OR EXISTS (SELECT 1 FROM sys.extended_properties AS e WHERE e.major_id = o.object_id \
                            AND e.minor_id = 0 AND e.class = 1 AND e.name = 'microsoft_database_tools_support') \
            THEN 1 ELSE 0 END AS bit) \
FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
WHERE o.type IN ('U', 'V') ORDER BY s.name, o.name";

/// The server compares names by the database's collation, mostly without
/// regard to case; where that finds several tables, one of them may be exact.
///
/// What the user may not see: masks of columns (SQL Server 2016; UNMASK of a single column is of
/// 2022, and NULL before), and policies that filter rows (2016). Behind a view, any of the
/// database may be. The server shows policies only with the permission to see definitions.
const COLUMNS: &str = "\
SELECT s.name, o.name, c.name, COALESCE(b.name, t.name), CAST(c.max_length AS int), CAST(c.precision AS int), CAST(c.scale AS int), \
       CAST(c.is_nullable AS bit), CAST(c.is_computed AS bit), \
       CAST(COLLATIONPROPERTY(c.collation_name, 'CodePage') AS int), CAST(o.object_id AS int), \
       CAST(COLLATIONPROPERTY(CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128)), 'CodePage') AS int), \
       CAST(CASE WHEN c.default_object_id <> 0 OR c.is_identity = 1 OR c.is_computed = 1 OR COALESCE(b.name, t.name) = 'timestamp' THEN 1 ELSE 0 END AS bit), \
       CAST(CASE WHEN c.is_masked = 1 \
                  AND COALESCE(HAS_PERMS_BY_NAME(QUOTENAME(s.name) + '.' + QUOTENAME(o.name), 'OBJECT', 'UNMASK', c.name, 'COLUMN'), \
                               HAS_PERMS_BY_NAME(QUOTENAME(DB_NAME()), 'DATABASE', 'UNMASK'), 0) = 0 \
            THEN 1 ELSE 0 END AS bit), \
       CAST(CASE WHEN o.type = 'V' THEN 1 ELSE 0 END AS bit), \
       CAST((SELECT MIN(n.name) FROM sys.security_policies AS n JOIN sys.security_predicates AS f ON f.object_id = n.object_id \
             WHERE n.is_enabled = 1 AND f.predicate_type = 0 AND (o.type = 'V' OR f.target_object_id = o.object_id)) AS nvarchar(128)), \
       CAST((SELECT MIN(m.name) FROM sys.columns AS m \
             WHERE o.type = 'V' AND m.is_masked = 1 AND COALESCE(HAS_PERMS_BY_NAME(QUOTENAME(DB_NAME()), 'DATABASE', 'UNMASK'), 0) = 0) AS nvarchar(128)), \
       CAST(CASE WHEN HAS_PERMS_BY_NAME(QUOTENAME(DB_NAME()), 'DATABASE', 'VIEW DEFINITION') = 1 \
                   OR HAS_PERMS_BY_NAME(QUOTENAME(DB_NAME()), 'DATABASE', 'ALTER ANY SECURITY POLICY') = 1 \
            THEN 1 ELSE 0 END AS bit), \
       CAST(CASE WHEN EXISTS (SELECT 1 FROM sys.tables AS m WHERE m.object_id = o.object_id AND m.is_memory_optimized = 1) THEN 1 ELSE 0 END AS bit) \
FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
JOIN sys.columns AS c ON c.object_id = o.object_id \
JOIN sys.types AS t ON t.user_type_id = c.user_type_id \
LEFT JOIN sys.types AS b ON b.user_type_id = t.system_type_id \
WHERE s.name = @P1 AND o.name = @P2 AND o.type IN ('U', 'V') ORDER BY c.column_id";

const KEYS: &str = "\
SELECT CAST(i.index_id AS int), c.name, CAST(c.is_nullable AS bit) \
FROM sys.indexes AS i JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id \
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id \
WHERE i.object_id = @P1 AND i.is_unique = 1 AND i.is_disabled = 0 AND i.has_filter = 0 AND ic.is_included_column = 0 \
ORDER BY i.is_primary_key DESC, i.index_id, ic.key_ordinal";

/// What the catalog counts, which is right or nearly so; views have none.
const ROWS: &str = "\
SELECT CAST(SUM(p.rows) AS bigint) FROM sys.partitions AS p WHERE p.object_id = @P1 AND p.index_id IN (0, 1)";

pub(crate) async fn list_tables(
    client: &mut Connection,
) -> Result<Vec<CatalogTable>, DatabaseError> {
    let [rows] = results(client.simple_query(TABLES).await?).await?;
    rows.iter()
        .map(|row| {
            Ok(CatalogTable {
                schema: text(row, 0)?,
                name: text(row, 1)?,
                estimated_rows: u64::try_from(required::<i64>(row, 2)?).ok(),
                is_view: required(row, 3)?,
                is_system: required(row, 4)?,
            })
        })
        .collect()
}

/// The tables of this name with their columns.
async fn find_columns(
    client: &mut Connection,
    schema: &str,
    name: &str,
) -> Result<Vec<(i32, Table)>, DatabaseError> {
    let rows = query_rows(client, COLUMNS, &[&schema, &name]).await?;
    let mut tables: Vec<(i32, Table)> = Vec::new();
    for row in &rows {
        let object: i32 = required(row, 10)?;
        let at = match tables.iter().position(|(other, _)| *other == object) {
            Some(at) => at,
            None => {
                let table = Table {
                    object: object.into(),
                    schema: text(row, 0)?,
                    name: text(row, 1)?,
                    columns: Vec::new(),
                    keys: Vec::new(),
                    condition: None,
                    estimated_rows: None,
                    // Without the hint, error 41368: the transaction is READ COMMITTED.
                    hint: if required(row, 18)? {
                        MEMORY_OPTIMIZED_HINT
                    } else {
                        ""
                    },
                    visibility: visibility(row)?,
                };
                tables.push((object, table));
                tables.len() - 1
            }
        };
        tables[at].1.columns.push(column(row)?);
    }
    if tables.len() > 1
        && let Some(exact) = tables
            .iter()
            .position(|(_, table)| table.schema == schema && table.name == name)
    {
        tables = vec![tables.swap_remove(exact)];
    }
    refuse_contradiction(&tables)?;
    Ok(tables)
}

fn refuse_contradiction(tables: &[(i32, Table)]) -> Result<(), DatabaseError> {
    let what = tables.iter().find_map(|(_, table)| table.contradiction());
    what.map_or(Ok(()), |what| Err(malformed(&what)))
}

/// Whether the table of this name is still the one that was described, with the same columns.
pub(crate) async fn is_unchanged(
    client: &mut Connection,
    table: &Table,
) -> Result<bool, DatabaseError> {
    let tables = find_columns(client, &table.schema, &table.name).await?;
    Ok(matches!(tables.as_slice(), [(_, now)] if table.has_columns_of(now)))
}

pub(crate) async fn find_tables(
    client: &mut Connection,
    schema: &str,
    name: &str,
) -> Result<Vec<Table>, DatabaseError> {
    let mut tables = find_columns(client, schema, name).await?;
    if let [(object, table)] = tables.as_mut_slice() {
        let rows = query_rows(client, KEYS, &[&*object]).await?;
        let columns: Result<Vec<_>, _> = rows.iter().map(key_column).collect();
        table.keys = keys(&columns?);
        let counted = query_rows(client, ROWS, &[&*object]).await?;
        let rows: Option<i64> = optional(only_row(&counted)?, 0)?;
        table.estimated_rows = rows.and_then(|rows| u64::try_from(rows).ok());
    }
    refuse_contradiction(&tables)?;
    Ok(tables.into_iter().map(|(_, table)| table).collect())
}

pub(crate) async fn query_rows(
    client: &mut Connection,
    query: &str,
    parameters: &[&dyn ToSql],
) -> Result<Vec<Row>, DatabaseError> {
    let [rows] = results(client.query(query, parameters).await?).await?;
    Ok(rows)
}

/// What the user may not see of the table of a row of [`COLUMNS`].
fn visibility(row: &Row) -> Result<Visibility, DatabaseError> {
    Ok(Visibility {
        is_view: required(row, 14)?,
        row_policy: optional::<&str>(row, 15)?.map(str::to_owned),
        masked_behind: optional::<&str>(row, 16)?.map(str::to_owned),
        policies_are_hidden: !required::<bool>(row, 17)?,
    })
}

/// A number that the catalog has in a smaller type.
fn small<T: TryFrom<i32>>(row: &Row, at: usize) -> Result<T, DatabaseError> {
    let number: i32 = required(row, at)?;
    T::try_from(number)
        .map_err(|_| malformed(&format!("{number} in column {} of the catalog", at + 1)))
}

fn column(row: &Row) -> Result<Column, DatabaseError> {
    let base = text(row, 3)?;
    let (length, precision, scale) = (small(row, 4)?, small(row, 5)?, small(row, 6)?);
    let kind = column_type(&base, scale);
    let code_pages = (optional(row, 9)?, optional(row, 11)?);
    Ok(Column {
        name: text(row, 2)?,
        read_as: read_as(&base, &kind, length, code_pages),
        declared: declared(&base, length, precision, scale),
        nullable: required(row, 7)?,
        computed: required(row, 8)?,
        has_default: required(row, 12)?,
        masked: required(row, 13)?,
        repertoire: Repertoire {
            code_page: code_pages.0,
            labels: Vec::new(),
            enum_type: None,
            // Both sides of `=` are filled with blanks to one length.
            ignores_trailing_blanks: kind.is_text(),
        },
        kind,
    })
}

/// What a column is converted to before it is read. The driver decodes the
/// code pages of Windows that have one byte a character; others (437, 850, the
/// East Asian ones, UTF-8) it does not know, or not as the server does.
fn read_as(
    base: &str,
    kind: &ColumnType,
    length: i16,
    (own, databases): (Option<i32>, Option<i32>),
) -> Option<String> {
    let decoded = matches!(own, Some(874 | 1250..=1258));
    // A value that is asked for would become one of the database's code page.
    let foreign = !decoded || own != databases;
    let fits = (1..=4000).contains(&length);
    Some(match (kind, base) {
        (ColumnType::Money, _) => "decimal(19, 4)".to_owned(),
        (ColumnType::Xml | ColumnType::Json, _) => "nvarchar(max)".to_owned(),
        // Longer ones would be cut.
        (_, "char") if foreign && fits => format!("nchar({length})"),
        // Of so many bytes there are no more UTF-16 units.
        (_, "varchar") if foreign && fits => format!("nvarchar({length})"),
        (_, "char" | "varchar" | "text") if foreign => "nvarchar(max)".to_owned(),
        _ => return None,
    })
}

/// What a type holds; `scale` is the digits of a second of times.
pub(crate) fn column_type(base: &str, scale: u8) -> ColumnType {
    match base {
        "bit" => ColumnType::Bool,
        "tinyint" | "smallint" | "int" | "bigint" => ColumnType::Int,
        "decimal" | "numeric" => ColumnType::Decimal,
        "money" | "smallmoney" => ColumnType::Money,
        "real" => ColumnType::Float32,
        "float" => ColumnType::Float64,
        "char" | "nchar" => ColumnType::Text { padded: true },
        "varchar" | "nvarchar" | "text" | "ntext" => ColumnType::Text { padded: false },
        "binary" | "varbinary" | "image" | "timestamp" | "rowversion" => ColumnType::Bytes,
        "date" => ColumnType::Date,
        "time" => ColumnType::Time(scale),
        "datetime" => ColumnType::DateTime,
        // Its seconds are always 0: a copy that has others is not equal.
        "smalldatetime" => ColumnType::Timestamp(0),
        "datetime2" => ColumnType::Timestamp(scale),
        "datetimeoffset" => ColumnType::Instant(scale),
        "uniqueidentifier" => ColumnType::Uuid,
        "xml" => ColumnType::Xml,
        "json" => ColumnType::Json,
        _ => ColumnType::Other,
    }
}

/// The type as it is written in a declaration.
pub(crate) fn declared(base: &str, length: i16, precision: u8, scale: u8) -> String {
    match base {
        "decimal" | "numeric" => format!("{base}({precision}, {scale})"),
        "char" | "varchar" | "binary" | "varbinary" if length < 0 => format!("{base}(max)"),
        "char" | "varchar" | "binary" | "varbinary" => format!("{base}({length})"),
        "nchar" | "nvarchar" if length < 0 => format!("{base}(max)"),
        // The catalog counts bytes, a declaration characters.
        "nchar" | "nvarchar" => format!("{base}({})", length / 2),
        "time" | "datetime2" | "datetimeoffset" => format!("{base}({scale})"),
        _ => base.to_owned(),
    }
}

/// A column of a key: its index, and its name unless it may be NULL.
fn key_column(row: &Row) -> Result<(i64, Option<String>), DatabaseError> {
    let index: i32 = required(row, 0)?;
    let is_nullable: bool = required(row, 2)?;
    let name = text(row, 1)?;
    Ok((index.into(), (!is_nullable).then_some(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_the_driver_cannot_decode_is_read_as_unicode() {
        let read = |base: &str, length, code_page| {
            read_as(
                base,
                &column_type(base, 0),
                length,
                (Some(code_page), Some(code_page)),
            )
        };
        for code_page in [437, 850, 932, 936, 949, 950, 65_001] {
            let unicode = Some("nvarchar(max)".to_owned());
            assert_eq!(
                read("varchar", 10, code_page),
                Some("nvarchar(10)".to_owned())
            );
            assert_eq!(read("varchar", -1, code_page), unicode);
            assert_eq!(read("text", 16, code_page), unicode);
            assert_eq!(
                read("char", 4000, code_page),
                Some("nchar(4000)".to_owned())
            );
            // No nchar is as long.
            assert_eq!(read("char", 4001, code_page), unicode);
        }
        for code_page in [874, 1250, 1252, 1258] {
            assert_eq!(read("varchar", 10, code_page), None);
            assert_eq!(read("char", 8000, code_page), None);
        }
        assert_eq!(
            read_as(
                "nvarchar",
                &column_type("nvarchar", 0),
                20,
                (Some(950), None)
            ),
            None
        );
        assert_eq!(
            read_as("int", &ColumnType::Int, 4, (None, Some(1252))),
            None
        );
    }

    #[test]
    fn a_code_page_that_the_database_does_not_have_is_read_as_unicode() {
        let read = |base, length| {
            let kind = column_type(base, 0);
            read_as(base, &kind, length, (Some(1251), Some(1252)))
        };
        assert_eq!(read("varchar", 50), Some("nvarchar(50)".to_owned()));
        assert_eq!(read("varchar", -1), Some("nvarchar(max)".to_owned()));
        assert_eq!(read("char", 8), Some("nchar(8)".to_owned()));
        assert_eq!(read("char", 8000), Some("nvarchar(max)".to_owned()));
    }
}

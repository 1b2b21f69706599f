//! What SQL Server's catalog says about the schemas of many tables at once.

use std::collections::{BTreeMap, BTreeSet};

use tiberius::Row;

use crate::engine::database::schema::{
    Action, Check, ConstraintState, DatabaseSchema, ForeignKey, Index, KeyPart, KeyTerm, Numbering,
    QualifiedName, TableSchema, TextComparison, Trigger,
};
use crate::engine::database::sql_server::answer::{malformed, optional, required, results, text};
use crate::engine::database::sql_server::catalog::{MEMORY_OPTIMIZED_HINT, column_type, declared};
use crate::engine::database::sql_server::connection::Connection;
use crate::engine::error::DatabaseError;
use crate::engine::values::column::{Column, Repertoire, Table, Visibility};

/// The most objects that one statement names. The optimizer refuses lists of many thousands.
const MOST_OBJECTS: usize = 1000;

/// All tables and views, and the collation of the database.
const OBJECTS: &str = "\
SELECT CAST(o.object_id AS int), s.name, o.name \
FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id WHERE o.type IN ('U', 'V'); \
SELECT CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128))";

/// Constraints, triggers and definitions are listed for a user with VIEW DEFINITION.
const TABLES: &str = "\
SELECT CAST(o.object_id AS int), s.name, o.name, CAST(CASE WHEN o.type = 'V' THEN 1 ELSE 0 END AS bit), \
  CAST(CASE WHEN m.is_memory_optimized = 1 THEN 1 ELSE 0 END AS bit), \
  CAST(COALESCE(HAS_PERMS_BY_NAME(QUOTENAME(s.name) + N'.' + QUOTENAME(o.name), 'OBJECT', 'VIEW DEFINITION'), 0) AS int) \
FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
LEFT JOIN sys.tables AS m ON m.object_id = o.object_id \
WHERE o.object_id IN ";

/// What the catalog counts, which is right or nearly so; views have none.
const ROWS: &str = "\
SELECT CAST(p.object_id AS int), CAST(SUM(p.rows) AS bigint) \
FROM sys.partitions AS p WHERE p.index_id IN (0, 1) AND p.object_id IN ";

/// The columns of the tables, and, behind this, of those that they reference.
const COLUMN_NAMES: &str = "\
SELECT CAST(c.object_id AS int), CAST(c.column_id AS int), c.name FROM sys.columns AS c WHERE c.object_id IN ";

const REFERENCED: &str =
    "SELECT f.referenced_object_id FROM sys.foreign_keys AS f WHERE f.parent_object_id IN ";

/// `timestamp` is the catalog's name of `rowversion`.
const COLUMNS: &str = "\
SELECT CAST(c.object_id AS int), c.name, COALESCE(b.name, t.name), CAST(c.max_length AS int), CAST(c.precision AS int), CAST(c.scale AS int), \
  CAST(c.is_nullable AS bit), CAST(c.is_computed AS bit), CAST(c.collation_name AS nvarchar(128)), \
  CAST(COLLATIONPROPERTY(c.collation_name, 'CodePage') AS int), \
  CAST(d.definition AS nvarchar(max)), CAST(k.definition AS nvarchar(max)), \
  CAST(i.increment_value AS nvarchar(40)), \
  CAST(CASE WHEN c.default_object_id <> 0 OR c.is_identity = 1 OR c.is_computed = 1 OR COALESCE(b.name, t.name) = 'timestamp' THEN 1 ELSE 0 END AS bit) \
FROM sys.columns AS c \
JOIN sys.types AS t ON t.user_type_id = c.user_type_id \
LEFT JOIN sys.types AS b ON b.user_type_id = t.system_type_id \
LEFT JOIN sys.default_constraints AS d ON d.object_id = c.default_object_id \
LEFT JOIN sys.computed_columns AS k ON k.object_id = c.object_id AND k.column_id = c.column_id \
LEFT JOIN sys.identity_columns AS i ON i.object_id = c.object_id AND i.column_id = c.column_id \
WHERE c.object_id IN ";

/// Types of indexes: 0 is the heap, which is none; 1 and 2 are in the order of their columns, and 7
/// is the hash index of a memory-optimized table. A row of `sys.index_columns` with the key
/// ordinal 0 is an included column or the partitioning column.
const INDEXES: &str = "\
SELECT CAST(i.object_id AS int), CAST(i.index_id AS int), i.name, CAST(i.is_primary_key AS bit), CAST(i.is_unique AS bit), \
  CAST(i.is_disabled AS bit), CAST(i.filter_definition AS nvarchar(max)), CAST(i.type AS int), CAST(i.type_desc AS nvarchar(60)), \
  CAST(ic.column_id AS int), CAST(ic.is_descending_key AS bit) \
FROM sys.indexes AS i \
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id \
WHERE i.type <> 0 AND i.is_hypothetical = 0 AND ic.is_included_column = 0 AND (ic.key_ordinal > 0 OR i.type NOT IN (1, 2, 7)) AND i.object_id IN ";

const FOREIGN_KEYS: &str = "\
SELECT CAST(f.parent_object_id AS int), CAST(f.object_id AS int), f.name, CAST(f.referenced_object_id AS int), \
  CAST(f.delete_referential_action AS int), CAST(f.update_referential_action AS int), \
  CAST(f.is_disabled AS bit), CAST(f.is_not_trusted AS bit), \
  CAST(k.parent_column_id AS int), CAST(k.referenced_column_id AS int) \
FROM sys.foreign_keys AS f \
JOIN sys.foreign_key_columns AS k ON k.constraint_object_id = f.object_id \
WHERE f.parent_object_id IN ";

const CHECKS: &str = "\
SELECT CAST(k.parent_object_id AS int), k.name, CAST(k.definition AS nvarchar(max)), CAST(k.is_disabled AS bit), CAST(k.is_not_trusted AS bit) \
FROM sys.check_constraints AS k WHERE k.parent_object_id IN ";

const TRIGGERS: &str = "\
SELECT CAST(t.parent_id AS int), t.name, CAST(t.is_disabled AS bit) FROM sys.triggers AS t WHERE t.parent_id IN ";

/// The heap or the clustered index decides how a table is partitioned.
const PARTITIONS: &str = "\
SELECT CAST(i.object_id AS int), c.name \
FROM sys.indexes AS i \
JOIN sys.partition_schemes AS s ON s.data_space_id = i.data_space_id \
JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id AND ic.partition_ordinal > 0 \
JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id \
WHERE i.index_id IN (0, 1) AND i.object_id IN ";

/// Sequences of the database, of which defaults name some.
const SEQUENCES: &str = "\
SELECT s.name, q.name, CAST(q.increment AS nvarchar(40)), CAST(q.minimum_value AS nvarchar(40)), CAST(q.maximum_value AS nvarchar(40)), \
  CAST(q.is_cycling AS bit) \
FROM sys.sequences AS q JOIN sys.schemas AS s ON s.schema_id = q.schema_id";

/// Tables by their numbers.
type Tables = BTreeMap<i32, TableSchema>;

/// The names of all tables and views by their numbers.
type ObjectNames = BTreeMap<i32, QualifiedName>;

/// The names of columns by the numbers of table and column.
#[derive(Debug)]
struct ColumnNames(BTreeMap<(i32, i32), String>);

impl ColumnNames {
    fn read(rows: &[Row]) -> Result<Self, DatabaseError> {
        let mut names = BTreeMap::new();
        for row in rows {
            names.insert((required(row, 0)?, required(row, 1)?), text(row, 2)?);
        }
        Ok(Self(names))
    }

    fn get(&self, object: i32, number: i32) -> Result<String, DatabaseError> {
        let name = self.0.get(&(object, number)).cloned();
        name.ok_or_else(|| malformed(&format!("no column {number} of object {object}")))
    }
}

/// Reads the schemas of the tables with exactly these schemas and names: two requests, and one
/// more for every thousand tables.
pub(crate) async fn read(
    client: &mut Connection,
    tables: &[QualifiedName],
) -> Result<DatabaseSchema, DatabaseError> {
    let [objects, collation] = results(client.simple_query(OBJECTS).await?).await?;
    let mut names = ObjectNames::new();
    for row in &objects {
        names.insert(required(row, 0)?, (text(row, 1)?, text(row, 2)?));
    }
    let wanted: BTreeSet<&QualifiedName> = tables.iter().collect();
    let ids: Vec<i32> = names
        .iter()
        .filter(|(_, name)| wanted.contains(name))
        .map(|(id, _)| *id)
        .collect();
    let mut schema = DatabaseSchema::default();
    for ids in ids.chunks(MOST_OBJECTS) {
        let found = read_objects(client, ids, &names).await?;
        schema.tables.extend(found.into_values());
    }
    if let Some(row) = collation.first() {
        schema.comparison = optional::<&str>(row, 0)?.and_then(of_collation);
    }
    Ok(schema)
}

/// Reads the tables with these numbers in one request.
async fn read_objects(
    client: &mut Connection,
    ids: &[i32],
    names: &ObjectNames,
) -> Result<Tables, DatabaseError> {
    let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
    let ids = format!("({})", ids.join(", "));
    let request = [
        format!("{TABLES}{ids}"),
        format!("{ROWS}{ids} GROUP BY p.object_id"),
        format!("{COLUMNS}{ids} ORDER BY c.object_id, c.column_id"),
        SEQUENCES.to_owned(),
        format!(
            "{INDEXES}{ids} ORDER BY i.object_id, i.index_id, ic.key_ordinal, ic.index_column_id"
        ),
        format!("{COLUMN_NAMES}{ids} OR c.object_id IN ({REFERENCED}{ids})"),
        format!("{FOREIGN_KEYS}{ids} ORDER BY f.object_id, k.constraint_column_id"),
        format!("{CHECKS}{ids} ORDER BY k.name"),
        format!("{TRIGGERS}{ids} ORDER BY t.name"),
        format!("{PARTITIONS}{ids} ORDER BY i.object_id, ic.partition_ordinal"),
    ];
    let answer = client.simple_query(request.join("; ")).await?;
    let [
        tables,
        rows,
        columns,
        sequences,
        indexes,
        column_names,
        keys,
        checks,
        triggers,
        partitions,
    ] = results(answer).await?;
    let sequences: Result<Vec<Numbering>, _> = sequences.iter().map(sequence).collect();
    let sequences = sequences?;
    let mut found = Tables::new();
    for row in &tables {
        found.insert(required(row, 0)?, table(row)?);
    }
    for row in &rows {
        let counted: Option<i64> = optional(row, 1)?;
        table_of(&mut found, row)?.table.estimated_rows =
            counted.and_then(|rows| u64::try_from(rows).ok());
    }
    for row in &columns {
        add_column(&mut found, row, &sequences)?;
    }
    let column_names = ColumnNames::read(&column_names)?;
    let mut last_index = None;
    for row in &indexes {
        add_index_column(&mut found, row, (&column_names, &mut last_index))?;
    }
    add_foreign_keys(&mut found, &keys, (names, &column_names))?;
    for row in &checks {
        add_check(&mut found, row)?;
    }
    for row in &triggers {
        add_trigger(&mut found, row)?;
    }
    for row in &partitions {
        let column = text(row, 1)?;
        let columns = &mut table_of(&mut found, row)?.partitioned_by;
        columns.get_or_insert_default().push(column);
    }
    Ok(found)
}

fn add_check(tables: &mut Tables, row: &Row) -> Result<(), DatabaseError> {
    let check = Check {
        name: text(row, 1)?,
        condition: optional::<&str>(row, 2)?.unwrap_or_default().to_owned(),
        state: state(row, 3)?,
    };
    table_of(tables, row)?.checks.push(check);
    Ok(())
}

fn add_trigger(tables: &mut Tables, row: &Row) -> Result<(), DatabaseError> {
    let trigger = Trigger {
        name: text(row, 1)?,
        is_enabled: !required::<bool>(row, 2)?,
    };
    table_of(tables, row)?.triggers.push(trigger);
    Ok(())
}

/// The table that a row belongs to, by the number in its first column.
fn table_of<'a>(tables: &'a mut Tables, row: &Row) -> Result<&'a mut TableSchema, DatabaseError> {
    let id: i32 = required(row, 0)?;
    tables
        .get_mut(&id)
        .ok_or_else(|| malformed(&format!("the catalog describes object {id} in parts only")))
}

fn table(row: &Row) -> Result<TableSchema, DatabaseError> {
    let mut schema = TableSchema::new(Table {
        object: required::<i32>(row, 0)?.into(),
        schema: text(row, 1)?,
        name: text(row, 2)?,
        columns: Vec::new(),
        keys: Vec::new(),
        estimated_rows: None,
        condition: None,
        hint: if required(row, 4)? {
            MEMORY_OPTIMIZED_HINT
        } else {
            ""
        },
        visibility: Visibility {
            is_view: required(row, 3)?,
            ..Visibility::default()
        },
    });
    schema.are_definitions_visible = required::<i32>(row, 5)? == 1;
    Ok(schema)
}

fn small<T: TryFrom<i32>>(row: &Row, at: usize) -> Result<T, DatabaseError> {
    let number: i32 = required(row, at)?;
    T::try_from(number)
        .map_err(|_| malformed(&format!("{number} in column {} of the catalog", at + 1)))
}

/// A whole number that the catalog stores in a `sql_variant`.
fn whole(row: &Row, at: usize) -> Result<Option<i128>, DatabaseError> {
    let number: Option<&str> = optional(row, at)?;
    number
        .map(|number| {
            number
                .parse()
                .map_err(|_| malformed(&format!("`{number}` in place of a whole number")))
        })
        .transpose()
}

fn add_column(
    tables: &mut Tables,
    row: &Row,
    sequences: &[Numbering],
) -> Result<(), DatabaseError> {
    let (name, base) = (text(row, 1)?, text(row, 2)?);
    let (length, precision, scale) = (small(row, 3)?, small(row, 4)?, small(row, 5)?);
    let kind = column_type(&base, scale);
    let is_unicode = base.starts_with('n');
    let column = Column {
        nullable: required(row, 6)?,
        computed: required(row, 7)?,
        has_default: required(row, 13)?,
        repertoire: Repertoire {
            code_page: optional(row, 9)?.filter(|_| kind.is_text() && !is_unicode),
            ..Repertoire::default()
        },
        ..Column::new(&name, kind, &declared(&base, length, precision, scale))
    };
    let default: Option<&str> = optional(row, 10)?;
    let generated: Option<&str> = optional(row, 11)?;
    let increment = whole(row, 12)?;
    let collation: Option<&str> = optional(row, 8)?;
    let table = table_of(tables, row)?;
    let details = table.details_mut(&name);
    details.comparison = collation.and_then(of_collation);
    // The definition is NULL if the user may not see it.
    details.generated = column
        .computed
        .then(|| generated.unwrap_or_default().to_owned());
    if let Some(increment) = increment {
        details.numbering = Some(Numbering {
            sequence: None,
            increment,
            range: None,
            cycles: false,
        });
    } else if let Some(default) = default {
        details.numbering = sequence_of_default(default, sequences);
        if details.numbering.is_none() {
            details.default = Some(default.to_owned());
        }
    }
    table.table.columns.push(column);
    Ok(())
}

/// The sequence of a default that is `(NEXT VALUE FOR [schema].[name])` and nothing else.
fn sequence_of_default(default: &str, sequences: &[Numbering]) -> Option<Numbering> {
    let inner = default.trim().trim_start_matches('(').trim_end_matches(')');
    let (words, name) = inner.trim().split_at_checked("NEXT VALUE FOR ".len())?;
    if !words.eq_ignore_ascii_case("NEXT VALUE FOR ") {
        return None;
    }
    let plain = name.trim().to_lowercase();
    let mut sequences = sequences.iter();
    let found = sequences.find(|numbering| {
        let sequence = numbering.sequence.as_ref();
        sequence.is_some_and(|(schema, name)| {
            let escaped = |name: &str| format!("[{}]", name.to_lowercase().replace(']', "]]"));
            plain == format!("{}.{}", escaped(schema), escaped(name))
        })
    });
    found.cloned()
}

fn sequence(row: &Row) -> Result<Numbering, DatabaseError> {
    let number =
        |at| whole(row, at)?.ok_or_else(|| malformed("a sequence without a step or an end"));
    Ok(Numbering {
        sequence: Some((text(row, 0)?, text(row, 1)?)),
        increment: number(2)?,
        range: Some((number(3)?, number(4)?)),
        cycles: required(row, 5)?,
    })
}

/// What the name of a collation says it respects. Binary collations respect everything.
fn of_collation(name: &str) -> Option<TextComparison> {
    let name = name.to_uppercase();
    let has = |part: &str| name.split('_').any(|word| word == part);
    if has("BIN") || has("BIN2") {
        return Some(TextComparison::EXACT);
    }
    let choose = |yes: &str, no: &str| match (has(yes), has(no)) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    };
    Some(TextComparison {
        respects_case: choose("CS", "CI")?,
        respects_accents: choose("AS", "AI")?,
    })
}

fn add_index_column(
    tables: &mut Tables,
    row: &Row,
    (names, last): (&ColumnNames, &mut Option<(i32, i32)>),
) -> Result<(), DatabaseError> {
    let id = (required(row, 0)?, required(row, 1)?);
    let column = names.get(id.0, required(row, 9)?)?;
    let indexes = &mut table_of(tables, row)?.indexes;
    if *last != Some(id) {
        *last = Some(id);
        let is_ordered = matches!(required::<i32>(row, 7)?, 1 | 2 | 7);
        indexes.push(Index {
            name: text(row, 2)?,
            parts: Vec::new(),
            is_primary: required(row, 3)?,
            is_unique: required(row, 4)?,
            is_enabled: !required::<bool>(row, 5)?,
            filter: optional::<&str>(row, 6)?.map(str::to_owned),
            method: if is_ordered {
                "btree".to_owned()
            } else {
                text(row, 8)?.to_lowercase()
            },
            nulls_are_equal: true,
        });
    }
    if let Some(index) = indexes.last_mut() {
        index.parts.push(KeyPart {
            term: KeyTerm::Column(column),
            is_descending: required(row, 10)?,
        });
    }
    Ok(())
}

/// Adds all foreign keys. Each row is a column of one; the columns and the referenced table are
/// given by their numbers.
fn add_foreign_keys(
    tables: &mut Tables,
    rows: &[Row],
    (names, columns): (&ObjectNames, &ColumnNames),
) -> Result<(), DatabaseError> {
    let mut last: Option<i32> = None;
    for row in rows {
        let (parent, id, referenced) = (required(row, 0)?, required(row, 1)?, required(row, 3)?);
        let keys = &mut table_of(tables, row)?.foreign_keys;
        if last != Some(id) {
            last = Some(id);
            let (schema, table) = names
                .get(&referenced)
                .cloned()
                .ok_or_else(|| malformed(&format!("no name of object {referenced}")))?;
            keys.push(ForeignKey {
                name: text(row, 2)?,
                columns: Vec::new(),
                schema,
                table,
                on_delete: action(required(row, 4)?),
                on_update: action(required(row, 5)?),
                state: state(row, 6)?,
            });
        }
        if let Some(key) = keys.last_mut() {
            let own = columns.get(parent, required(row, 8)?)?;
            key.columns
                .push((own, columns.get(referenced, required(row, 9)?)?));
        }
    }
    Ok(())
}

/// The state of a constraint, from `is_disabled` and, behind it, `is_not_trusted`.
fn state(row: &Row, at: usize) -> Result<ConstraintState, DatabaseError> {
    let (is_disabled, is_untrusted): (bool, bool) = (required(row, at)?, required(row, at + 1)?);
    Ok(ConstraintState::of(!is_disabled, !is_untrusted))
}

/// `delete_referential_action` and `update_referential_action`.
fn action(number: i32) -> Action {
    match number {
        1 => Action::Cascade,
        2 => Action::SetNull,
        3 => Action::SetDefault,
        _ => Action::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_collation_says_what_it_respects() {
        let shown = |name| of_collation(name).map(TextComparison::describe);
        for (name, expected) in [
            (
                "SQL_Latin1_General_CP1_CI_AS",
                "ignores case and respects accents",
            ),
            (
                "Latin1_General_100_CS_AI_SC",
                "respects case and ignores accents",
            ),
            (
                "Latin1_General_100_CI_AI_SC_UTF8",
                "ignores case and accents",
            ),
            ("Latin1_General_BIN2", "respects case and accents"),
        ] {
            assert_eq!(shown(name), Some(expected), "{name}");
        }
        assert_eq!(shown("Unknown"), None);
    }

    #[test]
    fn a_default_names_its_sequence() {
        let sequence = Numbering {
            sequence: Some(("dbo".to_owned(), "Order]s".to_owned())),
            increment: 1,
            range: None,
            cycles: false,
        };
        let found =
            |default: &str| sequence_of_default(default, std::slice::from_ref(&sequence)).is_some();
        assert!(found("(NEXT VALUE FOR [dbo].[Order]]s])"));
        assert!(found("(NEXT VALUE FOR [DBO].[ORDER]]S])"));
        assert!(!found("(NEXT VALUE FOR [dbo].[Orders])"));
        assert!(!found("(NEXT VALUE FOR [dbo].[Order]]s]*(10))"));
        assert!(!found("((1))"));
        assert!(!found("(getdate())"));
    }
}

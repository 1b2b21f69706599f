//! What PostgreSQL's catalog says about the schemas of many tables at once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use crate::engine::database::postgres::catalog::{column_type, estimate};
use crate::engine::database::schema::{
    Action, Check, ConstraintState, DatabaseSchema, ForeignKey, Index, KeyPart, KeyTerm, Numbering,
    QualifiedName, TableSchema, TextComparison, Trigger,
};
use crate::engine::error::DatabaseError;
use crate::engine::values::column::{Column, ColumnType, Table, Visibility};

/// The tables that the parameters name: schemas and names, position by position.
const WANTED: &str = "\
WITH wanted AS ( \
  SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind IN ('v', 'm') AS is_view, c.reltuples \
  FROM unnest($1::text[], $2::text[]) AS w (schema, name) \
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema \
  JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name \
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')) ";

/// Columns that newer versions have are read as JSON. The locale of a collation has had three
/// names.
const COLUMNS: &str = "\
SELECT w.oid, w.schema, w.name, w.is_view, w.reltuples, a.attname::text, \
  NOT (a.attnotnull OR (t.typtype = 'd' AND t.typnotnull)), \
  pg_catalog.format_type(a.atttypid, a.atttypmod), b.typname::text, b.typtype::text, \
  CASE WHEN b.oid <> a.atttypid THEN pg_catalog.format_type(b.oid, b.modifier) END, b.modifier, \
  COALESCE(to_jsonb(a) ->> 'attgenerated', '') <> '', a.attidentity <> '', \
  COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid), CASE WHEN t.typtype = 'd' THEN t.typdefault END), \
  COALESCE((to_jsonb(o) ->> 'collisdeterministic')::boolean, o.oid IS NOT NULL), \
  COALESCE(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale', to_jsonb(o) ->> 'collcollate') \
FROM wanted AS w \
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = w.oid AND a.attnum > 0 AND NOT a.attisdropped \
LEFT JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid \
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
LEFT JOIN pg_catalog.pg_collation AS o ON o.oid = a.attcollation \
LEFT JOIN LATERAL ( \
  WITH RECURSIVE made_of (type, modifier) AS ( \
    SELECT a.atttypid, a.atttypmod \
    UNION ALL \
    SELECT u.typbasetype, u.typtypmod \
    FROM made_of JOIN pg_catalog.pg_type AS u ON u.oid = made_of.type AND u.typtype = 'd') \
  SELECT v.oid, v.typname, v.typtype, made_of.modifier \
  FROM made_of JOIN pg_catalog.pg_type AS v ON v.oid = made_of.type AND v.typtype <> 'd' \
) AS b ON true \
ORDER BY w.oid, a.attnum";

/// An identity column owns its sequence. The sequence of a `serial` column, and one that the user
/// has made, is called in the column's default.
const SEQUENCES: &str = "\
SELECT used.table_oid, used.column_name, n.nspname::text, s.relname::text, \
  q.seqincrement, q.seqmin, q.seqmax, q.seqcycle \
FROM ( \
  SELECT w.oid AS table_oid, a.attname::text AS column_name, d.objid AS sequence_oid \
  FROM wanted AS w \
  JOIN pg_catalog.pg_depend AS d ON d.refobjid = w.oid AND d.deptype = 'i' \
    AND d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass \
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = w.oid AND a.attnum = d.refobjsubid AND a.attidentity <> '' \
  UNION ALL \
  SELECT w.oid, a.attname::text, d.refobjid \
  FROM wanted AS w \
  JOIN pg_catalog.pg_attrdef AS f ON f.adrelid = w.oid \
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = w.oid AND a.attnum = f.adnum \
  JOIN pg_catalog.pg_depend AS d ON d.objid = f.oid \
    AND d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass \
  WHERE pg_catalog.pg_get_expr(f.adbin, f.adrelid) LIKE 'nextval(%::regclass)' \
    AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype) \
) AS used \
JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = used.sequence_oid \
JOIN pg_catalog.pg_class AS s ON s.oid = q.seqrelid \
JOIN pg_catalog.pg_namespace AS n ON n.oid = s.relnamespace";

/// Of an expression, `indkey` is 0 and has no attribute.
const INDEXES: &str = "\
SELECT i.indrelid, x.relname::text, i.indisprimary, i.indisunique, i.indisvalid AND i.indisready, \
  pg_catalog.pg_get_expr(i.indpred, i.indrelid), m.amname::text, \
  COALESCE((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false), \
  ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u (number, place) \
    LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.number AND u.number <> 0 \
    WHERE u.place <= i.indnkeyatts ORDER BY u.place), \
  ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, u.place, false) \
    FROM generate_series(1, i.indnkeyatts) AS u (place) ORDER BY u.place), \
  ARRAY(SELECT u.option & 1 = 1 FROM unnest(i.indoption::int2[]) WITH ORDINALITY AS u (option, place) \
    WHERE u.place <= i.indnkeyatts ORDER BY u.place) \
FROM wanted AS w \
JOIN pg_catalog.pg_index AS i ON i.indrelid = w.oid \
JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid \
JOIN pg_catalog.pg_am AS m ON m.oid = x.relam \
ORDER BY i.indrelid, i.indexrelid";

/// The triggers that check a foreign key can be disabled. The copies of a constraint that belong
/// to partitions of the referenced table are left out.
const FOREIGN_KEYS: &str = "\
SELECT k.conrelid, k.conname::text, pn.nspname::text, p.relname::text, k.confdeltype::text, k.confupdtype::text, \
  to_jsonb(k) ->> 'conenforced' IS DISTINCT FROM 'false' \
    AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger AS t WHERE t.tgconstraint = k.oid AND t.tgenabled = 'D'), \
  k.convalidated, \
  ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place) \
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place), \
  ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (number, place) \
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.place) \
FROM wanted AS w \
JOIN pg_catalog.pg_constraint AS k ON k.conrelid = w.oid AND k.contype = 'f' \
JOIN pg_catalog.pg_class AS p ON p.oid = k.confrelid \
JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace \
WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS up WHERE up.oid = k.conparentid AND up.conrelid = k.conrelid) \
ORDER BY k.conrelid, k.conname";

const CHECKS: &str = "\
SELECT k.conrelid, k.conname::text, pg_catalog.pg_get_expr(k.conbin, k.conrelid), \
  to_jsonb(k) ->> 'conenforced' IS DISTINCT FROM 'false', k.convalidated \
FROM wanted AS w JOIN pg_catalog.pg_constraint AS k ON k.conrelid = w.oid AND k.contype = 'c' \
ORDER BY k.conrelid, k.conname";

/// A trigger for replicas only is not executed for changes of users.
const TRIGGERS: &str = "\
SELECT t.tgrelid, t.tgname::text, t.tgenabled IN ('O', 'A') \
FROM wanted AS w JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = w.oid \
WHERE NOT t.tgisinternal ORDER BY t.tgrelid, t.tgname";

const PARTITIONS: &str = "\
SELECT p.partrelid, \
  ARRAY(SELECT a.attname::text FROM unnest(p.partattrs::int2[]) WITH ORDINALITY AS u (number, place) \
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = u.number ORDER BY u.place) \
FROM wanted AS w JOIN pg_catalog.pg_partitioned_table AS p ON p.partrelid = w.oid";

/// Tables by their numbers.
type Tables = BTreeMap<u32, TableSchema>;

/// Reads the schemas of the tables with exactly these schemas and names.
pub(crate) async fn read(
    client: &Client,
    tables: &[QualifiedName],
) -> Result<DatabaseSchema, DatabaseError> {
    let schemas: Vec<&str> = tables.iter().map(|(schema, _)| schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|(_, name)| name.as_str()).collect();
    let mut found = Tables::new();
    for (statement, add) in READERS {
        let parameters: [&(dyn ToSql + Sync); 2] = [&schemas, &names];
        let statement = format!("{WANTED}{statement}");
        for row in client.query(&statement, &parameters).await? {
            add(&mut found, &row)?;
        }
    }
    Ok(DatabaseSchema {
        tables: found.into_values().collect(),
        // A database's default collation is always deterministic.
        comparison: Some(TextComparison::EXACT),
    })
}

/// Adds one row of a statement.
type Reader = fn(&mut Tables, &Row) -> Result<(), DatabaseError>;

/// The statements in their order; the columns come first, since they make the tables.
const READERS: [(&str, Reader); 7] = [
    (COLUMNS, add_column),
    (SEQUENCES, add_sequence),
    (INDEXES, add_index),
    (FOREIGN_KEYS, add_foreign_key),
    (CHECKS, add_check),
    (TRIGGERS, add_trigger),
    (PARTITIONS, add_partition),
];

/// The table that a row belongs to, by the number in its first column.
fn table_of<'a>(tables: &'a mut Tables, row: &Row) -> Result<&'a mut TableSchema, DatabaseError> {
    let oid: u32 = row.try_get(0)?;
    // Statements of the catalog read it as it is at their start: a table may be new.
    tables.get_mut(&oid).ok_or_else(|| {
        DatabaseError::Malformed(format!("the catalog describes table {oid} in parts only"))
    })
}

fn table(oid: u32, row: &Row) -> Result<TableSchema, DatabaseError> {
    Ok(TableSchema::new(Table {
        object: oid.into(),
        schema: row.try_get(1)?,
        name: row.try_get(2)?,
        columns: Vec::new(),
        keys: Vec::new(),
        estimated_rows: estimate(row.try_get(4)?),
        condition: None,
        hint: "",
        visibility: Visibility {
            is_view: row.try_get(3)?,
            ..Visibility::default()
        },
    }))
}

/// A table without columns has one row without a column.
fn add_column(tables: &mut Tables, row: &Row) -> Result<(), DatabaseError> {
    let oid: u32 = row.try_get(0)?;
    if let Entry::Vacant(new) = tables.entry(oid) {
        new.insert(table(oid, row)?);
    }
    let Some(name) = row.try_get::<_, Option<String>>(5)? else {
        return Ok(());
    };
    let base: &str = row.try_get(8)?;
    let kind = if row.try_get::<_, &str>(9)? == "e" {
        ColumnType::Text { padded: false }
    } else {
        column_type(base, row.try_get(11)?)
    };
    let (is_generated, is_identity): (bool, bool) = (row.try_get(12)?, row.try_get(13)?);
    let expression: Option<String> = row.try_get(14)?;
    let column = Column {
        nullable: row.try_get(6)?,
        computed: is_generated,
        has_default: is_identity || expression.is_some(),
        read_as: match kind {
            ColumnType::Money => Some("numeric".to_owned()),
            _ => row.try_get(10)?,
        },
        ..Column::new(&name, kind, row.try_get(7)?)
    };
    let comparison = match row.try_get::<_, bool>(15)? {
        _ if base == "citext" => Some(TextComparison {
            respects_case: false,
            respects_accents: true,
        }),
        true => Some(TextComparison::EXACT),
        false => row.try_get::<_, Option<&str>>(16)?.and_then(of_locale),
    };
    let table = table_of(tables, row)?;
    let details = table.details_mut(&name);
    details.comparison = comparison.filter(|_| column.kind.is_text());
    if is_generated {
        details.generated = expression;
    } else {
        details.default = expression;
    }
    table.table.columns.push(column);
    Ok(())
}

/// How a nondeterministic collation of ICU compares texts, by the strength that its locale names.
fn of_locale(locale: &str) -> Option<TextComparison> {
    let locale = locale.to_lowercase();
    let has = |names: [&str; 3]| names.iter().any(|name| locale.contains(name));
    let ignores_accents = has(["ks-level1", "colstrength=primary", "strength=primary"]);
    let ignores_case = has(["ks-level2", "colstrength=secondary", "strength=secondary"]);
    // A level for case alone makes other combinations.
    let is_known = (ignores_accents || ignores_case) && !has(["kc-", "colcaselevel", "caselevel"]);
    is_known.then_some(TextComparison {
        respects_case: false,
        respects_accents: !ignores_accents,
    })
}

fn add_sequence(tables: &mut Tables, row: &Row) -> Result<(), DatabaseError> {
    let column: String = row.try_get(1)?;
    let number = |at| row.try_get::<_, i64>(at).map(i128::from);
    let numbering = Numbering {
        sequence: Some((row.try_get(2)?, row.try_get(3)?)),
        increment: number(4)?,
        range: Some((number(5)?, number(6)?)),
        cycles: row.try_get(7)?,
    };
    let details = table_of(tables, row)?.details_mut(&column);
    details.default = None;
    details.numbering = Some(numbering);
    Ok(())
}

fn add_index(tables: &mut Tables, row: &Row) -> Result<(), DatabaseError> {
    let names: Vec<Option<String>> = row.try_get(8)?;
    let expressions: Vec<String> = row.try_get(9)?;
    let descending: Vec<bool> = row.try_get(10)?;
    let parts = names.into_iter().zip(expressions).enumerate();
    let index = Index {
        name: row.try_get(1)?,
        parts: parts
            .map(|(at, (name, expression))| KeyPart {
                term: name.map_or(KeyTerm::Expression(expression), KeyTerm::Column),
                is_descending: descending.get(at).copied().unwrap_or_default(),
            })
            .collect(),
        is_primary: row.try_get(2)?,
        is_unique: row.try_get(3)?,
        is_enabled: row.try_get(4)?,
        filter: row.try_get(5)?,
        method: row.try_get(6)?,
        nulls_are_equal: row.try_get(7)?,
    };
    table_of(tables, row)?.indexes.push(index);
    Ok(())
}

fn add_foreign_key(tables: &mut Tables, row: &Row) -> Result<(), DatabaseError> {
    let (own, referenced): (Vec<String>, Vec<String>) = (row.try_get(8)?, row.try_get(9)?);
    let key = ForeignKey {
        name: row.try_get(1)?,
        columns: own.into_iter().zip(referenced).collect(),
        schema: row.try_get(2)?,
        table: row.try_get(3)?,
        on_delete: action(row.try_get(4)?),
        on_update: action(row.try_get(5)?),
        state: ConstraintState::of(row.try_get(6)?, row.try_get(7)?),
    };
    table_of(tables, row)?.foreign_keys.push(key);
    Ok(())
}

/// NO ACTION (`a`) and RESTRICT (`r`) both refuse.
fn action(letter: &str) -> Action {
    match letter {
        "c" => Action::Cascade,
        "n" => Action::SetNull,
        "d" => Action::SetDefault,
        _ => Action::Refuse,
    }
}

fn add_check(tables: &mut Tables, row: &Row) -> Result<(), DatabaseError> {
    let check = Check {
        name: row.try_get(1)?,
        condition: row.try_get(2)?,
        state: ConstraintState::of(row.try_get(3)?, row.try_get(4)?),
    };
    table_of(tables, row)?.checks.push(check);
    Ok(())
}

fn add_trigger(tables: &mut Tables, row: &Row) -> Result<(), DatabaseError> {
    let trigger = Trigger {
        name: row.try_get(1)?,
        is_enabled: row.try_get(2)?,
    };
    table_of(tables, row)?.triggers.push(trigger);
    Ok(())
}

fn add_partition(tables: &mut Tables, row: &Row) -> Result<(), DatabaseError> {
    let columns = row.try_get(1)?;
    table_of(tables, row)?.partitioned_by = Some(columns);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strength_of_a_locale_says_what_it_ignores() {
        let shown = |locale| of_locale(locale).map(TextComparison::describe);
        let ignores_case = Some("ignores case and respects accents");
        assert_eq!(shown("und-u-ks-level2"), ignores_case);
        assert_eq!(shown("@colStrength=secondary"), ignores_case);
        assert_eq!(shown("und-u-ks-level1"), Some("ignores case and accents"));
        assert_eq!(shown("und-u-ks-level1-kc-true"), None);
        assert_eq!(shown("de-u-co-phonebk"), None);
    }
}

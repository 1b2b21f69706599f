//! The statements that read rows, in each database's dialect.

use shared::endpoint::DatabaseKind;

use crate::engine::database::scan::Query;
use crate::engine::database::scan::equals::{equals, is_certain};
use crate::engine::database::session::{postgres, sql_server};
use crate::engine::plan::Plan;
use crate::engine::rows::element::KeyForm;
use crate::engine::values::canonical::Values;
use crate::engine::values::column::{Column, ColumnType, SideOf, Table};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::reading::Reading;

/// The most parameters that SQL Server takes in one statement is 2100.
const MOST_PARAMETERS: usize = 2000;

/// One side of a planned comparison, as its database sees it.
#[derive(Debug, Clone)]
pub(crate) struct SideStatements {
    engine: DatabaseKind,
    table: String,
    columns: Vec<Column>,
    readings: Vec<Reading>,
    key_columns: usize,
    /// The key, where its form has no room for a NULL.
    never_null: Option<String>,
    /// What rows must meet to take part.
    condition: Option<String>,
}

impl SideStatements {
    /// The statements for one side of `plan`.
    #[must_use]
    pub(crate) fn new(engine: DatabaseKind, table: &Table, plan: &Plan, side: SideOf) -> Self {
        let columns: Vec<Column> = plan
            .columns
            .iter()
            .map(|pair| pair.on(side).clone())
            .collect();
        let readings = plan.columns.iter().map(|pair| pair.reading(side)).collect();
        let qualified = qualified(engine, &table.schema, &table.name);
        let never_null = (plan.key_form == KeyForm::Uuid)
            .then(|| columns.first().map(|column| column.name.clone()))
            .flatten();
        Self {
            engine,
            table: qualified,
            never_null,
            columns,
            readings,
            key_columns: plan.key_columns,
            condition: table.condition.clone(),
        }
    }

    /// The same with other columns, of which those of the key are the first.
    #[must_use]
    pub(crate) fn with_columns(self, columns: Vec<(Column, Reading)>) -> Self {
        let (columns, readings) = columns.into_iter().unzip();
        Self {
            columns,
            readings,
            ..self
        }
    }

    /// All columns of all rows.
    #[must_use]
    pub(crate) fn scan(&self) -> Query {
        self.select(self.columns.len(), None, Vec::new())
    }

    /// The key columns of all rows.
    #[must_use]
    pub(crate) fn scan_keys(&self) -> Query {
        self.select(self.key_columns, None, Vec::new())
    }

    /// How many keys one look-up can take at most.
    #[must_use]
    pub(crate) fn keys_at_once(&self) -> usize {
        match self.engine {
            DatabaseKind::Postgres => usize::MAX,
            DatabaseKind::SqlServer => MOST_PARAMETERS / self.key_columns.max(1),
        }
    }

    /// All compared columns of the rows with these keys, each given by its
    /// encoded columns. Rows with other keys may come too, where the database
    /// takes different values for equal. `None` where no row of this side can
    /// have one of the keys.
    #[must_use]
    pub(crate) fn look_up(&self, keys: &[Vec<u8>]) -> Option<Query> {
        let mut parameters = Vec::new();
        let mut alternatives = Vec::with_capacity(keys.len());
        for key in keys {
            let asked = parameters.len();
            let terms: Option<Vec<String>> = Values::new(key)
                .flatten()
                .zip(&self.columns)
                .map(|(value, column)| equals(self.engine, column, value, &mut parameters))
                .collect();
            match terms {
                Some(terms) => alternatives.push(format!("({})", terms.join(" AND "))),
                None => parameters.truncate(asked),
            }
        }
        (!alternatives.is_empty()).then(|| {
            self.select(
                self.columns.len(),
                Some(&alternatives.join(" OR ")),
                parameters,
            )
        })
    }

    /// Whether a look-up finds the rows with this encoded key for certain.
    #[must_use]
    pub(crate) fn finds(&self, key: &[u8]) -> bool {
        Values::new(key)
            .flatten()
            .zip(&self.columns)
            .all(|(value, column)| is_certain(self.engine, column, value))
    }

    /// The first `count` columns of the rows that take part and meet `asked`.
    fn select(&self, count: usize, asked: Option<&str>, parameters: Vec<String>) -> Query {
        let list: Vec<String> = self
            .columns
            .iter()
            .zip(&self.readings)
            .take(count)
            .map(|(column, reading)| self.expression(column, reading))
            .collect();
        let condition = match (&self.condition, asked) {
            (None, None) => String::new(),
            (None, Some(asked)) => format!(" WHERE {asked}"),
            (Some(own), None) => format!(" WHERE ({own})"),
            (Some(own), Some(asked)) => format!(" WHERE ({own}) AND ({asked})"),
        };
        Query {
            statement: format!("SELECT {} FROM {}{condition}", list.join(", "), self.table),
            parameters,
            readings: self.readings[..count].to_vec(),
            key_columns: self.key_columns,
            never_null: self.never_null.clone(),
        }
    }

    fn expression(&self, column: &Column, reading: &Reading) -> String {
        let name = identifier(self.engine, &column.name);
        if let Some(Conversion::DatabaseText(_)) = reading.conversion {
            return match self.engine {
                DatabaseKind::Postgres => format!("{name}::text"),
                DatabaseKind::SqlServer => format!("{} AS {name}", as_text(column, &name)),
            };
        }
        match (&column.read_as, self.engine) {
            (None, _) => name,
            (Some(target), DatabaseKind::Postgres) => format!("{name}::{target}"),
            (Some(target), DatabaseKind::SqlServer) => {
                format!("CAST({name} AS {target}) AS {name}")
            }
        }
    }
}

/// What SQL Server makes of a value as text, without losing anything of it
/// where its own `CAST` does. UTF-16 comes as bytes: a half of a character in
/// it would end the driver's reading.
fn as_text(column: &Column, name: &str) -> String {
    let declared = column.declared.as_str();
    let base = declared.split('(').next().unwrap_or(declared);
    match (&column.kind, base) {
        (_, "hierarchyid") => format!("{name}.ToString()"),
        // As PostGIS writes EWKT: without the system of coordinates, points of
        // different places would be the same text.
        (_, "geography" | "geometry") => format!(
            "CASE {name}.STSrid WHEN 0 THEN N'' ELSE N'SRID=' + CAST({name}.STSrid AS nvarchar(10)) + N';' END + REPLACE(REPLACE({name}.ToString(), N' (', N'('), N', ', N',')"
        ),
        (_, "sql_variant") => variant_as_text(name),
        (ColumnType::Text { .. }, "nchar" | "nvarchar") => {
            format!("CAST({name} AS varbinary(max))")
        }
        (ColumnType::Text { .. }, "ntext") => {
            format!("CAST(CAST({name} AS nvarchar(max)) AS varbinary(max))")
        }
        // 17 digits, which read back as the same float.
        (ColumnType::Float32 | ColumnType::Float64, _) => {
            format!("CONVERT(nvarchar(60), {name}, 3)")
        }
        // Four digits after the point.
        (ColumnType::Money, _) => format!("CONVERT(nvarchar(60), {name}, 2)"),
        // ISO 8601.
        (
            ColumnType::Date
            | ColumnType::Time(_)
            | ColumnType::Timestamp(_)
            | ColumnType::DateTime
            | ColumnType::Instant(_),
            _,
        ) => format!("CONVERT(nvarchar(60), {name}, 126)"),
        // Hexadecimal after 0x.
        (ColumnType::Bytes, _) => {
            format!("CONVERT(nvarchar(max), CAST({name} AS varbinary(max)), 1)")
        }
        _ => format!("CAST({name} AS nvarchar(max))"),
    }
}

/// A `sql_variant` as text, by the type of each value: its own `CAST` would
/// write six digits of a float, minutes of a `datetime`, two digits of money.
fn variant_as_text(name: &str) -> String {
    let mut cases = String::new();
    for (base, style) in [
        ("float", 3),
        ("real", 3),
        ("money", 2),
        ("smallmoney", 2),
        ("date", 126),
        ("time", 126),
        ("datetime", 126),
        ("smalldatetime", 126),
        ("datetime2", 126),
        ("datetimeoffset", 126),
    ] {
        cases.push_str(&format!(
            " WHEN N'{base}' THEN CONVERT(nvarchar(60), CAST({name} AS {base}), {style})"
        ));
    }
    for base in ["binary", "varbinary"] {
        cases.push_str(&format!(
            " WHEN N'{base}' THEN CONVERT(nvarchar(max), CAST({name} AS varbinary(8000)), 1)"
        ));
    }
    // Of text, more characters than an nvarchar(4000) holds: as its collation
    // and its bytes, since each value has a code page of its own.
    format!(
        "CASE WHEN CAST(SQL_VARIANT_PROPERTY({name}, 'BaseType') AS nvarchar(128)) IN (N'char', N'varchar') AND DATALENGTH({name}) > 4000 \
         THEN CAST(SQL_VARIANT_PROPERTY({name}, 'Collation') AS nvarchar(128)) + N':' + CONVERT(nvarchar(max), CAST({name} AS varbinary(8000)), 1) \
         ELSE CASE CAST(SQL_VARIANT_PROPERTY({name}, 'BaseType') AS nvarchar(128)){cases} ELSE CAST({name} AS nvarchar(4000)) END END"
    )
}

/// The statement that counts the rows of a table that take part.
#[must_use]
pub(crate) fn count(engine: DatabaseKind, table: &Table) -> String {
    let name = qualified(engine, &table.schema, &table.name);
    let condition = table
        .condition
        .as_ref()
        .map(|condition| format!(" WHERE ({condition})"))
        .unwrap_or_default();
    match engine {
        DatabaseKind::Postgres => format!("SELECT count(*) FROM {name}{condition}"),
        DatabaseKind::SqlServer => format!("SELECT COUNT_BIG(*) FROM {name}{condition}"),
    }
}

pub(crate) fn identifier(engine: DatabaseKind, name: &str) -> String {
    match engine {
        DatabaseKind::Postgres => postgres::identifier(name),
        DatabaseKind::SqlServer => sql_server::identifier(name),
    }
}

/// Schema and name of a table, quoted.
#[must_use]
pub(crate) fn qualified(engine: DatabaseKind, schema: &str, name: &str) -> String {
    format!(
        "{}.{}",
        identifier(engine, schema),
        identifier(engine, name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(declared: &str) -> String {
        let column = Column {
            name: "v".to_owned(),
            kind: ColumnType::Other,
            declared: declared.to_owned(),
            nullable: true,
            read_as: None,
            repertoire: crate::engine::values::column::Repertoire::default(),
        };
        as_text(&column, "[v]")
    }

    #[test]
    fn a_variant_becomes_text_by_the_type_of_its_value() {
        let sql = text_of("sql_variant");
        for part in [
            "WHEN N'float' THEN CONVERT(nvarchar(60), CAST([v] AS float), 3)",
            "WHEN N'real' THEN CONVERT(nvarchar(60), CAST([v] AS real), 3)",
            "WHEN N'smallmoney' THEN CONVERT(nvarchar(60), CAST([v] AS smallmoney), 2)",
            "WHEN N'datetime' THEN CONVERT(nvarchar(60), CAST([v] AS datetime), 126)",
            "WHEN N'datetimeoffset' THEN CONVERT(nvarchar(60), CAST([v] AS datetimeoffset), 126)",
            "WHEN N'binary' THEN CONVERT(nvarchar(max), CAST([v] AS varbinary(8000)), 1)",
            "DATALENGTH([v]) > 4000 THEN CAST(SQL_VARIANT_PROPERTY([v], 'Collation') AS nvarchar(128))",
            "ELSE CAST([v] AS nvarchar(4000)) END END",
        ] {
            assert!(sql.contains(part), "{part} is not in {sql}");
        }
        assert_eq!(
            sql.matches("CASE ").count(),
            sql.matches(" END").count(),
            "{sql}"
        );
    }

    #[test]
    fn a_place_names_its_system_of_coordinates() {
        for declared in ["geography", "geometry"] {
            assert_eq!(
                text_of(declared),
                "CASE [v].STSrid WHEN 0 THEN N'' ELSE N'SRID=' + CAST([v].STSrid AS nvarchar(10)) + N';' END \
                 + REPLACE(REPLACE([v].ToString(), N' (', N'('), N', ', N',')"
            );
        }
        assert_eq!(text_of("hierarchyid"), "[v].ToString()");
    }
}

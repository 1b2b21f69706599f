//! The statements that read rows, in each database's dialect.

use shared::endpoint::Engine;

use super::equals::{equals, is_certain};
use super::{Query, Reading};
use crate::engine::canonical::Values;
use crate::engine::column::{Column, ColumnType, Table};
use crate::engine::conversion::Conversion;
use crate::engine::element::KeyForm;
use crate::engine::plan::Plan;
use crate::engine::session::{postgres, sql_server};

/// The most parameters that SQL Server takes in one statement is 2100.
const MOST_PARAMETERS: usize = 2000;

/// One side of a planned comparison, as its database sees it.
#[derive(Debug, Clone)]
pub struct SideStatements {
    engine: Engine,
    table: String,
    columns: Vec<Column>,
    readings: Vec<Reading>,
    key_columns: usize,
    /// The key, where its form has no room for a NULL.
    never_null: Option<String>,
    /// What rows must meet to take part.
    condition: Option<String>,
}

/// Which side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideOf {
    /// The truth.
    Source,
    /// The copy.
    Target,
}

impl SideStatements {
    /// The statements for one side of `plan`.
    #[must_use]
    pub fn new(engine: Engine, table: &Table, plan: &Plan, side: SideOf) -> Self {
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
    pub fn with_columns(self, columns: Vec<(Column, Reading)>) -> Self {
        let (columns, readings) = columns.into_iter().unzip();
        Self {
            columns,
            readings,
            ..self
        }
    }

    /// All columns of all rows.
    #[must_use]
    pub fn scan(&self) -> Query {
        self.select(self.columns.len(), None, Vec::new())
    }

    /// The key columns of all rows.
    #[must_use]
    pub fn scan_keys(&self) -> Query {
        self.select(self.key_columns, None, Vec::new())
    }

    /// How many keys one look-up can take at most.
    #[must_use]
    pub fn keys_at_once(&self) -> usize {
        match self.engine {
            Engine::Postgres => usize::MAX,
            Engine::SqlServer => MOST_PARAMETERS / self.key_columns.max(1),
        }
    }

    /// All compared columns of the rows with these keys, each given by its
    /// encoded columns. Rows with other keys may come too, where the database
    /// takes different values for equal. `None` where no row of this side can
    /// have one of the keys.
    #[must_use]
    pub fn look_up(&self, keys: &[Vec<u8>]) -> Option<Query> {
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
    pub fn finds(&self, key: &[u8]) -> bool {
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
                Engine::Postgres => format!("{name}::text"),
                Engine::SqlServer => format!("{} AS {name}", as_text(column, &name)),
            };
        }
        match (&column.read_as, self.engine) {
            (None, _) => name,
            (Some(target), Engine::Postgres) => format!("{name}::{target}"),
            (Some(target), Engine::SqlServer) => format!("CAST({name} AS {target}) AS {name}"),
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
        (_, "hierarchyid" | "geography" | "geometry") => format!("{name}.ToString()"),
        (_, "sql_variant") => format!("CAST({name} AS nvarchar(4000))"),
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

/// The statement that counts the rows of a table that take part.
#[must_use]
pub fn count(engine: Engine, table: &Table) -> String {
    let name = qualified(engine, &table.schema, &table.name);
    let condition = table
        .condition
        .as_ref()
        .map(|condition| format!(" WHERE ({condition})"))
        .unwrap_or_default();
    match engine {
        Engine::Postgres => format!("SELECT count(*) FROM {name}{condition}"),
        Engine::SqlServer => format!("SELECT COUNT_BIG(*) FROM {name}{condition}"),
    }
}

pub(super) fn identifier(engine: Engine, name: &str) -> String {
    match engine {
        Engine::Postgres => postgres::identifier(name),
        Engine::SqlServer => sql_server::identifier(name),
    }
}

/// Schema and name of a table, quoted.
#[must_use]
pub fn qualified(engine: Engine, schema: &str, name: &str) -> String {
    format!(
        "{}.{}",
        identifier(engine, schema),
        identifier(engine, name)
    )
}

//! The statements that read rows, in each database's dialect.

use std::sync::Arc;

use shared::endpoint::DatabaseKind;

use crate::engine::database::dialect::Dialect;
use crate::engine::database::kinds::database;
use crate::engine::database::scan::{Query, Undecoded, ValueLimits};
use crate::engine::plan::Plan;
use crate::engine::rows::element::KeyForm;
use crate::engine::values::canonical::Values;
use crate::engine::values::column::{Column, ColumnType, SideOf, Table};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::reading::{Reading, Stored};

/// One side of a planned comparison, as its database sees it.
#[derive(Debug, Clone)]
pub(crate) struct SideStatements {
    dialect: &'static dyn Dialect,
    table: String,
    columns: Vec<Column>,
    readings: Vec<Reading>,
    key_columns: usize,
    /// The key, where its form has no room for a NULL.
    never_null: Option<String>,
    /// What rows must meet to take part.
    condition: Option<String>,
    undecoded: Option<Arc<Undecoded>>,
    limits: ValueLimits,
}

impl SideStatements {
    pub(crate) fn new(
        dialect: &'static dyn Dialect,
        table: &Table,
        plan: &Plan,
        side: SideOf,
        limits: ValueLimits,
    ) -> Self {
        let read = plan
            .columns
            .iter()
            .map(|pair| (pair.on(side).clone(), pair.reading(side)));
        let (columns, readings) = as_read(read);
        let qualified = read_from(dialect, table);
        let never_null = (plan.key_form == KeyForm::Uuid)
            .then(|| columns.first().map(|column| column.name.clone()))
            .flatten();
        let statements = Self {
            dialect,
            table: qualified,
            never_null,
            columns,
            readings,
            key_columns: plan.key_columns,
            condition: table.condition.clone(),
            undecoded: None,
            limits,
        };
        statements.with_undecoded()
    }

    fn with_undecoded(mut self) -> Self {
        let (columns, list): (Vec<(String, bool)>, Vec<String>) = self
            .columns
            .iter()
            .zip(&self.readings)
            .filter_map(|(column, reading)| {
                let undecoded = self.dialect.undecoded(column, reading)?;
                let as_text = matches!(reading.conversion, Some(Conversion::DatabaseText(_)));
                Some(((column.name.clone(), as_text), undecoded))
            })
            .unzip();
        let condition = self.condition.as_ref();
        let condition = condition.map_or_else(String::new, |own| format!(" WHERE ({own})"));
        self.undecoded = (!columns.is_empty()).then(|| {
            let statement = format!("SELECT {} FROM {}{condition}", list.join(", "), self.table);
            Arc::new(Undecoded { columns, statement })
        });
        self
    }

    /// The same with other columns, of which those of the key are the first.
    pub(crate) fn with_columns(self, columns: Vec<(Column, Reading)>) -> Self {
        let (columns, readings) = as_read(columns);
        let statements = Self {
            columns,
            readings,
            ..self
        };
        statements.with_undecoded()
    }

    /// All columns of all rows.
    pub(crate) fn scan(&self) -> Query {
        self.select(self.columns.len(), None, Vec::new())
    }

    /// All columns of `count` rows, whichever come first.
    pub(crate) fn sample(&self, count: u64) -> Query {
        let scan = self.scan();
        Query {
            statement: self.dialect.first_rows(&scan.statement, count),
            ..scan
        }
    }

    /// The key columns of all rows.
    pub(crate) fn scan_keys(&self) -> Query {
        self.select(self.key_columns, None, Vec::new())
    }

    /// How many keys one look-up can take at most.
    pub(crate) fn keys_at_once(&self) -> usize {
        self.dialect.facts().max_parameters / self.key_columns.max(1)
    }

    /// All compared columns of the rows with these keys, each given by its
    /// encoded columns. Rows with other keys may come too, where the database
    /// takes different values for equal. `None` where no row of this side can
    /// have one of the keys.
    pub(crate) fn look_up(&self, keys: &[Vec<u8>]) -> Option<Query> {
        let mut parameters = Vec::new();
        let mut alternatives = Vec::with_capacity(keys.len());
        for key in keys {
            let asked = parameters.len();
            let terms: Option<Vec<String>> = Values::new(key)
                .flatten()
                .zip(&self.columns)
                .map(|(value, column)| self.dialect.look_up_term(column, value, &mut parameters))
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
    pub(crate) fn finds(&self, key: &[u8]) -> bool {
        Values::new(key)
            .flatten()
            .zip(&self.columns)
            .all(|(value, column)| self.dialect.is_found(column, value))
    }

    /// The first `count` columns of the rows that take part and meet `asked`.
    fn select(&self, count: usize, asked: Option<&str>, parameters: Vec<String>) -> Query {
        let columns = self.columns.iter().zip(&self.readings).take(count);
        let columns: Vec<(&Column, &Reading)> = columns.collect();
        let list = self.dialect.list(&columns, self.limits.value);
        let condition = match (&self.condition, asked) {
            (None, None) => String::new(),
            (None, Some(asked)) => format!(" WHERE {asked}"),
            (Some(own), None) => format!(" WHERE ({own})"),
            (Some(own), Some(asked)) => format!(" WHERE ({own}) AND ({asked})"),
        };
        Query {
            statement: format!(
                "SELECT {} FROM {}{condition}",
                list.items.join(", "),
                self.table
            ),
            marks_large: list.marks_large,
            parameters,
            readings: self.readings[..count].to_vec(),
            key_columns: self.key_columns,
            undecoded: self.undecoded.clone(),
            never_null: self.never_null.clone(),
            names: columns
                .iter()
                .map(|(column, _)| column.name.clone())
                .collect(),
            limits: self.limits,
        }
    }
}

/// Columns and readings side by side. A column that is read without its trailing
/// blanks is looked up like one that is filled with them.
fn as_read(read: impl IntoIterator<Item = (Column, Reading)>) -> (Vec<Column>, Vec<Reading>) {
    read.into_iter()
        .map(|(mut column, reading)| {
            if reading.stored == Stored::PaddedText && column.kind.is_text() {
                column.kind = ColumnType::Text { padded: true };
            }
            (column, reading)
        })
        .unzip()
}

/// The table as it stands behind `FROM`.
fn read_from(dialect: &dyn Dialect, table: &Table) -> String {
    let name = dialect.qualified(&table.schema, &table.name);
    format!("{name}{}", table.hint)
}

/// The statement that counts the rows of a table that take part.
pub(crate) fn count(kind: DatabaseKind, table: &Table) -> String {
    let dialect = database(kind);
    let name = read_from(dialect, table);
    let condition = table
        .condition
        .as_ref()
        .map(|condition| format!(" WHERE ({condition})"))
        .unwrap_or_default();
    format!("SELECT {} FROM {name}{condition}", dialect.facts().count)
}

//! The tables of an embedding program's run: what the program requests, and what
//! the function receives.

use std::time::Duration;

use shared::ids::{Attempt, TableName, TableNameError};
use shared::message::{ColumnSelection, Side, TableSpec, Task};
use shared::outcome::Depth;

use crate::run_state::PlannedTable;

/// A table of a run, with its own options.
///
/// ```
/// use std::time::Duration;
/// use coordinator::parallel::{Table, TableName};
///
/// let orders: TableName = "dbo.orders".parse()?;
/// let table = Table::new(orders)
///     .target("sales.orders".parse()?)
///     .timeout(Duration::from_secs(7200))
///     .priority(10);
/// assert_eq!(table.source().to_string(), "dbo.orders");
/// # Ok::<(), coordinator::parallel::TableNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub(super) source: TableName,
    pub(super) target: TableName,
    pub(super) timeout: Option<Duration>,
    priority: i32,
    estimated_rows: Option<u64>,
}

impl Table {
    /// A table that has the same name on both sides, with the options of its run.
    #[must_use]
    pub fn new(name: TableName) -> Self {
        Self {
            target: name.clone(),
            source: name,
            timeout: None,
            priority: 0,
            estimated_rows: None,
        }
    }

    /// Its name in the target.
    #[must_use]
    pub fn target(self, target: TableName) -> Self {
        Self { target, ..self }
    }

    /// How long one attempt may take, at least 1 ms.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self {
            timeout: Some(timeout),
            ..self
        }
    }

    /// A higher priority starts first. Default: 0.
    #[must_use]
    pub fn priority(self, priority: i32) -> Self {
        Self { priority, ..self }
    }

    /// Among equal priorities the largest table starts first, so that it does not
    /// run alone at the end. Default: unknown, after all others.
    #[must_use]
    pub fn estimated_rows(self, rows: u64) -> Self {
        Self {
            estimated_rows: Some(rows),
            ..self
        }
    }

    /// Its name in the source.
    #[must_use]
    pub fn source(&self) -> &TableName {
        &self.source
    }

    pub(super) fn planned(&self, timeout: Duration) -> PlannedTable {
        let side = |endpoint: &str, table: &TableName| Side {
            endpoint: endpoint.to_owned(),
            table: table.clone(),
        };
        PlannedTable {
            spec: TableSpec {
                source: side("source", &self.source),
                target: side("target", &self.target),
                // The function decides what it compares; its answer need not have more.
                depth: Depth::Counts,
                key: None,
                columns: ColumnSelection::default(),
                max_differences: u32::MAX,
                chunk_size: 1,
                timeout: self.timeout.unwrap_or(timeout),
                options: shared::options::TableOptions::default(),
            },
            priority: self.priority,
            estimated_rows: self.estimated_rows,
        }
    }
}

/// The name of a table: a text such as `orders`, `dbo.orders` or
/// `dbo."order.lines"`, a [`TableName`], or a [`Table`] with options.
pub trait IntoTable {
    /// The table.
    ///
    /// # Errors
    ///
    /// When a text is not a table name.
    fn into_table(self) -> Result<Table, TableNameError>;
}

impl IntoTable for Table {
    fn into_table(self) -> Result<Table, TableNameError> {
        Ok(self)
    }
}

impl IntoTable for TableName {
    fn into_table(self) -> Result<Table, TableNameError> {
        Ok(Table::new(self))
    }
}

impl IntoTable for &str {
    fn into_table(self) -> Result<Table, TableNameError> {
        self.parse().map(Table::new)
    }
}

impl IntoTable for String {
    fn into_table(self) -> Result<Table, TableNameError> {
        self.as_str().into_table()
    }
}

impl<T: IntoTable + Clone> IntoTable for &T {
    fn into_table(self) -> Result<Table, TableNameError> {
        self.clone().into_table()
    }
}

/// The table that a function is to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableJob {
    /// The table in the source.
    pub source: TableName,
    /// The table in the target.
    pub target: TableName,
    /// The attempt.
    pub attempt: Attempt,
    /// How long it may take, from about now.
    pub timeout: Duration,
}

impl TableJob {
    pub(super) fn of(task: &Task) -> Self {
        Self {
            source: task.spec.source.table.clone(),
            target: task.spec.target.table.clone(),
            attempt: task.attempt,
            timeout: task.spec.timeout,
        }
    }
}

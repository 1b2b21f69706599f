//! The report of a run: the result of every table, in one structure that is
//! rendered as JSON, as CSV or for the console.

mod build;
mod console;
mod csv;
mod model;
mod output;
#[cfg(test)]
mod schema;
mod scope;
#[cfg(test)]
mod sums;
#[cfg(test)]
mod tests;

pub(crate) use build::ReportData;
#[cfg(test)]
pub(crate) use model::Requested;
pub use model::{
    AttemptReport, DatabaseReport, RepairReport, RootCauseReport, RunReport, SCHEMA_VERSION,
    TableError, TableResult,
};
pub(crate) use output::{Output, OutputError, write_stdout};
pub use scope::{ColumnCounts, Pairings, Scope};

pub use crate::run_state::{Origin, ReportVerdict, RunStatus};

impl RunReport {
    /// The report as one JSON document.
    ///
    /// # Panics
    ///
    /// Never: all keys are strings and no serialiser fails.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("the report has string keys and no failing serialisers");
        text.push('\n');
        text
    }

    /// The report as CSV: a header and one line per table.
    #[must_use]
    pub fn to_csv(&self) -> String {
        csv::render(self)
    }

    /// The report for the console, with colours if `colour`.
    #[must_use]
    pub fn to_console(&self, colour: bool) -> String {
        console::render(self, colour)
    }
}

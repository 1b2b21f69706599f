//! The report of a run: the result of every table, in one structure that is
//! rendered in each of the forms that [`ReportFormat`] names.

mod build;
mod changes;
mod console;
mod csv;
mod examples;
mod facts;
mod headline;
mod html;
mod junit;
mod limits;
mod markdown;
mod model;
mod one_table;
mod output;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod schema;
mod scope;
mod slowest;
#[cfg(test)]
mod sums;
#[cfg(test)]
mod tests;
mod visible;
mod wording;

use shared::config::ReportFormat;

pub(crate) use build::ReportData;
pub(crate) use changes::RunChanges;
#[cfg(test)]
pub(crate) use model::Requested;
pub use model::{
    AttemptReport, DatabaseReport, RepairReport, RootCauseReport, RunReport, SCHEMA_VERSION,
    TableError, TableResult,
};
pub(crate) use one_table::{OneTable, status_of};
pub(crate) use output::{Output, OutputError, write_stdout};
pub use scope::{ColumnCounts, Pairings, Scope};

pub use crate::run_state::{Origin, ReportVerdict, RunStatus, SelectedFrom};

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

    /// The report as one HTML page without references to other files.
    #[must_use]
    pub fn to_html(&self) -> String {
        html::render(self)
    }

    /// The report as JUnit XML, with one test case per table.
    #[must_use]
    pub fn to_junit(&self) -> String {
        junit::render(self)
    }

    /// The report as Markdown, at most 1 MiB.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        markdown::render(self)
    }

    /// The report in this form; for the console with colours if `colour`.
    pub(crate) fn render(&self, format: ReportFormat, colour: bool) -> String {
        match format {
            ReportFormat::Console => self.to_console(colour),
            ReportFormat::Json => self.to_json(),
            ReportFormat::Csv => self.to_csv(),
            ReportFormat::Html => self.to_html(),
            ReportFormat::Junit => self.to_junit(),
            ReportFormat::Markdown => self.to_markdown(),
        }
    }
}

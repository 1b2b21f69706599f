//! The report of a check in the format that the user chose.

use shared::config::ReportFormat;

use super::console::to_console;
use super::csv::to_csv;
use super::json::to_json;
use crate::check::model::CheckReport;

/// Whether a check has a report in this form.
pub(crate) fn has_form(format: ReportFormat) -> bool {
    matches!(
        format,
        ReportFormat::Console | ReportFormat::Json | ReportFormat::Csv
    )
}

/// The text of the report. Forms that a check does not [have](has_form) are those of the console.
pub(crate) fn render(report: &CheckReport, format: ReportFormat) -> String {
    match format {
        ReportFormat::Console
        | ReportFormat::Html
        | ReportFormat::Junit
        | ReportFormat::Markdown => to_console(report),
        ReportFormat::Json => to_json(report),
        ReportFormat::Csv => to_csv(report),
    }
}

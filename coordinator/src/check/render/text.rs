//! The report of a check in the format that the user chose.

use shared::config::ReportFormat;

use super::console::to_console;
use super::csv::to_csv;
use super::json::to_json;
use crate::check::model::CheckReport;

/// The text of the report.
pub(crate) fn render(report: &CheckReport, format: ReportFormat) -> String {
    match format {
        ReportFormat::Console => to_console(report),
        ReportFormat::Json => to_json(report),
        ReportFormat::Csv => to_csv(report),
    }
}

//! The report of a check as one JSON document.

use crate::check::model::CheckReport;

pub(super) fn to_json(report: &CheckReport) -> String {
    let mut text = serde_json::to_string_pretty(report)
        .expect("the report has string keys and no failing serialisers");
    text.push('\n');
    text
}

//! The tables that were not verified.

use maud::{Markup, html};

use super::budget::Budget;
use super::isolated::isolated;
use crate::report::model::{RunReport, TableError, TableResult};
use crate::report::visible::printable;
use crate::report::wording::{error_line, status_word, title, with_errors};

/// Bytes of all errors.
const ERRORS: usize = 300_000;

pub(super) fn unverified(report: &RunReport) -> Markup {
    let errors: Vec<_> = with_errors(report)
        .filter_map(|(result, error)| Some((result, error?)))
        .collect();
    if errors.is_empty() {
        return html! {};
    }
    let mut budget = Budget(ERRORS);
    let rows = budget.fit(errors.iter().map(|(result, error)| row(result, error)));
    html! {
        section {
            h2 { "Not verified" }
            @if let Some(cause) = &report.root_cause {
                @let line = format!("{}: {}: {}", cause.table, cause.kind, cause.error);
                p { "The run was ended by " (isolated(&printable(&line))) }
            }
            table {
                caption { "Tables of which it is not known whether they are equal" }
                thead { tr {
                    th scope="col" { "Table" }
                    th scope="col" { "Result" }
                    th scope="col" { "Reason" }
                } }
                tbody { @for row in &rows.shown { (row) } }
            }
            (rows.omission("tables", "“All tables” lists them, and the JSON report has their errors"))
        }
    }
}

fn row(result: &TableResult, error: &TableError) -> Markup {
    html! {
        tr {
            th scope="row" { (isolated(&title(result))) }
            td.incomplete { (status_word(result)) }
            td { (isolated(&error_line(error))) }
        }
    }
}

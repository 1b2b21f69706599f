//! What limits the comparison of single tables.

use maud::{Markup, html};

use super::budget::Budget;
use super::isolated::isolated;
use crate::report::limits::limits;
use crate::report::model::{RunReport, TableResult};
use crate::report::wording::title;

/// Bytes of all limits.
const LIMITS: usize = 200_000;

pub(super) fn limits_of(report: &RunReport) -> Markup {
    let results = report.results.iter();
    let tables: Vec<(&TableResult, Vec<String>)> = results
        .map(|result| (result, limits(result)))
        .filter(|(_, limits)| !limits.is_empty())
        .collect();
    if tables.is_empty() {
        return html! {};
    }
    let rows = tables.iter().map(|(result, limits)| row(result, limits));
    let rows = Budget(LIMITS).fit(rows);
    html! {
        section {
            h2 { "Limits of the comparison" }
            table {
                caption { "What the result of a table does not cover" }
                thead { tr {
                    th scope="col" { "Table" }
                    th scope="col" { "Limits" }
                } }
                tbody { @for row in &rows.shown { (row) } }
            }
            (rows.omission("tables with limits", "the JSON report has the coverage of all tables"))
        }
    }
}

fn row(result: &TableResult, limits: &[String]) -> Markup {
    html! {
        tr {
            th scope="row" { (isolated(&title(result))) }
            td { ul { @for limit in limits { li { (isolated(limit)) } } } }
        }
    }
}

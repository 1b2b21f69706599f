//! All tables with their numbers, and the slowest of them.

use maud::{Markup, html};

use super::isolated::isolated;
use crate::report::model::{RunReport, TableResult};
use crate::report::slowest::{duration, slowest};
use crate::report::wording::{status_word, title};
use crate::run_state::TableStatus;

pub(super) fn tables(report: &RunReport) -> Markup {
    html! {
        section.tables {
            h2 { "All tables" }
            table {
                caption { "Every table of the run, in the order of its list" }
                thead { tr {
                    @for heading in ["Table", "Result"] { th scope="col" { (heading) } }
                    @for heading in [
                        "Source rows", "Target rows", "Missing", "Extra", "Modified", "Seconds",
                    ] { th.n scope="col" { (heading) } }
                } }
                tbody { @for result in &report.results { (row(result)) } }
            }
        }
    }
}

fn row(result: &TableResult) -> Markup {
    let class = match result.status {
        TableStatus::Matched => "equal",
        TableStatus::Mismatched => "different",
        TableStatus::Failed | TableStatus::Timeout | TableStatus::Cancelled => "incomplete",
    };
    let numbers = [
        result.source_count,
        result.target_count,
        result.missing,
        result.extra,
        result.modified,
    ];
    html! {
        tr {
            th scope="row" { (isolated(&title(result))) }
            td class=(class) { (status_word(result)) }
            @for number in numbers {
                td.n { @if let Some(number) = number { (number) } }
            }
            td.n {
                @if let Some(seconds) = result.duration_seconds { (format!("{seconds:.1}")) }
            }
        }
    }
}

pub(super) fn slow_tables(report: &RunReport) -> Markup {
    let slow = slowest(report);
    html! {
        @if !slow.is_empty() {
            section {
                h2 { "Slowest tables" }
                ol { @for (result, seconds) in &slow {
                    li { (isolated(&title(result))) ": " (duration(*seconds)) }
                } }
            }
        }
    }
}

//! The report for the console: the verdict first, then what needs attention.

mod different;
mod header;
mod next;
mod page;
mod table;

use shared::failure::FailureKind;
use shared::outcome::OpenSession;

use crate::run_state::TableStatus;

use super::model::{RootCauseReport, RunReport, TableError};
use super::slowest::{duration, slowest};
use super::visible::{name, printable};
use super::wording::{self, attempt, plural, title};
use page::{BOLD, Page, widest};

pub(super) use table::{rows, table};

pub(super) fn render(report: &RunReport, colour: bool) -> String {
    let mut page = Page::new(colour);
    header::header(&mut page, report);
    if let Some(RootCauseReport { table, kind, error }) = &report.root_cause {
        let label = page.paint("ended by", BOLD);
        let cause = printable(&format!("{table}: {kind}: {error}"));
        page.line("\n", &format!("{label} {cause}"));
    }
    unverified(&mut page, report);
    different::different(&mut page, report);
    notes(&mut page, report);
    slow_tables(&mut page, report);
    next::next(&mut page, report);
    page.into_text()
}

/// Cancelled tables are only counted: there may be many, and they failed of nothing.
fn unverified(page: &mut Page, report: &RunReport) {
    let (cancelled, failed): (Vec<&TableError>, Vec<_>) = report
        .errors
        .iter()
        .partition(|error| error.kind == FailureKind::CancelledError);
    if !failed.is_empty() {
        page.heading("Not verified");
        let names: Vec<String> = failed.iter().map(|error| name(&error.table)).collect();
        let width = widest(names.iter().map(String::as_str));
        let mut refused: Option<&TableError> = None;
        for (table, error) in names.iter().zip(failed) {
            // A refused login is not repeated, and its message is that of all tables.
            let is_refused = error.kind == FailureKind::AuthenticationError;
            let is_repeated = refused.is_some_and(|first| first.error == error.error);
            if is_refused && is_repeated && error.attempt == 1 {
                page.line("  ", &format!("{table:width$}  {}: the same", error.kind));
                continue;
            }
            refused = refused.or(is_refused.then_some(error));
            let what = printable(&format!("{}: {}", error.kind, error.error));
            page.line("  ", &format!("{table:width$}  {what}"));
            if let Some(attempt) = attempt(error) {
                page.dim(&format!("  {:width$}  ", ""), &printable(&attempt));
            }
        }
    }
    if !cancelled.is_empty() {
        let tables = plural(cancelled.len(), "table");
        page.line(
            "\n",
            &format!("{tables} cancelled before it could be verified"),
        );
        let of_cancelled = report.results.iter().filter(|result| {
            result.status == TableStatus::Cancelled && !result.unconfirmed_sessions.is_empty()
        });
        for result in of_cancelled {
            let warning = OpenSession::warning(&result.unconfirmed_sessions).unwrap_or_default();
            let line = format!("{}: {}", name(&result.table), printable(&warning));
            page.line("  ", &line);
        }
    }
}

fn notes(page: &mut Page, report: &RunReport) {
    let lines = wording::notes(report);
    if lines.is_empty() {
        return;
    }
    page.heading("Notes");
    for line in lines {
        page.line("  ", &line);
    }
}

fn slow_tables(page: &mut Page, report: &RunReport) {
    let slow = slowest(report);
    if slow.is_empty() {
        return;
    }
    page.heading("Slowest");
    let titles: Vec<String> = slow.iter().map(|(result, _)| title(result)).collect();
    let width = widest(titles.iter().map(String::as_str));
    for (title, (result, seconds)) in titles.iter().zip(slow) {
        let rows = result.source_count.map(|rows| format!("  {rows} rows"));
        let rows = rows.unwrap_or_default();
        page.line(
            "  ",
            &format!("{title:width$}  {}{rows}", duration(seconds)),
        );
    }
}

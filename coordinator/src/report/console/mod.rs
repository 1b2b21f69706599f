//! The report for the console: the verdict first, then what needs attention.

mod different;
mod header;
mod next;
mod page;
mod structure;
mod visible;

use std::collections::BTreeMap;

use shared::failure::FailureKind;
use shared::options::MissingColumns;
use shared::outcome::OpenSession;

use crate::run_state::TableStatus;

use super::model::{RootCauseReport, RunReport, TableError, TableResult};
use page::{BOLD, Page, plural, widest};
use structure::missing;
use visible::{name, printable};

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
            if error.attempt > 1 {
                let worker = error.worker.as_deref();
                let worker = worker
                    .map(|worker| format!(" on {worker}"))
                    .unwrap_or_default();
                let attempt = format!("attempt {}{worker}", error.attempt);
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
    let reads = reads(&report.results);
    let of_run = reads.iter().chain(&report.notes);
    let mut lines: Vec<String> = of_run.map(|note| printable(note)).collect();
    for result in &report.results {
        let table = name(&result.table);
        let notes = result.notes.iter().map(|note| printable(note));
        lines.extend(
            notes
                .chain(noted_columns(result))
                .map(|note| format!("{table}: {note}")),
        );
    }
    if lines.is_empty() {
        return;
    }
    page.heading("Notes");
    for line in lines {
        page.line("  ", &line);
    }
}

/// The missing columns of a table that do not make it different.
fn noted_columns(result: &TableResult) -> Vec<String> {
    let coverage = result.coverage.as_ref();
    let noted = coverage.filter(|coverage| coverage.missing_columns_are == MissingColumns::Note);
    let columns = noted.map(|coverage| coverage.missing_columns.as_slice());
    columns.unwrap_or_default().iter().map(missing).collect()
}

/// The isolation levels under which tables were read, one line for each pair of levels.
fn reads(results: &[TableResult]) -> Vec<String> {
    let mut tables: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for result in results {
        if let (Some(source), Some(target)) = (&result.source_read, &result.target_read) {
            let levels = (source.isolation.as_str(), target.isolation.as_str());
            tables.entry(levels).or_default().push(&result.table);
        }
    }
    let one_pair = tables.len() == 1;
    tables
        .into_iter()
        .map(|((source, target), tables)| {
            let which = match tables.as_slice() {
                _ if one_pair => String::new(),
                few @ ([_] | [_, _] | [_, _, _]) => format!("{}: ", few.join(", ")),
                many => format!("{}: ", plural(many.len(), "table")),
            };
            format!("{which}read under {source} in the source, {target} in the target")
        })
        .collect()
}

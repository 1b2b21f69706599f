//! The first lines: the verdict in the words of its depth, the counts, and what was compared.

use shared::outcome::Depth;

use super::page::{GREEN, Page, RED, YELLOW, plural};
use super::visible::printable;
use crate::report::model::{DatabaseReport, RunReport};
use crate::run_state::{ReportVerdict, TableStatus};

pub(super) fn header(page: &mut Page, report: &RunReport) {
    verdict(page, report);
    counts(page, report);
    origin(page, report);
    scope(page, report);
}

fn verdict(page: &mut Page, report: &RunReport) {
    let tables = plural(report.total_tables, "table");
    let values = not_compared(report);
    let (colour, word, words) = match (report.verdict, report.depth) {
        (ReportVerdict::CountsEqual, _) | (ReportVerdict::Equal, Depth::Counts) => (
            GREEN,
            "COUNTS EQUAL",
            format!(": the row counts of {tables} agree; {values}"),
        ),
        (ReportVerdict::Equal, Depth::Checksum) => {
            (GREEN, "VALUES EQUAL", format!(" by checksum: {tables}"))
        }
        (ReportVerdict::Equal, Depth::Rows) => (GREEN, "EQUAL", format!(": every row of {tables}")),
        (ReportVerdict::Different, depth) => {
            let only = match depth {
                Depth::Counts => format!("; {values}"),
                Depth::Checksum => ", by checksum".to_owned(),
                Depth::Rows => String::new(),
            };
            let differ = if report.mismatched == 1 {
                "differs"
            } else {
                "differ"
            };
            let words = if report.mismatched == 0 {
                let more = plural(report.target_only_tables.len(), "more table");
                format!(": {tables} equal{only}, but the target has {more}")
            } else {
                format!(": {} of {tables} {differ}{only}", report.mismatched)
            };
            (RED, "DIFFERENT", words)
        }
        (ReportVerdict::Incomplete, _) => (YELLOW, "INCOMPLETE", incomplete(report)),
    };
    let is_equal = report.mismatched == 0 && report.total_tables == report.matched;
    let gaps = report.scope.gaps();
    let gaps = if is_equal && !gaps.is_empty() {
        format!("; not covered: {}", gaps.join(", "))
    } else {
        String::new()
    };
    let word = page.paint(word, colour);
    page.line("", &format!("{word}{words}{gaps}"));
}

/// That values were not compared; for a comparison of the engine, with the flag that compares them.
fn not_compared(report: &RunReport) -> String {
    let flag = if report.scope.tables > 0 {
        " (add --row-level)"
    } else {
        ""
    };
    format!("values were not compared{flag}")
}

fn incomplete(report: &RunReport) -> String {
    let unverified = report.total_tables - report.successful;
    let tables = plural(report.total_tables, "table");
    let mut words = if report.interrupted {
        format!(": interrupted; {unverified} of {tables} not verified")
    } else {
        format!(": {unverified} of {tables} could not be verified")
    };
    if report.mismatched > 0 {
        words += &format!("; {} different", report.mismatched);
    }
    words
}

fn counts(page: &mut Page, report: &RunReport) {
    let counts = [
        (report.matched, TableStatus::Matched),
        (report.mismatched, TableStatus::Mismatched),
        (report.failed, TableStatus::Failed),
        (report.timeout, TableStatus::Timeout),
        (report.cancelled, TableStatus::Cancelled),
    ];
    let named: Vec<String> = counts
        .iter()
        .filter(|(count, status)| *count > 0 || status.is_verified())
        .map(|(count, status)| format!("{count} {status}"))
        .collect();
    let tables = plural(report.total_tables, "table");
    let seconds = report.duration_seconds;
    page.line(
        "",
        &format!("{tables}: {}, in {seconds:.1} s", named.join(", ")),
    );
}

fn origin(page: &mut Page, report: &RunReport) {
    let mut line = format!("run {} of {}", report.run_id, report.timestamp);
    if let Some(trace) = &report.trace_id {
        line.push_str(", trace ");
        line.push_str(trace);
    }
    page.dim("", &line);
    if let Some(origin) = &report.origin {
        let user = origin.user.as_deref().unwrap_or("an unknown user");
        let line = format!(
            "by reconcile {}, {user} on {}",
            origin.tool_version, origin.host
        );
        page.dim("", &printable(&line));
    }
    for (side, database) in [("source", &report.source), ("target", &report.target)] {
        if let Some(line) = database.as_ref().and_then(database_line) {
            page.dim("", &printable(&format!("{side}: {line}")));
        }
    }
}

/// `erp, SQL Server 16.0.4105.2 at sql1:1433, database erp, user reader`
fn database_line(database: &DatabaseReport) -> Option<String> {
    let kind = database.kind?;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Some(format!(
        "{}, {kind} {} at {}:{}, database {}, user {}",
        database.endpoint,
        text(&database.version),
        text(&database.host),
        database.port.unwrap_or_default(),
        text(&database.database),
        text(&database.user),
    ))
}

/// What was compared, summed over the tables.
fn scope(page: &mut Page, report: &RunReport) {
    let scope = &report.scope;
    if scope.tables == 0 {
        return;
    }
    let columns = &scope.columns;
    let depth = match report.depth {
        Depth::Counts => "the number of rows",
        Depth::Checksum => "a checksum over all values",
        Depth::Rows => "every row",
    };
    page.dim("", &format!("compared: {depth}"));
    page.dim(
        "",
        &format!("tables paired: {}", scope.tables_paired.describe()),
    );
    if columns.paired.total() > 0 {
        page.dim(
            "",
            &format!("columns paired: {}", columns.paired.describe()),
        );
    }
    let left_out = scope.left_out();
    let lines = [
        (
            "columns not compared",
            vec![
                (columns.missing, "", "missing in the target"),
                (left_out, "", "left out or computed"),
                (columns.target_only, "", "only in the target"),
            ],
        ),
        (
            "in force",
            vec![
                (scope.columns_with_rule, "column", "with a rule"),
                (scope.tables_with_condition, "table", "with a condition"),
                (
                    scope.columns_narrowed,
                    "column",
                    "whose target type holds less",
                ),
            ],
        ),
    ];
    for (label, parts) in lines {
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, noun, words)| match noun {
                "" => format!("{count} {words}"),
                _ => format!("{} {words}", plural(count, noun)),
            })
            .collect();
        if !parts.is_empty() {
            page.dim("", &format!("{label}: {}", parts.join(", ")));
        }
    }
}

//! The tables that differ: their numbers, structure, rows and causes.

use super::page::{Page, widest};
use crate::report::examples::{Examples, Legend, Limits};
use crate::report::model::{RepairReport, RunReport, TableResult, cause_line, rule_line};
use crate::report::visible::printable;
use crate::report::wording::{plural, read_times, structure, summary, title};
use crate::run_state::TableStatus;

const MOST_CAUSES: usize = 5;

/// Missing columns of one table.
const MOST_COLUMNS: usize = 4;

const EXAMPLES: Limits = Limits {
    rows: 5,
    columns: 4,
};

pub(super) fn different(page: &mut Page, report: &RunReport) {
    let mismatched: Vec<(String, &TableResult)> = report
        .results
        .iter()
        .filter(|result| result.status == TableStatus::Mismatched)
        .map(|result| (title(result), result))
        .collect();
    if mismatched.is_empty() {
        return;
    }
    page.heading("Different");
    let width = widest(mismatched.iter().map(|(title, _)| title.as_str()));
    let mut legend = Legend::default();
    for (title, result) in mismatched {
        page.line("  ", &format!("{title:width$}  {}", summary(result)));
        for line in structure(result, MOST_COLUMNS) {
            page.line("    ", &format!("structure: {line}"));
        }
        rows(page, result, &mut legend);
        if let Some(repair) = &result.repair {
            repaired(page, repair);
        }
        causes(page, result, report.requested.all_rows);
        if let Some(times) = read_times(result) {
            page.dim("    ", &format!("read: {times}"));
        }
    }
    let meanings = legend.meanings("→: from the source's value to the target's");
    if !meanings.is_empty() {
        page.dim("  ", &meanings.join("; "));
    }
}

fn rows(page: &mut Page, result: &TableResult, legend: &mut Legend) {
    let examples = Examples::of(result, EXAMPLES);
    for row in &examples.rows {
        legend.note(row);
        page.line("    ", &row.line());
    }
    if !result.differences.is_empty() && examples.hidden > 0 {
        page.dim("    ", &format!("… and {} more", examples.hidden));
    }
}

fn repaired(page: &mut Page, repair: &RepairReport) {
    if let Some(file) = &repair.file {
        let count = usize::try_from(repair.statements).unwrap_or(usize::MAX);
        let line = format!("repair of {}: {file}", plural(count, "row"));
        page.line("    ", &printable(&line));
    }
    for note in &repair.notes {
        page.line("    ", &format!("repair: {}", printable(note)));
    }
}

fn causes(page: &mut Page, result: &TableResult, all_rows_were_sent: bool) {
    if result.causes.is_empty() {
        return;
    }
    let among = if result.truncated == Some(true) && !all_rows_were_sent {
        ", among the rows that are listed"
    } else {
        ""
    };
    page.line("    ", &format!("known causes{among}:"));
    for cause in result.causes.iter().take(MOST_CAUSES) {
        page.line("      ", &printable(&cause_line(cause)));
        if let Some(rule) = rule_line(cause) {
            page.dim("        ", &printable(&rule));
        }
    }
    if result.causes.len() > MOST_CAUSES {
        let more = result.causes.len() - MOST_CAUSES;
        page.dim("      ", &format!("… and {more} more"));
    }
}

//! The tables that differ: their numbers, structure, rows and causes.

use shared::options::MissingColumns;
use shared::outcome::{ColumnDifference, Difference, DifferenceKind, SideRead};

use super::page::{Page, plural, widest};
use super::structure::missing;
use super::visible::{BLANK, name, printable, value, values};
use crate::report::model::{RepairReport, RunReport, TableResult, cause_line, rule_line};
use crate::run_state::TableStatus;

const MOST_ROWS: usize = 5;

const MOST_CAUSES: usize = 5;

/// Columns of one row, and missing columns of one table.
const MOST_COLUMNS: usize = 4;

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
        structure(page, result);
        rows(page, result, &mut legend);
        if let Some(repair) = &result.repair {
            repaired(page, repair);
        }
        causes(page, result, report.requested.all_rows);
        if let (Some(source), Some(target)) = (&result.source_read, &result.target_read) {
            let read = format!("read: source {}, target {}", when(source), when(target));
            page.dim("    ", &read);
        }
    }
    if let Some(legend) = legend.line() {
        page.dim("  ", &legend);
    }
}

/// `source`, or `source = target` where the names differ.
fn title(result: &TableResult) -> String {
    if result.table == result.target {
        name(&result.table)
    } else {
        format!("{} = {}", name(&result.table), name(&result.target))
    }
}

fn summary(result: &TableResult) -> String {
    let counts = match (result.source_count, result.target_count) {
        (Some(source), Some(target)) if source == target => {
            let s = if source == 1 { "" } else { "s" };
            format!("{source} row{s} on both sides")
        }
        (Some(source), Some(target)) => {
            let difference = result.difference.unwrap_or_default();
            format!("{source} rows in the source, {target} in the target ({difference:+})")
        }
        _ => String::new(),
    };
    let rows = match (result.missing, result.extra, result.modified) {
        (Some(missing), Some(extra), Some(modified)) => {
            let settled = match result.settled {
                Some(settled) if settled > 0 => format!("; {settled} more settled"),
                _ => String::new(),
            };
            format!("; {missing} missing, {extra} extra, {modified} modified{settled}")
        }
        _ if result.checksum_match == Some(false) => "; checksums differ".to_owned(),
        _ => String::new(),
    };
    counts + &rows
}

/// The columns of the source that are missing in the target.
fn structure(page: &mut Page, result: &TableResult) {
    let Some(coverage) = &result.coverage else {
        return;
    };
    if coverage.missing_columns_are != MissingColumns::Difference {
        return;
    }
    for column in coverage.missing_columns.iter().take(MOST_COLUMNS) {
        page.line("    ", &format!("structure: {}", missing(column)));
    }
    let more = coverage.missing_columns.len().saturating_sub(MOST_COLUMNS);
    if more > 0 {
        let columns = plural(more, "more column");
        page.dim(
            "    ",
            &format!("structure: {columns} missing in the target"),
        );
    }
}

fn rows(page: &mut Page, result: &TableResult, legend: &mut Legend) {
    let explained = empty_columns(result);
    let mut shown = 0;
    for difference in &result.differences {
        let columns = difference.columns.iter();
        let columns: Vec<_> = columns
            .filter(|column| !explained.contains(&column.name.as_str()))
            .collect();
        if columns.is_empty() && !difference.columns.is_empty() {
            continue;
        }
        let line = row(difference, &columns);
        legend.note(difference.kind, &line);
        page.line("    ", &line);
        shown += 1;
        if shown == MOST_ROWS {
            break;
        }
    }
    let counts = [result.missing, result.extra, result.modified];
    let all: u64 = counts.into_iter().flatten().sum();
    let hidden = all.saturating_sub(shown as u64);
    if !result.differences.is_empty() && hidden > 0 {
        page.dim("    ", &format!("… and {hidden} more"));
    }
}

/// Columns that are NULL in the target wherever they differ. One line of the causes says so, and
/// the rows do not repeat it.
fn empty_columns(result: &TableResult) -> Vec<&str> {
    let causes = result.causes.iter();
    causes
        .filter(|group| group.cause == "null-in-target" && group.examined == group.rows)
        .filter_map(|group| group.column.as_deref())
        .collect()
}

/// `modified  id=1  v: 'v' → 'w'`
fn row(difference: &Difference, columns: &[&ColumnDifference]) -> String {
    let kind = match difference.kind {
        DifferenceKind::Missing => "missing ",
        DifferenceKind::Extra => "extra   ",
        DifferenceKind::Modified => "modified",
    };
    let mut text = kind.to_owned();
    for (column, of_key) in &difference.key {
        text += &format!("  {}={}", name(column), value(of_key));
    }
    for column in columns.iter().take(MOST_COLUMNS) {
        let name = name(&column.name);
        text += &match difference.kind {
            DifferenceKind::Modified => {
                let (source, target) = values(&column.source, &column.target);
                format!("  {name}: {source} → {target}")
            }
            DifferenceKind::Missing => format!("  {name}: {}", value(&column.source)),
            DifferenceKind::Extra => format!("  {name}: {}", value(&column.target)),
        };
    }
    if columns.len() > MOST_COLUMNS {
        let more = plural(columns.len() - MOST_COLUMNS, "more column");
        text += &format!("  … {more}");
    }
    text
}

/// What the words and signs of the rows mean, as far as they were used.
#[derive(Debug, Default)]
struct Legend {
    missing: bool,
    extra: bool,
    modified: bool,
    blank: bool,
    code: bool,
}

impl Legend {
    fn note(&mut self, kind: DifferenceKind, line: &str) {
        match kind {
            DifferenceKind::Missing => self.missing = true,
            DifferenceKind::Extra => self.extra = true,
            DifferenceKind::Modified => self.modified = true,
        }
        self.blank |= line.contains(BLANK);
        self.code |= line.contains("\\u{");
    }

    fn line(&self) -> Option<String> {
        let blank = format!("{BLANK}: a blank");
        let parts = [
            (self.missing, "missing: only in the source"),
            (self.extra, "extra: only in the target"),
            (self.modified, "→: from the source's value to the target's"),
            (self.blank, &blank),
            (self.code, "\\u{…}: a character by its code"),
        ];
        let parts: Vec<&str> = parts
            .into_iter()
            .filter(|(is_used, _)| *is_used)
            .map(|(_, words)| words)
            .collect();
        (!parts.is_empty()).then(|| parts.join("; "))
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

/// `2026-01-31T12:00:00.000Z to 2026-01-31T12:00:09.120Z`
fn when(read: &SideRead) -> String {
    format!("{} to {}", read.started_at, read.finished_at)
}

//! Words that all reports for people use: of tables, columns, errors and notes. Every text is
//! printable: characters that cannot be seen are shown by their codes.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::coverage::MissingColumn;
use shared::options::{ColumnRule, MissingColumns};
use shared::outcome::SideRead;

use super::model::{RunReport, TableError, TableResult};
use super::visible::{name, names, printable};
use crate::run_state::{ReportVerdict, TableStatus};

pub(super) fn plural(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// `source`, or `source = target` where the names differ.
pub(super) fn title(result: &TableResult) -> String {
    if result.table == result.target {
        name(&result.table)
    } else {
        format!("{} = {}", name(&result.table), name(&result.target))
    }
}

/// What was found in a table that was compared: the numbers of rows and of differing rows.
pub(super) fn summary(result: &TableResult) -> String {
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

/// `column Currency char(3) is missing in the target (nearest: currency_code)`
pub(super) fn missing(column: &MissingColumn) -> String {
    let (column_name, nearest) = match &column.nearest {
        Some(nearest) => {
            let (column, nearest) = names(&column.name, nearest);
            (column, format!(" (nearest: {nearest})"))
        }
        None => (name(&column.name), String::new()),
    };
    let declared = printable(&column.declared);
    format!("column {column_name} {declared} is missing in the target{nearest}")
}

/// The missing columns that make a table different, the first `most` of them, and how many more
/// there are.
pub(super) fn structure(result: &TableResult, most: usize) -> Vec<String> {
    let columns = missing_columns(result, MissingColumns::Difference);
    let mut lines: Vec<String> = columns.iter().take(most).map(missing).collect();
    let more = columns.len().saturating_sub(most);
    if more > 0 {
        lines.push(format!(
            "{} missing in the target",
            plural(more, "more column")
        ));
    }
    lines
}

/// The missing columns of a table, if they mean `meaning`.
fn missing_columns(result: &TableResult, meaning: MissingColumns) -> &[MissingColumn] {
    let coverage = result.coverage.as_ref();
    coverage
        .filter(|coverage| coverage.missing_columns_are == meaning)
        .map_or(&[], |coverage| coverage.missing_columns.as_slice())
}

/// Every table with its error, if it was not verified. Errors are in the order of the results.
pub(super) fn with_errors(
    report: &RunReport,
) -> impl Iterator<Item = (&TableResult, Option<&TableError>)> {
    let mut errors = report.errors.iter();
    report.results.iter().map(move |result| {
        let error = if result.status.is_verified() {
            None
        } else {
            errors.next()
        };
        (result, error)
    })
}

/// `TableNotFound: …`, with the attempt if it was not the first: `(attempt 3 on w1)`.
pub(super) fn error_line(error: &TableError) -> String {
    let what = format!("{}: {}", error.kind, error.error);
    let attempt = attempt(error).map(|attempt| format!(" ({attempt})"));
    printable(&format!("{what}{}", attempt.unwrap_or_default()))
}

/// `attempt 3 on w1`, if it was not the first.
pub(super) fn attempt(error: &TableError) -> Option<String> {
    let worker = error.worker.as_deref();
    let worker = worker.map(|worker| format!(" on {worker}"));
    (error.attempt > 1).then(|| format!("attempt {}{}", error.attempt, worker.unwrap_or_default()))
}

/// The notes on the run and on its tables, one a line.
pub(super) fn notes(report: &RunReport) -> Vec<String> {
    let reads = reads(&report.results);
    let of_run = reads.iter().chain(&report.notes);
    let mut lines: Vec<String> = of_run.map(|note| printable(note)).collect();
    for result in &report.results {
        let table = name(&result.table);
        let of_table = table_notes(result).into_iter();
        lines.extend(of_table.map(|note| format!("{table}: {note}")));
    }
    lines
}

/// The notes on one table, and the missing columns that do not make it different.
pub(super) fn table_notes(result: &TableResult) -> Vec<String> {
    let notes = result.notes.iter().map(|note| printable(note));
    let columns = missing_columns(result, MissingColumns::Note);
    notes.chain(columns.iter().map(missing)).collect()
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

/// When a table was read: `source … to …, target … to …`.
pub(super) fn read_times(result: &TableResult) -> Option<String> {
    let when = |read: &SideRead| format!("{} to {}", read.started_at, read.finished_at);
    let (source, target) = (result.source_read.as_ref()?, result.target_read.as_ref()?);
    Some(format!("source {}, target {}", when(source), when(target)))
}

/// The word for the result of a table.
pub(super) fn status_word(result: &TableResult) -> &'static str {
    match result.status {
        TableStatus::Matched if result.verdict == ReportVerdict::CountsEqual => "counts equal",
        TableStatus::Matched => "equal",
        TableStatus::Mismatched => "different",
        TableStatus::Failed => "failed",
        TableStatus::Timeout => "timed out",
        TableStatus::Cancelled => "cancelled",
    }
}

/// The options of a rule that are set: `precision = 3, trim = "end"`.
pub(super) fn rule_text(rule: &ColumnRule) -> String {
    let options = serde_json::to_value(rule).unwrap_or_default();
    let set = match options {
        Value::Object(options) => options,
        _ => return String::new(),
    };
    let set: Vec<String> = set
        .into_iter()
        .filter(|(_, value)| !value.is_null() && *value != false)
        .map(|(option, value)| format!("{option} = {value}"))
        .collect();
    set.join(", ")
}

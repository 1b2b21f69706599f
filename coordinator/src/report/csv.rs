//! The report as CSV.

use shared::coverage::{Coverage, KeyOrigin, MissingColumn};
use shared::outcome::{Depth, SideRead};

use super::model::{RunReport, TableResult, cause_line};
use super::scope::pairing_word;

const HEADER: [&str; 38] = [
    "table",
    "target",
    "status",
    "match",
    "source_count",
    "target_count",
    "difference",
    "source_checksum",
    "target_checksum",
    "missing",
    "extra",
    "modified",
    "settled",
    "attempt",
    "worker",
    "duration_seconds",
    "error_type",
    "error",
    "causes",
    "source_read",
    "target_read",
    "verdict",
    "depth",
    "source_table",
    "target_table",
    "table_pairing",
    "source_columns",
    "compared_columns",
    "missing_columns",
    "uncompared_columns",
    "missing_column_names",
    "column_pairing",
    "key",
    "key_origin",
    "source_condition",
    "target_condition",
    "notes",
    "checksum_key",
];

pub(super) fn render(report: &RunReport) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory cannot fail, and every record has the header's length.
    let mut write = |record: &[String]| {
        writer
            .write_record(record)
            .expect("records of one length, into memory")
    };
    write(&HEADER.map(str::to_owned));
    let mut errors = report.errors.iter().peekable();
    for result in &report.results {
        // Errors are in the order of the results.
        let error = (!result.status.is_verified())
            .then(|| errors.next())
            .flatten();
        write(&record(
            result,
            error.map(|error| (error.kind.as_str(), error.error.as_str())),
        ));
    }
    let bytes = writer
        .into_inner()
        .expect("flushing into memory cannot fail");
    String::from_utf8(bytes).expect("fields are UTF-8 and separators ASCII")
}

fn cell<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn record(result: &TableResult, error: Option<(&str, &str)>) -> Vec<String> {
    let (error_type, error) = error.unwrap_or_default();
    let causes: Vec<String> = result.causes.iter().map(cause_line).collect();
    let mut record = vec![
        text(&result.table),
        text(&result.target),
        result.status.to_string(),
        result.is_match.to_string(),
        cell(result.source_count),
        cell(result.target_count),
        cell(result.difference),
        cell(result.source_checksum.as_ref()),
        cell(result.target_checksum.as_ref()),
        cell(result.missing),
        cell(result.extra),
        cell(result.modified),
        cell(result.settled),
        result.attempt.to_string(),
        text(result.worker.as_deref().unwrap_or_default()),
        cell(result.duration_seconds),
        text(error_type),
        text(error),
        text(&causes.join("; ")),
        read(result.source_read.as_ref()),
        read(result.target_read.as_ref()),
        result.verdict.as_str().to_owned(),
        cell(result.depth.map(Depth::as_str)),
    ];
    record.extend(scope(result));
    record.push(text(&result.notes.join("; ")));
    record.push(cell(result.checksum_key.as_ref()));
    record
}

/// What was compared of a table.
fn scope(result: &TableResult) -> [String; 13] {
    let unknown = Coverage::default();
    let coverage = result.coverage.as_deref().unwrap_or(&unknown);
    let columns = result.columns.as_ref();
    let missing = coverage.missing_columns.iter().map(missing_column);
    let missing: Vec<String> = missing.collect();
    let key_origin = coverage.key_origin.map(|origin| match origin {
        KeyOrigin::Given => "given",
        KeyOrigin::Source => "source",
        KeyOrigin::Target => "target",
    });
    [
        text(&coverage.source_table),
        text(&coverage.target_table),
        cell(coverage.table_pairing.map(pairing_word)),
        cell(columns.map(|columns| columns.source)),
        cell(columns.map(|columns| columns.compared)),
        cell(columns.map(|columns| columns.missing)),
        cell(columns.map(|columns| columns.uncompared)),
        text(&missing.join("; ")),
        cell(columns.map(|columns| columns.paired.describe())),
        text(&result.key.join("; ")),
        cell(key_origin),
        text(coverage.source_condition.as_deref().unwrap_or_default()),
        text(coverage.target_condition.as_deref().unwrap_or_default()),
    ]
}

/// `Currency char(3) (nearest: currency_code)`
fn missing_column(column: &MissingColumn) -> String {
    let nearest = column.nearest.as_ref();
    let nearest = nearest.map(|nearest| format!(" (nearest: {nearest})"));
    format!(
        "{} {}{}",
        column.name,
        column.declared,
        nearest.unwrap_or_default()
    )
}

/// `SNAPSHOT 2026-01-31T12:00:00.000Z/2026-01-31T12:00:09.120Z`
fn read(read: Option<&SideRead>) -> String {
    read.map(|read| {
        format!(
            "{} {}/{}",
            read.isolation, read.started_at, read.finished_at
        )
    })
    .unwrap_or_default()
}

/// A text that no spreadsheet interprets as a formula.
fn text(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

//! The report as CSV.

use shared::outcome::SideRead;

use super::model::{RunReport, TableResult, cause_line};

const HEADER: [&str; 21] = [
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

fn record(result: &TableResult, error: Option<(&str, &str)>) -> [String; HEADER.len()] {
    fn cell<T: ToString>(value: Option<&T>) -> String {
        value.map(T::to_string).unwrap_or_default()
    }
    let (error_type, error) = error.unwrap_or_default();
    let causes: Vec<String> = result.causes.iter().map(cause_line).collect();
    [
        text(&result.table),
        text(&result.target),
        result.status.to_string(),
        result.is_match.to_string(),
        cell(result.source_count.as_ref()),
        cell(result.target_count.as_ref()),
        cell(result.difference.as_ref()),
        cell(result.source_checksum.as_ref()),
        cell(result.target_checksum.as_ref()),
        cell(result.missing.as_ref()),
        cell(result.extra.as_ref()),
        cell(result.modified.as_ref()),
        cell(result.settled.as_ref()),
        result.attempt.to_string(),
        text(result.worker.as_deref().unwrap_or_default()),
        cell(result.duration_seconds.as_ref()),
        text(error_type),
        text(error),
        text(&causes.join("; ")),
        read(result.source_read.as_ref()),
        read(result.target_read.as_ref()),
    ]
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

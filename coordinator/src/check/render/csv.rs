//! The findings of a check as CSV: a header and one line for each finding.

use shared::finding::Severity;
use worker::engine::{Effect, PreflightFinding};

use crate::check::model::CheckReport;

const HEADER: [&str; 7] = [
    "severity", "rule", "effect", "table", "object", "message", "remedy",
];

pub(super) fn to_csv(report: &CheckReport) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |record: [String; 7]| {
        writer
            .write_record(record)
            .expect("records of one length, into memory")
    };
    write(HEADER.map(str::to_owned));
    for found in &report.findings {
        write(record(found));
    }
    let bytes = writer
        .into_inner()
        .expect("flushing into memory cannot fail");
    String::from_utf8(bytes).expect("fields are UTF-8 and separators ASCII")
}

fn record(found: &PreflightFinding) -> [String; 7] {
    let finding = &found.finding;
    let optional = |text: &Option<String>| cell(text.as_deref().unwrap_or_default());
    [
        severity(finding.severity).to_owned(),
        cell(&finding.rule),
        effect(found.effect).to_owned(),
        optional(&finding.table),
        optional(&finding.object),
        cell(&finding.message),
        optional(&finding.remedy),
    ]
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Unverified => "unverified",
        Effect::Different => "different",
        Effect::None => "none",
    }
}

/// A text that no spreadsheet interprets as a formula.
fn cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

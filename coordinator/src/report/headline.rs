//! The verdict of a run in words, and its counts: the first lines of every report for people.

use shared::outcome::Depth;

use super::model::RunReport;
use super::wording::plural;
use crate::run_state::{ReportVerdict, SelectedFrom, TableStatus};

/// The verdict of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Headline {
    /// `EQUAL`, `DIFFERENT`, …
    pub(super) word: &'static str,
    /// What follows the word: `: 2 of 9 tables differ`.
    pub(super) words: String,
    /// What "equal" does not cover, after a semicolon; empty if it covers everything.
    pub(super) gaps: String,
    pub(super) tone: Tone,
}

/// How good a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Equal,
    Different,
    Incomplete,
}

impl Headline {
    pub(super) fn of(report: &RunReport) -> Self {
        let tables = plural(report.total_tables, "table");
        let values = not_compared(report);
        let (tone, word, words) = match (report.verdict, report.depth) {
            (ReportVerdict::CountsEqual, _) | (ReportVerdict::Equal, Depth::Counts) => (
                Tone::Equal,
                "COUNTS EQUAL",
                format!(": the row counts of {tables} agree; {values}"),
            ),
            (ReportVerdict::Equal, Depth::Checksum) => (
                Tone::Equal,
                "VALUES EQUAL",
                format!(" by checksum: {tables}"),
            ),
            (ReportVerdict::Equal, Depth::Rows) => {
                (Tone::Equal, "EQUAL", format!(": every row of {tables}"))
            }
            (ReportVerdict::Different, _) => (Tone::Different, "DIFFERENT", different(report)),
            (ReportVerdict::Incomplete, _) => (Tone::Incomplete, "INCOMPLETE", incomplete(report)),
        };
        Self {
            word,
            words,
            gaps: gaps(report),
            tone,
        }
    }

    /// The whole line.
    pub(super) fn line(&self) -> String {
        format!("{}{}{}", self.word, self.words, self.gaps)
    }
}

fn different(report: &RunReport) -> String {
    let tables = plural(report.total_tables, "table");
    let only = match report.depth {
        Depth::Counts => format!("; {}", not_compared(report)),
        Depth::Checksum => ", by checksum".to_owned(),
        Depth::Rows => String::new(),
    };
    if report.mismatched == 0 {
        let more = plural(report.target_only_tables.len(), "more table");
        return format!(": {tables} equal{only}, but the target has {more}");
    }
    let differ = if report.mismatched == 1 {
        "differs"
    } else {
        "differ"
    };
    format!(": {} of {tables} {differ}{only}", report.mismatched)
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

fn gaps(report: &RunReport) -> String {
    let is_equal = report.mismatched == 0 && report.total_tables == report.matched;
    let mut gaps = if is_equal {
        report.scope.gaps()
    } else {
        Vec::new()
    };
    gaps.extend(report.selected_from.as_ref().and_then(SelectedFrom::gap));
    if gaps.is_empty() {
        String::new()
    } else {
        format!("; not covered: {}", gaps.join(", "))
    }
}

/// `4 tables: 1 matched, 1 mismatched, 1 failed, 1 cancelled, in 2.3 s`
pub(super) fn counts(report: &RunReport) -> String {
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
    format!("{tables}: {}, in {seconds:.1} s", named.join(", "))
}

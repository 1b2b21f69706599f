//! The tables that a disturbed run lost, reported twice or reported differently.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value as Json;

use crate::rig::Answer;

/// What of a table may differ between two runs.
const MAY_DIFFER: [&str; 9] = [
    "worker",
    "attempt",
    "duration_seconds",
    "quiet_after_ms",
    "source_read",
    "target_read",
    "source_checksum",
    "target_checksum",
    "checksum_key",
];

/// What of the whole report must not.
const MUST_AGREE: [&str; 10] = [
    "status",
    "total_tables",
    "successful",
    "matched",
    "mismatched",
    "failed",
    "timeout",
    "cancelled",
    "interrupted",
    "root_cause",
];

/// Lines that are printed about tables that are not right.
const SHOWN: usize = 20;

/// The comparison of two reports.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    lost: usize,
    duplicated: usize,
    differing: usize,
    left_over: usize,
    details: Vec<String>,
}

impl Verdict {
    /// Compares the disturbed run with the reference.
    pub(crate) fn compare(reference: &Answer, disturbed: &Answer, left_over: Vec<String>) -> Self {
        let mut verdict = Self {
            left_over: left_over.len(),
            details: left_over,
            ..Self::default()
        };
        let (expected, found) = (by_table(&reference.report), by_table(&disturbed.report));
        for (table, expected) in &expected {
            match found.get(table).map(Vec::as_slice) {
                None | Some([]) => verdict.lose(format!("{table} is not in the report")),
                Some([first, more @ ..]) => {
                    verdict.duplicated += more.len();
                    verdict.check(table, &expected[0], first);
                }
            }
        }
        let unexpected = found.keys().filter(|table| !expected.contains_key(*table));
        for table in unexpected {
            verdict.differ(format!("{table} is in the report and was not asked for"));
        }
        for field in MUST_AGREE {
            let (expected, found) = (&reference.report[field], &disturbed.report[field]);
            if expected != found {
                verdict.differ(format!("{field}: {found}, expected {expected}"));
            }
        }
        if reference.code != disturbed.code {
            verdict.differ(format!(
                "exit code {:?}, expected {:?}",
                disturbed.code, reference.code
            ));
        }
        verdict
    }

    fn check(&mut self, table: &str, expected: &Json, found: &Json) {
        let verified =
            |result: &Json| result["status"] == "matched" || result["status"] == "mismatched";
        if verified(expected) && !verified(found) {
            return self.lose(format!("{table} ended {}", found["status"]));
        }
        let rows = rows(found);
        let twice = rows.len() - rows.iter().collect::<BTreeSet<_>>().len();
        if twice > 0 {
            self.duplicated += twice;
            self.details
                .push(format!("{table}: {twice} rows are listed twice"));
        }
        let (expected, found) = (comparable(expected), comparable(found));
        if expected != found {
            self.differ(format!("{table}: {found}, expected {expected}"));
        }
    }

    fn lose(&mut self, detail: String) {
        self.lost += 1;
        self.details.push(detail);
    }

    fn differ(&mut self, detail: String) {
        self.differing += 1;
        self.details.push(detail);
    }

    /// Whether the disturbed run equals the reference and left no statement or queue.
    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.differing + self.left_over == 0
    }

    /// What is wrong, in words.
    pub(crate) fn details(&self) -> impl Iterator<Item = &str> {
        self.details.iter().map(String::as_str).take(SHOWN)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "lost={} duplicated={} differing={}",
            self.lost, self.duplicated, self.differing
        )
    }
}

fn by_table(report: &Json) -> BTreeMap<String, Vec<Json>> {
    let mut tables: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for result in report["results"].as_array().into_iter().flatten() {
        let name = result["table"].as_str().unwrap_or_default().to_owned();
        tables.entry(name).or_default().push(result.clone());
    }
    tables
}

fn rows(result: &Json) -> Vec<String> {
    let rows = result["differences"].as_array().into_iter().flatten();
    rows.map(Json::to_string).collect()
}

/// A result without what may differ, its rows in an order of their own.
fn comparable(result: &Json) -> Json {
    let mut result = result.clone();
    if let Some(fields) = result.as_object_mut() {
        for field in MAY_DIFFER {
            fields.remove(field);
        }
        if let Some(rows) = fields.get_mut("differences").and_then(Json::as_array_mut) {
            rows.sort_by_cached_key(Json::to_string);
        }
    }
    result
}

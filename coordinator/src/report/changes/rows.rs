//! Which of the differing rows of a table differ in both of two runs.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use shared::outcome::{Difference, DifferenceKind};

use crate::report::model::TableResult;

/// The differing rows of two runs, by kind and key.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct RowChanges {
    /// Only in the later run.
    pub(super) new: usize,
    /// Only in the earlier run.
    pub(super) gone: usize,
    /// In both runs, perhaps with other values.
    pub(super) kept: usize,
}

impl RowChanges {
    /// `None` if not every differing row is stored with a key that the runs have in common.
    pub(super) fn between(before: &TableResult, after: &TableResult) -> Option<Self> {
        if before.key != after.key {
            return None;
        }
        let (before, after) = (keys(before)?, keys(after)?);
        Some(Self {
            new: after.difference(&before).count(),
            gone: before.difference(&after).count(),
            kept: before.intersection(&after).count(),
        })
    }
}

fn keys(result: &TableResult) -> Option<BTreeSet<(DifferenceKind, String)>> {
    if result.truncated != Some(false) {
        return None;
    }
    let differences = result.differences.iter();
    differences.map(|row| Some((row.kind, key(row)?))).collect()
}

/// The key of a row as text; `None` without a key, and if the key has a hash in place of a value,
/// since every run hashes under a key of its own.
fn key(row: &Difference) -> Option<String> {
    let is_hashed = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| text.starts_with("redacted:") || text.contains(", hash "))
    };
    if row.key.is_empty() || row.key.values().any(is_hashed) {
        return None;
    }
    Some(Value::Object(row.key.clone()).to_string())
}

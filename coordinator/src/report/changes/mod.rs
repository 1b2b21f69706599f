//! What changed from one run to another: the content of `reconcile diff`.

mod coverage;
mod model;
mod rows;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, VecDeque};

use super::headline::Headline;
use super::model::{RunReport, TableError, TableResult};
use super::wording::with_errors;
use crate::run_state::TableStatus;
use model::{ComparedRun, CoverageChange, TableChange, TableState};
use rows::RowChanges;

type Entry<'a> = (&'a TableResult, Option<&'a TableError>);

pub(crate) use model::RunChanges;

impl RunChanges {
    pub(crate) fn between(before: &RunReport, after: &RunReport) -> Self {
        let mut changes = Self {
            changed: false,
            before: ComparedRun::of(before),
            after: ComparedRun::of(after),
            databases: coverage::databases(before, after),
            coverage: coverage::of_run(before, after),
            table_coverage: Vec::new(),
            newly_different: Vec::new(),
            newly_equal: Vec::new(),
            still_different: Vec::new(),
            newly_unverified: Vec::new(),
            newly_verified: Vec::new(),
            still_unverified: Vec::new(),
            only_before: Vec::new(),
            only_after: Vec::new(),
            equal_in_both: 0,
        };
        let mut later = by_name(after);
        for entry in with_errors(before) {
            let same = later.get_mut(&names(entry.0));
            match same.and_then(VecDeque::pop_front) {
                None => changes.only_before.push(entry.0.table.clone()),
                Some(now) => changes.add(entry, now),
            }
        }
        let left = later.into_values().flatten();
        changes.only_after = left.map(|(result, _)| result.table.clone()).collect();
        changes.changed = changes.has_changes();
        changes
    }

    fn add(&mut self, before: Entry<'_>, after: Entry<'_>) {
        let compared = coverage::of_table(before.0, after.0);
        if !compared.is_empty() {
            self.table_coverage.push(CoverageChange {
                table: before.0.table.clone(),
                changes: compared,
            });
        }
        let list = match (before.0.status, after.0.status) {
            (TableStatus::Matched, TableStatus::Matched) => {
                self.equal_in_both += 1;
                return;
            }
            (TableStatus::Matched, TableStatus::Mismatched) => &mut self.newly_different,
            (TableStatus::Mismatched, TableStatus::Matched) => &mut self.newly_equal,
            (TableStatus::Mismatched, TableStatus::Mismatched) => &mut self.still_different,
            (before, after) => match (before.is_verified(), after.is_verified()) {
                (false, false) => &mut self.still_unverified,
                (false, true) => &mut self.newly_verified,
                (true, _) => &mut self.newly_unverified,
            },
        };
        list.push(TableChange::of(before, after));
    }

    fn has_changes(&self) -> bool {
        let lists = [
            &self.newly_different,
            &self.newly_equal,
            &self.newly_unverified,
            &self.newly_verified,
        ];
        let mut still = self.still_different.iter().chain(&self.still_unverified);
        let has_new = lists.iter().any(|list| !list.is_empty());
        let has_other_coverage = !self.databases.is_empty()
            || !self.coverage.is_empty()
            || !self.table_coverage.is_empty();
        let has_other_tables = !self.only_before.is_empty() || !self.only_after.is_empty();
        has_new || has_other_coverage || has_other_tables || still.any(|table| table.changed)
    }

    /// The changes as one JSON document.
    pub(crate) fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("the changes have string keys and no failing serialisers");
        text.push('\n');
        text
    }

    /// The changes for the console.
    pub(crate) fn to_console(&self) -> String {
        text::render(self)
    }
}

fn names(result: &TableResult) -> (&str, &str) {
    (&result.table, &result.target)
}

/// The tables of a run by their names. Tables with the same names are paired in their order.
fn by_name(report: &RunReport) -> BTreeMap<(&str, &str), VecDeque<Entry<'_>>> {
    let mut tables: BTreeMap<_, VecDeque<Entry<'_>>> = BTreeMap::new();
    for entry in with_errors(report) {
        tables.entry(names(entry.0)).or_default().push_back(entry);
    }
    tables
}

impl ComparedRun {
    fn of(report: &RunReport) -> Self {
        Self {
            run_id: report.run_id.clone(),
            timestamp: report.timestamp.clone(),
            verdict: report.verdict,
            depth: report.depth,
            headline: Headline::of(report).line(),
        }
    }
}

impl TableChange {
    fn of((before, was): Entry<'_>, (after, is): Entry<'_>) -> Self {
        let rows = RowChanges::between(before, after);
        let (was, is) = (TableState::of(before, was), TableState::of(after, is));
        let other_rows = rows
            .as_ref()
            .is_some_and(|rows| rows.new > 0 || rows.gone > 0);
        Self {
            table: before.table.clone(),
            target: before.target.clone(),
            changed: was.result() != is.result() || other_rows,
            before: was,
            after: is,
            rows,
        }
    }
}

impl TableState {
    fn of(result: &TableResult, error: Option<&TableError>) -> Self {
        Self {
            status: result.status,
            depth: result.depth,
            source_count: result.source_count,
            target_count: result.target_count,
            missing: result.missing,
            extra: result.extra,
            modified: result.modified,
            error_type: error.map(|error| error.kind.clone()),
            error: error.map(|error| error.error.clone()),
        }
    }

    /// What makes two results of a table different: not its size, and not the text of an error.
    fn result(&self) -> impl PartialEq {
        let difference = self
            .target_count
            .zip(self.source_count)
            .map(|(target, source)| i128::from(target) - i128::from(source));
        (
            self.status,
            [self.missing, self.extra, self.modified],
            difference,
            self.error_type.clone(),
        )
    }
}

//! One table of a report: finding it by name, all that is known of it, and its differing rows.

use serde_json::{Value, json};

use super::console;
use super::model::{RunReport, TableError, TableResult};
use super::wording::with_errors;
use crate::run_state::{Counts, RunStatus};

/// A table of a report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OneTable<'a> {
    report: &'a RunReport,
    result: &'a TableResult,
    /// Why it was not verified, if it was not.
    error: Option<&'a TableError>,
}

impl RunReport {
    /// The tables with this name in the source or in the target; if there are none, those with it
    /// in another case, or without their schema.
    pub(crate) fn tables_named(&self, name: &str) -> Vec<OneTable<'_>> {
        let wanted = name.to_lowercase();
        let is_same = |table: &str| table == name;
        let is_alike = |table: &str| table.to_lowercase() == wanted;
        let is_without_schema = |table: &str| {
            let table = table.to_lowercase();
            let parts = table.rsplit_once('.');
            parts.is_some_and(|(_, table)| table == wanted)
        };
        let conditions: [&dyn Fn(&str) -> bool; 3] = [&is_same, &is_alike, &is_without_schema];
        for has_name in conditions {
            let mut found = self.tables();
            found.retain(|it| has_name(&it.result.table) || has_name(&it.result.target));
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// All of them.
    pub(crate) fn tables(&self) -> Vec<OneTable<'_>> {
        with_errors(self)
            .map(|(result, error)| OneTable {
                report: self,
                result,
                error,
            })
            .collect()
    }
}

impl<'a> OneTable<'a> {
    pub(crate) fn result(&self) -> &'a TableResult {
        self.result
    }

    /// All that is known of it, for the console.
    pub(crate) fn to_console(self, colour: bool) -> String {
        console::table(self.report, (self.result, self.error), colour)
    }

    /// All that is known of it, as it is in the JSON report.
    pub(crate) fn to_json(self) -> Value {
        json!({
            "run_id": self.report.run_id,
            "timestamp": self.report.timestamp,
            "result": self.result,
            "error": self.error,
        })
    }

    /// The differing rows that are stored of it, for the console.
    pub(crate) fn rows(self, colour: bool) -> String {
        console::rows(self.result, colour)
    }
}

/// The status of a run that would have these tables only.
pub(crate) fn status_of(tables: &[OneTable<'_>]) -> RunStatus {
    let mut counts = Counts::default();
    for table in tables {
        counts.add(table.result.status, 1);
    }
    RunStatus::of(&counts)
}

//! Which tables a run covers, beyond the list of its tables.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::Counts;
use super::summary::RunStatus;

/// What the selection of a run's tables left out, and what it found only in the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableScope {
    /// Tables of the target that are within its patterns and that no table of the source names.
    pub target_only_tables: Vec<String>,
    /// Whether they are a difference.
    pub strict: bool,
    /// What was left out, for the report.
    pub notes: Vec<String>,
    /// The earlier run whose tables these are, if only those that did not pass there are compared.
    pub selected_from: Option<SelectedFrom>,
}

/// The run from which the tables of another run were selected: those that differed or were not
/// verified there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SelectedFrom {
    /// The earlier run.
    pub run_id: String,
    /// How many tables are not compared because they did not differ in the earlier run, or in the
    /// runs from which its own tables were selected.
    pub tables_left_out: usize,
}

impl SelectedFrom {
    /// What the verdict does not cover, if a table was left out.
    pub(crate) fn gap(&self) -> Option<String> {
        let tables = match self.tables_left_out {
            0 => return None,
            1 => "1 table".to_owned(),
            count => format!("{count} tables"),
        };
        Some(format!(
            "{tables} that did not differ before (run {})",
            self.run_id
        ))
    }
}

impl TableScope {
    /// The status of a run with this scope whose tables have these counts.
    #[must_use]
    pub fn status(&self, counts: &Counts) -> RunStatus {
        match RunStatus::of(counts) {
            RunStatus::Pass if self.strict && !self.target_only_tables.is_empty() => {
                RunStatus::Fail
            }
            status => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_target_alone_are_a_difference_on_request() {
        let scope = |names: &[&str], strict| TableScope {
            target_only_tables: names.iter().map(|&name| name.to_owned()).collect(),
            strict,
            ..TableScope::default()
        };
        let counts = |matched, mismatched, failed| Counts {
            matched,
            mismatched,
            failed,
            ..Counts::default()
        };
        for (scope, counts, expected) in [
            (scope(&["a"], false), counts(1, 0, 0), RunStatus::Pass),
            (scope(&["a"], true), counts(1, 0, 0), RunStatus::Fail),
            (scope(&[], true), counts(1, 0, 0), RunStatus::Pass),
            (scope(&["a"], true), counts(1, 1, 0), RunStatus::Fail),
            (scope(&["a"], true), counts(1, 0, 1), RunStatus::Incomplete),
        ] {
            assert_eq!(scope.status(&counts), expected, "{scope:?} {counts:?}");
        }
        let stored: TableScope = serde_json::from_str("{}").unwrap();
        assert_eq!(stored, TableScope::default());
    }
}

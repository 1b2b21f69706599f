//! How much of the tables was compared, in numbers that add up.

use std::ops::AddAssign;

use schemars::JsonSchema;
use serde::Serialize;
use shared::coverage::{ColumnSide, Coverage, PairedColumn, Uncompared, UncomparedColumn};
use shared::naming::NameMatch;
use shared::outcome::Depth;

/// How many names were paired by each rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pairings {
    /// The user pairs them.
    pub given: usize,
    /// They are equal.
    pub exact: usize,
    /// They are equal without regard to case.
    pub ignore_case: usize,
    /// They are equal without regard to case, `_`, blanks and `-`.
    pub normalised: usize,
    /// One is the other, cut at the 63 bytes of PostgreSQL.
    pub cut: usize,
}

impl Pairings {
    fn add(&mut self, rule: NameMatch) {
        let count = match rule {
            NameMatch::Given => &mut self.given,
            NameMatch::Exact => &mut self.exact,
            NameMatch::IgnoreCase => &mut self.ignore_case,
            NameMatch::Normalised => &mut self.normalised,
            NameMatch::Cut => &mut self.cut,
        };
        *count += 1;
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> usize {
        self.given + self.exact + self.ignore_case + self.normalised + self.cut
    }

    /// "120 exactly, 31 ignoring case"
    pub(super) fn describe(&self) -> String {
        let words = |rule: NameMatch| rule.describe().unwrap_or_default();
        let parts = [
            (self.exact, "exactly"),
            (self.ignore_case, words(NameMatch::IgnoreCase)),
            (self.normalised, words(NameMatch::Normalised)),
            (self.cut, words(NameMatch::Cut)),
            (self.given, "as given"),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{count} {words}"))
            .collect();
        parts.join(", ")
    }
}

impl AddAssign for Pairings {
    fn add_assign(&mut self, other: Self) {
        self.given += other.given;
        self.exact += other.exact;
        self.ignore_case += other.ignore_case;
        self.normalised += other.normalised;
        self.cut += other.cut;
    }
}

/// The word for a rule in CSV, as in the other formats.
pub(super) fn pairing_word(rule: NameMatch) -> &'static str {
    match rule {
        NameMatch::Given => "given",
        NameMatch::Exact => "exact",
        NameMatch::IgnoreCase => "ignore-case",
        NameMatch::Normalised => "normalised",
        NameMatch::Cut => "cut",
    }
}

/// How many columns were compared. `source` is the sum of `compared`, `missing` and `uncompared`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ColumnCounts {
    /// Columns of the source.
    pub source: usize,
    /// Columns of the source whose values were compared; none when only rows were counted.
    pub compared: usize,
    /// Columns of the source that have no partner in the target.
    pub missing: usize,
    /// Columns of the source that were not compared for another reason: the user left them out,
    /// the source computes them, or only rows were counted.
    pub uncompared: usize,
    /// Columns of the target that belong to no column of the source and were not left out.
    pub target_only: usize,
    /// By which rules the names of columns were paired.
    pub paired: Pairings,
}

impl ColumnCounts {
    pub(super) fn of(coverage: &Coverage, depth: Depth) -> Self {
        let mut paired = Pairings::default();
        for column in &coverage.columns {
            paired.add(column.pairing);
        }
        let uncompared = |is: fn(&UncomparedColumn) -> bool| {
            let columns = coverage.uncompared.iter();
            columns.filter(|column| is(column)).count()
        };
        let (pairs, missing) = (coverage.columns.len(), coverage.missing_columns.len());
        let source = pairs + missing + uncompared(|column| column.side == ColumnSide::Source);
        let compared = if depth == Depth::Counts { 0 } else { pairs };
        Self {
            source,
            compared,
            missing,
            uncompared: source - compared - missing,
            target_only: uncompared(|column| {
                matches!(
                    column.reason,
                    Uncompared::TargetOnly | Uncompared::TargetOnlyRequired
                )
            }),
            paired,
        }
    }
}

impl AddAssign for ColumnCounts {
    fn add_assign(&mut self, other: Self) {
        self.source += other.source;
        self.compared += other.compared;
        self.missing += other.missing;
        self.uncompared += other.uncompared;
        self.target_only += other.target_only;
        self.paired += other.paired;
    }
}

/// What a run covered: sums over the tables whose coverage is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Scope {
    /// Tables that were compared and whose coverage is known.
    pub tables: usize,
    /// By which rules the names of these tables were paired.
    pub tables_paired: Pairings,
    /// Their columns.
    pub columns: ColumnCounts,
    /// Columns that were compared under a rule.
    pub columns_with_rule: usize,
    /// Columns whose type in the target cannot hold every value of the source's type.
    pub columns_narrowed: usize,
    /// Tables of which only rows under a condition were compared.
    pub tables_with_condition: usize,
}

impl Scope {
    /// Adds a table.
    pub(super) fn add(&mut self, coverage: &Coverage, columns: ColumnCounts) {
        self.tables += 1;
        // A worker that does not report the rule resolved the name that the task has.
        let pairing = coverage.table_pairing.unwrap_or(NameMatch::Given);
        self.tables_paired.add(pairing);
        self.columns += columns;
        let count = |is: fn(&PairedColumn) -> bool| {
            coverage.columns.iter().filter(|column| is(column)).count()
        };
        self.columns_with_rule += count(|column| column.rule.is_some());
        self.columns_narrowed += count(|column| column.narrowed.is_some());
        let conditions = [&coverage.source_condition, &coverage.target_condition];
        let has_condition = conditions.iter().any(|condition| condition.is_some());
        self.tables_with_condition += usize::from(has_condition);
    }

    /// Columns of the source that have no part in the comparison, without the missing ones.
    pub(super) fn left_out(&self) -> usize {
        self.columns.source - self.columns.paired.total() - self.columns.missing
    }

    /// What an "equal" of this scope does not cover; empty if it covers every column and row.
    pub(super) fn gaps(&self) -> Vec<String> {
        let left_out = self.left_out();
        let column = |count: usize| if count == 1 { "column" } else { "columns" };
        let table = |count: usize| if count == 1 { "table" } else { "tables" };
        let (missing, filtered) = (self.columns.missing, self.tables_with_condition);
        let gaps = [
            (
                missing,
                format!("{missing} {} missing in the target", column(missing)),
            ),
            (
                left_out,
                format!("{left_out} {} left out or computed", column(left_out)),
            ),
            (
                filtered,
                format!(
                    "rows outside the conditions of {filtered} {}",
                    table(filtered)
                ),
            ),
        ];
        let gaps = gaps.into_iter().filter(|(count, _)| *count > 0);
        gaps.map(|(_, words)| words).collect()
    }
}

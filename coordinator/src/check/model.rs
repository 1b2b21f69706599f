//! The result of a check: endpoints, tables, findings and estimated times in one structure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shared::coverage::Coverage;
use shared::endpoint_state::EndpointState;
use shared::finding::Severity;
use worker::engine::{Effect, PreflightFinding};

use super::estimate::RunEstimate;

/// What a check means for a run of the same tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum CheckStatus {
    /// Nothing was found that prevents the run or makes a table different.
    Ready,
    /// The run can verify all tables, and structural differences are known already.
    Different,
    /// The run cannot verify some table, or no table.
    Unverifiable,
    /// The tables were not checked.
    Incomplete,
}

impl CheckStatus {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Ready => "READY: no finding prevents a run",
            Self::Different => "DIFFERENT: a run can verify every table, but the structure differs",
            Self::Unverifiable => "NOT READY: a run cannot verify every table",
            Self::Incomplete => "INCOMPLETE: the tables were not checked",
        }
    }
}

/// An endpoint as one process sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct EndpointResult {
    /// The process: `this process`, or the name of a worker.
    pub(crate) process: String,
    pub(crate) endpoint: String,
    /// Absent without a connection; a finding has the reason.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<EndpointState>,
}

/// A table as a run would compare it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CheckedTable {
    pub(crate) table: String,
    pub(crate) target: String,
    /// Whether the comparison could be planned.
    pub(crate) is_planned: bool,
    pub(crate) key: Vec<String>,
    pub(crate) source_rows: Option<u64>,
    pub(crate) target_rows: Option<u64>,
    pub(crate) source_bytes: Option<u64>,
    pub(crate) target_bytes: Option<u64>,
    /// The time of its comparison when no other table is compared.
    pub(crate) estimated_seconds: Option<f64>,
    pub(crate) coverage: Option<Coverage>,
}

/// A rule that is turned off, and how many findings it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct IgnoredRule {
    pub(crate) rule: String,
    pub(crate) findings: usize,
}

/// All that was found, before rules are turned off.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) endpoints: Vec<EndpointResult>,
    pub(crate) tables: Vec<CheckedTable>,
    pub(crate) tables_checked: bool,
    pub(crate) findings: Vec<PreflightFinding>,
    pub(crate) estimate: Option<RunEstimate>,
}

/// The report of `reconcile check`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CheckReport {
    pub(crate) status: CheckStatus,
    pub(crate) timestamp: String,
    pub(crate) duration_seconds: f64,
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
    pub(crate) notes: usize,
    pub(crate) tables_checked: bool,
    pub(crate) endpoints: Vec<EndpointResult>,
    /// Worst first, without those of ignored rules.
    pub(crate) findings: Vec<PreflightFinding>,
    pub(crate) ignored: Vec<IgnoredRule>,
    pub(crate) estimate: Option<RunEstimate>,
    pub(crate) tables: Vec<CheckedTable>,
}

impl CheckReport {
    /// The report of `checks` without the findings of the rules in `ignored`.
    pub(crate) fn new(
        checks: Checks,
        ignored: &[String],
        timestamp: String,
        duration_seconds: f64,
    ) -> Self {
        let ignored: BTreeSet<&str> = ignored.iter().map(|rule| rule.trim()).collect();
        let mut counts: BTreeMap<&str, usize> = ignored.iter().map(|rule| (*rule, 0)).collect();
        let mut findings = Vec::new();
        for found in checks.findings {
            match counts.get_mut(found.finding.rule.as_str()) {
                Some(count) => *count += 1,
                None => findings.push(found),
            }
        }
        let order = |found: &PreflightFinding| (found.finding.severity, found.effect);
        findings.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.cmp(b)));
        findings.dedup();
        let count = |severity| {
            let of_severity = findings.iter();
            of_severity
                .filter(|found| found.finding.severity == severity)
                .count()
        };
        let has = |effect| findings.iter().any(|found| found.effect == effect);
        let status = if has(Effect::Unverified) {
            CheckStatus::Unverifiable
        } else if !checks.tables_checked {
            CheckStatus::Incomplete
        } else if has(Effect::Different) {
            CheckStatus::Different
        } else {
            CheckStatus::Ready
        };
        let ignored = counts.into_iter().map(|(rule, findings)| IgnoredRule {
            rule: rule.to_owned(),
            findings,
        });
        Self {
            status,
            timestamp,
            duration_seconds,
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
            tables_checked: checks.tables_checked,
            endpoints: checks.endpoints,
            ignored: ignored.collect(),
            findings,
            estimate: checks.estimate,
            tables: checks.tables,
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::failure::{Failure, FailureKind};

    use super::*;

    fn failed(kind: FailureKind, table: &str) -> PreflightFinding {
        PreflightFinding::of_failure(&Failure::new(kind, "failed")).of_table(table)
    }

    fn report(
        findings: Vec<PreflightFinding>,
        ignored: &[&str],
        tables_checked: bool,
    ) -> CheckReport {
        let checks = Checks {
            findings,
            tables_checked,
            ..Checks::default()
        };
        let ignored: Vec<String> = ignored.iter().map(|rule| (*rule).to_owned()).collect();
        CheckReport::new(checks, &ignored, String::new(), 0.0)
    }

    fn missing_column() -> PreflightFinding {
        let rule = (Severity::Error, "missing-column");
        let found = PreflightFinding::without_effect(rule, "no partner".to_owned(), None);
        PreflightFinding {
            effect: Effect::Different,
            ..found
        }
    }

    #[test]
    fn the_worst_finding_decides_the_status() {
        let note = PreflightFinding::without_effect((Severity::Note, "n"), String::new(), None);
        let lost = || failed(FailureKind::TableNotFound, "a");
        let status = |findings| report(findings, &[], true).status;
        assert_eq!(status(vec![]), CheckStatus::Ready);
        assert_eq!(status(vec![note.clone()]), CheckStatus::Ready);
        assert_eq!(status(vec![note, missing_column()]), CheckStatus::Different);
        assert_eq!(
            status(vec![missing_column(), lost()]),
            CheckStatus::Unverifiable
        );
        assert_eq!(report(vec![], &[], false).status, CheckStatus::Incomplete);
    }

    #[test]
    fn the_findings_of_an_ignored_rule_are_counted_and_do_not_decide() {
        let findings = vec![
            failed(FailureKind::TableNotFound, "b"),
            failed(FailureKind::TableNotFound, "a"),
            missing_column(),
        ];
        let report = report(findings, &["table-not-found", "no-such-rule"], true);
        assert_eq!(report.status, CheckStatus::Different);
        assert_eq!(report.errors, 1);
        let ignored: Vec<(&str, usize)> = report
            .ignored
            .iter()
            .map(|it| (it.rule.as_str(), it.findings))
            .collect();
        assert_eq!(ignored, [("no-such-rule", 0), ("table-not-found", 2)]);
    }

    #[test]
    fn the_worst_finding_comes_first() {
        let note = PreflightFinding::without_effect((Severity::Note, "a"), String::new(), None);
        let lost = failed(FailureKind::TableNotFound, "t");
        let report = report(vec![note, missing_column(), lost], &[], true);
        let rules: Vec<&str> = report
            .findings
            .iter()
            .map(|found| found.finding.rule.as_str())
            .collect();
        assert_eq!(rules, ["table-not-found", "missing-column", "a"]);
    }
}

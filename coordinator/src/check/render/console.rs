//! The report of a check for the console: the worst findings first, one line for findings that say
//! the same of many tables, and the verdict with the estimated times last.

use std::fmt::Write as _;
use std::time::Duration;

use shared::endpoint_state::EndpointState;
use shared::finding::Severity;

use crate::check::grouping::{Group, groups};
use crate::check::model::{CheckReport, CheckedTable, EndpointResult};

/// From so many findings on, a group is one line.
const COLLAPSED: usize = 4;

/// Tables that a collapsed line names.
const NAMED: usize = 3;

/// Groups of one rule that are printed.
const GROUPS_OF_RULE: usize = 10;

/// The text of the report.
pub(crate) fn to_console(report: &CheckReport) -> String {
    let mut text = String::new();
    endpoints(&mut text, report);
    let all = groups(&report.findings);
    for (severity, heading) in [
        (Severity::Error, "Errors"),
        (Severity::Warning, "Warnings"),
        (Severity::Note, "Notes"),
    ] {
        let of_severity: Vec<&Group<'_>> =
            all.iter().filter(|it| it.severity == severity).collect();
        if of_severity.is_empty() {
            continue;
        }
        line(&mut text, "");
        line(&mut text, heading);
        rules(&mut text, &of_severity);
    }
    ignored(&mut text, report);
    line(&mut text, "");
    longest(&mut text, report);
    if let Some(estimate) = &report.estimate {
        let others = estimate.by_workers.iter().map(|it| {
            let workers = plural(it.workers as usize, "worker");
            format!("{workers} {}", duration(it.seconds))
        });
        let others: Vec<String> = others.collect();
        line(
            &mut text,
            &format!(
                "estimated time: {} with {} at the same time; {}",
                duration(estimate.seconds),
                plural(estimate.tables_at_once as usize, "table"),
                others.join(", ")
            ),
        );
    }
    line(&mut text, &verdict(report));
    text
}

/// Writing to memory cannot fail.
fn line(text: &mut String, line: &str) {
    writeln!(text, "{}", printable(line)).ok();
}

/// Control characters of names and messages must not change the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped = character.is_control().then(|| character.escape_debug());
            let plain = escaped.is_none().then_some(character);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

fn endpoints(text: &mut String, report: &CheckReport) {
    for EndpointResult {
        process,
        endpoint,
        state,
    } in &report.endpoints
    {
        let found = match state {
            Some(state) => described(state),
            None => "not available".to_owned(),
        };
        line(text, &format!("{endpoint:10} {process}: {found}"));
    }
}

fn described(state: &EndpointState) -> String {
    let encrypted = match state.is_encrypted {
        Some(true) => "encrypted",
        Some(false) => "not encrypted",
        None => "encryption not visible",
    };
    let sessions = match (state.open_sessions, state.max_sessions) {
        (Some(open), Some(most)) => format!(", {open} of {most} sessions open"),
        (None, Some(most)) => format!(", at most {most} sessions"),
        (_, None) => String::new(),
    };
    format!(
        "{}; {}, {encrypted}{sessions}",
        state.database, state.isolation
    )
}

fn rules(text: &mut String, of_severity: &[&Group<'_>]) {
    let mut names: Vec<&str> = Vec::new();
    for group in of_severity {
        if !names.contains(&group.rule) {
            names.push(group.rule);
        }
    }
    for rule in names {
        let of_rule: Vec<_> = of_severity.iter().filter(|it| it.rule == rule).collect();
        let count: usize = of_rule.iter().map(|group| group.findings.len()).sum();
        line(text, &format!("  {rule} ({count})"));
        for group in of_rule.iter().take(GROUPS_OF_RULE) {
            one_group(text, group);
        }
        let rest = of_rule.iter().skip(GROUPS_OF_RULE);
        let rest: usize = rest.map(|group| group.findings.len()).sum();
        if rest > 0 {
            let more = plural(rest, "more finding");
            line(
                text,
                &format!("    {more}; --format json or csv has all of them"),
            );
        }
    }
}

fn one_group(text: &mut String, group: &Group<'_>) {
    if group.findings.len() < COLLAPSED {
        for found in &group.findings {
            let finding = &found.finding;
            let of_table = finding.table.as_deref().unwrap_or_default();
            let place = match &finding.object {
                Some(object) if finding.table.is_some() => format!("{of_table}.{object}: "),
                Some(object) => format!("{object}: "),
                None if finding.table.is_some() => format!("{of_table}: "),
                None => String::new(),
            };
            line(text, &format!("    {place}{}", finding.message));
        }
    } else if let Some(first) = group.findings.first() {
        let mut places: Vec<&str> = Vec::new();
        for found in &group.findings {
            let finding = &found.finding;
            let place = finding.table.as_deref().or(finding.object.as_deref());
            places.extend(place);
        }
        places.dedup();
        let named = places[..places.len().min(NAMED)].join(", ");
        let rest = match places.len().saturating_sub(NAMED) {
            0 => String::new(),
            rest => format!(" and {rest} more"),
        };
        let count = group.findings.len();
        line(text, &format!("    {count} times: {named}{rest}"));
        line(text, &format!("    such as: {}", first.finding.message));
    }
    let first = group.findings.first();
    if let Some(remedy) = first.and_then(|found| found.finding.remedy.as_deref()) {
        line(text, &format!("      {remedy}"));
    }
}

fn ignored(text: &mut String, report: &CheckReport) {
    if report.ignored.is_empty() {
        return;
    }
    let rules: Vec<String> = report
        .ignored
        .iter()
        .map(|it| format!("{} ({})", it.rule, plural(it.findings, "finding")))
        .collect();
    line(text, "");
    line(text, &format!("ignored rules: {}", rules.join(", ")));
}

/// The tables that take longest, with their rows: no number of workers makes a run shorter.
fn longest(text: &mut String, report: &CheckReport) {
    let timed = report.tables.iter().filter_map(|table| {
        let seconds = table.estimated_seconds?;
        Some((seconds, table))
    });
    let mut timed: Vec<(f64, &CheckedTable)> = timed.collect();
    timed.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let named = timed.iter().take(NAMED).map(|(seconds, table)| {
        let rows = table.source_rows.max(table.target_rows);
        let rows = rows.map_or_else(String::new, |rows| format!(", {rows} rows"));
        format!("{} ({}{rows})", table.table, duration(*seconds))
    });
    let named: Vec<String> = named.collect();
    if !named.is_empty() {
        line(text, &format!("longest tables: {}", named.join(", ")));
    }
}

fn verdict(report: &CheckReport) -> String {
    format!(
        "{}; {}, {}, {}; {} checked in {:.1} s",
        report.status.describe(),
        plural(report.errors, "error"),
        plural(report.warnings, "warning"),
        plural(report.notes, "note"),
        plural(report.tables.len(), "table"),
        report.duration_seconds
    )
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// Two units at most: an estimate is not exact.
fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = Duration::from_secs_f64(seconds.round()).as_secs();
    let rounded = match whole {
        ..600 => whole,
        600..36_000 => whole / 60 * 60,
        _ => whole / 600 * 600,
    };
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

#[cfg(test)]
mod tests {
    use shared::failure::{Failure, FailureKind};
    use worker::engine::PreflightFinding;

    use super::*;
    use crate::check::estimate::{Fleet, estimate_run};
    use crate::check::model::Checks;

    fn report(findings: Vec<PreflightFinding>) -> CheckReport {
        let checks = Checks {
            findings,
            tables_checked: true,
            estimate: Some(estimate_run(&[30.0; 8], 2, Fleet::Here, None)),
            ..Checks::default()
        };
        CheckReport::new(checks, &[], String::new(), 1.25)
    }

    #[test]
    fn the_same_fault_of_300_tables_is_a_few_lines_and_the_verdict_is_last() {
        let findings = (0..300)
            .map(|number| {
                let message = format!("there is no table public.t{number} at endpoint `target`");
                let failure = Failure::new(FailureKind::TableNotFound, message);
                PreflightFinding::of_failure(&failure).of_table(&format!("dbo.t{number}"))
            })
            .collect();
        let text = to_console(&report(findings));
        assert!(text.lines().count() < 12, "{text}");
        assert!(text.contains("table-not-found (300)"), "{text}");
        assert!(text.contains("and 297 more"), "{text}");
        let last = text.lines().last().unwrap();
        assert!(
            last.starts_with("NOT READY") && last.contains("300 errors"),
            "{text}"
        );
        assert!(text.contains("estimated time: 2m with 2 tables"), "{text}");
    }

    #[test]
    fn few_findings_are_printed_in_full_and_names_cannot_change_the_terminal() {
        let rule = (Severity::Warning, "no-key");
        let found = PreflightFinding::without_effect(rule, "no key".to_owned(), Some("name one"));
        let text = to_console(&report(vec![found.of_table("a\u{1b}[2J")]));
        assert!(
            text.contains("a\\u{1b}[2J: no key\n      name one\n"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
        assert!(text.contains("READY"), "{text}");
    }

    #[test]
    fn the_tables_that_take_longest_are_named() {
        let table = |name: &str, seconds| CheckedTable {
            table: name.to_owned(),
            target: name.to_owned(),
            is_planned: true,
            key: Vec::new(),
            source_rows: Some(7),
            target_rows: None,
            source_bytes: None,
            target_bytes: None,
            estimated_seconds: seconds,
            coverage: None,
        };
        let mut report = report(Vec::new());
        let seconds = [Some(1.0), None, Some(30.0), Some(0.5), Some(2.0)];
        let names = ["a", "b", "c", "d", "e"];
        report.tables = names
            .into_iter()
            .zip(seconds)
            .map(|(name, seconds)| table(name, seconds))
            .collect();
        let text = to_console(&report);
        let expected = "longest tables: c (30s, 7 rows), e (2.0 s, 7 rows), a (1.0 s, 7 rows)\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn estimates_have_two_units() {
        assert_eq!(duration(0.26), "0.3 s");
        assert_eq!(duration(61.4), "1m 1s");
        assert_eq!(duration(3_725.0), "1h 2m");
        assert_eq!(duration(90_061.0), "1day 1h");
    }
}

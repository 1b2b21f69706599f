//! Puts findings together that say the same of several tables.

use std::collections::BTreeMap;

use shared::finding::Severity;
use worker::engine::{Effect, PreflightFinding};

/// Findings of one rule whose messages are equal but for the names of tables and objects.
#[derive(Debug, PartialEq)]
pub(crate) struct Group<'a> {
    pub(crate) severity: Severity,
    pub(crate) rule: &'a str,
    /// In their order; not empty.
    pub(crate) findings: Vec<&'a PreflightFinding>,
}

/// What the findings of a group have in common.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Template {
    severity: Severity,
    effect: Effect,
    rule: String,
    message: String,
    remedy: Option<String>,
}

/// The stand-in for a name in a template.
const NAME: &str = "\u{0}";

/// The groups, in the order of their first findings.
pub(crate) fn groups(findings: &[PreflightFinding]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut positions: BTreeMap<Template, usize> = BTreeMap::new();
    for found in findings {
        let at = *positions.entry(Template::of(found)).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.findings.push(found),
            None => groups.push(Group {
                severity: found.finding.severity,
                rule: &found.finding.rule,
                findings: vec![found],
            }),
        }
    }
    groups
}

impl Template {
    fn of(found: &PreflightFinding) -> Self {
        let finding = &found.finding;
        let mut names: Vec<&str> = Vec::new();
        if let Some(table) = &finding.table {
            names.push(table);
            names.extend(table.rsplit(['.', '[', ']', '"']).find(|it| !it.is_empty()));
        }
        names.extend(finding.object.as_deref());
        let without = |text: &str| {
            let mut text = text.to_owned();
            for name in &names {
                text = without_word(&text, name);
            }
            text
        };
        Self {
            severity: finding.severity,
            effect: found.effect,
            rule: finding.rule.clone(),
            message: without(&finding.message),
            remedy: finding.remedy.as_deref().map(without),
        }
    }
}

/// `text` with [`NAME`] in place of each `word`, in any case of ASCII, that is not part of a longer
/// one.
fn without_word(text: &str, word: &str) -> String {
    if word.is_empty() {
        return text.to_owned();
    }
    // ASCII letters have one byte in both cases, so the positions are the same.
    let (lower, word) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    let is_part = |character: Option<char>| {
        character.is_some_and(|character| character.is_alphanumeric() || character == '_')
    };
    let mut result = String::new();
    let mut rest = 0;
    for (at, found) in lower.match_indices(&word) {
        let end = at + found.len();
        let before = lower[..at].chars().next_back();
        let after = lower[end..].chars().next();
        if is_part(before) || is_part(after) {
            continue;
        }
        result.push_str(&text[rest..at]);
        result.push_str(NAME);
        rest = end;
    }
    result.push_str(&text[rest..]);
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::failure::{Failure, FailureKind};

    use super::*;

    fn not_found(table: &str, target: &str) -> PreflightFinding {
        let message = format!("there is no table {target} at endpoint `target`");
        PreflightFinding::of_failure(&Failure::new(FailureKind::TableNotFound, message))
            .of_table(table)
    }

    #[test]
    fn the_same_message_about_many_tables_is_one_group() {
        let mut findings: Vec<PreflightFinding> = (0..300)
            .map(|number| not_found(&format!("dbo.T{number}"), &format!("public.t{number}")))
            .collect();
        findings.push(
            PreflightFinding::of_failure(&Failure::new(FailureKind::TableNotFound, "other"))
                .of_table("dbo.x"),
        );
        let groups = groups(&findings);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].findings.len(), 300);
        assert_eq!(groups[1].findings.len(), 1);
    }

    #[test]
    fn a_name_within_a_longer_one_is_left() {
        assert_eq!(
            without_word("t of tt, T and t_1", "t"),
            "\0 of tt, \0 and t_1"
        );
        assert_eq!(without_word("öt t", "t"), "öt \0");
        assert_eq!(without_word("x", ""), "x");
    }

    proptest! {
        #[test]
        fn no_finding_is_lost(rules in proptest::collection::vec((0..3_usize, 0..4_usize), 0..30)) {
            let findings: Vec<PreflightFinding> = rules
                .iter()
                .map(|(rule, table)| {
                    let rule = (Severity::Warning, ["a", "b", "c"][*rule]);
                    let message = format!("t{table} has a fault");
                    PreflightFinding::without_effect(rule, message, None)
                        .of_table(&format!("s.t{table}"))
                })
                .collect();
            let groups = groups(&findings);
            let count: usize = groups.iter().map(|group| group.findings.len()).sum();
            prop_assert_eq!(count, findings.len());
            prop_assert!(groups.len() <= 3);
            for group in &groups {
                prop_assert!(group.findings.iter().all(|it| it.finding.rule == group.rule));
            }
        }
    }
}

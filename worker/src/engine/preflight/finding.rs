//! What a check of a table finds, and what it means for a run.

use serde::{Deserialize, Serialize};
use shared::failure::{Failure, FailureKind};
use shared::finding::{Finding, Severity};

/// What a finding means for the result of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// A run cannot verify the table, or no table at all.
    Unverified,
    /// A run finds the table different, or the two sides differ around the rows.
    Different,
    /// The result of a run does not change.
    None,
}

/// A finding with its effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PreflightFinding {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// What it means for a run.
    pub effect: Effect,
}

impl PreflightFinding {
    /// A failure that a run would have.
    #[must_use]
    pub fn of_failure(failure: &Failure) -> Self {
        Self {
            finding: Finding {
                severity: Severity::Error,
                rule: rule_of(&failure.kind),
                table: None,
                object: None,
                message: failure.message.clone(),
                remedy: None,
            },
            effect: Effect::Unverified,
        }
    }

    /// A finding that does not change the result of a run.
    #[must_use]
    pub fn without_effect(
        (severity, rule): (Severity, &str),
        message: String,
        remedy: Option<&str>,
    ) -> Self {
        Self {
            finding: Finding {
                severity,
                rule: rule.to_owned(),
                table: None,
                object: None,
                message,
                remedy: remedy.map(str::to_owned),
            },
            effect: Effect::None,
        }
    }

    /// The same finding about an object of the table.
    #[must_use]
    pub fn on(mut self, object: impl Into<String>) -> Self {
        self.finding.object = Some(object.into());
        self
    }

    /// The same finding about a table of the source.
    #[must_use]
    pub fn of_table(mut self, table: &str) -> Self {
        self.finding.table = Some(table.to_owned());
        self
    }
}

/// The name of the rule that finds a failure before a run: `table-not-found`.
#[must_use]
pub fn rule_of(kind: &FailureKind) -> String {
    let mut name = String::new();
    for character in kind.as_str().chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(character.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_called_as_the_failure_that_it_finds() {
        assert_eq!(rule_of(&FailureKind::TableNotFound), "table-not-found");
        assert_eq!(rule_of(&FailureKind::TlsError), "tls-error");
        assert_eq!(rule_of(&FailureKind::Panic), "panic");
    }
}

//! The result of an embedding program's function, and the failure that its error
//! becomes.

use std::error::Error;

use shared::outcome::{Comparison, Difference, Failure, FailureKind};

/// The result of one comparison: numbers, and the differing rows that the
/// report should list.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// What decides whether the table matches.
    pub comparison: Comparison,
    /// Differing rows. All of them are kept until the report is made, so limit
    /// their number and count the rest in `comparison.rows`.
    pub differences: Vec<Difference>,
}

impl Findings {
    /// The result of a comparison of row counts only.
    #[must_use]
    pub fn of_counts(source_count: u64, target_count: u64) -> Self {
        Self::from(Comparison {
            source_count,
            target_count,
            checksums: None,
            rows: None,
            key: Vec::new(),
            notes: Vec::new(),
            causes: Vec::new(),
            reads: None,
            repair: None,
            coverage: None,
        })
    }

    /// These findings, if their numbers and their rows are consistent.
    pub(super) fn consistent(self) -> Result<Self, Failure> {
        if self.comparison.is_match() && !self.differences.is_empty() {
            return Err(Failure::new(
                FailureKind::InconsistentFindings,
                format!(
                    "the function returned {} differing rows together with numbers that are equal",
                    self.differences.len()
                ),
            ));
        }
        Ok(self)
    }
}

impl From<Comparison> for Findings {
    fn from(comparison: Comparison) -> Self {
        Self {
            comparison,
            differences: Vec::new(),
        }
    }
}

/// The failure that the function's error becomes. A [`Failure`] among the error
/// and its sources keeps its kind and its `retryable`; any other error is not
/// retried.
pub(super) fn failure_of(error: Box<dyn Error + Send + Sync>) -> Failure {
    let error = match error.downcast::<Failure>() {
        Ok(failure) => return *failure,
        Err(error) => error,
    };
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors repeat their source.
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return Failure {
                message,
                ..failure.clone()
            };
        }
        cause = error.source();
    }
    Failure::new(FailureKind::ReconcileError, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Failure);

    #[test]
    fn a_failure_keeps_its_class_and_other_errors_get_one() {
        let lost = Failure::new(FailureKind::ConnectionError, "lost").uncounted();
        assert_eq!(failure_of(lost.clone().into()), lost);
        let wrapped = failure_of(Outer(lost.clone()).into());
        assert_eq!(wrapped.message, "outer: lost");
        assert_eq!(
            Failure {
                message: "lost".to_owned(),
                ..wrapped
            },
            lost
        );
        let other = failure_of("no such thing".into());
        assert_eq!(
            (other.kind.as_str(), other.message.as_str(), other.retryable),
            ("ReconcileError", "no such thing", false)
        );
    }
}

//! Collects the findings of one table.

use shared::finding::Finding;
use shared::message::TableSpec;

use crate::engine::schema::rule::SchemaRule;

#[derive(Debug, Default)]
pub(super) struct Findings {
    table: Option<String>,
    found: Vec<Finding>,
}

impl Findings {
    /// Of a table, by its name in the source; `None`: of the run.
    pub(super) fn of(table: Option<String>) -> Self {
        Self {
            table,
            found: Vec::new(),
        }
    }

    /// Of the table of a comparison.
    pub(super) fn of_spec(spec: &TableSpec) -> Self {
        Self::of(Some(spec.source.table.to_string()))
    }

    /// Adds a finding about the table as a whole.
    pub(super) fn add(&mut self, rule: SchemaRule, message: String) {
        self.push(rule, None, message, None);
    }

    /// Adds a finding about an object that belongs to the table.
    pub(super) fn add_object(&mut self, rule: SchemaRule, object: &str, message: String) {
        self.push(rule, Some(object), message, None);
    }

    /// Adds a finding with what to do about it.
    pub(super) fn add_remedy(
        &mut self,
        rule: SchemaRule,
        object: &str,
        message: String,
        remedy: Option<String>,
    ) {
        self.push(rule, Some(object), message, remedy);
    }

    fn push(
        &mut self,
        rule: SchemaRule,
        object: Option<&str>,
        message: String,
        remedy: Option<String>,
    ) {
        self.found.push(Finding {
            severity: rule.severity,
            rule: rule.name.to_owned(),
            table: self.table.clone(),
            object: object.map(str::to_owned),
            message,
            remedy,
        });
    }

    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.found
    }
}

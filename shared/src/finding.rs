//! Findings of a check before a run: what around the rows differs, or would make the run fail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a finding matters. The order is the order in which findings are shown.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A run cannot verify the table, or a user of the target will lose or change data.
    Error,
    /// The two sides behave differently in a way that may be intended.
    Warning,
    /// A fact that helps to read the result of the run.
    Note,
}

/// One finding about an endpoint, a table, or an object that belongs to a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The name of the rule that found it, as `[check] ignore` lists it.
    pub rule: String,
    /// The table in the source, as the user or the pattern named it; `None` if the finding
    /// belongs to an endpoint or to the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The column, index, constraint, sequence or trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What was found on which side.
    pub message: String,
    /// What to do: an option, or a statement for the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

//! What a coordinator must know of a run that another one began.

use serde::{Deserialize, Serialize};
use shared::identity::DatabaseIdentity;
use shared::ids::Attempt;

use super::record::{AttemptFailure, CancelReason, RootCause, TableRecord};

#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Its tables, in the order of the plan.
    pub tables: Vec<RestoredTable>,
    /// Why it was being cancelled, if it was.
    pub cancelling: Option<CancelReason>,
    /// The table that ended it, when fail-fast did.
    pub root_cause: Option<RootCause>,
    /// Its databases, as far as they are known.
    pub databases: Vec<DatabaseIdentity>,
}

#[derive(Debug, Clone)]
pub enum RestoredTable {
    Ended(Box<TableRecord>),
    Open(OpenTable),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenTable {
    /// No attempt above this one was published.
    pub published: Attempt,
    /// Whether a pause of the run has stopped that attempt, so that none is adopted.
    #[serde(default)]
    pub is_stopped: bool,
    /// Attempts that failed and count against the budget.
    pub spent: u32,
    /// Attempts that ended without a result and do not count.
    pub free: u32,
    /// The attempts that ended without a result, oldest first.
    pub history: Vec<AttemptFailure>,
}

impl Default for OpenTable {
    /// A table of which no event has arrived: it may have been published once.
    fn default() -> Self {
        Self {
            published: Attempt::FIRST,
            is_stopped: false,
            spent: 0,
            free: 0,
            history: Vec::new(),
        }
    }
}

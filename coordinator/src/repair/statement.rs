//! The statements of repair scripts.

use aws_lc_rs::digest::{self, Context};
use serde::{Deserialize, Serialize};
use shared::outcome::RepairAction;

pub(crate) const ACTIONS: [RepairAction; 3] = [
    RepairAction::Delete,
    RepairAction::Update,
    RepairAction::Insert,
];

/// The action in marks and messages.
pub(super) fn word(action: RepairAction) -> &'static str {
    match action {
        RepairAction::Delete => "delete",
        RepairAction::Update => "update",
        RepairAction::Insert => "insert",
    }
}

/// Whether a script repairs a table or undoes a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Makes the target equal to the source.
    Repair,
    /// Makes the target equal to its state before the repair.
    Undo,
}

impl Direction {
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Repair => ".repair.sql",
            Self::Undo => ".undo.sql",
        }
    }

    /// Maps the action of a repair statement to the action of its counterpart in a script
    /// of this direction. An undo script deletes what the repair inserts, and inserts what
    /// the repair deletes. The mapping is its own inverse.
    pub(super) fn orient(self, action: RepairAction) -> RepairAction {
        match (self, action) {
            (Self::Undo, RepairAction::Delete) => RepairAction::Insert,
            (Self::Undo, RepairAction::Insert) => RepairAction::Delete,
            (_, action) => action,
        }
    }

    /// Maps the counts of a repair to the counts of a script of this direction. The
    /// mapping is its own inverse.
    pub(super) fn orient_counts(self, repair: StatementCounts) -> StatementCounts {
        let mut counts = StatementCounts::default();
        for action in ACTIONS {
            counts.add(self.orient(action), repair.of(action));
        }
        counts
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) action: RepairAction,
    /// The encoded key of its row in hexadecimal; empty where there is no key.
    pub(crate) key: String,
    /// The number of a repair statement is its position, from 0, among the repair
    /// statements with the same action. The statement that undoes it has the same
    /// number.
    pub(crate) number: u64,
    pub(crate) sql: String,
}

impl Statement {
    /// The digest of all that must not change of it, in hexadecimal: 128 bits of SHA-256.
    /// `script` is the digest of the script's header, so that a statement stays in its script.
    pub(super) fn digest(&self, script: &str) -> String {
        let mut digest = Context::new(&digest::SHA256);
        let Self {
            key, number, sql, ..
        } = self;
        let place = format!("{script} {} {key} {number} ", word(self.action));
        digest.update(place.as_bytes());
        digest.update(sql.as_bytes());
        hex::encode(&digest.finish().as_ref()[..16])
    }

    /// Its name in messages, as in its mark.
    pub(super) fn name(&self) -> String {
        format!("{} #{}", word(self.action), self.number)
    }

    /// Whether both have the same action and number. In an undo script that
    /// `reconcile apply` wrote, a statement occurs as often as its counterpart took effect.
    pub(super) fn is_copy_of(&self, other: &Self) -> bool {
        (self.action, self.number) == (other.action, other.number)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatementCounts {
    pub(crate) delete: u64,
    pub(crate) update: u64,
    pub(crate) insert: u64,
}

impl StatementCounts {
    pub(crate) fn total(&self) -> u64 {
        self.delete + self.update + self.insert
    }

    pub(crate) fn of(&self, action: RepairAction) -> u64 {
        let mut copy = *self;
        *copy.count_mut(action)
    }

    pub(crate) fn add(&mut self, action: RepairAction, count: u64) {
        *self.count_mut(action) += count;
    }

    fn count_mut(&mut self, action: RepairAction) -> &mut u64 {
        match action {
            RepairAction::Delete => &mut self.delete,
            RepairAction::Update => &mut self.update,
            RepairAction::Insert => &mut self.insert,
        }
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            delete: self.delete + other.delete,
            update: self.update + other.update,
            insert: self.insert + other.insert,
        }
    }

    /// The difference; `None` if `other` has more of some action.
    pub(crate) fn minus(&self, other: &Self) -> Option<Self> {
        Some(Self {
            delete: self.delete.checked_sub(other.delete)?,
            update: self.update.checked_sub(other.update)?,
            insert: self.insert.checked_sub(other.insert)?,
        })
    }
}

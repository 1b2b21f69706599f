//! In which order tables are repaired, by their foreign keys.
//!
//! Rows are deleted from children before their parents, and added to parents
//! before their children. Keys that no such order satisfies, those of a cycle
//! or of a table that refers to itself, are checked at the end instead.

use serde::{Deserialize, Serialize};
use shared::outcome::{ForeignKey, RepairAction};

use super::script::Direction;

/// How many statements of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Rows that are deleted.
    pub delete: u64,
    /// Rows that are changed.
    pub update: u64,
    /// Rows that are added.
    pub insert: u64,
}

impl Numbers {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.delete + self.update + self.insert
    }

    /// Those of one kind.
    #[must_use]
    pub fn of(&self, action: RepairAction) -> u64 {
        match action {
            RepairAction::Delete => self.delete,
            RepairAction::Update => self.update,
            RepairAction::Insert => self.insert,
        }
    }

    /// Counts one more.
    pub fn add(&mut self, action: RepairAction, count: u64) {
        match action {
            RepairAction::Delete => self.delete += count,
            RepairAction::Update => self.update += count,
            RepairAction::Insert => self.insert += count,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            delete: self.delete + other.delete,
            update: self.update + other.update,
            insert: self.insert + other.insert,
        }
    }

    /// What is left without the others; nothing where there are fewer.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Option<Self> {
        Some(Self {
            delete: self.delete.checked_sub(other.delete)?,
            update: self.update.checked_sub(other.update)?,
            insert: self.insert.checked_sub(other.insert)?,
        })
    }

    /// Those of the inverse.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self {
            delete: self.insert,
            update: self.update,
            insert: self.delete,
        }
    }
}

/// What takes an action back.
#[must_use]
pub fn inverse(action: RepairAction) -> RepairAction {
    match action {
        RepairAction::Delete => RepairAction::Insert,
        RepairAction::Update => RepairAction::Update,
        RepairAction::Insert => RepairAction::Delete,
    }
}

/// What is done to a number of tables, in order, as positions in
/// [`Ordered::parents_first`].
#[must_use]
pub fn steps(tables: usize, direction: Direction) -> Vec<(usize, RepairAction)> {
    let deletions = (0..tables).rev().map(|at| (at, RepairAction::Delete));
    let rest = (0..tables).flat_map(|at| [(at, RepairAction::Update), (at, RepairAction::Insert)]);
    let mut steps: Vec<_> = deletions.chain(rest).collect();
    if direction == Direction::Undo {
        steps.reverse();
        for (_, action) in &mut steps {
            *action = inverse(*action);
        }
    }
    steps
}

/// A table that is repaired.
#[derive(Debug, Clone)]
pub struct Related<'a> {
    /// Its schema.
    pub schema: &'a str,
    /// Its name.
    pub table: &'a str,
    /// Its foreign keys.
    pub foreign_keys: &'a [ForeignKey],
    /// What is done to it.
    pub numbers: Numbers,
}

/// The order, by positions in the list that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// Parents first. Deletions go the other way.
    pub parents_first: Vec<usize>,
    /// Of each table of the list, the foreign keys that are checked at the end.
    pub deferred: Vec<Vec<ForeignKey>>,
}

/// Puts `tables` in order.
#[must_use]
pub fn order(tables: &[Related<'_>]) -> Ordered {
    let parents: Vec<Vec<usize>> = tables
        .iter()
        .map(|table| {
            table
                .foreign_keys
                .iter()
                .filter_map(|key| parent(tables, key))
                .collect()
        })
        .collect();
    let mut placed = vec![None; tables.len()];
    let mut parents_first = Vec::with_capacity(tables.len());
    while parents_first.len() < tables.len() {
        let waiting = || (0..tables.len()).filter(|at| placed[*at].is_none());
        let ready = waiting().find(|at| {
            parents[*at]
                .iter()
                .all(|parent| parent == at || placed[*parent].is_some())
        });
        // In a cycle the first of the list goes first.
        let Some(next) = ready.or_else(|| waiting().next()) else {
            break;
        };
        placed[next] = Some(parents_first.len());
        parents_first.push(next);
    }
    let deferred = tables
        .iter()
        .enumerate()
        .map(|(at, table)| {
            let late = |key: &&ForeignKey| {
                parent(tables, key).is_some_and(|parent| {
                    placed[parent] >= placed[at]
                        // A row that is moved away from a parent is moved after that is deleted.
                        || (tables[parent].numbers.delete > 0 && table.numbers.update > 0)
                })
            };
            table.foreign_keys.iter().filter(late).cloned().collect()
        })
        .collect();
    Ordered {
        parents_first,
        deferred,
    }
}

fn parent(tables: &[Related<'_>], key: &ForeignKey) -> Option<usize> {
    tables
        .iter()
        .position(|table| table.schema == key.schema && table.table == key.table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, table: &str) -> ForeignKey {
        ForeignKey {
            name: name.to_owned(),
            schema: "s".to_owned(),
            table: table.to_owned(),
            trusted: true,
            deferrable: false,
        }
    }

    fn ordered(tables: &[(&str, Vec<ForeignKey>, Numbers)]) -> (Vec<String>, Vec<String>) {
        let related: Vec<Related<'_>> = tables
            .iter()
            .map(|(table, foreign_keys, numbers)| Related {
                schema: "s",
                table,
                foreign_keys,
                numbers: *numbers,
            })
            .collect();
        let Ordered {
            parents_first,
            deferred,
        } = order(&related);
        (
            parents_first
                .iter()
                .map(|at| tables[*at].0.to_owned())
                .collect(),
            deferred.into_iter().flatten().map(|key| key.name).collect(),
        )
    }

    const INSERTS: Numbers = Numbers {
        delete: 0,
        update: 0,
        insert: 3,
    };

    #[test]
    fn parents_come_first_whatever_the_list_says() {
        let (order, deferred) = ordered(&[
            ("line", vec![key("a", "order"), key("b", "item")], INSERTS),
            (
                "order",
                vec![key("c", "customer"), key("d", "elsewhere")],
                INSERTS,
            ),
            ("item", vec![], INSERTS),
            ("customer", vec![], INSERTS),
        ]);
        assert_eq!(order, ["item", "customer", "order", "line"]);
        assert!(deferred.is_empty(), "{deferred:?}");
    }

    #[test]
    fn cycles_and_references_to_oneself_are_checked_at_the_end() {
        let (order, deferred) = ordered(&[
            ("a", vec![key("a_b", "b"), key("a_a", "a")], INSERTS),
            ("b", vec![key("b_a", "a")], INSERTS),
        ]);
        assert_eq!(order, ["a", "b"]);
        assert_eq!(deferred, ["a_b", "a_a"]);
    }

    #[test]
    fn a_parent_goes_before_the_child_that_moves_away_from_it() {
        let (_, deferred) = ordered(&[
            (
                "child",
                vec![key("k", "parent")],
                Numbers {
                    update: 1,
                    ..Numbers::default()
                },
            ),
            (
                "parent",
                vec![],
                Numbers {
                    delete: 1,
                    ..Numbers::default()
                },
            ),
        ]);
        assert_eq!(deferred, ["k"]);
    }
}

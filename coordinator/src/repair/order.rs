//! The order in which tables are repaired, by their foreign keys.
//!
//! Rows are deleted from children before their parents, and inserted into
//! parents before their children. A parent that children move away from is deleted at the
//! end. No such order satisfies the foreign keys of a
//! cycle or of a table that references itself; they are checked at the end, if statements
//! touch their columns.

use shared::outcome::{ForeignKey, RepairAction, Touched};

use super::statement::{Direction, StatementCounts};

/// The actions on tables in order, each with the position of its table in
/// [`Ordered::parents_first`]. `deletes_last` is that of the tables in this order.
pub(crate) fn steps(deletes_last: &[bool], direction: Direction) -> Vec<(usize, RepairAction)> {
    let tables = deletes_last.len();
    let deletions = |last: bool| {
        let children_first = (0..tables).rev();
        children_first
            .filter(move |at| deletes_last[*at] == last)
            .map(|at| (at, RepairAction::Delete))
    };
    let rest = (0..tables).flat_map(|at| [(at, RepairAction::Update), (at, RepairAction::Insert)]);
    let mut steps: Vec<_> = deletions(false)
        .chain(rest)
        .chain(deletions(true))
        .collect();
    if direction == Direction::Undo {
        steps.reverse();
        for (_, action) in &mut steps {
            *action = direction.orient(*action);
        }
    }
    steps
}

#[derive(Debug, Clone)]
pub(super) struct RepairedTable<'a> {
    pub(super) schema: &'a str,
    pub(super) table: &'a str,
    pub(super) foreign_keys: &'a [ForeignKey],
    pub(super) counts: StatementCounts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ordered {
    /// Positions in the list, parents first. Deletions go in reverse order.
    pub(super) parents_first: Vec<usize>,
    /// Of each table of the list, the foreign keys that are checked at the end.
    pub(super) deferred: Vec<Vec<ForeignKey>>,
    /// Of each table of the list, whether its rows are deleted after all other changes:
    /// rows of a child move away from them.
    pub(super) deletes_last: Vec<bool>,
}

pub(super) fn order(tables: &[RepairedTable<'_>]) -> Ordered {
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
        // In a cycle the order of the list decides.
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
                    let Touched { updates, rows } = touched(key, table.counts);
                    let StatementCounts { delete, insert, .. } = tables[parent].counts;
                    let is_in_cycle = placed[parent] >= placed[at];
                    is_in_cycle && updates + rows > 0 && delete + insert > 0
                })
            };
            table.foreign_keys.iter().filter(late).cloned().collect()
        })
        .collect();
    let deletes_last = deletes_last(tables, &parents_first);
    Ordered {
        parents_first,
        deferred,
        deletes_last,
    }
}

/// Of each table, whether rows of a child move away from rows of it, or are deleted last
/// themselves.
fn deletes_last(tables: &[RepairedTable<'_>], parents_first: &[usize]) -> Vec<bool> {
    let mut last = vec![false; tables.len()];
    for child in parents_first.iter().rev().copied() {
        let RepairedTable {
            foreign_keys,
            counts,
            ..
        } = &tables[child];
        for key in *foreign_keys {
            let moves = touched(key, *counts).updates > 0;
            if let Some(parent) = parent(tables, key).filter(|parent| *parent != child)
                && (moves || (last[child] && counts.delete > 0))
            {
                last[parent] = true;
            }
        }
    }
    last
}

/// How the statements of its table touch a foreign key. Former workers do not count it.
fn touched(key: &ForeignKey, counts: StatementCounts) -> Touched {
    key.touched.unwrap_or(Touched {
        updates: counts.update,
        rows: counts.insert + counts.delete,
    })
}

/// Of each table, the order in which the scripts of this direction for it and its related
/// tables are executed one by one; empty for a table without related ones.
///
/// All are executed with parents first. A parent's row that a child still references is
/// skipped then, so the scripts that delete rows of parents follow once more, children
/// first.
pub(super) fn one_by_one(
    tables: &[RepairedTable<'_>],
    parents_first: &[usize],
    direction: Direction,
) -> Vec<Vec<usize>> {
    let parents = |at: usize| {
        let keys = tables[at].foreign_keys.iter();
        keys.filter_map(|key| parent(tables, key))
            .filter(move |parent| *parent != at)
    };
    // Of each table, the first one that it is related to.
    let mut related: Vec<usize> = (0..tables.len()).collect();
    for at in 0..tables.len() {
        for parent in parents(at) {
            let (kept, replaced) = (
                related[at].min(related[parent]),
                related[at].max(related[parent]),
            );
            for group in &mut related {
                if *group == replaced {
                    *group = kept;
                }
            }
        }
    }
    let is_parent = |at: &usize| (0..tables.len()).any(|child| parents(child).any(|of| of == *at));
    let deletes = |at: &usize| direction.orient_counts(tables[*at].counts).delete > 0;
    let order_of = |at: usize| {
        let members = parents_first.iter().copied();
        let members: Vec<usize> = members
            .filter(|other| related[*other] == related[at])
            .collect();
        if members.len() == 1 {
            return Vec::new();
        }
        let again = members
            .iter()
            .rev()
            .filter(|at| is_parent(at) && deletes(at));
        let again: Vec<usize> = again.copied().collect();
        [members, again].concat()
    };
    (0..tables.len()).map(order_of).collect()
}

fn parent(tables: &[RepairedTable<'_>], key: &ForeignKey) -> Option<usize> {
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
            columns: Vec::new(),
            touched: None,
        }
    }

    fn ordered(tables: &[(&str, Vec<ForeignKey>, StatementCounts)]) -> (Vec<String>, Vec<String>) {
        let related: Vec<RepairedTable<'_>> = tables
            .iter()
            .map(|(table, foreign_keys, counts)| RepairedTable {
                schema: "s",
                table,
                foreign_keys,
                counts: *counts,
            })
            .collect();
        let Ordered {
            parents_first,
            deferred,
            ..
        } = order(&related);
        (
            parents_first
                .iter()
                .map(|at| tables[*at].0.to_owned())
                .collect(),
            deferred.into_iter().flatten().map(|key| key.name).collect(),
        )
    }

    const INSERTS: StatementCounts = StatementCounts {
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
    fn a_key_that_no_statement_touches_is_not_deferred() {
        let untouched = ForeignKey {
            touched: Some(Touched::default()),
            ..key("a_a", "a")
        };
        let (_, deferred) = ordered(&[("a", vec![untouched], INSERTS)]);
        assert!(deferred.is_empty(), "{deferred:?}");
        let touched = ForeignKey {
            touched: Some(Touched {
                updates: 0,
                rows: 1,
            }),
            ..key("a_a", "a")
        };
        let (_, deferred) = ordered(&[("a", vec![touched], INSERTS)]);
        assert_eq!(deferred, ["a_a"]);
    }

    #[test]
    fn scripts_one_by_one_delete_rows_of_parents_in_the_end() {
        let deletes = StatementCounts {
            delete: 1,
            ..INSERTS
        };
        let keys = [vec![key("a", "b")], vec![key("b", "c")], vec![], vec![]];
        let table = |at: usize, table| RepairedTable {
            schema: "s",
            table,
            foreign_keys: &keys[at],
            counts: if at == 1 { INSERTS } else { deletes },
        };
        let tables = [table(0, "a"), table(1, "b"), table(2, "c"), table(3, "d")];
        let Ordered { parents_first, .. } = order(&tables);
        let orders = |direction| one_by_one(&tables, &parents_first, direction);
        let repair = orders(Direction::Repair);
        assert_eq!(
            repair,
            [vec![2, 1, 0, 2], vec![2, 1, 0, 2], vec![2, 1, 0, 2], vec![]]
        );
        assert_eq!(orders(Direction::Undo)[0], [2, 1, 0, 1, 2]);
    }

    #[test]
    fn a_parent_is_deleted_after_the_child_has_moved_away_from_it() {
        let keys = [
            vec![key("k", "parent")],
            vec![key("l", "grandparent")],
            vec![],
        ];
        let counts = |delete, update| StatementCounts {
            delete,
            update,
            insert: 0,
        };
        let table = |at: usize, table, counts| RepairedTable {
            schema: "s",
            table,
            foreign_keys: &keys[at],
            counts,
        };
        let tables = [
            table(0, "child", counts(1, 1)),
            table(1, "parent", counts(1, 0)),
            table(2, "grandparent", counts(1, 0)),
        ];
        let ordered = order(&tables);
        assert_eq!(ordered.deferred, [vec![], vec![], vec![]]);
        assert_eq!(ordered.parents_first, [2, 1, 0]);
        assert_eq!(ordered.deletes_last, [false, true, true]);
        let deletions: Vec<usize> = steps(&[true, true, false], Direction::Repair)
            .into_iter()
            .filter(|(_, action)| *action == RepairAction::Delete)
            .map(|(at, _)| at)
            .collect();
        assert_eq!(deletions, [2, 1, 0]);
        let repair = steps(&[true, true, false], Direction::Repair);
        assert_eq!(repair[0], (2, RepairAction::Delete));
        assert_eq!(repair[8], (0, RepairAction::Delete));
        let undo = steps(&[true, true, false], Direction::Undo);
        assert_eq!(undo[0], (0, RepairAction::Insert));
        assert_eq!(undo[8], (2, RepairAction::Insert));
    }
}

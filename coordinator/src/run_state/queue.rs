//! Tables that wait for dispatch: those that are ready, in order of preference,
//! and those whose retry is not due yet.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use shared::ids::TableId;

use super::plan::{PlannedTable, Time};

/// Order of dispatch: priority, then size, then position in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Preference(i32, Option<u64>, Reverse<TableId>);

#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: BinaryHeap<Preference>,
    delayed: BTreeSet<(Time, TableId)>,
    /// Ready tables of which only one may be outstanding at a time.
    suspects: BTreeSet<TableId>,
}

impl Queue {
    pub(super) fn push(&mut self, table: TableId, planned: &PlannedTable) {
        self.ready.push(Preference(
            planned.priority,
            planned.estimated_rows,
            Reverse(table),
        ));
    }

    /// Adds a table of which only one may be outstanding at a time.
    pub(super) fn push_suspect(&mut self, table: TableId) {
        self.suspects.insert(table);
    }

    pub(super) fn delay(&mut self, table: TableId, until: Time) {
        self.delayed.insert((until, table));
    }

    /// Takes the next ready table out; a suspect only if one may be taken.
    pub(super) fn pop(&mut self, may_take_suspect: bool) -> Option<TableId> {
        let suspect = may_take_suspect.then(|| self.suspects.pop_first());
        suspect.flatten().or_else(|| {
            let next = self.ready.pop();
            next.map(|Preference(_, _, Reverse(table))| table)
        })
    }

    /// Takes one table whose retry is due out; the caller pushes it.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<TableId> {
        let &(until, table) = self.delayed.first()?;
        (until <= now).then(|| {
            self.delayed.pop_first();
            table
        })
    }

    pub(super) fn remove(&mut self, table: TableId) {
        self.ready.retain(|entry| entry.2.0 != table);
        self.delayed.retain(|&(_, delayed)| delayed != table);
        self.suspects.remove(&table);
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.delayed.first().map(|&(until, _)| until)
    }

    /// Takes everything out, in list order.
    pub(super) fn drain(&mut self) -> BTreeSet<TableId> {
        let delayed = std::mem::take(&mut self.delayed)
            .into_iter()
            .map(|(_, table)| table);
        self.ready
            .drain()
            .map(|Preference(_, _, Reverse(table))| table)
            .chain(delayed)
            .chain(std::mem::take(&mut self.suspects))
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.delayed.len() + self.suspects.len()
    }

    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    pub(super) fn has_ready(&self, may_take_suspect: bool) -> bool {
        !self.ready.is_empty() || (may_take_suspect && self.has_suspects())
    }
}

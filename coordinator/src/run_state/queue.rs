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
}

impl Queue {
    pub(super) fn push(&mut self, table: TableId, planned: &PlannedTable) {
        self.ready.push(Preference(
            planned.priority,
            planned.estimated_rows,
            Reverse(table),
        ));
    }

    pub(super) fn delay(&mut self, table: TableId, until: Time) {
        self.delayed.insert((until, table));
    }

    pub(super) fn pop(&mut self) -> Option<TableId> {
        self.ready
            .pop()
            .map(|Preference(_, _, Reverse(table))| table)
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
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.delayed.len()
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

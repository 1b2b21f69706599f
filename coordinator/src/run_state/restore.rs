//! Restores a run under a new coordinator.
//!
//! Finished tables keep their result. For every other table, the next attempt number
//! is higher than any that may have been published. So the fence ignores events of
//! earlier attempts.
//!
//! A worker may still run the last published attempt. Therefore the coordinator first
//! dispatches nothing. If a queued event or a heartbeat names the last published
//! attempt of a table, the coordinator adopts it: the run continues with that attempt. An attempt
//! that the pause of the run has stopped is not adopted.

use std::time::Duration;

use shared::ids::{Attempt, TableId};
use shared::message::WorkId;

use super::table::{Phase, Table};
use super::timers::BROKER_PATIENCE;
use super::{
    Adopting, OpenTable, Restored, RestoredTable, RunPlan, RunState, Time, Window, table_ids,
};

/// How long the coordinator waits for heartbeats after the broker has confirmed the
/// message that asks all workers for one.
const ANSWERS: Duration = Duration::from_secs(1);

impl RunState {
    /// The state of a run under a new coordinator, before `Input::Begin`.
    pub(crate) fn restore(plan: RunPlan, restored: Restored) -> Self {
        let mut state = Self::new(plan);
        state.queue.drain();
        state.databases = restored.databases;
        let mut may_be_running = false;
        for (id, restored_table) in table_ids().zip(restored.tables).take(state.tables.len()) {
            let table = &mut state.tables[id.index()];
            match restored_table {
                RestoredTable::Ended(record) => {
                    state.counts.add(record.status(), 1);
                    table.attempt = record.attempt;
                    table.phase = Phase::Done(record);
                }
                RestoredTable::Open(open) => {
                    table.restore(open);
                    may_be_running |= table.adoptable.is_some();
                }
            }
        }
        for (id, table) in table_ids().zip(&state.tables) {
            if matches!(table.phase, Phase::Waiting) {
                state.queue.push(id, &table.planned);
            }
        }
        state.root_cause = restored
            .root_cause
            .filter(|cause| state.record(cause.table).is_some());
        state.cancel_at_begin = restored.cancelling;
        state.adopting = may_be_running.then_some(Adopting {
            until: Time::START.after(BROKER_PATIENCE),
            asked: false,
        });
        state
    }

    /// The state of `table` that the store must keep; `None` if the table has ended.
    pub(crate) fn open_table(&self, table: TableId) -> Option<OpenTable> {
        let open = self.tables.get(table.index()).and_then(Table::open)?;
        Some(OpenTable {
            is_stopped: self.is_pausing(),
            ..open
        })
    }

    /// Shortens the adoption: the broker has confirmed the message that asks the
    /// workers for heartbeats, so answers arrive within [`ANSWERS`] or not at all.
    pub(super) fn end_adoption_soon(&mut self) {
        let until = self.now.after(ANSWERS);
        if let Some(adopting) = self.adopting.as_mut().filter(|adopting| !adopting.asked) {
            *adopting = Adopting { until, asked: true };
        }
    }

    /// Adopts `work` if it is the last published attempt of a table that waits
    /// since the restart. Returns whether it did.
    pub(super) fn adopt(&mut self, work: WorkId) -> bool {
        let has_slot = match self.limits.window {
            Window::Fixed(window) => self.slots_in_use() < window.get() as usize,
            // The capacity of all workers is unknown until they have answered.
            Window::Fleet => true,
        };
        if work.run != self.run || !has_slot || self.is_stopping() {
            return false;
        }
        let Some(table) = self
            .tables
            .get_mut(work.table.index())
            .filter(|table| table.adoptable == Some(work.attempt))
        else {
            return false;
        };
        table.adoptable = None;
        table.adopted = true;
        table.attempt = work.attempt;
        table.phase = Phase::Published {
            at: self.now,
            confirmed: Some(self.now),
        };
        self.queue.remove(work.table);
        self.outstanding.insert(work.table);
        true
    }
}

impl Table {
    fn restore(&mut self, open: OpenTable) {
        self.attempt = open.published.next();
        let may_be_running = open.published >= Attempt::FIRST && !open.is_stopped;
        self.adoptable = may_be_running.then_some(open.published);
        self.spent = open.spent;
        self.free = open.free;
        self.history = open.history;
    }

    fn open(&self) -> Option<OpenTable> {
        let published = match self.phase {
            Phase::Done(_) => return None,
            Phase::Waiting => Attempt(self.attempt.0.saturating_sub(1)),
            Phase::Published { .. } | Phase::Running(_) => self.attempt,
        };
        Some(OpenTable {
            // The first attempt is published without waiting for the store.
            published: published.max(Attempt::FIRST),
            is_stopped: false,
            spent: self.spent,
            free: self.free,
            history: self.history.clone(),
        })
    }
}

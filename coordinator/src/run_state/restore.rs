//! A run that goes on after its coordinator was gone.
//!
//! What has ended stays as it ended. Every other table waits for a dispatch
//! whose attempt is above all that may have been published, so that whatever
//! the old ones still say is fenced off. But a worker may have been at work on
//! the last of them all the time: for a moment after the beginning nothing is
//! dispatched, and a table whose last published attempt shows itself, by a
//! waiting event or a heartbeat, is followed from where it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::ids::{Attempt, TableId};
use shared::message::WorkId;

use super::table::{Phase, Table};
use super::timers::BROKER_PATIENCE;
use super::{
    AttemptFailure, CancelReason, Effect, RootCause, RunPlan, RunState, TableRecord, Time, Window,
    table_ids,
};

/// How long the workers' answers are waited for once they have been asked.
const SETTLING: Duration = Duration::from_secs(1);

/// What is known of a run whose coordinator is gone.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Its tables, in the order of the plan.
    pub tables: Vec<RestoredTable>,
    /// Why it was being cancelled, if it was.
    pub cancelling: Option<CancelReason>,
    /// The table that ended it, when fail-fast did.
    pub root_cause: Option<RootCause>,
}

/// Where a table stood.
#[derive(Debug, Clone)]
pub enum RestoredTable {
    /// It had ended.
    Ended(Box<TableRecord>),
    /// It had not.
    Open(OpenTable),
}

/// What must be remembered of a table that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenTable {
    /// No attempt above this one was published.
    pub published: Attempt,
    /// Attempts that failed and count against the budget.
    pub spent: u32,
    /// Attempts that ended without a result and do not count.
    pub free: u32,
    /// The attempts that ended without a result, oldest first.
    pub history: Vec<AttemptFailure>,
}

impl Default for OpenTable {
    /// A table of which nothing has been heard: it may have been published once.
    fn default() -> Self {
        Self {
            published: Attempt::FIRST,
            spent: 0,
            free: 0,
            history: Vec::new(),
        }
    }
}

/// Dispatch waits for what is under way to show itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settling {
    pub(super) until: Time,
    /// Whether the broker has taken the question to the workers.
    asked: bool,
}

impl RunState {
    /// The state of a run that goes on, before it begins again.
    ///
    /// # Panics
    ///
    /// With more than `u32::MAX` tables.
    #[must_use]
    pub fn restore(plan: RunPlan, restored: Restored) -> Self {
        let mut state = Self::new(plan);
        let Restored {
            tables,
            cancelling,
            root_cause,
        } = restored;
        state.queue.drain();
        let mut may_be_under_way = false;
        for (id, restored) in table_ids().zip(tables).take(state.tables.len()) {
            let table = &mut state.tables[id.index()];
            match restored {
                RestoredTable::Ended(record) => {
                    state.counts.add(record.status());
                    table.attempt = record.attempt;
                    table.phase = Phase::Done(record);
                }
                RestoredTable::Open(open) => {
                    table.restore(open);
                    may_be_under_way |= table.adoptable.is_some();
                }
            }
        }
        for (id, table) in table_ids().zip(&state.tables) {
            if matches!(table.phase, Phase::Waiting) {
                state.queue.push(id, &table.planned);
            }
        }
        state.root_cause = root_cause.filter(|cause| state.record(cause.table).is_some());
        state.cancel_at_begin = cancelling;
        state.settling = may_be_under_way.then_some(Settling {
            until: Time::START.after(BROKER_PATIENCE),
            asked: false,
        });
        state
    }

    /// What must be remembered of `table` while it has not ended.
    #[must_use]
    pub fn open_table(&self, table: TableId) -> Option<OpenTable> {
        self.tables.get(table.index()).and_then(Table::open)
    }

    /// The broker has asked the workers: their answers come soon, or never.
    pub(super) fn settle_soon(&mut self) {
        let until = self.now.after(SETTLING);
        if let Some(settling) = self.settling.as_mut().filter(|settling| !settling.asked) {
            *settling = Settling { until, asked: true };
        }
    }

    pub(super) fn settle(&mut self) {
        let now = self.now;
        self.settling = self.settling.filter(|settling| settling.until > now);
    }

    /// Follows the last published attempt of a table that waits since the
    /// restart: somebody is at work on it. Returns whether it did.
    pub(super) fn adopt(&mut self, work: WorkId) -> bool {
        let room = match self.limits.window {
            Window::Fixed(window) => self.slots_in_use() < window.get() as usize,
            // What the fleet can do is not known before all of it has answered.
            Window::Fleet => true,
        };
        if work.run != self.run || !room || self.cancelling.is_some() {
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

    /// Ends the run again that was being cancelled.
    pub(super) fn resume_cancelling(&mut self, effects: &mut Vec<Effect>) {
        if let Some(reason) = self.cancel_at_begin.take() {
            self.begin_cancelling(reason, effects);
        }
    }
}

impl Table {
    fn restore(&mut self, open: OpenTable) {
        let OpenTable {
            published,
            spent,
            free,
            history,
        } = open;
        self.attempt = published.next();
        self.adoptable = (published >= Attempt::FIRST).then_some(published);
        self.spent = spent;
        self.free = free;
        self.history = history;
    }

    fn open(&self) -> Option<OpenTable> {
        let published = match self.phase {
            Phase::Done(_) => return None,
            Phase::Waiting => Attempt(self.attempt.0.saturating_sub(1)),
            Phase::Published { .. } | Phase::Running(_) => self.attempt,
        };
        Some(OpenTable {
            published,
            spent: self.spent,
            free: self.free,
            history: self.history.clone(),
        })
    }
}

//! What is true of a run between two inputs.

use shared::failure::FailureKind;

use super::suspicion::Suspicion;
use super::table::Phase;
use super::{RunState, Window};

/// Debug builds check runs of up to this many tables after every input; the
/// check reads every table.
const SMALL: usize = 64;

fn holds(condition: bool, what: &str) -> Result<(), String> {
    condition.then_some(()).ok_or_else(|| what.to_owned())
}

impl RunState {
    pub(super) fn check_invariants_if_small(&self) -> Result<(), String> {
        if self.tables.len() > SMALL {
            Ok(())
        } else {
            self.check_invariants()
        }
    }

    /// Checks what must hold between two inputs, and returns the invariant that
    /// is violated.
    pub(super) fn check_invariants(&self) -> Result<(), String> {
        self.check_counts()?;
        self.check_outstanding()?;
        self.check_tables()?;
        self.check_cancelling()?;
        self.check_dispatch()
    }

    fn ended(&self) -> usize {
        let ended = |table: &&super::Table| table.record().is_some();
        self.tables.iter().filter(ended).count()
    }

    fn check_counts(&self) -> Result<(), String> {
        let ended = self.ended();
        let waiting = self
            .tables
            .iter()
            .filter(|table| matches!(table.phase, Phase::Waiting))
            .count();
        holds(
            self.counts.total() == ended,
            "the counts add up to the tables that have ended",
        )?;
        holds(
            waiting == self.queue.len(),
            "exactly the waiting tables are in the queue",
        )?;
        holds(
            waiting + self.outstanding.len() + ended == self.tables.len(),
            "every table waits, is outstanding or has ended",
        )
    }

    fn check_outstanding(&self) -> Result<(), String> {
        let suspects = self
            .outstanding
            .iter()
            .filter(|id| self.tables[id.index()].suspicion == Suspicion::Strong);
        holds(
            suspects.count() <= 1,
            "at most one of the tables is outstanding that are strongly suspected",
        )?;
        for id in &self.outstanding {
            match &self.tables[id.index()].phase {
                Phase::Published { .. } => {}
                Phase::Running(running) => {
                    holds(!running.claims.is_empty(), "a running table has a claim")?;
                }
                Phase::Waiting | Phase::Done(_) => {
                    holds(false, "an outstanding table is published or running")?;
                }
            }
        }
        match self.limits.window {
            Window::Fixed(window) => holds(
                self.outstanding.len() <= window.get() as usize,
                "no more is outstanding than the window allows",
            ),
            Window::Fleet => Ok(()),
        }
    }

    fn check_tables(&self) -> Result<(), String> {
        for table in &self.tables {
            holds(
                table.spent <= self.limits.max_attempts.get(),
                "no table has more attempts than allowed",
            )?;
            holds(
                table
                    .record()
                    .is_none_or(|record| record.attempt == table.attempt),
                "the deciding attempt is the current one",
            )?;
        }
        holds(
            self.pausing.is_some()
                || self
                    .stopping
                    .keys()
                    .all(|id| self.tables[id.index()].record().is_some()),
            "the run waits only for tables that have ended to stop, unless it is paused",
        )
    }

    fn check_cancelling(&self) -> Result<(), String> {
        if let Some(cause) = &self.root_cause {
            holds(
                self.record(cause.table).is_some_and(|record| {
                    !record.status().is_verified() || cause.kind == FailureKind::Mismatch
                }),
                "the root cause is a table that failed or differs",
            )?;
            holds(self.cancelling.is_some(), "a root cause cancels the run")?;
        }
        holds(
            self.cancelling.is_none() || self.pausing.is_none(),
            "a run that is being cancelled is not paused",
        )?;
        holds(
            self.cancelling.is_none() || self.queue.len() == 0,
            "no table waits for dispatch in a cancelled run",
        )
    }

    fn check_dispatch(&self) -> Result<(), String> {
        if self.completed {
            holds(
                self.ended() == self.tables.len() || self.pausing.is_some(),
                "all tables of a complete run have ended, unless it is paused",
            )?;
            return holds(
                self.stopping.is_empty(),
                "a complete run waits for no worker",
            );
        }
        let may_dispatch = self.begun
            && !self.is_stopping()
            && self.adopting.is_none()
            && !self.is_held_off()
            && self.slots_in_use() < self.window() as usize;
        holds(
            !may_dispatch || !self.queue.has_ready(self.may_dispatch_suspect()),
            "every table that may be dispatched is dispatched",
        )
    }
}

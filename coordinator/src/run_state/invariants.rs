//! What is true of a run at all times, written once.

use shared::outcome::FailureKind;

use super::table::Phase;
use super::{RunState, Window};

/// Runs up to this many tables are checked after every input in debug builds;
/// the check looks at every table.
const SMALL: usize = 64;

impl RunState {
    pub(super) fn check_invariants_if_small(&self) -> Result<(), String> {
        if self.tables.len() > SMALL {
            Ok(())
        } else {
            self.check_invariants()
        }
    }

    /// Checks what must hold between two inputs.
    ///
    /// # Errors
    ///
    /// Says which invariant is broken.
    pub fn check_invariants(&self) -> Result<(), String> {
        let holds = |condition: bool, what: &str| {
            if condition {
                Ok(())
            } else {
                Err(what.to_owned())
            }
        };

        let ended = self
            .tables
            .iter()
            .filter(|table| table.record().is_some())
            .count();
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
        )?;
        for id in &self.outstanding {
            let table = &self.tables[id.index()];
            match &table.phase {
                Phase::Published { .. } => {}
                Phase::Running(running) => {
                    holds(!running.claims.is_empty(), "a running table has a claim")?
                }
                Phase::Waiting | Phase::Done(_) => {
                    holds(false, "an outstanding table is published or running")?
                }
            }
        }
        for table in &self.tables {
            holds(
                table.spent <= self.limits.max_attempts.get(),
                "no table has more attempts than allowed",
            )?;
            if let Some(record) = table.record() {
                holds(
                    record.attempt == table.attempt,
                    "the deciding attempt is the current one",
                )?;
            }
        }
        if let Window::Fixed(window) = self.limits.window {
            holds(
                self.outstanding.len() <= window.get() as usize,
                "no more is outstanding than the window allows",
            )?;
        }
        for id in self.stopping.keys() {
            holds(
                self.tables[id.index()].record().is_some(),
                "only tables that have ended are waited for to stop",
            )?;
        }
        if let Some(cause) = &self.root_cause {
            let record = self
                .tables
                .get(cause.table.index())
                .and_then(|table| table.record());
            holds(
                record.is_some_and(|record| {
                    !record.status().is_verified() || cause.kind == FailureKind::Mismatch
                }),
                "the root cause has ended badly",
            )?;
            holds(self.cancelling.is_some(), "a root cause cancels the run")?;
        }
        if self.cancelling.is_some() {
            holds(
                self.queue.len() == 0,
                "nothing waits for dispatch in a cancelled run",
            )?;
        }
        if self.completed {
            holds(
                ended == self.tables.len(),
                "all tables of a complete run have ended",
            )?;
            holds(self.stopping.is_empty(), "a complete run waits for nobody")?;
        } else if self.begun
            && self.cancelling.is_none()
            && self.settling.is_none()
            && self.slots_in_use() < self.window() as usize
        {
            holds(
                !self.queue.has_ready(),
                "nothing that may be dispatched is held back",
            )?;
        }
        Ok(())
    }
}

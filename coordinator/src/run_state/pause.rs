//! The pause of a run: running attempts are stopped, and the tables that have not ended stay
//! open. A new coordinator continues the run later with higher attempt numbers.
//!
//! Workers are asked to stop each published attempt and not the run, because workers remember a
//! cancelled run and would drop its tasks after it is resumed. A worker that receives the task of
//! a stopped attempt later drops it.

use std::collections::BTreeSet;

use shared::ids::{TableId, WorkerId};
use shared::message::{Control, WorkId};
use shared::outcome::OpenSession;

use super::cancellation::CLAIM_IN_FLIGHT;
use super::paused::{Paused, Pausing};
use super::table::Phase;
use super::{Effect, Notice, RunState, Time, table_ids};

impl RunState {
    /// Stops all attempts. No table ends by it. A run that is being cancelled stays so.
    pub(super) fn begin_pausing(&mut self) {
        if self.cancelling.is_some() || self.pausing.is_some() {
            return;
        }
        let until = self.now.after(self.limits.cancel_grace);
        let mut may_be_claimed = self.adopting.take().is_some();
        let mut former = BTreeSet::new();
        self.effects.push(Effect::Notice(Notice::Pausing));
        for id in table_ids().take(self.tables.len()) {
            let table = &mut self.tables[id.index()];
            let adoptable = table.adoptable.take();
            let is_published = matches!(table.phase, Phase::Published { .. });
            may_be_claimed |= is_published;
            let attempt = match table.phase {
                Phase::Done(_) => continue,
                Phase::Waiting => adoptable,
                Phase::Published { .. } | Phase::Running(_) => Some(table.attempt),
            };
            if let Some(attempt) = attempt {
                let work = self.work(id, attempt);
                self.effects
                    .push(Effect::Control(Control::CancelAttempt { work }));
                former.extend(adoptable.map(|_| work));
            }
            if is_published {
                self.set_aside(id);
            }
        }
        let claims_until = if may_be_claimed {
            self.now.after(CLAIM_IN_FLIGHT).min(until)
        } else {
            self.now
        };
        self.pausing = Some(Pausing {
            until,
            claims_until,
            former,
            unconfirmed: Vec::new(),
            unanswered: Vec::new(),
        });
    }

    /// The table stays open, and its current attempt becomes stale.
    pub(super) fn set_aside(&mut self, id: TableId) {
        self.begin_next_attempt(id);
        self.requeue(id);
    }

    /// A heartbeat shows that a worker runs an attempt that the pause stops, so it may have missed
    /// the request.
    pub(super) fn repeat_stop(&mut self, work: WorkId) {
        if self.is_pausing() {
            self.effects
                .push(Effect::Control(Control::CancelAttempt { work }));
        }
    }

    /// The pause waits until `worker` has stopped an attempt that it has just claimed.
    pub(super) fn await_stale_claim(&mut self, work: WorkId, worker: &WorkerId) {
        if let Some(until) = self.pausing.as_ref().map(|pausing| pausing.until) {
            self.await_stop(work, [worker.clone()], until);
        }
    }

    /// The pause waits until `worker` has stopped an attempt of an earlier coordinator.
    pub(super) fn await_former(&mut self, work: WorkId, worker: &WorkerId) {
        let is_former = |pausing: &Pausing| pausing.former.contains(&work);
        if self.pausing.as_ref().is_some_and(is_former) {
            self.await_stale_claim(work, worker);
        }
    }

    /// An attempt has ended. Heartbeats that were sent before may arrive later.
    pub(super) fn forget_former(&mut self, work: WorkId) {
        if let Some(pausing) = &mut self.pausing {
            pausing.former.remove(&work);
        }
    }

    /// Keeps sessions whose statements may still run for the message at the end of the pause.
    pub(super) fn keep_open_sessions(&mut self, sessions: Vec<OpenSession>) {
        if let Some(pausing) = &mut self.pausing {
            pausing.unconfirmed.extend(sessions);
        }
    }

    /// The workers did not answer in time, or cannot be reached any more: their tables stay open.
    pub(super) fn give_up_pausing(&mut self) {
        let mut unanswered = Vec::new();
        for id in self.outstanding.clone() {
            let claims = self.tables[id.index()].claims();
            unanswered.extend(claims.iter().map(|claim| claim.worker.clone()));
            self.set_aside(id);
        }
        let stopping = std::mem::take(&mut self.stopping);
        unanswered.extend(stopping.into_values().flat_map(|stopping| stopping.workers));
        if let Some(pausing) = &mut self.pausing {
            pausing.claims_until = self.now;
            pausing.unanswered.extend(unanswered);
            pausing.unanswered.sort_unstable();
            pausing.unanswered.dedup();
        }
    }

    /// Ends the wait for answers when its time is over.
    pub(super) fn tick_pause(&mut self) {
        let is_over = |pausing: &Pausing| pausing.until <= self.now;
        if self.pausing.as_ref().is_some_and(is_over) {
            self.give_up_pausing();
        }
    }

    /// When the pause needs a tick.
    pub(super) fn pause_wakeups(&self) -> [Option<Time>; 2] {
        let of = |time: fn(&Pausing) -> Time| self.pausing.as_ref().map(time);
        [
            of(|pausing| pausing.until),
            of(|pausing| pausing.claims_until),
        ]
        .map(|at| at.filter(|&at| at > self.now))
    }

    /// Whether a pause is being carried out, or has been.
    pub(crate) fn is_pausing(&self) -> bool {
        self.pausing.is_some()
    }

    /// Whether every attempt has stopped, and tables are left.
    pub(super) fn is_quiet(&self) -> bool {
        let is_settled = |pausing: &Pausing| pausing.claims_until <= self.now;
        self.pausing.as_ref().is_some_and(is_settled)
            && self.outstanding.is_empty()
            && self.stopping.is_empty()
    }

    /// What the run leaves, if it has been paused.
    pub(crate) fn paused(&self) -> Option<Paused> {
        let pausing = self.pausing.as_ref().filter(|_| self.completed)?;
        (self.counts.total() < self.tables.len()).then(|| Paused {
            counts: self.counts,
            tables: self.tables.len(),
            unconfirmed: pausing.unconfirmed.clone(),
            unanswered: pausing.unanswered.clone(),
        })
    }
}

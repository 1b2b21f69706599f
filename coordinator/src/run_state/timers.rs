//! What happens when nothing happens: deadlines, leases, retries that fall due,
//! work that nobody claims.
//!
//! There is one timer for a run. [`RunState::next_wakeup`] looks through what
//! is outstanding, which the window bounds.

use std::time::Duration;

use shared::ids::{TableId, WorkerId};
use shared::message::Control;
use shared::outcome::{Failure, FailureKind};

use super::table::{Phase, Running};
use super::{Effect, Notice, Probe, RunState, Time};

/// How long the broker may take to accept a message before it counts as lost.
pub(super) const BROKER_PATIENCE: Duration = Duration::from_secs(300);

/// When a run without any sign of a worker first says so.
const FIRST_HINT: Duration = Duration::from_secs(5);

impl RunState {
    /// When [`Input::Tick`](super::Input::Tick) is wanted at the latest, unless
    /// something else happens first. After a tick it is in the future.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Time> {
        if self.completed || !self.begun {
            return None;
        }
        let tables = self
            .outstanding
            .iter()
            .flat_map(|id| self.wakeups_of(*id))
            .flatten();
        let run = [
            self.cancelling.map(|cancelling| cancelling.until),
            self.cancelling
                .map(|cancelling| cancelling.claims_until)
                .filter(|&at| at > self.now),
            self.queue.next_due(),
            self.settling.map(|settling| settling.until),
            self.fleet.next_gone(),
            self.probe.map(|probe| {
                probe
                    .answer_by
                    .unwrap_or(probe.asked.after(BROKER_PATIENCE))
            }),
            self.deserted_at()
                .filter(|&at| self.probe.is_none() || at > self.now),
            (!self.notified_no_worker && self.may_hint()).then(|| self.hint_at()),
            (!self.notified_nothing_claimed && self.may_hint())
                .then(|| Time::START.after(self.limits.claim_timeout)),
        ];
        let stopping = self.stopping.values().map(|stopping| stopping.until);
        tables
            .chain(run.into_iter().flatten())
            .chain(stopping)
            .min()
    }

    fn wakeups_of(&self, id: TableId) -> [Option<Time>; 2] {
        match &self.tables[id.index()].phase {
            Phase::Published {
                at,
                confirmed: None,
            } => [Some(at.after(BROKER_PATIENCE)), None],
            Phase::Published {
                confirmed: Some(confirmed),
                ..
            } => [self.unclaimed_at(*confirmed), None],
            Phase::Running(running) => {
                // An overdue lease waits for the answer to the probe.
                let leases = running.claims.iter().map(|claim| claim.lease);
                [
                    Some(running.deadline),
                    leases
                        .filter(|&lease| self.probe.is_none() || lease > self.now)
                        .min(),
                ]
            }
            Phase::Waiting | Phase::Done(_) => [None, None],
        }
    }

    pub(super) fn tick(&mut self, effects: &mut Vec<Effect>) {
        let now = self.now;
        self.fleet.forget_gone(now);
        self.stopping.retain(|_, stopping| stopping.until > now);
        if let Some(cancelling) = self.cancelling.filter(|cancelling| cancelling.until <= now) {
            self.give_up_waiting(cancelling.reason, effects);
        }
        self.settle();
        self.give_hints(effects);
        for id in self.outstanding.clone() {
            self.tick_table(id, effects);
        }
        self.settle_suspicions(effects);
        while let Some(id) = self.queue.pop_due(now) {
            self.queue.push(id, &self.tables[id.index()].planned);
        }
    }

    fn tick_table(&mut self, id: TableId, effects: &mut Vec<Effect>) {
        let now = self.now;
        match &self.tables[id.index()].phase {
            Phase::Published {
                at,
                confirmed: None,
            } if at.after(BROKER_PATIENCE) <= now => {
                let failure = Failure::new(
                    FailureKind::BrokerError,
                    format!(
                        "the broker has not accepted the task for {}",
                        seconds(BROKER_PATIENCE)
                    ),
                );
                self.attempt_failed(id, failure, None, None, effects);
            }
            Phase::Published {
                confirmed: Some(confirmed),
                ..
            } if self.unclaimed_at(*confirmed).is_some_and(|at| at <= now) => {
                let failure = Failure::new(
                    FailureKind::UnclaimedError,
                    format!(
                        "no worker took the table for {} though workers are idle; the broker may have dropped or \
                         dead-lettered its message",
                        seconds(self.limits.claim_timeout)
                    ),
                );
                self.attempt_failed(id, failure, None, None, effects);
            }
            Phase::Running(running) if running.deadline <= now => self.time_out(id, effects),
            _ => {}
        }
    }

    /// When published work counts as lost by the broker: it has been there, and
    /// some worker has had room for it, for the whole claim timeout.
    fn unclaimed_at(&self, confirmed: Time) -> Option<Time> {
        self.fleet
            .idle_since()
            .map(|idle| idle.max(confirmed).after(self.limits.claim_timeout))
    }

    /// When the run counts as deserted: nothing runs and no worker is alive.
    fn deserted_at(&self) -> Option<Time> {
        if self.cancelling.is_some() || self.counts.total() == self.tables.len() {
            return None;
        }
        let silent = self.fleet.silent_since()?;
        let running = self
            .outstanding
            .iter()
            .any(|id| matches!(self.tables[id.index()].phase, Phase::Running(_)));
        (!running).then(|| silent.after(self.limits.claim_timeout))
    }

    /// Leases that are overdue, and a run without workers, are suspicions until
    /// the workers have been asked and were silent.
    fn settle_suspicions(&mut self, effects: &mut Vec<Effect>) {
        let now = self.now;
        let deserted = self.deserted_at().is_some_and(|at| at <= now);
        let overdue: Vec<TableId> = self
            .outstanding
            .iter()
            .copied()
            .filter(|id| {
                self.tables[id.index()]
                    .claims()
                    .iter()
                    .any(|claim| claim.lease <= now)
            })
            .collect();
        if !deserted && overdue.is_empty() {
            self.probe = None;
            return;
        }
        let Some(probe) = self.probe else {
            return self.ask_workers(effects);
        };
        if probe
            .answer_by
            .unwrap_or(probe.asked.after(BROKER_PATIENCE))
            > now
        {
            return;
        }
        self.probe = None;
        for id in overdue {
            self.drop_overdue_claims(id, effects);
        }
        if deserted {
            let failure = Failure::new(FailureKind::NoWorkerError, self.no_worker_message());
            self.fail_unfinished(&failure, effects);
        } else if self.deserted_at().is_some_and(|at| at <= now) {
            // With its last lease the run has lost its last worker.
            self.ask_workers(effects);
        }
    }

    fn ask_workers(&mut self, effects: &mut Vec<Effect>) {
        self.probe = Some(Probe {
            asked: self.now,
            answer_by: None,
        });
        effects.push(Effect::Control(Control::Announce));
    }

    fn drop_overdue_claims(&mut self, id: TableId, effects: &mut Vec<Effect>) {
        let now = self.now;
        let Phase::Running(Running { claims, .. }) = &mut self.tables[id.index()].phase else {
            return;
        };
        let overdue: Vec<WorkerId> = claims
            .iter()
            .filter(|claim| claim.lease <= now)
            .map(|claim| claim.worker.clone())
            .collect();
        claims.retain(|claim| claim.lease > now);
        if claims.is_empty() {
            self.lease_expired(id, overdue, effects);
        }
    }

    fn no_worker_message(&self) -> String {
        let timeout = seconds(self.limits.claim_timeout);
        if self.claimed_ever {
            format!(
                "no worker has been alive for {timeout}; start reconcile-worker for {}",
                self.task_queue
            )
        } else {
            format!(
                "no worker has claimed a table on {} after {timeout}; start reconcile-worker for it",
                self.task_queue
            )
        }
    }

    fn hint_at(&self) -> Time {
        Time::START.after(FIRST_HINT.min(self.limits.claim_timeout))
    }

    /// Whether the want of workers is still worth a word.
    fn may_hint(&self) -> bool {
        !self.claimed_ever && self.cancelling.is_none()
    }

    fn give_hints(&mut self, effects: &mut Vec<Effect>) {
        if !self.may_hint() {
            return;
        }
        if !self.notified_no_worker && self.hint_at() <= self.now {
            self.notified_no_worker = true;
            if self.fleet.len() == 0 {
                effects.push(Effect::Notice(Notice::NoWorkerYet));
            }
        }
        if !self.notified_nothing_claimed
            && Time::START.after(self.limits.claim_timeout) <= self.now
        {
            self.notified_nothing_claimed = true;
            effects.push(Effect::Notice(Notice::NothingClaimed {
                workers: self.fleet.len(),
            }));
        }
    }
}

/// `duration` as people write it.
fn seconds(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

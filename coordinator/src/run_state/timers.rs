//! Effects of time: deadlines, leases, due retries, work that no worker claims.
//!
//! There is one timer for a run. [`RunState::next_wakeup`] reads the outstanding
//! tables, whose number the window limits.

use std::time::Duration;

use shared::ids::TableId;
use shared::message::Control;
use shared::outcome::{Failure, FailureKind};

use super::table::Phase;
use super::table_end::EndedAttempt;
use super::{Effect, Notice, Probe, RunState, Time, Verdict};

/// How long the broker may take to confirm a message before it counts as lost.
pub(super) const BROKER_PATIENCE: Duration = Duration::from_secs(300);

/// When a run that has no worker first reports so.
const FIRST_NOTICE: Duration = Duration::from_secs(5);

impl RunState {
    /// The latest time of the next [`Input::Tick`](super::Input::Tick), unless
    /// another input comes first. After a tick it is in the future.
    pub(crate) fn next_wakeup(&self) -> Option<Time> {
        if self.completed || !self.begun {
            return None;
        }
        let tables = self
            .outstanding
            .iter()
            .flat_map(|id| self.wakeups_of(*id))
            .flatten();
        let [pause_until, pause_claims] = self.pause_wakeups();
        let run = [
            self.cancelling.map(|cancelling| cancelling.until),
            self.cancelling
                .map(|cancelling| cancelling.claims_until)
                .filter(|&at| at > self.now),
            self.queue.next_due(),
            pause_until,
            pause_claims,
            self.pause_ends(),
            self.adopting.map(|adopting| adopting.until),
            self.fleet.next_gone(),
            self.probe.map(answer_deadline),
            self.deserted_at()
                .filter(|&at| self.probe.is_none() || at > self.now),
            (!self.notified_no_worker && self.may_notify()).then(|| self.no_worker_notice_at()),
            (!self.notified_nothing_claimed && self.may_notify())
                .then(|| self.nothing_claimed_notice_at()),
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
                // An overdue lease stays until the probe is answered.
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

    pub(super) fn tick(&mut self) {
        let now = self.now;
        self.fleet.forget_gone(now);
        self.tick_pause();
        self.stopping.retain(|_, stopping| stopping.until > now);
        if let Some(cancelling) = self.cancelling.filter(|cancelling| cancelling.until <= now) {
            self.give_up_waiting(cancelling.reason);
        }
        self.adopting = self.adopting.filter(|adopting| adopting.until > now);
        self.notify_missing_workers();
        for id in self.outstanding.clone() {
            self.tick_table(id);
        }
        self.resolve_suspicions();
        while let Some(id) = self.queue.pop_due(now) {
            self.requeue(id);
        }
    }

    fn tick_table(&mut self, id: TableId) {
        let now = self.now;
        match &self.tables[id.index()].phase {
            Phase::Published {
                at,
                confirmed: None,
            } if at.after(BROKER_PATIENCE) <= now => {
                let message = format!(
                    "the broker has not accepted the task for {}",
                    humantime::format_duration(BROKER_PATIENCE)
                );
                let failure = Failure::new(FailureKind::BrokerError, message);
                self.attempt_failed(EndedAttempt::unclaimed(id), failure);
            }
            Phase::Published {
                confirmed: Some(confirmed),
                ..
            } if self.unclaimed_at(*confirmed).is_some_and(|at| at <= now) => {
                let message = format!(
                    "no worker took the table for {} though workers are idle; the broker may have dropped or \
                     dead-lettered its message",
                    humantime::format_duration(self.limits.claim_timeout)
                );
                let failure = Failure::new(FailureKind::UnclaimedError, message);
                self.attempt_failed(EndedAttempt::unclaimed(id), failure);
            }
            Phase::Running(running) if running.deadline <= now => {
                let allowed = self.tables[id.index()].planned.spec.timeout;
                self.end(self.current_attempt(id), Verdict::TimedOut { allowed });
            }
            _ => {}
        }
    }

    /// When published work counts as lost by the broker: it was published, and
    /// some worker had free capacity, for the whole claim timeout.
    fn unclaimed_at(&self, confirmed: Time) -> Option<Time> {
        self.fleet
            .idle_since()
            .map(|idle| idle.max(confirmed).after(self.limits.claim_timeout))
    }

    /// When the run counts as deserted: no table runs and no worker is alive.
    fn deserted_at(&self) -> Option<Time> {
        if self.is_stopping() || self.counts.total() == self.tables.len() {
            return None;
        }
        let silent = self.fleet.silent_since()?;
        let running = self
            .outstanding
            .iter()
            .any(|id| matches!(self.tables[id.index()].phase, Phase::Running(_)));
        (!running).then(|| silent.after(self.limits.claim_timeout))
    }

    /// Overdue leases, and a run without workers, are suspicions until the
    /// workers have been asked and did not answer.
    fn resolve_suspicions(&mut self) {
        let now = self.now;
        let deserted = self.deserted_at().is_some_and(|at| at <= now);
        let is_overdue = !self.silent_workers().is_empty();
        if !deserted && !is_overdue {
            self.probe = None;
            return;
        }
        let Some(probe) = self.probe else {
            return self.ask_workers();
        };
        if answer_deadline(probe) > now {
            return;
        }
        self.probe = None;
        for worker in self.silent_workers() {
            self.lose_worker(&worker);
        }
        if deserted {
            let failure = Failure::new(FailureKind::NoWorkerError, self.no_worker_message());
            self.fail_unfinished(&failure);
        } else if self.deserted_at().is_some_and(|at| at <= now) {
            // The last worker of the run was lost with the last lease.
            self.ask_workers();
        }
    }

    fn ask_workers(&mut self) {
        self.probe = Some(Probe {
            asked: self.now,
            answer_by: None,
        });
        self.effects.push(Effect::Control(Control::Announce));
    }

    fn no_worker_message(&self) -> String {
        let timeout = humantime::format_duration(self.limits.claim_timeout);
        if self.fleet.is_unfit() {
            return format!(
                "no worker on {} has been able to compare the tables for {timeout}: {}",
                self.task_queue,
                self.fleet.unfit_words()
            );
        }
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

    fn no_worker_notice_at(&self) -> Time {
        Time::START.after(FIRST_NOTICE.min(self.limits.claim_timeout))
    }

    fn nothing_claimed_notice_at(&self) -> Time {
        Time::START.after(self.limits.claim_timeout)
    }

    /// Whether the operator still needs to know that no worker has claimed a table.
    fn may_notify(&self) -> bool {
        !self.claimed_ever && !self.is_stopping()
    }

    fn notify_missing_workers(&mut self) {
        if !self.may_notify() {
            return;
        }
        let workers = self.fleet.len();
        if !self.notified_no_worker && self.no_worker_notice_at() <= self.now {
            self.notified_no_worker = true;
            if workers == 0 {
                self.effects.push(Effect::Notice(Notice::NoWorkerYet));
            } else if self.fleet.is_unfit() {
                let workers = self.fleet.unfit_words();
                self.effects
                    .push(Effect::Notice(Notice::NoFitWorker(workers)));
            }
        }
        if !self.notified_nothing_claimed && self.nothing_claimed_notice_at() <= self.now {
            self.notified_nothing_claimed = true;
            self.effects
                .push(Effect::Notice(Notice::NothingClaimed { workers }));
        }
    }
}

/// When the answers to `probe` must have arrived.
fn answer_deadline(probe: Probe) -> Time {
    probe
        .answer_by
        .unwrap_or(probe.asked.after(BROKER_PATIENCE))
}

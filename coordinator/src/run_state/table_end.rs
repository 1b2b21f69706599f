//! How tables end.

use std::time::Duration;

use shared::ids::{TableId, WorkerId};
use shared::message::Control;
use shared::outcome::Failure;

use super::table::Phase;
use super::{AttemptFailure, CancelReason, Effect, RunState, TableRecord, Verdict, table_ids};

#[derive(Debug)]
pub(super) struct EndedAttempt {
    pub(super) table: TableId,
    /// The worker that made it; absent when none had claimed it.
    pub(super) worker: Option<WorkerId>,
    /// How long it took, if the worker has reported it.
    pub(super) duration: Option<Duration>,
}

impl EndedAttempt {
    pub(super) fn unclaimed(table: TableId) -> Self {
        Self {
            table,
            worker: None,
            duration: None,
        }
    }
}

impl RunState {
    /// Ends a table for good. Has no effect on a table that has ended.
    pub(super) fn end(&mut self, attempt: EndedAttempt, verdict: Verdict) {
        let EndedAttempt {
            table: id,
            worker,
            duration,
        } = attempt;
        let now = self.now;
        let table = &self.tables[id.index()];
        let (other_workers, started): (Vec<WorkerId>, _) = match &table.phase {
            Phase::Done(_) => return,
            Phase::Running(running) => {
                let workers = running.claims.iter().map(|claim| claim.worker.clone());
                (workers.collect(), Some(running.since))
            }
            Phase::Waiting | Phase::Published { .. } => (Vec::new(), None),
        };
        let status = verdict.status();
        let cause = self.fail_fast_cause(id, &verdict);
        let table = &mut self.tables[id.index()];
        table.phase = Phase::Done(Box::new(TableRecord {
            verdict,
            attempt: table.attempt,
            worker,
            duration: duration.or_else(|| started.map(|started| now.since(started))),
            quiet_after: None,
            unconfirmed: Vec::new(),
            history: std::mem::take(&mut table.history),
        }));
        let attempt = table.attempt;
        let work = self.work(id, attempt);
        self.outstanding.remove(&id);
        self.counts.add(status, 1);
        self.effects.push(Effect::TableEnded(id));
        if !other_workers.is_empty() {
            let until = match self.cancelling {
                Some(cancelling) => cancelling.until,
                None => {
                    self.effects
                        .push(Effect::Control(Control::CancelAttempt { work }));
                    now.after(self.limits.cancel_grace)
                }
            };
            self.await_stop(work, other_workers, until);
        }
        if let Some(cause) = cause {
            self.root_cause = Some(cause);
            self.begin_cancelling(CancelReason::FailFast);
        }
    }

    /// The current attempt of a table and the worker that claimed it first.
    pub(super) fn current_attempt(&self, id: TableId) -> EndedAttempt {
        let claim = self.tables[id.index()].claims().first();
        EndedAttempt {
            worker: claim.map(|claim| claim.worker.clone()),
            ..EndedAttempt::unclaimed(id)
        }
    }

    /// Fails every table that has not ended, with the same failure.
    pub(super) fn fail_unfinished(&mut self, failure: &Failure) {
        self.queue.drain();
        for id in table_ids().take(self.tables.len()) {
            let attempt = self.current_attempt(id);
            let table = &mut self.tables[id.index()];
            if table.record().is_some() {
                continue;
            }
            table.history.push(AttemptFailure {
                attempt: table.attempt,
                worker: attempt.worker.clone(),
                failure: failure.clone(),
            });
            self.end(attempt, Verdict::Failed(failure.clone()));
        }
    }
}

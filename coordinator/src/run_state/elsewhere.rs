//! Failures whose reason lies in one worker: its connection to an endpoint, its disk, its limits.
//!
//! Such a failure does not count. The table goes out again, and its task names the workers that
//! have failed at it: they return it without trying. Once every live worker has failed at it, the
//! last failure counts as any other does, and the next round begins. So a worker tries a table at
//! most once a round, and a reason that all workers share ends the table with that reason.

use std::time::Duration;

use shared::ids::{TableId, WorkerId};
use shared::outcome::{Failure, FailureOrigin};

use super::table::Avoided;
use super::table_end::EndedAttempt;
use super::{Effect, Notice, RunState, Verdict};

/// How long after the begin of a run other workers may still answer.
const ANSWERS: Duration = Duration::from_secs(2);

/// The wait after a worker has returned a table that it cannot run now. It doubles with every
/// return of the table, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The most workers that a task names.
const MOST_NAMED: usize = 64;

/// The most reasons that one failure repeats.
const MOST_REASONS: usize = 5;

impl RunState {
    /// `worker` failed at the table for a reason of its own after `duration`, or returned it
    /// without trying.
    pub(super) fn failed_there(
        &mut self,
        id: TableId,
        worker: &WorkerId,
        failure: Failure,
        duration: Option<Duration>,
    ) {
        self.note_failing(worker, &failure);
        let table = &mut self.tables[id.index()];
        // What it says when it returns the table again is less than the first reason.
        let is_known = table.avoided.contains_key(worker);
        if duration.is_some() || !is_known {
            let since = self.now;
            let avoided = Avoided { failure, since };
            table.avoided.insert(worker.clone(), avoided);
        }
        if !table.release(worker) {
            return;
        }
        let attempt = EndedAttempt {
            table: id,
            worker: Some(worker.clone()),
            duration,
        };
        if let Some(cancelling) = self.cancelling {
            return self.end(attempt, Verdict::Cancelled(cancelling.reason));
        }
        let has_taker = self.has_taker(id);
        if has_taker || self.may_gain_worker() {
            return self.try_elsewhere(attempt, has_taker);
        }
        let failure = self.close_round(id, worker);
        self.attempt_failed(attempt, failure);
    }

    fn note_failing(&mut self, worker: &WorkerId, failure: &Failure) {
        if !self.limits.lone_worker && self.fleet.mark_failing(worker) {
            let text = format!(
                "worker {worker} failed for a reason of its own, other workers try its tables: {}",
                failure.message
            );
            self.effects.push(Effect::Notice(Notice::UnfitWorker(text)));
        }
    }

    fn try_elsewhere(&mut self, attempt: EndedAttempt, has_taker: bool) {
        let id = attempt.table;
        let table = &mut self.tables[id.index()];
        table.returns = table.returns.saturating_add(1);
        let doubled = FIRST_WAIT * (1 << table.returns.min(10));
        let wait = if has_taker {
            doubled.min(LONGEST_WAIT)
        } else {
            LONGEST_WAIT
        };
        let due = self.now.after(wait);
        let tried = attempt.duration.and(attempt.worker.as_ref());
        if let Some(avoided) = tried.and_then(|worker| table.avoided.get(worker)) {
            let failure = avoided.failure.clone().retryable().uncounted();
            self.attempt_lost(attempt, failure, due);
        } else {
            self.begin_next_attempt(id);
            self.queue.delay(id, due);
        }
    }

    /// Whether a worker is alive that takes tables and has not failed at this one.
    fn has_taker(&self, id: TableId) -> bool {
        !self.limits.lone_worker && self.fleet.takers().any(|worker| !self.avoids(id, worker))
    }

    fn may_gain_worker(&self) -> bool {
        let absence = self.limits.claim_timeout;
        !self.limits.lone_worker && self.fleet.may_grow(ANSWERS, absence, self.now)
    }

    fn avoids(&self, id: TableId, worker: &WorkerId) -> bool {
        let avoided = self.tables[id.index()].avoided.get(worker);
        avoided.is_some_and(|avoided| {
            let is_reconnected = matches!(avoided.failure.origin, FailureOrigin::Endpoint(_))
                && self.fleet.last_success(worker) > Some(avoided.since);
            !is_reconnected
        })
    }

    /// The workers that the next task of a table names.
    pub(super) fn avoided(&self, id: TableId) -> Vec<WorkerId> {
        let avoided = self.tables[id.index()].avoided.keys();
        avoided
            .filter(|worker| self.avoids(id, worker))
            .take(MOST_NAMED)
            .cloned()
            .collect()
    }

    /// The failure of a table that all workers failed at, `last` as the last. The next round
    /// begins.
    fn close_round(&mut self, id: TableId, last: &WorkerId) -> Failure {
        let mut avoided = std::mem::take(&mut self.tables[id.index()].avoided);
        let deciding = avoided.remove(last);
        let mut failure = deciding
            .expect("it was noted before the round is closed")
            .failure;
        let others: Vec<String> = avoided
            .iter()
            .take(MOST_REASONS)
            .map(|(worker, other)| format!("worker {worker}: {}", other.failure.message))
            .collect();
        if !others.is_empty() {
            failure.message = format!(
                "worker {last}: {}; no other worker can compare the table: {}",
                failure.message,
                others.join("; ")
            );
        }
        failure.counts_against_budget = true;
        failure
    }
}

//! Attempts that ended without a result: the table is tried again or fails.

use std::time::Duration;

use shared::ids::TableId;
use shared::outcome::Failure;

use super::table_end::EndedAttempt;
use super::{AttemptFailure, Effect, Notice, RunState, Time, Verdict, millis};

/// Attempts of one table that may end without a result and without counting
/// against its budget, before it fails nevertheless.
const MAX_FREE_ATTEMPTS: u32 = 100;

impl RunState {
    /// An attempt ended without a result: the table is tried again or fails.
    pub(super) fn attempt_failed(&mut self, attempt: EndedAttempt, failure: Failure) {
        let table = &self.tables[attempt.table.index()];
        let failures = table.spent + table.free + 1;
        let due = self.now.after(self.backoff(attempt.table, failures));
        self.attempt_lost(attempt, failure, due);
    }

    /// Like [`attempt_failed`](Self::attempt_failed), with the next attempt due
    /// at `due`; it starts at once when that time has passed.
    pub(super) fn attempt_lost(&mut self, attempt: EndedAttempt, failure: Failure, due: Time) {
        let id = attempt.table;
        let table = &mut self.tables[id.index()];
        if failure.counts_against_budget {
            table.spent += 1;
        } else {
            table.free += 1;
        }
        let number = table.attempt;
        table.history.push(AttemptFailure {
            attempt: number,
            worker: attempt.worker.clone(),
            failure: failure.clone(),
        });
        let exhausted =
            table.spent >= self.limits.max_attempts.get() || table.free > MAX_FREE_ATTEMPTS;
        match self.cancelling {
            Some(cancelling) if failure.retryable => {
                return self.end(attempt, Verdict::Cancelled(cancelling.reason));
            }
            _ if exhausted || !failure.retryable => {
                return self.end(attempt, Verdict::Failed(failure));
            }
            _ => {}
        }
        self.begin_next_attempt(id);
        let wait = due.since(self.now);
        if wait.is_zero() {
            self.requeue(id);
        } else {
            self.queue.delay(id, due);
        }
        self.effects.push(Effect::Notice(Notice::Retry {
            table: id,
            attempt: number,
            failure,
            wait,
        }));
    }

    /// The wait after the `failures`-th attempt: it doubles up to a limit, and
    /// jitter takes up to half of it off, so that tables that failed together
    /// are not retried together.
    pub(super) fn backoff(&self, id: TableId, failures: u32) -> Duration {
        let doubled = self
            .limits
            .backoff
            .saturating_mul(1 << failures.saturating_sub(1).min(20));
        let longest = millis(doubled.min(self.limits.max_backoff)).max(1);
        let mix = self.seed ^ (u64::from(id.0) << 32 | u64::from(failures));
        Duration::from_millis(fastrand::Rng::with_seed(mix).u64(longest.div_ceil(2)..=longest))
    }
}

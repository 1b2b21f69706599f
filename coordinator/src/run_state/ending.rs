//! How attempts, tables and the run come to an end.

use std::time::Duration;

use shared::config::FailFast;
use shared::ids::{Attempt, TableId, WorkerId};
use shared::message::{Control, WorkId};
use shared::outcome::{Failure, FailureKind};

use super::plan::millis;
use super::table::{Phase, Stopping};
use super::{
    AttemptFailure, CancelReason, Cancelling, Effect, Notice, RootCause, RunState, TableRecord,
    TableStatus, Time, Verdict, table_ids,
};

/// Attempts of one table that may end without a result and without counting
/// against its budget, before it fails all the same.
const MAX_FREE_ATTEMPTS: u32 = 100;

/// How long a claim may be on its way. A worker that took a table just before
/// the run was cancelled has begun, and the run ends when it has stopped.
const CLAIM_IN_FLIGHT: Duration = Duration::from_millis(500);

impl RunState {
    /// Ends a table for good, once.
    pub(super) fn end(
        &mut self,
        id: TableId,
        verdict: Verdict,
        worker: Option<WorkerId>,
        duration: Option<Duration>,
        effects: &mut Vec<Effect>,
    ) {
        let now = self.now;
        let table = &mut self.tables[id.index()];
        let (losers, started) = match &table.phase {
            Phase::Done(_) => return,
            Phase::Running(running) => (
                running
                    .claims
                    .iter()
                    .map(|claim| claim.worker.clone())
                    .collect(),
                Some(running.since),
            ),
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
            history: std::mem::take(&mut table.history),
        }));
        let work = WorkId {
            run: self.run,
            table: id,
            attempt: table.attempt,
        };
        self.outstanding.remove(&id);
        self.counts.add(status);
        effects.push(Effect::TableEnded(id));
        if !losers.is_empty() {
            if self.cancelling.is_none() {
                effects.push(Effect::Control(Control::CancelAttempt { work }));
            }
            let until = self
                .cancelling
                .map_or(now.after(self.limits.cancel_grace), |cancelling| {
                    cancelling.until
                });
            self.await_stop(work, losers, until);
        }
        if let Some(cause) = cause {
            self.root_cause = Some(cause);
            self.begin_cancelling(CancelReason::FailFast, effects);
        }
    }

    /// The reason to end the run that `verdict` is, if it is one. What happens
    /// after the run has begun to be cancelled is a consequence and never one.
    fn fail_fast_cause(&self, table: TableId, verdict: &Verdict) -> Option<RootCause> {
        if self.cancelling.is_some() {
            return None;
        }
        match (self.limits.fail_fast, verdict) {
            (FailFast::Error | FailFast::Mismatch, Verdict::Failed(failure)) => Some(RootCause {
                table,
                kind: failure.kind.clone(),
                error: failure.message.clone(),
            }),
            (FailFast::Mismatch, Verdict::Compared { comparison, .. })
                if verdict.status() == TableStatus::Mismatched =>
            {
                let error = match comparison.rows {
                    Some(rows) => format!(
                        "{} rows differ: {} missing, {} extra, {} modified",
                        rows.total(),
                        rows.missing,
                        rows.extra,
                        rows.modified
                    ),
                    None if comparison.source_count != comparison.target_count => {
                        format!(
                            "{} rows in the source, {} in the target",
                            comparison.source_count, comparison.target_count
                        )
                    }
                    None => "the checksums differ".to_owned(),
                };
                Some(RootCause {
                    table,
                    kind: FailureKind::Mismatch,
                    error,
                })
            }
            _ => None,
        }
    }

    /// Notes that `workers` still have to stop `work`.
    pub(super) fn await_stop(
        &mut self,
        work: WorkId,
        workers: impl IntoIterator<Item = WorkerId>,
        until: Time,
    ) {
        self.stopping
            .entry(work.table)
            .or_insert_with(|| Stopping {
                attempt: work.attempt,
                workers: Default::default(),
                since: self.now,
                until,
            })
            .workers
            .extend(workers);
    }

    /// An attempt ended without a result: the table is tried again or fails.
    pub(super) fn attempt_failed(
        &mut self,
        id: TableId,
        failure: Failure,
        worker: Option<WorkerId>,
        duration: Option<Duration>,
        effects: &mut Vec<Effect>,
    ) {
        let table = &self.tables[id.index()];
        let failures = table.spent + table.free + 1;
        let due = self.now.after(self.backoff(id, failures));
        self.attempt_lost(id, failure, worker, duration, due, effects);
    }

    /// Like [`attempt_failed`](Self::attempt_failed), with the next attempt due
    /// at `due`; a time in the past means at once.
    pub(super) fn attempt_lost(
        &mut self,
        id: TableId,
        failure: Failure,
        worker: Option<WorkerId>,
        duration: Option<Duration>,
        due: Time,
        effects: &mut Vec<Effect>,
    ) {
        let cancelling = self.cancelling;
        let max_attempts = self.limits.max_attempts.get();
        let table = &mut self.tables[id.index()];
        if failure.counts_against_budget {
            table.spent += 1;
        } else {
            table.free += 1;
        }
        let attempt = table.attempt;
        table.history.push(AttemptFailure {
            attempt,
            worker: worker.clone(),
            failure: failure.clone(),
        });
        let exhausted = table.spent >= max_attempts || table.free > MAX_FREE_ATTEMPTS;
        match cancelling {
            Some(cancelling) if failure.retryable => {
                return self.end(
                    id,
                    Verdict::Cancelled(cancelling.reason),
                    worker,
                    duration,
                    effects,
                );
            }
            _ if exhausted || !failure.retryable => {
                return self.end(id, Verdict::Failed(failure), worker, duration, effects);
            }
            _ => {}
        }
        table.phase = Phase::Waiting;
        table.attempt = attempt.next();
        table.adopted = false;
        self.outstanding.remove(&id);
        let wait = due.since(self.now);
        if wait.is_zero() {
            self.queue.push(id, &self.tables[id.index()].planned);
        } else {
            self.queue.delay(id, due);
        }
        effects.push(Effect::Notice(Notice::Retry {
            table: id,
            attempt,
            worker,
            failure,
            wait,
        }));
    }

    /// The wait after the `failures`-th attempt: doubling, bounded, and spread
    /// over half to the whole of it so that tables that failed together do not
    /// come back together.
    fn backoff(&self, id: TableId, failures: u32) -> Duration {
        let doubled = self
            .limits
            .backoff
            .saturating_mul(1 << failures.saturating_sub(1).min(20));
        let longest = millis(doubled.min(self.limits.max_backoff)).max(1);
        let mix = self.seed ^ (u64::from(id.0) << 32 | u64::from(failures));
        Duration::from_millis(fastrand::Rng::with_seed(mix).u64(longest.div_ceil(2)..=longest))
    }

    /// A table's time is over.
    pub(super) fn time_out(&mut self, id: TableId, effects: &mut Vec<Effect>) {
        let table = &self.tables[id.index()];
        let allowed = table.planned.spec.timeout;
        let worker = table.claims().first().map(|claim| claim.worker.clone());
        self.end(id, Verdict::TimedOut { allowed }, worker, None, effects);
    }

    /// No claim of the current attempt holds any more.
    pub(super) fn lease_expired(
        &mut self,
        id: TableId,
        workers: Vec<WorkerId>,
        effects: &mut Vec<Effect>,
    ) {
        let work = self.work(id, self.tables[id.index()].attempt);
        for worker in &workers {
            let worker = worker.clone();
            effects.push(Effect::Notice(Notice::LeaseExpired {
                table: id,
                attempt: work.attempt,
                worker,
            }));
        }
        // Should the worker live after all, its work is not wanted any more.
        effects.push(Effect::Control(Control::CancelAttempt { work }));
        let names = workers
            .iter()
            .map(WorkerId::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        let failure = Failure::new(
            FailureKind::WorkerLost,
            format!("worker {names} was not heard of for three heartbeats while it held the table"),
        );
        let worker = workers.into_iter().next();
        self.attempt_failed(id, failure, worker, None, effects);
    }

    /// Ends the run: what is not claimed is cancelled at once, what runs is
    /// told to stop. Only the first call counts.
    pub(super) fn begin_cancelling(&mut self, reason: CancelReason, effects: &mut Vec<Effect>) {
        if self.cancelling.is_some() || self.completed {
            return;
        }
        let unclaimed: Vec<TableId> = self
            .outstanding
            .iter()
            .copied()
            .filter(|id| matches!(self.tables[id.index()].phase, Phase::Published { .. }))
            .collect();
        let until = self.now.after(self.limits.cancel_grace);
        let claims_until = if unclaimed.is_empty() {
            self.now
        } else {
            self.now.after(CLAIM_IN_FLIGHT).min(until)
        };
        self.cancelling = Some(Cancelling {
            reason,
            until,
            claims_until,
        });
        effects.push(Effect::Notice(Notice::Cancelling(reason)));
        effects.push(Effect::Control(Control::CancelRun { run: self.run }));
        let mut unstarted = unclaimed;
        unstarted.extend(self.queue.drain());
        unstarted.sort_unstable();
        for id in unstarted {
            self.end(id, Verdict::Cancelled(reason), None, None, effects);
        }
    }

    /// Nobody answers any more: ends what is left.
    pub(super) fn give_up_waiting(&mut self, reason: CancelReason, effects: &mut Vec<Effect>) {
        for id in self.outstanding.clone() {
            let worker = self.tables[id.index()]
                .claims()
                .first()
                .map(|claim| claim.worker.clone());
            self.end(id, Verdict::Cancelled(reason), worker, None, effects);
        }
        self.stopping.clear();
    }

    /// Fails every table that has not ended, for one and the same reason.
    pub(super) fn fail_unfinished(&mut self, failure: &Failure, effects: &mut Vec<Effect>) {
        self.queue.drain();
        for id in table_ids().take(self.tables.len()) {
            let table = &mut self.tables[id.index()];
            if table.record().is_some() {
                continue;
            }
            let worker = table.claims().first().map(|claim| claim.worker.clone());
            let attempt: Attempt = table.attempt;
            table.history.push(AttemptFailure {
                attempt,
                worker: worker.clone(),
                failure: failure.clone(),
            });
            self.end(id, Verdict::Failed(failure.clone()), worker, None, effects);
        }
    }
}

//! What workers and the broker say, and what it means for a table.

use std::time::Duration;

use shared::ids::{TableId, WorkerId};
use shared::message::{Control, Event, EventBody, Heartbeat, TableSpec, WorkId};
use shared::outcome::{Comparison, Depth, Failure, FailureKind, Outcome};

use super::table::{Claim, Phase, Running};
use super::{CancelReason, Effect, Notice, Probe, RunState, Time, Verdict};

/// Claims of one attempt that are followed; further ones are ignored.
const MAX_CLAIMS: usize = 8;

/// Publishes of one table that may fail in a row before it fails.
pub(super) const MAX_PUBLISH_FAILURES: u32 = 10;

/// What an event is to the table that it is about.
enum Standing {
    /// Of the attempt that is published or running.
    Current,
    /// Of another attempt, or of a table that has ended.
    Stale,
    /// Of no table of this run, or of an attempt that was not dispatched.
    Unknown,
}

impl RunState {
    pub(super) fn on_event(&mut self, event: Event, effects: &mut Vec<Effect>) {
        let Event { work, worker, body } = event;
        self.fleet.heard(self.now);
        self.adopt(work);
        match (self.standing(work), body) {
            (Standing::Unknown, _) => {}
            (Standing::Stale, EventBody::Claimed) => self.refuse_stale_claim(work, worker, effects),
            (Standing::Stale, EventBody::Differences { .. } | EventBody::Repair { .. }) => {}
            (Standing::Stale, EventBody::Finished { outcome, .. }) => {
                self.on_stopped(work, &worker, &outcome, effects);
            }
            (Standing::Current, body) => {
                // A claim that was overtaken by what followed it is made good here.
                self.claim(work.table, &worker, effects);
                match body {
                    EventBody::Claimed => {}
                    EventBody::Differences { batch, rows } => {
                        if let Some(claim) = self.claim_of(work.table, &worker) {
                            claim.batches.entry(batch).or_insert(rows);
                        }
                    }
                    EventBody::Repair { batch, statements } => {
                        if let Some(claim) = self.claim_of(work.table, &worker)
                            && !claim.batches.contains_key(&batch)
                        {
                            claim.batches.insert(batch, Vec::new());
                            effects.push(Effect::KeepRepair {
                                work,
                                worker,
                                statements,
                            });
                        }
                    }
                    EventBody::Finished {
                        outcome,
                        batches,
                        duration_ms,
                    } => {
                        let duration = Duration::from_millis(duration_ms);
                        self.on_finished(work.table, worker, *outcome, batches, duration, effects);
                    }
                }
            }
        }
    }

    fn standing(&self, work: WorkId) -> Standing {
        let Some(table) = self
            .tables
            .get(work.table.index())
            .filter(|_| work.run == self.run)
        else {
            return Standing::Unknown;
        };
        match &table.phase {
            _ if work.attempt > table.attempt => Standing::Unknown,
            _ if work.attempt < table.attempt => Standing::Stale,
            Phase::Done(_) => Standing::Stale,
            Phase::Waiting => Standing::Unknown,
            Phase::Published { .. } | Phase::Running(_) => Standing::Current,
        }
    }

    /// Registers `worker` as a holder of the current attempt.
    fn claim(&mut self, id: TableId, worker: &WorkerId, effects: &mut Vec<Effect>) {
        self.claimed_ever = true;
        let lease = self.now.after(self.fleet.lease(worker));
        let table = &mut self.tables[id.index()];
        match &mut table.phase {
            Phase::Published { .. } => {
                table.phase = Phase::Running(Running {
                    since: self.now,
                    deadline: self.now.after(table.planned.spec.timeout),
                    claims: vec![Claim::new(worker.clone(), lease)],
                });
            }
            Phase::Running(running) => {
                let known = running.claims.iter().any(|claim| claim.worker == *worker);
                if !known && running.claims.len() < MAX_CLAIMS {
                    running.claims.push(Claim::new(worker.clone(), lease));
                    effects.push(Effect::Notice(Notice::DuplicateClaim {
                        table: id,
                        worker: worker.clone(),
                    }));
                }
            }
            Phase::Waiting | Phase::Done(_) => {}
        }
    }

    fn claim_of(&mut self, id: TableId, worker: &WorkerId) -> Option<&mut Claim> {
        match &mut self.tables[id.index()].phase {
            Phase::Running(running) => running
                .claims
                .iter_mut()
                .find(|claim| claim.worker == *worker),
            _ => None,
        }
    }

    /// Somebody claimed what is no longer wanted.
    fn refuse_stale_claim(&mut self, work: WorkId, worker: WorkerId, effects: &mut Vec<Effect>) {
        let table = &self.tables[work.table.index()];
        if table.record().is_some_and(|record| {
            record.attempt == work.attempt && record.worker.as_ref() == Some(&worker)
        }) {
            // Its own claim, delivered again after its own result.
            return;
        }
        effects.push(Effect::Control(Control::CancelAttempt { work }));
        // It was cancelled between publish and claim: the worker begins and
        // stops again, and the run ends when it has.
        let was_cancelled = matches!(
            table.record().map(|record| &record.verdict),
            Some(Verdict::Cancelled(_))
        );
        if let Some(cancelling) = self
            .cancelling
            .filter(|_| was_cancelled && work.attempt == table.attempt)
        {
            self.await_stop(work, [worker], cancelling.until);
        }
    }

    fn on_finished(
        &mut self,
        id: TableId,
        worker: WorkerId,
        outcome: Outcome,
        batches: u32,
        duration: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let Phase::Running(running) = &mut self.tables[id.index()].phase else {
            return;
        };
        let Some(position) = running
            .claims
            .iter()
            .position(|claim| claim.worker == worker)
        else {
            return;
        };
        let mut claim = running.claims.remove(position);
        let others_run = !running.claims.is_empty();
        let adopted = self.tables[id.index()].adopted;
        let spec = &self.tables[id.index()].planned.spec;

        let failure = match outcome {
            Outcome::Compared(comparison) => {
                if let Err(failure) = check_depth(spec, &comparison) {
                    failure
                } else if let Some(mut differences) = claim.complete_batches(batches) {
                    differences.truncate(spec.max_differences as usize);
                    let verdict = Verdict::Compared {
                        comparison: Box::new(comparison),
                        differences,
                    };
                    return self.end(id, verdict, Some(worker), Some(duration), effects);
                } else {
                    Failure {
                        // What came before the restart went down with the old coordinator.
                        counts_against_budget: !adopted,
                        ..incomplete_result(&worker, claim.batches.len(), batches)
                    }
                }
            }
            Outcome::Failed(failure) => failure,
            Outcome::TimedOut { .. } => {
                let verdict = Verdict::TimedOut {
                    allowed: spec.timeout,
                };
                return self.end(id, verdict, Some(worker), Some(duration), effects);
            }
            // The other holder of a doubly delivered attempt goes on.
            Outcome::Cancelled { .. } | Outcome::HandedBack if others_run => return,
            Outcome::Cancelled { quiet_after_ms } => {
                if let Some(cancelling) = self.cancelling {
                    let verdict = Verdict::Cancelled(cancelling.reason);
                    self.end(id, verdict, Some(worker), Some(duration), effects);
                    self.went_quiet(id, Duration::from_millis(quiet_after_ms), effects);
                    return;
                }
                stopped_unasked(&worker)
            }
            Outcome::HandedBack => return self.hand_back(id, worker, effects),
        };
        if others_run && failure.retryable {
            return;
        }
        self.attempt_failed(id, failure, Some(worker), Some(duration), effects);
    }

    /// A worker has stopped something that was no longer wanted.
    fn on_stopped(
        &mut self,
        work: WorkId,
        worker: &WorkerId,
        outcome: &Outcome,
        effects: &mut Vec<Effect>,
    ) {
        let Some(stopping) = self.stopping.get_mut(&work.table) else {
            return;
        };
        if stopping.attempt != work.attempt || !stopping.workers.remove(worker) {
            return;
        }
        // A result that came too late says as well that nothing runs any more.
        let after = match outcome {
            Outcome::Cancelled { quiet_after_ms } | Outcome::TimedOut { quiet_after_ms } => {
                Duration::from_millis(*quiet_after_ms)
            }
            Outcome::Compared(_) | Outcome::Failed(_) | Outcome::HandedBack => {
                self.now.since(stopping.since)
            }
        };
        if stopping.workers.is_empty() {
            self.stopping.remove(&work.table);
        }
        self.went_quiet(work.table, after, effects);
    }

    fn went_quiet(&mut self, id: TableId, after: Duration, effects: &mut Vec<Effect>) {
        if let Phase::Done(record) = &mut self.tables[id.index()].phase {
            record.quiet_after = Some(record.quiet_after.map_or(after, |known| known.max(after)));
            effects.push(Effect::WentQuiet { table: id, after });
        }
    }

    pub(super) fn on_heartbeat(&mut self, heartbeat: &Heartbeat, effects: &mut Vec<Effect>) {
        self.fleet.heartbeat(heartbeat, self.now);
        let lease = self.now.after(self.fleet.lease(&heartbeat.worker));
        let run = self.run;
        for owned in heartbeat.owned.iter().filter(|owned| owned.work.run == run) {
            let work = owned.work;
            if self.adopt(work) {
                self.claim(work.table, &heartbeat.worker, effects);
            }
            match self.standing(work) {
                Standing::Current => {
                    if let Some(claim) = self.claim_of(work.table, &heartbeat.worker) {
                        claim.lease = lease;
                        claim.source_rows = owned.source_rows;
                        claim.target_rows = owned.target_rows;
                    }
                }
                Standing::Stale if self.is_unwanted(work, &heartbeat.worker) => {
                    effects.push(Effect::Control(Control::CancelAttempt { work }));
                }
                Standing::Stale | Standing::Unknown => {}
            }
        }
    }

    /// Whether work that a heartbeat lists must be stopped. A heartbeat that
    /// was overtaken by the worker's own result is not a reason.
    fn is_unwanted(&self, work: WorkId, worker: &WorkerId) -> bool {
        let ended_by_itself = self.tables[work.table.index()]
            .record()
            .is_some_and(|record| {
                record.attempt == work.attempt && record.worker.as_ref() == Some(worker)
            });
        let told_to_stop = self.stopping.get(&work.table).is_some_and(|stopping| {
            stopping.attempt == work.attempt && stopping.workers.contains(worker)
        });
        told_to_stop || !ended_by_itself
    }

    pub(super) fn on_published(&mut self, work: WorkId) {
        if !matches!(self.standing(work), Standing::Current) {
            return;
        }
        if let Phase::Published { confirmed, .. } = &mut self.tables[work.table.index()].phase {
            confirmed.get_or_insert(self.now);
        }
    }

    pub(super) fn on_publish_failed(
        &mut self,
        work: WorkId,
        reason: &str,
        effects: &mut Vec<Effect>,
    ) {
        let current = matches!(self.standing(work), Standing::Current);
        let table = &self.tables[work.table.index().min(self.tables.len().saturating_sub(1))];
        // A task that was claimed had reached the broker all the same.
        if !current || !matches!(table.phase, Phase::Published { .. }) {
            return;
        }
        let failure = Failure {
            retryable: table.free < MAX_PUBLISH_FAILURES,
            ..Failure::new(
                FailureKind::BrokerError,
                format!("the task could not be given to the broker: {reason}"),
            )
            .uncounted()
        };
        self.attempt_failed(work.table, failure, None, None, effects);
    }

    pub(super) fn on_announced(&mut self) {
        self.settle_soon();
        let answer_by = self.now.after(self.limits.heartbeat_period);
        if let Some(Probe {
            answer_by: pending @ None,
            ..
        }) = &mut self.probe
        {
            *pending = Some(answer_by);
        }
    }

    pub(super) fn on_disconnected(&mut self, reason: &str, effects: &mut Vec<Effect>) {
        let failure = Failure::new(
            FailureKind::BrokerError,
            format!("the connection to the broker was lost for good: {reason}"),
        );
        self.fail_unfinished(&failure, effects);
        self.stopping.clear();
        if let Some(cancelling) = &mut self.cancelling {
            cancelling.claims_until = self.now;
        }
    }

    /// Puts a table that a worker gave back at the head of what is dispatched next.
    fn hand_back(&mut self, id: TableId, worker: WorkerId, effects: &mut Vec<Effect>) {
        if self.cancelling.is_some() {
            let reason = self.cancel_reason().unwrap_or(CancelReason::Requested);
            return self.end(id, Verdict::Cancelled(reason), Some(worker), None, effects);
        }
        let failure = Failure::new(
            FailureKind::HandedBack,
            format!("worker {worker} shut down and gave the table back"),
        )
        .uncounted();
        self.attempt_lost(id, failure, Some(worker), None, Time::START, effects);
    }
}

/// A result that answers less than was asked must not pass for an answer.
fn check_depth(spec: &TableSpec, comparison: &Comparison) -> Result<(), Failure> {
    let missing = match spec.depth {
        Depth::Checksum | Depth::Rows if comparison.checksums.is_none() => "checksums",
        Depth::Rows if comparison.rows.is_none() => "differing rows",
        Depth::Counts | Depth::Checksum | Depth::Rows => return Ok(()),
    };
    Err(Failure::new(
        FailureKind::IncompleteResult,
        format!(
            "the worker's result lacks the {missing} that were asked for; use workers of this version"
        ),
    ))
}

fn incomplete_result(worker: &WorkerId, received: usize, sent: u32) -> Failure {
    Failure::new(
        FailureKind::IncompleteResult,
        format!(
            "of {sent} batches of differing rows that worker {worker} sent, {received} arrived"
        ),
    )
    .retryable()
}

fn stopped_unasked(worker: &WorkerId) -> Failure {
    Failure::new(
        FailureKind::StoppedByWorker,
        format!("worker {worker} stopped the table though this run had not asked for it"),
    )
}

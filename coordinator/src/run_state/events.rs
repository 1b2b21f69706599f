//! Events, heartbeats and the broker's answers, and their effect on a table.

use std::time::Duration;

use shared::ids::{TableId, WorkerId};
use shared::message::{Control, Event, EventBody, Heartbeat, TableSpec, WorkId};
use shared::outcome::{Comparison, Depth, Difference, Failure, FailureKind, OpenSession, Outcome};

use super::received::Arrival;
use super::table::{Claim, MAX_CLAIMS, Phase, Running, Table};
use super::table_end::EndedAttempt;
use super::{Effect, Notice, Probe, RunState, Time, Verdict};

const MAX_PUBLISH_FAILURES: u32 = 10;

/// How the work of an event relates to its table.
enum Standing {
    /// It is the attempt that is published or running.
    Current,
    /// It is another attempt, or the table has ended.
    Stale,
    /// The run has no such table, or did not dispatch the attempt.
    Unknown,
}

impl RunState {
    pub(super) fn on_event(&mut self, event: Event) {
        let Event {
            work,
            worker,
            body,
            databases,
        } = event;
        self.fleet.note_contact(&worker, self.now);
        self.adopt(work);
        match (self.standing(work), body) {
            (Standing::Unknown, _) => {}
            (Standing::Stale, EventBody::Claimed) => self.refuse_stale_claim(work, worker),
            (
                Standing::Stale,
                EventBody::Differences { .. }
                | EventBody::Repair { .. }
                | EventBody::RepairPart { .. },
            ) => {}
            (
                Standing::Stale,
                EventBody::Finished {
                    outcome,
                    unconfirmed,
                    ..
                },
            ) => {
                self.forget_former(work);
                self.on_stopped(work, &worker, &outcome, unconfirmed);
            }
            (Standing::Current, body) => {
                if self.admit(work.table, &worker, databases, &body) {
                    self.on_current(work, worker, body);
                }
            }
        }
    }

    fn on_current(&mut self, work: WorkId, worker: WorkerId, body: EventBody) {
        // An event may overtake the claim of its attempt.
        self.claim(work.table, &worker);
        match body {
            EventBody::Claimed => {}
            EventBody::Differences { batch, rows } => {
                if self.is_new(work, &worker, batch) {
                    let kept = self.limits.listed_rows.is_some().then(|| rows.clone());
                    self.list(work, &worker, batch, rows);
                    self.effects
                        .extend(kept.map(|rows| Effect::KeepRows { work, worker, rows }));
                }
            }
            EventBody::Repair { batch, statements } => {
                if self.is_new(work, &worker, batch) {
                    self.effects.push(Effect::KeepRepair {
                        work,
                        worker,
                        statements,
                    });
                }
            }
            EventBody::RepairPart { batch, part } => {
                if self.is_new(work, &worker, batch) {
                    self.effects
                        .push(Effect::KeepRepairPart { work, worker, part });
                }
            }
            EventBody::Finished {
                outcome,
                batches,
                duration_ms,
                unconfirmed,
            } => {
                let duration = Duration::from_millis(duration_ms);
                self.on_finished(work.table, worker, *outcome, batches, duration);
                self.keep_unconfirmed(work.table, unconfirmed);
            }
        }
    }

    /// Records a batch of a claim. Returns whether it was not received before.
    fn is_new(&mut self, work: WorkId, worker: &WorkerId, batch: u32) -> bool {
        self.claim_of(work.table, worker)
            .is_some_and(|claim| claim.received.record(batch) == Arrival::New)
    }

    /// Lists differing rows of a claim for the report.
    fn list(&mut self, work: WorkId, worker: &WorkerId, batch: u32, rows: Vec<Difference>) {
        let asked = self.spec(work.table).max_differences;
        let most = self.limits.listed_rows.unwrap_or(asked).min(asked);
        let mut left = self.listing_bytes;
        if let Some(claim) = self.claim_of(work.table, worker) {
            claim.received.list(batch, rows, most as usize, &mut left);
        }
        self.listing_bytes = left;
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

    /// Registers `worker` as an owner of the current attempt.
    fn claim(&mut self, id: TableId, worker: &WorkerId) {
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
                    self.effects.push(Effect::Notice(Notice::DuplicateClaim {
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

    /// Cancels an attempt that a worker claimed after it had become stale.
    fn refuse_stale_claim(&mut self, work: WorkId, worker: WorkerId) {
        let table = &self.tables[work.table.index()];
        if table.is_decided_by(work, &worker) {
            // Its own claim, delivered again after its own result.
            return;
        }
        self.effects
            .push(Effect::Control(Control::CancelAttempt { work }));
        self.await_stale_claim(work, &worker);
        let table = &self.tables[work.table.index()];
        // The run was cancelled between publish and claim: the worker starts and
        // stops again, and the run ends when it has stopped.
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

    /// `batches`: how many batches of differences the worker has sent.
    fn on_finished(
        &mut self,
        id: TableId,
        worker: WorkerId,
        outcome: Outcome,
        batches: u32,
        duration: Duration,
    ) {
        let Phase::Running(running) = &mut self.tables[id.index()].phase else {
            return;
        };
        let mut claims = running.claims.iter();
        let Some(position) = claims.position(|claim| claim.worker == worker) else {
            return;
        };
        let claim = running.claims.remove(position);
        let others_run = !running.claims.is_empty();
        let table = &self.tables[id.index()];
        let attempt = EndedAttempt {
            table: id,
            worker: Some(worker.clone()),
            duration: Some(duration),
        };
        let failure = match outcome {
            Outcome::Compared(comparison) => {
                self.fleet.note_success(&worker, self.now);
                let checked = self.check_target(id, &comparison);
                match checked.and_then(|()| verdict_of(table, claim, comparison, batches)) {
                    Ok(verdict) => return self.end(attempt, verdict),
                    Err(failure) => failure,
                }
            }
            Outcome::Failed(failure) | Outcome::Refused(failure) => failure,
            Outcome::TimedOut { .. } => {
                let allowed = table.planned.spec.timeout;
                return self.end(attempt, Verdict::TimedOut { allowed });
            }
            // The other owner of an attempt that was delivered twice goes on.
            Outcome::Cancelled { .. } | Outcome::HandedBack if others_run => return,
            Outcome::Cancelled { .. } | Outcome::HandedBack if self.is_pausing() => {
                return self.set_aside(id);
            }
            Outcome::Cancelled { quiet_after_ms } => {
                if let Some(cancelling) = self.cancelling {
                    self.end(attempt, Verdict::Cancelled(cancelling.reason));
                    self.went_quiet(id, Duration::from_millis(quiet_after_ms));
                    return;
                }
                let message =
                    format!("worker {worker} stopped the table, which this run had not requested");
                Failure::new(FailureKind::StoppedByWorker, message)
            }
            Outcome::HandedBack => return self.hand_back(id, worker),
        };
        if others_run && (failure.retryable || !failure.origin.is_table()) {
            return;
        }
        if !failure.origin.is_table() {
            return self.failed_there(id, &worker, failure, Some(duration));
        }
        self.attempt_failed(attempt, failure);
    }

    /// A worker has stopped an attempt that was cancelled or had become stale.
    fn on_stopped(
        &mut self,
        work: WorkId,
        worker: &WorkerId,
        outcome: &Outcome,
        unconfirmed: Vec<OpenSession>,
    ) {
        let Some(stopping) = self.stopping.get_mut(&work.table) else {
            return;
        };
        if stopping.attempt != work.attempt || !stopping.workers.remove(worker) {
            return;
        }
        // A result that came too late ends the statements, too.
        let after = match outcome {
            Outcome::Cancelled { quiet_after_ms } | Outcome::TimedOut { quiet_after_ms } => {
                Duration::from_millis(*quiet_after_ms)
            }
            Outcome::Compared(_)
            | Outcome::Failed(_)
            | Outcome::Refused(_)
            | Outcome::HandedBack => self.now.since(stopping.since),
        };
        if stopping.workers.is_empty() {
            self.stopping.remove(&work.table);
        }
        self.went_quiet(work.table, after);
        self.keep_unconfirmed(work.table, unconfirmed);
    }

    fn went_quiet(&mut self, id: TableId, after: Duration) {
        if let Phase::Done(record) = &mut self.tables[id.index()].phase {
            if record.unconfirmed.is_empty() {
                let known = record.quiet_after;
                record.quiet_after = Some(known.map_or(after, |known| known.max(after)));
            }
            self.effects
                .push(Effect::StatementsStopped { table: id, after });
        }
    }

    /// Keeps the sessions whose statements may still run with the end of their table.
    fn keep_unconfirmed(&mut self, id: TableId, sessions: Vec<OpenSession>) {
        match &mut self.tables[id.index()].phase {
            Phase::Done(record) if !sessions.is_empty() => {
                record.quiet_after = None;
                record.unconfirmed.extend(sessions);
            }
            Phase::Done(_) => {}
            _ => self.keep_open_sessions(sessions),
        }
    }

    pub(super) fn on_heartbeat(&mut self, heartbeat: &Heartbeat) {
        self.fleet.heartbeat(heartbeat, self.now);
        let lease = self.now.after(self.fleet.lease(&heartbeat.worker));
        let run = self.run;
        let is_beside_other_runs = heartbeat.owned.iter().any(|owned| owned.work.run != run);
        for owned in heartbeat.owned.iter().filter(|owned| owned.work.run == run) {
            let work = owned.work;
            if self.adopt(work) {
                self.claim(work.table, &heartbeat.worker);
            }
            match self.standing(work) {
                Standing::Current => {
                    if let Some(claim) = self.claim_of(work.table, &heartbeat.worker) {
                        claim.lease = lease;
                        claim.source_rows = owned.source_rows;
                        claim.target_rows = owned.target_rows;
                        claim.phase = owned.phase;
                        claim.expected_rows = owned.expected_rows;
                        claim.is_beside_other_runs = is_beside_other_runs;
                    }
                    self.repeat_stop(work);
                }
                Standing::Stale if self.must_stop(work, &heartbeat.worker) => {
                    self.await_former(work, &heartbeat.worker);
                    self.effects
                        .push(Effect::Control(Control::CancelAttempt { work }));
                }
                Standing::Stale | Standing::Unknown => {}
            }
        }
    }

    /// Whether stale work that a heartbeat lists must be stopped. A heartbeat
    /// that was overtaken by the worker's own result is not a reason.
    fn must_stop(&self, work: WorkId, worker: &WorkerId) -> bool {
        let asked_to_stop = self.stopping.get(&work.table).is_some_and(|stopping| {
            stopping.attempt == work.attempt && stopping.workers.contains(worker)
        });
        asked_to_stop || !self.tables[work.table.index()].is_decided_by(work, worker)
    }

    pub(super) fn on_published(&mut self, work: WorkId) {
        if !matches!(self.standing(work), Standing::Current) {
            return;
        }
        if let Phase::Published { confirmed, .. } = &mut self.tables[work.table.index()].phase {
            confirmed.get_or_insert(self.now);
        }
    }

    pub(super) fn on_publish_failed(&mut self, work: WorkId, reason: &str, retryable: bool) {
        if !matches!(self.standing(work), Standing::Current) {
            return;
        }
        let table = &self.tables[work.table.index()];
        // A task that a worker has claimed did reach the broker.
        if !matches!(table.phase, Phase::Published { .. }) {
            return;
        }
        let message = format!("the task could not be given to the broker: {reason}");
        let mut failure = Failure::new(FailureKind::BrokerError, message).uncounted();
        failure.retryable = retryable && table.free < MAX_PUBLISH_FAILURES;
        self.attempt_failed(EndedAttempt::unclaimed(work.table), failure);
    }

    pub(super) fn on_announced(&mut self) {
        self.end_adoption_soon();
        let deadline = self.now.after(self.limits.heartbeat_period);
        if let Some(Probe { answer_by, .. }) = &mut self.probe {
            answer_by.get_or_insert(deadline);
        }
    }

    pub(super) fn on_disconnected(&mut self, reason: &str) {
        if self.is_pausing() {
            return self.give_up_pausing();
        }
        let message = format!("the connection to the broker was lost for good: {reason}");
        self.fail_unfinished(&Failure::new(FailureKind::BrokerError, message));
        self.stopping.clear();
        if let Some(cancelling) = &mut self.cancelling {
            cancelling.claims_until = self.now;
        }
    }

    /// Requeues a table that a worker handed back, without a wait.
    fn hand_back(&mut self, id: TableId, worker: WorkerId) {
        let message = format!("worker {worker} shut down and gave the table back");
        let attempt = EndedAttempt {
            table: id,
            worker: Some(worker),
            duration: None,
        };
        if let Some(cancelling) = self.cancelling {
            return self.end(attempt, Verdict::Cancelled(cancelling.reason));
        }
        let failure = Failure::new(FailureKind::HandedBack, message).uncounted();
        self.attempt_lost(attempt, failure, Time::START);
    }
}

/// The verdict of a comparison, if it answers what was asked and all of its
/// batches of differences have arrived.
fn verdict_of(
    table: &Table,
    claim: Claim,
    mut comparison: Comparison,
    batches: u32,
) -> Result<Verdict, Failure> {
    let spec = &table.planned.spec;
    check_depth(spec, &comparison)?;
    if !claim.received.is_complete(batches) {
        let message = format!(
            "of {batches} batches of differing rows that worker {} sent, {} arrived",
            claim.worker,
            claim.received.batches()
        );
        let mut failure = Failure::new(FailureKind::IncompleteResult, message).retryable();
        // The previous coordinator received the earlier batches, and they are lost.
        failure.counts_against_budget = !table.adopted;
        return Err(failure);
    }
    let (differences, note) = claim.received.into_rows();
    comparison.notes.extend(note);
    Ok(Verdict::Compared {
        comparison: Box::new(comparison),
        differences,
    })
}

/// Refuses a result that answers less than was asked.
fn check_depth(spec: &TableSpec, comparison: &Comparison) -> Result<(), Failure> {
    let missing = match spec.depth {
        Depth::Checksum | Depth::Rows if comparison.checksums.is_none() => "checksums",
        Depth::Rows if comparison.rows.is_none() => "differing rows",
        Depth::Counts | Depth::Checksum | Depth::Rows => return Ok(()),
    };
    let message = format!(
        "the worker's result lacks the {missing} that were asked for; use workers of this version"
    );
    Err(Failure::new(FailureKind::IncompleteResult, message))
}

//! The attempts that a worker owns, and its decisions about deliveries and
//! control messages. Plain data: no transport, no timers, no tasks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shared::ids::RunId;
use shared::message::{Control, OwnedWork, WorkId};

use super::metrics::WorkerMetrics;
use super::stop::{StopReason, StopSignal};
use crate::engine::{Progress, ScanTotals};

/// How many cancelled runs, cancelled attempts and attempts that ended here are remembered.
const REMEMBERED: usize = 1_024;

/// One attempt between its delivery and its end.
#[derive(Debug, Default)]
pub(super) struct Job {
    pub(super) stop: StopSignal,
    pub(super) progress: Arc<Progress>,
    /// Whether the delivery is acknowledged: from then on only a lease owns the task.
    claimed: AtomicBool,
}

impl Job {
    /// A new job whose progress is part of `totals`.
    fn new(totals: &Arc<ScanTotals>) -> Self {
        Self {
            progress: Arc::new(Progress::within(Arc::clone(totals))),
            ..Self::default()
        }
    }

    /// Records that the delivery is acknowledged.
    pub(super) fn set_claimed(&self) {
        self.claimed.store(true, Ordering::Release);
    }

    fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Acquire)
    }
}

/// What to do with a delivery.
#[derive(Debug)]
pub(super) enum Admission {
    /// Claim the task and run it.
    Claim(Arc<Job>),
    /// Acknowledge it and do nothing: the task is cancelled, runs here already, or has ended here.
    Discard,
    /// Leave it unacknowledged, so that another worker gets it.
    Requeue,
}

/// The attempts that a worker owns, and the cancellations that it knows of.
#[derive(Debug)]
pub(super) struct Ledger {
    metrics: Arc<WorkerMetrics>,
    jobs: HashMap<WorkId, Arc<Job>>,
    cancelled_runs: VecDeque<RunId>,
    cancelled_attempts: VecDeque<WorkId>,
    /// Attempts that were claimed and have ended here. Their tasks may come again if the
    /// coordinator published them twice, or if a client of the broker repeats a message.
    ended: VecDeque<WorkId>,
    draining: bool,
}

impl Ledger {
    /// An empty ledger, which reports its size and state to `metrics`.
    pub(super) fn new(metrics: Arc<WorkerMetrics>) -> Self {
        Self {
            metrics,
            jobs: HashMap::new(),
            cancelled_runs: VecDeque::new(),
            cancelled_attempts: VecDeque::new(),
            ended: VecDeque::new(),
            draining: false,
        }
    }

    /// Decides what to do with a delivery, and registers the job if it is claimed.
    pub(super) fn admit(&mut self, work: WorkId) -> Admission {
        let is_over = self.cancelled_runs.contains(&work.run)
            || self.cancelled_attempts.contains(&work)
            || self.ended.contains(&work);
        if is_over {
            return Admission::Discard;
        }
        if self.draining {
            return Admission::Requeue;
        }
        if let Some(job) = self.jobs.get(&work) {
            if job.is_claimed() {
                return Admission::Discard;
            }
            // Delivered again before it was acknowledged: the first delivery
            // is lost, and its acknowledgement will return that.
            job.stop.request(StopReason::Superseded);
        }
        let job = Arc::new(Job::new(self.metrics.scanned()));
        self.jobs.insert(work, Arc::clone(&job));
        self.metrics.set_busy(self.jobs.len());
        Admission::Claim(job)
    }

    /// Removes a job that ended, unless a later delivery has replaced it.
    pub(super) fn release(&mut self, work: WorkId, job: &Arc<Job>) {
        if self
            .jobs
            .get(&work)
            .is_some_and(|current| Arc::ptr_eq(current, job))
        {
            self.jobs.remove(&work);
            if job.is_claimed() {
                remember(&mut self.ended, work);
            }
            self.metrics.set_busy(self.jobs.len());
        }
    }

    /// Stops the jobs that a control message cancels, and remembers the
    /// cancellation for tasks that are delivered later.
    pub(super) fn cancel(&mut self, control: &Control) {
        match control {
            Control::CancelRun { run } => {
                remember(&mut self.cancelled_runs, *run);
                for (_, job) in self.jobs.iter().filter(|(work, _)| work.run == *run) {
                    job.stop.request(StopReason::Cancelled);
                }
            }
            Control::CancelAttempt { work } => {
                remember(&mut self.cancelled_attempts, *work);
                if let Some(job) = self.jobs.get(work) {
                    job.stop.request(StopReason::Cancelled);
                }
            }
            // Handled by the actor.
            Control::Announce
            | Control::CheckEndpoints { .. }
            | Control::StopRun { .. }
            | Control::Drain { .. } => {}
        }
    }

    /// Admits no more tasks, and stops the jobs that are not claimed yet.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        self.metrics.set_draining();
        for job in self.jobs.values().filter(|job| !job.is_claimed()) {
            job.stop.request(StopReason::Draining);
        }
    }

    /// Stops all jobs, so that the coordinator dispatches their tables again.
    pub(super) fn hand_back(&self) {
        for job in self.jobs.values() {
            job.stop.request(StopReason::Draining);
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// The jobs as a heartbeat lists them. A job is listed before its claim is
    /// published, so no coordinator sees a claim by a worker that does not list it.
    pub(super) fn owned(&self) -> Vec<OwnedWork> {
        let mut owned: Vec<_> = self
            .jobs
            .iter()
            .map(|(work, job)| {
                let (source_rows, target_rows) = job.progress.rows();
                OwnedWork {
                    work: *work,
                    source_rows,
                    target_rows,
                    phase: Some(job.progress.phase()),
                    expected_rows: job.progress.expected(),
                }
            })
            .collect();
        owned.sort_unstable_by_key(|owned| owned.work);
        owned
    }
}

/// Adds `value` to the last [`REMEMBERED`] different values.
fn remember<T: PartialEq>(values: &mut VecDeque<T>, value: T) {
    if values.contains(&value) {
        return;
    }
    values.push_back(value);
    if values.len() > REMEMBERED {
        values.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{Attempt, TableId};

    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(Arc::new(WorkerMetrics::new(4)))
    }

    fn work(run: RunId, table: u32) -> WorkId {
        WorkId {
            run,
            table: TableId(table),
            attempt: Attempt::FIRST,
        }
    }

    fn claim(ledger: &mut Ledger, work: WorkId) -> Arc<Job> {
        match ledger.admit(work) {
            Admission::Claim(job) => job,
            other => panic!("{other:?}"),
        }
    }

    fn reason(job: &Job) -> Option<StopReason> {
        job.stop.requested().map(|(reason, _)| reason)
    }

    #[test]
    fn a_cancelled_run_stops_and_stays_cancelled() {
        let mut ledger = ledger();
        let (run, other) = (RunId::generate(), RunId::generate());
        let (stopped, untouched) = (
            claim(&mut ledger, work(run, 0)),
            claim(&mut ledger, work(other, 0)),
        );
        ledger.cancel(&Control::CancelRun { run });
        assert_eq!(
            (reason(&stopped), reason(&untouched)),
            (Some(StopReason::Cancelled), None)
        );
        assert!(matches!(ledger.admit(work(run, 1)), Admission::Discard));
    }

    #[test]
    fn a_cancelled_attempt_leaves_the_next_attempt_alone() {
        let mut ledger = ledger();
        let first = work(RunId::generate(), 0);
        ledger.cancel(&Control::CancelAttempt { work: first });
        assert!(matches!(ledger.admit(first), Admission::Discard));
        let next = WorkId {
            attempt: first.attempt.next(),
            ..first
        };
        assert_eq!(reason(&claim(&mut ledger, next)), None);
    }

    #[test]
    fn a_running_attempt_is_not_claimed_twice() {
        let mut ledger = ledger();
        let work = work(RunId::generate(), 0);
        claim(&mut ledger, work).set_claimed();
        assert!(matches!(ledger.admit(work), Admission::Discard));
        assert_eq!(ledger.len(), 1);
    }

    #[test]
    fn an_attempt_that_ended_here_does_not_start_again() {
        let mut ledger = ledger();
        let run = RunId::generate();
        let (ended, lost) = (work(run, 0), work(run, 1));
        let job = claim(&mut ledger, ended);
        job.set_claimed();
        ledger.release(ended, &job);
        assert!(matches!(ledger.admit(ended), Admission::Discard));
        // Its acknowledgement was lost, so it has never started.
        let job = claim(&mut ledger, lost);
        ledger.release(lost, &job);
        claim(&mut ledger, lost);
    }

    #[test]
    fn a_delivery_replaces_one_that_was_never_acknowledged() {
        let mut ledger = ledger();
        let work = work(RunId::generate(), 0);
        let first = claim(&mut ledger, work);
        let second = claim(&mut ledger, work);
        assert_eq!(
            (reason(&first), reason(&second)),
            (Some(StopReason::Superseded), None)
        );
        ledger.release(work, &first);
        assert_eq!(
            ledger.owned().len(),
            1,
            "the end of the first attempt must not release the second"
        );
        ledger.release(work, &second);
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn draining_admits_nothing_and_lets_claimed_attempts_continue() {
        let mut ledger = ledger();
        let run = RunId::generate();
        let (claimed, waiting) = (
            claim(&mut ledger, work(run, 0)),
            claim(&mut ledger, work(run, 1)),
        );
        claimed.set_claimed();
        ledger.drain();
        assert_eq!(
            (reason(&claimed), reason(&waiting)),
            (None, Some(StopReason::Draining))
        );
        assert!(matches!(ledger.admit(work(run, 2)), Admission::Requeue));
        ledger.hand_back();
        assert_eq!(reason(&claimed), Some(StopReason::Draining));
    }

    #[test]
    fn the_first_reason_to_stop_stays() {
        let mut ledger = ledger();
        let work = work(RunId::generate(), 0);
        let job = claim(&mut ledger, work);
        ledger.cancel(&Control::CancelAttempt { work });
        ledger.hand_back();
        assert_eq!(reason(&job), Some(StopReason::Cancelled));
    }

    #[test]
    fn old_cancellations_are_forgotten_and_new_ones_are_not() {
        let mut ledger = ledger();
        let run = RunId::generate();
        for table in 0..=u32::try_from(REMEMBERED).unwrap() {
            ledger.cancel(&Control::CancelAttempt {
                work: work(run, table),
            });
        }
        assert!(matches!(ledger.admit(work(run, 0)), Admission::Claim(_)));
        assert!(matches!(ledger.admit(work(run, 1)), Admission::Discard));
    }
}

//! The cancellation of a run, by fail-fast or on request.

use std::time::Duration;

use shared::config::FailFast;
use shared::ids::{TableId, WorkerId};
use shared::message::{Control, WorkId};
use shared::outcome::{Comparison, FailureKind};

use super::table::{MAX_CLAIMS, Phase, Stopping};
use super::table_end::EndedAttempt;
use super::{
    CancelReason, Cancelling, Effect, Notice, RootCause, RunState, TableStatus, Time, Verdict,
};

/// How long a claim may be in transit. A worker that took a table just before
/// the run was cancelled has started it, and the run ends when it has stopped.
pub(super) const CLAIM_IN_FLIGHT: Duration = Duration::from_millis(500);

impl RunState {
    /// The cause to end the run, if `verdict` is one. A verdict that follows
    /// the cancellation of the run is a consequence and never a cause.
    pub(super) fn fail_fast_cause(&self, table: TableId, verdict: &Verdict) -> Option<RootCause> {
        if self.cancelling.is_some() {
            return None;
        }
        let (kind, error) = match (self.limits.fail_fast, verdict) {
            (FailFast::Error | FailFast::Mismatch, Verdict::Failed(failure)) => {
                (failure.kind.clone(), failure.message.clone())
            }
            (FailFast::Mismatch, Verdict::Compared { comparison, .. })
                if verdict.status() == TableStatus::Mismatched =>
            {
                (FailureKind::Mismatch, describe_mismatch(comparison))
            }
            _ => return None,
        };
        Some(RootCause { table, kind, error })
    }

    /// Cancels the run: tables that no worker has claimed end at once, and the
    /// workers are asked to stop the others. Only the first call has an effect. It ends a pause.
    pub(super) fn begin_cancelling(&mut self, reason: CancelReason) {
        if self.cancelling.is_some() || self.completed {
            return;
        }
        self.pausing = None;
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
        self.effects
            .push(Effect::Notice(Notice::Cancelling(reason)));
        self.effects
            .push(Effect::Control(Control::CancelRun { run: self.run }));
        let mut unstarted = unclaimed;
        unstarted.extend(self.queue.drain());
        unstarted.sort_unstable();
        for id in unstarted {
            self.end(EndedAttempt::unclaimed(id), Verdict::Cancelled(reason));
        }
    }

    /// Waits until `workers` have stopped `work`, at most until `until`.
    pub(super) fn await_stop(
        &mut self,
        work: WorkId,
        workers: impl IntoIterator<Item = WorkerId>,
        until: Time,
    ) {
        let stopping = self.stopping.entry(work.table).or_insert_with(|| Stopping {
            attempt: work.attempt,
            workers: Default::default(),
            since: self.now,
            until,
        });
        let free = MAX_CLAIMS.saturating_sub(stopping.workers.len());
        stopping.workers.extend(workers.into_iter().take(free));
    }

    /// The workers did not answer in time: ends the tables that are left.
    pub(super) fn give_up_waiting(&mut self, reason: CancelReason) {
        for id in self.outstanding.clone() {
            self.end(self.current_attempt(id), Verdict::Cancelled(reason));
        }
        self.stopping.clear();
    }
}

fn describe_mismatch(comparison: &Comparison) -> String {
    match comparison.rows {
        Some(rows) => format!(
            "{} rows differ: {} missing, {} extra, {} modified",
            rows.total(),
            rows.missing,
            rows.extra,
            rows.modified
        ),
        None if comparison.source_count != comparison.target_count => format!(
            "{} rows in the source, {} in the target",
            comparison.source_count, comparison.target_count
        ),
        None => "the checksums differ".to_owned(),
    }
}

//! Workers whose heartbeats stopped, and what becomes of their tables.

use shared::ids::{TableId, WorkerId};
use shared::message::Control;
use shared::outcome::{Failure, FailureKind};

use super::suspicion::{Suspicion, blame};
use super::table::{Claim, Phase, Running};
use super::table_end::EndedAttempt;
use super::{Effect, Notice, RunState};

impl RunState {
    /// The workers whose claims have expired.
    pub(super) fn silent_workers(&self) -> Vec<WorkerId> {
        let claims = self
            .outstanding
            .iter()
            .flat_map(|id| self.tables[id.index()].claims());
        let mut silent: Vec<WorkerId> = claims
            .filter(|claim| claim.lease <= self.now)
            .map(|claim| claim.worker.clone())
            .collect();
        silent.sort_unstable();
        silent.dedup();
        silent
    }

    /// The leases of `worker` have expired. A claim that it made after its last heartbeat expires
    /// up to a period later; it is lost with the others.
    pub(super) fn lose_worker(&mut self, worker: &WorkerId) {
        let until = self.now.after(self.fleet.period(worker));
        let mut lost = Vec::new();
        let mut beside_others = false;
        for id in &self.outstanding {
            let Phase::Running(Running { claims, .. }) = &mut self.tables[id.index()].phase else {
                continue;
            };
            let is_lost = |claim: &Claim| claim.worker == *worker && claim.lease <= until;
            let Some(at) = claims.iter().position(is_lost) else {
                continue;
            };
            beside_others |= claims.remove(at).is_beside_other_runs;
            if claims.is_empty() {
                lost.push(*id);
            } else {
                // Another worker runs the same attempt. Whether this one is lost with it shows then.
                beside_others = true;
            }
        }
        let mut suspicions: Vec<Suspicion> = lost
            .iter()
            .map(|id| self.tables[id.index()].suspicion)
            .collect();
        let blamed = blame(&mut suspicions, beside_others);
        for (at, (&id, &suspicion)) in lost.iter().zip(&suspicions).enumerate() {
            self.tables[id.index()].suspicion = suspicion;
            self.lease_expired(id, worker, blamed == Some(at));
        }
    }

    /// The last lease of the current attempt has expired.
    fn lease_expired(&mut self, id: TableId, worker: &WorkerId, is_blamed: bool) {
        let table = &mut self.tables[id.index()];
        table.losses = table.losses.saturating_add(1);
        let (losses, attempt) = (table.losses, table.attempt);
        self.effects.push(Effect::Notice(Notice::LeaseExpired {
            table: id,
            worker: worker.clone(),
        }));
        // The worker may still be alive; then it must stop.
        self.effects.push(Effect::Control(Control::CancelAttempt {
            work: self.work(id, attempt),
        }));
        let consequence = match (is_blamed, losses) {
            (false, _) => {
                "; it ran other tables too, so this does not count as an attempt at this one"
                    .to_owned()
            }
            (true, 1) => String::new(),
            (true, _) => format!(
                ", the {losses}. time that a worker was lost with this table: it may need more memory than the workers have; lower --memory-limit, or give workers more memory or a smaller --concurrency"
            ),
        };
        let message = format!(
            "worker {worker} owned the table and sent no heartbeat for three periods{consequence}"
        );
        let mut failure = Failure::new(FailureKind::WorkerLost, message);
        failure.counts_against_budget = is_blamed;
        let attempt = EndedAttempt {
            worker: Some(worker.clone()),
            ..EndedAttempt::unclaimed(id)
        };
        self.attempt_failed(attempt, failure);
    }

    /// Whether a table under strong suspicion may be dispatched: none is outstanding.
    pub(super) fn may_dispatch_suspect(&self) -> bool {
        self.queue.has_suspects()
            && self
                .outstanding
                .iter()
                .all(|id| self.tables[id.index()].suspicion != Suspicion::Strong)
    }
}

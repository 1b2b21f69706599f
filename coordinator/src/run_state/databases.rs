//! The databases of a run, and workers that cannot run its tables.
//!
//! The first claim that names the database behind an endpoint decides which one the run
//! compares. A worker that finds another one there, or has not configured the endpoint, returns
//! its tasks, or its claim is refused. Such an attempt does not count: the table is dispatched
//! again, as the next attempt, after a pause that grows while no worker claims a table. So a task
//! does not circulate between the broker and a worker that returns it at once.

use shared::identity::{DatabaseIdentity, contradiction};
use shared::ids::{TableId, WorkerId};
use shared::message::{Control, EventBody, TableSpec};
use shared::outcome::{Failure, FailureKind, Outcome};

use super::suspicion::Suspicion;
use super::table::Phase;
use super::table_end::EndedAttempt;
use super::{Effect, Notice, RunState, Time, Verdict};

impl RunState {
    /// The known databases behind the endpoints of a table.
    pub(super) fn databases_of(&self, spec: &TableSpec) -> Vec<DatabaseIdentity> {
        let endpoints = [&spec.source.endpoint, &spec.target.endpoint];
        self.databases
            .iter()
            .filter(|database| endpoints.contains(&&database.endpoint))
            .cloned()
            .collect()
    }

    /// The databases of the run, source and target, once a worker has named them.
    pub(crate) fn databases(&self) -> Option<(DatabaseIdentity, DatabaseIdentity)> {
        let spec = &self.tables.first()?.planned.spec;
        let of = |endpoint: &str| {
            let mut known = self.databases.iter();
            known.find(|known| known.endpoint == endpoint).cloned()
        };
        Some((of(&spec.source.endpoint)?, of(&spec.target.endpoint)?))
    }

    /// All databases that are known, for the store.
    pub(crate) fn known_databases(&self) -> &[DatabaseIdentity] {
        &self.databases
    }

    /// What the report says about the databases of the workers.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.refusals.notes().cloned().collect();
        if !self.databases.is_empty() {
            notes.extend(self.refusals.undeclared().map(|worker| {
                format!(
                    "worker {worker} did not report which databases it compared; use workers of this version"
                )
            }));
        }
        notes
    }

    /// Checks an event of the current attempt against the databases of the run. Returns whether
    /// the event counts; otherwise the attempt of `worker` has been refused.
    pub(super) fn admit(
        &mut self,
        id: TableId,
        worker: &WorkerId,
        databases: Vec<DatabaseIdentity>,
        body: &EventBody,
    ) -> bool {
        if let Some(failure) = refused_elsewhere(body) {
            self.failed_there(id, worker, failure.clone(), None);
            return false;
        }
        if let Some(failure) = returned(body) {
            self.refuse(
                id,
                worker,
                failure.kind.clone(),
                failure.message.clone(),
                false,
            );
            return false;
        }
        if let Some(reason) = contradiction(&databases, &self.databases) {
            let is_running = !matches!(body, EventBody::Finished { .. });
            self.refuse(id, worker, FailureKind::OtherDatabase, reason, is_running);
            return false;
        }
        if databases.is_empty() {
            if is_result(body) {
                self.refusals.note_undeclared(worker);
            }
        } else {
            self.fleet.mark_fit(worker);
            self.fleet.note_contact(worker, self.now);
            self.learn(databases);
        }
        if matches!(body, EventBody::Claimed | EventBody::Finished { .. }) {
            self.refusals.end_pause(self.now);
        }
        true
    }

    fn learn(&mut self, databases: Vec<DatabaseIdentity>) {
        let before = self.databases.len();
        for database in databases {
            let mut known = self.databases.iter();
            if !known.any(|known| known.endpoint == database.endpoint) {
                self.databases.push(database);
            }
        }
        if self.databases.len() > before {
            self.effects.push(Effect::DatabasesKnown);
        }
    }

    /// Takes the table from a worker that cannot run it, and dispatches it again. If another
    /// worker has claimed the same attempt, that one goes on.
    fn refuse(
        &mut self,
        id: TableId,
        worker: &WorkerId,
        kind: FailureKind,
        reason: String,
        is_running: bool,
    ) {
        let notice = format!("worker {worker} cannot compare tables of this run: {reason}");
        if kind == FailureKind::OtherDatabase {
            self.refusals.note(notice.clone());
        }
        if self.fleet.mark_unfit(worker, reason) {
            self.effects
                .push(Effect::Notice(Notice::UnfitWorker(notice)));
        }
        self.refusals.pause(self.now);
        let work = self.work(id, self.tables[id.index()].attempt);
        if let Phase::Running(running) = &mut self.tables[id.index()].phase {
            running.claims.retain(|claim| claim.worker != *worker);
            if !running.claims.is_empty() {
                return;
            }
        }
        if is_running {
            self.effects
                .push(Effect::Control(Control::CancelAttempt { work }));
        }
        if let Some(cancelling) = self.cancelling {
            let attempt = EndedAttempt::unclaimed(id);
            return self.end(attempt, Verdict::Cancelled(cancelling.reason));
        }
        self.begin_next_attempt(id);
        self.requeue(id);
    }

    /// The table waits for its next attempt.
    pub(super) fn begin_next_attempt(&mut self, id: TableId) {
        let table = &mut self.tables[id.index()];
        table.phase = Phase::Waiting;
        table.attempt = table.attempt.next();
        table.adopted = false;
        self.outstanding.remove(&id);
    }

    /// The table is ready for dispatch.
    pub(super) fn requeue(&mut self, id: TableId) {
        let table = &self.tables[id.index()];
        if table.suspicion == Suspicion::Strong {
            self.queue.push_suspect(id);
        } else {
            self.queue.push(id, &table.planned);
        }
    }

    /// Whether dispatch waits: after a refusal, or until a worker is alive that has the endpoints.
    pub(super) fn is_held_off(&self) -> bool {
        self.refusals.until > self.now || self.fleet.lacks_endpoints()
    }

    /// When the pause after a refusal ends, if it has not.
    pub(super) fn pause_ends(&self) -> Option<Time> {
        Some(self.refusals.until).filter(|&until| until > self.now && self.queue.has_ready(true))
    }
}

/// The failure with which a worker returns a task that it cannot run.
fn returned(body: &EventBody) -> Option<&Failure> {
    match body {
        EventBody::Finished { outcome, .. } => match &**outcome {
            Outcome::Refused(failure) => Some(failure),
            Outcome::Failed(failure) => Some(failure).filter(|failure| failure.kind.is_misplaced()),
            _ => None,
        },
        _ => None,
    }
}

/// The failure with which a worker returns a task for a reason that may pass, or that concerns
/// this table only.
fn refused_elsewhere(body: &EventBody) -> Option<&Failure> {
    match body {
        EventBody::Finished { outcome, .. } => match &**outcome {
            Outcome::Refused(failure) => Some(failure).filter(|failure| !failure.origin.is_table()),
            _ => None,
        },
        _ => None,
    }
}

fn is_result(body: &EventBody) -> bool {
    matches!(body, EventBody::Finished { outcome, .. } if matches!(**outcome, Outcome::Compared(_)))
}

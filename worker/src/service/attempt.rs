//! One attempt at one table: claims the task, runs the engine, publishes the outcome.
//!
//! The order makes it safe. The broker confirms `Claimed` before the delivery
//! is acknowledged, so the task is always in the queue, or known to the
//! coordinator as this worker's, or both. The broker confirms `Finished` before
//! the delivery is dropped, so the slot becomes free only when the outcome is safe.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::identity::{DatabaseIdentity, contradiction};
use shared::message::{EventBody, Task};
use shared::outcome::{Comparison, Failure, FailureKind, FailureOrigin, OpenSession, Outcome};
use shared::transport::{Delivery, Ownership, TransportError};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument as _;

use super::attempt_span::AttemptSpan;
use super::findings::{self, Published};
use super::ledger::Job;
use super::limits;
use super::options::WorkerOptions;
use super::outcome_size::fitted;
use super::panics;
use super::resources::{Reporter, WorkerResources};
use super::stop::{StopReason, StopSignal};
use crate::engine::{RunningStatements, Stop, TaskContext};

/// Capacity, in batches, of the channel between the engine and the transport. A batch may be one
/// statement with a value of many MiB.
const QUEUED_BATCHES: usize = 1;

/// How long an engine may take to stop after a request. After that its task is
/// aborted, so that a stuck database cannot occupy a slot for ever.
const STOP_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct AttemptRun {
    pub(super) delivery: Delivery<Task>,
    pub(super) job: Arc<Job>,
    pub(super) resources: Arc<WorkerResources>,
}

impl AttemptRun {
    /// Runs the attempt to its end. Dropping the delivery then frees the slot.
    pub(super) async fn run(self) {
        let (delivery, worker) = (&self.delivery, &self.resources.options.id);
        let span = AttemptSpan::begin(&delivery.message, &delivery.trace, worker);
        let entered = span.span.clone();
        self.claim_and_compare(span).instrument(entered).await;
    }

    async fn claim_and_compare(self, span: AttemptSpan) {
        // The coordinator's timer for the table starts later, when it receives the claim.
        let begin = Instant::now();
        let (databases, failure) = match self.refusal() {
            Some(failure) => (Vec::new(), Err(failure)),
            None => self.find_databases().await,
        };
        let reporter = Reporter {
            resources: Arc::clone(&self.resources),
            work: self.delivery.message.work(),
            trace: span.trace.clone(),
            databases: databases.clone(),
        };
        let failure = match failure {
            Ok(failure) => failure,
            Err(refusal) => {
                let outcome = Outcome::Refused(refusal);
                span.record(&outcome, begin.elapsed());
                return self.refuse(&reporter, outcome).await;
            }
        };
        if !self.claim(&reporter).await {
            return;
        }
        let ended = match (self.job.stop.requested(), failure) {
            // The request came before the claim, or while it was being published.
            (Some((reason, since)), _) => match stop_outcome(reason, since) {
                Some(outcome) => Ended::before_comparison(outcome),
                None => return,
            },
            (None, Some(failure)) => Ended::before_comparison(Outcome::Failed(failure)),
            (None, None) => self.compare(&reporter, databases).await,
        };
        let duration = begin.elapsed();
        self.resources
            .record_health(&self.delivery.message.spec, &ended.outcome);
        span.record(&ended.outcome, duration);
        self.report(&reporter, ended, duration).await;
    }

    /// Why this worker does not try the task, though another one may.
    fn refusal(&self) -> Option<Failure> {
        let (resources, task) = (&self.resources, &self.delivery.message);
        let WorkerOptions { id, limits, .. } = &resources.options;
        let above = limits::check(limits, &task.spec, &*resources.engine).err();
        above.or_else(|| {
            let failed_before = task.avoid.contains(id).then(|| {
                let message = "it has failed at the table before, other workers are to try it";
                Failure::new(FailureKind::HandedBack, message).in_origin(FailureOrigin::Worker)
            });
            failed_before.or_else(|| resources.unavailable(&task.spec))
        })
    }

    /// The databases behind the endpoints of the task, and why the task fails in them; as an error
    /// why the worker returns it.
    async fn find_databases(&self) -> (Vec<DatabaseIdentity>, Result<Option<Failure>, Failure>) {
        let (engine, task) = (&self.resources.engine, &self.delivery.message);
        let refusal = |kind, reason: String| Err(Failure::new(kind, reason).uncounted());
        if let Some(known) = self.resources.served_endpoints()
            && let Some(missing) = [&task.spec.source.endpoint, &task.spec.target.endpoint]
                .into_iter()
                .find(|endpoint| !known.contains(endpoint))
        {
            let reason = format!("it has no endpoint `{missing}`, or does not serve it");
            return (Vec::new(), refusal(FailureKind::UnknownEndpoint, reason));
        }
        let found = tokio::select! {
            found = engine.databases(&task.spec) => found,
            // The claim follows, and the reason for the stop with it.
            () = self.job.stop.token.cancelled() => Ok(Vec::new()),
        };
        match found {
            Err(failure) => (Vec::new(), Ok(Some(failure))),
            Ok(databases) => match contradiction(&databases, &task.databases) {
                Some(reason) => (databases, refusal(FailureKind::OtherDatabase, reason)),
                None => (databases, Ok(None)),
            },
        }
    }

    /// Returns a task that this worker cannot run to the coordinator, without a claim.
    async fn refuse(&self, reporter: &Reporter, outcome: Outcome) {
        if !self.delivery.is_current() {
            return;
        }
        self.resources.metrics.record_outcome(&outcome, true);
        let returned = EventBody::Finished {
            outcome: Box::new(fitted(outcome, reporter.room())),
            batches: 0,
            duration_ms: 0,
            unconfirmed: Vec::new(),
        };
        match reporter.publish(returned).await {
            Ok(()) | Err(TransportError::Unroutable(_)) => discard(&self.delivery).await,
            // The delivery stays unacknowledged, so the broker requeues the task.
            Err(error) => tracing::error!(
                "the task could not be handed back; it returns to its queue: {error}"
            ),
        }
    }

    /// Whether this worker owns the task now.
    async fn claim(&self, reporter: &Reporter) -> bool {
        if !self.delivery.is_current() {
            tracing::debug!("the delivery was lost before the task was claimed");
            return false;
        }
        match reporter.publish(EventBody::Claimed).await {
            Ok(()) => {}
            Err(error @ TransportError::Unroutable(_)) => {
                tracing::info!("the run is over; its task is discarded: {error}");
                discard(&self.delivery).await;
                return false;
            }
            // The delivery stays unacknowledged, so the broker requeues the task.
            Err(TransportError::Closed) => return false,
            Err(error) => {
                tracing::error!(
                    "the claim could not be published; the task returns to its queue: {error}"
                );
                return false;
            }
        }
        match self.delivery.ack().await {
            Ownership::Owned => {
                self.job.set_claimed();
                true
            }
            Ownership::Lost => {
                tracing::info!(
                    "the delivery was lost while the task was being claimed; the broker delivers it again"
                );
                false
            }
        }
    }

    /// Runs the engine to its end.
    async fn compare(&self, reporter: &Reporter, databases: Vec<DatabaseIdentity>) -> Ended {
        let stop = &self.job.stop;
        let (findings, batches) = mpsc::channel(QUEUED_BATCHES);
        let running_statements = Arc::new(RunningStatements::default());
        let context = TaskContext {
            cancel: stop.token.clone(),
            progress: Arc::clone(&self.job.progress),
            running: Arc::clone(&running_statements),
            findings,
        };
        let engine = Arc::clone(&self.resources.engine);
        let mut task = self.delivery.message.clone();
        // The engine may only compare in the databases of the claim.
        task.databases = databases;
        let is_redacted = task.spec.options.redaction.is_some();
        if is_redacted {
            panics::redact_panic_messages();
        }
        // In a task of its own: a panic becomes an outcome, and hashing runs on
        // the runtime's other threads.
        let running =
            tokio::spawn(async move { engine.reconcile(&task, &context).await }.in_current_span());
        let spec = &self.delivery.message.spec;
        let limit = spec.timeout.saturating_add(self.resources.options.backstop);
        let (result, published) = tokio::join!(
            supervise(running, stop, limit),
            findings::publish(reporter, batches)
        );
        let (mut outcome, batches) = match published {
            Ok(Published { batches, cut_rows }) => {
                let table = spec.source.table.to_string();
                let mut outcome = resolve_outcome(result, stop.requested(), &table, is_redacted);
                note_cut_rows(&mut outcome, cut_rows);
                (outcome, batches)
            }
            // A comparison without all its findings would be a wrong result.
            Err(error) => (Outcome::Failed(unpublished(&error)), 0),
        };
        let unconfirmed = running_statements.unconfirmed();
        if let Some(warning) = OpenSession::warning(&unconfirmed) {
            tracing::warn!("{warning}");
            if let Outcome::Failed(failure) = &mut outcome {
                failure.message = format!("{}; {warning}", failure.message);
            }
        }
        Ended {
            outcome,
            batches,
            unconfirmed,
        }
    }

    async fn report(&self, reporter: &Reporter, ended: Ended, duration: Duration) {
        let Ended {
            outcome,
            batches,
            unconfirmed,
        } = ended;
        let outcome = fitted(outcome, reporter.room());
        self.resources
            .metrics
            .record_outcome(&outcome, unconfirmed.is_empty());
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let finished = |outcome| EventBody::Finished {
            outcome: Box::new(outcome),
            batches,
            duration_ms,
            unconfirmed: unconfirmed.clone(),
        };
        let mut published = reporter.publish(finished(outcome)).await;
        if let Err(error @ TransportError::TooLarge(_)) = &published {
            // The broker allows less than this worker's configuration says.
            published = reporter
                .publish(finished(Outcome::Failed(unpublished(error))))
                .await;
        }
        match published {
            Ok(()) => {}
            Err(error @ TransportError::Unroutable(_)) => {
                tracing::info!("the run is over; the outcome is discarded: {error}")
            }
            // The lease expires, and the coordinator dispatches the table again.
            Err(error) => tracing::error!("the outcome could not be published: {error}"),
        }
    }
}

/// Acknowledges the delivery of a task that is not run.
pub(super) async fn discard(delivery: &Delivery<Task>) {
    if delivery.ack().await == Ownership::Lost {
        tracing::debug!("the delivery of a discarded task was lost; the broker delivers it again");
    }
}

/// How an attempt ended.
struct Ended {
    outcome: Outcome,
    /// How many batches of findings were published.
    batches: u32,
    /// The sessions in which a statement may still run.
    unconfirmed: Vec<OpenSession>,
}

impl Ended {
    fn before_comparison(outcome: Outcome) -> Self {
        Self {
            outcome,
            batches: 0,
            unconfirmed: Vec::new(),
        }
    }
}

/// What the engine's task returned.
type EngineResult = Result<Result<Comparison, Stop>, JoinError>;

/// Waits for the engine; requests a stop after `limit`, and aborts its task if
/// it does not stop within [`STOP_LIMIT`].
async fn supervise(
    mut running: JoinHandle<Result<Comparison, Stop>>,
    stop: &StopSignal,
    limit: Duration,
) -> EngineResult {
    tokio::select! {
        biased;
        result = &mut running => return result,
        () = stop.token.cancelled() => {}
        () = tokio::time::sleep(limit) => stop.request(StopReason::Overdue),
    }
    match tokio::time::timeout(STOP_LIMIT, &mut running).await {
        Ok(result) => result,
        Err(_) => {
            tracing::error!(
                "the engine did not stop within {} s and was aborted",
                STOP_LIMIT.as_secs()
            );
            running.abort();
            running.await
        }
    }
}

/// The outcome of an attempt. A failure after a request to stop is a
/// consequence of the request; a complete comparison counts all the same.
fn resolve_outcome(
    result: EngineResult,
    requested: Option<(StopReason, Duration)>,
    table: &str,
    is_redacted: bool,
) -> Outcome {
    let stopped = requested.and_then(|(reason, since)| stop_outcome(reason, since));
    match result {
        Ok(Ok(comparison)) => Outcome::Compared(comparison),
        Err(error) if error.is_panic() => Outcome::Failed(Failure::new(
            FailureKind::Panic,
            format!(
                "the comparison of {table} panicked, which is a defect of this program: {}",
                if is_redacted {
                    panics::REDACTED_MESSAGE.to_owned()
                } else {
                    panic_text(error)
                }
            ),
        )),
        Ok(Err(Stop::Failed(failure))) => stopped.unwrap_or(Outcome::Failed(failure)),
        Ok(Err(Stop::Cancelled)) | Err(_) => stopped.unwrap_or_else(|| {
            Outcome::Failed(Failure::new(
                FailureKind::Stopped,
                format!("the comparison of {table} stopped without a request"),
            ))
        }),
    }
}

/// The outcome of an attempt that was asked to stop; none if another delivery
/// of the same task replaced it.
fn stop_outcome(reason: StopReason, since: Duration) -> Option<Outcome> {
    let quiet_after_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    match reason {
        StopReason::Cancelled => Some(Outcome::Cancelled { quiet_after_ms }),
        StopReason::Overdue => Some(Outcome::TimedOut { quiet_after_ms }),
        StopReason::Draining => Some(Outcome::HandedBack),
        StopReason::Superseded => None,
    }
}

fn unpublished(error: &TransportError) -> Failure {
    let failure = Failure::new(
        FailureKind::BrokerError,
        format!("the result could not be sent to the coordinator: {error}"),
    );
    match error {
        // The next attempt would find the same.
        TransportError::TooLarge(_) => failure,
        _ => failure.retryable(),
    }
}

/// Adds a note about rows that were not listed with all their columns.
fn note_cut_rows(outcome: &mut Outcome, cut_rows: u64) {
    if let Outcome::Compared(comparison) = outcome
        && cut_rows > 0
    {
        comparison.notes.push(format!(
            "{cut_rows} listed rows differ in more columns than fit into one message (max_message_size under [broker]); the last of them are not listed"
        ));
    }
}

fn panic_text(error: JoinError) -> String {
    let payload = error.into_panic();
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

//! One attempt at one table: claim it, compare it, say how it ended.
//!
//! The order is what makes it safe. `Claimed` is confirmed by the broker before
//! the delivery is acknowledged, so the work is always in the queue, or known
//! to the coordinator as ours, or both. `Finished` is confirmed before the
//! delivery is let go, so the slot is free only when the result is safe.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::ids::WorkerId;
use shared::message::{Event, EventBody, Task, WorkId};
use shared::outcome::{Comparison, Failure, FailureKind, Outcome};
use shared::transport::{Delivery, Ownership, TraceContext, Transport, TransportError};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument as _;

use super::attempt_span::AttemptSpan;
use super::findings;
use super::ledger::Job;
use super::metrics::WorkerMetrics;
use super::panics;
use super::stop::{StopReason, StopSignal};
use crate::engine::{Engine, Stop, TaskContext};

/// Batches of differing rows between the engine and the transport.
const BATCHES_HELD: usize = 4;

/// How long an engine may take to stop when it is asked to. After that its
/// task is dropped, so that one stuck database cannot hold a slot for ever.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Sends events about one piece of work.
#[derive(Debug)]
pub(super) struct Reporter {
    transport: Arc<dyn Transport>,
    work: WorkId,
    worker: WorkerId,
    trace: TraceContext,
}

impl Reporter {
    pub(super) async fn publish(&self, body: EventBody) -> Result<(), TransportError> {
        let event = Event {
            work: self.work,
            worker: self.worker.clone(),
            body,
        };
        self.transport.publish_event(&event, &self.trace).await
    }
}

/// Everything that one attempt needs.
#[derive(Debug)]
pub(super) struct AttemptRun {
    pub(super) delivery: Delivery<Task>,
    pub(super) job: Arc<Job>,
    pub(super) worker: WorkerId,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) metrics: Arc<WorkerMetrics>,
    /// How long after the table's own timeout the worker stops it by itself.
    pub(super) backstop: Duration,
}

impl AttemptRun {
    /// Runs to the end. Letting go of the delivery frees the slot.
    pub(super) async fn run(self) {
        let span = AttemptSpan::begin(&self.delivery.message, &self.delivery.trace, &self.worker);
        let entered = span.span().clone();
        self.claim_and_compare(span).instrument(entered).await;
    }

    async fn claim_and_compare(self, span: AttemptSpan) {
        let reporter = Reporter {
            transport: Arc::clone(&self.transport),
            work: self.delivery.message.work(),
            worker: self.worker.clone(),
            trace: span.place().clone(),
        };
        // The coordinator's clock for the table starts after this one.
        let begin = Instant::now();
        if !self.claim(&reporter).await {
            return;
        }
        let (outcome, batches) = match self.job.stop.requested() {
            // Somebody asked while the claim was under way.
            Some((reason, since)) => match stopped(reason, since) {
                Some(outcome) => (outcome, 0),
                None => return,
            },
            None => self.compare(&reporter).await,
        };
        let duration = begin.elapsed();
        span.record(&outcome, duration);
        self.report(&reporter, outcome, batches, duration).await;
    }

    /// Whether the work is ours now.
    async fn claim(&self, reporter: &Reporter) -> bool {
        if !self.delivery.is_current() {
            tracing::debug!("its delivery was lost before it was claimed");
            return false;
        }
        match reporter.publish(EventBody::Claimed).await {
            Ok(()) => {}
            Err(error @ TransportError::Unroutable { .. }) => {
                tracing::info!("the run is over, its task is dropped: {error}");
                settle(&self.delivery).await;
                return false;
            }
            // Unanswered, the task goes back into its queue.
            Err(TransportError::Closed) => return false,
            Err(error) => {
                tracing::error!("a task cannot be claimed: {error}");
                return false;
            }
        }
        match self.delivery.ack().await {
            Ownership::Held => {
                self.job.set_claimed();
                true
            }
            Ownership::Lost => {
                tracing::info!(
                    "its delivery was lost while it was claimed; it will be delivered again"
                );
                false
            }
        }
    }

    /// Runs the engine to its end; gives the outcome and the number of batches
    /// of differences that were published.
    async fn compare(&self, reporter: &Reporter) -> (Outcome, u32) {
        let stop = &self.job.stop;
        let (findings, batches) = mpsc::channel(BATCHES_HELD);
        let context = TaskContext {
            cancel: stop.token().clone(),
            progress: Arc::clone(&self.job.progress),
            findings,
        };
        let (engine, task) = (Arc::clone(&self.engine), self.delivery.message.clone());
        let is_redacted = task.spec.options.redaction.is_some();
        if is_redacted {
            panics::leave_messages_out();
        }
        // In a task of its own: a panic there is an outcome here, and hashing
        // runs on the runtime's other threads.
        let running =
            tokio::spawn(async move { engine.reconcile(&task, &context).await }.in_current_span());
        let limit = self
            .delivery
            .message
            .spec
            .timeout
            .saturating_add(self.backstop);
        let (ended, forwarded) = tokio::join!(
            supervise(running, stop, limit),
            findings::forward(reporter, batches)
        );
        let table = &self.delivery.message.spec.source.table;
        match forwarded {
            Ok(batches) => (
                outcome(ended, stop.requested(), &table.to_string(), is_redacted),
                batches,
            ),
            // Without its differences the result would be a wrong one.
            Err(error) => (Outcome::Failed(unsent(&error)), 0),
        }
    }

    async fn report(
        &self,
        reporter: &Reporter,
        outcome: Outcome,
        batches: u32,
        duration: Duration,
    ) {
        self.metrics.ended(&outcome);
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        match reporter
            .publish(EventBody::Finished {
                outcome: Box::new(outcome),
                batches,
                duration_ms,
            })
            .await
        {
            Ok(()) => {}
            Err(error @ TransportError::Unroutable { .. }) => {
                tracing::info!("the run is over, nobody waits for this result: {error}")
            }
            // The lease expires, and the coordinator dispatches the table again.
            Err(error) => tracing::error!("a result could not be sent: {error}"),
        }
    }
}

/// Acknowledges a delivery that is not to be worked on.
pub(super) async fn settle(delivery: &Delivery<Task>) {
    if delivery.ack().await == Ownership::Lost {
        tracing::debug!("a task to be dropped was lost first; it will be delivered again");
    }
}

type Ended = Result<Result<Comparison, Stop>, JoinError>;

/// Waits for the engine; asks it to stop after `limit`, and drops it when it
/// does not stop within [`STOP_LIMIT`].
async fn supervise(
    mut running: JoinHandle<Result<Comparison, Stop>>,
    stop: &StopSignal,
    limit: Duration,
) -> Ended {
    tokio::select! {
        biased;
        ended = &mut running => return ended,
        () = stop.token().cancelled() => {}
        () = tokio::time::sleep(limit) => stop.request(StopReason::Overdue),
    }
    match tokio::time::timeout(STOP_LIMIT, &mut running).await {
        Ok(ended) => ended,
        Err(_) => {
            tracing::error!(
                "did not stop within {} s and is dropped; look for its statements in the databases",
                STOP_LIMIT.as_secs()
            );
            running.abort();
            running.await
        }
    }
}

/// What became of an attempt. A failure after a request to stop is its
/// consequence and not the outcome; a complete result stays one.
fn outcome(
    ended: Ended,
    requested: Option<(StopReason, Duration)>,
    table: &str,
    is_redacted: bool,
) -> Outcome {
    let stopped = requested.and_then(|(reason, since)| stopped(reason, since));
    match ended {
        Ok(Ok(comparison)) => Outcome::Compared(comparison),
        Err(error) if error.is_panic() => Outcome::Failed(Failure::new(
            FailureKind::Panic,
            format!(
                "the comparison of {table} panicked, which is a defect of this program: {}",
                if is_redacted {
                    panics::LEFT_OUT.to_owned()
                } else {
                    panic_text(error)
                }
            ),
        )),
        Ok(Err(Stop::Failed(failure))) => stopped.unwrap_or(Outcome::Failed(failure)),
        Ok(Err(Stop::Cancelled)) | Err(_) => stopped.unwrap_or_else(|| {
            Outcome::Failed(Failure::new(
                FailureKind::Stopped,
                format!("the comparison of {table} stopped without being asked to"),
            ))
        }),
    }
}

/// The outcome of work that was asked to stop; none for work that goes on elsewhere.
fn stopped(reason: StopReason, since: Duration) -> Option<Outcome> {
    let quiet_after_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    match reason {
        StopReason::Cancelled => Some(Outcome::Cancelled { quiet_after_ms }),
        StopReason::Overdue => Some(Outcome::TimedOut { quiet_after_ms }),
        StopReason::Draining => Some(Outcome::HandedBack),
        StopReason::Superseded => None,
    }
}

fn unsent(error: &TransportError) -> Failure {
    Failure::new(
        FailureKind::BrokerError,
        format!("the differing rows could not be sent: {error}"),
    )
    .retryable()
}

fn panic_text(error: JoinError) -> String {
    let payload = error.into_panic();
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

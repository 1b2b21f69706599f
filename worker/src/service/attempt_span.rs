//! The tracing span of an attempt, and the log line about its outcome.

use std::time::Duration;

use shared::ids::WorkerId;
use shared::message::Task;
use shared::outcome::{FailureKind, Outcome};
use shared::telemetry::trace::context;
use shared::transport::TraceContext;
use tracing::Span;
use tracing::field::Empty;

/// The log target of the lines about outcomes, so that they can be selected.
const LOG_TARGET: &str = "worker::table";

/// The attributes of an attempt that exceeded its time.
const TIMEOUT: &str = "timeout";

#[derive(Debug)]
pub(super) struct AttemptSpan {
    pub(super) span: Span,
    /// The trace context that travels with the attempt's events.
    pub(super) trace: TraceContext,
    /// How long the attempt may take.
    timeout: Duration,
}

impl AttemptSpan {
    /// Begins the span as a child of the run's span, which came with the task,
    /// with a link to the previous attempt.
    pub(super) fn begin(task: &Task, from: &TraceContext, worker: &WorkerId) -> Self {
        let span = tracing::info_span!(
            "parallel_reconcile_single_table",
            otel.kind = "consumer",
            run = %task.run,
            table = %task.spec.source.table,
            target = %task.spec.target.table,
            attempt = task.attempt.0,
            worker = %worker,
            status = Empty,
            result = Empty,
            duration_seconds = Empty,
            source_count = Empty,
            target_count = Empty,
            differences = Empty,
            trace_id = Empty,
        );
        context::continue_from(&span, from);
        let trace = context::of(&span);
        // A worker that sends no traces still logs the coordinator's trace id.
        if let Some(id) = trace.trace_id().or(from.trace_id()) {
            span.record("trace_id", id);
        }
        Self {
            span,
            trace,
            timeout: task.spec.timeout,
        }
    }

    /// Records how the attempt ended, `duration` after its claim, and logs it.
    pub(super) fn record(&self, outcome: &Outcome, duration: Duration) {
        let (status, result) = self.classify(outcome, duration);
        let span = &self.span;
        span.record("status", status);
        span.record("result", result);
        let seconds = duration.as_secs_f64();
        span.record("duration_seconds", seconds);
        match outcome {
            Outcome::Compared(comparison) => {
                span.record("source_count", comparison.source_count);
                span.record("target_count", comparison.target_count);
                if let Some(rows) = &comparison.rows {
                    span.record("differences", rows.total());
                }
                tracing::info!(
                    target: LOG_TARGET,
                    result,
                    seconds,
                    source_count = comparison.source_count,
                    target_count = comparison.target_count,
                    "compared"
                );
            }
            Outcome::Failed(failure) => {
                context::fail(span, &failure.kind, &failure.message);
                tracing::warn!(
                    target: LOG_TARGET,
                    r#type = failure.kind.as_str(),
                    retryable = failure.retryable,
                    seconds,
                    "failed: {}",
                    failure.message
                );
            }
            Outcome::TimedOut { quiet_after_ms } | Outcome::Cancelled { quiet_after_ms } => {
                if status == TIMEOUT {
                    let limit = self.timeout.as_secs_f64();
                    let message = format!("not done within {limit} s");
                    context::fail(span, &FailureKind::TimeoutError, &message);
                    tracing::warn!(target: LOG_TARGET, quiet_after_ms, seconds, "stopped: {message}");
                } else {
                    tracing::info!(target: LOG_TARGET, quiet_after_ms, seconds, "cancelled");
                }
            }
            Outcome::Refused(failure) => {
                tracing::info!(target: LOG_TARGET, seconds, "handed back: {failure}")
            }
            Outcome::HandedBack => tracing::info!(target: LOG_TARGET, seconds, "handed back"),
        }
    }

    /// The attributes `status`, which dashboards group by, and `result`, which is finer.
    /// The coordinator enforces the timeout by cancelling the attempt, so a request that
    /// came no sooner than the timeout after the claim was a timeout.
    fn classify(&self, outcome: &Outcome, duration: Duration) -> (&'static str, &'static str) {
        let is_overdue = |quiet_after_ms: u64| {
            duration.saturating_sub(Duration::from_millis(quiet_after_ms)) >= self.timeout
        };
        match outcome {
            Outcome::Compared(comparison) if comparison.is_match() => ("success", "matched"),
            Outcome::Compared(_) => ("success", "mismatched"),
            Outcome::Failed(_) => ("failed", "failed"),
            Outcome::Refused(_) | Outcome::HandedBack => ("failed", "handed_back"),
            Outcome::TimedOut { .. } => (TIMEOUT, TIMEOUT),
            Outcome::Cancelled { quiet_after_ms } if is_overdue(*quiet_after_ms) => {
                (TIMEOUT, TIMEOUT)
            }
            Outcome::Cancelled { .. } => ("failed", "cancelled"),
        }
    }
}

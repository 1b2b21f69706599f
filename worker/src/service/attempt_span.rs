//! The span of an attempt: what traces and log lines say of it.

use std::time::Duration;

use shared::ids::WorkerId;
use shared::message::Task;
use shared::outcome::{FailureKind, Outcome};
use shared::telemetry::trace::context;
use shared::transport::TraceContext;
use tracing::Span;
use tracing::field::Empty;

/// Where the log says what became of tables.
const LOG: &str = "worker::table";

/// The span of one attempt.
#[derive(Debug, Clone)]
pub(super) struct AttemptSpan {
    span: Span,
    place: TraceContext,
    /// How long the table may take.
    timeout: Duration,
}

impl AttemptSpan {
    /// Begins it, as a child of the run's span that came with the task, with a
    /// link to the attempt before.
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
        let place = context::of(&span);
        // A worker that sends no traces of its own still logs whose it works for.
        if let Some(id) = place.trace_id().or(from.trace_id()) {
            span.record("trace_id", id);
        }
        Self {
            span,
            place,
            timeout: task.spec.timeout,
        }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// What travels with the attempt's events.
    pub(super) fn place(&self) -> &TraceContext {
        &self.place
    }

    /// Records how the attempt ended, `duration` after its claim, and logs it.
    pub(super) fn record(&self, outcome: &Outcome, duration: Duration) {
        let result = self.result(outcome, duration);
        let span = &self.span;
        span.record("status", result.status());
        span.record("result", result.word());
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
                    target: LOG,
                    result = result.word(),
                    seconds,
                    source_count = comparison.source_count,
                    target_count = comparison.target_count,
                    "compared"
                );
            }
            Outcome::Failed(failure) => {
                context::fail(span, &failure.kind, &failure.message);
                tracing::warn!(
                    target: LOG,
                    r#type = failure.kind.as_str(),
                    retryable = failure.retryable,
                    seconds,
                    "failed: {}",
                    failure.message
                );
            }
            Outcome::TimedOut { quiet_after_ms } | Outcome::Cancelled { quiet_after_ms } => {
                if result == AttemptResult::Timeout {
                    let limit = self.timeout.as_secs_f64();
                    let message = format!("not done within {limit} s");
                    context::fail(span, &FailureKind::TimeoutError, &message);
                    tracing::warn!(target: LOG, quiet_after_ms, seconds, "stopped: {message}");
                } else {
                    tracing::info!(target: LOG, quiet_after_ms, seconds, "cancelled");
                }
            }
            Outcome::HandedBack => tracing::info!(target: LOG, seconds, "handed back"),
        }
    }

    /// The coordinator cancels what is not done in time: it then began to stop
    /// no sooner than its timeout after the claim.
    fn result(&self, outcome: &Outcome, duration: Duration) -> AttemptResult {
        match outcome {
            Outcome::Compared(comparison) if comparison.is_match() => AttemptResult::Matched,
            Outcome::Compared(_) => AttemptResult::Mismatched,
            Outcome::Failed(_) => AttemptResult::Failed,
            Outcome::HandedBack => AttemptResult::HandedBack,
            Outcome::TimedOut { .. } => AttemptResult::Timeout,
            Outcome::Cancelled { quiet_after_ms } => {
                let asked = duration.saturating_sub(Duration::from_millis(*quiet_after_ms));
                if asked >= self.timeout {
                    AttemptResult::Timeout
                } else {
                    AttemptResult::Cancelled
                }
            }
        }
    }
}

/// How an attempt ended, in more words than its status has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AttemptResult {
    Matched,
    Mismatched,
    Failed,
    Timeout,
    Cancelled,
    HandedBack,
}

impl AttemptResult {
    fn word(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Mismatched => "mismatched",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::HandedBack => "handed_back",
        }
    }

    /// As dashboards know it.
    fn status(self) -> &'static str {
        match self {
            Self::Matched | Self::Mismatched => "success",
            Self::Timeout => "timeout",
            Self::Failed | Self::Cancelled | Self::HandedBack => "failed",
        }
    }
}

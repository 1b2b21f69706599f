//! The trace of a run: its span is the parent of the spans of all attempts.

use std::collections::HashMap;

use shared::failure::FailureKind;
use shared::ids::{Attempt, RunId, TableId};
use shared::message::{Event, EventBody, Task};
use shared::telemetry::trace::context;
use shared::transport::TraceContext;
use tracing::Span;
use tracing::field::Empty;

use crate::report::{RunReport, RunStatus};
use crate::run_state::Paused;

/// The trace of one run; empty when no traces are sent.
#[derive(Debug)]
pub(super) struct RunTrace {
    span: Span,
    context: TraceContext,
    /// The span of each table's latest attempt, from the events of its worker.
    attempts: HashMap<TableId, (Attempt, String)>,
}

impl RunTrace {
    /// A new trace. A resumed run has a new trace, too.
    pub(super) fn begin(run: RunId, tables: usize) -> Self {
        let span = tracing::info_span!(
            parent: None,
            "parallel_reconcile_tables",
            %run,
            run_id = %run,
            table_count = tables,
            max_workers = Empty,
            status = Empty,
            matched = Empty,
            mismatched = Empty,
            failed = Empty,
            timeout = Empty,
            cancelled = Empty,
            duration_seconds = Empty,
            trace_id = Empty,
        );
        let context = context::of(&span);
        if let Some(id) = context.trace_id() {
            span.record("trace_id", id);
        }
        Self {
            span,
            context,
            attempts: HashMap::new(),
        }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.context.trace_id()
    }

    pub(super) fn record_span(&mut self, event: &Event, trace: &TraceContext) {
        if !matches!(event.body, EventBody::Claimed | EventBody::Finished { .. }) {
            return;
        }
        // A worker that sends no traces returns the context of the run.
        let Some(span) = trace
            .traceparent
            .as_ref()
            .filter(|_| trace.trace_id() == self.id() && *trace != self.context)
        else {
            return;
        };
        let work = event.work;
        let latest = self.attempts.get(&work.table);
        if latest.is_none_or(|(attempt, _)| *attempt <= work.attempt) {
            self.attempts
                .insert(work.table, (work.attempt, span.clone()));
        }
    }

    /// The context of a task: the run's span and the span of the previous attempt.
    pub(super) fn of_task(&self, task: &Task) -> TraceContext {
        let previous = self
            .attempts
            .get(&task.table)
            .filter(|(attempt, _)| *attempt < task.attempt)
            .map(|(_, span)| span.clone());
        TraceContext {
            previous,
            ..self.context.clone()
        }
    }

    /// Ends the trace of a run that was paused. A resumed run has another one.
    pub(super) fn end_paused(self, paused: &Paused) {
        let span = &self.span;
        span.record("status", "PAUSED");
        span.record("matched", paused.counts.matched);
        span.record("mismatched", paused.counts.mismatched);
        span.record("failed", paused.counts.failed);
        span.record("timeout", paused.counts.timeout);
        span.record("cancelled", paused.counts.cancelled);
        let left = paused.tables - paused.counts.total();
        let message = format!("the run was paused on request; {left} tables have not ended");
        context::fail(span, &FailureKind::Interrupted, &message);
        context::end(span);
    }

    pub(super) fn end(self, report: &RunReport) {
        let span = &self.span;
        span.record("max_workers", report.max_workers);
        span.record("status", report.status.as_str());
        span.record("matched", report.matched);
        span.record("mismatched", report.mismatched);
        span.record("failed", report.failed);
        span.record("timeout", report.timeout);
        span.record("cancelled", report.cancelled);
        span.record("duration_seconds", report.duration_seconds);
        if report.status == RunStatus::Incomplete {
            let (kind, message) = match (&report.root_cause, report.interrupted) {
                (Some(cause), _) => (&cause.kind, format!("{}: {}", cause.table, cause.error)),
                (None, true) => (
                    &FailureKind::Interrupted,
                    "the run was cancelled on request".to_owned(),
                ),
                (None, false) => {
                    let unverified = report.total_tables - report.successful;
                    (
                        &FailureKind::Unverified,
                        format!("{unverified} tables could not be verified"),
                    )
                }
            };
            context::fail(span, kind, &message);
        }
        // The actor may keep the span for longer than the process waits.
        context::end(span);
    }
}

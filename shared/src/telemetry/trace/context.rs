//! Spans beyond the process that made them: their place in a trace as text,
//! and what cannot be said with a `tracing` span alone.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::transport::TraceContext;

const TRACEPARENT: &str = "traceparent";

/// Where `span` is in its trace; empty when no traces are sent. From now on the
/// span has its parent.
#[must_use]
pub fn of(span: &Span) -> TraceContext {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
    TraceContext {
        traceparent: headers.remove(TRACEPARENT),
        previous: None,
    }
}

/// Makes `span`, which must not have been entered yet, a child of the span that
/// a message came from, with a link to the attempt before.
pub fn continue_from(span: &Span, trace: &TraceContext) {
    if let Some(parent) = remote(trace.traceparent.as_deref()) {
        // Without traces there is nothing to set.
        span.set_parent(Context::new().with_remote_span_context(parent))
            .ok();
    }
    if let Some(previous) = remote(trace.previous.as_deref()) {
        let kind = KeyValue::new("reconcile.link", "previous_attempt");
        span.add_link_with_attributes(previous, vec![kind]);
    }
}

fn remote(traceparent: Option<&str>) -> Option<SpanContext> {
    let headers = HashMap::from([(TRACEPARENT.to_owned(), traceparent?.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

/// Marks `span` as failed, with the error as an `exception` event.
pub fn fail(span: &Span, kind: &str, message: &str) {
    if span.is_disabled() {
        return;
    }
    span.set_status(Status::error(message.to_owned()));
    span.add_event(
        "exception",
        vec![
            KeyValue::new("exception.type", kind.to_owned()),
            KeyValue::new("exception.message", message.to_owned()),
        ],
    );
}

/// Ends `span` now, though somebody may still hold it. What is recorded later is lost.
pub fn end(span: &Span) {
    span.context().span().end();
}

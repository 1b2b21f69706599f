//! The place of spans in a distributed trace, and attributes that the `tracing` crate does not
//! support.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::failure::FailureKind;
use crate::transport::TraceContext;

const TRACEPARENT: &str = "traceparent";

/// The place of `span` in its trace; empty if no traces are exported. The parent of the span cannot
/// be changed afterwards.
#[must_use]
pub fn of(span: &Span) -> TraceContext {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
    TraceContext {
        traceparent: headers.remove(TRACEPARENT),
        previous: None,
    }
}

/// Makes `span` a child of the span in which a message was sent, and links it to the attempt
/// before. The span must not have been entered.
pub fn continue_from(span: &Span, trace: &TraceContext) {
    if let Some(parent) = remote(trace.traceparent.as_deref()) {
        // It fails if no traces are exported.
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
pub fn fail(span: &Span, kind: &FailureKind, message: &str) {
    if span.is_disabled() {
        return;
    }
    span.set_status(Status::error(message.to_owned()));
    span.add_event(
        "exception",
        vec![
            KeyValue::new("exception.type", kind.to_string()),
            KeyValue::new("exception.message", message.to_owned()),
        ],
    );
}

/// Ends `span` now, although other code may still own it. Later records are lost.
pub fn end(span: &Span) {
    span.context().span().end();
}

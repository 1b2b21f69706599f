//! Headers of AMQP messages: the place in a trace, and the signature of the body.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::transport::TraceContext;

/// The place in a trace (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";

/// The span of the attempt before, in the same form.
const PREVIOUS_TRACEPARENT: &str = "reconcile-previous-traceparent";

pub(super) const SIGNATURE: &str = "x-signature";

pub(super) fn of_trace(trace: &TraceContext) -> FieldTable {
    let mut headers = FieldTable::default();
    for (name, span) in [
        (TRACEPARENT, &trace.traceparent),
        (PREVIOUS_TRACEPARENT, &trace.previous),
    ] {
        if let Some(span) = span {
            insert(&mut headers, name, span);
        }
    }
    headers
}

/// The place in a trace that a received message carries.
pub(super) fn trace(properties: &BasicProperties) -> TraceContext {
    TraceContext {
        traceparent: text(properties, TRACEPARENT),
        previous: text(properties, PREVIOUS_TRACEPARENT),
    }
}

pub(super) fn insert(headers: &mut FieldTable, name: &str, text: &str) {
    headers.insert(name.into(), AMQPValue::LongString(text.into()));
}

pub(super) fn text(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

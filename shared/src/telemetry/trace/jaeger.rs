//! Exports spans to a Jaeger agent that only supports Thrift over UDP.
//!
//! Jaeger recommends OTLP, and the exporter for Thrift is unmaintained, so this is an optional
//! feature. The exporter belongs to an older version of OpenTelemetry, so spans are converted to
//! that version here.

#![expect(
    deprecated,
    reason = "the whole exporter is deprecated in favour of OTLP"
)]

use std::net::ToSocketAddrs as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::trace::{SpanContext, SpanKind, Status};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use thrift_api::trace as old;
use thrift_sdk::export::trace::{SpanData as OldSpan, SpanExporter as _};

use super::settings::TraceError;

/// The largest datagram that an agent accepts by default, in bytes.
const LARGEST_DATAGRAM: usize = 65_000;

#[derive(Debug)]
pub(super) struct ThriftExporter {
    exporter: Arc<Mutex<opentelemetry_jaeger::Exporter>>,
}

impl ThriftExporter {
    /// An exporter to `agent`, HOST:PORT, for the process that `resource` describes.
    pub(super) fn new(agent: &str, resource: &Resource) -> Result<Self, TraceError> {
        let unusable = |reason: String| TraceError::Setting {
            place: "--jaeger-agent",
            reason,
        };
        if let Err(error) = agent.to_socket_addrs() {
            return Err(unusable(format!("`{agent}`: {error}, expected HOST:PORT")));
        }
        let attributes = resource
            .iter()
            .map(|(key, value)| attribute(&KeyValue::new(key.clone(), value.clone())));
        let described = thrift_sdk::Resource::new(attributes);
        let exporter = opentelemetry_jaeger::new_agent_pipeline()
            .with_endpoint(agent)
            .with_max_packet_size(LARGEST_DATAGRAM)
            .with_auto_split_batch(true)
            .with_trace_config(thrift_sdk::trace::Config::default().with_resource(described))
            .build_sync_agent_exporter()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self {
            exporter: Arc::new(Mutex::new(exporter)),
        })
    }
}

impl SpanExporter for ThriftExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let batch = batch.iter().map(span).collect();
        let sending = self
            .exporter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .export(batch);
        sending
            .await
            .map_err(|error| OTelSdkError::InternalFailure(error.to_string()))
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.exporter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .shutdown();
        Ok(())
    }
}

/// Converts a span to the older version.
fn span(span: &SpanData) -> OldSpan {
    let mut events = thrift_sdk::trace::SpanEvents::default();
    events.events = span
        .events
        .iter()
        .map(|event| {
            old::Event::new(
                event.name.clone(),
                event.timestamp,
                event.attributes.iter().map(attribute).collect(),
                event.dropped_attributes_count,
            )
        })
        .collect();
    let mut links = thrift_sdk::trace::SpanLinks::default();
    links.links = span
        .links
        .iter()
        .map(|link| {
            old::Link::new(
                context(&link.span_context),
                link.attributes.iter().map(attribute).collect(),
                link.dropped_attributes_count,
            )
        })
        .collect();
    OldSpan {
        span_context: context(&span.span_context),
        parent_span_id: old::SpanId::from_bytes(span.parent_span_id.to_bytes()),
        span_kind: match span.span_kind {
            SpanKind::Client => old::SpanKind::Client,
            SpanKind::Server => old::SpanKind::Server,
            SpanKind::Producer => old::SpanKind::Producer,
            SpanKind::Consumer => old::SpanKind::Consumer,
            SpanKind::Internal => old::SpanKind::Internal,
        },
        name: span.name.clone(),
        start_time: span.start_time,
        end_time: span.end_time,
        attributes: span.attributes.iter().map(attribute).collect(),
        dropped_attributes_count: span.dropped_attributes_count,
        events,
        links,
        status: match &span.status {
            Status::Unset => old::Status::Unset,
            Status::Ok => old::Status::Ok,
            Status::Error { description } => old::Status::error(description.clone()),
        },
        // The exporter has the resource of the process and ignores this one.
        resource: std::borrow::Cow::Owned(thrift_sdk::Resource::empty()),
        instrumentation_lib: thrift_sdk::InstrumentationLibrary::builder("reconcile").build(),
    }
}

fn context(context: &SpanContext) -> old::SpanContext {
    old::SpanContext::new(
        old::TraceId::from_bytes(context.trace_id().to_bytes()),
        old::SpanId::from_bytes(context.span_id().to_bytes()),
        old::TraceFlags::new(context.trace_flags().to_u8()),
        context.is_remote(),
        old::TraceState::NONE,
    )
}

fn attribute(attribute: &KeyValue) -> thrift_api::KeyValue {
    let value: thrift_api::Value = match &attribute.value {
        Value::Bool(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::F64(value) => (*value).into(),
        other => other.as_str().into_owned().into(),
    };
    thrift_api::KeyValue::new(attribute.key.as_str().to_owned(), value)
}

//! A minimal OpenTelemetry collector: receives spans over OTLP by gRPC and HTTP on
//! free ports, and stores them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use prost::Message as _;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::server::{Server, TcpIncoming};

use harness::poll::poll;
use harness::services::ServiceError;

/// A span as it arrived.
#[derive(Debug, Clone)]
pub struct CollectedSpan {
    /// Its service's name.
    pub service: String,
    /// The other attributes of its resource.
    pub resource: BTreeMap<String, String>,
    /// Its trace id, in hexadecimal.
    pub trace: String,
    /// Its span id, in hexadecimal.
    pub id: String,
    /// The id of its parent; empty for a root.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: SpanKind,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Its status.
    pub status: SpanStatus,
    /// The message of its status.
    pub message: String,
    /// Its events: name and attributes.
    pub events: Vec<(String, BTreeMap<String, String>)>,
    /// Its links: trace id and span id.
    pub links: Vec<(String, String)>,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
}

impl CollectedSpan {
    /// An attribute; empty when there is none.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// The attributes of its `exception` event.
    #[must_use]
    pub fn exception(&self) -> Option<&BTreeMap<String, String>> {
        let mut events = self.events.iter();
        events
            .find(|(name, _)| name == "exception")
            .map(|(_, attributes)| attributes)
    }
}

/// The collector. It ends with this value.
#[derive(Debug)]
pub struct Collector {
    spans: Kept,
    grpc: u16,
    http: u16,
    runtime: Option<Runtime>,
}

#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<CollectedSpan>>>);

impl Collector {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When there is no port or no thread for it.
    pub fn start() -> Result<Self, ServiceError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(ServiceError::system("start a Tokio runtime"))?;
        let spans = Kept::default();
        let (listener, grpc) = listen()?;
        let service = TraceServiceServer::new(spans.clone());
        let _context = runtime.enter();
        let incoming = TcpIncoming::from(
            tokio::net::TcpListener::from_std(listener)
                .map_err(ServiceError::system("listen for gRPC"))?,
        );
        runtime.spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );
        let (listener, http) = listen()?;
        let listener = tokio::net::TcpListener::from_std(listener)
            .map_err(ServiceError::system("listen for HTTP"))?;
        let kept = spans.clone();
        let router = axum::Router::new().route(
            "/v1/traces",
            axum::routing::post(move |body: Bytes| {
                let kept = kept.clone();
                async move {
                    match ExportTraceServiceRequest::decode(body) {
                        Ok(request) => {
                            kept.keep(request);
                            (
                                StatusCode::OK,
                                ExportTraceServiceResponse::default().encode_to_vec(),
                            )
                        }
                        Err(error) => (StatusCode::BAD_REQUEST, error.to_string().into_bytes()),
                    }
                }
            }),
        );
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            spans,
            grpc,
            http,
            runtime: Some(runtime),
        })
    }

    /// The endpoint for OTLP over gRPC.
    #[must_use]
    pub fn grpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// The endpoint for OTLP over HTTP.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// The spans received so far.
    #[must_use]
    pub fn spans(&self) -> Vec<CollectedSpan> {
        self.spans.lock().clone()
    }

    /// Waits until the received spans satisfy `condition`.
    ///
    /// # Panics
    ///
    /// When they do not within `bound`; the message lists them.
    pub fn wait_until(
        &self,
        what: &str,
        bound: Duration,
        condition: impl Fn(&[CollectedSpan]) -> bool,
    ) -> Vec<CollectedSpan> {
        let found = poll(bound, || {
            let spans = self.spans();
            condition(&spans).then_some(spans)
        });
        found.unwrap_or_else(|| panic!("not {what} within {bound:?}: {:#?}", self.spans()))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn listen() -> Result<(TcpListener, u16), ServiceError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .map_err(ServiceError::system("listen on a free port"))?;
    listener
        .set_nonblocking(true)
        .map_err(ServiceError::system("listen on a free port"))?;
    let port = listener
        .local_addr()
        .map_err(ServiceError::system("listen on a free port"))?
        .port();
    Ok((listener, port))
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.keep(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Vec<CollectedSpan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, request: ExportTraceServiceRequest) {
        let mut kept = self.lock();
        for of_resource in request.resource_spans {
            let resource = of_resource
                .resource
                .map(|resource| texts(resource.attributes))
                .unwrap_or_default();
            let spans = of_resource.scope_spans.into_iter();
            kept.extend(spans.flat_map(|scope| scope.spans).map(|span| {
                let status = span.status.clone().unwrap_or_default();
                CollectedSpan {
                    service: resource.get("service.name").cloned().unwrap_or_default(),
                    resource: resource.clone(),
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    kind: span.kind(),
                    name: span.name,
                    attributes: texts(span.attributes),
                    status: status.code(),
                    message: status.message,
                    events: span
                        .events
                        .into_iter()
                        .map(|event| (event.name, texts(event.attributes)))
                        .collect(),
                    links: span
                        .links
                        .iter()
                        .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
                        .collect(),
                    start: span.start_time_unix_nano,
                    end: span.end_time_unix_nano,
                }
            }));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes
        .into_iter()
        .map(|attribute| (attribute.key, text(attribute.value)))
        .collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

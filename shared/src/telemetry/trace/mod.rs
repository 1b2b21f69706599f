//! Traces: spans of the `tracing` crate, sent to an OpenTelemetry collector.
//!
//! Nothing outside of this module knows OpenTelemetry. Code makes spans with
//! `tracing`; [`context`] carries them over process borders; a [`Tracing`]
//! sends them, and without one they cost nothing.

pub mod context;
mod exporter;
#[cfg(feature = "jaeger-thrift")]
mod jaeger;
mod settings;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    RetryPolicy, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

use crate::config::OtlpProtocol;

pub use settings::{Destination, TraceError, TraceFlags};

use exporter::{Export, Health};

/// How long the end of a process waits until its last spans are sent.
const FLUSH: Duration = Duration::from_secs(3);

/// The same where sending has failed before.
const FLUSH_IN_VAIN: Duration = Duration::from_millis(300);

/// What turns the spans of this process into traces, for [`crate::logging::init`].
pub type TraceLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Who sends traces.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The service's name, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` says another.
    pub service: &'static str,
    /// Which of several processes of this service it is.
    pub instance: String,
}

/// Sends the traces of this process, until [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Tracing {
    provider: SdkTracerProvider,
    health: Health,
}

impl Tracing {
    /// Starts sending to `destination`. Must be called inside the tokio runtime
    /// that shall do the sending, which must have several threads.
    ///
    /// # Errors
    ///
    /// When the destination's address, or a variable beside it such as
    /// `OTEL_EXPORTER_OTLP_HEADERS`, is not understood. A destination that
    /// cannot be reached is no error: a warning says so, once.
    pub fn start(
        destination: &Destination,
        identity: &Identity,
    ) -> Result<(Self, TraceLayer), TraceError> {
        let health = Health::new(destination.to_string());
        // One try at a time: `Export` knows better when another is worth it.
        let once = RetryPolicy::disabled();
        let provider = match destination {
            Destination::Otlp {
                url,
                protocol: OtlpProtocol::Grpc,
            } => {
                let exporter = opentelemetry_otlp::SpanExporter::builder()
                    .with_tonic()
                    .with_endpoint(url.as_str())
                    .with_retry_policy(once);
                let exporter = if url.scheme() == "https" {
                    exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots())
                } else {
                    exporter
                };
                let exporter = exporter
                    .build()
                    .map_err(|error| TraceError::Exporter(error.to_string()))?;
                provider(exporter, identity, &health)
            }
            Destination::Otlp {
                url,
                protocol: OtlpProtocol::Http,
            } => {
                let exporter = opentelemetry_otlp::SpanExporter::builder()
                    .with_http()
                    .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                    .with_endpoint(url.as_str())
                    .with_retry_policy(once)
                    .build()
                    .map_err(|error| TraceError::Exporter(error.to_string()))?;
                provider(exporter, identity, &health)
            }
            #[cfg(feature = "jaeger-thrift")]
            Destination::JaegerAgent(agent) => provider(
                jaeger::ThriftExporter::new(agent, &resource(identity))?,
                identity,
                &health,
            ),
        };
        let tracer = provider.tracer("reconcile");
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(
                filter_fn(|metadata| {
                    *metadata.level() <= Level::INFO && is_ours(metadata.target())
                })
                .with_max_level_hint(Level::INFO),
            );
        Ok((Self { provider, health }, Box::new(layer)))
    }

    /// Sends what is left, for a few seconds at the most. Spans that end later are lost.
    pub async fn shutdown(self) {
        let Self { provider, health } = self;
        let limit = if health.is_failing() {
            FLUSH_IN_VAIN
        } else {
            FLUSH
        };
        health.close();
        // It blocks, and what it waits for runs on this runtime.
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(limit)).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => health.failed(&error),
            Err(error) => tracing::debug!("sending the last traces: {error}"),
        }
    }
}

/// Whether spans and events of this target come from this program and not from a library.
pub(crate) fn is_ours(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or(target);
    matches!(
        name,
        "shared" | "worker" | "coordinator" | "reconcile" | "reconcile_worker"
    )
}

fn provider<E>(exporter: E, identity: &Identity, health: &Health) -> SdkTracerProvider
where
    E: SpanExporter + 'static,
{
    SdkTracerProvider::builder()
        .with_batch_exporter(Export::new(exporter, health.clone()))
        .with_resource(resource(identity))
        .build()
}

/// Who this process is, with `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` over it.
fn resource(identity: &Identity) -> Resource {
    let ours = [
        KeyValue::new("service.name", identity.service),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", identity.instance.clone()),
        KeyValue::new(
            "host.name",
            gethostname::gethostname().to_string_lossy().into_owned(),
        ),
        KeyValue::new("process.pid", i64::from(std::process::id())),
    ];
    // What the environment names stays; what the SDK makes up does not.
    let given = Resource::builder().build();
    let named = |attribute: &KeyValue| {
        given.get(&attribute.key).is_none_or(|value| {
            attribute.key.as_str() == "service.name"
                && value.as_str().starts_with("unknown_service")
        })
    };
    Resource::builder()
        .with_attributes(ours.into_iter().filter(named))
        .build()
}

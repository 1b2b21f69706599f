//! Traces: spans of the `tracing` crate, exported to an OpenTelemetry collector.
//!
//! Only this module uses OpenTelemetry. Other code creates spans with `tracing`; [`context`] carries
//! their place in the trace to other processes; a [`Tracing`] exports them.

pub mod context;
mod exporter;
#[cfg(feature = "jaeger-thrift")]
mod jaeger;
#[cfg(all(test, feature = "jaeger-thrift"))]
mod jaeger_tests;
mod settings;

use std::sync::Arc;
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

/// How long the end of a process waits for the export of its last spans.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The same if the last export failed.
const FAILING_FLUSH_TIMEOUT: Duration = Duration::from_millis(300);

/// The layer that exports the spans of this process, for [`crate::logging::init`].
pub(crate) type TraceLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The identity of a process in traces.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The name of the service. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` take precedence.
    pub service: &'static str,
    /// Identifies the process among those of the service.
    pub instance: String,
}

/// Exports the traces of this process, until [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Tracing {
    provider: SdkTracerProvider,
    health: Arc<Health>,
}

impl Tracing {
    /// Starts the export to `destination`. Must be called inside the tokio runtime that exports the
    /// spans; it must have several threads.
    ///
    /// # Errors
    ///
    /// When the address, or a variable such as `OTEL_EXPORTER_OTLP_HEADERS`, is invalid. A
    /// destination that cannot be reached is not an error, but logged as one warning.
    pub(crate) fn start(
        destination: &Destination,
        identity: &Identity,
    ) -> Result<(Self, TraceLayer), TraceError> {
        let health = Health::new(destination.to_string());
        // `Export` repeats failed exports.
        let once = RetryPolicy::disabled();
        let provider = match destination {
            Destination::Otlp { url, protocol } => {
                let builder = opentelemetry_otlp::SpanExporter::builder();
                let built = match protocol {
                    OtlpProtocol::Grpc => {
                        let exporter = builder
                            .with_tonic()
                            .with_endpoint(url.as_str())
                            .with_retry_policy(once);
                        if url.scheme() == "https" {
                            exporter
                                .with_tls_config(ClientTlsConfig::new().with_enabled_roots())
                                .build()
                        } else {
                            exporter.build()
                        }
                    }
                    OtlpProtocol::Http => builder
                        .with_http()
                        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                        .with_endpoint(url.as_str())
                        .with_retry_policy(once)
                        .build(),
                };
                let exporter = built.map_err(|error| TraceError::Exporter(error.to_string()))?;
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

    /// Exports the remaining spans, for at most 3 s. Spans that end later are lost.
    pub async fn shutdown(self) {
        let Self { provider, health } = self;
        let limit = if health.is_failing() {
            FAILING_FLUSH_TIMEOUT
        } else {
            FLUSH_TIMEOUT
        };
        health.close();
        // The call blocks, and the export that it waits for runs on this runtime.
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(limit)).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => health.failed(&error),
            Err(error) => tracing::debug!("exporting the last traces: {error}"),
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

fn provider<E>(exporter: E, identity: &Identity, health: &Arc<Health>) -> SdkTracerProvider
where
    E: SpanExporter + 'static,
{
    SdkTracerProvider::builder()
        .with_batch_exporter(Export::new(exporter, Arc::clone(health)))
        .with_resource(resource(identity))
        .build()
}

/// The attributes of this process. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` take
/// precedence.
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
    // The attributes of the environment stay; the default name of the SDK does not.
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

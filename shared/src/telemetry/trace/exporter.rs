//! Exports spans on the runtime of the process, and logs one warning if that fails.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// The pauses between tries to export the same spans.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1200)];

/// The state of the export.
#[derive(Debug)]
pub(super) struct Health {
    destination: String,
    failing: AtomicBool,
    warned: AtomicBool,
    /// Triggered at the end of the process: exports are not repeated any more.
    closing: CancellationToken,
}

impl Health {
    pub(super) fn new(destination: String) -> Arc<Self> {
        Arc::new(Self {
            destination,
            failing: AtomicBool::new(false),
            warned: AtomicBool::new(false),
            closing: CancellationToken::new(),
        })
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// From now on no export is repeated.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// Records a failed export. The first one is logged as a warning.
    pub(super) fn failed(&self, error: &impl Display) {
        self.failing.store(true, Ordering::Relaxed);
        let destination = &self.destination;
        if self.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!("cannot export traces to {destination}: {error}");
        } else {
            tracing::warn!(
                "cannot export traces to {destination}: {error}; the program continues without traces"
            );
        }
    }

    /// Waits before another try; `false` if no further try is allowed.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => !self.closing.is_cancelled(),
            () = self.closing.cancelled() => false,
        }
    }
}

/// Runs `exporter` on the runtime in which this value was created. The SDK calls it on a thread
/// outside of every runtime, where the clients of HTTP and gRPC do not work.
#[derive(Debug)]
pub(super) struct Export<E> {
    exporter: Arc<E>,
    runtime: Handle,
    health: Arc<Health>,
}

impl<E> Export<E> {
    /// Must be called inside a tokio runtime.
    pub(super) fn new(exporter: E, health: Arc<Health>) -> Self {
        Self {
            exporter: Arc::new(exporter),
            runtime: Handle::current(),
            health,
        }
    }
}

impl<E: SpanExporter + 'static> SpanExporter for Export<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (exporter, health) = (Arc::clone(&self.exporter), Arc::clone(&self.health));
        let sending = self.runtime.spawn(send(exporter, batch, health));
        match sending.await {
            Ok(sent) => sent,
            Err(error) => Err(OTelSdkError::InternalFailure(error.to_string())),
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        Arc::get_mut(&mut self.exporter)
            .expect("the resource is set before the first export")
            .set_resource(resource);
    }
}

async fn send<E: SpanExporter>(
    exporter: Arc<E>,
    batch: Vec<SpanData>,
    health: Arc<Health>,
) -> OTelSdkResult {
    for pause in PAUSES {
        match exporter.export(batch.clone()).await {
            Ok(()) => {
                health.failing.store(false, Ordering::Relaxed);
                return Ok(());
            }
            Err(error) => {
                health.failed(&error);
                if !health.pause(pause).await {
                    return Err(error);
                }
            }
        }
    }
    let sent = exporter.export(batch).await;
    if let Err(error) = &sent {
        health.failed(error);
    }
    sent
}

//! What the actor and the attempts of one worker share, and what publishes the events of an attempt.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use shared::envelope::encode;
use shared::identity::DatabaseIdentity;
use shared::message::{Event, EventBody, Side, TableSpec, WorkId};
use shared::outcome::{Failure, Outcome};
use shared::transport::{TraceContext, Transport, TransportError};

use super::health::EndpointHealth;
use super::metrics::WorkerMetrics;
use super::options::WorkerOptions;
use crate::engine::Engine;

/// The pause before the first probe of an endpoint that is not available. It doubles with every
/// further one, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Bytes that the fields of a body take beside its content: names, numbers and brackets.
const BODY_MARGIN: usize = 512;

#[derive(Debug)]
pub(super) struct WorkerResources {
    pub(super) options: WorkerOptions,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) metrics: Arc<WorkerMetrics>,
    pub(super) health: Mutex<EndpointHealth>,
}

impl WorkerResources {
    /// The names of the endpoints whose tasks it takes; `None` if it takes all tasks.
    pub(super) fn served_endpoints(&self) -> Option<Vec<String>> {
        let mut endpoints = self.engine.endpoints()?;
        if let Some(served) = &self.options.limits.endpoints {
            endpoints.retain(|endpoint| served.contains(endpoint));
        }
        Some(endpoints)
    }

    /// The endpoints that this worker cannot use at present.
    pub(super) fn health(&self) -> MutexGuard<'_, EndpointHealth> {
        self.health.lock().expect("no panic while the lock is held")
    }

    /// Why a task with these endpoints is returned: one of them is not available here.
    pub(super) fn unavailable(&self, spec: &TableSpec) -> Option<Failure> {
        let unavailable = |side: &Side| self.health().refusal(&side.endpoint);
        unavailable(&spec.source).or_else(|| unavailable(&spec.target))
    }

    /// Records what the outcome of an attempt says of its endpoints. An endpoint that is no longer
    /// available is probed until it is again.
    pub(super) fn record_health(self: &Arc<Self>, spec: &TableSpec, outcome: &Outcome) {
        let endpoints = [&*spec.source.endpoint, &*spec.target.endpoint];
        let lost = self.health().record(endpoints, outcome);
        if let Some(endpoint) = lost.filter(|_| self.options.has_peers) {
            self.health().suspend(&endpoint);
            probe_until_available(self, endpoint);
        }
    }
}

/// Connects to `endpoint` with growing pauses until that succeeds or the worker has ended.
fn probe_until_available(resources: &Arc<WorkerResources>, endpoint: String) {
    let resources = Arc::downgrade(resources);
    let mut pause = FIRST_PAUSE;
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(pause).await;
            let Some(resources) = resources.upgrade() else {
                return;
            };
            let result = resources.engine.probe(&endpoint).await;
            if resources.health().note_probe(&endpoint, result) {
                tracing::info!(
                    endpoint,
                    "the endpoint is available again, its tasks are taken"
                );
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    });
}

#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) resources: Arc<WorkerResources>,
    pub(super) work: WorkId,
    /// The attempt's span, which travels with every event.
    pub(super) trace: TraceContext,
    /// The databases of the attempt, which travel with every event too: an event may overtake
    /// the claim.
    pub(super) databases: Vec<DatabaseIdentity>,
}

impl Reporter {
    /// Publishes an event; returns when the broker has confirmed it.
    pub(super) async fn publish(&self, body: EventBody) -> Result<(), TransportError> {
        let event = self.event(body);
        let transport = &self.resources.transport;
        transport.publish_event(&event, &self.trace).await
    }

    /// Bytes that the body of an event may take, encoded.
    pub(super) fn room(&self) -> usize {
        let limit = self.resources.transport.message_limit();
        let envelope = encode(&self.event(EventBody::Claimed)).len();
        limit.saturating_sub(envelope + BODY_MARGIN)
    }

    fn event(&self, body: EventBody) -> Event {
        Event {
            work: self.work,
            worker: self.resources.options.id.clone(),
            body,
            databases: self.databases.clone(),
        }
    }
}

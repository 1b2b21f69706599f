//! What the actor and the attempts of one worker share, and what publishes the events of an attempt.

use std::sync::Arc;

use shared::identity::DatabaseIdentity;
use shared::message::{Event, EventBody, WorkId};
use shared::transport::{TraceContext, Transport, TransportError};

use super::metrics::WorkerMetrics;
use super::options::WorkerOptions;
use crate::engine::Engine;

#[derive(Debug)]
pub(super) struct WorkerResources {
    pub(super) options: WorkerOptions,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) metrics: Arc<WorkerMetrics>,
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
        let WorkerResources {
            options, transport, ..
        } = &*self.resources;
        let event = Event {
            work: self.work,
            worker: options.id.clone(),
            body,
            databases: self.databases.clone(),
        };
        transport.publish_event(&event, &self.trace).await
    }
}

//! What the actor and the attempts of one worker share, and what publishes the events of an attempt.

use std::sync::Arc;

use shared::envelope::encode;
use shared::identity::DatabaseIdentity;
use shared::message::{Event, EventBody, WorkId};
use shared::transport::{TraceContext, Transport, TransportError};

use super::metrics::WorkerMetrics;
use super::options::WorkerOptions;
use crate::engine::Engine;

/// Bytes that the fields of a body take beside its content: names, numbers and brackets.
const BODY_MARGIN: usize = 512;

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

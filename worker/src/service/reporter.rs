//! Publishes the events of one attempt.

use std::sync::Arc;

use shared::identity::DatabaseIdentity;
use shared::message::{Event, EventBody, WorkId};
use shared::transport::{TraceContext, TransportError};

use super::resources::WorkerResources;

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
        let event = Event {
            work: self.work,
            worker: self.resources.options.id.clone(),
            body,
            databases: self.databases.clone(),
        };
        self.resources
            .transport
            .publish_event(&event, &self.trace)
            .await
    }
}

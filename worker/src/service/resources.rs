//! What the actor and the attempts of one worker share.

use std::sync::Arc;

use shared::transport::Transport;

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

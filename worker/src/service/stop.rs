//! Asking running work to stop: why, and since when.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// Why work should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The coordinator asked for it.
    Cancelled,
    /// It took longer than even the coordinator's deadline allows.
    Overdue,
    /// The worker is shutting down.
    Draining,
    /// The same work was delivered again, so the delivery that this began with is void.
    Superseded,
}

/// A request to stop. The first reason stays: what comes later is its consequence.
#[derive(Debug, Default)]
pub(super) struct StopSignal {
    token: CancellationToken,
    first: OnceLock<(StopReason, Instant)>,
}

impl StopSignal {
    /// Asks for a stop, unless somebody has already.
    pub(super) fn request(&self, reason: StopReason) {
        if self.first.set((reason, Instant::now())).is_ok() {
            self.token.cancel();
        }
    }

    /// The first reason, and how long ago it was given.
    pub(super) fn requested(&self) -> Option<(StopReason, Duration)> {
        self.first
            .get()
            .map(|(reason, since)| (*reason, since.elapsed()))
    }

    /// Triggered by the first request.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

//! Requests to stop a running attempt: the reason and the time.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// Why an attempt is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The coordinator cancelled the attempt or the run.
    Cancelled,
    /// The attempt exceeded the table's timeout and the worker's backstop.
    Overdue,
    Draining,
    /// The task was delivered again, so the attempt's own delivery is void.
    Superseded,
}

/// A request to stop. Only the first reason is kept: later ones are consequences.
#[derive(Debug, Default)]
pub(super) struct StopSignal {
    /// Triggered by the first request.
    pub(super) token: CancellationToken,
    first: OnceLock<(StopReason, Instant)>,
}

impl StopSignal {
    /// Requests a stop. Has no effect after the first request.
    pub(super) fn request(&self, reason: StopReason) {
        if self.first.set((reason, Instant::now())).is_ok() {
            self.token.cancel();
        }
    }

    /// The first reason, and the time since it was given.
    pub(super) fn requested(&self) -> Option<(StopReason, Duration)> {
        self.first
            .get()
            .map(|(reason, since)| (*reason, since.elapsed()))
    }
}

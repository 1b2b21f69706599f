//! What happens to a run.

use shared::message::{Event, Heartbeat, WorkId};

#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// The run begins. This is the first input; a second one has no effect.
    Begin,
    Event(Event),
    Heartbeat(Heartbeat),
    /// The broker has confirmed the task of [`Effect::Publish`](super::Effect::Publish).
    Published(WorkId),
    /// The broker refused a task, or its answer was lost with the connection.
    PublishFailed {
        work: WorkId,
        reason: String,
        /// Whether another try may succeed.
        retryable: bool,
    },
    /// The broker has confirmed the last `Announce`.
    Announced,
    Cancel,
    /// Stop all attempts and leave the tables that have not ended to a later coordinator.
    Pause,
    /// The transport has closed for good; no further message will arrive.
    Disconnected {
        reason: String,
    },
    /// Time has passed, see [`RunState::next_wakeup`](super::RunState::next_wakeup).
    Tick,
}

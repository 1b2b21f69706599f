//! What is said of a panic where no value may be said.

use std::sync::Once;

/// Stands for the message of a panic.
pub(super) const LEFT_OUT: &str = "its message is left out, since values are redacted";

/// From now on this process tells of a panic only where it happened. A message
/// may hold the value that it is about.
pub(super) fn leave_messages_out() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| match panic.location() {
            Some(location) => tracing::error!("a panic at {location}; {LEFT_OUT}"),
            None => tracing::error!("a panic; {LEFT_OUT}"),
        }));
    });
}

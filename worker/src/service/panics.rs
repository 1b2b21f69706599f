//! Panic messages where values are redacted.

use std::sync::Once;

/// Replaces the message of a panic.
pub(super) const REDACTED_MESSAGE: &str = "the message is omitted because values are redacted";

/// From now on this process logs only the location of a panic, because the
/// message may contain a row's value.
pub(super) fn redact_panic_messages() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| match panic.location() {
            Some(location) => tracing::error!("panic at {location}; {REDACTED_MESSAGE}"),
            None => tracing::error!("panic at an unknown location; {REDACTED_MESSAGE}"),
        }));
    });
}

//! Waits for a condition.

use std::time::{Duration, Instant};

/// Evaluates `condition` until it returns a value or `bound` is over.
/// The pauses grow from 5 to 100 milliseconds.
pub fn poll<T>(bound: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + bound;
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

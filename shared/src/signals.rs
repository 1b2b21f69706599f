//! SIGINT and SIGTERM.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that ends a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// SIGINT, which a terminal sends for Ctrl-C.
    Interrupt,
    /// SIGTERM, which service managers send.
    Terminate,
}

/// Signals within this time of the first one are the same request: `timeout` and service managers
/// signal the process and then its group, and a terminal signals the group.
pub const SAME_REQUEST: Duration = Duration::from_secs(2);

/// Receives both signals. While it exists, neither ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    requests: Requests,
}

impl Signals {
    /// Starts receiving. Must be called inside the tokio runtime.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            requests: Requests::default(),
        })
    }

    /// Waits for the next request.
    pub async fn next(&mut self) {
        self.receive().await;
    }

    /// Waits for the next request, and returns its signal: one later than [`SAME_REQUEST`] after
    /// the first signal of the last request.
    pub async fn receive(&mut self) -> Received {
        loop {
            let received = tokio::select! {
                _ = self.interrupt.recv() => Received::Interrupt,
                _ = self.terminate.recv() => Received::Terminate,
            };
            if self.requests.is_new(Instant::now()) {
                return received;
            }
        }
    }
}

/// Distinguishes requests from repeated signals.
#[derive(Debug, Default)]
struct Requests {
    /// The first signal of the last request.
    last: Option<Instant>,
}

impl Requests {
    fn is_new(&mut self, now: Instant) -> bool {
        let is_new = self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= SAME_REQUEST);
        if is_new {
            self.last = Some(now);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_in_quick_succession_are_one_request() {
        let mut requests = Requests::default();
        let start = Instant::now();
        let mut at = |milliseconds| requests.is_new(start + Duration::from_millis(milliseconds));
        assert!(at(0));
        assert!(!at(0) && !at(1) && !at(1_999), "the same request");
        // The time counts from the first signal, so that a user who repeats it is heard.
        assert!(at(2_000));
        assert!(!at(3_999));
        assert!(at(4_000));
    }

    #[tokio::test]
    async fn both_signals_are_received_as_one_request() {
        use rustix::process::{Signal, getpid, kill_process};

        let mut signals = Signals::listen().unwrap();
        for signal in [Signal::TERM, Signal::INT, Signal::TERM] {
            kill_process(getpid(), signal).unwrap();
        }
        signals.next().await;
        tokio::time::timeout(Duration::from_millis(200), signals.next())
            .await
            .expect_err("the other two are not another request");
    }
}

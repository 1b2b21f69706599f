//! The options of an embedding program's runs, and their validation.

use std::num::NonZeroU32;
use std::time::Duration;

use shared::config::FailFast;

use crate::run_state::{Limits, Window};

/// The most tables that one process may run at a time.
pub const MAX_WORKERS: u32 = shared::config::MAX_PARALLEL_WORKERS;

/// The shortest timeout: time is counted in milliseconds.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// How much longer than the function the coordinator waits for the answer to a cancellation.
const ANSWER: Duration = Duration::from_secs(2);

/// The options of a run.
///
/// ```
/// use std::time::Duration;
/// use coordinator::parallel::{OptionsError, ParallelOptions, ParallelReconciler};
///
/// let options = ParallelOptions {
///     max_workers: 8,
///     timeout_per_table: Duration::from_secs(600),
///     fail_fast: true,
///     ..ParallelOptions::default()
/// };
/// assert!(ParallelReconciler::new(options).is_ok());
///
/// let options = ParallelOptions { max_workers: 0, ..ParallelOptions::default() };
/// assert_eq!(ParallelReconciler::new(options).unwrap_err(), OptionsError::MaxWorkers(0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParallelOptions {
    /// How many tables run at a time, 1 to [`MAX_WORKERS`]. Default: 4.
    pub max_workers: u32,
    /// How long one attempt at a table may take, at least 1 ms. A table can have
    /// its own timeout, see [`Table::timeout`](super::Table::timeout). Default: 3600 s.
    pub timeout_per_table: Duration,
    /// Whether the first table that fails ends the run. A table that differs or
    /// is too slow does not. Default: no.
    pub fail_fast: bool,
    /// How many attempts a table has when its function returns a
    /// [`Failure`](super::Failure) that is `retryable`, from 1. Default: 3.
    pub max_attempts: u32,
    /// How long a function may continue after its token was triggered, before its
    /// future is dropped; at most 60 s. Zero drops it at once. Default: 1 s.
    pub cancel_grace: Duration,
}

impl Default for ParallelOptions {
    fn default() -> Self {
        Self {
            max_workers: 4,
            timeout_per_table: Duration::from_secs(3600),
            fail_fast: false,
            max_attempts: 3,
            cancel_grace: Duration::from_secs(1),
        }
    }
}

/// Why options are not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// There is no worker, or too many.
    #[error("max_workers is {0}; it must be from 1 to {MAX_WORKERS}")]
    MaxWorkers(u32),
    /// The timeout is too short.
    #[error("timeout_per_table is {0:?}; it must be at least 1 ms")]
    Timeout(Duration),
    /// There is no attempt.
    #[error("max_attempts is 0; it must be at least 1")]
    MaxAttempts,
}

impl ParallelOptions {
    /// How many functions run at a time, and the limits of the run.
    pub(super) fn validate(self) -> Result<(u16, Limits), OptionsError> {
        let too_many_or_none = OptionsError::MaxWorkers(self.max_workers);
        if self.max_workers > MAX_WORKERS {
            return Err(too_many_or_none);
        }
        if self.timeout_per_table < SHORTEST {
            return Err(OptionsError::Timeout(self.timeout_per_table));
        }
        let window = NonZeroU32::new(self.max_workers).ok_or(too_many_or_none)?;
        let limits = Limits {
            window: Window::Fixed(window),
            lone_worker: true,
            max_attempts: NonZeroU32::new(self.max_attempts).ok_or(OptionsError::MaxAttempts)?,
            fail_fast: if self.fail_fast {
                FailFast::Error
            } else {
                FailFast::Off
            },
            cancel_grace: self.cancel_grace.saturating_add(ANSWER),
            ..Limits::default()
        };
        let concurrency = u16::try_from(self.max_workers).map_err(|_| too_many_or_none)?;
        Ok((concurrency, limits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_documented() {
        let (concurrency, limits) = ParallelOptions::default().validate().unwrap();
        assert_eq!(concurrency, 4);
        let timeout = ParallelOptions::default().timeout_per_table;
        assert_eq!(timeout, Duration::from_secs(3600));
        assert_eq!(limits.fail_fast, FailFast::Off);
    }

    #[test]
    fn what_cannot_run_is_refused_with_its_name() {
        let valid = ParallelOptions::default();
        for (options, error, name) in [
            (
                ParallelOptions {
                    max_workers: 0,
                    ..valid
                },
                OptionsError::MaxWorkers(0),
                "max_workers is 0",
            ),
            (
                ParallelOptions {
                    max_workers: u32::MAX,
                    ..valid
                },
                OptionsError::MaxWorkers(u32::MAX),
                "1 to 1024",
            ),
            (
                ParallelOptions {
                    timeout_per_table: Duration::ZERO,
                    ..valid
                },
                OptionsError::Timeout(Duration::ZERO),
                "timeout_per_table is 0ns",
            ),
            (
                ParallelOptions {
                    max_attempts: 0,
                    ..valid
                },
                OptionsError::MaxAttempts,
                "max_attempts is 0",
            ),
        ] {
            let found = options.validate().unwrap_err();
            assert_eq!(found, error);
            assert!(found.to_string().contains(name), "{found}");
        }
    }
}

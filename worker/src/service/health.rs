//! Endpoints that this worker cannot use: after a refused login, or some other failures in a row,
//! it returns their tasks, until it can connect again.

use std::collections::BTreeMap;

use shared::message::UnavailableEndpoint;
use shared::outcome::{Failure, FailureKind, FailureOrigin, Outcome};

/// Failures in a row after which an endpoint is not available. A refused login is one too many:
/// the engine does not repeat it.
const TOLERATED: u32 = 3;

/// The longest reason in a heartbeat, in characters.
const LONGEST_REASON: usize = 256;

/// What the last attempts say of the endpoints of this worker. Pure: it reads no clock.
#[derive(Debug, Default)]
pub(super) struct EndpointHealth {
    /// Endpoints at which the last attempt failed.
    failing: BTreeMap<String, Failing>,
}

#[derive(Debug)]
struct Failing {
    in_a_row: u32,
    last: Failure,
    /// Whether tasks are returned until a probe succeeds.
    is_suspended: bool,
}

impl EndpointHealth {
    /// Records how an attempt with `endpoints` ended. Returns the endpoint at which now the login
    /// was refused, or enough attempts have failed in a row, unless it is suspended.
    pub(super) fn record(&mut self, endpoints: [&str; 2], outcome: &Outcome) -> Option<String> {
        match outcome {
            Outcome::Failed(failure) => match &failure.origin {
                FailureOrigin::Endpoint(name) => self.record_failure(name, failure),
                FailureOrigin::Table => self.record_success(endpoints),
                FailureOrigin::Worker => None,
            },
            Outcome::Compared(_) => self.record_success(endpoints),
            Outcome::Refused(_)
            | Outcome::Cancelled { .. }
            | Outcome::TimedOut { .. }
            | Outcome::HandedBack => None,
        }
    }

    fn record_failure(&mut self, name: &str, failure: &Failure) -> Option<String> {
        let failing = self.failing.entry(name.to_owned());
        let failing = failing.or_insert_with(|| Failing {
            in_a_row: 0,
            last: failure.clone(),
            is_suspended: false,
        });
        failing.in_a_row = failing.in_a_row.saturating_add(1);
        failing.last = failure.clone();
        let is_refused = failure.kind == FailureKind::AuthenticationError;
        let is_lost = (is_refused || failing.in_a_row >= TOLERATED) && !failing.is_suspended;
        is_lost.then(|| name.to_owned())
    }

    /// The attempt had a connection to both. An endpoint that is suspended stays so until a probe
    /// succeeds: the attempt may have connected long ago.
    fn record_success(&mut self, endpoints: [&str; 2]) -> Option<String> {
        self.failing
            .retain(|name, failing| failing.is_suspended || !endpoints.contains(&&**name));
        None
    }

    /// Returns tasks of an endpoint until a probe succeeds.
    pub(super) fn suspend(&mut self, endpoint: &str) {
        if let Some(failing) = self.failing.get_mut(endpoint) {
            failing.is_suspended = true;
        }
    }

    /// Records the result of a probe. Returns whether the endpoint is available again.
    pub(super) fn note_probe(&mut self, endpoint: &str, result: Result<(), Failure>) -> bool {
        match result {
            Ok(()) => {
                self.failing.remove(endpoint);
                true
            }
            Err(failure) => {
                if let Some(failing) = self.failing.get_mut(endpoint) {
                    failing.last = failure;
                }
                false
            }
        }
    }

    /// The failure with which a task of this endpoint is returned, if it is suspended.
    pub(super) fn refusal(&self, endpoint: &str) -> Option<Failure> {
        let failing = self.suspended().find(|(name, _)| *name == endpoint)?.1;
        let message = format!(
            "it takes no tasks of endpoint `{endpoint}` until it can connect; the last failure of {}: {}",
            failing.in_a_row, failing.last.message
        );
        Some(Failure {
            message,
            origin: FailureOrigin::Endpoint(endpoint.to_owned()),
            ..failing.last.clone()
        })
    }

    /// What a heartbeat says.
    pub(super) fn unavailable(&self) -> Vec<UnavailableEndpoint> {
        self.suspended()
            .map(|(name, failing)| UnavailableEndpoint {
                endpoint: name.to_owned(),
                reason: failing.last.message.chars().take(LONGEST_REASON).collect(),
            })
            .collect()
    }

    fn suspended(&self) -> impl Iterator<Item = (&str, &Failing)> {
        self.failing
            .iter()
            .filter(|(_, failing)| failing.is_suspended)
            .map(|(name, failing)| (name.as_str(), failing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [&str; 2] = ["source", "target"];

    fn failed(endpoint: Option<&str>) -> Outcome {
        failed_as(FailureKind::ConnectionError, endpoint)
    }

    fn failed_as(kind: FailureKind, endpoint: Option<&str>) -> Outcome {
        let failure = Failure::new(kind, "refused");
        Outcome::Failed(match endpoint {
            Some(name) => failure.in_origin(FailureOrigin::Endpoint(name.to_owned())),
            None => failure,
        })
    }

    #[test]
    fn the_third_failure_in_a_row_suspends_an_endpoint_until_a_probe_succeeds() {
        let mut health = EndpointHealth::default();
        let lost = [(); 3].map(|()| health.record(BOTH, &failed(Some("target"))));
        assert_eq!(lost, [None, None, Some("target".to_owned())]);
        assert_eq!(health.refusal("target"), None, "without peers it goes on");
        health.suspend("target");
        assert_eq!(health.record(BOTH, &failed(Some("target"))), None, "once");
        let refusal = health.refusal("target").unwrap();
        assert_eq!(refusal.kind, FailureKind::ConnectionError);
        for part in ["`target`", "failure of 4", "refused"] {
            assert!(refusal.message.contains(part), "{refusal}");
        }
        assert_eq!(health.refusal("source"), None);
        assert_eq!(health.unavailable()[0].endpoint, "target");
        let failure = Failure::new(FailureKind::ConnectionError, "gone");
        assert!(!health.note_probe("target", Err(failure)));
        assert_eq!(health.unavailable()[0].reason, "gone");
        assert!(health.note_probe("target", Ok(())));
        assert_eq!(health.unavailable(), []);
        assert_eq!(health.record(BOTH, &failed(Some("target"))), None, "anew");
    }

    #[test]
    fn the_first_refused_login_suspends_an_endpoint() {
        let mut health = EndpointHealth::default();
        let refused = failed_as(FailureKind::AuthenticationError, Some("target"));
        assert_eq!(health.record(BOTH, &refused), Some("target".to_owned()));
        health.suspend("target");
        assert_eq!(health.record(BOTH, &refused), None, "once");
        let refusal = health.refusal("target").unwrap();
        assert_eq!(refusal.kind, FailureKind::AuthenticationError);
    }

    #[test]
    fn an_attempt_that_was_connected_begins_the_count_anew() {
        let mut health = EndpointHealth::default();
        for connected in [failed(None), failed(None)] {
            for _ in 0..2 {
                assert_eq!(health.record(BOTH, &failed(Some("target"))), None);
            }
            health.record(BOTH, &connected);
        }
        health.record(BOTH, &failed(Some("source")));
        health.record(BOTH, &failed(Some("target")));
        assert_eq!(health.record(BOTH, &failed(Some("target"))), None);
    }
}

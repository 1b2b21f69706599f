//! The logins of this process with one endpoint. Servers lock an account after a few refused
//! logins, so one refusal stops all logins of the endpoint: sessions that are wanted later fail at
//! once, with the message of the refusal.
//!
//! Sessions log in one after the other until the server has accepted a login, so that several
//! sessions are not refused at the same time. After that they log in at the same time, because
//! the credentials are known to be right.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use shared::endpoint::Endpoint;

use crate::engine::error::DatabaseError;

/// How long no login is tried after a refusal. Servers forget refused logins within less time,
/// usually 30 minutes or less, so that one refusal an hour locks no account.
const REFUSED_FOR: Duration = Duration::from_secs(60 * 60);

/// How long an accepted login shows that the credentials are right.
const ACCEPTED_FOR: Duration = Duration::from_secs(60);

/// The endpoints of this process that a login was tried with. An endpoint whose configuration was
/// changed is another one.
static ENDPOINTS: Mutex<Vec<(Endpoint, Arc<Logins>)>> = Mutex::new(Vec::new());

#[derive(Debug, Default)]
pub(crate) struct Logins {
    /// The right to try a login while it is not known whether the credentials are right.
    turn: tokio::sync::Mutex<()>,
    history: Mutex<History>,
}

/// What is known of earlier logins. Pure: it reads no clock.
#[derive(Debug, Default)]
struct History {
    accepted: Option<Instant>,
    refused: Option<(Instant, DatabaseError)>,
    /// The last login that did not reach the server.
    unreached: Option<(Instant, DatabaseError)>,
}

/// What to do about a login that is wanted.
#[derive(Debug)]
enum Decision {
    /// It fails without being tried.
    Fail(DatabaseError),
    /// It is tried at once.
    Try,
    /// It is tried when no other one is being tried.
    Wait,
}

impl History {
    /// `wanted` is when the login was wanted first. Another one that has not reached the server
    /// since then answers for it, so that sessions do not wait one after the other for a server
    /// that does not answer.
    fn decide(&self, wanted: Instant, now: Instant) -> Decision {
        match (&self.refused, &self.unreached) {
            (Some((at, error)), _) if now.duration_since(*at) < REFUSED_FOR => {
                Decision::Fail(error.repeated())
            }
            (_, Some((at, error))) if *at >= wanted => Decision::Fail(error.repeated()),
            _ if self.is_accepted(now) => Decision::Try,
            _ => Decision::Wait,
        }
    }

    fn is_accepted(&self, now: Instant) -> bool {
        self.accepted
            .is_some_and(|at| now.duration_since(at) < ACCEPTED_FOR)
    }

    fn record(&mut self, now: Instant, error: Option<&DatabaseError>) {
        match error {
            None => {
                *self = Self {
                    accepted: Some(now),
                    ..Self::default()
                }
            }
            Some(error) if error.is_refused_login() => {
                self.accepted = None;
                self.refused = Some((now, error.repeated()));
            }
            Some(error) if error.is_unreached() => self.unreached = Some((now, error.repeated())),
            Some(_) => {}
        }
    }
}

impl Logins {
    /// The logins of this process with `endpoint`.
    pub(crate) fn of(endpoint: &Endpoint) -> Arc<Self> {
        let mut endpoints = ENDPOINTS.lock().expect("no panic while the lock is held");
        if let Some((_, logins)) = endpoints.iter().find(|(known, _)| known == endpoint) {
            return Arc::clone(logins);
        }
        let logins = Arc::<Self>::default();
        endpoints.push((endpoint.clone(), Arc::clone(&logins)));
        logins
    }

    /// Carries out `login`, unless an earlier one answers for it.
    ///
    /// # Errors
    ///
    /// Those of `login`, or of the one that answers for it.
    pub(crate) async fn log_in<T>(
        &self,
        login: impl Future<Output = Result<T, DatabaseError>>,
    ) -> Result<T, DatabaseError> {
        let wanted = Instant::now();
        let mut decision = self.history().decide(wanted, wanted);
        let mut turn = None;
        if matches!(decision, Decision::Wait) {
            turn = Some(self.turn.lock().await);
            decision = self.history().decide(wanted, Instant::now());
        }
        match decision {
            Decision::Fail(error) => return Err(error),
            Decision::Try => drop(turn.take()),
            Decision::Wait => {}
        }
        let result = login.await;
        self.history().record(Instant::now(), result.as_ref().err());
        result
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history
            .lock()
            .expect("no panic while the lock is held")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;
    use shared::failure::FailureKind;

    use super::*;

    fn refused() -> DatabaseError {
        let class = (FailureKind::AuthenticationError, "");
        DatabaseError::driver(class, "login failed".to_owned(), None, true)
    }

    fn unreached() -> DatabaseError {
        DatabaseError::Network(std::io::ErrorKind::ConnectionRefused.into())
    }

    /// Ten logins at once, each of which ends as `end` says. Returns how many were tried, and
    /// what the sessions were told.
    async fn ten(logins: &Logins, end: fn() -> Result<(), DatabaseError>) -> (u32, Vec<String>) {
        let tried = AtomicU32::new(0);
        let login = || async {
            tried.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            end()
        };
        let ends = join_all((0..10).map(|_| logins.log_in(login()))).await;
        let errors = ends.into_iter().filter_map(Result::err);
        let errors = errors.map(|error| error.to_string()).collect();
        (tried.into_inner(), errors)
    }

    #[tokio::test]
    async fn a_refused_login_is_not_repeated_and_its_message_is() {
        let logins = Logins::default();
        let expected = vec!["login failed".to_owned(); 10];
        assert_eq!(ten(&logins, || Err(refused())).await, (1, expected.clone()));
        assert_eq!(ten(&logins, || Ok(())).await, (0, expected));
    }

    #[tokio::test]
    async fn accepted_logins_are_all_tried() {
        let logins = Logins::default();
        assert_eq!(ten(&logins, || Ok(())).await, (10, Vec::new()));
    }

    #[tokio::test]
    async fn sessions_that_wait_for_a_login_share_its_failure_to_reach_the_server() {
        let logins = Logins::default();
        for _ in 0..2 {
            let (tried, errors) = ten(&logins, || Err(unreached())).await;
            assert_eq!((tried, errors.len()), (1, 10), "{errors:?}");
        }
        assert_eq!(ten(&logins, || Ok(())).await.0, 10);
    }

    #[test]
    fn a_refused_login_is_tried_again_after_an_hour() {
        let mut history = History::default();
        let start = Instant::now();
        history.record(start, Some(&refused()));
        let decide = |history: &History, after: Duration| {
            let now = start + after;
            history.decide(now, now)
        };
        let nearly = REFUSED_FOR - Duration::from_secs(1);
        assert!(matches!(decide(&history, nearly), Decision::Fail(_)));
        assert!(matches!(decide(&history, REFUSED_FOR), Decision::Wait));
        history.record(start + REFUSED_FOR, None);
        assert!(matches!(decide(&history, REFUSED_FOR), Decision::Try));
        let later = REFUSED_FOR + ACCEPTED_FOR;
        assert!(matches!(decide(&history, later), Decision::Wait));
    }
}

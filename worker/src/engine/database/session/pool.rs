//! The pool of sessions, which stay open between tables and are reused.

use std::collections::BTreeMap;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use shared::endpoint::Endpoint;
use shared::failure::{Failure, FailureKind};
use shared::identity::{DatabaseIdentity, contradiction};
use shared::outcome::OpenSession;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::database::kinds::database;
use crate::engine::database::session::idle::wait_until_idle;
use crate::engine::database::session::label::{Access, Activity, Isolation, Label, SessionId};
use crate::engine::database::session::limits::{ANSWER_LIMIT, IDLE_LIMIT, MAX_AGE, within};
use crate::engine::database::session::{Session, interrupt};
use crate::engine::error::DatabaseError;

#[derive(Debug)]
pub(crate) struct Pools(BTreeMap<String, Arc<Pool>>);

#[derive(Debug)]
struct Pool {
    endpoint: Endpoint,
    access: Access,
    idle: Mutex<Vec<IdleSession>>,
    permits: Arc<Semaphore>,
    /// The database that the last new session found.
    found: Mutex<Option<DatabaseIdentity>>,
}

#[derive(Debug)]
struct IdleSession {
    session: Box<dyn Session>,
    connected: Instant,
}

/// A session that one table uses. [`SessionLease::give_back`] returns it to the
/// pool. If the lease is dropped instead, the session is closed.
#[derive(Debug)]
pub(crate) struct SessionLease {
    /// The session, in a transaction.
    pub session: Box<dyn Session>,
    /// How its transaction sees the data.
    pub isolation: Isolation,
    connected: Instant,
    label: Label,
    pool: Arc<Pool>,
    permit: OwnedSemaphorePermit,
}

impl Pools {
    /// Creates a pool for each of `endpoints`. Its limit is the endpoint's
    /// `max_connections`, at least 2. Without that setting, the limit is two sessions
    /// for each of `concurrency` tables.
    pub(crate) fn new(endpoints: BTreeMap<String, Endpoint>, concurrency: u32) -> Self {
        let pools = endpoints
            .into_iter()
            .map(|(name, endpoint)| {
                // Both sides of a table may use this endpoint.
                let permits = endpoint
                    .max_connections
                    .unwrap_or(concurrency.saturating_mul(2))
                    .max(2);
                let permits = Arc::new(Semaphore::new(
                    usize::try_from(permits)
                        .unwrap_or(Semaphore::MAX_PERMITS)
                        .min(Semaphore::MAX_PERMITS),
                ));
                (
                    name,
                    Arc::new(Pool {
                        endpoint,
                        access: Access::Read,
                        idle: Mutex::default(),
                        permits,
                        found: Mutex::default(),
                    }),
                )
            })
            .collect();
        Self(pools)
    }

    /// Reads an endpoint on its primary server only, before any session was opened.
    pub(crate) fn read_primary(&mut self, name: &str) {
        if let Some(pool) = self.0.get_mut(name).and_then(Arc::get_mut) {
            pool.access = Access::ReadPrimary;
        }
    }

    fn pool(&self, name: &str) -> Result<&Arc<Pool>, Failure> {
        self.0.get(name).ok_or_else(|| {
            let known = if self.0.is_empty() {
                "none".to_owned()
            } else {
                self.0.keys().cloned().collect::<Vec<_>>().join(", ")
            };
            Failure::new(
                FailureKind::ConfigurationError,
                format!(
                    "this worker has no endpoint `{name}`; it knows {known}. Add [endpoints.{name}] to its configuration"
                ),
            )
        })
    }

    /// The endpoint of this name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn endpoint(&self, name: &str) -> Result<&Endpoint, Failure> {
        Ok(&self.pool(name)?.endpoint)
    }

    /// The names of the endpoints.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// The schema of tables that are named without one.
    pub(crate) fn schema(&self, name: &str) -> Option<String> {
        Some(self.0.get(name)?.endpoint.schema.clone())
    }

    /// Connects to an endpoint, within its time limit, and closes the connection.
    ///
    /// # Errors
    ///
    /// When the endpoint is unknown or cannot be reached, or refuses the login.
    pub(crate) async fn probe(&self, name: &str) -> Result<(), Failure> {
        let pool = self.pool(name)?;
        let session = pool.connect().await;
        let session = session.map_err(|error| error.without_connection(&pool.endpoint))?;
        interrupt(session).await;
        Ok(())
    }

    /// The databases behind two endpoints, or behind one if both names are the same. Connects
    /// only where no session has been opened before.
    ///
    /// # Errors
    ///
    /// When an endpoint is unknown or cannot be reached, or refuses the login.
    pub(crate) async fn databases(
        &self,
        source: &str,
        target: &str,
    ) -> Result<Vec<DatabaseIdentity>, Failure> {
        let (left, right) = (self.pool(source)?, self.pool(target)?);
        if source == target {
            return Ok(vec![left.database().await?]);
        }
        let (source, target) = tokio::try_join!(left.database(), right.database())?;
        Ok(vec![source, target])
    }

    /// Returns a session for each side of a table, each in a new transaction. Permits
    /// are acquired in the order of the endpoints' names, so that tables cannot
    /// deadlock.
    pub(crate) async fn lease(
        &self,
        source: &str,
        target: &str,
        label: &Label,
    ) -> Result<(SessionLease, SessionLease), Failure> {
        let (left, right) = (self.pool(source)?, self.pool(target)?);
        let (first, second) = if source == target {
            let mut both = left.permits(2).await;
            let one = both.split(1).expect("two were taken");
            (one, both)
        } else if source < target {
            let first = left.permits(1).await;
            (first, right.permits(1).await)
        } else {
            let second = right.permits(1).await;
            (left.permits(1).await, second)
        };
        tokio::try_join!(
            Pool::session(left, first, label),
            Pool::session(right, second, label)
        )
    }
}

/// A session in a new transaction.
struct Begun {
    session: Box<dyn Session>,
    isolation: Isolation,
    connected: Instant,
}

impl Pool {
    async fn permits(&self, count: u32) -> OwnedSemaphorePermit {
        Arc::clone(&self.permits)
            .acquire_many_owned(count)
            .await
            .expect("the semaphore is never closed")
    }

    async fn database(&self) -> Result<DatabaseIdentity, Failure> {
        if let Some(found) = self.found().clone() {
            return Ok(found);
        }
        // While nothing was found, sessions hold their permits only until they are connected.
        let _permit = self.permits(1).await;
        if let Some(found) = self.found().clone() {
            return Ok(found);
        }
        let session = self.connect().await;
        let session = session.map_err(|error| error.without_connection(&self.endpoint))?;
        let found = session.identity().clone();
        self.keep(session, Instant::now());
        Ok(found)
    }

    async fn session(
        pool: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        label: &Label,
    ) -> Result<SessionLease, Failure> {
        let endpoint = &pool.endpoint;
        let mut label = label.clone();
        if let Some(limit) = endpoint.statement_timeout {
            label.statement_timeout = label.statement_timeout.min(limit);
        }
        let begun = match pool.reuse(&label).await {
            Some(begun) => begun,
            None => pool
                .open(&label)
                .await
                .map_err(|error| error.without_connection(endpoint))?,
        };
        Ok(SessionLease {
            session: begun.session,
            isolation: begun.isolation,
            connected: begun.connected,
            label,
            pool: Arc::clone(pool),
            permit,
        })
    }

    /// An idle session in a new transaction. A connection may have been lost while
    /// it was idle: then the next one is tried. If one gives no answer, the others
    /// are not trusted either, so that only one answer is waited for.
    async fn reuse(&self, label: &Label) -> Option<Begun> {
        loop {
            let IdleSession {
                mut session,
                connected,
            } = self.take_idle()?;
            match within(IDLE_LIMIT, session.begin(label)).await {
                Ok(isolation) => {
                    return Some(Begun {
                        session,
                        isolation,
                        connected,
                    });
                }
                Err(error) => {
                    if matches!(error, DatabaseError::Unanswered(_)) {
                        self.idle().clear();
                    }
                    tracing::debug!(endpoint = self.endpoint.name, %error, "an idle session was lost")
                }
            }
        }
    }

    /// The session that was idle last. Those that are too old are closed.
    fn take_idle(&self) -> Option<IdleSession> {
        let mut idle = self.idle();
        idle.retain(|idle| idle.connected.elapsed() < MAX_AGE);
        idle.pop()
    }

    /// Keeps a session for the next table, unless it is too old.
    fn keep(&self, session: Box<dyn Session>, connected: Instant) {
        if connected.elapsed() < MAX_AGE {
            self.idle().push(IdleSession { session, connected });
        }
    }

    async fn connect(&self) -> Result<Box<dyn Session>, DatabaseError> {
        let database = database(self.endpoint.kind);
        let session = database.open(&self.endpoint, self.access).await?;
        *self.found() = Some(session.identity().clone());
        Ok(session)
    }

    async fn open(&self, label: &Label) -> Result<Begun, DatabaseError> {
        let connected = Instant::now();
        let mut session = self.connect().await?;
        let isolation = within(self.endpoint.connect_timeout, session.begin(label)).await?;
        Ok(Begun {
            session,
            isolation,
            connected,
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<IdleSession>> {
        self.idle.lock().expect("no panic while the lock is held")
    }

    fn found(&self) -> MutexGuard<'_, Option<DatabaseIdentity>> {
        self.found.lock().expect("no panic while the lock is held")
    }
}

impl SessionLease {
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.pool.endpoint
    }

    /// The database of the session.
    pub(crate) fn identity(&self) -> &DatabaseIdentity {
        self.session.identity()
    }

    /// The longest that a statement may run.
    pub(crate) fn statement_timeout(&self) -> std::time::Duration {
        self.label.statement_timeout
    }

    /// How the session is listed while a statement of the table runs in it.
    pub(crate) fn listed(&self) -> OpenSession {
        let SessionId { number, name } = self.session.id();
        OpenSession {
            endpoint: self.endpoint().name.clone(),
            number,
            name,
        }
    }

    /// Replaces a session whose connection can no longer be used by one in a new
    /// transaction.
    pub(crate) async fn renew(&mut self) -> Result<(), DatabaseError> {
        let begun = self.pool.open(&self.label).await?;
        interrupt(self.replace(begun)).await;
        Ok(())
    }

    /// The session that was replaced.
    fn replace(&mut self, begun: Begun) -> Box<dyn Session> {
        self.isolation = begun.isolation;
        self.connected = begun.connected;
        std::mem::replace(&mut self.session, begun.session)
    }

    pub(crate) async fn pause(&mut self) -> Result<(), Failure> {
        let ended = within(ANSWER_LIMIT, self.session.end()).await;
        ended.map_err(|error| error.at(self.endpoint(), "cannot end a transaction"))
    }

    /// Begins a new transaction. It sees all data that is committed now. A connection that was
    /// lost since the last one ended is replaced.
    pub(crate) async fn resume(&mut self) -> Result<(), Failure> {
        match within(IDLE_LIMIT, self.session.begin(&self.label)).await {
            Ok(isolation) => self.isolation = isolation,
            Err(error) => {
                tracing::debug!(endpoint = self.endpoint().name, %error, "a session was lost between two transactions");
                self.reconnect().await?;
            }
        }
        Ok(())
    }

    async fn reconnect(&mut self) -> Result<(), Failure> {
        let begun = self.pool.open(&self.label).await;
        let begun = begun.map_err(|error| error.at(self.endpoint(), "cannot connect"))?;
        let (found, known) = (begun.session.identity(), self.session.identity());
        if let Some(reason) = contradiction(slice::from_ref(found), slice::from_ref(known)) {
            let message = format!("the worker has connected to another database: {reason}");
            return Err(Failure::new(FailureKind::OtherDatabase, message).uncounted());
        }
        // Nothing ran in the other session, whose connection closes.
        drop(self.replace(begun));
        Ok(())
    }

    /// Ends the transaction and returns the session to the pool. If the transaction
    /// cannot be ended, the session is closed.
    pub(crate) async fn give_back(mut self) {
        match within(ANSWER_LIMIT, self.session.end()).await {
            Ok(()) => self.pool.keep(self.session, self.connected),
            Err(error) => {
                tracing::debug!(endpoint = self.pool.endpoint.name, %error, "a session was lost at the end of its table")
            }
        }
        drop(self.permit);
    }

    /// Stops the statement that may run and closes the session. Returns whether the
    /// database has confirmed that the statement ended: on the session's own connection,
    /// or over another one.
    pub(crate) async fn stop(self) -> bool {
        let id = self.session.id();
        let is_confirmed =
            interrupt(self.session).await || has_ended(&self.pool.endpoint, &id).await;
        drop(self.permit);
        is_confirmed
    }
}

/// Whether the database says, over another connection, that a session runs nothing.
async fn has_ended(endpoint: &Endpoint, id: &SessionId) -> bool {
    let SessionId { number, name } = id;
    match wait_until_idle(endpoint, id).await {
        Ok(Activity::Idle) => return true,
        Ok(Activity::NotVisible) => {
            tracing::warn!(
                endpoint = endpoint.name,
                number,
                name,
                "the user may not see whether the stopped statement of a session has ended"
            );
        }
        Ok(Activity::Running) => {
            tracing::warn!(
                endpoint = endpoint.name,
                number,
                name,
                "a statement goes on although it was stopped: end its session"
            );
        }
        Err(error) => {
            tracing::warn!(endpoint = endpoint.name, number, name, %error, "could not ask whether the stopped statement of a session has ended");
        }
    }
    false
}

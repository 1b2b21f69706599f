//! The environment of a fault test: two databases, views that block until a gate
//! opens, and a list of the statements that the product runs.

use std::process::Command;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::Client;

use crate::product::Workplace;
use harness::poll::poll;
use harness::process::{Process, ProcessError};
use harness::services::{Database, ServiceError, shared_postgres};

/// The heartbeat interval of tests whose leases must expire soon.
const SHORT_HEARTBEAT: &str = "500ms";

/// The heartbeat interval of tests in which no lease may expire on a busy machine.
const LONG_HEARTBEAT: &str = "10s";

/// The longest time until the lease of a silent worker expires, with short heartbeats: three
/// heartbeat intervals, and one more for the answer when the coordinator asks for a heartbeat.
pub const LEASE: Duration = Duration::from_secs(2);

/// How long a worker may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// A function that returns when no session locks the gate. It polls instead of waiting for
/// the lock: a lock timeout cannot end it, and a session of a killed client cannot delay it.
const GATE: &str = "CREATE FUNCTION gate(number int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
        WHILE NOT pg_try_advisory_xact_lock_shared(number) LOOP PERFORM pg_sleep(0.01); END LOOP;
        RETURN number;
    END $$;";

/// Two databases of a shared server, and a configuration that has them as the
/// endpoints `source` and `target`.
#[derive(Debug)]
pub struct Scene {
    /// The source.
    pub source: Database,
    /// The target.
    pub target: Database,
    /// The directory in which the product runs.
    pub here: Workplace,
    heartbeat: &'static str,
}

impl Scene {
    /// Creates both databases and runs the SQL in them. Each has a function `gate(int)`;
    /// see [`Gates`].
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub fn new(source_sql: &str, target_sql: &str) -> Result<Self, ServiceError> {
        let server = shared_postgres();
        let (source, target) = (
            server.create_database("source")?,
            server.create_database("target")?,
        );
        source.execute(&format!("{GATE}{source_sql}"))?;
        target.execute(&format!("{GATE}{target_sql}"))?;
        let here = Workplace::new(&format!(
            "[endpoints.source]\nurl = '{}'\n[endpoints.target]\nurl = '{}'\n\
             [run]\nsource = 'source'\ntarget = 'target'\nrow_level = true\nformat = 'json'\n",
            source.url(),
            target.url()
        ));
        Ok(Self {
            source,
            target,
            here,
            heartbeat: LONG_HEARTBEAT,
        })
    }

    /// Shortens the heartbeat interval, so that leases expire within [`LEASE`].
    #[must_use]
    pub fn with_short_leases(self) -> Self {
        Self {
            heartbeat: SHORT_HEARTBEAT,
            ..self
        }
    }

    /// The command of a run over `broker`. The run prints its report on standard output.
    #[must_use]
    pub fn run(&self, broker: &str, arguments: &[&str]) -> Command {
        let fixed = [
            "run",
            "--broker",
            broker,
            "--heartbeat-period",
            self.heartbeat,
        ];
        self.here
            .command("reconcile", &[&fixed[..], arguments].concat())
    }

    /// Starts a run over `broker` and does not wait for it.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_run(&self, broker: &str, arguments: &[&str]) -> Result<Process, ProcessError> {
        Process::start("reconcile", &mut self.run(broker, arguments))
    }

    /// Starts a coordinator that resumes the latest run of this directory.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn resume_run(&self, broker: &str) -> Result<Process, ProcessError> {
        let mut command = self
            .here
            .command("reconcile", &["resume", "latest", "--broker", broker]);
        Process::start("reconcile resume", &mut command)
    }

    /// Starts a worker, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it does not become ready.
    pub fn start_worker(
        &self,
        broker: &str,
        name: &str,
        concurrency: u32,
    ) -> Result<Process, ProcessError> {
        let mut command = self.here.command("reconcile-worker", &[]);
        command
            .args(["--broker", broker, "--name", name])
            .args(["--heartbeat-period", self.heartbeat])
            .args(["--concurrency", &concurrency.to_string()]);
        let mut worker = Process::start(name, &mut command)?;
        worker.wait_for_line("ready", READY)?;
        Ok(worker)
    }

    /// Starts a worker that serves its metrics, and waits until it is ready. Returns the
    /// address of the metrics too.
    ///
    /// # Errors
    ///
    /// When it does not become ready.
    pub fn start_watched_worker(
        &self,
        broker: &str,
        name: &str,
        concurrency: u32,
    ) -> Result<(Process, String), ProcessError> {
        let mut command = self.here.command("reconcile-worker", &[]);
        command
            .args(["--broker", broker, "--name", name])
            .args(["--heartbeat-period", self.heartbeat])
            .args(["--concurrency", &concurrency.to_string()])
            .args(["--metrics-addr", "127.0.0.1:0"]);
        let mut worker = Process::start(name, &mut command)?;
        let address = metrics_address(&mut worker)?;
        Ok((worker, address))
    }

    /// Returns a [`Watch`] over the statements that the product runs in both databases.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub fn watch(&self) -> Result<Watch, ServiceError> {
        Watch::over(&[&self.source, &self.target])
    }
}

/// The address at which a process serves its metrics, from its log: "127.0.0.1:12345".
///
/// # Errors
///
/// When it logs no address.
pub fn metrics_address(process: &mut Process) -> Result<String, ProcessError> {
    const SAID: &str = "metrics at http://";
    let line = process.wait_for_line(SAID, READY)?;
    let url = line.rsplit(SAID).next().unwrap_or_default();
    Ok(url.trim_end_matches("/metrics").to_owned())
}

/// Gates in a database. A statement that calls `gate(N)` waits until gate N is open.
/// All gates are closed at first. Dropping this value opens them.
#[derive(Debug)]
pub struct Gates {
    session: Session,
}

impl Gates {
    /// Closes the gates 0 to `count - 1` of `database`.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub fn closed(database: &Database, count: u32) -> Result<Self, ServiceError> {
        let session = Session::open(database)?;
        session.execute(&format!(
            "SELECT pg_advisory_lock(number) FROM generate_series(0, {count} - 1) number"
        ))?;
        Ok(Self { session })
    }

    /// Opens a gate. It cannot be closed again.
    ///
    /// # Errors
    ///
    /// When the session was lost.
    pub fn open(&self, number: u32) -> Result<(), ServiceError> {
        self.session
            .execute(&format!("SELECT pg_advisory_unlock({number})"))
    }
}

/// The statements that the product runs in some databases.
#[derive(Debug)]
pub struct Watch {
    sessions: Vec<Session>,
}

/// A statement of the product that runs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The application name of its session, which contains the run and the table.
    pub application: String,
    /// The process id of the session.
    pub pid: i32,
    /// The statement.
    pub statement: String,
    /// Which of the watched databases it is in, from 0.
    pub database: usize,
}

impl Running {
    /// Whether it reads rows of `table`, and not the catalog.
    #[must_use]
    pub fn reads(&self, table: &str) -> bool {
        let name = self.application.rsplit([' ', '.']).next();
        name == Some(table) && self.statement.starts_with("COPY")
    }
}

impl Watch {
    /// Watches the statements in these databases.
    ///
    /// # Errors
    ///
    /// When a server refuses.
    pub fn over(databases: &[&Database]) -> Result<Self, ServiceError> {
        let sessions = databases.iter().map(|database| Session::open(database));
        Ok(Self {
            sessions: sessions.collect::<Result<_, _>>()?,
        })
    }

    /// Lists the statements of the product that run now.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub fn running(&self) -> Result<Vec<Running>, ServiceError> {
        // Without the mark of the session: both sides of a table have one name.
        const LOOK: &str = "SELECT regexp_replace(application_name, ' #[0-9a-f]{4}$', ''), pid, query FROM pg_stat_activity \
            WHERE datname = current_database() AND application_name LIKE 'reconcile%' AND state = 'active'";
        let mut running = Vec::new();
        for (database, session) in self.sessions.iter().enumerate() {
            let rows = session.query(LOOK)?;
            running.extend(rows.iter().map(|row| Running {
                application: row.get(0),
                pid: row.get(1),
                statement: row.get(2),
                database,
            }));
        }
        Ok(running)
    }

    /// Waits until the list of running statements satisfies `condition`, and returns it.
    ///
    /// # Panics
    ///
    /// If no list satisfies it within `bound`. The message contains the last list.
    pub fn wait_until(
        &self,
        what: &str,
        bound: Duration,
        condition: impl Fn(&[Running]) -> bool,
    ) -> Vec<Running> {
        let mut last = Vec::new();
        let found = poll(bound, || {
            last = self.running().unwrap_or_else(|error| {
                panic!("cannot list the statements of the databases: {error}")
            });
            condition(&last).then_some(())
        });
        assert!(found.is_some(), "not {what} within {bound:?}: {last:#?}");
        last
    }

    /// Terminates the session of a statement, as an administrator would.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub fn terminate(&self, running: &Running) -> Result<(), ServiceError> {
        self.sessions[running.database]
            .execute(&format!("SELECT pg_terminate_backend({})", running.pid))
    }
}

/// A database session for callers that are not asynchronous.
#[derive(Debug)]
pub struct Session {
    client: Client,
    runtime: Runtime,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub fn open(database: &Database) -> Result<Self, ServiceError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(ServiceError::system("start a Tokio runtime"))?;
        let client = runtime.block_on(database.connect())?;
        Ok(Self { client, runtime })
    }

    /// Executes statements, which may leave a transaction open.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub fn execute(&self, statements: &str) -> Result<(), ServiceError> {
        self.runtime
            .block_on(self.client.batch_execute(statements))
            .map_err(|source| refused(statements, source))
    }

    fn query(&self, statement: &str) -> Result<Vec<tokio_postgres::Row>, ServiceError> {
        self.runtime
            .block_on(self.client.query(statement, &[]))
            .map_err(|source| refused(statement, source))
    }
}

fn refused(statement: &str, source: tokio_postgres::Error) -> ServiceError {
    ServiceError::Database {
        action: format!("run `{statement}`"),
        source,
    }
}

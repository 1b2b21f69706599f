//! Stores the progress of a run, on its own thread.
//!
//! All queued batches are written in one transaction, so that a burst of outcomes
//! costs little more than one. The caller of a write waits for its [`Receipt`].
//!
//! If the store cannot be written, for example because the disk is full, the run
//! continues: its result is worth more than the ability to resume it. The writer logs
//! the error once and releases all receipts. A resumed run compares again the tables
//! whose results were not stored.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::Utc;
use rusqlite::{Connection, TransactionBehavior, params};
use shared::identity::DatabaseIdentity;
use shared::ids::{RunId, TableId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::stored_run::{self, Cancellation, Snapshot};
use super::{StoreError, schema};
use crate::report::RunReport;
use crate::run::Receipt;
use crate::run_state::{OpenTable, RunSummary, TableStatus};

/// The length of the queue of batches. The coordinator has at most 256
/// unacknowledged events, and an event is one batch. So the queue is never full. A
/// full queue would block the coordinator.
const QUEUE: usize = 1_024;

/// The largest number of batches in one transaction.
const GROUP: usize = 512;

/// How long a run waits at its end until its result is stored.
const LAST_WRITE: Duration = Duration::from_secs(10);

/// How often the writer checks whether the user has asked to cancel the run.
const STOP_CHECK: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) enum Write {
    Table {
        table: TableId,
        status: TableStatus,
        record: String,
    },
    /// The state of the attempts of a table that has not ended.
    Open {
        table: TableId,
        open: OpenTable,
    },
    Cancelling(Cancellation),
    Databases(Vec<DatabaseIdentity>),
    Snapshot(Snapshot),
    Ended(Box<RunSummary>),
}

struct Batch {
    number: u64,
    writes: Vec<Write>,
    /// Whether the batch is written even if an earlier write has failed.
    again: bool,
}

/// Stores the progress of one run.
#[derive(Debug)]
pub struct RunWriter {
    outgoing: Mutex<Outgoing>,
    thread: Option<JoinHandle<()>>,
    /// The number of the last durable batch.
    durable: watch::Receiver<u64>,
    broken: Broken,
    stop_asked: CancellationToken,
}

/// Numbers the batches in the order in which they are sent.
#[derive(Debug)]
struct Outgoing {
    last: u64,
    /// `None` when the writer ends.
    batches: Option<SyncSender<Batch>>,
}

/// Why the store cannot be written; absent while it can.
type Broken = Arc<Mutex<Option<String>>>;

/// Ignores poisoning: a panic cannot leave these values inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RunWriter {
    /// Starts the thread that stores `run` in the database at `path`.
    ///
    /// # Errors
    ///
    /// When the database cannot be opened, or the system cannot start a thread.
    pub fn start(path: &Path, run: RunId) -> Result<Self, StoreError> {
        let connection = schema::connect(path)?;
        let (batches, received) = sync_channel(QUEUE);
        let (durable_sender, durable) = watch::channel(0);
        let (broken, stop_asked) = (Broken::default(), CancellationToken::new());
        let thread = Thread {
            path: path.display().to_string(),
            connection,
            run: run.to_string(),
            durable: durable_sender,
            broken: broken.clone(),
            stop_asked: stop_asked.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("run-store".to_owned())
            .spawn(move || thread.run(&received))
            .map_err(|reason| StoreError::Directory {
                path: path.to_owned(),
                reason,
            })?;
        Ok(Self {
            outgoing: Mutex::new(Outgoing {
                last: 0,
                batches: Some(batches),
            }),
            thread: Some(thread),
            durable,
            broken,
            stop_asked,
        })
    }

    /// Queues a batch of writes. Batches are written in the order of the calls. The
    /// receipt resolves when this batch and all earlier ones are durable, or when the
    /// store cannot be written. With `again` the batch is tried even if an earlier
    /// write has failed.
    pub(super) fn write(&self, writes: Vec<Write>, again: bool) -> Receipt {
        let mut outgoing = lock(&self.outgoing);
        outgoing.last += 1;
        let number = outgoing.last;
        if let Some(batches) = &outgoing.batches {
            // The channel is closed only if the thread has panicked. That releases the receipt.
            batches
                .send(Batch {
                    number,
                    writes,
                    again,
                })
                .ok();
        }
        Receipt::new(number, self.durable.clone())
    }

    /// Why the store cannot be written; `None` while it can be.
    pub(crate) fn broken(&self) -> Option<String> {
        lock(&self.broken).clone()
    }

    /// Stores the end of the run and waits until it is durable. If the store cannot be
    /// written, adds a note to the report.
    pub async fn finish(&self, report: &mut RunReport) {
        self.write_last(vec![Write::Ended(Box::new(report.summary()))])
            .await;
        if let Some(reason) = self.broken() {
            report.notes.push(format!(
                "the run store could not be written ({reason}): this run cannot be resumed or reported again"
            ));
        }
    }

    /// Waits until everything that was written before is durable, at the end of a pause.
    pub(crate) async fn flush(&self) {
        self.write_last(Vec::new()).await;
    }

    async fn write_last(&self, writes: Vec<Write>) {
        let receipt = self.write(writes, false);
        if tokio::time::timeout(LAST_WRITE, receipt.wait())
            .await
            .is_err()
        {
            *lock(&self.broken) = Some("it did not answer in time".to_owned());
        }
    }

    /// The token that is cancelled when the user cancels the run through the store.
    pub(crate) fn stop_asked(&self) -> CancellationToken {
        self.stop_asked.clone()
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        lock(&self.outgoing).batches = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was logged when it happened.
            thread.join().ok();
        }
    }
}

struct Thread {
    path: String,
    connection: Connection,
    run: String,
    durable: watch::Sender<u64>,
    broken: Broken,
    stop_asked: CancellationToken,
}

impl Thread {
    fn run(mut self, received: &Receiver<Batch>) {
        let mut checked = Instant::now();
        loop {
            let first = match received.recv_timeout(STOP_CHECK) {
                Ok(batch) => Some(batch),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let batches: Vec<Batch> = first
                .into_iter()
                .chain(received.try_iter().take(GROUP - 1))
                .collect();
            if let Some(last) = batches.last().map(|batch| batch.number) {
                self.write_all(&batches);
                self.durable.send_replace(last);
            }
            if checked.elapsed() >= STOP_CHECK {
                checked = Instant::now();
                self.check_for_stop();
            }
        }
    }

    fn write_all(&mut self, batches: &[Batch]) {
        let broken = lock(&self.broken).is_some();
        let writes: Vec<&Write> = batches
            .iter()
            .filter(|batch| !broken || batch.again)
            .flat_map(|batch| &batch.writes)
            .collect();
        if writes.is_empty() {
            return;
        }
        match self.commit(&writes) {
            Ok(()) => {
                if broken {
                    tracing::warn!("the run store {} can be written again", self.path);
                    *lock(&self.broken) = None;
                }
            }
            Err(error) => {
                if !broken {
                    tracing::warn!(
                        "the run store {} cannot be written: {error}; the run goes on, but what has not been stored cannot be resumed",
                        self.path
                    );
                }
                *lock(&self.broken) = Some(error.to_string());
            }
        }
    }

    fn commit(&mut self, writes: &[&Write]) -> rusqlite::Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let key: i64 = transaction
                .prepare_cached("SELECT key FROM runs WHERE id = ?1")?
                .query_row([&self.run], |row| row.get(0))?;
            let set = |column: &str, value: String| {
                transaction
                    .prepare_cached(&format!("UPDATE runs SET {column} = ?2 WHERE key = ?1"))?
                    .execute(params![key, value])
            };
            for write in writes {
                match write {
                    Write::Table {
                        table,
                        status,
                        record,
                    } => {
                        transaction
                            .prepare_cached(
                                "UPDATE tables SET status = ?3, record = ?4, open = NULL WHERE run = ?1 AND position = ?2",
                            )?
                            .execute(params![key, table.0, status.as_str(), record])?;
                    }
                    Write::Open { table, open } => {
                        transaction
                            .prepare_cached(
                                "UPDATE tables SET open = ?3 WHERE run = ?1 AND position = ?2 AND record IS NULL",
                            )?
                            .execute(params![key, table.0, stored_run::json(open)])?;
                    }
                    Write::Cancelling(cancelling) => {
                        set("cancelling", stored_run::json(cancelling))?;
                    }
                    Write::Databases(databases) => {
                        set("databases", stored_run::json(databases))?;
                    }
                    Write::Snapshot(running) => {
                        set("running", stored_run::json(running))?;
                    }
                    Write::Ended(ended) => {
                        set("ended", stored_run::json(ended.as_ref()))?;
                        set("finished_at", stored_run::time_text(Utc::now()))?;
                    }
                }
            }
        }
        transaction.commit()
    }

    fn check_for_stop(&self) {
        if self.stop_asked.is_cancelled() {
            return;
        }
        let asked = self
            .connection
            .prepare_cached("SELECT stop_asked FROM runs WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([&self.run], |row| row.get(0)));
        match asked {
            Ok(true) => self.stop_asked.cancel(),
            Ok(false) => {}
            Err(error) => tracing::debug!("the run store could not be read: {error}"),
        }
    }
}

//! Writes what happens in a run, on a thread of its own.
//!
//! Whatever waits is written in one transaction, so that a burst of outcomes
//! costs little more than one. Who must not go on before something is safe
//! holds a [`Receipt`] for it.
//!
//! When the store cannot be written any more, say because the disk is full,
//! the run goes on: comparing is worth more than being able to resume. It says
//! so once, all receipts are released, and what a resume would then miss it
//! would do again.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::Utc;
use rusqlite::{Connection, TransactionBehavior, params};
use shared::ids::{RunId, TableId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::kept::{self, Cancelling, Running};
use super::{StoreError, schema};
use crate::report::RunReport;
use crate::run::Receipt;
use crate::run_state::{OpenTable, RunSummary, TableStatus};

/// Batches that wait. The coordinator has at most 256 events that are not
/// acknowledged, and an event is one batch, so this is never reached; if it
/// were, the coordinator would wait.
const QUEUE: usize = 1_024;

/// Batches that share a transaction.
const GROUP: usize = 512;

/// How long the end of a run waits for the store.
const LAST_WRITE: Duration = Duration::from_secs(10);

/// How often the store is asked whether somebody wants the run to end.
const STOP_CHECK: Duration = Duration::from_millis(500);

/// One thing to remember.
#[derive(Debug)]
pub(super) enum Write {
    /// A table has ended.
    Table {
        table: TableId,
        status: TableStatus,
        /// The record as JSON.
        record: String,
    },
    /// A table has not ended, but an attempt has or will begin.
    Open { table: TableId, open: OpenTable },
    /// The run is being cancelled.
    Cancelling(Cancelling),
    /// What runs.
    Running(Running),
    /// The run has ended.
    Ended(RunSummary),
}

struct Batch {
    number: u64,
    writes: Vec<Write>,
    /// Written even after the store could not be written.
    again: bool,
}

/// Writes what happens in one run.
#[derive(Debug)]
pub struct RunWriter {
    outgoing: Mutex<Outgoing>,
    thread: Option<JoinHandle<()>>,
    /// The number of the last batch that is safe.
    safe: watch::Receiver<u64>,
    broken: Broken,
    stop_asked: CancellationToken,
}

/// Numbers batches in the order in which they are sent.
#[derive(Debug)]
struct Outgoing {
    last: u64,
    /// Absent at the end.
    batches: Option<SyncSender<Batch>>,
}

/// Why the store cannot be written; absent while it can.
#[derive(Debug, Clone, Default)]
struct Broken(Arc<Mutex<Option<String>>>);

impl Broken {
    fn get(&self) -> Option<String> {
        lock(&self.0).clone()
    }

    fn set(&self, reason: Option<String>) {
        *lock(&self.0) = reason;
    }
}

/// What is guarded here is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RunWriter {
    /// Starts the thread that writes about `run` into the database at `path`.
    ///
    /// # Errors
    ///
    /// When the database cannot be opened, or the system has no thread.
    pub fn start(path: &Path, run: RunId) -> Result<Self, StoreError> {
        let connection = schema::connect(path)?;
        let (batches, received) = sync_channel(QUEUE);
        let (safe_in, safe) = watch::channel(0);
        let (broken, stop_asked) = (Broken::default(), CancellationToken::new());
        let thread = Thread {
            path: path.display().to_string(),
            connection,
            run: run.to_string(),
            safe: safe_in,
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
            safe,
            broken,
            stop_asked,
        })
    }

    /// Writes, in the order of the calls. The receipt says when it, and all
    /// before it, is safe.
    pub(super) fn write(&self, writes: Vec<Write>) -> Receipt {
        self.send(writes, false)
    }

    /// Like [`write`](Self::write), also when an earlier write has failed.
    pub(super) fn write_again(&self, writes: Vec<Write>) -> Receipt {
        self.send(writes, true)
    }

    fn send(&self, writes: Vec<Write>, again: bool) -> Receipt {
        let mut outgoing = lock(&self.outgoing);
        outgoing.last += 1;
        let number = outgoing.last;
        if let Some(batches) = &outgoing.batches {
            // Closed only when the thread panicked, and then the receipt is released.
            batches
                .send(Batch {
                    number,
                    writes,
                    again,
                })
                .ok();
        }
        Receipt::new(number, self.safe.clone())
    }

    /// Why the store cannot be written; absent while it can.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        self.broken.get()
    }

    /// Writes how the run has ended, and waits until that is safe. When the
    /// store cannot be written, the report says so afterwards.
    pub async fn finish(&self, report: &mut RunReport) {
        let receipt = self.write(vec![Write::Ended(report.summary())]);
        if tokio::time::timeout(LAST_WRITE, receipt.wait())
            .await
            .is_err()
        {
            self.broken
                .set(Some("it did not answer in time".to_owned()));
        }
        if let Some(reason) = self.broken() {
            report.notes.push(format!(
                "the run store could not be written ({reason}): this run cannot be resumed or reported again"
            ));
        }
    }

    /// Triggered when somebody has asked, through the store, for the run to end.
    #[must_use]
    pub fn stop_asked(&self) -> CancellationToken {
        self.stop_asked.clone()
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        lock(&self.outgoing).batches = None;
        if let Some(thread) = self.thread.take() {
            // It has said why in the log.
            thread.join().ok();
        }
    }
}

/// What the thread has.
struct Thread {
    path: String,
    connection: Connection,
    run: String,
    safe: watch::Sender<u64>,
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
                self.safe.send_replace(last);
            }
            if checked.elapsed() >= STOP_CHECK {
                checked = Instant::now();
                self.look_for_stop();
            }
        }
    }

    fn write_all(&mut self, batches: &[Batch]) {
        let broken = self.broken.get().is_some();
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
                    self.broken.set(None);
                }
            }
            Err(error) => {
                if !broken {
                    tracing::warn!(
                        "the run store {} cannot be written: {error}; the run goes on, but what has not been stored cannot be resumed",
                        self.path
                    );
                }
                self.broken.set(Some(error.to_string()));
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
                            .execute(params![key, table.0, kept::json(open)])?;
                    }
                    Write::Cancelling(cancelling) => {
                        set("cancelling", kept::json(cancelling))?;
                    }
                    Write::Running(running) => {
                        set("running", kept::json(running))?;
                    }
                    Write::Ended(ended) => {
                        set("ended", kept::json(ended))?;
                        set("finished_at", kept::time_text(Utc::now()))?;
                    }
                }
            }
        }
        transaction.commit()
    }

    fn look_for_stop(&self) {
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
            Err(error) => tracing::debug!("looking into the run store: {error}"),
        }
    }
}

//! What must be done for a run.

use std::time::Duration;

use shared::ids::{Attempt, TableId, WorkerId};
use shared::message::{Control, StatementPart, Task, WorkId};
use shared::outcome::{Difference, Failure, RepairStatement};

use super::record::CancelReason;

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Publish a task, then report `Input::Published` or `Input::PublishFailed`.
    Publish(Box<Task>),
    /// Send a message to all workers. After [`Control::Announce`] report
    /// `Input::Announced` once the broker has confirmed it. The other messages
    /// are repeated when heartbeats show that a worker missed them.
    Control(Control),
    /// A table has ended; `RunState::record` returns its record. A store
    /// writes the record before the effects that follow.
    TableEnded(TableId),
    /// Repair statements of a table have arrived. They must be on disk before
    /// the event that brought them is acknowledged.
    KeepRepair {
        work: WorkId,
        worker: WorkerId,
        /// A batch that was not received before.
        statements: Vec<RepairStatement>,
    },
    /// A part of a large repair statement has arrived. It must be on disk before the event that
    /// brought it is acknowledged.
    KeepRepairPart {
        work: WorkId,
        worker: WorkerId,
        /// A part that was not received before.
        part: StatementPart,
    },
    /// Differing rows of a table have arrived, and all of them are wanted. They must be on disk
    /// before the event that brought them is acknowledged.
    KeepRows {
        work: WorkId,
        worker: WorkerId,
        /// A batch that was not received before.
        rows: Vec<Difference>,
    },
    /// A worker has stopped a cancelled or timed-out attempt; the table's record says whether the
    /// databases have confirmed that its statements ended.
    StatementsStopped {
        /// The table, which has ended before.
        table: TableId,
        /// The time from the request until it had stopped.
        after: Duration,
    },
    /// A claim has named a database of the run. The store keeps all of them.
    DatabasesKnown,
    Notice(Notice),
    /// All tables have ended and no answer is outstanding. The last effect of a run.
    Complete,
    /// All attempts have stopped, and tables are left. The last effect of a run that is paused.
    Paused,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// No worker has sent a heartbeat for some seconds.
    NoWorkerYet,
    /// Workers are alive, and none of them can compare the tables of the run. The text names
    /// each with the reason.
    NoFitWorker(String),
    /// A worker cannot compare the tables of the run: the worker and the reason.
    UnfitWorker(String),
    /// The claim timeout has passed and no worker has claimed a table.
    NothingClaimed {
        workers: usize,
    },
    /// An attempt ended without a result and the table is tried again.
    Retry {
        table: TableId,
        attempt: Attempt,
        failure: Failure,
        wait: Duration,
    },
    /// A worker that owned a table missed three heartbeats.
    LeaseExpired {
        table: TableId,
        worker: WorkerId,
    },
    /// A second worker has claimed an attempt that another one owns.
    DuplicateClaim {
        table: TableId,
        worker: WorkerId,
    },
    Cancelling(CancelReason),
    /// The run is being paused. The store records the attempts of its tables before the workers
    /// are asked to stop them.
    Pausing,
}

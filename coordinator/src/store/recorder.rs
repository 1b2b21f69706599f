//! Watches a run and has the store remember what a new coordinator, or a later
//! report, must know.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use shared::ids::{Attempt, TableId};
use shared::message::Control;

use super::kept::{self, Activity, Cancelling, Running};
use super::writer::{RunWriter, Write};
use crate::run::{Receipt, RunObserver};
use crate::run_state::{Effect, Notice, RunState, Time, table_ids};

/// How often the store learns what runs.
const LOOK: Duration = Duration::from_secs(1);

/// Has the store remember a run.
#[derive(Debug)]
pub struct Recorder {
    writer: Arc<RunWriter>,
    receipt: Option<Receipt>,
    looked: Option<Time>,
}

impl Recorder {
    /// Records through `writer`.
    #[must_use]
    pub fn new(writer: Arc<RunWriter>) -> Self {
        Self {
            writer,
            receipt: None,
            looked: None,
        }
    }

    /// What runs, if the store has not been told for a while.
    fn look(&mut self, state: &RunState) -> Option<Write> {
        let now = state.now();
        if self
            .looked
            .is_some_and(|looked| now.since(looked) < LOOK && !state.is_complete())
        {
            return None;
        }
        self.looked = Some(now);
        let at = Utc::now();
        let activities = state
            .activities()
            .map(|activity| Activity {
                table: activity.table,
                worker: activity.worker.clone(),
                since: TimeDelta::from_std(now.since(activity.since))
                    .map_or(at, |running| at - running),
                source_rows: activity.source_rows,
                target_rows: activity.target_rows,
            })
            .collect();
        Some(Write::Running(Running {
            at,
            workers: state.workers(),
            activities,
        }))
    }
}

impl RunObserver for Recorder {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        let mut writes = Vec::new();
        // Whether what follows must wait, for these writes or for earlier ones.
        let mut matters = false;
        for effect in effects {
            match effect {
                Effect::TableEnded(table) => writes.extend(ended(state, *table)),
                Effect::Notice(Notice::Retry { table, .. }) => {
                    writes.extend(open(state, *table));
                }
                // The first attempt is taken for published from the start.
                Effect::Publish(task) if task.attempt > Attempt::FIRST => {
                    writes.extend(open(state, task.table));
                }
                Effect::Control(Control::CancelRun { .. }) => {
                    if let Some(reason) = state.cancel_reason() {
                        writes.push(Write::Cancelling(Cancelling {
                            reason,
                            root_cause: state.root_cause().cloned(),
                        }));
                    }
                }
                Effect::WentQuiet { table, .. } => writes.extend(ended(state, *table)),
                Effect::Complete if self.writer.broken().is_some() => {
                    // Perhaps there is room by now: then the whole run is kept after all,
                    // and otherwise nothing will say that it has ended.
                    let all = table_ids().take(state.table_count());
                    self.writer
                        .write_again(all.filter_map(|table| ended(state, table)).collect());
                }
                Effect::Publish(_)
                | Effect::Control(_)
                | Effect::KeepRepair { .. }
                | Effect::Notice(_)
                | Effect::Complete => {}
            }
            matters |= !writes.is_empty();
        }
        writes.extend(self.look(state));
        self.receipt = (!writes.is_empty())
            .then(|| self.writer.write(writes))
            .filter(|_| matters);
    }

    fn receipt(&mut self) -> Option<Receipt> {
        self.receipt.take()
    }
}

fn ended(state: &RunState, table: TableId) -> Option<Write> {
    let record = state.record(table)?;
    Some(Write::Table {
        table,
        status: record.status(),
        record: kept::json(record),
    })
}

fn open(state: &RunState, table: TableId) -> Option<Write> {
    let open = state.open_table(table)?;
    Some(Write::Open { table, open })
}

//! Observes a run and stores what a new coordinator, or a later report, needs.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use shared::ids::{Attempt, TableId};
use shared::message::Control;

use super::stored_run::{self, Cancellation, RunningTable, Snapshot};
use super::writer::{RunWriter, Write};
use crate::pace::Pace;
use crate::run::{Receipt, RunObserver};
use crate::run_state::{Effect, Notice, RunState, Time, table_ids};

/// How often the running tables are stored.
const SNAPSHOT_PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Recorder {
    writer: Arc<RunWriter>,
    receipt: Option<Receipt>,
    last_snapshot: Option<Time>,
    pace: Pace,
}

impl Recorder {
    #[must_use]
    pub fn new(writer: Arc<RunWriter>) -> Self {
        Self {
            writer,
            receipt: None,
            last_snapshot: None,
            pace: Pace::default(),
        }
    }

    /// The running tables, if the last snapshot is old enough.
    fn snapshot(&mut self, state: &RunState) -> Option<Write> {
        let now = state.now();
        if self
            .last_snapshot
            .is_some_and(|last| now.since(last) < SNAPSHOT_PERIOD && !state.is_complete())
        {
            return None;
        }
        self.last_snapshot = Some(now);
        let at = Utc::now();
        let activities = state
            .activities()
            .map(|activity| RunningTable {
                table: activity.table,
                worker: activity.worker.clone(),
                since: TimeDelta::from_std(now.since(activity.since))
                    .map_or(at, |running| at - running),
                source_rows: activity.source_rows,
                target_rows: activity.target_rows,
                phase: activity.phase,
                expected_rows: activity
                    .expected_rows
                    .or(state.estimated_rows(activity.table)),
            })
            .collect();
        Some(Write::Snapshot(Snapshot {
            at,
            workers: state.workers(),
            activities,
            overview: Some(self.pace.observe(state)),
            is_paused: state.paused().is_some(),
        }))
    }
}

impl RunObserver for Recorder {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        let mut writes = Vec::new();
        // Whether effects must wait for these writes. They need not wait for a snapshot.
        let mut must_wait = false;
        for effect in effects {
            match effect {
                Effect::TableEnded(table) => writes.extend(ended(state, *table)),
                Effect::Notice(Notice::Retry { table, .. }) => {
                    writes.extend(open(state, *table));
                }
                // The store assumes from the start that the first attempt is published.
                Effect::Publish(task) if task.attempt > Attempt::FIRST => {
                    writes.extend(open(state, task.table));
                }
                Effect::Control(Control::CancelRun { .. }) => {
                    if let Some(reason) = state.cancel_reason() {
                        writes.push(Write::Cancelling(Cancellation {
                            reason,
                            root_cause: state.root_cause().cloned(),
                        }));
                    }
                }
                Effect::Notice(Notice::Pausing) => {
                    let all = table_ids().take(state.table_count());
                    writes.extend(all.filter_map(|table| open(state, table)));
                }
                Effect::DatabasesKnown => {
                    writes.push(Write::Databases(state.known_databases().to_vec()));
                }
                Effect::StatementsStopped { table, .. } => writes.extend(ended(state, *table)),
                Effect::Complete if self.writer.broken().is_some() => {
                    // The disk may have free space by now. Then the whole run is stored after
                    // all; otherwise the store will not show that it has ended.
                    let all = table_ids().take(state.table_count());
                    let all = all.filter_map(|table| ended(state, table)).collect();
                    self.writer.write(all, true);
                }
                Effect::Publish(_)
                | Effect::Control(_)
                | Effect::KeepRepair { .. }
                | Effect::KeepRepairPart { .. }
                | Effect::KeepRows { .. }
                | Effect::Notice(_)
                | Effect::Complete
                | Effect::Paused => {}
            }
            must_wait |= !writes.is_empty();
        }
        writes.extend(self.snapshot(state));
        self.receipt = (!writes.is_empty())
            .then(|| self.writer.write(writes, false))
            .filter(|_| must_wait);
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
        record: stored_run::json(record),
    })
}

fn open(state: &RunState, table: TableId) -> Option<Write> {
    let open = state.open_table(table)?;
    Some(Write::Open { table, open })
}

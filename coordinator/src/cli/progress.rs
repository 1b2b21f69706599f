//! The progress of a run on standard error: a line for every table that has ended,
//! and on a terminal a bar below them.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use shared::logging::print_status;
use shared::outcome::RowCounts;

use crate::run::RunObserver;
use crate::run_state::{CancelReason, Effect, Notice, RunState, TableRecord, Verdict};

/// The most running tables that the bar names.
const NAMED: usize = 3;

/// How often the bar is drawn.
const REFRESH: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    task_queue: String,
}

impl Progress {
    /// `task_queue`: the work queue as messages name it.
    pub(super) fn new(tables: usize, task_queue: String) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(tables as u64);
            if let Ok(style) =
                ProgressStyle::with_template("{bar:24} {pos}/{len} tables  {elapsed}  {wide_msg}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(REFRESH);
            bar
        });
        Self { bar, task_queue }
    }

    fn print_status(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => print_status(line),
        }
    }

    fn notice(&self, state: &RunState, notice: &Notice) {
        let table = |id| &state.spec(id).source.table;
        let queue = &self.task_queue;
        let line = match notice {
            Notice::NoWorkerYet => {
                format!("no worker is connected to {queue}; waiting for one (start reconcile-worker)")
            }
            Notice::NoFitWorker(workers) => {
                format!("no worker on {queue} can compare the tables; waiting for one ({workers})")
            }
            Notice::UnfitWorker(reason) => format!("warning    {reason}"),
            Notice::NothingClaimed { workers: 0 } => {
                format!("no worker has claimed a table on {queue}")
            }
            Notice::NothingClaimed { workers } => format!(
                "no worker has claimed a table on {queue} yet; {workers} alive, busy with other runs; waiting"
            ),
            Notice::Retry { table: id, attempt, failure, wait } => format!(
                "retry      {} in {:.1} s: attempt {attempt}: {}: {failure}",
                table(*id),
                wait.as_secs_f64(),
                failure.kind
            ),
            Notice::LeaseExpired { table: id, worker } => {
                format!("lost       {}: worker {worker} sends no heartbeats any more", table(*id))
            }
            Notice::DuplicateClaim { table: id, worker } => {
                tracing::warn!(table = %table(*id), %worker, "two workers have claimed the table; the first result counts");
                return;
            }
            Notice::Cancelling(CancelReason::Requested) => "cancelling: waiting until running comparisons have stopped; interrupt again, after 2 s or later, to end at once".to_owned(),
            Notice::Cancelling(CancelReason::FailFast) => {
                let Some(cause) = state.root_cause() else { return };
                format!("cancelling: {} failed or differs, and --fail-fast is set ({})", table(cause.table), cause.kind)
            }
        };
        self.print_status(&line);
    }
}

impl RunObserver for Progress {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::TableEnded(id) => {
                    if let Some(record) = state.record(*id) {
                        self.print_status(&line(&state.spec(*id).source.table.to_string(), record));
                    }
                }
                Effect::DatabasesKnown => {
                    if let Some((source, target)) = state.databases() {
                        self.print_status(&format!("source     {source}"));
                        self.print_status(&format!("target     {target}"));
                    }
                }
                Effect::Notice(notice) => self.notice(state, notice),
                Effect::Publish(_)
                | Effect::Control(_)
                | Effect::KeepRepair { .. }
                | Effect::KeepRepairPart { .. }
                | Effect::KeepRows { .. }
                | Effect::StatementsStopped { .. }
                | Effect::Complete => {}
            }
        }
        let Some(bar) = &self.bar else { return };
        bar.set_position(state.counts().total() as u64);
        if state.is_complete() {
            bar.finish_and_clear();
            return;
        }
        let running: Vec<String> = state
            .activities()
            .take(NAMED)
            .map(|activity| {
                let rows = activity.source_rows.max(activity.target_rows);
                format!("{} ({rows} rows)", state.spec(activity.table).source.table)
            })
            .collect();
        bar.set_message(running.join(", "));
    }
}

/// "mismatched dbo.orders  1000 rows, 3 differ  0.2 s"
fn line(table: &str, record: &TableRecord) -> String {
    let what = match &record.verdict {
        Verdict::Compared { comparison, .. } => {
            let counts = if comparison.source_count == comparison.target_count {
                format!("{} rows", comparison.source_count)
            } else {
                format!(
                    "{} rows in the source, {} in the target",
                    comparison.source_count, comparison.target_count
                )
            };
            let differ = comparison.rows.as_ref().map_or(0, RowCounts::total);
            if differ > 0 {
                format!("{counts}, {differ} differ")
            } else {
                counts
            }
        }
        Verdict::Failed(failure) => format!("{}: {failure}", failure.kind),
        Verdict::TimedOut { allowed } => {
            format!("not done within {}", humantime::format_duration(*allowed))
        }
        Verdict::Cancelled(_) => String::new(),
    };
    let took = record
        .duration
        .map(|took| format!("  {:.1} s", took.as_secs_f64()))
        .unwrap_or_default();
    format!("{:10} {table}  {what}{took}", record.status())
        .trim_end()
        .to_owned()
}

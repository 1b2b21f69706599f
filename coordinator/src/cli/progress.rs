//! The progress of a run on standard error: a line for every table that has ended; below them,
//! on a terminal, the progress of the run and of its largest tables; without a terminal, a line
//! with it from time to time.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Map, Value as Json, json};
use shared::logging::{Level, print_message, prints_json};
use shared::outcome::RowCounts;

use super::pace_text::{overview_line, running_line};
use crate::pace::{Overview, Pace};
use crate::run::RunObserver;
use crate::run_state::{
    Activity, CancelReason, Effect, Notice, RunState, TableRecord, TableStatus, Time, Verdict,
};

/// The most running tables that are shown.
const SHOWN: usize = 4;

/// How often the lines on a terminal are drawn.
const REFRESH: Duration = Duration::from_millis(200);

/// How often the speed is measured without a terminal.
const SAMPLING: Duration = Duration::from_secs(1);

/// How often progress is printed without a terminal.
const PERIOD: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Progress {
    /// Absent without a terminal.
    lines: Option<Lines>,
    task_queue: String,
    pace: Pace,
    /// When the run was measured last.
    measured: Time,
    /// When the progress was printed last.
    printed: Time,
    /// Tables that were cancelled. One line is printed for all of them.
    cancelled: usize,
}

/// The lines at the bottom of a terminal: one for the run, the others for its largest tables.
#[derive(Debug)]
struct Lines {
    all: MultiProgress,
    run: ProgressBar,
    /// As many as tables are shown.
    tables: Vec<ProgressBar>,
}

impl Lines {
    fn new() -> Self {
        let all = MultiProgress::new();
        let run = new_line(&all);
        Self {
            all,
            run,
            tables: Vec::new(),
        }
    }

    fn show(&mut self, state: &RunState, overview: &Overview) {
        let (ended, tables) = (state.counts().total(), state.table_count());
        self.run.set_message(overview_line(ended, tables, overview));
        let largest = largest(state);
        while self.tables.len() < largest.len() {
            self.tables.push(new_line(&self.all));
        }
        for line in self.tables.drain(largest.len()..) {
            line.finish_and_clear();
            self.all.remove(&line);
        }
        for (line, activity) in self.tables.iter().zip(&largest) {
            line.set_message(of_activity(state, activity));
        }
    }

    fn clear(&self) {
        for line in self.tables.iter().chain([&self.run]) {
            line.finish_and_clear();
        }
    }
}

/// A further line, which is cut at the width of the terminal whenever it is drawn.
fn new_line(all: &MultiProgress) -> ProgressBar {
    let line = all.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        line.set_style(style);
    }
    line
}

/// The running tables with the most rows, largest first.
fn largest(state: &RunState) -> Vec<Activity<'_>> {
    let mut running: Vec<Activity<'_>> = state.activities().collect();
    let rows = |activity: &Activity<'_>| {
        let read = activity.source_rows.max(activity.target_rows);
        let expected = activity
            .expected_rows
            .or(state.estimated_rows(activity.table));
        expected.unwrap_or_default().max(read)
    };
    running.sort_by_key(|activity| std::cmp::Reverse(rows(activity)));
    running.truncate(SHOWN);
    running
}

fn of_activity(state: &RunState, activity: &Activity<'_>) -> String {
    running_line(
        &state.spec(activity.table).source.table.to_string(),
        activity.source_rows.max(activity.target_rows),
        activity
            .expected_rows
            .or(state.estimated_rows(activity.table)),
        activity.phase,
        state.now().since(activity.since),
    )
}

impl Progress {
    /// `task_queue`: the work queue as messages name it.
    pub(super) fn new(task_queue: String, quiet: bool) -> Self {
        let is_drawn = io::stderr().is_terminal() && !quiet && !prints_json();
        Self {
            lines: is_drawn.then(Lines::new),
            task_queue,
            pace: Pace::default(),
            measured: Time::START,
            printed: Time::START,
            cancelled: 0,
        }
    }

    fn print(&self, level: Level, line: &str, fields: Map<String, Json>) {
        match &self.lines {
            // The lines at the bottom are removed meanwhile.
            Some(lines) => lines.all.suspend(|| print_message(level, line, fields)),
            None => print_message(level, line, fields),
        }
    }

    fn notice(&self, state: &RunState, notice: &Notice) {
        let mut fields = Map::new();
        match notice {
            Notice::DuplicateClaim { table: id, worker } => {
                let table = &state.spec(*id).source.table;
                tracing::warn!(%table, %worker, "two workers have claimed the table; the first result counts");
                return;
            }
            Notice::Retry {
                table,
                attempt,
                failure,
                ..
            } => {
                let table = state.spec(*table).source.table.to_string();
                fields.insert("table".to_owned(), json!(table));
                fields.insert("attempt".to_owned(), json!(attempt.0));
                fields.insert("error_type".to_owned(), json!(failure.kind.to_string()));
            }
            Notice::LeaseExpired { table, worker } => {
                let table = state.spec(*table).source.table.to_string();
                fields.insert("table".to_owned(), json!(table));
                fields.insert("worker".to_owned(), json!(worker.as_str()));
            }
            _ => {}
        }
        if let Some(line) = self.line_of(state, notice) {
            self.print(Level::WARN, &line, fields);
        }
    }

    fn line_of(&self, state: &RunState, notice: &Notice) -> Option<String> {
        let table = |id| &state.spec(id).source.table;
        let queue = &self.task_queue;
        Some(match notice {
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
            Notice::DuplicateClaim { .. } => return None,
            Notice::Pausing => "pausing: waiting until running comparisons have stopped; interrupt again, after 2 s or later, to leave at once".to_owned(),
            Notice::Cancelling(CancelReason::Requested) => "cancelling: waiting until running comparisons have stopped; interrupt again, after 2 s or later, to end at once".to_owned(),
            Notice::Cancelling(CancelReason::FailFast) => {
                let cause = state.root_cause()?;
                format!("cancelling: {} failed or differs, and --fail-fast is set ({})", table(cause.table), cause.kind)
            }
        })
    }

    fn table_ended(&mut self, state: &RunState, table: &str, record: &TableRecord) {
        let status = record.status();
        if status == TableStatus::Cancelled {
            self.cancelled += 1;
            return;
        }
        let level = match status {
            TableStatus::Matched | TableStatus::Mismatched | TableStatus::Cancelled => Level::INFO,
            TableStatus::Failed | TableStatus::Timeout => Level::ERROR,
        };
        let mut fields = Map::new();
        fields.insert("run".to_owned(), json!(state.run().to_string()));
        fields.insert("table".to_owned(), json!(table));
        fields.insert("status".to_owned(), json!(status.as_str()));
        if let Verdict::Compared { comparison, .. } = &record.verdict {
            fields.insert("source_rows".to_owned(), json!(comparison.source_count));
            fields.insert("target_rows".to_owned(), json!(comparison.target_count));
        }
        if let Some(took) = record.duration {
            fields.insert("duration_seconds".to_owned(), json!(took.as_secs_f64()));
        }
        self.print(level, &line(table, record), fields);
    }

    /// One line for all tables that were cancelled.
    fn print_cancelled(&self) {
        if self.cancelled > 0 {
            let mut fields = Map::new();
            fields.insert("cancelled".to_owned(), json!(self.cancelled));
            let tables = if self.cancelled == 1 {
                "table"
            } else {
                "tables"
            };
            let text = format!("cancelled  {} {tables}", self.cancelled);
            self.print(Level::INFO, &text, fields);
        }
    }

    fn show(&mut self, state: &RunState) {
        let now = state.now();
        let sampling = if self.lines.is_some() {
            REFRESH
        } else {
            SAMPLING
        };
        if now.since(self.measured) < sampling {
            return;
        }
        self.measured = now;
        let overview = self.pace.observe(state);
        if let Some(lines) = &mut self.lines {
            lines.show(state, &overview);
        } else if now.since(self.printed) >= PERIOD {
            self.printed = now;
            print_overview(state, &overview);
        }
    }
}

/// Prints the progress as one line.
fn print_overview(state: &RunState, overview: &Overview) {
    let (ended, tables) = (state.counts().total(), state.table_count());
    let mut text = overview_line(ended, tables, overview);
    if let Some(activity) = largest(state).first() {
        let of_table = of_activity(state, activity);
        let words: Vec<&str> = of_table.split_whitespace().collect();
        text.push_str(&format!("; {}", words.join(" ")));
    }
    let mut fields = Map::new();
    fields.insert("run".to_owned(), json!(state.run().to_string()));
    fields.insert("ended_tables".to_owned(), json!(ended));
    fields.insert("total_tables".to_owned(), json!(tables));
    fields.insert(
        "running_tables".to_owned(),
        json!(state.activities().count()),
    );
    if let Json::Object(of_run) = json!(overview) {
        fields.extend(of_run);
    }
    print_message(Level::INFO, text, fields);
}

impl RunObserver for Progress {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::TableEnded(id) => {
                    if let Some(record) = state.record(*id) {
                        let table = state.spec(*id).source.table.to_string();
                        self.table_ended(state, &table, record);
                    }
                }
                Effect::DatabasesKnown => {
                    if let Some((source, target)) = state.databases() {
                        self.print(Level::INFO, &format!("source     {source}"), Map::new());
                        self.print(Level::INFO, &format!("target     {target}"), Map::new());
                    }
                }
                Effect::Notice(notice) => self.notice(state, notice),
                Effect::Complete => self.print_cancelled(),
                Effect::Publish(_)
                | Effect::Control(_)
                | Effect::KeepRepair { .. }
                | Effect::KeepRepairPart { .. }
                | Effect::KeepRows { .. }
                | Effect::StatementsStopped { .. }
                | Effect::Paused => {}
            }
        }
        if !state.is_complete() {
            self.show(state);
        } else if let Some(lines) = &self.lines {
            lines.clear();
        }
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

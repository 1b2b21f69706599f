//! `reconcile history`, `report` and `status`: what the store says of runs.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use shared::config::Config;

use super::columns;
use super::execute::deliver;
use super::exit::{self, CommandError};
use super::flags::{HistoryFlags, ListFormat, ReportFlags, StatusFlags};
use super::place::directory;
use crate::report::{Output, ReportData, RunReport, write_stdout};
use crate::run_state::{RestoredTable, RunSummary};
use crate::store::{RunStore, StoreError, StoredRun};

/// `reconcile history`
pub(super) fn history(
    flags: &HistoryFlags,
    state_dir: Option<PathBuf>,
    config: &Config,
) -> Result<u8, CommandError> {
    let directory = directory(state_dir, config)?;
    let runs = match RunStore::find(&directory)? {
        None => Vec::new(),
        Some(store) => store.runs()?,
    };
    let text = match flags.format {
        ListFormat::Json => pretty(&runs.iter().map(summary).collect()),
        ListFormat::Console if runs.is_empty() => {
            format!("no runs in {}\n", directory.display())
        }
        ListFormat::Console => {
            let rows: Vec<_> = runs.iter().map(row).collect();
            let headings = [
                "run",
                "started (UTC)",
                " duration",
                "status",
                " tables",
                " matched",
                " mismatched",
                " failed",
                " timeout",
                " cancelled",
            ];
            columns::render(headings, &rows)
        }
    };
    write_stdout(&text)?;
    Ok(exit::EQUAL)
}

/// `reconcile report RUN`
pub(super) fn report(
    flags: ReportFlags,
    state_dir: Option<PathBuf>,
    config: &Config,
) -> Result<u8, CommandError> {
    let store = store(&flags.run, state_dir, config)?;
    let run = store.run(&flags.run)?;
    let report = report_of(&store, &run)?;
    let output = flags.report.output.as_deref().map(Output::prepare);
    let format = flags.report.format.or(config.run.format);
    deliver(&report, format.unwrap_or_default(), output.transpose()?)?;
    Ok(exit::of_report(&report))
}

/// The report of a run that has ended.
pub(super) fn report_of(store: &RunStore, run: &StoredRun) -> Result<RunReport, StoreError> {
    let unfinished = || StoreError::Unfinished {
        run: run.id,
        goes_on: run.is_alive,
    };
    let Some(RunSummary {
        interrupted,
        duration,
        max_workers,
        notes,
        trace_id,
        ..
    }) = run.summary.clone()
    else {
        return Err(unfinished());
    };
    let mut tables = Vec::with_capacity(run.tables);
    for (planned, stands) in store.tables(run)? {
        let RestoredTable::Ended(record) = stands else {
            return Err(unfinished());
        };
        tables.push((planned.spec, *record));
    }
    Ok(RunReport::of(ReportData {
        run: run.id,
        started_at: run.started_at,
        duration,
        max_workers,
        interrupted,
        root_cause: run
            .cancelling
            .as_ref()
            .and_then(|cancelling| cancelling.root_cause.clone()),
        tables,
        notes,
        trace_id,
    }))
}

/// The store, which a run is looked up in.
pub(super) fn store(
    run: &str,
    state_dir: Option<PathBuf>,
    config: &Config,
) -> Result<RunStore, StoreError> {
    let path = directory(state_dir, config)?;
    RunStore::find(&path)?.ok_or_else(|| StoreError::UnknownRun {
        name: run.to_owned(),
        path,
    })
}

/// `reconcile status RUN`
pub(super) fn status(
    flags: &StatusFlags,
    state_dir: Option<PathBuf>,
    config: &Config,
) -> Result<u8, CommandError> {
    let store = store(&flags.run, state_dir, config)?;
    let run = store.run(&flags.run)?;
    let running = running(&store, &run)?;
    let text = match flags.format {
        ListFormat::Json => {
            let mut status = summary(&run);
            status["running"] = running.iter().map(RunningTable::json).collect();
            status["seen"] = json!(run.running.as_ref().map(|running| iso(running.at)));
            status["workers"] = json!(run.running.as_ref().map(|running| running.workers));
            pretty(&status)
        }
        ListFormat::Console => status_text(&run, &running),
    };
    write_stdout(&text)?;
    Ok(exit::EQUAL)
}

fn status_text(run: &StoredRun, running: &[RunningTable]) -> String {
    let mut text = format!(
        "run {}  {}, started {} UTC\n{} of {} tables have ended: {} matched, {} mismatched, {} failed, {} timed out, {} cancelled\n",
        run.id,
        word(run),
        clock(run.started_at),
        run.counts.total(),
        run.tables,
        run.counts.matched,
        run.counts.mismatched,
        run.counts.failed,
        run.counts.timeout,
        run.counts.cancelled,
    );
    if let Some(seen) = run.running.as_ref().filter(|_| run.is_alive) {
        let ago = (Utc::now() - seen.at).to_std().unwrap_or_default();
        // Writing to memory cannot fail.
        writeln!(
            text,
            "{} workers alive, {} tables running, as of {} ago",
            seen.workers,
            running.len(),
            whole_seconds(ago)
        )
        .ok();
        if !running.is_empty() {
            let rows: Vec<_> = running.iter().map(RunningTable::row).collect();
            let headings = [
                "table",
                "worker",
                "since (UTC)",
                " source rows",
                " target rows",
            ];
            text.push('\n');
            text.push_str(&columns::render(headings, &rows));
        }
    }
    if run.summary.is_none() && !run.is_alive {
        writeln!(
            text,
            "its coordinator is gone; go on with `reconcile resume {}`",
            run.id
        )
        .ok();
    }
    text
}

/// A table that a worker is at.
struct RunningTable {
    table: String,
    worker: String,
    since: DateTime<Utc>,
    source_rows: u64,
    target_rows: u64,
}

impl RunningTable {
    fn row(&self) -> [String; 5] {
        [
            self.table.clone(),
            self.worker.clone(),
            clock(self.since),
            self.source_rows.to_string(),
            self.target_rows.to_string(),
        ]
    }

    fn json(&self) -> Json {
        json!({
            "table": self.table,
            "worker": self.worker,
            "since": iso(self.since),
            "source_rows": self.source_rows,
            "target_rows": self.target_rows,
        })
    }
}

fn running(store: &RunStore, run: &StoredRun) -> Result<Vec<RunningTable>, StoreError> {
    let Some(running) = run.running.as_ref().filter(|_| run.is_alive) else {
        return Ok(Vec::new());
    };
    let names = store.table_names(run.id)?;
    let activities = running.activities.iter().map(|activity| RunningTable {
        table: names
            .get(activity.table.index())
            .cloned()
            .unwrap_or_default(),
        worker: activity.worker.to_string(),
        since: activity.since,
        source_rows: activity.source_rows,
        target_rows: activity.target_rows,
    });
    Ok(activities.collect())
}

/// How a run stands, in a word.
fn word(run: &StoredRun) -> &'static str {
    match &run.summary {
        Some(summary) => summary.status.as_str(),
        None if run.is_alive && run.cancelling.is_some() => "cancelling",
        None if run.is_alive => "running",
        None => "stopped",
    }
}

/// How long a run took, or has taken so far; unknown for one whose coordinator is gone.
fn duration(run: &StoredRun) -> Option<Duration> {
    match &run.summary {
        Some(summary) => Some(summary.duration),
        None if run.is_alive => (Utc::now() - run.started_at).to_std().ok(),
        None => None,
    }
}

fn row(run: &StoredRun) -> [String; 10] {
    [
        run.id.to_string(),
        clock(run.started_at),
        duration(run).map_or_else(|| "-".to_owned(), whole_seconds),
        word(run).to_owned(),
        run.tables.to_string(),
        run.counts.matched.to_string(),
        run.counts.mismatched.to_string(),
        run.counts.failed.to_string(),
        run.counts.timeout.to_string(),
        run.counts.cancelled.to_string(),
    ]
}

fn summary(run: &StoredRun) -> Json {
    json!({
        "run_id": run.id.to_string(),
        "started": iso(run.started_at),
        "duration_seconds": duration(run).map(|duration| duration.as_secs_f64()),
        "status": word(run),
        "interrupted": run.summary.as_ref().is_some_and(|summary| summary.interrupted),
        "total_tables": run.tables,
        "matched": run.counts.matched,
        "mismatched": run.counts.mismatched,
        "failed": run.counts.failed,
        "timeout": run.counts.timeout,
        "cancelled": run.counts.cancelled,
    })
}

pub(super) fn pretty(value: &Json) -> String {
    format!("{value:#}\n")
}

pub(super) fn whole_seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        format!("{:.1}s", duration.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
    }
}

fn clock(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

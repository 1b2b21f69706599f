//! `reconcile history` and `status`: print stored runs.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use shared::config::Config;
use shared::outcome::Depth;

use super::exit::CommandError;
use super::flags::{HistoryFlags, ListFormat, StatusFlags};
use super::lists::{columns, pretty_json, print, seconds};
use super::state_dir::{open_store, state_dir};
use crate::run_state::RunSummary;
use crate::store::{RunStore, RunningTable, StoreError, StoredRun};

pub(super) fn history(flags: &HistoryFlags, config: &Config) -> Result<u8, CommandError> {
    let directory = state_dir(config)?;
    let runs = match RunStore::find(&directory)? {
        None => Vec::new(),
        Some(store) => store.runs()?,
    };
    let text = match flags.format {
        ListFormat::Json => pretty_json(&runs.iter().map(summary).collect()),
        ListFormat::Console if runs.is_empty() => {
            format!("no runs in {}\n", directory.display())
        }
        ListFormat::Console => {
            let rows: Vec<_> = runs.iter().map(row_of).collect();
            let headings = [
                "run",
                "started (UTC)",
                " duration",
                "status",
                "depth",
                " tables",
                " matched",
                " mismatched",
                " failed",
                " timeout",
                " cancelled",
            ];
            columns(headings, &rows)
        }
    };
    print(&text)
}

pub(super) fn status(flags: &StatusFlags, config: &Config) -> Result<u8, CommandError> {
    let store = open_store(&flags.run, config)?;
    let run = store.run(&flags.run)?;
    let running = running(&store, &run)?;
    let text = match flags.format {
        ListFormat::Json => {
            let mut status = summary(&run);
            status["running"] = running.iter().map(json_of_running).collect();
            status["seen"] = json!(run.running.as_ref().map(|running| iso(running.at)));
            status["workers"] = json!(run.running.as_ref().map(|running| running.workers));
            pretty_json(&status)
        }
        ListFormat::Console => status_text(&run, &running),
    };
    print(&text)
}

fn status_text(run: &StoredRun, running: &[(String, &RunningTable)]) -> String {
    let mut text = format!(
        "run {}  {}, started {} UTC\n{} of {} tables have ended: {} matched, {} mismatched, {} failed, {} timed out, {} cancelled\n",
        run.id,
        status_of(run),
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
            seconds(ago)
        )
        .ok();
        if !running.is_empty() {
            let rows: Vec<_> = running.iter().map(row_of_running).collect();
            let headings = [
                "table",
                "worker",
                "since (UTC)",
                " source rows",
                " target rows",
            ];
            text.push('\n');
            text.push_str(&columns(headings, &rows));
        }
    }
    if run.summary.is_none() && !run.is_alive {
        writeln!(
            text,
            "its coordinator has ended; continue the run with `reconcile resume {}`",
            run.id
        )
        .ok();
    }
    text
}

/// The tables that are being compared, with their names.
fn running<'a>(
    store: &RunStore,
    run: &'a StoredRun,
) -> Result<Vec<(String, &'a RunningTable)>, StoreError> {
    let Some(running) = run.running.as_ref().filter(|_| run.is_alive) else {
        return Ok(Vec::new());
    };
    let names = store.table_names(run.id)?;
    let name = |activity: &RunningTable| names.get(activity.table.index()).cloned();
    let activities = running.activities.iter();
    Ok(activities
        .map(|activity| (name(activity).unwrap_or_default(), activity))
        .collect())
}

fn row_of_running((table, activity): &(String, &RunningTable)) -> [String; 5] {
    [
        table.clone(),
        activity.worker.to_string(),
        clock(activity.since),
        activity.source_rows.to_string(),
        activity.target_rows.to_string(),
    ]
}

fn json_of_running((table, activity): &(String, &RunningTable)) -> Json {
    json!({
        "table": table,
        "worker": activity.worker,
        "since": iso(activity.since),
        "source_rows": activity.source_rows,
        "target_rows": activity.target_rows,
    })
}

fn status_of(run: &StoredRun) -> &'static str {
    match &run.summary {
        Some(ended) => ended.status.as_str(),
        None if run.is_alive && run.cancelling.is_some() => "cancelling",
        None if run.is_alive => "running",
        None => "stopped",
    }
}

/// The duration of a run up to its end or until now; unknown if its coordinator was killed.
fn duration(run: &StoredRun) -> Option<Duration> {
    match &run.summary {
        Some(ended) => Some(ended.duration),
        None if run.is_alive => (Utc::now() - run.started_at).to_std().ok(),
        None => None,
    }
}

/// The depth of a run that has ended; unknown of runs of earlier versions.
fn depth_of(run: &StoredRun) -> Option<Depth> {
    run.summary.as_ref()?.depth
}

fn row_of(run: &StoredRun) -> [String; 11] {
    [
        run.id.to_string(),
        clock(run.started_at),
        duration(run).map_or_else(|| "-".to_owned(), seconds),
        status_of(run).to_owned(),
        depth_of(run).map_or("-", Depth::as_str).to_owned(),
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
        "status": status_of(run),
        "verdict": run.summary.as_ref().and_then(RunSummary::verdict),
        "depth": depth_of(run),
        "interrupted": run.summary.as_ref().is_some_and(|ended| ended.interrupted),
        "total_tables": run.tables,
        "matched": run.counts.matched,
        "mismatched": run.counts.mismatched,
        "failed": run.counts.failed,
        "timeout": run.counts.timeout,
        "cancelled": run.counts.cancelled,
    })
}

fn clock(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

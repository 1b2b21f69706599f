//! `reconcile history` and `status`: print stored runs.

use std::time::Duration;

use chrono::{DateTime, Local, Utc};
use serde_json::{Value as Json, json};
use shared::config::Config;
use shared::message::WorkPhase;
use shared::outcome::Depth;

use super::exit::CommandError;
use super::flags::{HistoryFlags, ListFormat, StatusFlags};
use super::hint::Hint;
use super::lists::{columns, pretty_json, print, seconds};
use super::pace_text::{clipped, overview_line, rough, short};
use super::state_dir::{open_store, state_dir};
use crate::pace::{Overview, percent_of, table_left};
use crate::report::ReportVerdict;
use crate::run_state::RunSummary;
use crate::store::{RunStore, RunningTable, StoreError, StoredRun, StoredSettings};

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
        ListFormat::Console => history_text(&runs),
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
            status["progress"] = json!(run.running.as_ref().and_then(|seen| seen.overview));
            pretty_json(&status)
        }
        ListFormat::Console => status_text(&run, &running, &Hint::new(config)),
    };
    print(&text)
}

fn status_text(run: &StoredRun, running: &[(String, &RunningTable)], hint: &Hint) -> String {
    let name = run.settings.name.as_ref();
    let mut text = format!(
        "run {}{}\n{}, started {}, {} ago\n",
        run.id,
        name.map(|name| format!("  {name}")).unwrap_or_default(),
        status_of(run),
        local(run.started_at),
        rough(age(run.started_at)),
    );
    let seen = run.running.as_ref().filter(|_| run.summary.is_none());
    if let Some(overview) = seen.and_then(|seen| seen.overview) {
        // The speed of a run that has stopped is not the present one.
        let overview = if run.is_alive {
            overview
        } else {
            Overview {
                percent: overview.percent,
                source_rows_per_second: None,
                target_rows_per_second: None,
                seconds_left: None,
            }
        };
        text.push_str(&overview_line(run.counts.total(), run.tables, &overview));
        text.push('\n');
    }
    text.push_str(&format!(
        "{} of {} tables have ended: {} matched, {} mismatched, {} failed, {} timed out, {} cancelled\n",
        run.counts.total(),
        run.tables,
        run.counts.matched,
        run.counts.mismatched,
        run.counts.failed,
        run.counts.timeout,
        run.counts.cancelled,
    ));
    if let Some(seen) = seen.filter(|_| run.is_alive) {
        text.push_str(&format!(
            "{} workers alive, {} tables running, as of {} ago\n",
            seen.workers,
            running.len(),
            seconds(age(seen.at))
        ));
        if !running.is_empty() {
            let rows: Vec<_> = running.iter().map(row_of_running).collect();
            let headings = [
                "table", "phase", " done", " source", " target", " for", " left", "worker",
            ];
            text.push('\n');
            text.push_str(&columns(headings, &rows));
        }
    }
    if let Some(advice) = advice(run, hint) {
        text.push_str(&advice);
        text.push('\n');
    }
    text
}

/// What the user can do with a run that has not ended and has no coordinator.
fn advice(run: &StoredRun, hint: &Hint) -> Option<String> {
    if run.summary.is_some() || run.is_alive {
        return None;
    }
    let (id, settings) = (run.id, &run.settings);
    Some(if run.cancelling.is_some() {
        format!(
            "its coordinator ended while it was cancelling the run; end the run with `{}`",
            hint.cancel(id, settings)
        )
    } else if is_paused(run) {
        format!("continue it with `{}`", hint.resume(id, settings))
    } else {
        format!(
            "its coordinator has ended; continue the run with `{}`",
            hint.resume(id, settings)
        )
    })
}

/// Whether the last coordinator of an unfinished run has paused it.
fn is_paused(run: &StoredRun) -> bool {
    run.running.as_ref().is_some_and(|seen| seen.is_paused)
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

fn row_of_running((table, activity): &(String, &RunningTable)) -> [String; 8] {
    let read = activity.source_rows.max(activity.target_rows);
    let (expected, phase) = (activity.expected_rows, activity.phase);
    let elapsed = age(activity.since);
    let unknown = || "-".to_owned();
    let left = table_left(read, expected, phase, elapsed);
    [
        clipped(table, 30),
        phase.map_or("-", WorkPhase::as_str).to_owned(),
        percent_of(read, expected, phase).map_or_else(unknown, |percent| format!("{percent}%")),
        short(activity.source_rows),
        short(activity.target_rows),
        rough(elapsed),
        left.map_or_else(unknown, rough),
        activity.worker.to_string(),
    ]
}

fn json_of_running((table, activity): &(String, &RunningTable)) -> Json {
    let read = activity.source_rows.max(activity.target_rows);
    let (expected, phase) = (activity.expected_rows, activity.phase);
    let left = table_left(read, expected, phase, age(activity.since));
    json!({
        "table": table,
        "worker": activity.worker,
        "since": iso(activity.since),
        "phase": phase,
        "source_rows": activity.source_rows,
        "target_rows": activity.target_rows,
        "expected_rows": expected,
        "percent": percent_of(read, expected, phase),
        "seconds_left": left.map(|left| left.as_secs()),
    })
}

fn status_of(run: &StoredRun) -> &'static str {
    match &run.summary {
        Some(ended) => ended.status.as_str(),
        None if run.is_alive && run.cancelling.is_some() => "cancelling",
        None if run.is_alive => "running",
        None if run.cancelling.is_none() && is_paused(run) => "paused",
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

/// The columns of a terminal that a list of runs takes at most.
const WIDTH: usize = 80;

/// The characters of a name that are shown at most.
const NAME: usize = 14;

/// The digits of an identifier that are shown at least.
const SHORTEST_ID: usize = 8;

/// The runs in columns, and the zone of their times.
fn history_text(runs: &[StoredRun]) -> String {
    let ids: Vec<String> = runs.iter().map(|run| run.id.to_string()).collect();
    let shown = shown_ids(&ids);
    let headings = [
        "run",
        "started",
        " took",
        "result",
        " ended",
        "name",
        "source > target",
    ];
    let rows: Vec<[String; 7]> = runs
        .iter()
        .zip(shown)
        .map(|(run, id)| {
            let StoredSettings { source, target, .. } = &run.settings;
            let result = run.summary.as_ref().and_then(RunSummary::verdict);
            [
                id.to_owned(),
                run.started_at
                    .with_timezone(&Local)
                    .format("%m-%d %H:%M")
                    .to_string(),
                duration(run).map_or_else(|| "-".to_owned(), rough),
                result
                    .map_or_else(|| status_of(run), ReportVerdict::as_str)
                    .replace('_', " "),
                format!("{}/{}", run.counts.total(), run.tables),
                clipped(run.settings.name.as_deref().unwrap_or_default(), NAME),
                format!("{} > {}", source.name, target.name),
            ]
        })
        .collect();
    let lines = columns(headings, &rows);
    let lines = lines.lines().map(|line| clipped(line, WIDTH));
    let zone = Local::now().format("%:z");
    format!(
        "{}\ntimes are local ({zone}); `reconcile report RUN` prints a report\n",
        lines.collect::<Vec<_>>().join("\n")
    )
}

/// For each identifier the shortest beginning that no other one has, at least [`SHORTEST_ID`]
/// digits.
fn shown_ids(ids: &[String]) -> Vec<&str> {
    let mut sorted: Vec<&str> = ids.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let common = |one: &str, other: &str| {
        let pairs = one.bytes().zip(other.bytes());
        pairs.take_while(|(one, other)| one == other).count()
    };
    ids.iter()
        .map(|id| {
            let at = sorted.partition_point(|other| *other < id.as_str());
            let before = at.checked_sub(1).map(|before| sorted[before]);
            let after = sorted.get(at + 1).copied();
            let neighbours = [before, after].into_iter().flatten();
            let shared = neighbours.map(|other| common(id, other)).max();
            let digits = shared.map_or(SHORTEST_ID, |shared| SHORTEST_ID.max(shared + 1));
            id.get(..digits).unwrap_or(id)
        })
        .collect()
}

fn summary(run: &StoredRun) -> Json {
    json!({
        "run_id": run.id.to_string(),
        "name": run.settings.name,
        "source": run.settings.source.name,
        "target": run.settings.target.name,
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

/// A time in the zone of this machine, with its offset.
fn local(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local)
        .format("%Y-%m-%d %H:%M:%S %:z")
        .to_string()
}

/// The time since `time`; zero if the clock was set back.
fn age(time: DateTime<Utc>) -> Duration {
    (Utc::now() - time).to_std().unwrap_or_default()
}

fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_identifiers_differ() {
        let ids = [
            "0198c0de-0001-7000",
            "0198c0de-0002-7000",
            "f3a9c0de-0002-4000",
        ]
        .map(str::to_owned);
        assert_eq!(
            shown_ids(&ids),
            ["0198c0de-0001", "0198c0de-0002", "f3a9c0de"]
        );
        assert_eq!(shown_ids(&ids[2..]), ["f3a9c0de"]);
    }
}

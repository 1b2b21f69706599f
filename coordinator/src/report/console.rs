//! The report for the console: the verdict first, then what needs attention.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde_json::Value;
use shared::failure::FailureKind;
use shared::outcome::{Difference, DifferenceKind, SideRead};

use super::model::{RepairReport, RootCauseReport, RunReport, TableError, TableResult, cause_line};
use crate::run_state::{RunStatus, TableStatus};

const MOST_ROWS: usize = 5;

/// Characters of the longest value that is shown in full.
const LONGEST_VALUE: usize = 40;

const MOST_CAUSES: usize = 5;

const MOST_COLUMNS: usize = 4;

// Parameters of the escape sequence `ESC [ … m`.
const GREEN: &str = "1;32";
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const DIM: &str = "2";
const BOLD: &str = "1";

pub(super) fn render(report: &RunReport, colour: bool) -> String {
    let mut console = Console {
        text: String::new(),
        colour,
    };
    console
        .report(report)
        .expect("writing into memory cannot fail");
    console.text
}

struct Console {
    text: String,
    colour: bool,
}

impl Console {
    fn paint(&self, text: &str, colour: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn heading(&mut self, text: &str) -> fmt::Result {
        let heading = self.paint(text, BOLD);
        writeln!(self.text, "\n{heading}")
    }

    fn dim(&mut self, indent: &str, line: &str) -> fmt::Result {
        let line = self.paint(line, DIM);
        writeln!(self.text, "{indent}{line}")
    }

    fn report(&mut self, report: &RunReport) -> fmt::Result {
        self.verdict(report)?;
        self.counts(report)?;
        if let Some(RootCauseReport { table, kind, error }) = &report.root_cause {
            let label = self.paint("ended by", BOLD);
            writeln!(self.text, "\n{label} {table}: {kind}: {error}")?;
        }
        self.unverified(report)?;
        self.mismatched(report)?;
        self.notes(report)
    }

    fn verdict(&mut self, report: &RunReport) -> fmt::Result {
        let (colour, words) = match report.status {
            RunStatus::Pass => (GREEN, "every table was verified and is equal"),
            RunStatus::Fail if report.mismatched == 0 => (
                RED,
                "every table was verified and is equal, but the target has more tables",
            ),
            RunStatus::Fail => (RED, "every table was verified, and some differ"),
            RunStatus::Incomplete if report.interrupted => {
                (YELLOW, "interrupted; some tables were not verified")
            }
            RunStatus::Incomplete => (YELLOW, "some tables could not be verified"),
        };
        let word = self.paint(report.status.as_str(), colour);
        writeln!(self.text, "{word}  {words}")
    }

    fn counts(&mut self, report: &RunReport) -> fmt::Result {
        let counts = [
            (report.matched, TableStatus::Matched),
            (report.mismatched, TableStatus::Mismatched),
            (report.failed, TableStatus::Failed),
            (report.timeout, TableStatus::Timeout),
            (report.cancelled, TableStatus::Cancelled),
        ];
        let named: Vec<String> = counts
            .iter()
            .filter(|(count, status)| *count > 0 || status.is_verified())
            .map(|(count, status)| format!("{count} {status}"))
            .collect();
        let tables = plural(report.total_tables, "table");
        writeln!(
            self.text,
            "{tables}: {}, in {:.1} s",
            named.join(", "),
            report.duration_seconds
        )?;
        let mut line = format!("run {} of {}", report.run_id, report.timestamp);
        if let Some(trace) = &report.trace_id {
            line.push_str(", trace ");
            line.push_str(trace);
        }
        self.dim("", &line)
    }

    /// Cancelled tables are only counted: there may be many, and they failed of nothing.
    fn unverified(&mut self, report: &RunReport) -> fmt::Result {
        let (cancelled, failed): (Vec<&TableError>, Vec<_>) = report
            .errors
            .iter()
            .partition(|error| error.kind == FailureKind::CancelledError);
        if !failed.is_empty() {
            self.heading("Not verified")?;
            let width = widest(failed.iter().map(|error| error.table.as_str()));
            for error in failed {
                let TableError {
                    table,
                    kind,
                    error: what,
                    ..
                } = error;
                writeln!(self.text, "  {table:width$}  {kind}: {what}")?;
                if error.attempt > 1 {
                    let worker = error.worker.as_deref();
                    let worker = worker
                        .map(|worker| format!(" on {worker}"))
                        .unwrap_or_default();
                    let attempt = format!("attempt {}{worker}", error.attempt);
                    let attempt = self.paint(&attempt, DIM);
                    writeln!(self.text, "  {:width$}  {attempt}", "")?;
                }
            }
        }
        if !cancelled.is_empty() {
            let tables = plural(cancelled.len(), "table");
            writeln!(
                self.text,
                "\n{tables} cancelled before it could be verified"
            )?;
        }
        Ok(())
    }

    fn mismatched(&mut self, report: &RunReport) -> fmt::Result {
        let mismatched: Vec<(String, &TableResult)> = report
            .results
            .iter()
            .filter(|result| result.status == TableStatus::Mismatched)
            .map(|result| (title(result), result))
            .collect();
        if mismatched.is_empty() {
            return Ok(());
        }
        self.heading("Different")?;
        let width = widest(mismatched.iter().map(|(title, _)| title.as_str()));
        for (title, result) in mismatched {
            writeln!(self.text, "  {title:width$}  {}", summary(result))?;
            self.rows(result)?;
            if let Some(repair) = &result.repair {
                self.repair(repair)?;
            }
            self.causes(result)?;
            if let (Some(source), Some(target)) = (&result.source_read, &result.target_read) {
                let read = format!("read: source {}, target {}", when(source), when(target));
                self.dim("    ", &read)?;
            }
        }
        Ok(())
    }

    fn rows(&mut self, result: &TableResult) -> fmt::Result {
        for difference in result.differences.iter().take(MOST_ROWS) {
            writeln!(self.text, "    {}", row(difference))?;
        }
        let listed = result.differences.len().min(MOST_ROWS) as u64;
        let counts = [result.missing, result.extra, result.modified];
        let all: u64 = counts.into_iter().flatten().sum();
        if listed > 0 && all > listed {
            self.dim("    ", &format!("… and {} more", all - listed))?;
        }
        Ok(())
    }

    fn repair(&mut self, repair: &RepairReport) -> fmt::Result {
        if let Some(file) = &repair.file {
            let count = plural(
                usize::try_from(repair.statements).unwrap_or(usize::MAX),
                "row",
            );
            writeln!(self.text, "    repair of {count}: {file}")?;
        }
        for note in &repair.notes {
            writeln!(self.text, "    repair: {note}")?;
        }
        Ok(())
    }

    fn causes(&mut self, result: &TableResult) -> fmt::Result {
        if result.causes.is_empty() {
            return Ok(());
        }
        let among = if result.truncated == Some(true) {
            ", among the rows that are listed"
        } else {
            ""
        };
        writeln!(self.text, "    known causes{among}:")?;
        for cause in result.causes.iter().take(MOST_CAUSES) {
            writeln!(self.text, "      {}", cause_line(cause))?;
            if let Some(option) = &cause.option {
                self.dim("        ", &format!("{option} absorbs it"))?;
            }
        }
        if result.causes.len() > MOST_CAUSES {
            let more = result.causes.len() - MOST_CAUSES;
            self.dim("      ", &format!("… and {more} more"))?;
        }
        Ok(())
    }

    fn notes(&mut self, report: &RunReport) -> fmt::Result {
        let mut noted = report
            .results
            .iter()
            .filter(|result| !result.notes.is_empty())
            .peekable();
        let reads = reads(&report.results);
        if noted.peek().is_none() && report.notes.is_empty() && reads.is_empty() {
            return Ok(());
        }
        self.heading("Notes")?;
        for note in reads.iter().chain(&report.notes) {
            writeln!(self.text, "  {note}")?;
        }
        for result in noted {
            for note in &result.notes {
                writeln!(self.text, "  {}: {note}", result.table)?;
            }
        }
        Ok(())
    }
}

/// `source`, or `source = target` where the names differ.
fn title(result: &TableResult) -> String {
    if result.table == result.target {
        result.table.clone()
    } else {
        format!("{} = {}", result.table, result.target)
    }
}

fn summary(result: &TableResult) -> String {
    let counts = match (result.source_count, result.target_count) {
        (Some(source), Some(target)) if source == target => format!("{source} rows on both sides"),
        (Some(source), Some(target)) => {
            let difference = result.difference.unwrap_or_default();
            format!("{source} rows in the source, {target} in the target ({difference:+})")
        }
        _ => String::new(),
    };
    let rows = match (result.missing, result.extra, result.modified) {
        (Some(missing), Some(extra), Some(modified)) => {
            let settled = match result.settled {
                Some(settled) if settled > 0 => format!("; {settled} more settled"),
                _ => String::new(),
            };
            format!("; {missing} missing, {extra} extra, {modified} modified{settled}")
        }
        _ if result.checksum_match == Some(false) => {
            "; checksums differ; --row-level finds the rows".to_owned()
        }
        _ => String::new(),
    };
    counts + &rows
}

/// `2026-01-31T12:00:00.000Z to 2026-01-31T12:00:09.120Z`
fn when(read: &SideRead) -> String {
    format!("{} to {}", read.started_at, read.finished_at)
}

/// The isolation levels under which tables were read, one line for each pair of levels.
fn reads(results: &[TableResult]) -> Vec<String> {
    let mut tables: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for result in results {
        if let (Some(source), Some(target)) = (&result.source_read, &result.target_read) {
            let levels = (source.isolation.as_str(), target.isolation.as_str());
            tables.entry(levels).or_default().push(&result.table);
        }
    }
    let one_pair = tables.len() == 1;
    tables
        .into_iter()
        .map(|((source, target), tables)| {
            let which = match tables.as_slice() {
                _ if one_pair => String::new(),
                few @ ([_] | [_, _] | [_, _, _]) => format!("{}: ", few.join(", ")),
                many => format!("{}: ", plural(many.len(), "table")),
            };
            format!("{which}read under {source} in the source, {target} in the target")
        })
        .collect()
}

/// "modified  id=7: v 'v' → 'w'"
fn row(difference: &Difference) -> String {
    let kind = match difference.kind {
        DifferenceKind::Missing => "missing ",
        DifferenceKind::Extra => "extra   ",
        DifferenceKind::Modified => "modified",
    };
    let mut text = kind.to_owned();
    for (name, value) in &difference.key {
        text += &format!("  {name}={}", show(value));
    }
    for column in difference.columns.iter().take(MOST_COLUMNS) {
        let (source, target) = (show(&column.source), show(&column.target));
        text += &match difference.kind {
            DifferenceKind::Modified => format!("  {}: {source} → {target}", column.name),
            DifferenceKind::Missing => format!("  {}: {source}", column.name),
            DifferenceKind::Extra => format!("  {}: {target}", column.name),
        };
    }
    if difference.columns.len() > MOST_COLUMNS {
        text += &format!(
            "  … {} more columns",
            difference.columns.len() - MOST_COLUMNS
        );
    }
    text
}

/// A value on one line, of bounded length and without control characters. Only
/// strings are quoted.
fn show(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("'{}'", text.escape_debug()),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn widest<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

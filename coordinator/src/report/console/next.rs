//! Which command helps next, at the end of a report with differences.

use std::path::Path;

use shared::outcome::Depth;

use super::page::{Page, widest};
use crate::report::examples::differing;
use crate::report::model::{RunReport, TableResult};
use crate::report::visible::printable;
use crate::run_state::TableStatus;

pub(super) fn next(page: &mut Page, report: &RunReport) {
    let steps = steps(report);
    let width = widest(steps.iter().map(|(command, _)| command.as_str()));
    for (at, (command, purpose)) in steps.iter().enumerate() {
        let label = if at == 0 { "\nnext: " } else { "      " };
        page.line(label, &format!("{command:width$}  {purpose}"));
    }
}

/// Commands, and what each is for. None where the engine compared no table, as in a run of a
/// program that embeds the library.
fn steps(report: &RunReport) -> Vec<(String, String)> {
    if report.scope.tables == 0 {
        return Vec::new();
    }
    let mismatched = report
        .results
        .iter()
        .filter(|result| result.status == TableStatus::Mismatched);
    let mismatched: Vec<&TableResult> = mismatched.collect();
    let rows_differ = |result: &&TableResult| differing(result) > 0;
    let structure_differs = |result: &&TableResult| {
        let coverage = result.coverage.as_ref();
        coverage.is_some_and(|coverage| coverage.structure_differs())
    };
    let run = |flags: &str| format!("reconcile run … {flags}");
    let mut steps = Vec::new();
    let mut step = |command: String, purpose: &str| steps.push((command, purpose.to_owned()));
    if mismatched.iter().any(structure_differs) {
        step(
            "columns.map, columns.exclude".to_owned(),
            "in [[tables]] name the partner of a missing column, or leave it out",
        );
    }
    if report.depth < Depth::Rows && !mismatched.is_empty() {
        step(run("--row-level"), "lists the rows that differ");
    }
    if !mismatched.iter().any(rows_differ) {
        return steps;
    }
    if !report.requested.all_rows {
        step(
            run("--rows-output rows.jsonl"),
            "writes every row that differs to a file",
        );
    }
    if report.requested.repair {
        if let Some(directory) = repair_directory(&mismatched) {
            step(
                format!("reconcile apply {directory} --dry-run"),
                "tries the repair and rolls it back",
            );
        }
    } else {
        step(
            run("--generate-repair"),
            "writes statements that make the target equal",
        );
    }
    if !report.requested.recheck {
        step(
            run("--recheck 3"),
            "leaves out rows that arrive late in the target",
        );
    }
    steps
}

/// The directory of the repair scripts.
fn repair_directory(mismatched: &[&TableResult]) -> Option<String> {
    let mut repairs = mismatched
        .iter()
        .filter_map(|result| result.repair.as_ref()?.file.as_deref());
    let directory = Path::new(repairs.next()?).parent()?;
    Some(printable(&directory.display().to_string()))
}

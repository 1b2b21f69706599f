//! One table with all that is stored of it, and its differing rows.

use shared::coverage::{ColumnSide, Coverage, KeyOrigin, PairedColumn, Uncompared};

use super::page::{BOLD, GREEN, Page, RED, YELLOW, widest};
use crate::report::examples::{Examples, Legend, Limits, ShownRow, differing};
use crate::report::model::{RunReport, TableError, TableResult, cause_line, rule_line};
use crate::report::scope::pairing_word;
use crate::report::slowest::duration;
use crate::report::visible::{name, printable, value, values};
use crate::report::wording::{
    error_line, missing, plural, read_times, rule_text, status_word, structure, summary,
    table_notes, title,
};
use crate::run_state::TableStatus;

/// How many differing rows are shown with the table.
const EXAMPLES: Limits = Limits {
    rows: 5,
    columns: usize::MAX,
};

pub(in crate::report) fn table(
    report: &RunReport,
    (result, error): (&TableResult, Option<&TableError>),
    colour: bool,
) -> String {
    let mut page = Page::new(colour);
    verdict(&mut page, report, result);
    if let Some(error) = error {
        failed(&mut page, error);
    }
    comparison(&mut page, result);
    if let Some(coverage) = &result.coverage {
        columns(&mut page, coverage);
    }
    causes(&mut page, result);
    differences(&mut page, result);
    repair(&mut page, result);
    let notes = table_notes(result);
    if !notes.is_empty() {
        page.heading("Notes");
        for note in notes {
            page.line("  ", &note);
        }
    }
    page.into_text()
}

/// The differing rows that are stored of a table, each with all its columns.
pub(in crate::report) fn rows(result: &TableResult, colour: bool) -> String {
    let mut page = Page::new(colour);
    let stored = result.differences.len();
    let count = match (result.missing, result.depth) {
        (None, None) => "its rows were not compared".to_owned(),
        (None, Some(depth)) => format!(
            "which rows differ is not known: it was compared to the depth `{}`",
            depth.as_str()
        ),
        (Some(_), _) if stored as u64 == differing(result) => plural(stored, "differing row"),
        (Some(_), _) => format!(
            "{stored} of {} differing rows; the others are not stored",
            differing(result)
        ),
    };
    let title = page.paint(&title(result), BOLD);
    page.line("", &format!("{title}: {count}"));
    for difference in &result.differences {
        page.line("  ", &ShownRow::whole(difference).line());
    }
    page.into_text()
}

fn verdict(page: &mut Page, report: &RunReport, result: &TableResult) {
    let colour = match result.status {
        TableStatus::Matched => GREEN,
        TableStatus::Mismatched => RED,
        TableStatus::Failed | TableStatus::Timeout | TableStatus::Cancelled => YELLOW,
    };
    let word = page.paint(&status_word(result).to_uppercase(), colour);
    page.line("", &format!("{word}: {}", title(result)));
    let of_run = plural(report.total_tables, "table");
    let run = format!(
        "1 of the {of_run} of run {} of {}",
        report.run_id, report.timestamp
    );
    page.dim("", &run);
    let found = summary(result);
    if !found.is_empty() {
        page.line("", &found);
    }
}

fn failed(page: &mut Page, error: &TableError) {
    page.line("\n", &error_line(error));
    for earlier in &error.history {
        let worker = earlier.worker.as_deref();
        let worker = worker.map(|worker| format!(" on {worker}"));
        let line = format!(
            "attempt {}{}: {}: {}",
            earlier.attempt,
            worker.unwrap_or_default(),
            earlier.kind,
            earlier.error
        );
        page.line("  ", &printable(&line));
    }
}

/// How it was compared: depth, names, key, conditions, times.
fn comparison(page: &mut Page, result: &TableResult) {
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(depth) = result.depth {
        facts.push(("depth", depth.as_str().to_owned()));
    }
    if let Some(coverage) = &result.coverage {
        let pairing = coverage.table_pairing.map(pairing_word);
        let pairing = pairing.map(|word| format!(", paired: {word}"));
        let (source, target) = (&coverage.source_table, &coverage.target_table);
        let pairing = pairing.unwrap_or_default();
        facts.push(("tables", format!("{source} = {target}{pairing}")));
        facts.push(("key", key(result, coverage)));
        let conditions = [
            ("source rows where", &coverage.source_condition),
            ("target rows where", &coverage.target_condition),
        ];
        for (label, condition) in conditions {
            facts.extend(
                condition
                    .as_ref()
                    .map(|condition| (label, condition.clone())),
            );
        }
    }
    if let (Some(source), Some(target)) = (&result.source_checksum, &result.target_checksum) {
        facts.push(("checksums", format!("source {source}, target {target}")));
    }
    if let (Some(source), Some(target)) = (&result.source_read, &result.target_read) {
        let isolation = format!("source {}, target {}", source.isolation, target.isolation);
        facts.push(("isolation", isolation));
    }
    facts.extend(read_times(result).map(|times| ("read", times)));
    if let Some(seconds) = result.duration_seconds {
        let worker = result.worker.as_deref();
        let worker = worker.map(|worker| format!(", worker {worker}"));
        let attempt = result.attempt;
        let worker = worker.unwrap_or_default();
        facts.push((
            "took",
            format!("{}, attempt {attempt}{worker}", duration(seconds)),
        ));
    }
    let sessions = result.unconfirmed_sessions.iter();
    facts.extend(sessions.map(|session| ("may still run", session.to_string())));
    if facts.is_empty() {
        return;
    }
    page.heading("Comparison");
    for (label, text) in facts {
        page.line("  ", &format!("{label}: {}", printable(&text)));
    }
}

fn key(result: &TableResult, coverage: &Coverage) -> String {
    if result.key.is_empty() {
        return "none: rows are compared as a multiset, or only counted".to_owned();
    }
    let origin = coverage.key_origin.map(|origin| match origin {
        KeyOrigin::Given => ", given by the user",
        KeyOrigin::Source => ", declared by the source",
        KeyOrigin::Target => ", declared by the target",
    });
    format!("{}{}", result.key.join(", "), origin.unwrap_or_default())
}

fn columns(page: &mut Page, coverage: &Coverage) {
    page.heading("Columns");
    let titles: Vec<String> = coverage.columns.iter().map(paired).collect();
    let width = widest(titles.iter().map(String::as_str));
    for (title, column) in titles.iter().zip(&coverage.columns) {
        let mut remarks = vec![format!("paired: {}", pairing_word(column.pairing))];
        remarks.extend(
            column
                .rule
                .as_ref()
                .map(|rule| format!("rule: {}", rule_text(rule))),
        );
        let narrowed = column.narrowed.as_ref();
        remarks.extend(narrowed.map(|narrowed| format!("the target cannot hold {narrowed}")));
        let remarks = printable(&remarks.join("; "));
        page.line("  ", &format!("{title:width$}  {remarks}"));
    }
    for column in &coverage.missing_columns {
        page.line("  ", &missing(column));
    }
    for column in &coverage.uncompared {
        let side = match column.side {
            ColumnSide::Source => "source",
            ColumnSide::Target => "target",
        };
        let reason = match column.reason {
            Uncompared::LeftOut => "left out by the user",
            Uncompared::Computed => "computed by the source",
            Uncompared::TargetOnly => "only in the target",
            Uncompared::TargetOnlyRequired => "only in the target, NOT NULL and without a default",
            Uncompared::SoftDeleteMark => "marks deleted rows",
        };
        let line = format!(
            "{} of the {side} is not compared: {reason}",
            name(&column.name)
        );
        page.line("  ", &line);
    }
}

/// `id int = id integer`
fn paired(column: &PairedColumn) -> String {
    let side = |column: &str, declared: &str| format!("{} {}", name(column), printable(declared));
    format!(
        "{} = {}",
        side(&column.source, &column.source_type),
        side(&column.target, &column.target_type)
    )
}

fn causes(page: &mut Page, result: &TableResult) {
    if result.causes.is_empty() {
        return;
    }
    page.heading("Known causes");
    for cause in &result.causes {
        page.line("  ", &printable(&cause_line(cause)));
        let key = cause.example.key.iter();
        let key: Vec<String> = key
            .map(|(column, of_key)| format!("{}={}", name(column), value(of_key)))
            .collect();
        let (source, target) = values(&cause.example.source, &cause.example.target);
        page.dim(
            "    ",
            &format!("for example {}: {source} → {target}", key.join("  ")),
        );
        if let Some(rule) = rule_line(cause) {
            page.dim("    ", &printable(&rule));
        }
    }
}

fn differences(page: &mut Page, result: &TableResult) {
    let structure = structure(result, usize::MAX);
    if differing(result) == 0 && structure.is_empty() {
        return;
    }
    page.heading("Differences");
    for line in structure {
        page.line("  ", &format!("structure: {line}"));
    }
    let examples = Examples::of(result, EXAMPLES);
    let mut legend = Legend::default();
    for row in &examples.rows {
        legend.note(row);
        page.line("  ", &row.line());
    }
    let meanings = legend.meanings("→: from the source's value to the target's");
    if !meanings.is_empty() {
        page.dim("  ", &meanings.join("; "));
    }
    if examples.hidden > 0 {
        let stored = result.differences.len();
        let hint = format!(
            "… and {} more; --rows prints the {} that are stored",
            examples.hidden,
            plural(stored, "row")
        );
        page.dim("  ", &hint);
    }
}

fn repair(page: &mut Page, result: &TableResult) {
    let Some(repair) = &result.repair else {
        return;
    };
    page.heading("Repair");
    let files = [("script", &repair.file), ("undo script", &repair.undo)];
    for (label, file) in files {
        if let Some(file) = file {
            page.line("  ", &printable(&format!("{label}: {file}")));
        }
    }
    page.line("  ", &format!("statements: {}", repair.statements));
    for note in &repair.notes {
        page.line("  ", &printable(note));
    }
}

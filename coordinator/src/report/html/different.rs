//! The tables that differ: their numbers, structure, causes and examples.

use maud::{Markup, html};

use super::budget::Budget;
use super::isolated::isolated;
use crate::report::examples::{Examples, Legend, Limits, ShownRow, kind_word};
use crate::report::model::{RepairReport, RunReport, TableResult, cause_line, rule_line};
use crate::report::visible::printable;
use crate::report::wording::{read_times, structure, summary, title};
use crate::run_state::TableStatus;

/// Bytes of the details of all tables.
const DETAILS: usize = 700_000;

const MOST_CAUSES: usize = 10;

/// Missing columns of one table.
const MOST_COLUMNS: usize = 10;

/// Rows that are shown of all tables together.
const MOST_ROWS: usize = 1_500;

/// Rows that are shown of one table.
const MOST_ROWS_OF_TABLE: usize = 10;

pub(super) fn different(report: &RunReport) -> Markup {
    let results = report.results.iter();
    let mismatched: Vec<&TableResult> = results
        .filter(|result| result.status == TableStatus::Mismatched)
        .collect();
    if mismatched.is_empty() && report.target_only_tables.is_empty() {
        return html! {};
    }
    let limits = Limits {
        rows: (MOST_ROWS / mismatched.len().max(1)).clamp(1, MOST_ROWS_OF_TABLE),
        columns: 6,
    };
    let mut legend = Legend::default();
    let mut budget = Budget(DETAILS);
    let all_rows = report.requested.all_rows;
    let tables = mismatched.iter().map(|result| {
        let examples = Examples::of(result, limits);
        examples.rows.iter().for_each(|row| legend.note(row));
        details(result, &examples, all_rows)
    });
    let details = budget.fit(tables);
    html! {
        section {
            h2 { "Different" }
            @for table in &details.shown { (table) }
            (details.omission(
                "differing tables",
                "“All tables” has their numbers, and the JSON report their rows",
            ))
            (target_only(report))
            (meanings(&legend))
        }
    }
}

fn details(result: &TableResult, examples: &Examples, all_rows: bool) -> Markup {
    html! {
        section {
            h3 { (isolated(&title(result))) }
            p { (summary(result)) }
            @let structure = structure(result, MOST_COLUMNS);
            @if !structure.is_empty() {
                ul { @for line in &structure { li { "structure: " (isolated(line)) } } }
            }
            (causes(result, all_rows))
            (rows(result, examples))
            @if let Some(repair) = &result.repair { (repaired(repair)) }
            @if let Some(times) = read_times(result) { p.more { "read: " (times) } }
        }
    }
}

fn causes(result: &TableResult, all_rows_were_sent: bool) -> Markup {
    let causes = &result.causes;
    html! {
        @if !causes.is_empty() {
            p {
                "Known causes"
                @if result.truncated == Some(true) && !all_rows_were_sent {
                    ", among the rows that are listed"
                }
                ":"
            }
            ul {
                @for cause in causes.iter().take(MOST_CAUSES) {
                    li {
                        (isolated(&printable(&cause_line(cause))))
                        @if let Some(rule) = rule_line(cause) {
                            br;
                            span.more { (isolated(&printable(&rule))) }
                        }
                    }
                }
                @if causes.len() > MOST_CAUSES {
                    li.more { (causes.len() - MOST_CAUSES) " more" }
                }
            }
        }
    }
}

fn rows(result: &TableResult, examples: &Examples) -> Markup {
    html! {
        @if !examples.rows.is_empty() {
            table {
                caption {
                    "Differing rows of " (isolated(&title(result)))
                    @if examples.hidden > 0 {
                        ": " (examples.rows.len()) " of "
                        (examples.rows.len() as u64 + examples.hidden)
                    }
                }
                thead { tr {
                    th scope="col" { "Row" }
                    th scope="col" { "Key" }
                    th scope="col" { "Column" }
                    th scope="col" { "Source" }
                    th scope="col" { "Target" }
                } }
                tbody { @for row in &examples.rows { (lines(row)) } }
            }
        }
    }
}

/// The lines of one differing row, one for each differing column.
fn lines(row: &ShownRow) -> Markup {
    let more = row.more_columns;
    let count = (row.columns.len() + usize::from(more > 0)).max(1);
    let key: Vec<String> = (row.key.iter())
        .map(|(column, value)| format!("{column}={value}"))
        .collect();
    let begin = html! {
        th scope="row" rowspan=(count) { (kind_word(row.kind)) }
        td.v rowspan=(count) { (isolated(&key.join("  "))) }
    };
    let mut cells: Vec<Markup> = Vec::with_capacity(count);
    for column in &row.columns {
        cells.push(html! {
            td { (isolated(&column.name)) }
            td.v { (value(column.source.as_deref())) }
            td.v { (value(column.target.as_deref())) }
        });
    }
    if more > 0 {
        cells.push(html! { td.more colspan="3" { (more) " more columns" } });
    }
    if cells.is_empty() {
        cells.push(html! { td.more colspan="3" { "the whole row" } });
    }
    html! {
        @for (at, cells) in cells.iter().enumerate() {
            tr { @if at == 0 { (begin) } (cells) }
        }
    }
}

fn value(value: Option<&str>) -> Markup {
    match value {
        Some(value) => isolated(value),
        None => html! { span.more { "no row" } },
    }
}

fn repaired(repair: &RepairReport) -> Markup {
    html! {
        ul {
            @if let Some(file) = &repair.file {
                li {
                    "repair with " (repair.statements) " statements: "
                    (isolated(&printable(file)))
                }
            }
            @for note in &repair.notes { li { "repair: " (isolated(&printable(note))) } }
        }
    }
}

/// The tables that only the target has, if they are a difference; otherwise a note names them.
fn target_only(report: &RunReport) -> Markup {
    html! {
        @if report.strict_tables && !report.target_only_tables.is_empty() {
            h3 { "Tables that only the target has" }
            ul { @for table in &report.target_only_tables {
                li { (isolated(&printable(table))) }
            } }
        }
    }
}

fn meanings(legend: &Legend) -> Markup {
    let meanings = legend.meanings("modified: on both sides, with different values");
    html! {
        @if !meanings.is_empty() {
            ul.more { @for meaning in &meanings { li { (meaning) } } }
        }
    }
}

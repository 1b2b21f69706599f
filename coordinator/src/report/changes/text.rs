//! The changes between two runs for the console: what was compared differently comes first,
//! because it decides what the rest means.

use std::fmt::Write as _;

use shared::outcome::Depth;

use super::model::{FactChange, RunChanges, TableChange, TableState};
use crate::report::visible::{name, printable};
use crate::report::wording::plural;
use crate::run_state::TableStatus;

/// Names of tables in one line.
const MOST_NAMES: usize = 10;

pub(super) fn render(changes: &RunChanges) -> String {
    let mut text = format!("{}\n", headline(changes));
    for (label, run) in [("before", &changes.before), ("after", &changes.after)] {
        line(
            &mut text,
            &format!(
                "{label}: run {} of {}: {}",
                run.run_id, run.timestamp, run.headline
            ),
        );
    }
    facts(&mut text, "Other databases", &changes.databases);
    facts(&mut text, "What was compared", &changes.coverage);
    if !changes.table_coverage.is_empty() {
        heading(&mut text, "What was compared of tables");
        for table in &changes.table_coverage {
            for change in &table.changes {
                line(
                    &mut text,
                    &format!("  {}: {}", name(&table.table), fact(change)),
                );
            }
        }
    }
    for (title, tables) in lists(changes) {
        if tables.is_empty() {
            continue;
        }
        heading(&mut text, title);
        for table in tables {
            line(
                &mut text,
                &format!("  {}  {}", title_of(table), describe(table)),
            );
        }
    }
    only(&mut text, "Only in the earlier run", &changes.only_before);
    only(&mut text, "Only in the later run", &changes.only_after);
    text
}

fn lists(changes: &RunChanges) -> [(&'static str, &[TableChange]); 6] {
    [
        ("Newly different", &changes.newly_different),
        ("No longer verified", &changes.newly_unverified),
        ("Newly equal", &changes.newly_equal),
        ("Newly verified", &changes.newly_verified),
        ("Still different", &changes.still_different),
        ("Still not verified", &changes.still_unverified),
    ]
}

fn headline(changes: &RunChanges) -> String {
    let counts = [
        (changes.newly_different.len(), "newly different"),
        (changes.newly_unverified.len(), "no longer verified"),
        (changes.newly_equal.len(), "newly equal"),
        (changes.newly_verified.len(), "newly verified"),
        (changes.still_different.len(), "still different"),
        (changes.still_unverified.len(), "still not verified"),
        (changes.equal_in_both, "equal in both runs"),
        (changes.only_before.len(), "only in the earlier run"),
        (changes.only_after.len(), "only in the later run"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{} {words}", plural(count, "table")))
        .collect();
    let word = match changes.changed {
        true => "CHANGED",
        false => "UNCHANGED",
    };
    let what_was_compared =
        changes.coverage.len() + changes.table_coverage.len() + changes.databases.len() > 0;
    let warning = match what_was_compared {
        true => "; the runs do not compare the same",
        false => "",
    };
    format!("{word}: {}{warning}", counts.join(", "))
}

/// A printable line. Its parts may contain any character.
fn line(text: &mut String, line: &str) {
    // Writing to memory cannot fail.
    writeln!(text, "{}", printable(line)).ok();
}

fn heading(text: &mut String, heading: &str) {
    writeln!(text, "\n{heading}").ok();
}

fn facts(text: &mut String, title: &str, changes: &[FactChange]) {
    if changes.is_empty() {
        return;
    }
    heading(text, title);
    for change in changes {
        line(text, &format!("  {}", fact(change)));
    }
}

/// `depth: rows → counts`
fn fact(change: &FactChange) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    format!(
        "{}: {} → {}",
        change.what,
        value(&change.before),
        value(&change.after)
    )
}

fn title_of(table: &TableChange) -> String {
    if table.table == table.target {
        name(&table.table)
    } else {
        format!("{} = {}", name(&table.table), name(&table.target))
    }
}

fn describe(table: &TableChange) -> String {
    let (before, after) = (&table.before, &table.after);
    if before.status != TableStatus::Mismatched || after.status != TableStatus::Mismatched {
        return format!("{} → {}", state(before), state(after));
    }
    let counts = [
        ("missing", before.missing, after.missing),
        ("extra", before.extra, after.extra),
        ("modified", before.modified, after.modified),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(_, before, after)| before.is_some() || after.is_some())
        .map(|(word, before, after)| format!("{word} {} → {}", number(before), number(after)))
        .collect();
    let mut text = match counts.is_empty() {
        false => counts.join(", "),
        true => format!(
            "rows of the target less those of the source: {} → {}",
            difference(before),
            difference(after)
        ),
    };
    text += &match &table.rows {
        Some(rows) if rows.new + rows.gone + rows.kept == 0 => String::new(),
        Some(rows) => format!(
            "; by their keys, {} rows new, {} gone, {} in both runs",
            rows.new, rows.gone, rows.kept
        ),
        None => "; whether the same rows differ is not known".to_owned(),
    };
    text
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

fn difference(state: &TableState) -> String {
    let counts = state.target_count.zip(state.source_count);
    let difference = counts.map(|(target, source)| i128::from(target) - i128::from(source));
    difference.map_or_else(|| "?".to_owned(), |difference| difference.to_string())
}

/// `equal`, `3 missing, 0 extra, 1 modified`, or `TableNotFound: …`.
fn state(state: &TableState) -> String {
    if let (Some(kind), Some(error)) = (&state.error_type, &state.error) {
        return format!("{kind}: {error}");
    }
    match (state.status, state.missing, state.extra, state.modified) {
        (TableStatus::Matched, ..) if state.depth == Some(Depth::Counts) => {
            "counts equal".to_owned()
        }
        (TableStatus::Matched, ..) => "equal".to_owned(),
        (_, Some(missing), Some(extra), Some(modified)) => {
            format!("{missing} missing, {extra} extra, {modified} modified")
        }
        _ => "different".to_owned(),
    }
}

fn only(text: &mut String, title: &str, tables: &[String]) {
    if tables.is_empty() {
        return;
    }
    heading(text, title);
    let names: Vec<String> = tables.iter().take(MOST_NAMES).map(|it| name(it)).collect();
    let more = tables.len().saturating_sub(MOST_NAMES);
    let more = match more {
        0 => String::new(),
        more => format!(", … and {more} more"),
    };
    line(text, &format!("  {}{more}", names.join(", ")));
}

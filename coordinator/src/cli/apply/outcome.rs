//! The result of `reconcile apply`, as text and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;
use shared::outcome::RepairAction;
use worker::engine::key_texts;

use super::words::{counted, grouped, kinds};
use crate::repair::{ACTIONS, Direction, Effects, Script, StatementCounts};

/// The most skipped rows of a table that are listed.
const LISTED: usize = 100;

/// The most skipped rows that the text names.
const NAMED: usize = 10;

/// Characters of a value that are printed.
const VALUE: usize = 60;

#[derive(Debug, Serialize)]
pub(super) struct Applied {
    pub(super) direction: Direction,
    pub(super) dry_run: bool,
    pub(super) tables: Vec<AppliedTable>,
    /// PASS: all rows of the scripts are equal; absent if they were not compared.
    pub(super) verification: Option<&'static str>,
    /// Whether every step after the commit succeeded.
    #[serde(skip)]
    pub(super) is_complete: bool,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct AppliedTable {
    pub(super) table: String,
    pub(super) file: String,
    pub(super) applied: StatementCounts,
    /// Statements that were executed and changed no row.
    pub(super) skipped: StatementCounts,
    /// The first of these rows.
    pub(super) skipped_rows: Vec<SkippedRow>,
    /// Statements that were deleted from the script.
    pub(super) left_out: StatementCounts,
    /// Statements of other kinds than `--only` names.
    pub(super) not_selected: StatementCounts,
    pub(super) verified: Option<Verified>,
    #[serde(skip)]
    pub(super) key: Vec<String>,
    #[serde(skip)]
    pub(super) keys: Vec<String>,
    #[serde(skip)]
    pub(super) effects: Effects,
    /// The actions and numbers of skipped statements.
    #[serde(skip)]
    skipped_numbers: BTreeSet<(RepairAction, u64)>,
}

/// A statement that was executed.
pub(super) struct Executed<'a> {
    pub(super) number: u64,
    pub(super) key: String,
    pub(super) sql: &'a str,
}

/// A row that a statement did not change.
#[derive(Debug, Serialize)]
pub(super) struct SkippedRow {
    /// Its key: `id=18`.
    pub(super) row: String,
    pub(super) reason: &'static str,
}

/// The rows of one script, compared after it was applied.
#[derive(Debug, Serialize)]
pub(super) struct Verified {
    /// Number of compared rows; absent if the whole table was compared.
    pub(super) rows: Option<usize>,
    pub(super) missing: u64,
    pub(super) extra: u64,
    pub(super) modified: u64,
}

impl Verified {
    fn differing(&self) -> u64 {
        self.missing + self.extra + self.modified
    }
}

impl Applied {
    /// PASS if all compared rows are equal, else FAIL.
    pub(super) fn verdict(&self) -> &'static str {
        if self.differing() > 0 { "FAIL" } else { "PASS" }
    }

    fn differing(&self) -> u64 {
        let verified = self
            .tables
            .iter()
            .filter_map(|table| table.verified.as_ref());
        verified.map(Verified::differing).sum()
    }

    fn changed(&self) -> u64 {
        self.tables.iter().map(|table| table.applied.total()).sum()
    }

    pub(super) fn skipped(&self) -> u64 {
        self.tables.iter().map(|table| table.skipped.total()).sum()
    }

    /// Whether the exit code is 0.
    pub(super) fn is_success(&self) -> bool {
        self.is_complete && self.skipped() == 0 && self.verification != Some("FAIL")
    }

    pub(super) fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("it has text keys");
        format!("{text}\n")
    }

    pub(super) fn to_console(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            text.push_str(&table.to_line(self.direction, self.dry_run));
            text.push('\n');
        }
        text.push_str(&self.outcome());
        if !self.dry_run && self.changed() + self.skipped() > 0 {
            text.push_str(&self.conclusion());
        }
        text
    }

    /// "committed: 4,012 rows changed, 1 skipped: p_partkey=18 (changed since)"
    fn outcome(&self) -> String {
        let (changed, skipped) = (self.changed(), self.skipped());
        if changed + skipped == 0 {
            return "nothing was changed\n".to_owned();
        }
        let (begin, verb) = if self.dry_run {
            (
                "nothing was changed, as this was a dry run: ",
                "would be changed",
            )
        } else {
            ("committed: ", "changed")
        };
        let mut line = format!("{begin}{} {verb}", counted(changed, "row"));
        if skipped > 0 {
            let rows = self.tables.iter().flat_map(|table| {
                let name = (self.tables.len() > 1).then_some(&table.table);
                let rows = table.skipped_rows.iter();
                rows.map(move |row| row.to_text(name))
            });
            let mut named: Vec<String> = rows.take(NAMED).collect();
            let left = skipped - named.len() as u64;
            if left > 0 {
                named.push(format!("and {} more", grouped(left)));
            }
            // Writing to memory cannot fail.
            write!(line, ", {} skipped: {}", grouped(skipped), named.join(", ")).ok();
        }
        line.push('\n');
        if changed == 0 {
            line.push_str(
                "no statement took effect, as after an earlier application of the same scripts\n",
            );
        }
        line
    }

    /// The result in words that match the exit code: PASS for 0, FAIL for 1, INCOMPLETE for 4.
    fn conclusion(&self) -> String {
        let verdict = match (self.is_complete, self.is_success()) {
            (false, _) => "INCOMPLETE",
            (true, true) => "PASS",
            (true, false) => "FAIL",
        };
        let mut reasons = Vec::new();
        if self.skipped() > 0 {
            reasons.push(format!("{} skipped", counted(self.skipped(), "row")));
        }
        reasons.push(match (self.verification, self.differing()) {
            (None, _) if self.direction == Direction::Undo => self.undone().to_owned(),
            (None, _) if !self.is_complete => "the rows could not be compared again".to_owned(),
            (None, _) => "the rows were not compared again".to_owned(),
            (Some(_), 0) => "the rows were compared again, and all are equal".to_owned(),
            (Some(_), count) => format!(
                "the rows were compared again, and {} still",
                if count == 1 {
                    "1 row differs".to_owned()
                } else {
                    format!("{} rows differ", grouped(count))
                }
            ),
        });
        if !self.is_complete && (self.verification.is_some() || self.direction == Direction::Undo) {
            reasons.push("a later step failed".to_owned());
        }
        format!("{verdict}: {}\n", reasons.join("; "))
    }

    fn undone(&self) -> &'static str {
        let is_part = |table: &AppliedTable| {
            table.skipped.total() + table.left_out.total() + table.not_selected.total() > 0
        };
        if self.changed() == 0 {
            "nothing was undone"
        } else if self.tables.iter().any(is_part) {
            "the repair was undone in part"
        } else {
            "the repair was undone"
        }
    }
}

impl SkippedRow {
    fn to_text(&self, table: Option<&String>) -> String {
        let table = table.map_or_else(String::new, |table| format!("{table} "));
        format!("{table}{} ({})", self.row, self.reason)
    }
}

impl AppliedTable {
    /// The table of a script, before its statements with these actions are applied.
    pub(super) fn of(script: &Script, actions: &[RepairAction]) -> Self {
        let header = &script.header;
        let mut not_selected = StatementCounts::default();
        for action in ACTIONS.iter().filter(|action| !actions.contains(action)) {
            not_selected.add(*action, script.present.of(*action));
        }
        Self {
            not_selected,
            table: format!("{}.{}", header.schema, header.table),
            file: script.path.display().to_string(),
            left_out: header.statements.minus(&script.present).unwrap_or_default(),
            key: header.key.clone(),
            ..Self::default()
        }
    }

    /// Notes the result of a statement.
    pub(super) fn add(&mut self, action: RepairAction, executed: Executed<'_>, took_effect: bool) {
        let Executed { number, key, sql } = executed;
        if took_effect {
            self.applied.add(action, 1);
            self.effects.add(action, number);
        } else {
            self.skipped.add(action, 1);
            self.skipped_numbers.insert((action, number));
            if self.skipped_rows.len() < LISTED {
                self.skipped_rows.push(SkippedRow {
                    row: row_name(&self.key, &key),
                    reason: reason(action, sql),
                });
            }
        }
        self.keys.push(key);
    }

    /// The actions of which each statement that the script was written with took effect.
    pub(super) fn complete(&self) -> Vec<RepairAction> {
        let is_complete = |action: &RepairAction| {
            let left = self.left_out.of(*action) + self.not_selected.of(*action);
            let mut skipped = self.skipped_numbers.iter();
            left == 0 && skipped.all(|(of, number)| of != action || self.effects.has(*of, *number))
        };
        ACTIONS.into_iter().filter(is_complete).collect()
    }

    fn to_line(&self, direction: Direction, dry_run: bool) -> String {
        let Self {
            table,
            applied,
            skipped,
            ..
        } = self;
        if applied.total() + skipped.total() == 0 {
            let what = match direction {
                Direction::Repair => "apply",
                Direction::Undo => "revert",
            };
            return format!("{table}: there is nothing to {what}");
        }
        let would = if dry_run { "would be " } else { "" };
        let mut line = format!(
            "{table}: {} {would}deleted, {} changed, {} added",
            counted(applied.delete, "row"),
            grouped(applied.update),
            grouped(applied.insert)
        );
        // Writing to memory cannot fail.
        if skipped.total() > 0 {
            write!(line, "; skipped: {}", kinds(skipped)).ok();
        }
        if let Some(verified) = &self.verified {
            let rows = match verified.rows {
                Some(rows) => counted(rows as u64, "row"),
                None => "the whole table".to_owned(),
            };
            let result = if verified.differing() == 0 {
                "equal".to_owned()
            } else {
                format!(
                    "{} missing, {} extra, {} modified",
                    verified.missing, verified.extra, verified.modified
                )
            };
            write!(line, "; compared {rows} again: {result}").ok();
        }
        line
    }
}

/// Why a statement without an effect may have had none. Which of its guards failed is not known.
fn reason(action: RepairAction, sql: &str) -> &'static str {
    let has_guards = sql.contains("EXISTS (SELECT");
    match action {
        RepairAction::Delete if has_guards => {
            "changed since, or referenced by another row, or kept by a trigger"
        }
        RepairAction::Update if has_guards => {
            "changed since, or its new value is taken, or its old one referenced, or kept by a trigger"
        }
        RepairAction::Insert if has_guards => {
            "its key or a unique value exists in the target, or a trigger rejected it"
        }
        RepairAction::Insert => "its copies have changed since, or a trigger rejected it",
        _ => "changed since, or kept by a trigger",
    }
}

/// The key of a row with the names of its columns, from its encoded form in hexadecimal.
fn row_name(columns: &[String], key: &str) -> String {
    let values = hex::decode(key).ok().and_then(|key| key_texts(&key));
    let Some(values) = values.filter(|values| !values.is_empty()) else {
        return "a row without a key".to_owned();
    };
    let shown = |value: &String| -> String {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let mut text: String = value.chars().take(VALUE).map(plain).collect();
        if value.chars().count() > VALUE {
            text.push('…');
        }
        text
    };
    let parts = values.iter().enumerate().map(|(at, value)| {
        let name = columns.get(at).map_or("key", String::as_str);
        format!("{name}={}", shown(value))
    });
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(applied: u64, skipped: u64, differing: Option<u64>) -> AppliedTable {
        let counts = |update| StatementCounts {
            update,
            ..StatementCounts::default()
        };
        AppliedTable {
            table: "public.part".to_owned(),
            applied: counts(applied),
            skipped: counts(skipped),
            skipped_rows: (0..skipped)
                .map(|at| SkippedRow {
                    row: format!("p_partkey={at}"),
                    reason: "changed since",
                })
                .collect(),
            verified: differing.map(|modified| Verified {
                rows: Some(5_000),
                missing: 0,
                extra: 0,
                modified,
            }),
            ..AppliedTable::default()
        }
    }

    fn last_lines(dry_run: bool, table: AppliedTable) -> (bool, Vec<String>) {
        let mut applied = Applied {
            direction: Direction::Repair,
            dry_run,
            verification: None,
            is_complete: true,
            tables: vec![table],
        };
        if applied.tables[0].verified.is_some() {
            applied.verification = Some(applied.verdict());
        }
        let text = applied.to_console();
        let lines = text.lines().skip(1).map(str::to_owned).collect();
        (applied.is_success(), lines)
    }

    #[test]
    fn the_words_match_the_exit_code() {
        for (dry_run, table, is_success, expected) in [
            (
                false,
                table(4_012, 1, Some(0)),
                false,
                &[
                    "committed: 4,012 rows changed, 1 skipped: p_partkey=0 (changed since)",
                    "FAIL: 1 row skipped; the rows were compared again, and all are equal",
                ][..],
            ),
            (
                false,
                table(1, 0, Some(0)),
                true,
                &[
                    "committed: 1 row changed",
                    "PASS: the rows were compared again, and all are equal",
                ],
            ),
            (
                false,
                table(7, 0, Some(1)),
                false,
                &[
                    "committed: 7 rows changed",
                    "FAIL: the rows were compared again, and 1 row differs still",
                ],
            ),
            (
                false,
                table(7, 0, None),
                true,
                &[
                    "committed: 7 rows changed",
                    "PASS: the rows were not compared again",
                ],
            ),
            (
                true,
                table(7, 0, None),
                true,
                &["nothing was changed, as this was a dry run: 7 rows would be changed"],
            ),
            (false, table(0, 0, None), true, &["nothing was changed"]),
        ] {
            assert_eq!(
                last_lines(dry_run, table),
                (
                    is_success,
                    expected.iter().map(ToString::to_string).collect()
                )
            );
        }
        let (_, lines) = last_lines(false, table(0, 12, Some(12)));
        assert!(lines[0].ends_with("p_partkey=9 (changed since), and 2 more"));
        assert!(
            lines[1].starts_with("no statement took effect"),
            "{lines:?}"
        );
    }

    #[test]
    fn what_could_not_be_completed_does_not_pass() {
        let conclusion = |direction, verification, is_complete, table: AppliedTable| {
            let applied = Applied {
                direction,
                dry_run: false,
                verification,
                is_complete,
                tables: vec![table],
            };
            (applied.is_success(), applied.conclusion())
        };
        let not_selected = AppliedTable {
            not_selected: StatementCounts {
                insert: 1,
                ..StatementCounts::default()
            },
            ..table(2, 0, None)
        };
        use Direction::{Repair, Undo};
        for (found, expected) in [
            (
                conclusion(Repair, None, false, table(2, 0, None)),
                (false, "INCOMPLETE: the rows could not be compared again\n"),
            ),
            (
                conclusion(Repair, Some("PASS"), false, table(2, 0, Some(0))),
                (
                    false,
                    "INCOMPLETE: the rows were compared again, and all are equal; a later step failed\n",
                ),
            ),
            (
                conclusion(Undo, None, true, table(2, 0, None)),
                (true, "PASS: the repair was undone\n"),
            ),
            (
                conclusion(Undo, None, true, table(2, 1, None)),
                (
                    false,
                    "FAIL: 1 row skipped; the repair was undone in part\n",
                ),
            ),
            (
                conclusion(Undo, None, true, table(0, 1, None)),
                (false, "FAIL: 1 row skipped; nothing was undone\n"),
            ),
            (
                conclusion(Undo, None, true, not_selected),
                (true, "PASS: the repair was undone in part\n"),
            ),
        ] {
            assert_eq!((found.0, found.1.as_str()), expected);
        }
    }
}

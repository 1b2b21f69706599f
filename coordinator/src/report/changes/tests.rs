use proptest::prelude::*;
use serde_json::{Value, json};
use shared::outcome::Depth;

use super::RunChanges;
use super::rows::RowChanges;
use crate::report::model::RunReport;
use crate::report::samples::{filled_with, large, mixed};
use crate::run_state::TableStatus;

fn changes(before: &RunReport, after: &RunReport) -> Value {
    serde_json::from_str(&RunChanges::between(before, after).to_json()).unwrap()
}

/// The report of one table with two differing rows, both of which are listed.
fn two_rows() -> RunReport {
    let mut report = large(1);
    let table = &mut report.results[0];
    table.differences.truncate(2);
    (table.modified, table.truncated) = (Some(2), Some(false));
    table.key = vec!["identifier".to_owned()];
    report
}

#[test]
fn every_change_of_a_result_is_in_one_list() {
    let lists = [
        (
            TableStatus::Matched,
            TableStatus::Mismatched,
            "newly_different",
        ),
        (TableStatus::Mismatched, TableStatus::Matched, "newly_equal"),
        (
            TableStatus::Mismatched,
            TableStatus::Mismatched,
            "still_different",
        ),
        (
            TableStatus::Mismatched,
            TableStatus::Timeout,
            "newly_unverified",
        ),
        (
            TableStatus::Cancelled,
            TableStatus::Matched,
            "newly_verified",
        ),
        (TableStatus::Failed, TableStatus::Failed, "still_unverified"),
    ];
    for (before, after, list) in lists {
        let (mut earlier, mut later) = (two_rows(), two_rows());
        earlier.results[0].status = before;
        later.results[0].status = after;
        let changes = changes(&earlier, &later);
        for (_, _, other) in lists {
            let expected = usize::from(other == list);
            assert_eq!(
                changes[other].as_array().unwrap().len(),
                expected,
                "{other}"
            );
        }
        assert_eq!(changes["changed"], before != after, "{list}");
    }
}

#[test]
fn tables_of_one_run_and_other_coverage_are_changes() {
    let (before, mut after) = (large(2), large(3));
    let found = changes(&before, &after);
    assert_eq!(
        (&found["changed"], &found["only_after"][0]),
        (
            &json!(true),
            &json!("a_schema.a_table_with_a_rather_long_name_2")
        )
    );
    let third = after.results.pop().unwrap();
    assert_eq!(changes(&before, &after)["changed"], false);
    // No table is lost if two have the same names.
    let mut twice = large(2);
    twice.results[1].table.clone_from(&before.results[0].table);
    twice.results[1]
        .target
        .clone_from(&before.results[0].target);
    let found = changes(&twice, &twice);
    assert_eq!(found["still_different"].as_array().unwrap().len(), 2);
    twice.results.push(third);
    let found = changes(&before, &twice);
    assert_eq!(
        (
            found["only_after"].as_array().unwrap().len(),
            &found["only_before"][0]
        ),
        (2, &json!("a_schema.a_table_with_a_rather_long_name_1"))
    );
    after.results[1].depth = Some(Depth::Counts);
    after.depth = Depth::Counts;
    let found = RunChanges::between(&before, &after).to_console();
    for words in [
        "CHANGED: 2 tables still different; the runs do not compare the same\n",
        "What was compared\n  depth: rows → counts\n",
        "  a_schema.a_table_with_a_rather_long_name_1: depth: rows → counts\n",
    ] {
        assert!(found.contains(words), "no {words} in {found}");
    }
}

#[test]
fn rows_are_compared_by_their_keys_if_all_are_known() {
    let (before, mut after) = (two_rows(), two_rows());
    after.results[0].differences[1]
        .key
        .insert("identifier".to_owned(), json!(77));
    let rows = |before: &RunReport, after: &RunReport| {
        RowChanges::between(&before.results[0], &after.results[0])
    };
    let found = rows(&before, &after).unwrap();
    assert_eq!((found.new, found.gone, found.kept), (1, 1, 1));
    let found = changes(&before, &after);
    assert_eq!(
        found["changed"], true,
        "the numbers are the same, the rows are not"
    );
    after.results[0].truncated = Some(true);
    assert_eq!(rows(&before, &after), None);
    let mut hashed = two_rows();
    hashed.results[0].differences[0].key.insert(
        "identifier".to_owned(),
        json!("redacted:hash=00ff,length=4"),
    );
    assert_eq!(
        rows(&hashed, &hashed),
        None,
        "every run has a key of its own"
    );
}

proptest! {
    #[test]
    fn a_run_does_not_differ_from_itself(text in any::<String>()) {
        for report in [filled_with(&text), mixed()] {
            let found = RunChanges::between(&report, &report);
            prop_assert!(!found.changed);
            let console = found.to_console();
            prop_assert!(console.starts_with("UNCHANGED: "), "{}", console);
            let control = console.chars().find(|it| it.is_control() && *it != '\n');
            prop_assert_eq!(control, None);
        }
    }
}

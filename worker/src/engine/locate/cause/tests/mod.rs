//! Damage done to values is explained by that damage, and what is unrelated is not.

/// Every cause that fits two encoded values.
fn causes_of(source: &[u8], target: &[u8]) -> Vec<Cause> {
    match (try_decode(source), try_decode(target)) {
        (Some(source), Some(target)) => causes(&source, &target),
        _ => Vec::new(),
    }
}

/// The most specific cause.
fn explain(source: &[u8], target: &[u8]) -> Option<Cause> {
    causes_of(source, target).into_iter().next()
}

pub(crate) mod claims;
pub(crate) mod keys;
pub(crate) mod names;
pub(crate) mod properties;

use serde_json::{Map, json};
use shared::options::{ColumnRule, Encoding, Rounding, Trim};
use shared::outcome::CauseGroup;

use crate::engine::locate::cause::causes;
use crate::engine::locate::cause::damage::*;
use crate::engine::locate::cause::grouping::MOST_GROUPS;
use crate::engine::locate::cause::tally::{CauseTally, Observed};
use crate::engine::plan::PlannedColumn;
use crate::engine::values::canonical::{Decimal, DigitBuffer, RowEncoder, TimeUnit};
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::pair::Pair;
use crate::engine::values::value::{to_json, try_decode};

pub(crate) fn encoded(write: impl FnOnce(&mut RowEncoder)) -> Vec<u8> {
    let mut encoder = RowEncoder::default();
    write(&mut encoder);
    encoder.row().to_vec()
}

pub(crate) fn text(value: &str) -> Vec<u8> {
    encoded(|to| to.text(value.as_bytes()))
}

pub(crate) fn micros(value: i64) -> Vec<u8> {
    encoded(|to| to.timestamp(TimeUnit::Micros, value))
}

pub(crate) fn ticks(value: i64) -> Vec<u8> {
    encoded(|to| to.timestamp(TimeUnit::Ticks, value))
}

pub(crate) fn decimal(value: i128, scale: u8) -> Vec<u8> {
    encoded(|to| {
        to.decimal(&Decimal::from_scaled(
            value,
            scale,
            &mut DigitBuffer::default(),
        ))
    })
}

pub(crate) fn float(value: f64) -> Vec<u8> {
    encoded(|to| to.float64(value))
}

pub(crate) fn null() -> Vec<u8> {
    encoded(RowEncoder::null)
}

pub(crate) fn column(name: &str, kind: ColumnType, canonical: Kind) -> PlannedColumn {
    let column = Column::new(name, kind, "?");
    PlannedColumn {
        source: column.clone(),
        target: column,
        kind: canonical,
        conversions: crate::engine::values::pair::Pair::default(),
        rule: ColumnRule::default(),
    }
}

pub(crate) fn time_column(name: &str) -> PlannedColumn {
    let resolution = Resolution {
        digits: 6,
        rounding: Rounding::Truncate,
        from_2000: false,
    };
    column(name, ColumnType::Timestamp(6), Kind::Timestamp(resolution))
}

pub(crate) fn text_column(name: &str) -> PlannedColumn {
    column(name, ColumnType::Text { padded: false }, Kind::Text)
}

/// The two values of a column, which are compared as they are.
pub(crate) fn observed((source, target): &(Vec<u8>, Vec<u8>)) -> Observed<'_> {
    Observed {
        compared: Pair { source, target },
        stored: Vec::new(),
        differs: source != target,
    }
}

/// The groups of rows whose columns are given as pairs.
pub(crate) fn groups(
    columns: &[PlannedColumn],
    rows: &[Vec<(Vec<u8>, Vec<u8>)>],
) -> Vec<CauseGroup> {
    let mut tally = CauseTally::new(columns);
    for (number, row) in rows.iter().enumerate() {
        let key = Map::from_iter([("id".to_owned(), json!(number))]);
        let values: Vec<Observed<'_>> = row.iter().map(observed).collect();
        tally.observe(number as u128, &key, &values, |at| {
            (to_json(&row[at].0), to_json(&row[at].1))
        });
    }
    tally.finish()
}

/// Cause, option and rows of each group.
pub(crate) fn told(groups: &[CauseGroup]) -> Vec<(String, u64, Option<&str>)> {
    let line = |group: &CauseGroup| format!("{}: {}", group.cause, group.explanation);
    groups
        .iter()
        .map(|group| (line(group), group.rows, group.option.as_deref()))
        .collect()
}

#[track_caller]
pub(crate) fn assert_cause(source: &[u8], target: &[u8], name: &str, explanation: &str) {
    let cause = explain(source, target).map(|cause| (cause.name(), cause.explanation()));
    assert_eq!(cause, Some((name, explanation.to_owned())));
}

#[test]
fn what_has_no_known_cause_has_none() {
    for (source, target) in [
        (text("abc"), text("abd")),
        (text("Łódź ź"), text("?ód? ź")),
        (text("a"), text("?")),
        (text("007"), text("8")),
        (text(""), text("x")),
        (micros(90_000_000), micros(150_000_000)),
        (micros(90_000_000), micros(90_000_000 + 15 * 3_600_000_000)),
        (micros(i64::MAX), micros(i64::MIN)),
        (decimal(125, 2), decimal(14, 1)),
        (decimal(1, 0), decimal(10, 0)),
        (float(1.0), float(2.0)),
        (float(f64::NAN), float(0.0)),
        (null(), text("x")),
        (encoded(|to| to.int(1)), encoded(|to| to.int(2))),
    ] {
        assert_eq!(
            explain(&source, &target),
            None,
            "{} {}",
            to_json(&source),
            to_json(&target)
        );
    }
}

#[test]
fn one_measure_explains_all_rows_of_a_column() {
    // Each alone would also fit a coarser or finer cut, or a rounding.
    let cut = |value: i64| vec![(micros(value), micros(value.div_euclid(1000) * 1000))];
    let rows = [cut(120_456), cut(7_000_001), cut(123_900), cut(456_070)];
    assert_eq!(
        told(&groups(&[time_column("CreatedAt")], &rows)),
        [(
            "fraction-truncated: cut to milliseconds in the target".to_owned(),
            4,
            Some("rules.CreatedAt = { precision = 3 }")
        )]
    );
    let round = |value: i64| vec![(micros(value), micros((value + 500).div_euclid(1000) * 1000))];
    let rows = [
        round(120_456),
        round(7_000_001),
        round(123_900),
        round(122_500),
    ];
    assert_eq!(
        told(&groups(&[time_column("Created At")], &rows)),
        [(
            "fraction-rounded: rounded to milliseconds in the target".to_owned(),
            4,
            Some("rules.\"Created At\" = { precision = 3, rounding = \"half-up\" }")
        )]
    );
}

#[test]
fn the_limit_of_a_text_may_count_bytes() {
    let cut = |whole: &str, kept: &str| vec![(text(whole), text(kept))];
    let rows = [
        cut("äöüxyz", "äöüxy"),
        cut("abcdefghijk", "abcdefgh"),
        cut("äöüäöü", "äöüä"),
    ];
    assert_eq!(
        told(&groups(&[text_column("name")], &rows)),
        [(
            "text-truncated: cut to 8 bytes of UTF-8 in the target".to_owned(),
            3,
            None
        )]
    );
}

#[test]
fn a_row_of_a_later_version_is_one_cause() {
    let columns = [
        text_column("name"),
        time_column("updated_at"),
        text_column("note"),
    ];
    let rows = [
        vec![
            (text("new"), text("old")),
            (micros(9), micros(5)),
            (text("x "), text("x")),
        ],
        vec![
            (text("b"), text("c")),
            (micros(7), micros(7)),
            (text("n"), text("n")),
        ],
    ];
    let groups = groups(&columns, &rows);
    assert_eq!(
        told(&groups),
        [
            (
                "row-newer: the row is newer in the source according to updated_at".to_owned(),
                1,
                None
            ),
            (
                "blanks-trimmed: trailing blanks trimmed in the target".to_owned(),
                1,
                Some("rules.note = { trim = \"end\" }")
            ),
        ],
        "the second row has no cause"
    );
    assert_eq!(groups[0].column, None);
    assert_eq!(
        groups[0].example.source,
        json!("2000-01-01T00:00:00.000009")
    );
}

#[test]
fn the_groups_are_bounded_and_account_for_every_row() {
    let long = "x".repeat(5000);
    let rows: Vec<_> = (8..4008)
        .map(|length| vec![(text(&long), text(&long[..length]))])
        .collect();
    let groups = groups(&[text_column("t")], &rows);
    assert_eq!(groups.len(), MOST_GROUPS + 1);
    assert_eq!(groups.last().unwrap().cause, "others");
    assert_eq!(groups.iter().map(|group| group.rows).sum::<u64>(), 4000);
    assert_eq!(groups[0].example.key["id"], json!(0));
    assert_eq!(groups[0].examined, 4000);
}

#[test]
fn an_option_keeps_what_the_rule_says() {
    let mut column = text_column("t");
    column.rule.case_insensitive = true;
    let cause = explain(&text("a "), &text("a")).unwrap();
    assert_eq!(
        cause.option(&column).as_deref(),
        Some("rules.t = { trim = \"end\", case_insensitive = true }")
    );
    column.rule.trim = Some(Trim::Start);
    assert_eq!(cause.option(&column), None, "another trim is in its place");
    let number = self::column("n", ColumnType::Decimal, Kind::Decimal);
    let cause = explain(&decimal(12_345, 3), &decimal(1234, 2)).unwrap();
    assert_eq!(
        cause.option(&number).as_deref(),
        Some("rules.n = { tolerance = { absolute = \"0.01\" } }")
    );
    let cause = explain(&float(0.1), &float(f64::from(0.1_f32))).unwrap();
    assert_eq!(
        cause.option(&number).as_deref(),
        Some("rules.n = { tolerance = { relative = 6e-8 } }")
    );
}

#[test]
fn an_encoding_is_suggested_only_for_texts_in_it() {
    let mut at = time_column("at");
    at.target = Column::new("at", ColumnType::Text { padded: false }, "text");
    at.rule.encoding = Some(Encoding::Iso8601);
    let option = |text_of_time: &str| {
        let cause = explain(&micros(0), &text(text_of_time)).unwrap();
        assert_eq!(cause.also_ignores(&at), None);
        cause.option(&at)
    };
    assert_eq!(
        option("Jan  1 2000 12:00AM").as_deref(),
        Some("rules.at = { as = \"sql-server-text\" }")
    );
    assert_eq!(option("01.01.2000 00:00:00"), None);
}

#[test]
fn a_hidden_column_does_not_tell_what_stands_for_null() {
    let column = text_column("v");
    let rows = [
        (null(), text("")),
        (null(), text("NULL")),
        (text("NULL"), null()),
        (text("a "), text("a")),
    ];
    let columns = [column];
    let mut tally = CauseTally::new(&columns).hiding(&[true]);
    for (number, row) in rows.iter().enumerate() {
        let hidden = || (json!("hidden"), json!("hidden"));
        tally.observe(number as u128, &Map::new(), &[observed(row)], |_| hidden());
    }
    let groups = tally.finish();
    let told: Vec<(&str, &str, u64)> = groups
        .iter()
        .map(|group| (&*group.cause, &*group.explanation, group.rows))
        .collect();
    assert_eq!(
        told,
        [
            (
                "null-became-stand-in",
                "NULL in the source is a stand-in for NULL in the target",
                2
            ),
            (
                "stand-in-became-null",
                "a stand-in for NULL in the source is NULL in the target",
                1
            ),
            ("blanks-trimmed", "trailing blanks trimmed in the target", 1),
        ]
    );
}

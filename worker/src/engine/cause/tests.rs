//! Damage done to values is explained by that damage, and what is unrelated is not.

use proptest::prelude::*;
use serde_json::{Map, json};
use shared::options::ColumnRule;
use shared::outcome::CauseGroup;

use super::tally::{CauseTally, MOST_GROUPS};
use super::*;
use crate::engine::canonical::{Decimal, DecimalRoom, RowEncoder, TimeUnit, to_json};
use crate::engine::column::{Column, ColumnType};
use crate::engine::kind::{Kind, Resolution};
use crate::engine::plan::PlannedColumn;

fn encoded(write: impl FnOnce(&mut RowEncoder)) -> Vec<u8> {
    let mut encoder = RowEncoder::default();
    write(&mut encoder);
    encoder.row().to_vec()
}

fn text(value: &str) -> Vec<u8> {
    encoded(|to| to.text(value.as_bytes()))
}

fn micros(value: i64) -> Vec<u8> {
    encoded(|to| to.timestamp(TimeUnit::Micros, value))
}

fn decimal(value: i128, scale: u8) -> Vec<u8> {
    encoded(|to| {
        to.decimal(&Decimal::from_scaled(
            value,
            scale,
            &mut DecimalRoom::default(),
        ))
    })
}

fn float(value: f64) -> Vec<u8> {
    encoded(|to| to.float64(value))
}

fn null() -> Vec<u8> {
    encoded(RowEncoder::null)
}

fn column(name: &str, kind: ColumnType, canonical: Kind) -> PlannedColumn {
    let column = Column {
        name: name.to_owned(),
        kind,
        declared: "?".to_owned(),
        nullable: true,
        read_as: None,
    };
    PlannedColumn {
        source: column.clone(),
        target: column,
        kind: canonical,
        source_conversion: None,
        target_conversion: None,
        rule: ColumnRule::default(),
    }
}

fn time_column(name: &str) -> PlannedColumn {
    let resolution = Resolution {
        digits: 6,
        rounding: Rounding::Truncate,
    };
    column(name, ColumnType::Timestamp(6), Kind::Timestamp(resolution))
}

fn text_column(name: &str) -> PlannedColumn {
    column(name, ColumnType::Text { padded: false }, Kind::Text)
}

/// The groups of rows whose columns are given as pairs.
fn groups(columns: &[PlannedColumn], rows: &[Vec<(Vec<u8>, Vec<u8>)>]) -> Vec<CauseGroup> {
    let mut tally = CauseTally::new(columns);
    for (number, row) in rows.iter().enumerate() {
        let (source, target): (Vec<_>, Vec<_>) = row.iter().cloned().unzip();
        let key = Map::from_iter([("id".to_owned(), json!(number))]);
        tally.observe(number as u128, &key, &source, &target, |at| {
            (to_json(&source[at]), to_json(&target[at]))
        });
    }
    tally.finish()
}

/// Cause, option and rows of each group.
fn told(groups: &[CauseGroup]) -> Vec<(String, u64, Option<&str>)> {
    let line = |group: &CauseGroup| format!("{}: {}", group.cause, group.explanation);
    groups
        .iter()
        .map(|group| (line(group), group.rows, group.option.as_deref()))
        .collect()
}

#[track_caller]
fn assert_cause(source: &[u8], target: &[u8], name: &str, explanation: &str) {
    let cause = explain(source, target).map(|cause| (cause.name(), cause.explanation()));
    assert_eq!(cause, Some((name, explanation.to_owned())));
}

#[test]
fn each_known_damage_has_its_name() {
    for (source, target, name, explanation) in [
        (
            "a  ",
            "a",
            "blanks-trimmed",
            "trailing blanks trimmed in the target",
        ),
        (
            "a",
            "a  ",
            "blanks-trimmed",
            "trailing blanks trimmed in the source",
        ),
        (
            "  a",
            "a",
            "blanks-trimmed",
            "leading blanks trimmed in the target",
        ),
        (
            " a ",
            "a",
            "blanks-trimmed",
            "leading and trailing blanks trimmed in the target",
        ),
        (
            "a\t\n",
            "a",
            "white-space-trimmed",
            "trailing white space trimmed in the target",
        ),
        (
            "Straße",
            "straße",
            "case-folded",
            "in lower case in the target",
        ),
        (
            "Straße",
            "STRASSE",
            "case-folded",
            "in upper case in the target",
        ),
        ("aB", "Ab", "case-folded", "letters differ in case only"),
        (
            "Cafe\u{301}",
            "Caf\u{e9}",
            "unicode-normalized",
            "normalised to NFC in the target",
        ),
        (
            "Caf\u{e9}",
            "Cafe\u{301}",
            "unicode-normalized",
            "normalised to NFD in the target",
        ),
        (
            "\u{fb01}n",
            "fin",
            "unicode-normalized",
            "normalised to NFKC in the target",
        ),
        (
            "é",
            "Ã©",
            "code-page-damaged",
            "UTF-8 read as Windows-1252 in the target",
        ),
        (
            "Ã©",
            "é",
            "code-page-damaged",
            "UTF-8 read as Windows-1252 in the source",
        ),
        (
            "“",
            "\u{e2}\u{80}\u{9c}",
            "code-page-damaged",
            "UTF-8 read as ISO 8859-1 in the target",
        ),
        (
            "é",
            "ÃƒÂ©",
            "code-page-damaged",
            "UTF-8 read as Windows-1252, twice, in the target",
        ),
        (
            "Łódź é",
            "?ód? é",
            "characters-replaced",
            "characters that a code page does not have became `?` in the target",
        ),
        (
            "a😀b",
            "a??b",
            "characters-replaced",
            "characters that a code page does not have became `?` in the target",
        ),
        (
            "née",
            "n\u{FFFD}e",
            "characters-replaced",
            "characters that could not be converted became U+FFFD in the target",
        ),
        (
            "naïve",
            "naive",
            "accents-removed",
            "accents removed in the target",
        ),
        (
            "a\r\nb",
            "a\nb",
            "line-ends-changed",
            "line ends CR LF became LF in the target",
        ),
        (
            "a\0b",
            "ab",
            "nul-dropped",
            "NUL characters dropped in the target",
        ),
        (
            "00501",
            "501",
            "leading-zeros-lost",
            "leading zeros lost in the target",
        ),
        (
            "1.50",
            "1.5",
            "number-as-text",
            "the same number in another notation",
        ),
        (
            "1e3",
            "1000",
            "number-as-text",
            "the same number in another notation",
        ),
        (
            "true",
            "1",
            "boolean-as-text",
            "the same truth value in other words",
        ),
        (
            "2024-01-01 00:00:00",
            "2024-01-01T00:00:00Z",
            "time-as-text",
            "the same time in another notation",
        ),
        (
            "2024-01-01",
            "19723",
            "encoding-not-decoded",
            "still encoded in the target: days since 1970 of the source's value",
        ),
        (
            "1704067200123",
            "2024-01-01T00:00:00.123Z",
            "encoding-not-decoded",
            "still encoded in the source: milliseconds since 1970 of the target's value",
        ),
        (
            "abcdef",
            "abc",
            "text-truncated",
            "cut to 3 characters in the target",
        ),
    ] {
        assert_cause(&text(source), &text(target), name, explanation);
    }
    assert_cause(
        &null(),
        &text(""),
        "null-became-empty",
        "NULL in the source is empty in the target",
    );
    assert_cause(
        &text(""),
        &null(),
        "empty-became-null",
        "empty in the source is NULL in the target",
    );
    assert_cause(
        &null(),
        &text("NULL"),
        "null-became-text",
        "NULL in the source is the word NULL in the target",
    );
    assert_cause(
        &micros(123_456),
        &micros(123_000),
        "fraction-truncated",
        "cut to milliseconds in the target",
    );
    assert_cause(
        &micros(-1),
        &micros(-1_000),
        "fraction-truncated",
        "cut to milliseconds in the target",
    );
    assert_cause(
        &micros(123_500),
        &micros(124_000),
        "fraction-rounded",
        "rounded to milliseconds in the target",
    );
    assert_cause(
        &micros(124_000),
        &micros(123_000),
        "datetime-steps",
        "rounded to the 1/300 s steps of datetime in the target",
    );
    assert_cause(
        &micros(3_723_000_000),
        &micros(10_923_000_000),
        "time-zone-shifted",
        "2:00 h later in the target, as by a time zone",
    );
    assert_cause(
        &micros(3_723_000_000),
        &micros(-16_977_000_000),
        "time-zone-shifted",
        "5:45 h earlier in the target, as by a time zone",
    );
    assert_cause(
        &micros(61_000_000),
        &micros(60_000_000),
        "seconds-dropped",
        "cut to whole minutes in the target",
    );
    assert_cause(
        &micros(3_661_000_000),
        &micros(0),
        "time-of-day-dropped",
        "cut to the day in the target",
    );
    assert_cause(
        &encoded(|to| to.date(33)),
        &encoded(|to| to.date(61)),
        "day-month-swapped",
        "day and month changed places",
    );
    assert_cause(
        &encoded(|to| to.date(33)),
        &encoded(|to| to.date(32)),
        "time-zone-shifted",
        "one day earlier in the target, as by a time zone",
    );
    assert_cause(
        &float(0.1),
        &float(f64::from(0.1_f32)),
        "float-narrowed",
        "passed through a float of 32 bits in the target",
    );
    assert_cause(
        &float(1.0 / 3.0),
        &float(0.333_333),
        "scale-truncated",
        "cut to 6 digits after the point in the target",
    );
    assert_cause(
        &float(1e20 / 3.0),
        &float(3.333_33e19),
        "float-digits-cut",
        "rounded to 6 significant digits in the target",
    );
    assert_cause(
        &decimal(123_456, 4),
        &decimal(1234, 2),
        "scale-truncated",
        "cut to 2 digits after the point in the target",
    );
    assert_cause(
        &decimal(-125, 2),
        &decimal(-13, 1),
        "scale-rounded",
        "rounded to 1 digit after the point in the target",
    );
    assert_cause(
        &decimal(999_999, 3),
        &decimal(1000, 0),
        "scale-rounded",
        "rounded to 2 digits after the point in the target",
    );
    let large = 9_007_199_254_740_993;
    assert_cause(
        &encoded(|to| to.int(large)),
        &encoded(|to| to.int(large - 1)),
        "float-narrowed",
        "passed through a float of 64 bits in the target",
    );
    assert_cause(
        &micros(1_500_000),
        &encoded(|to| to.int(946_684_801_500)),
        "encoding-not-decoded",
        "still encoded in the target: milliseconds since 1970 of the source's value",
    );
    assert_cause(
        &encoded(|to| to.bytes(b"\x01\xAB")),
        &encoded(|to| to.bytes(b"\\x01ab")),
        "encoding-not-decoded",
        "still encoded in the target: hexadecimal text of the source's value",
    );
    assert_cause(
        &encoded(|to| to.bytes(b"ab\0\0")),
        &encoded(|to| to.bytes(b"ab")),
        "zero-bytes-trimmed",
        "zero bytes at the end trimmed in the target",
    );
    let uuid: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let swapped = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    assert_cause(
        &encoded(|to| to.uuid(&uuid)),
        &encoded(|to| to.uuid(&swapped)),
        "uuid-bytes-swapped",
        "the first three groups have their bytes in reverse order",
    );
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
                "row-newer: the row is newer in the source, as updated_at says".to_owned(),
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
    let rows: Vec<_> = (1..=4500)
        .map(|length| vec![(text(&long), text(&long[..length]))])
        .collect();
    let groups = groups(&[text_column("t")], &rows);
    assert_eq!(groups.len(), MOST_GROUPS + 1);
    assert_eq!(groups.last().unwrap().cause, "others");
    assert_eq!(groups.iter().map(|group| group.rows).sum::<u64>(), 4500);
    assert_eq!(groups[0].example.key["id"], json!(0));
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

/// A damage, and a way to do it that is not the code under test's.
fn damaged() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Damage)> {
    let text_pairs = "[a-zé語😀][a-z é語😀]{4,30}[a-zé]".prop_flat_map(|whole| {
        let count = whole.chars().count();
        prop_oneof![
            (1..count).prop_map({
                let whole = whole.clone();
                move |n| {
                    let cut: String = whole.chars().take(n).collect();
                    (
                        text(&whole),
                        text(&cut),
                        Damage::TextCut(Limit::Characters(n)),
                    )
                }
            }),
            Just((
                text(&format!("{whole}   ")),
                text(&whole),
                Damage::BlanksTrimmed(Trim::End)
            )),
            Just((
                text(&format!(" {whole} ")),
                text(&whole),
                Damage::BlanksTrimmed(Trim::Both)
            )),
            Just((
                text(&whole),
                text(&whole.to_uppercase()),
                Damage::CaseFolded(Case::Upper)
            )),
            Just((
                text(&format!("{whole}é")),
                text(
                    &format!("{whole}é")
                        .bytes()
                        .map(char::from)
                        .collect::<String>()
                ),
                Damage::CodePage(Page::Latin1, 1)
            )),
            Just((
                text(&format!("{whole}語")),
                text(&format!("{whole}語").replace(['é', '語', '😀'], "?")),
                Damage::Replaced('?')
            )),
        ]
    });
    let times = (-60_000_000_000_000_000_i64..60_000_000_000_000_000, 0_u8..6).prop_flat_map(
        |(value, left)| {
            let step = 10_i64.pow(u32::from(6 - left));
            let cut = value - value.rem_euclid(step);
            prop_oneof![
                Just((
                    micros(value),
                    micros(cut),
                    Damage::TimeCut(Level::Digits(left), Rounding::Truncate)
                )),
                Just((
                    micros(value),
                    micros(if value - cut >= step / 2 {
                        cut + step
                    } else {
                        cut
                    }),
                    Damage::TimeCut(Level::Digits(left), Rounding::HalfUp)
                )),
                (-56_i8..=56)
                    .prop_filter("a shift", |q| *q != 0)
                    .prop_map(move |quarters| (
                        micros(value),
                        micros(value + i64::from(quarters) * 900_000_000),
                        Damage::ZoneShifted(quarters)
                    )),
            ]
        },
    );
    let numbers = (any::<i64>(), 1_u8..18, 0_u8..17).prop_flat_map(|(value, scale, left)| {
        let left = left.min(scale - 1);
        let step = 10_i128.pow(u32::from(scale - left));
        let whole = i128::from(value);
        let half = if whole < 0 { -step / 2 } else { step / 2 };
        prop_oneof![
            Just((
                decimal(whole, scale),
                decimal(whole / step, left),
                Damage::ScaleCut(left, Rounding::Truncate)
            )),
            Just((
                decimal(whole, scale),
                decimal((whole + half) / step, left),
                Damage::ScaleCut(left, Rounding::HalfUp)
            )),
        ]
    });
    #[expect(clippy::cast_possible_truncation, reason = "that is the damage")]
    let floats = any::<f64>()
        .prop_filter("finite as both", |value| (*value as f32).is_finite())
        .prop_map(|value| {
            (
                float(value),
                float(f64::from(value as f32)),
                Damage::Narrowed(32),
            )
        });
    prop_oneof![text_pairs, times, numbers, floats]
        .prop_filter("damaged at all", |(original, damaged, _)| {
            original != damaged
        })
}

proptest! {
    #[test]
    fn damage_is_explained_by_itself_in_both_directions((original, damaged, damage) in damaged()) {
        let fits = |found: Vec<Cause>, side| found.contains(&Cause { damage, side });
        let found = causes(&original, &damaged);
        prop_assert!(fits(found.clone(), Damaged::Target), "{:?} not in {:?}", damage, found);
        let (side, damage_back) = match damage {
            Damage::ZoneShifted(quarters) => (Damaged::Target, Damage::ZoneShifted(-quarters)),
            other => (Damaged::Source, other),
        };
        let found = causes(&damaged, &original);
        prop_assert!(
            found.contains(&Cause { damage: damage_back, side }),
            "{:?} not in {:?}", damage_back, found
        );
    }

    #[test]
    fn unrelated_values_are_not_explained(
        a in "[ -~é]{8,20}", b in "[ -~é]{8,20}",
        x in any::<i64>(), y in any::<i64>(),
        p in any::<[u8; 16]>(), q in any::<[u8; 16]>(),
        f in any::<f64>(), g in any::<f64>(),
    ) {
        prop_assume!(a != b && x != y && p != q && f.to_bits() != g.to_bits());
        prop_assert_eq!(explain(&text(&a), &text(&b)), None);
        prop_assert_eq!(explain(&micros(x), &micros(y)), None);
        prop_assert_eq!(explain(&encoded(|to| to.int(x)), &encoded(|to| to.int(y))), None);
        prop_assert_eq!(explain(&decimal(x.into(), 6), &decimal(y.into(), 6)), None);
        prop_assert_eq!(explain(&encoded(|to| to.uuid(&p)), &encoded(|to| to.uuid(&q))), None);
        prop_assert_eq!(explain(&encoded(|to| to.bytes(&p)), &encoded(|to| to.bytes(&q))), None);
        if f.is_normal() && g.is_normal() && f.abs() > 1e-3 && g.abs() > 1e-3 {
            prop_assert_eq!(explain(&float(f), &float(g)), None);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        a in proptest::collection::vec(any::<u8>(), 0..40),
        b in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        for cause in causes(&a, &b) {
            prop_assert!(!cause.explanation().is_empty());
        }
    }
}

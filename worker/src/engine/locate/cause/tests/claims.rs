//! A cause is reported when its rows suffice, and not when they may be a coincidence.

use proptest::prelude::*;

use crate::engine::locate::cause::tests::*;

fn decimal_column(declared: [&str; 2]) -> PlannedColumn {
    let mut column = column("price", ColumnType::Decimal, Kind::Decimal);
    column.source.declared = declared[0].to_owned();
    column.target.declared = declared[1].to_owned();
    column
}

fn numbers() -> PlannedColumn {
    decimal_column(["decimal(10,4)", "decimal(10,4)"])
}

fn dates() -> PlannedColumn {
    column("d", ColumnType::Date, Kind::Date)
}

fn rows(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
    pairs.iter().map(|pair| vec![pair.clone()]).collect()
}

/// The causes of a column with these pairs of values, and how many rows each explains.
fn claims(column: PlannedColumn, pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<(String, u64)> {
    let found = groups(&[column], &rows(pairs)).into_iter();
    found.map(|group| (group.cause, group.rows)).collect()
}

/// Cause and rows of each group.
fn lines(groups: &[CauseGroup]) -> Vec<(String, u64)> {
    told(groups)
        .into_iter()
        .map(|(line, rows, _)| (line, rows))
        .collect()
}

fn claimed(name: &str, rows: u64) -> Vec<(String, u64)> {
    vec![(name.to_owned(), rows)]
}

#[test]
fn a_cent_more_is_not_a_cut() {
    let cent = |value: i128| (decimal(value * 100, 2), decimal(value * 100 + 1, 2));
    assert_eq!(claims(numbers(), &[0; 6].map(cent)), []);
    assert_eq!(claims(numbers(), &[7, 1205, 88, 3, 20, 999].map(cent)), []);
    // A column that can hold no cents did cut them.
    let forced = decimal_column(["decimal(10,0)", "decimal(10,2)"]);
    assert_eq!(claims(forced, &[cent(7)]), claimed("scale-truncated", 1));
}

#[test]
fn some_values_are_no_cut_and_nearly_all_are() {
    let cut = |value: i128| (decimal(value, 4), decimal(value / 100, 2));
    let other = |value: i128| (decimal(value, 4), decimal(value + 31_415, 4));
    let pairs = |cuts: i128, others: i128| {
        let cuts = (0..cuts).map(|n| cut(1_237 + n * 1_001));
        let others = (0..others).map(|n| other(5_000 + n * 7));
        cuts.chain(others).collect::<Vec<_>>()
    };
    assert_eq!(claims(numbers(), &pairs(2, 0)), [], "two are few");
    for (cuts, others) in [(3, 0), (18, 2)] {
        let rows = u64::try_from(cuts).unwrap();
        let found = claims(numbers(), &pairs(cuts, others));
        assert_eq!(found, claimed("scale-truncated", rows), "{cuts} {others}");
    }
    assert_eq!(claims(numbers(), &pairs(8, 2)), [], "not nearly all");
}

#[test]
fn the_values_that_are_examined_are_counted_by_column() {
    let same = (text("same"), text("same"));
    let trimmed = (text("x "), text("x"));
    let changed = (text("other"), text("text"));
    let found = groups(
        &[text_column("a"), text_column("b")],
        &[
            vec![trimmed.clone(), same.clone()],
            vec![changed.clone(), trimmed.clone()],
            vec![same, trimmed],
        ],
    );
    let told: Vec<_> = found
        .iter()
        .map(|it| (it.column.as_deref().unwrap(), it.rows, it.examined))
        .collect();
    assert_eq!(told, [("b", 2, 2), ("a", 1, 2)]);
    assert_eq!(
        found[0].also_ignores.as_deref(),
        Some("every difference in trailing blanks")
    );
}

#[test]
fn one_value_without_a_simpler_reading_is_enough() {
    for (source, target, name) in [
        ("Größe", "GrÃ¶ÃŸe", "code-page-damaged"),
        ("a long description", "a long descript", "text-truncated"),
        ("a\r\nb", "a\nb", "line-ends-changed"),
        ("Ab ", "ab", "text-folded"),
    ] {
        let pair = (text(source), text(target));
        assert_eq!(claims(text_column("t"), &[pair]), claimed(name, 1));
    }
    for (source, target) in [
        ("Main Street 5", "Main Street"),
        ("Smithson", "Smith"),
        ("A", "a"),
        ("Y", "yes"),
    ] {
        let pair = (text(source), text(target));
        assert_eq!(claims(text_column("t"), &[pair]), [], "{source}");
    }
}

#[test]
fn a_text_that_fills_its_column_was_cut() {
    let mut column = text_column("t");
    column.target.declared = "character varying(5)".to_owned();
    let pair = (text("Smithson"), text("Smith"));
    assert_eq!(claims(column, &[pair]), claimed("text-truncated", 1));
}

#[test]
fn a_seventh_digit_is_seen_although_it_is_not_compared() {
    let mut column = time_column("at");
    column.source.kind = ColumnType::Timestamp(7);
    let columns = [column];
    let mut tally = CauseTally::new(&columns);
    for (number, units) in [1_234_567, 5_555_556, 599_999_999, 591_230_006]
        .into_iter()
        .enumerate()
    {
        let exact = ticks(units);
        let compared = [micros(units / 10), micros((units + 5) / 10)];
        let [source, target] = &compared;
        let observed = Observed {
            compared: Pair { source, target },
            stored: vec![Pair {
                source: &exact,
                target,
            }],
            differs: true,
        };
        tally.observe(number as u128, &Map::new(), &[observed], |_| {
            (json!(0), json!(0))
        });
    }
    assert_eq!(
        told(&tally.finish()),
        [(
            "fraction-rounded: rounded to microseconds in the target, as PostgreSQL rounds a seventh digit".to_owned(),
            4,
            Some("rules.at = { precision = 6, rounding = \"half-even\" }")
        )]
    );
}

#[test]
fn a_shift_with_daylight_saving_time_is_one_group() {
    let hour = 3_600_000_000;
    let later = |hours: i64, at: i64| (micros(at), micros(at + hours * hour));
    let pairs = [later(2, 7), later(1, 1_000_009), later(2, 60_000_011)];
    let found = groups(&[time_column("at")], &rows(&pairs));
    assert_eq!(
        told(&found),
        [(
            "time-zone-shifted: 2:00 h and 1:00 h later in the target, as after a time zone conversion with daylight saving time".to_owned(),
            3,
            None
        )]
    );
}

#[test]
fn null_and_one_value_stand_for_each_other() {
    let number = |value: i64| encoded(|to| to.int(value));
    let column = || column("status", ColumnType::Int, Kind::Int);
    let became = |values: &[i64]| {
        let pairs: Vec<_> = values
            .iter()
            .map(|value| (null(), number(*value)))
            .collect();
        lines(&groups(&[column()], &rows(&pairs)))
    };
    assert_eq!(
        became(&[1234, 1234]),
        [(
            "null-became-value: NULL in the source is 1234 in the target".to_owned(),
            2
        )]
    );
    assert_eq!(became(&[1234]), []);
    assert_eq!(became(&[1234, 1235]), []);
    assert_eq!(
        became(&[1234, 1235, 1236, 1237]),
        [(
            "null-in-source: NULL in the source where the target has a value".to_owned(),
            4
        )]
    );
    assert_eq!(became(&[5, 5]), [], "a small number recurs by chance");
}

#[test]
fn a_column_without_values_on_one_side_is_one_line() {
    let number = |value: i128| (decimal(value, 2), null());
    let same = (text("a"), text("a"));
    let pairs = |every_row: bool, values: &[i128]| {
        let mut total = numbers();
        total.source.computed = every_row;
        let columns = [total, text_column("t")];
        let mut tally = CauseTally::new(&columns).of_whole_table(every_row);
        for (order, value) in values.iter().enumerate() {
            let row = [number(*value), same.clone()];
            let values: Vec<_> = row.iter().map(observed).collect();
            tally.observe(order as u128, &Map::new(), &values, |_| {
                (json!(0), json!(0))
            });
        }
        lines(&tally.finish())
    };
    assert_eq!(
        pairs(true, &[3, 0, 999]),
        [(
            "null-in-target: every target value is NULL; it is computed in the source".to_owned(),
            3
        )]
    );
    assert_eq!(
        pairs(false, &[3, 4, 999]),
        [(
            "null-in-target: NULL in the target where the source has a value".to_owned(),
            3
        )]
    );
    assert_eq!(pairs(true, &[3]), []);
}

#[test]
fn no_tolerance_as_large_as_the_values_is_suggested() {
    let option = |pairs: &[(i128, i128)]| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(source, target)| (decimal(*source, 4), decimal(*target, 4)))
            .collect();
        let mut found = groups(&[numbers()], &rows(&pairs));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    };
    // 12.3456 became 12, and 1.2345 became 1.
    let large = option(&[
        (1_234_567, 1_230_000),
        (9_876_543, 9_870_000),
        (5_551_234, 5_550_000),
    ]);
    assert_eq!(
        large.option.as_deref(),
        Some("rules.price = { tolerance = { absolute = \"1\" } }")
    );
    assert_eq!(
        large.also_ignores.as_deref(),
        Some("every difference of at most 1")
    );
    let small = option(&[(12_345, 10_000), (98_765, 90_000), (55_512, 50_000)]);
    assert_eq!((small.option, small.also_ignores), (None, None));
}

/// A damage done to all values of a column, and its name.
/// A column, the encoded values of its rows, and the name of their cause.
type DamagedColumn = (PlannedColumn, Vec<(Vec<u8>, Vec<u8>)>, &'static str);

fn damaged_column() -> impl Strategy<Value = DamagedColumn> {
    let many = 12..40_usize;
    let times = proptest::collection::vec(0..60_000_000_000_000_000_i64, many.clone());
    let texts = proptest::collection::vec("[A-Z][a-z]{3,12}é[a-z]{4,20}", many.clone());
    let prices = proptest::collection::vec(10_000..9_999_999_i128, many);
    let of = |column: fn() -> PlannedColumn, pairs: Vec<(Vec<u8>, Vec<u8>)>, name: &'static str| {
        let differing = pairs.into_iter().filter(|(a, b)| a != b).collect();
        (column(), differing, name)
    };
    let at = || time_column("at");
    let name = || text_column("name");
    let mapped = |values: &[String], change: fn(&str) -> String| {
        let pair = |value: &String| (text(value), text(&change(value)));
        values.iter().map(pair).collect::<Vec<_>>()
    };
    prop_oneof![
        times.prop_flat_map(move |times| {
            let change = |change: fn(i64) -> i64| {
                let pair = |at: &i64| (micros(*at), micros(change(*at)));
                times.iter().map(pair).collect::<Vec<_>>()
            };
            prop_oneof![
                Just(of(at, change(|it| it - it % 1000), "fraction-truncated")),
                Just(of(
                    at,
                    change(|it| (it + 500) / 1000 * 1000),
                    "fraction-rounded"
                )),
                Just(of(
                    at,
                    change(|it| it + 19_800_000_000),
                    "time-zone-shifted"
                )),
                Just(of(at, change(|it| it - it % 60_000_000), "seconds-dropped")),
            ]
        }),
        texts.prop_flat_map(move |texts| {
            prop_oneof![
                Just(of(name, mapped(&texts, str::to_lowercase), "case-folded")),
                Just(of(
                    name,
                    mapped(&texts, |it| format!("{it} ")),
                    "blanks-trimmed"
                )),
                Just(of(
                    name,
                    mapped(&texts, |it| it.replace('é', "Ã©")),
                    "code-page-damaged"
                )),
                Just(of(
                    name,
                    mapped(&texts, |it| it.replace('é', "e")),
                    "accents-removed"
                )),
                Just(of(
                    name,
                    mapped(&texts, |it| it.chars().take(8).collect()),
                    "text-truncated"
                )),
            ]
        }),
        prices.prop_map(move |prices| {
            let pair = |price: &i128| (decimal(*price, 4), decimal(price / 100, 2));
            of(
                numbers,
                prices.iter().map(pair).collect(),
                "scale-truncated",
            )
        }),
    ]
}

proptest! {
    #[test]
    fn a_damage_of_a_whole_column_is_found((column, pairs, name) in damaged_column()) {
        prop_assume!(pairs.len() >= 12);
        let found = groups(&[column], &rows(&pairs));
        prop_assert_eq!(&found[0].cause, name);
        prop_assert_eq!(found[0].rows, pairs.len() as u64);
        prop_assert_eq!(found[0].examined, pairs.len() as u64);
    }

    #[test]
    fn unrelated_values_are_not_claimed(
        texts in proptest::collection::vec(("[a-z]{1,5}", "[a-z]{1,5}"), 16..40),
        days in proptest::collection::vec((0..30_i32, 0..30_i32), 16..40),
        quarters in proptest::collection::vec((0..96_i64, 0..96_i64), 16..40),
        cents in proptest::collection::vec((0..3000_i128, 0..3000_i128), 16..40),
        units in proptest::collection::vec(0..3000_i128, 1..40),
    ) {
        let texts: Vec<_> = texts.iter().map(|(a, b)| (text(a), text(b))).collect();
        let days: Vec<_> = days
            .iter()
            .map(|(a, b)| (encoded(|to| to.date(*a)), encoded(|to| to.date(*b))))
            .collect();
        let quarter = 900_000_000;
        let times: Vec<_> = quarters
            .iter()
            .map(|(a, b)| (micros(a * quarter), micros(b * quarter)))
            .collect();
        let cents: Vec<_> = cents.iter().map(|(a, b)| (decimal(*a, 2), decimal(*b, 2))).collect();
        let units: Vec<_> = units.iter().map(|a| (decimal(*a, 2), decimal(a + 1, 2))).collect();
        for (column, pairs) in [
            (text_column("t"), texts),
            (dates(), days),
            (time_column("at"), times),
            (numbers(), cents),
            (numbers(), units),
        ] {
            prop_assert_eq!(claims(column, &pairs), []);
        }
    }
}

//! Keys of missing and extra rows that are the same but for a damage are paired.

use proptest::prelude::*;
use shared::outcome::DifferenceKind::{Extra, Missing};

use crate::engine::locate::cause::keys::KeyPairs;
use crate::engine::locate::cause::tests::*;

/// The groups of tables whose keys are only on one side.
fn paired(
    columns: &[PlannedColumn],
    missing: &[Vec<Vec<u8>>],
    extra: &[Vec<Vec<u8>>],
) -> Vec<CauseGroup> {
    let mut keys = KeyPairs::new(columns);
    for (kind, values) in [(Missing, missing), (Extra, extra)] {
        for (order, values) in values.iter().enumerate() {
            let rendered = columns
                .iter()
                .zip(values)
                .map(|(column, value)| (column.source.name.clone(), to_json(value)));
            keys.add(kind, order as u128, &rendered.collect(), values.clone());
        }
    }
    keys.finish()
}

fn texts(values: &[&str]) -> Vec<Vec<Vec<u8>>> {
    values.iter().map(|value| vec![text(value)]).collect()
}

#[test]
fn case_and_blanks_of_a_key_are_one_group_with_one_rule() {
    let columns = [text_column("Login")];
    let groups = paired(
        &columns,
        &texts(&["Alice", "bob ", "gone"]),
        &texts(&["alice", "bob", "new", "newer"]),
    );
    assert_eq!(groups.len(), 1, "{groups:?}");
    let group = &groups[0];
    assert_eq!(
        (
            &*group.cause,
            &*group.explanation,
            group.rows,
            group.examined,
            group.pairs_keys
        ),
        (
            "text-folded",
            "2 of 3 missing and 2 of 4 extra rows have the same key but for trailing blanks and letter case",
            2,
            3,
            true
        )
    );
    assert_eq!(
        group.option.as_deref(),
        Some("rules.Login = { trim = \"end\", case_insensitive = true }")
    );
    assert_eq!(
        group.also_ignores.as_deref(),
        Some("every difference in trailing blanks and letter case")
    );
    assert_eq!(group.example.key["Login"], json!("Alice"));
    assert_eq!(
        (&group.example.source, &group.example.target),
        (&json!("Alice"), &json!("alice"))
    );
}

#[test]
fn each_damage_of_a_key_is_found() {
    let same_but =
        |why: &str| format!("1 of 1 missing and 1 of 1 extra rows have the same key but for {why}");
    for (missing, extra, cause, why) in [
        (
            "00501",
            "501",
            "leading-zeros-lost",
            "leading zeros removed in the target",
        ),
        (
            "Größe",
            "GrÃ¶ÃŸe",
            "code-page-damaged",
            "UTF-8 decoded as Windows-1252 in the target",
        ),
        (
            "GrÃ¶ÃŸe",
            "Größe",
            "code-page-damaged",
            "UTF-8 decoded as Windows-1252 in the source",
        ),
        (
            "Caf\u{e9}",
            "Cafe\u{301}",
            "unicode-normalized",
            "Unicode form (NFD)",
        ),
        (
            "Łódź é",
            "?ód? é",
            "characters-replaced",
            "characters that a code page does not have replaced by `?` in the target",
        ),
        (
            " Bob",
            "bob",
            "text-folded",
            "leading blanks and letter case",
        ),
        (
            "Zoë x",
            "Zoe x",
            "accents-removed",
            "accents removed in the target",
        ),
    ] {
        let groups = paired(&[text_column("k")], &texts(&[missing]), &texts(&[extra]));
        let told: Vec<_> = groups
            .iter()
            .map(|it| (&*it.cause, it.explanation.clone()))
            .collect();
        assert_eq!(told, [(cause, same_but(why))], "{missing} {extra}");
    }
    let uuid: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let swapped = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let key = |uuid: &[u8; 16]| vec![vec![encoded(|to| to.uuid(uuid))]];
    let column = column("id", ColumnType::Uuid, Kind::Uuid);
    let groups = paired(&[column], &key(&uuid), &key(&swapped));
    assert_eq!(groups[0].cause, "uuid-bytes-swapped");
}

#[test]
fn keys_with_several_partners_or_of_other_texts_have_none() {
    let column = || [text_column("k")];
    for (missing, extra) in [
        (&["Alice", "ALICE"][..], &["alice"][..]),
        (&["alice"], &["Alice", "ALICE"]),
        (&["abc", "abd"], &["ab", "abe"]),
        (&["Smithson"], &["Smith"]),
        (&["A"], &["a", "b", "c"]),
        (&["x"], &[]),
    ] {
        let groups = paired(&column(), &texts(missing), &texts(extra));
        assert_eq!(told(&groups), [], "{missing:?} {extra:?}");
    }
}

#[test]
fn times_of_keys_are_paired_by_a_common_shift_or_a_cut() {
    let key = |account: &str, at: i64| vec![text(account), micros(at)];
    let columns = [text_column("account"), time_column("at")];
    let hour = 3_600_000_000;
    let ours: Vec<_> = (0..5).map(|n| key("a", n * 7_001_003)).collect();
    let later: Vec<_> = (0..5).map(|n| key("a", n * 7_001_003 + 2 * hour)).collect();
    let groups = paired(&columns, &ours, &later);
    assert_eq!(
        told(&groups),
        [(
            "time-zone-shifted: 5 of 5 missing and 5 of 5 extra rows have the same key but for 2:00 h later in the target, as after a time zone conversion".to_owned(),
            5,
            None
        )]
    );
    assert_eq!(groups[0].column.as_deref(), Some("at"));

    let rounded: Vec<_> = (1..5)
        .map(|n| key("a", (n * 7_001_603 + 500) / 1000 * 1000))
        .collect();
    let exact: Vec<_> = (1..5).map(|n| key("a", n * 7_001_603)).collect();
    let groups = paired(&columns, &exact, &rounded);
    assert_eq!(
        groups[0].option.as_deref(),
        Some("rules.at = { precision = 3, rounding = \"half-up\" }"),
        "{groups:?}"
    );

    let day = |value: i32| vec![text("a"), encoded(|to| to.date(value))];
    let days = [
        text_column("account"),
        column("d", ColumnType::Date, Kind::Date),
    ];
    let groups = paired(
        &days,
        &[day(10), day(40), day(70)],
        &[day(9), day(39), day(69)],
    );
    assert_eq!(groups[0].cause, "time-zone-shifted", "{groups:?}");
    assert_eq!(groups[0].rows, 3);
}

proptest! {
    #[test]
    fn damaged_keys_find_each_other_among_others(
        keys in proptest::collection::hash_set("[A-Z]{1,3}[a-zé]{4,8}[0-9]{3}", 1..40),
        others in proptest::collection::hash_set("#[a-z]{4,8}", 0..20),
        damage in 0..3_usize,
    ) {
        type Damaging = fn(&str) -> String;
        let damages: [(Damaging, &str); 3] = [
            (str::to_lowercase, "case-folded"),
            (|key| format!("{key} "), "blanks-trimmed"),
            (|key| format!("{key}é").bytes().map(char::from).collect(), "code-page-damaged"),
        ];
        let (change, name) = damages[damage];
        let whole = |key: &String| if damage == 2 { format!("{key}é") } else { key.clone() };
        let mut folded = std::collections::HashSet::new();
        prop_assume!(keys.iter().all(|key| folded.insert(key.to_lowercase())));
        let missing: Vec<String> = keys.iter().map(whole).chain(others.iter().map(|it| format!("-{it}"))).collect();
        let extra: Vec<String> = keys.iter().map(|key| change(key)).chain(others.iter().map(|it| format!("+{it}"))).collect();
        let of = |keys: &[String]| keys.iter().map(|key| vec![text(key)]).collect::<Vec<_>>();
        let groups = paired(&[text_column("k")], &of(&missing), &of(&extra));
        prop_assert_eq!(groups.len(), 1, "{:?}", groups);
        prop_assert_eq!(&groups[0].cause, name);
        prop_assert_eq!(groups[0].rows, keys.len() as u64);
    }

    #[test]
    fn unrelated_keys_are_not_paired(
        missing in proptest::collection::hash_set("[a-z]{6,8}", 1..20),
        extra in proptest::collection::hash_set("[0-9]{1,3}[a-z]{3,6}", 1..20),
        times in proptest::collection::hash_set(0..1_000_000_000_000_i64, 24..40),
    ) {
        let of = |keys: &std::collections::HashSet<String>| keys.iter().map(|key| vec![text(key)]).collect::<Vec<_>>();
        prop_assert_eq!(paired(&[text_column("k")], &of(&missing), &of(&extra)), []);
        let times: Vec<_> = times.into_iter().map(|at| vec![micros(at)]).collect();
        let (ours, theirs) = times.split_at(times.len() / 2);
        prop_assert_eq!(paired(&[time_column("at")], ours, theirs), []);
    }
}

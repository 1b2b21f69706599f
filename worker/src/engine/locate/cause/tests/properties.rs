//! A damage that is done to a value is explained, and by itself.

use proptest::prelude::*;

use crate::engine::locate::cause::tests::*;

/// A damage, and a way to do it that is not the code under test's.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
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
        let found = causes_of(&original, &damaged);
        prop_assert!(fits(found.clone(), Damaged::Target), "{:?} not in {:?}", damage, found);
        let (side, damage_back) = match damage {
            Damage::ZoneShifted(quarters) => (Damaged::Target, Damage::ZoneShifted(-quarters)),
            other => (Damaged::Source, other),
        };
        let found = causes_of(&damaged, &original);
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
        for cause in causes_of(&a, &b) {
            prop_assert!(!cause.explanation().is_empty());
        }
    }
}

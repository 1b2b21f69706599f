//! Which pairs have a rule, and what the errors of the others say.

use clap::ValueEnum as _;

use crate::engine::values::pairing::encoding::*;
use crate::engine::values::pairing::*;

fn column(kind: ColumnType) -> Column {
    let declared = format!("{kind:?}");
    Column::new("c", kind, &declared)
}

fn under(rule: &ColumnRule, source: ColumnType, target: ColumnType) -> Result<Pairing, String> {
    pairing(&column(source), &column(target), rule).map_err(|error| error.to_string())
}

fn types() -> Vec<ColumnType> {
    use ColumnType::*;
    vec![
        Bool,
        Int,
        Decimal,
        Money,
        Float32,
        Float64,
        Text { padded: false },
        Text { padded: true },
        Bytes,
        Date,
        Time(3),
        Time(7),
        Timestamp(0),
        Timestamp(6),
        Timestamp(7),
        DateTime,
        Instant(6),
        Instant(7),
        Uuid,
        Json,
        Xml,
        Other,
    ]
}

#[test]
fn swapped_sides_have_the_mirrored_rule() {
    let mut rules = vec![
        ColumnRule::default(),
        ColumnRule {
            as_text: true,
            ..ColumnRule::default()
        },
    ];
    for (encoding, _) in ENCODINGS {
        rules.push(ColumnRule {
            encoding: Some(encoding),
            scale: (encoding == Encoding::DecimalBytes).then_some(2),
            ..ColumnRule::default()
        });
    }
    rules.push(ColumnRule {
        zone: Some("Europe/Berlin".to_owned()),
        ..ColumnRule::default()
    });
    for rule in &rules {
        for a in types() {
            for b in types() {
                let (there, back) = (
                    under(rule, a.clone(), b.clone()),
                    under(rule, b.clone(), a.clone()),
                );
                match (there, back) {
                    (Ok(there), Ok(back)) => {
                        assert_eq!(there.kind, back.kind, "{rule:?} {a:?} {b:?}");
                        assert_eq!(
                            (there.source, there.target),
                            (back.target, back.source),
                            "{rule:?} {a:?} {b:?}"
                        );
                    }
                    (there, back) => {
                        assert_eq!(there.is_err(), back.is_err(), "{rule:?} {a:?} {b:?}")
                    }
                }
            }
        }
    }
}

#[test]
fn every_type_but_the_unknown_has_its_own_form() {
    for kind in types() {
        let own = under(&ColumnRule::default(), kind.clone(), kind.clone());
        assert_eq!(own.is_ok(), kind != ColumnType::Other, "{kind:?}: {own:?}");
    }
}

#[test]
fn every_encoding_is_listed_under_its_name() {
    let named = |encoding: &Encoding| encoding.to_possible_value().unwrap().get_name().to_owned();
    let declared: Vec<(Encoding, String)> = Encoding::value_variants()
        .iter()
        .map(|encoding| (*encoding, named(encoding)))
        .collect();
    let listed = ENCODINGS.map(|(encoding, name)| (encoding, name.to_owned()));
    assert_eq!(listed.as_slice(), declared);
    for (encoding, name) in listed {
        assert_eq!(serde_json::to_value(encoding).unwrap(), name);
    }
}

#[test]
fn advice_is_what_can_be_pasted_and_works() {
    for a in types() {
        for b in types() {
            if under(&ColumnRule::default(), a.clone(), b.clone()).is_ok() {
                continue;
            }
            for encoding in fitting_encodings(&a, &b) {
                let rule = ColumnRule {
                    encoding: Some(encoding),
                    scale: (encoding == Encoding::DecimalBytes).then_some(2),
                    ..ColumnRule::default()
                };
                assert!(
                    under(&rule, a.clone(), b.clone()).is_ok(),
                    "{a:?} {b:?} {encoding:?}"
                );
            }
        }
    }
    let message = |a, b| under(&ColumnRule::default(), a, b).unwrap_err();
    let text = || ColumnType::Text { padded: false };
    for (error, option) in [
        (
            message(ColumnType::DateTime, ColumnType::Int),
            "rules.c.as = \"epoch-millis\"",
        ),
        (
            message(ColumnType::Timestamp(7), ColumnType::Int),
            "rules.c.as = \"epoch-nanos\"",
        ),
        (
            message(ColumnType::Timestamp(6), ColumnType::Int),
            "rules.c.as = \"epoch-micros\"",
        ),
        (
            message(ColumnType::Date, ColumnType::Int),
            "rules.c.as = \"epoch-days\"",
        ),
        (
            message(ColumnType::Time(7), ColumnType::Int),
            "rules.c.as = \"midnight-nanos\"",
        ),
        (
            message(ColumnType::Instant(7), text()),
            "rules.c.as = \"iso-8601\"",
        ),
        (
            message(ColumnType::Decimal, text()),
            "rules.c.as = \"decimal-text\"",
        ),
        (
            message(ColumnType::Decimal, ColumnType::Bytes),
            "rules.c.as = \"decimal-bytes\" and rules.c.scale = N",
        ),
        (
            message(ColumnType::Bytes, text()),
            "rules.c.as = \"base64\"",
        ),
        (
            message(ColumnType::DateTime, ColumnType::Instant(6)),
            "rules.c.as = \"utc\"",
        ),
        (
            message(ColumnType::Bool, text()),
            "rules.c.as = \"boolean-text\"",
        ),
        (message(ColumnType::Other, text()), "rules.c.as_text = true"),
    ] {
        let first = error.split("; ").nth(1).unwrap_or_default().to_owned();
        assert!(first.contains(option), "{error}");
    }
    let local = message(ColumnType::Instant(6), ColumnType::DateTime);
    assert!(
        local.contains("rules.c.zone = \"Europe/Berlin\""),
        "{local}"
    );
    assert_eq!(rule_key("Created At"), "rules.\"Created At\"");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn options_that_do_not_fit_are_refused_with_what_does() {
    let refuse = |rule: ColumnRule, a, b| under(&rule, a, b).unwrap_err();
    let text = || ColumnType::Text { padded: false };
    let usual = ColumnRule::default;
    for (error, words) in [
        (
            refuse(
                ColumnRule {
                    precision: Some(3),
                    ..usual()
                },
                ColumnType::Int,
                ColumnType::Int,
            ),
            "tolerance",
        ),
        (
            refuse(
                ColumnRule {
                    precision: Some(8),
                    ..usual()
                },
                ColumnType::Time(3),
                ColumnType::Time(3),
            ),
            "at most 7",
        ),
        (
            refuse(
                ColumnRule {
                    rounding: Some(Rounding::HalfEven),
                    ..usual()
                },
                text(),
                text(),
            ),
            "rounding",
        ),
        (
            refuse(
                ColumnRule {
                    case_insensitive: true,
                    ..usual()
                },
                ColumnType::Int,
                ColumnType::Int,
            ),
            "case_insensitive",
        ),
        (
            refuse(
                ColumnRule {
                    trim: Some(shared::options::Trim::End),
                    ..usual()
                },
                ColumnType::Uuid,
                text(),
            ),
            "as_text",
        ),
        (
            refuse(
                ColumnRule {
                    tolerance: Some(Tolerance::Absolute("1".to_owned())),
                    ..usual()
                },
                text(),
                text(),
            ),
            "numbers and times only",
        ),
        (
            refuse(
                ColumnRule {
                    tolerance: Some(Tolerance::Relative(0.1)),
                    ..usual()
                },
                ColumnType::Date,
                ColumnType::Date,
            ),
            "absolute",
        ),
        (
            refuse(
                ColumnRule {
                    tolerance: Some(Tolerance::Absolute("-1".to_owned())),
                    ..usual()
                },
                ColumnType::Int,
                ColumnType::Int,
            ),
            "-1",
        ),
        (
            refuse(
                ColumnRule {
                    encoding: Some(Encoding::DecimalBytes),
                    ..usual()
                },
                ColumnType::Decimal,
                ColumnType::Bytes,
            ),
            "scale = N",
        ),
        (
            refuse(
                ColumnRule {
                    scale: Some(2),
                    ..usual()
                },
                ColumnType::Decimal,
                ColumnType::Decimal,
            ),
            "decimal-bytes",
        ),
        (
            refuse(
                ColumnRule {
                    encoding: Some(Encoding::EpochDays),
                    ..usual()
                },
                ColumnType::Int,
                ColumnType::DateTime,
            ),
            "epoch-millis",
        ),
        (
            refuse(
                ColumnRule {
                    encoding: Some(Encoding::Hex),
                    ..usual()
                },
                ColumnType::Int,
                ColumnType::Int,
            ),
            "remove `as`",
        ),
        (
            refuse(
                ColumnRule {
                    encoding: Some(Encoding::Hex),
                    as_text: true,
                    ..usual()
                },
                text(),
                text(),
            ),
            "choose one",
        ),
        (
            refuse(
                ColumnRule {
                    encoding: Some(Encoding::Utc),
                    zone: Some("Europe/Berlin".to_owned()),
                    ..usual()
                },
                ColumnType::DateTime,
                ColumnType::Instant(6),
            ),
            "choose one",
        ),
        (
            refuse(
                ColumnRule {
                    zone: Some("Europe/Berlim".to_owned()),
                    ..usual()
                },
                ColumnType::DateTime,
                ColumnType::Instant(6),
            ),
            "IANA",
        ),
        (
            refuse(
                ColumnRule {
                    zone: Some("Europe/Berlin".to_owned()),
                    ..usual()
                },
                ColumnType::Instant(6),
                ColumnType::Instant(6),
            ),
            "local times",
        ),
        (
            refuse(
                ColumnRule {
                    true_words: vec!["J".to_owned()],
                    ..usual()
                },
                ColumnType::Bool,
                text(),
            ),
            "boolean-text",
        ),
        (
            refuse(
                ColumnRule {
                    encoding: Some(Encoding::BooleanText),
                    true_words: vec!["N".to_owned()],
                    ..usual()
                },
                ColumnType::Bool,
                text(),
            ),
            "both true and false",
        ),
    ] {
        assert!(error.contains(words) && error.contains("`c`"), "{error}");
    }
}

#[test]
fn precision_and_rounding_reach_the_form() {
    let rule = ColumnRule {
        precision: Some(3),
        rounding: Some(Rounding::HalfEven),
        ..ColumnRule::default()
    };
    let pairing = under(&rule, ColumnType::Timestamp(7), ColumnType::Timestamp(6)).unwrap();
    assert_eq!(
        pairing.kind,
        Kind::Timestamp(Resolution {
            digits: 3,
            rounding: Rounding::HalfEven,
            from_2000: false,
        })
    );
    let finer = ColumnRule {
        precision: Some(7),
        ..ColumnRule::default()
    };
    let pairing = under(&finer, ColumnType::Timestamp(3), ColumnType::Timestamp(6)).unwrap();
    assert!(matches!(
        pairing.kind,
        Kind::Timestamp(Resolution { digits: 3, .. })
    ));
}

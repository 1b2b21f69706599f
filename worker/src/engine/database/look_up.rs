//! What both dialects need to turn a canonical key value into a condition.

use crate::engine::values::value::Value;

/// The 64-bit integer that a value is, whichever form it is compared in.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        // The value of a column that is a boolean on the other side only.
        Value::Bool(truth) => Some((*truth).into()),
        Value::Int(number) => Some(*number),
        Value::Decimal(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use shared::endpoint::DatabaseKind;

    use crate::engine::database::kinds::database;
    use crate::engine::values::canonical::Decimal;
    use crate::engine::values::canonical::RowEncoder;
    use crate::engine::values::canonical::TimeUnit;
    use crate::engine::values::canonical::parse_decimal;
    use crate::engine::values::column::{Column, ColumnType};

    fn column(kind: ColumnType, declared: &str) -> Column {
        Column {
            nullable: false,
            ..Column::new("k", kind, declared)
        }
    }

    fn value(push: impl FnOnce(&mut RowEncoder)) -> Vec<u8> {
        let mut encoder = RowEncoder::default();
        encoder.start_row();
        push(&mut encoder);
        encoder.row().to_vec()
    }

    fn decimal(text: &str) -> Vec<u8> {
        value(|encoder| {
            let mut room = Vec::new();
            let decimal: Decimal<'_> = parse_decimal(text.as_bytes(), &mut room).unwrap();
            encoder.decimal(&decimal);
        })
    }

    fn ask(engine: DatabaseKind, column: &Column, value: &[u8]) -> Option<String> {
        let mut parameters = Vec::new();
        let asked = database(engine).look_up_term(column, value, &mut parameters)?;
        Some(parameters.into_iter().fold(asked, |asked, parameter| {
            asked.replace("@P1", &format!("N'{parameter}'"))
        }))
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn sql_server_is_asked_only_for_what_its_types_hold() {
        let asked = |declared: &str, kind: ColumnType, value: &[u8]| {
            ask(DatabaseKind::SqlServer, &column(kind, declared), value)
        };
        for (declared, fits, does_not) in [
            ("tinyint", ["0", "255"], ["-1", "256"]),
            ("smallint", ["-32768", "32767"], ["-32769", "1.5"]),
            ("int", ["2147483647", "-2147483648"], ["2147483648", "0.1"]),
            (
                "bigint",
                ["9223372036854775807", "-9223372036854775808"],
                ["9223372036854775808", "1e30"],
            ),
        ] {
            for number in fits {
                let expected = format!("[k] = CAST(N'{number}' AS {declared})");
                let asked = asked(declared, ColumnType::Int, &decimal(number));
                assert_eq!(asked, Some(expected));
            }
            for number in does_not {
                let asked = asked(declared, ColumnType::Int, &decimal(number));
                assert_eq!(asked, None, "{declared} {number}");
            }
        }
        for (declared, fits, does_not) in [
            ("decimal(5, 2)", ["999.99", "-0.01"], ["1000", "0.001"]),
            ("decimal(2, 2)", ["0.99", "0"], ["1", "-1"]),
            (
                "decimal(38, 0)",
                ["99999999999999999999999999999999999999", "0"],
                ["0.5", "NaN"],
            ),
        ] {
            for number in fits {
                let asked = asked(declared, ColumnType::Decimal, &decimal(number));
                assert!(asked.is_some(), "{declared} {number}");
            }
            for number in does_not {
                let asked = asked(declared, ColumnType::Decimal, &decimal(number));
                assert_eq!(asked, None, "{declared} {number}");
            }
        }
        for (declared, fits, does_not) in [
            (
                "money",
                ["922337203685477.5807", "-922337203685477.5808"],
                ["922337203685477.5808", "0.00001"],
            ),
            (
                "smallmoney",
                ["214748.3647", "-214748.3648"],
                ["214748.3648", "-214748.3649"],
            ),
        ] {
            for number in fits {
                let asked = asked(declared, ColumnType::Money, &decimal(number));
                assert!(asked.is_some(), "{declared} {number}");
            }
            for number in does_not {
                let asked = asked(declared, ColumnType::Money, &decimal(number));
                assert_eq!(asked, None, "{declared} {number}");
            }
        }
        let day = |days: i32| value(|encoder| encoder.date(days));
        for (days, text) in [(-730_119, "0001-01-01"), (2_921_939, "9999-12-31")] {
            let expected = format!("[k] = CAST(N'{text}' AS date)");
            assert_eq!(asked("date", ColumnType::Date, &day(days)), Some(expected));
        }
        for days in [i32::MIN, -730_120, 2_921_940, i32::MAX] {
            assert_eq!(asked("date", ColumnType::Date, &day(days)), None, "{days}");
        }
        let minute = |units: i64| value(|encoder| encoder.timestamp(TimeUnit::Micros, units));
        let small = |units: i64| asked("smalldatetime", ColumnType::Timestamp(0), &minute(units));
        assert_eq!(
            small(60_000_000).unwrap(),
            "[k] = CAST(N'2000-01-01T00:01:00' AS smalldatetime)"
        );
        assert_eq!(small(59_000_000), None);
        assert_eq!(small(86_400_000_000 * 29_012), None);
        let clock = |units: i64| {
            let value = value(|encoder| encoder.time(TimeUnit::Micros, units));
            asked("time(6)", ColumnType::Time(6), &value)
        };
        assert!(clock(86_399_999_999).is_some());
        assert_eq!(clock(86_400_000_000), None);
    }

    #[test]
    fn only_what_goes_through_a_code_page_is_not_certain_to_be_found() {
        let text = |text: &str| value(|encoder| encoder.text(text.as_bytes()));
        let certain = |engine, declared: &str, text: &[u8]| {
            let column = column(ColumnType::Text { padded: false }, declared);
            database(engine).is_found(&column, text)
        };
        assert!(!certain(DatabaseKind::SqlServer, "varchar(9)", &text("é")));
        assert!(certain(DatabaseKind::SqlServer, "varchar(9)", &text("e")));
        assert!(certain(DatabaseKind::SqlServer, "nvarchar(9)", &text("é")));
        assert!(certain(DatabaseKind::Postgres, "varchar(9)", &text("é")));
    }

    #[test]
    fn text_types_without_an_equals_are_compared_as_such_that_have_one() {
        let text = value(|encoder| encoder.text(b"x"));
        let asked = |declared: &str| {
            let column = column(ColumnType::Text { padded: false }, declared);
            ask(DatabaseKind::SqlServer, &column, &text).unwrap()
        };
        assert_eq!(asked("varchar(9)"), "[k] = CAST(N'x' AS varchar(9))");
        assert_eq!(
            asked("ntext"),
            "CAST([k] AS nvarchar(max)) = CAST(N'x' AS nvarchar(max))"
        );
    }

    #[test]
    fn postgresql_is_asked_for_the_type_behind_a_domain_over_an_enum() {
        let mut note = column(ColumnType::Text { padded: false }, "note");
        note.read_as = Some("text".to_owned());
        note.repertoire.labels = vec!["ok".to_owned()];
        note.repertoire.enum_type = Some("mood".to_owned());
        let asked = |text: &str| {
            let value = value(|encoder| encoder.text(text.as_bytes()));
            ask(DatabaseKind::Postgres, &note, &value)
        };
        assert_eq!(asked("ok").unwrap(), "\"k\"::mood = 'ok'::mood");
        assert_eq!(asked("bad"), None);
        let mut bit = column(ColumnType::Bool, "bit(1)");
        bit.read_as = Some("integer::boolean".to_owned());
        let truth = value(|encoder| encoder.bool(true));
        let asked = ask(DatabaseKind::Postgres, &bit, &truth);
        assert_eq!(asked.unwrap(), "\"k\" = B'1'");
    }

    #[test]
    fn postgresql_is_asked_in_a_type_that_holds_the_value() {
        let asked = |declared: &str, kind: ColumnType, value: &[u8]| {
            ask(DatabaseKind::Postgres, &column(kind, declared), value)
        };
        let integer = |number: &str| asked("smallint", ColumnType::Int, &decimal(number));
        assert_eq!(
            integer("3000000000").unwrap(),
            "\"k\" = '3000000000'::bigint"
        );
        assert_eq!(integer("1.5"), None);
        assert_eq!(
            asked("numeric(4,1)", ColumnType::Decimal, &decimal("1.239")).unwrap(),
            "\"k\" = '1.239'::numeric"
        );
        let text = |text: &str| {
            let value = value(|encoder| encoder.text(text.as_bytes()));
            asked("text", ColumnType::Text { padded: false }, &value)
        };
        assert_eq!(text("it's").unwrap(), "\"k\" = 'it''s'::text");
        assert_eq!(text("a\0"), None);
        let padded = |text: &str| {
            let value = value(|encoder| encoder.text(text.as_bytes()));
            let kind = ColumnType::Text { padded: true };
            asked("character varying(4)", kind, &value)
        };
        assert_eq!(
            padded("é's").unwrap(),
            "\"k\" IN ('é''s'::character varying(4), 'é''s '::character varying(4))"
        );
        assert_eq!(padded("abcde"), None);
        let last = value(|encoder| encoder.timestamp(TimeUnit::Micros, 9_223_371_331_200_000_000));
        assert_eq!(
            asked("timestamp(0)", ColumnType::Timestamp(0), &last).unwrap(),
            "\"k\" = '294276-12-31 23:59:59.999999'::timestamp(0)"
        );
        let moment = value(|encoder| encoder.timestamp(TimeUnit::Micros, -1));
        assert_eq!(
            asked("timestamp", ColumnType::Timestamp(6), &moment).unwrap(),
            "\"k\" = (('2000-01-01'::date + (-1)) + '23:59:59.999999'::time)"
        );
    }
}

//! How a database is asked for the rows in which a column has a certain value.
//!
//! The value may come from the other side, whose type may hold more. What a
//! column cannot hold is in none of its rows and is not asked for: a database
//! would refuse it, or make another value of it.

use shared::endpoint::DatabaseKind;

use crate::engine::database::scan::statement::identifier;
use crate::engine::database::session::postgres;
use crate::engine::values::canonical::{NULL, UnitCount, View, to_text, view};
use crate::engine::values::column::{Column, ColumnType};

const SECONDS_OF_DAY: i64 = 86_400;

/// Days since 2000-01-01 of SQL Server's dates: of the years 1 to 9999.
const SQL_SERVER_DAYS: std::ops::RangeInclusive<i64> = -730_119..=2_921_939;

/// Of its `smalldatetime`: from 1900-01-01 to 2079-06-06.
const SMALL_DAYS: std::ops::RangeInclusive<i64> = -36_524..=29_011;

/// The condition that finds the rows in which `column` has the canonical
/// `value`; it may find others too, where the database takes different values
/// for equal. `None` where no row can have it. SQL Server's values are added to
/// `parameters`.
pub(crate) fn equals(
    engine: DatabaseKind,
    column: &Column,
    value: &[u8],
    parameters: &mut Vec<String>,
) -> Option<String> {
    let name = identifier(engine, &column.name);
    if value == [NULL] {
        return Some(format!("{name} IS NULL"));
    }
    match engine {
        DatabaseKind::Postgres => {
            let asked = in_postgres(column, value)?;
            Some(match &column.read_as {
                // Its index is over the enum.
                _ if !column.repertoire.labels.is_empty() => format!("{name} = {asked}"),
                Some(read_as) => format!("{name}::{read_as} = {asked}"),
                None => format!("{name} = {asked}"),
            })
        }
        DatabaseKind::SqlServer => {
            let (name, declared, style) = in_sql_server(column, value, name)?;
            parameters.push(to_text_of(column, value));
            let parameter = parameters.len();
            Some(if style {
                // Style 1 reads hexadecimal digits after 0x.
                format!("{name} = CONVERT({declared}, @P{parameter}, 1)")
            } else {
                format!("{name} = CAST(@P{parameter} AS {declared})")
            })
        }
    }
}

/// Whether [`equals`] finds the rows with this value for certain. SQL Server
/// brings a text into the code page of a `varchar`: a character that it writes
/// there in another way than the row has it may not be found.
pub(crate) fn is_certain(engine: DatabaseKind, column: &Column, value: &[u8]) -> bool {
    match (engine, &column.kind, view(value)) {
        (DatabaseKind::SqlServer, ColumnType::Text { .. }, Some(View::Text(text))) => {
            text.is_ascii() || column.read_as.is_some() || column.declared.starts_with('n')
        }
        _ => true,
    }
}

/// The value as an expression of the column's type, or of one that holds more
/// and can be compared with it by an index.
fn in_postgres(column: &Column, value: &[u8]) -> Option<String> {
    let declared = column.read_as.as_ref().unwrap_or(&column.declared);
    Some(match (&column.kind, view(value)?) {
        (ColumnType::Bool, View::Bool(truth)) => truth.to_string(),
        (ColumnType::Int, value) => format!("'{}'::bigint", integer(&value)?),
        (ColumnType::Decimal | ColumnType::Money, View::Decimal(text)) => {
            format!("'{text}'::numeric")
        }
        // PostgreSQL has no such character, nor can it be asked for one.
        (ColumnType::Text { .. }, View::Text(text)) if !column.repertoire.labels.is_empty() => {
            let is_label = column.repertoire.labels.iter().any(|label| *label == *text);
            if !is_label {
                return None;
            }
            format!("{}::{}", postgres::literal(text), column.declared)
        }
        (ColumnType::Text { .. }, View::Text(text)) if !text.contains('\0') => {
            format!("{}::{declared}", postgres::literal(text))
        }
        (ColumnType::Bytes, View::Bytes(_)) => {
            format!("'\\x{}'::bytea", to_text(value).trim_start_matches("0x"))
        }
        (ColumnType::Date, View::Date(i32::MAX | i32::MIN)) => {
            format!("'{}'::date", to_text(value))
        }
        (ColumnType::Date, View::Date(days)) => day(days.into()),
        (ColumnType::Time(_), View::Time(_)) => format!("'{}'::time", to_text(value)),
        (ColumnType::Timestamp(_), View::Timestamp(at)) => match moment(at) {
            Some(moment) => moment,
            None => format!("'{}'::timestamp", to_text(value)),
        },
        (ColumnType::Instant(_), View::Instant(at)) => match moment(at) {
            Some(moment) => format!("({moment} AT TIME ZONE 'UTC')"),
            None => format!("'{}'::timestamptz", to_text(value)),
        },
        (ColumnType::Uuid, View::Uuid(_)) => format!("'{}'::uuid", to_text(value)),
        _ => return None,
    })
}

/// A day as PostgreSQL counts it: no notation of years before 1 and after 9999
/// is in the way.
fn day(days: i64) -> String {
    format!("('2000-01-01'::date + ({days}))")
}

/// A moment as a timestamp of PostgreSQL; none for the infinities.
fn moment(at: UnitCount) -> Option<String> {
    if at.units == i64::MAX || at.units == i64::MIN {
        return None;
    }
    let (days, seconds, fraction) = parts(at);
    let digits = usize::from(at.digits);
    Some(format!(
        "({} + '{:02}:{:02}:{:02}.{fraction:0digits$}'::time)",
        day(days),
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    ))
}

/// Days since 2000-01-01, seconds of the day, and units of the second.
fn parts(at: UnitCount) -> (i64, i64, i64) {
    let per_second = 10_i64.pow(at.digits.into());
    let seconds = at.units.div_euclid(per_second);
    (
        seconds.div_euclid(SECONDS_OF_DAY),
        seconds.rem_euclid(SECONDS_OF_DAY),
        at.units.rem_euclid(per_second),
    )
}

/// What is compared, the type that the value is brought into, and whether it is
/// hexadecimal.
fn in_sql_server(column: &Column, value: &[u8], name: String) -> Option<(String, String, bool)> {
    let declared = column.declared.as_str();
    let base = declared.split('(').next().unwrap_or(declared);
    let fits = match (&column.kind, view(value)?) {
        (ColumnType::Bool, View::Bool(_)) => true,
        (ColumnType::Int, value) => {
            let number = integer(&value)?;
            match base {
                "tinyint" => u8::try_from(number).is_ok(),
                "smallint" => i16::try_from(number).is_ok(),
                "int" => i32::try_from(number).is_ok(),
                _ => true,
            }
        }
        (ColumnType::Decimal, View::Decimal(text)) => fits_decimal(&text, declared)?,
        (ColumnType::Money, View::Decimal(text)) => {
            let steps = ten_thousandths(&text)?;
            base != "smallmoney" || i32::try_from(steps).is_ok()
        }
        (ColumnType::Text { .. }, View::Text(text)) => {
            // These characters are in every code page, and an index is over the column's own.
            let read_as = column.read_as.as_deref().filter(|_| !text.is_ascii());
            return Some(match base {
                // These have no `=` of their own.
                "text" | "ntext" => (
                    format!("CAST({name} AS nvarchar(max))"),
                    "nvarchar(max)".to_owned(),
                    false,
                ),
                _ => (name, read_as.unwrap_or(declared).to_owned(), false),
            });
        }
        (ColumnType::Bytes, View::Bytes(_)) => {
            return Some(match base {
                "binary" | "varbinary" => (name, declared.to_owned(), true),
                "image" => (
                    format!("CAST({name} AS varbinary(max))"),
                    "varbinary(max)".to_owned(),
                    true,
                ),
                // rowversion can be compared, but nothing can be cast to it by that name.
                _ => (name, "varbinary(8)".to_owned(), true),
            });
        }
        (ColumnType::Date, View::Date(days)) => SQL_SERVER_DAYS.contains(&days.into()),
        // 24:00 is PostgreSQL's.
        (ColumnType::Time(_), View::Time(time)) => parts(time).0 == 0,
        (ColumnType::Timestamp(_), View::Timestamp(at)) if base == "smalldatetime" => {
            let (days, seconds, fraction) = parts(at);
            SMALL_DAYS.contains(&days) && seconds % 60 == 0 && fraction == 0
        }
        (ColumnType::Timestamp(_), View::Timestamp(at))
        | (ColumnType::Instant(_), View::Instant(at)) => SQL_SERVER_DAYS.contains(&parts(at).0),
        (ColumnType::Uuid, View::Uuid(_)) => true,
        _ => false,
    };
    fits.then(|| (name, declared.to_owned(), false))
}

/// The value as the text that SQL Server makes one of the column's type of.
fn to_text_of(column: &Column, value: &[u8]) -> String {
    match (&column.kind, view(value)) {
        (ColumnType::Int | ColumnType::Bool, Some(View::Bool(truth))) => {
            u8::from(truth).to_string()
        }
        _ => to_text(value),
    }
}

/// The 64-bit integer that a value is, whichever form it is compared in.
fn integer(value: &View<'_>) -> Option<i64> {
    match value {
        // The value of a column that is a truth value on the other side only.
        View::Bool(truth) => Some((*truth).into()),
        View::Int(number) => Some(*number),
        View::Decimal(text) => text.parse().ok(),
        _ => None,
    }
}

/// Digits before and after the point; none of what is no number.
fn digits(text: &str) -> Option<(&str, &str)> {
    let unsigned = text.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_number = whole
        .bytes()
        .chain(fraction.bytes())
        .all(|byte| byte.is_ascii_digit());
    is_number.then(|| (whole.trim_start_matches('0'), fraction))
}

/// Whether a decimal fits into `decimal(precision, scale)` without being rounded.
fn fits_decimal(text: &str, declared: &str) -> Option<bool> {
    let (whole, fraction) = digits(text)?;
    let (_, size) = declared.trim_end_matches(')').split_once('(')?;
    let (precision, scale) = size.split_once(',')?;
    let precision: usize = precision.trim().parse().ok()?;
    let scale: usize = scale.trim().parse().ok()?;
    Some(fraction.len() <= scale && whole.len() <= precision.checked_sub(scale)?)
}

/// A decimal as a number of the steps of `money`.
fn ten_thousandths(text: &str) -> Option<i64> {
    let (whole, fraction) = digits(text)?;
    if fraction.len() > 4 {
        return None;
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    format!("{sign}{whole}{fraction:0<4}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::canonical::Decimal;
    use crate::engine::values::canonical::RowEncoder;
    use crate::engine::values::canonical::TimeUnit;
    use crate::engine::values::canonical::parse_decimal;

    fn column(kind: ColumnType, declared: &str) -> Column {
        Column {
            name: "k".to_owned(),
            kind,
            declared: declared.to_owned(),
            nullable: false,
            read_as: None,
            repertoire: crate::engine::values::column::Repertoire::default(),
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
        let asked = equals(engine, column, value, &mut parameters)?;
        Some(parameters.into_iter().fold(asked, |asked, parameter| {
            asked.replace("@P1", &format!("N'{parameter}'"))
        }))
    }

    #[test]
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
            is_certain(engine, &column, text)
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
        let moment = value(|encoder| encoder.timestamp(TimeUnit::Micros, -1));
        assert_eq!(
            asked("timestamp", ColumnType::Timestamp(6), &moment).unwrap(),
            "\"k\" = (('2000-01-01'::date + (-1)) + '23:59:59.999999'::time)"
        );
    }
}

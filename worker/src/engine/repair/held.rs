//! What a column holds once a value has been assigned to it. A value that the
//! column would cut, round or refuse is not written at all: the row would differ
//! afterwards, or the script would fail.

use shared::options::{ColumnRule, Trim};

use crate::engine::database::dialect::RepairDialect;
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::kind::Resolution;
use crate::engine::values::raw::{Moment, RawValue, Unwritable};

/// Where values of the source go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Destination<'a> {
    /// The target's dialect.
    pub(crate) dialect: &'a dyn RepairDialect,
    /// The target's column.
    pub(crate) column: &'a Column,
    /// How the two columns are compared.
    pub(crate) rule: &'a ColumnRule,
    /// What becomes of further digits of a second, which is what the comparison does with them.
    pub(crate) times: Resolution,
}

/// `value`, which has the form of the column's type, as the column holds it.
/// With a tolerance it may be rounded: that is near enough.
///
/// # Errors
///
/// When the column cannot hold it, or not all of it.
pub(crate) fn held(value: RawValue, to: Destination<'_>) -> Result<RawValue, Unwritable> {
    let Destination {
        dialect,
        column,
        rule,
        times,
    } = to;
    let near = rule.tolerance.is_some();
    let beyond = || Unwritable::OutOfRange(column.name.clone());
    let lossy = || Unwritable::NotHeld(column.name.clone());
    let (base, limits) = declaration(dialect.storage_type(column));
    let digits = |count: u8, whole: usize, plain: &Plain| {
        if plain.whole.len() > whole {
            return Err(beyond());
        }
        if plain.fraction.len() > count.into() && !near {
            return Err(lossy());
        }
        Ok(())
    };
    match (&column.kind, &value) {
        (_, RawValue::Null) => {}
        (ColumnType::Int, _) => {
            let plain = Plain::of(&value).ok_or_else(beyond)?;
            if !plain.fraction.is_empty() && !near {
                return Err(lossy());
            }
            let number = plain.rounded().ok_or_else(beyond)?;
            let (least, most) = whole_numbers(base);
            if !(least..=most).contains(&number) {
                return Err(beyond());
            }
            return Ok(RawValue::Int(number));
        }
        (ColumnType::Decimal, _) => {
            if let Some(plain) = Plain::of(&value) {
                if let [precision, scale] = limits[..]
                    && let Ok(scale) = u8::try_from(scale)
                {
                    let whole = usize::try_from(precision - i64::from(scale)).unwrap_or(0);
                    digits(scale, whole, &plain)?;
                }
                return Ok(plain.into_value());
            }
        }
        (ColumnType::Money, _) => {
            let plain = Plain::of(&value).ok_or_else(beyond)?;
            let (scale, most) = dialect.money_limits(base);
            digits(scale, 15 + usize::from(scale == 2) * 2, &plain)?;
            let units = plain.scaled(scale.into()).ok_or_else(beyond)?;
            let least = -i128::from(most) - 1;
            if !(least..=most.into()).contains(&units) {
                return Err(beyond());
            }
            return Ok(plain.cut(scale.into()).into_value());
        }
        (ColumnType::Float64, RawValue::Int(_) | RawValue::Decimal(_)) => {
            let float: f64 = number_text(&value).parse().map_err(|_| beyond())?;
            let stored = RawValue::Float64(float);
            let exact = Plain::of(&stored) == Plain::of(&value);
            return if exact || near {
                Ok(stored)
            } else {
                Err(lossy())
            };
        }
        (ColumnType::Float32, RawValue::Int(_) | RawValue::Decimal(_)) => {
            let float: f32 = number_text(&value).parse().map_err(|_| beyond())?;
            let stored = RawValue::Float32(float);
            let exact = Plain::of(&stored) == Plain::of(&value);
            return if exact || near {
                Ok(stored)
            } else {
                Err(lossy())
            };
        }
        (ColumnType::Float32, RawValue::Float64(float)) => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the two are compared in the precision of the coarser one"
            )]
            let narrow = *float as f32;
            if narrow.is_infinite() && float.is_finite() {
                return Err(beyond());
            }
            return Ok(RawValue::Float32(narrow));
        }
        (ColumnType::Text { .. }, RawValue::Text(text))
            if !column.repertoire.labels.is_empty() && !column.repertoire.labels.contains(text) =>
        {
            return Err(lossy());
        }
        (ColumnType::Text { padded }, RawValue::Text(text)) => {
            let room = match (base, &limits[..]) {
                ("name", _) => Some(63),
                (_, [most]) => usize::try_from(*most).ok(),
                _ => None,
            };
            let fits = |text: &str| {
                let length = dialect.text_length(text, base, column.repertoire.code_page);
                length.is_some_and(|length| room.is_none_or(|room| length <= room))
            };
            let short = text.trim_end_matches(' ');
            // Blanks that are too many are cut without a word.
            let blanks_are_nothing = *padded || matches!(rule.trim, Some(Trim::End | Trim::Both));
            let text = if *padded || (blanks_are_nothing && !fits(text)) {
                short
            } else {
                text
            };
            if !fits(text) {
                return Err(lossy());
            }
            return Ok(RawValue::Text(text.to_owned()));
        }
        (ColumnType::Text { .. }, RawValue::Halves(_))
            if !matches!(base, "nchar" | "nvarchar" | "ntext") =>
        {
            return Err(lossy());
        }
        (ColumnType::Bytes, RawValue::Bytes(bytes)) => {
            let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
            match (base, &limits[..]) {
                // A shorter value is filled up with zeros, which count.
                ("binary", [all]) if length != *all => return Err(lossy()),
                ("varbinary", [most]) if length > *most => return Err(lossy()),
                _ => {}
            }
        }
        (ColumnType::DateTime, RawValue::Timestamp(moment)) => {
            in_range(*moment, DATETIME).ok_or_else(beyond)?;
            let shown = to_tick(*moment);
            let compared = |moment: Moment| times.convert(moment.units, moment.digits);
            if !near && compared(shown) != compared(*moment) {
                return Err(lossy());
            }
            return Ok(RawValue::Timestamp(shown));
        }
        (ColumnType::Timestamp(_), RawValue::Timestamp(moment)) if base == "smalldatetime" => {
            in_range(*moment, SMALLDATETIME).ok_or_else(beyond)?;
            if !near && moment.split().0.rem_euclid(60) != 0 {
                return Err(lossy());
            }
        }
        _ => {}
    }
    Ok(value)
}

/// The type's name and the numbers behind it: `numeric(12, 3)`. `(max)` is none.
fn declaration(declared: &str) -> (&str, Vec<i64>) {
    let (base, rest) = declared.split_once('(').unwrap_or((declared, ""));
    let list = rest.split(')').next().unwrap_or_default();
    let numbers = list.split(',').filter_map(|one| one.trim().parse().ok());
    (base.trim_end(), numbers.collect())
}

/// The least and the greatest number of a type; one that is not known is the largest.
fn whole_numbers(base: &str) -> (i64, i64) {
    match base {
        "tinyint" => (0, u8::MAX.into()),
        "smallint" => (i16::MIN.into(), i16::MAX.into()),
        "int" | "integer" => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    }
}

/// Seconds since 2000-01-01 of 1753-01-01 and 10000-01-01.
const DATETIME: std::ops::Range<i64> = -7_794_489_600..252_455_616_000;

/// Seconds since 2000-01-01 of 1900-01-01 and 2079-06-07.
const SMALLDATETIME: std::ops::Range<i64> = -3_155_673_600..2_506_636_800;

fn in_range(moment: Moment, range: std::ops::Range<i64>) -> Option<()> {
    (!moment.is_infinite() && range.contains(&moment.split().0)).then_some(())
}

/// What `datetime`, which counts 1/300 s, shows for it: the nearest of its
/// steps, in milliseconds.
fn to_tick(moment: Moment) -> Moment {
    let (seconds, units) = moment.split();
    let unit = 10_i64.pow(moment.digits.into());
    let ticks = (units * 300 + unit / 2) / unit;
    Moment {
        units: seconds * 1_000_000 + (ticks * 10 + 1) / 3 * 1000,
        digits: 6,
    }
}

fn number_text(value: &RawValue) -> String {
    match value {
        RawValue::Int(number) => number.to_string(),
        RawValue::Decimal(text) => text.clone(),
        RawValue::Float64(number) => number.to_string(),
        RawValue::Float32(number) => number.to_string(),
        _ => String::new(),
    }
}

/// A finite number by its digits, without those that mean nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plain {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Plain {
    /// `None` for what is no finite number.
    fn of(value: &RawValue) -> Option<Self> {
        let text = number_text(value);
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.as_str()),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let known = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if digits.is_empty() || !known(whole) || !known(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        Some(Self {
            negative: negative && !(whole.is_empty() && fraction.is_empty()),
            whole,
            fraction,
        })
    }

    /// The nearest whole number, halves away from zero.
    fn rounded(&self) -> Option<i64> {
        let whole: i128 = format!("0{}", self.whole).parse().ok()?;
        let up = self.fraction.as_bytes().first() >= Some(&b'5');
        let size = whole.checked_add(up.into())?;
        i64::try_from(if self.negative { -size } else { size }).ok()
    }

    /// In units of 10^-`scale`, what is smaller cut.
    fn scaled(&self, scale: usize) -> Option<i128> {
        let kept = &self.fraction[..self.fraction.len().min(scale)];
        let size: i128 = format!("0{}{kept:0<scale$}", self.whole).parse().ok()?;
        Some(if self.negative { -size } else { size })
    }

    /// With no more than `scale` digits after the point.
    fn cut(mut self, scale: usize) -> Self {
        self.fraction.truncate(scale);
        self.fraction = self.fraction.trim_end_matches('0').to_owned();
        self.negative &= !(self.whole.is_empty() && self.fraction.is_empty());
        self
    }

    fn into_value(self) -> RawValue {
        let sign = if self.negative { "-" } else { "" };
        let whole = if self.whole.is_empty() {
            "0"
        } else {
            &self.whole
        };
        RawValue::Decimal(if self.fraction.is_empty() {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{}", self.fraction)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::database::kinds::database;
    use crate::engine::repair::testing::column;
    use crate::engine::values::column::Column;
    use crate::engine::values::kind::Resolution;
    use proptest::prelude::*;
    use shared::endpoint::DatabaseKind;
    use shared::options::{ColumnRule, Tolerance};

    fn stored(kind: ColumnType, declared: &str, value: RawValue) -> Result<RawValue, Unwritable> {
        let mut column = column("c", kind, declared);
        column.repertoire.code_page = Some(1252);
        held(
            value,
            to(DatabaseKind::SqlServer, &column, &ColumnRule::default()),
        )
    }

    fn to<'a>(kind: DatabaseKind, column: &'a Column, rule: &'a ColumnRule) -> Destination<'a> {
        Destination {
            dialect: database(kind),
            column,
            rule,
            times: Resolution::coarser(7, 7),
        }
    }

    fn decimal(text: &str) -> RawValue {
        RawValue::Decimal(text.to_owned())
    }

    fn lossy() -> Result<RawValue, Unwritable> {
        Err(Unwritable::NotHeld("c".to_owned()))
    }

    fn beyond() -> Result<RawValue, Unwritable> {
        Err(Unwritable::OutOfRange("c".to_owned()))
    }

    #[test]
    fn numbers_are_neither_rounded_nor_refused_later() {
        let int = |value| stored(ColumnType::Int, "int", value);
        assert_eq!(int(decimal("-5.000")), Ok(RawValue::Int(-5)));
        assert_eq!(int(decimal("5.5")), lossy());
        assert_eq!(int(RawValue::Int(1 << 31)), beyond());
        assert_eq!(int(decimal("NaN")), beyond());
        let tiny = stored(ColumnType::Int, "tinyint", RawValue::Int(-1));
        assert_eq!(tiny, beyond());
        let price = |value| stored(ColumnType::Decimal, "decimal(5, 2)", value);
        assert_eq!(price(decimal("-123.450")), Ok(decimal("-123.45")));
        assert_eq!(price(decimal("0.001")), lossy());
        assert_eq!(price(decimal("1000")), beyond());
        assert_eq!(price(RawValue::Float64(0.25)), Ok(decimal("0.25")));
        let money = |declared, value| stored(ColumnType::Money, declared, decimal(value));
        assert_eq!(
            money("money", "-922337203685477.5808"),
            Ok(decimal("-922337203685477.5808"))
        );
        assert_eq!(money("money", "922337203685477.5808"), beyond());
        assert_eq!(money("money", "0.00001"), lossy());
        assert_eq!(money("smallmoney", "214748.3648"), beyond());
    }

    #[test]
    fn a_float_holds_the_one_decimal_that_it_stands_for() {
        let double = |value| stored(ColumnType::Float64, "float", value);
        assert_eq!(double(decimal("0.10")), Ok(RawValue::Float64(0.1)));
        assert_eq!(double(decimal("0.10000000000000001")), lossy());
        assert_eq!(double(RawValue::Int((1 << 53) + 1)), lossy());
        let single = |value| stored(ColumnType::Float32, "real", value);
        assert_eq!(single(decimal("0.1")), Ok(RawValue::Float32(0.1)));
        assert_eq!(single(RawValue::Float64(0.1)), Ok(RawValue::Float32(0.1)));
        assert_eq!(single(RawValue::Float64(1e300)), beyond());
    }

    #[test]
    fn with_a_tolerance_the_nearest_is_near_enough() {
        let rule = ColumnRule {
            tolerance: Some(Tolerance::Absolute("1".to_owned())),
            ..ColumnRule::default()
        };
        let int = column("c", ColumnType::Int, "int");
        let near = held(decimal("-2.5"), to(DatabaseKind::Postgres, &int, &rule));
        assert_eq!(near, Ok(RawValue::Int(-3)));
    }

    #[test]
    fn text_and_bytes_fit_or_are_left() {
        let text = |padded, declared, value: &str| {
            stored(
                ColumnType::Text { padded },
                declared,
                RawValue::Text(value.to_owned()),
            )
        };
        assert_eq!(
            text(false, "nvarchar(2)", "😀"),
            Ok(RawValue::Text("😀".into()))
        );
        assert_eq!(text(false, "nvarchar(2)", "a😀"), lossy());
        assert_eq!(
            text(true, "nchar(2)", "ab  "),
            Ok(RawValue::Text("ab".into()))
        );
        assert_eq!(
            text(false, "nvarchar(max)", "long"),
            Ok(RawValue::Text("long".into()))
        );
        let bytes = |declared, value: &[u8]| {
            stored(ColumnType::Bytes, declared, RawValue::Bytes(value.into()))
        };
        assert_eq!(bytes("binary(2)", &[1]), lossy());
        assert_eq!(bytes("varbinary(2)", &[1]), Ok(RawValue::Bytes(vec![1])));
        assert_eq!(bytes("varbinary(2)", &[1, 2, 3]), lossy());
    }

    #[test]
    fn a_varchar_holds_what_its_code_page_has() {
        let text = |declared, value: &str| {
            let value = RawValue::Text(value.to_owned());
            stored(ColumnType::Text { padded: false }, declared, value)
        };
        assert!(text("varchar(5)", "é€ŒŸñ").is_ok());
        assert_eq!(text("varchar(5)", "日本"), lossy());
        let rule = ColumnRule {
            trim: Some(Trim::End),
            ..ColumnRule::default()
        };
        let column = column("c", ColumnType::Text { padded: false }, "varchar(3)");
        let blanks = RawValue::Text("abc  ".to_owned());
        let cut = held(blanks, to(DatabaseKind::Postgres, &column, &rule));
        assert_eq!(cut, Ok(RawValue::Text("abc".to_owned())));
    }

    #[test]
    fn datetime_has_its_own_steps_and_smalldatetime_minutes() {
        let at = |units| Moment { units, digits: 7 };
        let datetime = |moment| {
            stored(
                ColumnType::DateTime,
                "datetime",
                RawValue::Timestamp(moment),
            )
        };
        for (milliseconds, fits) in [
            (0, true),
            (3, true),
            (7, true),
            (10, true),
            (4, false),
            (997, true),
            (999, false),
        ] {
            let moment = at(milliseconds * 10_000);
            assert_eq!(datetime(moment).is_ok(), fits, "{milliseconds} ms");
        }
        assert_eq!(datetime(at(-7_794_489_601 * 10_000_000)), beyond());
        let minutes = |moment| {
            stored(
                ColumnType::Timestamp(0),
                "smalldatetime",
                RawValue::Timestamp(moment),
            )
        };
        assert!(minutes(at(-60 * 10_000_000)).is_ok());
        assert_eq!(minutes(at(30 * 10_000_000)), lossy());
        assert_eq!(minutes(at(-3_155_673_601 * 10_000_000)), beyond());
    }

    #[test]
    fn the_ranges_are_those_of_the_calendar() {
        let day = |year, month, day| {
            let date = chrono::NaiveDate::from_ymd_opt(year, month, day).unwrap();
            let epoch = chrono::NaiveDate::from_ymd_opt(2000, 1, 1).unwrap();
            (date - epoch).num_seconds()
        };
        assert_eq!(DATETIME, day(1753, 1, 1)..day(10_000, 1, 1));
        assert_eq!(SMALLDATETIME, day(1900, 1, 1)..day(2079, 6, 7));
    }

    proptest! {
        #[test]
        fn what_a_datetime_shows_it_holds(ticks in 0_i64..300 * 86_400) {
            // As SQL Server shows them: to the nearest millisecond.
            let milliseconds = (ticks * 10 + 1) / 3;
            let moment = Moment { units: milliseconds * 1000, digits: 6 };
            prop_assert_eq!(to_tick(moment), moment);
        }

        #[test]
        fn floats_come_back(bits in any::<u64>()) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            let decimal = Plain::of(&RawValue::Float64(float)).unwrap().into_value();
            let back = stored(ColumnType::Float64, "float", decimal);
            prop_assert_eq!(back, Ok(RawValue::Float64(if float == 0.0 { 0.0 } else { float })));
        }
    }
}

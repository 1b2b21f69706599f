//! Fits values into columns. A value that the column would cut, round or refuse is
//! an error, not a statement: the row would still differ, or the script would fail.

use std::ops::Range;
use std::str::FromStr;

use shared::options::{ColumnRule, Trim};

use crate::engine::database::dialect::RepairDialect;
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::kind::Resolution;
use crate::engine::values::moment::Moment;
use crate::engine::values::value::{Unwritable, Value};

/// The column to which values of the source are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(crate) dialect: &'a dyn RepairDialect,
    pub(crate) column: &'a Column,
    /// How the two columns are compared.
    pub(crate) rule: &'a ColumnRule,
    /// How the comparison drops further digits of a second.
    pub(crate) times: Resolution,
}

impl Destination<'_> {
    /// Whether a value may be rounded, because the column has a tolerance.
    pub(crate) fn is_tolerant(self) -> bool {
        self.rule.tolerance.is_some()
    }

    pub(crate) fn out_of_range(self) -> Unwritable {
        Unwritable::OutOfRange(self.column.name.clone())
    }

    pub(crate) fn lossy(self) -> Unwritable {
        Unwritable::Lossy(self.column.name.clone())
    }

    pub(crate) fn invalid(self) -> Unwritable {
        Unwritable::Invalid(self.column.name.clone())
    }
}

/// The value that the column stores when `value`, which has the form of the
/// column's type, is assigned to it.
///
/// # Errors
///
/// If the column cannot store it, or only rounded and without a tolerance.
pub(crate) fn fit(value: Value, to: Destination<'_>) -> Result<Value, Unwritable> {
    let (base, limits) = declaration(to.dialect.storage_type(to.column));
    match (&to.column.kind, value) {
        (_, Value::Null) if !to.column.nullable => Err(Unwritable::NotNull(to.column.name.clone())),
        (_, Value::Null) => Ok(Value::Null),
        (ColumnType::Int, value) => integer(&value, base, to),
        (ColumnType::Decimal, value) => decimal(value, &limits, to),
        (ColumnType::Money, value) => money(&value, base, to),
        (ColumnType::Float64, value @ (Value::Int(_) | Value::Decimal(_))) => {
            float(&value, Value::Float64, to)
        }
        (ColumnType::Float32, value @ (Value::Int(_) | Value::Decimal(_))) => {
            float(&value, Value::Float32, to)
        }
        (ColumnType::Float32, Value::Float64(wide)) => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the two are compared in the precision of the coarser one"
            )]
            let narrow = wide as f32;
            if narrow.is_infinite() && wide.is_finite() {
                return Err(to.out_of_range());
            }
            Ok(Value::Float32(narrow))
        }
        (ColumnType::Text { padded }, Value::Text(value)) => {
            text(value, *padded, (base, &limits), to)
        }
        (ColumnType::Text { .. }, Value::UnpairedSurrogates(_))
            if !to.dialect.facts().utf_16_types.contains(&base) =>
        {
            Err(to.lossy())
        }
        (ColumnType::Bytes, Value::Bytes(bytes)) => {
            let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
            match (base, &limits[..]) {
                // A shorter value would be padded with zeros, which are compared.
                ("binary", [all]) if length != *all => Err(to.lossy()),
                ("varbinary", [most]) if length > *most => Err(to.lossy()),
                _ => Ok(Value::Bytes(bytes)),
            }
        }
        (ColumnType::DateTime, Value::Timestamp(moment)) => {
            check_range(moment, DATETIME, to)?;
            let stored = datetime(moment);
            let compared = |moment: Moment| to.times.convert(moment.units, moment.digits);
            if !to.is_tolerant() && compared(stored) != compared(moment) {
                return Err(to.lossy());
            }
            Ok(Value::Timestamp(stored))
        }
        (ColumnType::Timestamp(_), Value::Timestamp(moment)) if base == "smalldatetime" => {
            check_range(moment, SMALLDATETIME, to)?;
            if !to.is_tolerant() && moment.split().0.rem_euclid(60) != 0 {
                return Err(to.lossy());
            }
            Ok(Value::Timestamp(moment))
        }
        (_, value) => Ok(value),
    }
}

fn integer(value: &Value, base: &str, to: Destination<'_>) -> Result<Value, Unwritable> {
    let plain = PlainDecimal::of(value).ok_or_else(|| to.out_of_range())?;
    if !plain.fraction.is_empty() && !to.is_tolerant() {
        return Err(to.lossy());
    }
    let range = match base {
        "tinyint" => 0..=u8::MAX.into(),
        "smallint" => i16::MIN.into()..=i16::MAX.into(),
        "int" | "integer" => i32::MIN.into()..=i32::MAX.into(),
        _ => i64::MIN..=i64::MAX,
    };
    plain
        .rounded()
        .filter(|number| range.contains(number))
        .map(Value::Int)
        .ok_or_else(|| to.out_of_range())
}

fn decimal(value: Value, limits: &[i64], to: Destination<'_>) -> Result<Value, Unwritable> {
    let Some(plain) = PlainDecimal::of(&value) else {
        return Ok(value);
    };
    if let [precision, scale] = *limits
        && let Ok(scale) = u8::try_from(scale)
    {
        let whole = usize::try_from(precision - i64::from(scale)).unwrap_or(0);
        plain.check_digits(whole, scale, to)?;
    }
    Ok(plain.into_value())
}

fn money(value: &Value, base: &str, to: Destination<'_>) -> Result<Value, Unwritable> {
    let plain = PlainDecimal::of(value).ok_or_else(|| to.out_of_range())?;
    let scale = to.dialect.facts().money_scale;
    let most = match base {
        "smallmoney" => i32::MAX.into(),
        _ => i64::MAX,
    };
    plain.check_digits(15 + usize::from(scale == 2) * 2, scale, to)?;
    let range = -i128::from(most) - 1..=most.into();
    plain
        .scaled(scale.into())
        .filter(|units| range.contains(units))
        .ok_or_else(|| to.out_of_range())?;
    Ok(plain.cut(scale.into()).into_value())
}

/// The nearest float, which must be the same number unless there is a tolerance.
fn float<F: FromStr>(
    value: &Value,
    make: fn(F) -> Value,
    to: Destination<'_>,
) -> Result<Value, Unwritable> {
    let float = number_text(value).and_then(|text| text.parse().ok());
    let stored = make(float.ok_or_else(|| to.out_of_range())?);
    if PlainDecimal::of(&stored) == PlainDecimal::of(value) || to.is_tolerant() {
        Ok(stored)
    } else {
        Err(to.lossy())
    }
}

fn text(
    text: String,
    padded: bool,
    (base, limits): (&str, &[i64]),
    to: Destination<'_>,
) -> Result<Value, Unwritable> {
    let repertoire = &to.column.repertoire;
    if !repertoire.labels.is_empty() && !repertoire.labels.contains(&text) {
        return Err(to.lossy());
    }
    let longest = match (base, limits) {
        ("name", _) => Some(63),
        (_, [most]) => usize::try_from(*most).ok(),
        _ => None,
    };
    let fits = |text: &str| {
        let length = to.dialect.text_length(text, base, repertoire.code_page);
        length.is_some_and(|length| longest.is_none_or(|longest| length <= longest))
    };
    // The database cuts superfluous trailing blanks without an error.
    let ignores_blanks = matches!(to.rule.trim, Some(Trim::End | Trim::Both));
    let stored = if padded || (ignores_blanks && !fits(&text)) {
        text.trim_end_matches(' ').to_owned()
    } else {
        text
    };
    if fits(&stored) {
        Ok(Value::Text(stored))
    } else {
        Err(to.lossy())
    }
}

/// The type's name and the numbers behind it: `numeric(12, 3)`. `(max)` is none.
pub(crate) fn declaration(declared: &str) -> (&str, Vec<i64>) {
    let (base, rest) = declared.split_once('(').unwrap_or((declared, ""));
    let list = rest.split(')').next().unwrap_or_default();
    let numbers = list.split(',').filter_map(|one| one.trim().parse().ok());
    (base.trim_end(), numbers.collect())
}

/// Seconds since 2000-01-01 of 1753-01-01 and 10000-01-01.
const DATETIME: Range<i64> = -7_794_489_600..252_455_616_000;

/// Seconds since 2000-01-01 of 1900-01-01 and 2079-06-07.
const SMALLDATETIME: Range<i64> = -3_155_673_600..2_506_636_800;

fn check_range(moment: Moment, range: Range<i64>, to: Destination<'_>) -> Result<(), Unwritable> {
    if moment.is_infinite() || !range.contains(&moment.split().0) {
        return Err(to.out_of_range());
    }
    Ok(())
}

/// The value of a `datetime` to which the time, which is in its range, is assigned.
fn datetime(moment: Moment) -> Moment {
    Moment {
        units: i64::try_from(moment.datetime_millis() * 1000).unwrap_or(moment.units),
        digits: 6,
    }
}

fn number_text(value: &Value) -> Option<String> {
    match value {
        Value::Int(_) | Value::Decimal(_) | Value::Float64(_) | Value::Float32(_) => {
            Some(value.clone().into_text())
        }
        _ => None,
    }
}

/// A finite number in plain notation, without zeros at either end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PlainDecimal {
    negative: bool,
    whole: String,
    fraction: String,
}

impl PlainDecimal {
    /// `None` if the value is not a finite number.
    fn of(value: &Value) -> Option<Self> {
        let text = number_text(value)?;
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.as_str()),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let known = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if digits.is_empty() || !known(whole) || !known(fraction) {
            return None;
        }
        let plain = Self {
            negative,
            whole: whole.trim_start_matches('0').to_owned(),
            fraction: fraction.to_owned(),
        };
        Some(plain.cut(usize::MAX))
    }

    /// Checks that there are at most `whole` digits before the point, and `scale`
    /// after it unless there is a tolerance.
    fn check_digits(&self, whole: usize, scale: u8, to: Destination<'_>) -> Result<(), Unwritable> {
        if self.whole.len() > whole {
            return Err(to.out_of_range());
        }
        if self.fraction.len() > scale.into() && !to.is_tolerant() {
            return Err(to.lossy());
        }
        Ok(())
    }

    /// The nearest integer, halves away from zero.
    fn rounded(&self) -> Option<i64> {
        let whole: i128 = format!("0{}", self.whole).parse().ok()?;
        let up = self.fraction.as_bytes().first() >= Some(&b'5');
        let size = whole.checked_add(up.into())?;
        i64::try_from(if self.negative { -size } else { size }).ok()
    }

    /// In units of 10^-`scale`, rounded towards zero.
    fn scaled(&self, scale: usize) -> Option<i128> {
        let kept = &self.fraction[..self.fraction.len().min(scale)];
        let size: i128 = format!("0{}{kept:0<scale$}", self.whole).parse().ok()?;
        Some(if self.negative { -size } else { size })
    }

    /// With at most `scale` digits after the point, rounded towards zero.
    fn cut(mut self, scale: usize) -> Self {
        self.fraction.truncate(scale);
        self.fraction
            .truncate(self.fraction.trim_end_matches('0').len());
        self.negative &= !(self.whole.is_empty() && self.fraction.is_empty());
        self
    }

    fn into_value(self) -> Value {
        let sign = if self.negative { "-" } else { "" };
        let whole = if self.whole.is_empty() {
            "0"
        } else {
            &self.whole
        };
        let point = if self.fraction.is_empty() { "" } else { "." };
        Value::Decimal(format!("{sign}{whole}{point}{}", self.fraction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::database::kinds::database;
    use crate::engine::values::kind::Resolution;
    use proptest::prelude::*;
    use shared::endpoint::DatabaseKind;
    use shared::options::{ColumnRule, Tolerance};

    fn stored(kind: ColumnType, declared: &str, value: Value) -> Result<Value, Unwritable> {
        let mut column = Column::new("c", kind, declared);
        column.repertoire.code_page = Some(1252);
        fit(
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

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.to_owned())
    }

    fn lossy() -> Result<Value, Unwritable> {
        Err(Unwritable::Lossy("c".to_owned()))
    }

    fn beyond() -> Result<Value, Unwritable> {
        Err(Unwritable::OutOfRange("c".to_owned()))
    }

    #[test]
    fn numbers_are_neither_rounded_nor_refused_later() {
        let int = |value| stored(ColumnType::Int, "int", value);
        assert_eq!(int(decimal("-5.000")), Ok(Value::Int(-5)));
        assert_eq!(int(decimal("5.5")), lossy());
        assert_eq!(int(Value::Int(1 << 31)), beyond());
        assert_eq!(int(decimal("NaN")), beyond());
        let tiny = stored(ColumnType::Int, "tinyint", Value::Int(-1));
        assert_eq!(tiny, beyond());
        let price = |value| stored(ColumnType::Decimal, "decimal(5, 2)", value);
        assert_eq!(price(decimal("-123.450")), Ok(decimal("-123.45")));
        assert_eq!(price(decimal("0.001")), lossy());
        assert_eq!(price(decimal("1000")), beyond());
        assert_eq!(price(Value::Float64(0.25)), Ok(decimal("0.25")));
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
        assert_eq!(double(decimal("0.10")), Ok(Value::Float64(0.1)));
        assert_eq!(double(decimal("0.10000000000000001")), lossy());
        assert_eq!(double(Value::Int((1 << 53) + 1)), lossy());
        let single = |value| stored(ColumnType::Float32, "real", value);
        assert_eq!(single(decimal("0.1")), Ok(Value::Float32(0.1)));
        assert_eq!(single(Value::Float64(0.1)), Ok(Value::Float32(0.1)));
        assert_eq!(single(Value::Float64(1e300)), beyond());
    }

    #[test]
    fn with_a_tolerance_the_nearest_is_near_enough() {
        let rule = ColumnRule {
            tolerance: Some(Tolerance::Absolute("1".to_owned())),
            ..ColumnRule::default()
        };
        let int = Column::new("c", ColumnType::Int, "int");
        let near = fit(decimal("-2.5"), to(DatabaseKind::Postgres, &int, &rule));
        assert_eq!(near, Ok(Value::Int(-3)));
    }

    #[test]
    fn text_and_bytes_fit_or_are_left() {
        let text = |padded, declared, value: &str| {
            stored(
                ColumnType::Text { padded },
                declared,
                Value::Text(value.to_owned()),
            )
        };
        assert_eq!(
            text(false, "nvarchar(2)", "😀"),
            Ok(Value::Text("😀".into()))
        );
        assert_eq!(text(false, "nvarchar(2)", "a😀"), lossy());
        assert_eq!(text(true, "nchar(2)", "ab  "), Ok(Value::Text("ab".into())));
        assert_eq!(
            text(false, "nvarchar(max)", "long"),
            Ok(Value::Text("long".into()))
        );
        let bytes = |declared, value: &[u8]| {
            stored(ColumnType::Bytes, declared, Value::Bytes(value.into()))
        };
        assert_eq!(bytes("binary(2)", &[1]), lossy());
        assert_eq!(bytes("varbinary(2)", &[1]), Ok(Value::Bytes(vec![1])));
        assert_eq!(bytes("varbinary(2)", &[1, 2, 3]), lossy());
    }

    #[test]
    fn a_varchar_holds_what_its_code_page_has() {
        let text = |declared, value: &str| {
            let value = Value::Text(value.to_owned());
            stored(ColumnType::Text { padded: false }, declared, value)
        };
        assert!(text("varchar(5)", "é€ŒŸñ").is_ok());
        assert_eq!(text("varchar(5)", "日本"), lossy());
        let rule = ColumnRule {
            trim: Some(Trim::End),
            ..ColumnRule::default()
        };
        let column = Column::new("c", ColumnType::Text { padded: false }, "varchar(3)");
        let blanks = Value::Text("abc  ".to_owned());
        let cut = fit(blanks, to(DatabaseKind::Postgres, &column, &rule));
        assert_eq!(cut, Ok(Value::Text("abc".to_owned())));
    }

    #[test]
    fn datetime_has_its_own_steps_and_smalldatetime_minutes() {
        let at = |units| Moment { units, digits: 7 };
        let datetime = |moment| stored(ColumnType::DateTime, "datetime", Value::Timestamp(moment));
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
                Value::Timestamp(moment),
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
            prop_assert_eq!(datetime(moment), moment);
        }

        #[test]
        fn floats_come_back(bits in any::<u64>()) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            let decimal = PlainDecimal::of(&Value::Float64(float)).unwrap().into_value();
            let back = stored(ColumnType::Float64, "float", decimal);
            prop_assert_eq!(back, Ok(Value::Float64(if float == 0.0 { 0.0 } else { float })));
        }
    }
}

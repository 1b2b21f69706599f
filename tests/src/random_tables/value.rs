//! Random types and values: how each is declared and written in either
//! dialect, and how a report shows it.

use chrono::{NaiveDate, TimeDelta};
use fastrand::Rng;
use serde_json::Value as Json;
use shared::endpoint::DatabaseKind;

/// The kind of values of a pair of columns, for any declared types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// Truth values.
    Bool,
    /// Integers from 0 to 255: the smallest type of SQL Server.
    Byte,
    /// Integers of 32 bits.
    Int,
    /// Integers of 64 bits.
    Long,
    /// Decimals with four digits after the point.
    Decimal,
    /// Floats of 32 bits.
    Real,
    /// Floats of 64 bits.
    Double,
    /// Text of up to 60 characters.
    Text,
    /// Text of up to 8 characters that may lie in `char(n)`.
    Padded,
    /// Bytes.
    Bytes,
    /// Days.
    Date,
    /// Times of day with so many digits of a second.
    Time(u8),
    /// Timestamps.
    Timestamp(u8),
    /// Instants.
    Instant(u8),
    /// UUIDs.
    Uuid,
}

/// How a column is declared, in both dialects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    postgres: String,
    sql_server: String,
    holds: Holds,
}

/// What a column holds, as far as a report shows the same value differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Exact decimals, though the values may be integers.
    Decimals,
    /// Floats of 64 bits, though the values may have 32.
    Doubles,
    /// What the domain says.
    Plain,
}

impl Declaration {
    /// The type as it is written.
    #[must_use]
    pub fn sql(&self, engine: DatabaseKind) -> &str {
        match engine {
            DatabaseKind::Postgres => &self.postgres,
            DatabaseKind::SqlServer => &self.sql_server,
        }
    }
}

/// A value: equal to another of its domain exactly if both are the same.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// Ten-thousandths.
    Decimal(i64),
    /// A float of 32 bits.
    Real(f32),
    /// A float of 64 bits.
    Double(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Anything with a fixed notation that both databases read: dates, times, UUIDs.
    Written(String),
    /// A moment in UTC, without the zone.
    Instant(String),
}

impl Domain {
    /// One that may be a column.
    pub fn random(rng: &mut Rng) -> Self {
        let digits = [0, 3, 6][rng.usize(..3)];
        match rng.u8(..15) {
            0 => Self::Bool,
            1 => Self::Byte,
            2 => Self::Int,
            3 => Self::Long,
            4 => Self::Decimal,
            5 => Self::Real,
            6 => Self::Double,
            7 => Self::Text,
            8 => Self::Padded,
            9 => Self::Bytes,
            10 => Self::Date,
            11 => Self::Time(digits),
            12 => Self::Timestamp(digits),
            13 => Self::Instant(digits),
            _ => Self::Uuid,
        }
    }

    /// One that may be in a key, with values enough for the key to be unique.
    pub fn random_key(rng: &mut Rng) -> Self {
        loop {
            match Self::random(rng) {
                Self::Bool | Self::Byte | Self::Real => {}
                domain => return domain,
            }
        }
    }

    /// A way to declare a column that holds all values of the domain.
    pub fn declare(self, rng: &mut Rng) -> Declaration {
        let plain = |postgres: &str, sql_server: &str| Declaration {
            postgres: postgres.to_owned(),
            sql_server: sql_server.to_owned(),
            holds: Holds::Plain,
        };
        let decimal = |postgres: &str, sql_server: &str| Declaration {
            holds: Holds::Decimals,
            ..plain(postgres, sql_server)
        };
        let double = Declaration {
            holds: Holds::Doubles,
            ..plain("double precision", "float")
        };
        let finer = |digits: u8, rng: &mut Rng| if rng.bool() { digits } else { 6 };
        let timed = |postgres: &str, sql_server: &str, digits: u8| {
            plain(
                &format!("{postgres}({digits})"),
                &format!("{sql_server}({digits})"),
            )
        };
        let choice = rng.usize(..3);
        match self {
            Self::Bool => plain("boolean", "bit"),
            Self::Byte => [
                plain("smallint", "tinyint"),
                plain("int", "smallint"),
                decimal("numeric(5, 2)", "decimal(5, 2)"),
            ][choice]
                .clone(),
            Self::Int => [
                plain("int", "int"),
                plain("bigint", "bigint"),
                decimal("numeric(12, 1)", "decimal(12, 1)"),
            ][choice]
                .clone(),
            Self::Long => [
                plain("bigint", "bigint"),
                plain("bigint", "bigint"),
                decimal("numeric(19, 0)", "decimal(19, 0)"),
            ][choice]
                .clone(),
            Self::Decimal => [
                decimal("numeric(19, 4)", "money"),
                decimal("numeric(30, 10)", "decimal(30, 10)"),
                decimal("numeric", "decimal(38, 4)"),
            ][choice]
                .clone(),
            Self::Real => [plain("real", "real"), plain("real", "real"), double][choice].clone(),
            Self::Double => double,
            Self::Text => [
                plain("varchar(60)", "nvarchar(60)"),
                plain("text", "nvarchar(max)"),
                plain("varchar", "ntext"),
            ][choice]
                .clone(),
            Self::Padded => [
                plain("char(8)", "nchar(8)"),
                plain("varchar(8)", "nvarchar(8)"),
                plain("char(12)", "nchar(12)"),
            ][choice]
                .clone(),
            Self::Bytes => plain("bytea", "varbinary(40)"),
            Self::Date => plain("date", "date"),
            Self::Time(digits) => timed("time", "time", finer(digits, rng)),
            Self::Timestamp(digits) => timed("timestamp", "datetime2", finer(digits, rng)),
            Self::Instant(digits) => timed("timestamptz", "datetimeoffset", finer(digits, rng)),
            Self::Uuid => [
                plain("uuid", "uniqueidentifier"),
                plain("uuid", "uniqueidentifier"),
                plain("varchar(36)", "nvarchar(36)"),
            ][choice]
                .clone(),
        }
    }

    /// A value, one in four of them at an edge of the domain.
    pub fn value(self, rng: &mut Rng) -> Value {
        let edge = rng.u8(..4) == 0;
        match self {
            Self::Bool => Value::Bool(rng.bool()),
            Self::Byte => Value::Int(rng.u8(..).into()),
            Self::Int => Value::Int(match edge {
                true => [i32::MIN, i32::MAX, 0, -1, 1][rng.usize(..5)].into(),
                false => rng.i32(..).into(),
            }),
            Self::Long => Value::Int(match edge {
                true => [i64::MIN, i64::MAX, 0, -1, 1 << 53, (1 << 53) + 1][rng.usize(..6)],
                false => rng.i64(..) >> rng.u8(..60),
            }),
            // From end to end of `money`.
            Self::Decimal => Value::Decimal(match edge {
                true => [i64::MIN, i64::MAX, 0, 1, -1, 10_000, 100_000_000][rng.usize(..7)],
                false => rng.i64(..) >> rng.u8(..60),
            }),
            Self::Real => Value::Real(match edge {
                true => {
                    [f32::MAX, f32::MIN, f32::MIN_POSITIVE, 0.0, 0.1, 1.000_000_1][rng.usize(..6)]
                }
                false => (rng.f32() - 0.5) * 10_f32.powi(rng.i32(-20..20)),
            }),
            Self::Double => Value::Double(match edge {
                true => [
                    f64::MAX,
                    f64::MIN,
                    f64::MIN_POSITIVE,
                    0.0,
                    0.1,
                    1.0 + f64::EPSILON,
                ][rng.usize(..6)],
                false => (rng.f64() - 0.5) * 10_f64.powi(rng.i32(-200..200)),
            }),
            Self::Text => Value::Text(text(rng, 30)),
            // Blanks at the end would be lost in `char(n)`.
            Self::Padded => Value::Text(text(rng, 4).trim_end_matches(' ').to_owned()),
            Self::Bytes => {
                let length = if edge { 0 } else { rng.usize(..40) };
                Value::Bytes((0..length).map(|_| rng.u8(..)).collect())
            }
            Self::Date => Value::Written(date(rng, edge)),
            Self::Time(digits) => Value::Written(time(rng, digits, edge)),
            Self::Timestamp(digits) => Value::Written(moment(rng, digits, edge)),
            Self::Instant(digits) => Value::Instant(moment(rng, digits, edge)),
            Self::Uuid => {
                let bits = match edge {
                    true => [0, u128::MAX, 1][rng.usize(..3)],
                    false => rng.u128(..),
                };
                let hex = format!("{bits:032x}");
                Value::Written(format!(
                    "{}-{}-{}-{}-{}",
                    &hex[..8],
                    &hex[8..12],
                    &hex[12..16],
                    &hex[16..20],
                    &hex[20..]
                ))
            }
        }
    }
}

/// Up to `longest` characters, at most two UTF-16 units each, of the kinds that are mistaken for others.
fn text(rng: &mut Rng, longest: usize) -> String {
    const CHARACTERS: &[char] = &[
        'a', 'A', 'b', 'z', '0', ' ', ' ', '\'', '"', '\\', '|', ',', '%', '\t', '\n', 'é', 'ß',
        'Ω', 'ж', '漢', '\u{301}', '\u{200b}', '\u{a0}', '😀', '𝔘',
    ];
    let words = ["", "NULL", " ", "null", "0"];
    match rng.u8(..8) {
        0 => words[rng.usize(..words.len())].to_owned(),
        _ => (0..rng.usize(..=longest))
            .map(|_| CHARACTERS[rng.usize(..CHARACTERS.len())])
            .collect(),
    }
}

fn date(rng: &mut Rng, edge: bool) -> String {
    match edge {
        true => ["0001-01-01", "9999-12-31", "2000-01-01", "2024-02-29"][rng.usize(..4)].to_owned(),
        false => {
            let first = NaiveDate::from_ymd_opt(1, 1, 1).expect("the first day exists");
            (first + TimeDelta::days(rng.i64(0..3_652_000)))
                .format("%Y-%m-%d")
                .to_string()
        }
    }
}

/// As a report writes it: no zeros at the end of the fraction.
fn time(rng: &mut Rng, digits: u8, edge: bool) -> String {
    let unit = 10_u64.pow(digits.into());
    let day = 86_400 * unit;
    let at = match edge {
        true => [0, day - 1, 43_200 * unit][rng.usize(..3)],
        false => rng.u64(..day),
    };
    let seconds = at / unit;
    let mut text = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    let fraction = format!("{:0width$}", at % unit, width = usize::from(digits));
    let fraction = fraction.trim_end_matches('0');
    if digits > 0 && !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

fn moment(rng: &mut Rng, digits: u8, edge: bool) -> String {
    format!("{}T{}", date(rng, edge), time(rng, digits, edge))
}

/// Ten-thousandths without zeros at the end.
fn decimal(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let (whole, rest) = (value.unsigned_abs() / 10_000, value.unsigned_abs() % 10_000);
    let fraction = format!("{rest:04}");
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Value {
    /// The value as it is written in a statement.
    #[must_use]
    pub fn sql(&self, engine: DatabaseKind) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let wide = |text: &str| match engine {
            DatabaseKind::Postgres => quoted(text),
            DatabaseKind::SqlServer => format!("N{}", quoted(text)),
        };
        match (self, engine) {
            (Self::Null, _) => "NULL".to_owned(),
            (Self::Bool(value), DatabaseKind::Postgres) => value.to_string(),
            (Self::Bool(value), DatabaseKind::SqlServer) => u8::from(*value).to_string(),
            (Self::Int(value), _) => value.to_string(),
            (Self::Decimal(value), _) => decimal(*value),
            (Self::Real(value), _) => format!("{value:e}"),
            (Self::Double(value), _) => format!("{value:e}"),
            (Self::Text(text), _) => wide(text),
            (Self::Bytes(bytes), DatabaseKind::Postgres) => format!("'\\x{}'", hexadecimal(bytes)),
            (Self::Bytes(bytes), DatabaseKind::SqlServer) => format!("0x{}", hexadecimal(bytes)),
            (Self::Written(text), _) => quoted(text),
            (Self::Instant(text), _) => quoted(&format!("{text}+00:00")),
        }
    }

    /// The value as a report shows it, for columns so declared.
    #[must_use]
    pub fn json(&self, source: &Declaration, target: &Declaration) -> Json {
        let either = |holds| source.holds == holds || target.holds == holds;
        let both = |holds| source.holds == holds && target.holds == holds;
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::from(*value),
            Self::Int(value) if either(Holds::Decimals) => Json::from(value.to_string()),
            Self::Int(value) => Json::from(*value),
            Self::Decimal(value) => Json::from(decimal(*value)),
            // Both databases read the digits that were written, as a double.
            Self::Real(value) if both(Holds::Doubles) => format!("{value:e}")
                .parse::<f64>()
                .map_or(Json::Null, Json::from),
            Self::Real(value) => value
                .to_string()
                .parse::<serde_json::Number>()
                .map_or(Json::Null, Json::Number),
            Self::Double(value) => Json::from(*value),
            Self::Text(text) | Self::Written(text) => Json::from(text.as_str()),
            Self::Bytes(bytes) => Json::from(format!("0x{}", hexadecimal(bytes))),
            Self::Instant(text) => Json::from(format!("{text}Z")),
        }
    }
}

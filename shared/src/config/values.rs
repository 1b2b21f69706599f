//! Values of settings: how each kind is read from TOML or from a variable's text.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::telemetry::MetricsAddr;
use crate::endpoint::{DatabaseKind, Secret, TlsMode};
use crate::ids::TableName;
use crate::logging::LogFormat;
use crate::telemetry::metrics::push::PushInstance;
use crate::telemetry::trace::OtlpProtocol;

/// What ends a whole run before its tables are done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailFast {
    /// Nothing: every table is tried.
    #[default]
    Off,
    /// The first table that could not be verified because of an error.
    Error,
    /// That, or the first table that differs.
    Mismatch,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReportFormat {
    /// For people.
    #[default]
    Console,
    /// For programs; everything that is known.
    Json,
    /// For spreadsheets; one line per table.
    Csv,
}

/// Implements `FromStr` and `Display` for an enum of words.
macro_rules! words {
    ($type:ty, $($word:literal => $value:expr),+ $(,)?) => {
        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok($value),)+
                    other => Err(one_of(other, &[$($word),+])),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(value if *value == $value => $word,)+ _ => "" })
            }
        }
    };
}

words!(FailFast, "off" => Self::Off, "error" => Self::Error, "mismatch" => Self::Mismatch);
words!(ReportFormat, "console" => Self::Console, "json" => Self::Json, "csv" => Self::Csv);

/// "`jsn` is not one of console, json, csv; did you mean json?"
fn one_of(text: &str, words: &[&str]) -> String {
    let hint = nearest(text, words.iter().copied())
        .map(|word| format!("; did you mean `{word}`?"))
        .unwrap_or_default();
    format!("`{text}` is not one of {}{hint}", words.join(", "))
}

/// The candidate that `text` most likely meant, if any is near.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = text.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.chars().count().max(wanted.chars().count()) / 3
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Reads `90s`, `5m`, `1h 30m`, `500ms`, or a bare number of seconds. Never zero.
///
/// # Errors
///
/// Says what would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text)
            .map_err(|_| format!("`{text}` is not a duration; write 500ms, 30s, 5m or 1h"))?,
    };
    if duration.as_millis() == 0 {
        return Err(format!(
            "`{text}` is shorter than a millisecond; write a duration above zero such as 30s"
        ));
    }
    Ok(duration)
}

/// A number of bytes, written as `64MiB`, `2GB` or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => 0_u64,
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or_else(|| {
                format!("`{text}` is not a number of bytes; write 64MiB, 10GiB or 500MB")
            })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 >= 1 << shift && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// A value and where it begins in the file, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) at: usize,
    pub(super) value: Value,
}

/// A value as it was written, with the distinctions that matter here.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    /// What a variable holds; it may stand for any kind.
    Variable(String),
    Integer(String),
    Float(String),
    Boolean(bool),
    List(Vec<Written>),
    Table(BTreeMap<String, Written>),
    /// A TOML kind that no setting has.
    Other(&'static str),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Variable(_) => "a text",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }

    pub(super) fn unexpected(&self, wanted: &str) -> String {
        format!("expected {wanted}, found {}", self.kind())
    }
}

/// A kind of setting.
pub(super) trait FromValue: Sized {
    /// Reads the value, or says what was expected.
    fn from_value(value: Value) -> Result<Self, String>;
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Text(text) | Value::Variable(text) => Ok(text),
            other => Err(other.unexpected("a text in quotes")),
        }
    }
}

/// Kinds that are written as text.
macro_rules! from_text {
    ($($type:ty: $read:expr),+ $(,)?) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, String> {
                let read: fn(String) -> Result<Self, String> = $read;
                String::from_value(value).and_then(read)
            }
        }
    )+};
}

from_text! {
    PathBuf: |text| Ok(text.into()),
    Secret: |text| Ok(Self::new(text)),
    FailFast: |text| text.parse(),
    ReportFormat: |text| text.parse(),
    MetricsAddr: |text| text.parse(),
    PushInstance: |text| text.parse(),
    OtlpProtocol: |text| text.parse(),
    LogFormat: |text| text.parse(),
    TableName: |text| text.parse().map_err(|error: crate::ids::TableNameError| error.to_string()),
    DatabaseKind: |text| match text.as_str() {
        "sqlserver" | "mssql" => Ok(Self::SqlServer),
        "postgres" | "postgresql" => Ok(Self::Postgres),
        other => Err(one_of(other, &["sqlserver", "postgres"])),
    },
    TlsMode: |text| match text.as_str() {
        "off" => Ok(Self::Off),
        "prefer" => Ok(Self::Prefer),
        "require" => Ok(Self::Require),
        other => Err(one_of(other, &["off", "prefer", "require"])),
    },
}

/// Kinds that are whole numbers.
macro_rules! from_number {
    ($($type:ty: $wanted:literal),+ $(,)?) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, String> {
                match &value {
                    Value::Integer(text) | Value::Variable(text) => {
                        text.trim().parse().map_err(|_| format!("`{text}` is not {}", $wanted))
                    }
                    other => Err(other.unexpected($wanted)),
                }
            }
        }
    )+};
}

from_number! {
    u8: "a number from 0 to 255",
    u16: "a number from 0 to 65535",
    u32: "a whole number, 0 or above",
    i32: "a whole number",
    NonZeroU32: "a whole number above 0",
}

impl FromValue for ByteSize {
    fn from_value(value: Value) -> Result<Self, String> {
        match &value {
            Value::Integer(text) | Value::Text(text) | Value::Variable(text) => text.parse(),
            other => Err(other.unexpected("a size such as \"64MiB\"")),
        }
    }
}

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, String> {
        match &value {
            Value::Boolean(boolean) => Ok(*boolean),
            Value::Variable(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" => Ok(true),
                "false" | "no" | "0" => Ok(false),
                other => Err(format!("`{other}` is not true or false")),
            },
            other => Err(other.unexpected("true or false")),
        }
    }
}

impl FromValue for Duration {
    fn from_value(value: Value) -> Result<Self, String> {
        match &value {
            Value::Integer(text) | Value::Text(text) | Value::Variable(text) => {
                parse_duration(text)
            }
            other => Err(other.unexpected("a duration such as \"30s\", or a number of seconds")),
        }
    }
}

impl FromValue for Vec<String> {
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::List(values) => values
                .into_iter()
                .map(|written| String::from_value(written.value))
                .collect(),
            // A variable cannot hold a list.
            Value::Variable(text) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()),
            other => Err(other.unexpected("a list of texts such as [\"a\", \"b\"]")),
        }
    }
}

impl FromValue for BTreeMap<String, String> {
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Table(entries) => entries
                .into_iter()
                .map(|(key, written)| Ok((key, String::from_value(written.value)?)))
                .collect(),
            other => {
                Err(other.unexpected("a table such as { \"source column\" = \"target column\" }"))
            }
        }
    }
}

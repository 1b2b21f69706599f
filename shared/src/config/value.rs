//! Values of settings: how each type is read from the file or from a variable's
//! text, and how it is written as TOML.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::choices::{FailFast, LogFormat, OtlpProtocol, ReportFormat};
use super::metrics_addr::MetricsAddr;
use super::nearest::one_of;
use super::units::{ByteSize, parse_duration};
use crate::endpoint::{DatabaseKind, Secret, TlsMode, mask_password};
use crate::ids::TableName;
use crate::telemetry::metrics::push::PushInstance;

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
    /// The text of an environment variable or of a flag; it may stand for any type.
    Untyped(String),
    Integer(String),
    Float(String),
    Boolean(bool),
    List(Vec<Written>),
    Table(BTreeMap<String, Written>),
    /// A TOML type that no setting has.
    Other(&'static str),
}

impl Value {
    /// An error message: `wanted` was expected, and this is something else.
    pub(super) fn unexpected(&self, wanted: &str) -> String {
        let found = match self {
            Self::Text(_) | Self::Untyped(_) => "a text",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(found) => found,
        };
        format!("expected {wanted}, found {found}")
    }
}

/// A type of setting that can be read.
pub(super) trait FromValue: Sized {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// The message says what was expected.
    fn from_value(value: Value) -> Result<Self, String>;
}

/// A type of setting that can be written.
pub(super) trait ToToml {
    /// The value in TOML's notation, with secrets redacted.
    fn to_toml(&self) -> String;
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Text(text) | Value::Untyped(text) => Ok(text),
            other => Err(other.unexpected("a text in quotes")),
        }
    }
}

impl ToToml for str {
    fn to_toml(&self) -> String {
        toml::Value::String(self.to_owned()).to_string()
    }
}

/// Types that are written as text in quotes, with their parser and their renderer.
macro_rules! texts {
    ($($type:ty: $parse:expr, $render:expr;)+) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, String> {
                let parse: fn(String) -> Result<Self, String> = $parse;
                String::from_value(value).and_then(parse)
            }
        }

        impl ToToml for $type {
            fn to_toml(&self) -> String {
                let render: fn(&Self) -> String = $render;
                render(self).as_str().to_toml()
            }
        }
    )+};
}

texts! {
    PathBuf: |text| Ok(text.into()), |path| path.to_string_lossy().into_owned();
    Secret: |text| Ok(Self::new(text)), |secret| mask_password(secret.reveal());
    FailFast: |text| text.parse(), Self::to_string;
    ReportFormat: |text| text.parse(), Self::to_string;
    MetricsAddr: |text| text.parse(), Self::to_string;
    PushInstance: |text| text.parse(), Self::to_string;
    OtlpProtocol: |text| text.parse(), Self::to_string;
    LogFormat: |text| text.parse(), Self::to_string;
    TableName: |text| text.parse().map_err(|error: crate::ids::TableNameError| error.to_string()), Self::to_string;
    DatabaseKind: |text| match text.as_str() {
        "sqlserver" | "mssql" => Ok(Self::SqlServer),
        "postgres" | "postgresql" => Ok(Self::Postgres),
        other => Err(one_of(other, &["sqlserver", "postgres"])),
    }, |kind| match kind {
        Self::SqlServer => "sqlserver",
        Self::Postgres => "postgres",
    }.to_owned();
    TlsMode: |text| match text.as_str() {
        "off" => Ok(Self::Off),
        "prefer" => Ok(Self::Prefer),
        "require" => Ok(Self::Require),
        other => Err(one_of(other, &["off", "prefer", "require"])),
    }, |mode| match mode {
        Self::Off => "off",
        Self::Prefer => "prefer",
        Self::Require => "require",
    }.to_owned();
}

impl ToToml for String {
    fn to_toml(&self) -> String {
        self.as_str().to_toml()
    }
}

/// Types that are whole numbers.
macro_rules! numbers {
    ($($type:ty: $wanted:literal;)+) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, String> {
                match &value {
                    Value::Integer(text) | Value::Untyped(text) => {
                        text.trim().parse().map_err(|_| format!("`{text}` is not {}", $wanted))
                    }
                    other => Err(other.unexpected($wanted)),
                }
            }
        }

        impl ToToml for $type {
            fn to_toml(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

numbers! {
    u8: "a number from 0 to 255";
    u16: "a number from 0 to 65535";
    u32: "a whole number, 0 or above";
    i32: "a whole number";
    NonZeroU32: "a whole number above 0";
}

impl FromValue for ByteSize {
    fn from_value(value: Value) -> Result<Self, String> {
        match &value {
            Value::Integer(text) | Value::Text(text) | Value::Untyped(text) => text.parse(),
            other => Err(other.unexpected("a size such as \"64MiB\"")),
        }
    }
}

impl ToToml for ByteSize {
    fn to_toml(&self) -> String {
        self.to_string().to_toml()
    }
}

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, String> {
        match &value {
            Value::Boolean(boolean) => Ok(*boolean),
            Value::Untyped(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" => Ok(true),
                "false" | "no" | "0" => Ok(false),
                other => Err(format!("`{other}` is not true or false")),
            },
            other => Err(other.unexpected("true or false")),
        }
    }
}

impl ToToml for bool {
    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl FromValue for Duration {
    fn from_value(value: Value) -> Result<Self, String> {
        match &value {
            Value::Integer(text) | Value::Text(text) | Value::Untyped(text) => parse_duration(text),
            other => Err(other.unexpected("a duration such as \"30s\", or a number of seconds")),
        }
    }
}

impl ToToml for Duration {
    fn to_toml(&self) -> String {
        humantime::format_duration(*self).to_string().to_toml()
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
            Value::Untyped(text) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()),
            other => Err(other.unexpected("a list of texts such as [\"a\", \"b\"]")),
        }
    }
}

impl ToToml for Vec<String> {
    fn to_toml(&self) -> String {
        let texts: Vec<String> = self.iter().map(ToToml::to_toml).collect();
        format!("[{}]", texts.join(", "))
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

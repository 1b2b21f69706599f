//! Values of settings: how each type is read from the file or from a variable's
//! text, and how it is written as TOML.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

use super::choices::{FailFast, LogFormat, OtlpProtocol, ReportFormat, parse_choice, word};
use super::metrics_addr::MetricsAddr;
use super::units::{ByteSize, parse_duration};
use crate::endpoint::{DatabaseKind, LoginMethod, Secret, TlsMode};
use crate::masking::mask;
use crate::naming::Naming;
use crate::options::MissingColumns;
use crate::options::{Encoding, Normalization, Rounding};
use crate::pattern::{NamePattern, TableSelector, TargetSelector};
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
    /// The text of a text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Untyped(text) => Some(text),
            _ => None,
        }
    }

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

/// Types that are written as one text or number: with the TOML types that are accepted,
/// what is expected, the parser and the renderer.
macro_rules! words {
    ($($type:ty: $($kind:ident)|+, $expected:expr, $parse:expr, $render:expr;)+) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, String> {
                let parse: fn(&str, &str) -> Result<Self, String> = $parse;
                match &value {
                    Value::Untyped(text) $(| Value::$kind(text))+ => parse(text, $expected),
                    other => Err(other.unexpected($expected)),
                }
            }
        }

        impl ToToml for $type {
            fn to_toml(&self) -> String {
                let render: fn(&Self) -> String = $render;
                render(self)
            }
        }
    )+};
}

const TEXT: &str = "a text in quotes";

words! {
    String: Text, TEXT, |text, _| Ok(text.to_owned()), quoted;
    PathBuf: Text, "the name of a file or a directory", |text, expected| path(text, expected), |path| quoted(&path.display());
    Secret: Text, TEXT, |text, _| Ok(Self::new(text)), |it| quoted(&mask(it.reveal()));
    MetricsAddr: Text, TEXT, parsed, quoted;
    PushInstance: Text, TEXT, parsed, quoted;
    TableSelector: Text, TEXT, parsed, quoted;
    TargetSelector: Text, TEXT, parsed, quoted;
    NamePattern: Text, TEXT, parsed, quoted;
    FailFast: Text, TEXT, choice, quoted_word;
    ReportFormat: Text, TEXT, choice, quoted_word;
    OtlpProtocol: Text, TEXT, choice, quoted_word;
    LogFormat: Text, TEXT, choice, quoted_word;
    DatabaseKind: Text, TEXT, choice, quoted_word;
    TlsMode: Text, TEXT, choice, quoted_word;
    LoginMethod: Text, TEXT, choice, quoted_word;
    Rounding: Text, TEXT, choice, quoted_word;
    Normalization: Text, TEXT, choice, quoted_word;
    Encoding: Text, TEXT, choice, quoted_word;
    Naming: Text, TEXT, choice, quoted_word;
    MissingColumns: Text, TEXT, choice, quoted_word;
    ByteSize: Text | Integer, "a size such as \"64MiB\"", parsed, quoted;
    Duration: Text | Integer, "a duration such as \"30s\", or a number of seconds",
        |text, _| parse_duration(text), |it| quoted(&humantime::format_duration(*it));
    u8: Integer, "a number from 0 to 255", number, Self::to_string;
    u16: Integer, "a number from 0 to 65535", number, Self::to_string;
    u32: Integer, "a whole number, 0 or above", number, Self::to_string;
    i32: Integer, "a whole number", number, Self::to_string;
    NonZeroU32: Integer, "a whole number above 0", number, Self::to_string;
}

fn parsed<T: FromStr<Err: fmt::Display>>(text: &str, _: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn path(text: &str, expected: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err(format!("an empty text is not {expected}"));
    }
    Ok(text.into())
}

fn choice<T: ValueEnum>(text: &str, _: &str) -> Result<T, String> {
    parse_choice(text)
}

fn quoted_word(choice: &impl ValueEnum) -> String {
    quoted(&word(choice))
}

fn number<T: FromStr>(text: &str, expected: &str) -> Result<T, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is not {expected}"))
}

fn quoted(value: &impl fmt::Display) -> String {
    toml::Value::String(value.to_string()).to_string()
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

impl FromValue for Vec<PathBuf> {
    fn from_value(value: Value) -> Result<Self, String> {
        let names = match value {
            Value::Text(name) => vec![name],
            list => Vec::<String>::from_value(list)?,
        };
        Ok(names.into_iter().map(PathBuf::from).collect())
    }
}

impl ToToml for Vec<PathBuf> {
    fn to_toml(&self) -> String {
        let paths: Vec<String> = self.iter().map(ToToml::to_toml).collect();
        format!("[{}]", paths.join(", "))
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

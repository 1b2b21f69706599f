//! Settings that are one of a few words.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::nearest::one_of;

/// Which result of a table cancels the rest of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum FailFast {
    /// None: every table is tried.
    #[default]
    Off,
    /// A table that could not be verified because of an error.
    Error,
    /// An error, or a table that differs.
    Mismatch,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Text for people.
    #[default]
    Console,
    /// JSON with every detail, for programs.
    Json,
    /// CSV with one line per table, for spreadsheets.
    Csv,
    /// One HTML page, to be read without a network, printed and signed.
    Html,
    /// JUnit XML with one test case per table, for CI systems.
    Junit,
    /// Markdown, for the summary of a CI job.
    Markdown,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Human,
    /// One JSON object per line, for programs.
    Json,
}

/// The protocol of an OpenTelemetry collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OtlpProtocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP with Protobuf bodies; `OTEL_EXPORTER_OTLP_PROTOCOL` calls it `http/protobuf`.
    #[value(alias = "http/protobuf")]
    Http,
}

/// The choice that `text` names, in upper or lower case.
pub(crate) fn parse_choice<T: ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text.trim(), true).map_err(|_| {
        let words: Vec<String> = T::value_variants().iter().map(word).collect();
        one_of(text, &words)
    })
}

impl fmt::Display for ReportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&word(self))
    }
}

/// The word for a choice.
pub(super) fn word<T: ValueEnum>(choice: &T) -> String {
    choice
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

//! Settings that are one of a few words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::nearest::one_of;

/// Declares an enum whose variants users write as words, with synonyms after `|`.
macro_rules! choice {
    (
        $(#[$attribute:meta])*
        $name:ident {
            $($(#[$of_variant:meta])* $variant:ident = $word:literal $(| $synonym:literal)*,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of_variant])* $variant,)+
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text.trim().to_ascii_lowercase().as_str() {
                    $($word $(| $synonym)* => Ok(Self::$variant),)+
                    _ => Err(one_of(text, &[$($word),+])),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)+ })
            }
        }
    };
}

choice! {
    /// Which result of a table cancels the rest of the run.
    #[derive(Default, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    FailFast {
        /// None: every table is tried.
        #[default]
        Off = "off",
        /// A table that could not be verified because of an error.
        Error = "error",
        /// An error, or a table that differs.
        Mismatch = "mismatch",
    }
}

choice! {
    /// The form of a report.
    #[derive(Default)]
    ReportFormat {
        /// Text for people.
        #[default]
        Console = "console",
        /// JSON with every detail, for programs.
        Json = "json",
        /// CSV with one line per table, for spreadsheets.
        Csv = "csv",
    }
}

choice! {
    /// The form of a log line.
    #[derive(Default)]
    LogFormat {
        /// Text for people.
        #[default]
        Human = "human",
        /// One JSON object per line, for programs.
        Json = "json",
    }
}

choice! {
    /// The protocol of an OpenTelemetry collector.
    OtlpProtocol {
        /// OTLP over gRPC.
        Grpc = "grpc",
        /// OTLP over HTTP with Protobuf bodies; `OTEL_EXPORTER_OTLP_PROTOCOL` calls it `http/protobuf`.
        Http = "http" | "http/protobuf",
    }
}

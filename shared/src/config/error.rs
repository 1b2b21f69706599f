//! Why a configuration cannot be used.

use std::fmt;
use std::path::PathBuf;

/// Why a configuration cannot be used. Every message says what to do, and none
/// repeats a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {reason}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{place}: {reason}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong.
        reason: String,
    },
    /// A key that no section has.
    #[error("{place}: unknown key `{key}`{}", suggestion(nearest.as_deref(), known))]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key with its section.
        key: String,
        /// The key that was most likely meant.
        nearest: Option<String>,
        /// The keys of the section.
        known: Vec<String>,
    },
    /// A value of the wrong kind, or out of range.
    #[error("{place}: `{key}`: {reason}")]
    Value {
        /// Where.
        place: Place,
        /// The key with its section.
        key: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A section that lacks something, or contradicts itself.
    #[error("{place}: {reason}")]
    Section {
        /// Where.
        place: Place,
        /// What is wrong and what would be right.
        reason: String,
    },
}

fn suggestion(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => format!("; known are {}", known.join(", ")),
    }
}

/// Where a setting was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the configuration file.
    File {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// In an environment variable.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

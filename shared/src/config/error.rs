//! Why a configuration cannot be used.

use std::fmt;
use std::path::PathBuf;

/// Why a configuration cannot be used. Every message contains what to do, and none
/// a secret.
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
    /// The file is not TOML, a key is unknown, a value has the wrong type or is out of range, or a
    /// section lacks a required key or has keys that exclude each other.
    #[error("{origin}: {reason}")]
    Content {
        /// Where.
        origin: Origin,
        /// Why, and what is expected.
        reason: String,
    },
}

/// The position of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

//! Why a text does not describe an endpoint.

use std::fmt;

use crate::masking::mask;

/// Why a text, or parts of one, do not describe an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointError {
    /// The text without its secrets; absent if the connection is described in parts.
    text: Option<String>,
    /// What is wrong and what to write instead. It contains no secret.
    reason: String,
}

impl EndpointError {
    /// An error in `text`, of which secrets are hidden.
    pub(super) fn in_text(text: &str, reason: impl Into<String>) -> Self {
        Self {
            text: Some(mask(text)),
            reason: reason.into(),
        }
    }

    /// An error in a text that was masked before, or in parts if there is none.
    pub(super) fn in_masked(text: Option<String>, reason: impl Into<String>) -> Self {
        Self {
            text,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            write!(f, "connection `{text}`: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for EndpointError {}

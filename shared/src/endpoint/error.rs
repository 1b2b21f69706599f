//! Why a text does not describe an endpoint.

/// Why a URL does not describe an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The text is not a URL, has another scheme, or lacks a part.
    #[error(
        "`{url}` is not a database URL ({reason}); write mssql://user:password@host:1433/database or postgres://user:password@host:5432/database"
    )]
    Url {
        /// The text without its password.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A parameter `name=value` is unknown, or its value is invalid.
    #[error("database URL for {host}: {reason}")]
    Parameter {
        /// The host.
        host: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
}

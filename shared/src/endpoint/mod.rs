//! Endpoints: the databases whose tables are compared, and how a process connects to them.
//!
//! A text in any of the accepted forms is taken apart into options by name (`url.rs`,
//! `semicolons.rs`, `jdbc.rs`, `keywords.rs`), the options are interpreted in one place
//! (`options.rs`), and defaults complete them to an endpoint (`completion.rs`).

mod completion;
mod connection;
mod environment;
mod error;
mod form;
mod jdbc;
mod keywords;
mod kind;
mod login;
mod options;
mod pass_file;
mod secret_command;
mod semicolons;
mod server;
mod service_file;
mod settings;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod url;

pub use crate::secret::Secret;
pub use connection::Connection;
pub use environment::LibpqEnvironment;
pub use error::EndpointError;
pub use kind::DatabaseKind;
pub use login::{Login, LoginMethod, Route};
pub use options::{DeclaredOption, IGNORED, OPTIONS};
pub use secret_command::{SecretCommand, SecretCommandError};
pub use settings::Endpoint;
pub use tls::{ClientCertificate, Tls, TlsMode};

#[cfg(test)]
pub(crate) use environment::LIBPQ_VARIABLES;

//! Endpoints: the databases whose tables are compared, and how a process connects to them.

mod error;
mod kind;
mod settings;
mod tls;

pub use crate::secret::Secret;
pub use error::EndpointError;
pub use kind::DatabaseKind;
pub use settings::Endpoint;
pub use tls::{Tls, TlsMode};

//! What coordinator and worker share: identifiers, messages, the transport
//! that carries them, endpoints, configuration and telemetry. There is no SQL and no
//! comparison in this crate.

pub mod atomic_file;
pub mod bounds;
pub mod config;
pub mod coverage;
pub mod endpoint;
pub mod endpoint_state;
pub mod envelope;
pub mod failure;
pub mod finding;
pub mod hash_key;
pub mod identity;
pub mod ids;
pub mod logging;
pub mod masking;
pub mod message;
pub mod naming;
pub mod options;
pub mod outcome;
pub mod pattern;
pub mod process;
pub mod secret;
pub mod signals;
pub mod signing;
pub mod telemetry;
pub mod transport;
pub mod verification;

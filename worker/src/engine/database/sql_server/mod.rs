//! SQL Server: everything that is particular to it.

mod answer;
pub(crate) mod catalog;
mod channel;
pub(crate) mod connection;
pub(crate) mod constraints;
pub(crate) mod dialect;
pub(crate) mod error;
mod footprint;
mod functions;
mod identity;
mod large;
pub(crate) mod literal;
pub(crate) mod look_up;
pub(crate) mod scan;
pub(crate) mod script;
mod server_state;
pub(crate) mod session;
pub(crate) mod text;

pub(crate) use dialect::SqlServer;

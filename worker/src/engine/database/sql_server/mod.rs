//! SQL Server: everything that is particular to it.

mod answer;
mod browser;
pub(crate) mod catalog;
mod channel;
pub(crate) mod connection;
pub(crate) mod constraints;
pub(crate) mod dialect;
pub(crate) mod error;
mod footprint;
mod functions;
mod handshake;
mod identity;
mod integrated;
mod large;
pub(crate) mod literal;
pub(crate) mod look_up;
mod ntlm;
mod numbers;
mod packet;
mod prelogin;
mod route;
pub(crate) mod scan;
mod schema;
pub(crate) mod script;
mod server_state;
pub(crate) mod session;
pub(crate) mod text;

pub(crate) use dialect::SqlServer;

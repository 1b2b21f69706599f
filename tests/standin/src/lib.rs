//! A small TDS 7.4 server that stands in for SQL Server where that cannot run:
//! in tests and in the demo. It keeps its data in a PostgreSQL database and
//! translates the statements that it understands; everything else is error 102.

mod catalog;
mod collation;
mod error;
mod handshake;
mod login;
mod packet;
mod parameter;
mod rpc;
mod server;
mod session;
mod sql;
mod sqltype;
mod temporal;
mod text;
mod tls;
mod token;
mod transcode;
mod wire;

pub use error::SqlError;
pub use server::{Options, Server, StartError, TlsMode};

//! A small TDS 7.4 server that stands in for SQL Server where the real server cannot run:
//! in tests and in the demo. It stores its data in a PostgreSQL database and translates the
//! statements that it supports; every other statement is error 102.

mod browser;
mod catalog;
mod error;
mod mangling;
mod options;
mod postgres;
mod protocol;
mod server;
mod session;
mod sql;
mod statements;
mod tls;
mod types;

pub use mangling::{Mangling, Wrong};
pub use options::{LoginOptions, Options, TlsMode};
pub use server::{Server, StartError};
pub use statements::StatementLog;
pub use tls::CertificateError;

//! SQL Server: everything that is particular to it.

pub(crate) mod catalog;
mod channel;
pub(crate) mod connection;
pub(crate) mod constraints;
pub(crate) mod dialect;
pub(crate) mod error;
mod identity;
pub(crate) mod literal;
pub(crate) mod look_up;
pub(crate) mod scan;
pub(crate) mod script;
pub(crate) mod session;
pub(crate) mod text;

pub(crate) use dialect::SqlServer;

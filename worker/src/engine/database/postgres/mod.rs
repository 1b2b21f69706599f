//! PostgreSQL: everything that is particular to it.

pub(crate) mod catalog;
pub(crate) mod constraints;
pub(crate) mod dialect;
pub(crate) mod error;
mod footprint;
mod functions;
pub(crate) mod hold;
mod identity;
pub(crate) mod lexical;
mod link;
pub(crate) mod literal;
pub(crate) mod look_up;
mod numbers;
pub(crate) mod scan;
mod schema;
pub(crate) mod script;
mod server_state;
pub(crate) mod session;

pub(crate) use dialect::Postgres;

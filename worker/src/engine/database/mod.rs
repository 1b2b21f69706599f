//! Everything that is asked of a database. What differs between the kinds of
//! databases is behind the traits of `dialect` and `session`; each kind
//! implements them in a folder of its own, and `kinds` chooses.

pub(crate) mod apply;
pub(crate) mod catalog;
pub(crate) mod constraints;
pub(crate) mod dialect;
pub(crate) mod filter;
pub(crate) mod footprint;
pub(crate) mod guarded;
pub(crate) mod hold;
pub(crate) mod kinds;
pub(crate) mod look_up;
pub(crate) mod postgres;
pub(crate) mod scan;
pub(crate) mod schema;
pub(crate) mod script;
pub(crate) mod server_state;
pub(crate) mod session;
pub(crate) mod side;
pub(crate) mod spans;
pub(crate) mod sql_server;
pub(crate) mod statement;
pub(crate) mod structure;
pub(crate) mod surrogate;

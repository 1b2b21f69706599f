//! What is asked of a database.

pub(crate) mod apply;
pub(crate) mod catalog;
pub(crate) mod filter;
pub(crate) mod scan;
pub(crate) mod session;
pub(crate) mod side;
pub(crate) mod spans;

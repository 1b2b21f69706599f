//! The two sides of a table as rows: elements, keys and differences.

pub(crate) mod difference;
pub(crate) mod differing;
pub(crate) mod element;
pub(crate) mod hash;
pub(crate) mod keys;
pub(crate) mod version;

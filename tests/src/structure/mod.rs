//! Checks of the source tree: which file imports which, which words it uses,
//! and where it distinguishes the kinds of database.

pub mod circles;
pub mod decisions;
pub mod imports;
pub mod tokens;
pub mod tree;
pub mod words;

//! The coordinator: splits a list of tables into tasks, follows them until
//! every table has ended, reports, and decides the exit code.
//!
//! [`run::start`] runs a list of tables over any transport; the command line in
//! [`cli`] is built on it.

pub mod cli;
pub mod report;
pub mod run;
pub mod run_state;
pub mod store;

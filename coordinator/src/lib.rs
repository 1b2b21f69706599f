//! The coordinator: splits a list of tables into tasks, follows them until
//! every table has ended, reports, and decides the exit code.
//!
//! [`run::start`] runs a list of tables over any transport; the command line in
//! [`cli`] is built on it, and so is [`parallel`], for programs that embed a run.

pub mod cli;
pub mod metrics;
pub mod parallel;
pub mod repair;
pub mod report;
pub mod run;
pub mod run_state;
pub mod store;

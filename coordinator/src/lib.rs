//! The coordinator: splits a list of tables into tasks, tracks them until every
//! table has ended, reports, and decides the exit code.
//!
//! [`run::start`] runs a list of tables over any transport. The command line in
//! [`cli`] uses it, and so does [`parallel`], for programs that embed a run.

mod check;
pub mod cli;
mod metrics;
mod pace;
pub mod parallel;
pub mod repair;
mod report;
mod rows_file;
pub mod run;
pub mod run_state;
mod spool;
pub mod store;

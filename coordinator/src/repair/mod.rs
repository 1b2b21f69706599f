//! Repair scripts.
//!
//! The [`spool`](crate::spool) keeps the statements on disk during a run; [`generate`]
//! writes them as scripts at its end. [`script_reader`] and [`script_set`] read the
//! scripts that `reconcile apply` executes, and [`undo`] rewrites the script that
//! undoes them. [`applied`] records which scripts were applied. [`order`] orders tables by
//! their foreign keys.

mod applied;
mod error;
mod generate;
mod header;
mod manifest;
mod marks;
mod order;
mod script_reader;
mod script_set;
mod script_writer;
mod statement;
mod undo;

pub(crate) use applied::{AppliedScripts, AppliedTo};
pub use error::ScriptError;
pub use generate::{RepairError, Scripts};
pub(crate) use manifest::stored_repairs;
pub(crate) use order::steps;
pub(crate) use script_reader::Script;
pub(crate) use script_set::ScriptSet;
pub use statement::Direction;
pub(crate) use statement::{ACTIONS, Statement, StatementCounts};
pub(crate) use undo::Effects;

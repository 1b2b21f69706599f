//! `reconcile check`, and the check before a run.

mod collect;
mod command;
mod fleet;
mod measure;
mod starter;

pub(super) use command::{before_run, check};

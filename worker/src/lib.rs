//! The worker: takes tasks from the transport, runs the single-table engine on
//! each with bounded concurrency, and answers for what it took.

pub mod engine;
pub mod service;

//! The worker: takes tasks from the transport, runs the single-table engine on
//! each with bounded concurrency, and publishes the outcomes.

pub mod engine;
pub mod service;

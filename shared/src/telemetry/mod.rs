//! How a process is seen from outside.

pub mod metrics;
pub mod trace;

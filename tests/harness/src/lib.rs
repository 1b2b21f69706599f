//! What tests, benchmarks and the demo run on: private services, processes
//! whose output is captured, and TPC-H data with known differences.

pub mod executable;
pub mod http;
pub mod poll;
pub mod process;
pub mod services;
pub mod tpch;

//! What the end-to-end tests, the benchmarks and the demo are made of: real
//! services that belong to one process, processes under observation, and data
//! whose differences are known.

pub mod cases;
pub mod collector;
pub mod engine;
pub mod idle;
pub mod product;
pub mod proxy;
pub mod random_tables;
pub mod repair;
pub mod repairs;
pub mod scene;
pub mod structure;

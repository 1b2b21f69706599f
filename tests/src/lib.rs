//! What the end-to-end tests and the benchmarks share: the product as a user runs
//! it, cases and random tables, fault injection, and checks of the source tree.

pub mod browser;
pub mod cases;
pub mod collector;
pub mod engine;
pub mod idle;
pub mod mangler;
pub mod product;
pub mod proxy;
pub mod random_tables;
pub mod repair;
pub mod repairs;
pub mod scene;
pub mod structure;
pub mod walk;

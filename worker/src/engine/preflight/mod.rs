//! Checks before a run: what would make the comparison of a table fail, and how long it takes.
//! Reads catalogs, privileges and statistics, and of rows a short sample.

mod endpoint;
mod finding;
mod sample;
mod table;
mod tables;

pub use endpoint::check_endpoint;
pub use finding::{Effect, PreflightFinding, rule_of};
pub use sample::{Measured, Rate};
pub use table::{SideFacts, TableCheck, TableFacts, TextSuggestion};
pub use tables::Preflight;

//! Clients that were not written here judge the stand-in: tiberius, FreeTDS's
//! `tsql` and `python3-tds`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test needs and does not get is its failure"
)]

mod attention;
mod encryption;
mod errors;
mod fixture;
mod judges;
mod limits;
mod parameters;
mod transactions;
mod types;

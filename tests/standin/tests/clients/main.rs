//! Tests of the stand-in with third-party clients: tiberius, FreeTDS's `tsql` and `python3-tds`.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails when a step of its setup fails"
)]

mod attention;
mod encryption;
mod errors;
mod external;
mod fixture;
mod limits;
mod logins;
mod parameters;
mod transactions;
mod types;

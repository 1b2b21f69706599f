//! What `reconcile check` decides and prints: pure functions over what the engine, the workers and
//! the catalogs have found. Knows no databases and no transport.

mod endpoints;
mod estimate;
mod grouping;
mod model;
mod render;
mod schedule;
mod starter;

pub(crate) use endpoints::{EndpointsOf, endpoint_findings};
pub(crate) use estimate::{Fleet, MeasuredTable, Speeds, estimate_run, late_tables};
pub(crate) use model::{CheckReport, CheckStatus, CheckedTable, Checks, EndpointResult};
pub(crate) use render::{has_form, render, to_console};
pub(crate) use schedule::Slowdown;
pub(crate) use starter::Starter;

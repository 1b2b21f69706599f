//! The checks of many tables, some at the same time.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use shared::endpoint::Endpoint;
use shared::failure::Failure;
use shared::message::TableSpec;

use crate::engine::database::session::pool::Pools;
use crate::engine::preflight::sample::{Measured, measure};
use crate::engine::preflight::table::{TableCheck, check_table};

/// Checks tables in the databases of its endpoints. It opens a limited number of sessions and
/// keeps them open until it is dropped.
#[derive(Debug)]
pub struct Preflight {
    pools: Pools,
    at_once: usize,
}

impl Preflight {
    /// Checks up to `at_once` tables at the same time, with one session a side for each.
    #[must_use]
    pub fn new(endpoints: BTreeMap<String, Endpoint>, at_once: u16) -> Self {
        Self {
            pools: Pools::new(endpoints, at_once.into()),
            at_once: at_once.max(1).into(),
        }
    }

    /// Checks all tables, and returns the results in their order. Reads no row.
    pub async fn check_tables(&self, tables: &[TableSpec]) -> Vec<TableCheck> {
        futures::stream::iter(tables)
            .map(|spec| check_table(&self.pools, spec))
            .buffered(self.at_once)
            .collect()
            .await
    }

    /// Measures how fast a table is read, by a sample of its rows. Tables that are measured at the
    /// same time slow each other down as they do in a run.
    ///
    /// # Errors
    ///
    /// When the table cannot be read.
    pub async fn measure(&self, table: &TableSpec) -> Result<Measured, Failure> {
        measure(&self.pools, table).await
    }
}

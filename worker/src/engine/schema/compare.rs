//! The comparison of the schemas of many tables.

use shared::endpoint::Endpoint;
use shared::failure::Failure;
use shared::finding::Finding;
use shared::message::TableSpec;

/// Compares what surrounds the rows of `tables`. Reads the catalogs of both databases with a
/// number of statements that does not depend on the number of tables, and no rows.
///
/// # Errors
///
/// When a database cannot be reached, refuses the login or its catalog cannot be read.
pub async fn compare_schemas(
    _source: &Endpoint,
    _target: &Endpoint,
    _tables: &[TableSpec],
) -> Result<Vec<Finding>, Failure> {
    Ok(Vec::new())
}

//! Reads the catalogs that the list of tables needs.

use std::time::Duration;

use shared::endpoint::Endpoint;
use shared::outcome::Failure;
use tokio::time::timeout;
use worker::engine::{CatalogTable, list_tables};

use super::catalog_names::CatalogNames;
use super::selection::{Catalogs, TableSelection};
use super::usage::UsageError;
use crate::run_state::PlannedTable;

/// Reads the catalogs of both sides, if a pattern selects tables or names leave open whether two
/// tables have one target.
///
/// # Errors
///
/// When a catalog that a pattern or `--strict-tables` needs cannot be read. Without another
/// catalog the run goes on: the workers resolve the names.
pub(super) async fn read_catalogs(tables: &TableSelection) -> Result<Catalogs, UsageError> {
    let pattern = tables.first_pattern();
    if pattern.is_none() && !tables.may_share_target()? {
        return Ok(Catalogs::default());
    }
    let is_strict = tables.strict_tables && pattern.is_some();
    let (source, target) = tokio::join!(
        read(tables.source.endpoint.as_ref()),
        read(tables.target.endpoint.as_ref())
    );
    let source = match (source, pattern) {
        (Some(Ok(catalog)), _) => Some(catalog),
        (None, Some(pattern)) => {
            return Err(UsageError::PatternWithoutEndpoint {
                pattern,
                endpoint: tables.source.name.clone(),
            });
        }
        (Some(Err(reason)), Some(pattern)) => return Err(UsageError::Catalog { pattern, reason }),
        (Some(Err(reason)), None) => without("source", &reason),
        (None, None) => None,
    };
    let target = match target {
        Some(Ok(catalog)) => Some(catalog),
        None if is_strict => {
            return Err(UsageError::StrictWithoutEndpoint {
                endpoint: tables.target.name.clone(),
            });
        }
        Some(Err(reason)) if is_strict => return Err(UsageError::TargetCatalog { reason }),
        Some(Err(reason)) => without("target", &reason),
        None => None,
    };
    Ok(Catalogs { source, target })
}

/// How long a run waits for the sizes of its tables, which only decide their order.
const SIZES: Duration = Duration::from_secs(5);

/// Adds the sizes that are missing of tables that are listed by name, so that the largest are
/// compared first. Without them the run has another order, and nothing else.
pub(super) async fn add_sizes(
    selection: &TableSelection,
    catalogs: &Catalogs,
    tables: &mut [PlannedTable],
) {
    let is_sized = |planned: &PlannedTable| planned.estimated_rows.is_some();
    if tables.len() < 2 || tables.iter().all(is_sized) {
        return;
    }
    let mut read_here = None;
    if catalogs.source.is_none() {
        let endpoint = selection.source.endpoint.as_ref();
        match timeout(SIZES, read(endpoint)).await {
            Ok(Some(Ok(catalog))) => read_here = Some(catalog),
            Ok(Some(Err(reason))) => {
                tracing::debug!("the sizes of the tables are unknown: {reason}");
            }
            Ok(None) => {}
            Err(_) => tracing::debug!("the source did not answer with the sizes of the tables"),
        }
    }
    let Some(catalog) = catalogs.source.as_ref().or(read_here.as_ref()) else {
        return;
    };
    let naming = selection.options.naming;
    let names = CatalogNames::new(catalog, &selection.settings.source_schema, naming);
    for planned in tables.iter_mut().filter(|planned| !is_sized(planned)) {
        if let Some(at) = names.find(&planned.spec.source.table) {
            planned.estimated_rows = names.tables()[at].estimated_rows;
        }
    }
}

async fn read(endpoint: Option<&Endpoint>) -> Option<Result<Vec<CatalogTable>, Failure>> {
    Some(list_tables(endpoint?).await)
}

fn without(side: &str, reason: &Failure) -> Option<Vec<CatalogTable>> {
    tracing::warn!("the names of tables are not checked in the {side}'s catalog: {reason}");
    None
}

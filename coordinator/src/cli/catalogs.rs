//! Reads the catalogs that the list of tables needs.

use shared::endpoint::Endpoint;
use shared::outcome::Failure;
use worker::engine::{CatalogTable, list_tables};

use super::selection::{Catalogs, TableSelection};
use super::usage::UsageError;

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

async fn read(endpoint: Option<&Endpoint>) -> Option<Result<Vec<CatalogTable>, Failure>> {
    Some(list_tables(endpoint?).await)
}

fn without(side: &str, reason: &Failure) -> Option<Vec<CatalogTable>> {
    tracing::warn!("the names of tables are not checked in the {side}'s catalog: {reason}");
    None
}

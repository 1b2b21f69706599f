//! Which columns identify a row.

use shared::coverage::KeyOrigin;
use shared::failure::{Failure, FailureKind};
use shared::message::TableSpec;

use crate::engine::plan::names::existing;
use crate::engine::plan::pairs::{ColumnPair, PairedColumns};
use crate::engine::values::column::Table;
use crate::engine::values::pair::Pair;

/// The columns of a key, as the source spells them, and where the key comes from.
#[derive(Debug, Default)]
pub(crate) struct Key {
    pub(crate) columns: Vec<String>,
    /// `None` without a key.
    pub(crate) origin: Option<KeyOrigin>,
}

impl Key {
    fn new(columns: Vec<String>, origin: KeyOrigin) -> Self {
        Self {
            columns,
            origin: Some(origin),
        }
    }
}

/// Chooses the key: the one that the user names, else the first one of the source without a
/// column that the user left out, else the first one of the target whose columns are compared.
///
/// # Errors
///
/// `ColumnNotFound` when the user names a column that does not exist or is left out,
/// `KeyColumnMissing` when a column of the key has no partner in the target.
pub(crate) fn choose_key(
    spec: &TableSpec,
    tables: &Pair<Table>,
    paired: &PairedColumns,
) -> Result<Key, Failure> {
    let is_compared = |name: &String| {
        let mut pairs = paired.pairs.iter();
        pairs.any(|pair| pair.columns.source.name == *name)
    };
    if let Some(names) = &spec.key {
        let mut key: Vec<String> = Vec::new();
        for name in names {
            let column = &existing(&tables.source, name, "the key")?.name;
            if paired.has_no_partner(column) {
                return Err(missing(tables, paired, column));
            }
            if !is_compared(column) {
                return Err(Failure::new(
                    FailureKind::ColumnNotFound,
                    format!("the key's column `{name}` is not compared: it is left out"),
                ));
            }
            if !key.contains(column) {
                key.push(column.clone());
            }
        }
        return Ok(Key::new(key, KeyOrigin::Given));
    }
    for key in &tables.source.keys {
        if key.iter().all(is_compared) {
            return Ok(Key::new(key.clone(), KeyOrigin::Source));
        }
        let is_left_out = |name: &String| !is_compared(name) && !paired.has_no_partner(name);
        if key.iter().any(is_left_out) {
            continue;
        }
        if let Some(name) = key.iter().find(|name| paired.has_no_partner(name)) {
            return Err(missing(tables, paired, name));
        }
    }
    let source_name = |name: &String| {
        let is_it = |pair: &&ColumnPair| pair.columns.target.name == *name;
        let pair = paired.pairs.iter().find(is_it)?;
        Some(pair.columns.source.name.clone())
    };
    let mut target_keys = tables.target.keys.iter();
    let target_key =
        target_keys.find_map(|key| key.iter().map(source_name).collect::<Option<Vec<_>>>());
    Ok(target_key.map_or_else(Key::default, |key| Key::new(key, KeyOrigin::Target)))
}

fn missing(tables: &Pair<Table>, paired: &PairedColumns, name: &str) -> Failure {
    let mut columns = paired.missing.iter();
    let nearest = columns
        .find(|column| column.name == name)
        .and_then(|column| column.nearest.as_ref())
        .map(|nearest| format!(" (the most similar name there is `{nearest}`)"))
        .unwrap_or_default();
    let Pair { source, target } = tables;
    Failure::new(
        FailureKind::KeyColumnMissing,
        format!(
            "column `{name}` of the key of {}.{} has no partner in {}.{}{nearest}, so rows cannot be identified; pair it with columns.map, or name another key with --pk-columns or key = [..]",
            source.schema, source.name, target.schema, target.name
        ),
    )
}

//! `[[tables]]`: the tables of a run, each entry with the settings of one table or of all
//! tables that match a pattern.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::ConfigError;
use super::section::{Section, Sources};
use super::table_rules::read_rules;
use crate::message::ColumnSelection;
use crate::options::{ColumnRule, Filters, SoftDelete};
use crate::pattern::{TableSelector, TargetSelector, check_target};

/// One entry of `[[tables]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TableEntry {
    /// The table in the source, or a pattern of tables.
    pub source: TableSelector,
    /// The table in the target, or a pattern for the tables; absent: of the same name.
    pub target: Option<TargetSelector>,
    /// Key columns by their source names.
    pub key: Option<Vec<String>>,
    /// The columns that are compared.
    pub columns: ColumnSelection,
    /// Tables with a higher priority are compared first.
    pub priority: i32,
    /// The time limit of its comparison.
    pub timeout: Option<Duration>,
    /// Rules of columns, by the source's names.
    pub rules: BTreeMap<String, ColumnRule>,
    /// The conditions of the rows that are compared.
    pub filters: Filters,
    /// The mark of deleted rows in the target.
    pub soft_delete: Option<SoftDelete>,
}

pub(super) fn read(
    mut section: Section,
    sources: &mut Sources<'_>,
) -> Result<TableEntry, ConfigError> {
    let source: Option<TableSelector> = section.take(sources, "source")?;
    let target: Option<TargetSelector> = section.take(sources, "target")?;
    let key: Option<Vec<String>> = section.take(sources, "key")?;
    let priority = section.take(sources, "priority")?.unwrap_or(0);
    let timeout = section.take(sources, "timeout")?;
    let mut columns = sources.section(&mut section, "columns")?;
    let rules = read_rules(&mut section, sources)?;
    let filters = section.take(sources, "where")?.unwrap_or_default();
    let soft_delete = section.take(sources, "soft_delete")?;
    section.finish(sources)?;
    let Some(source) = source else {
        return Err(section.error(
            sources,
            "lacks `source`, the name of the table in the source",
        ));
    };
    check_target(&source, target.as_ref())
        .map_err(|error| section.error(sources, format!("has a wrong `target`: {error}")))?;
    if key.as_ref().is_some_and(Vec::is_empty) {
        return Err(section.error(
            sources,
            "has an empty `key`; name its columns, or leave it out for the primary key",
        ));
    }
    let selection = ColumnSelection {
        include: columns.take(sources, "include")?.unwrap_or_default(),
        exclude: columns.take(sources, "exclude")?.unwrap_or_default(),
        map: columns.take(sources, "map")?.unwrap_or_default(),
    };
    columns.finish(sources)?;
    Ok(TableEntry {
        source,
        target,
        key,
        columns: selection,
        priority,
        timeout,
        rules,
        filters,
        soft_delete,
    })
}

//! What the list of tables says, and how each of the tables is compared.

use std::time::Duration;

use shared::config::{RunOptions, TableEntry};
use shared::ids::TableName;
use shared::message::{ColumnSelection, Side, TableSpec};
use shared::options::{GeneralRule, Redaction, TableOptions};
use shared::outcome::Depth;
use shared::pattern::TableSelector;
use worker::engine::CatalogTable;
use worker::engine::validate;

use super::catalog_names::CatalogNames;
use super::conditions::Condition;
use super::connections::SideSettings;
use super::flags::RunFlags;
use super::table_list::{self, Entry, TableListError, implied_target};
use super::table_settings::TableSettings;
use super::usage::UsageError;
use crate::run_state::PlannedTable;

/// The catalogs of both sides, as far as they are needed and can be read.
#[derive(Debug, Default)]
pub(super) struct Catalogs {
    pub(super) source: Option<Vec<CatalogTable>>,
    pub(super) target: Option<Vec<CatalogTable>>,
}

/// The names of the tables in these catalogs.
#[derive(Debug)]
pub(super) struct Names<'a> {
    pub(super) source: Option<CatalogNames<'a>>,
    pub(super) target: Option<CatalogNames<'a>>,
}

/// The tables to compare and how, before patterns are expanded.
#[derive(Debug)]
pub(super) struct TableSelection {
    pub(super) entries: Vec<Entry>,
    pub(super) exclusions: Vec<TableSelector>,
    /// Whether patterns select views.
    pub(super) include_views: bool,
    /// Whether tables that only the target has are a difference.
    pub(super) strict_tables: bool,
    /// The conditions of the command line.
    pub(super) conditions: Vec<Condition>,
    /// What the configuration says of single tables.
    pub(super) settings: TableSettings,
    pub(super) source: SideSettings,
    pub(super) target: SideSettings,
    pub(super) depth: Depth,
    pub(super) key: Option<Vec<String>>,
    pub(super) max_differences: u32,
    pub(super) chunk_size: u32,
    pub(super) timeout: Duration,
    pub(super) options: TableOptions,
}

impl TableSelection {
    /// A pattern of the list, as the user wrote it.
    pub(super) fn first_pattern(&self) -> Option<String> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Pattern { source, .. } => Some(source.to_string()),
            Entry::Table { .. } | Entry::Exclusion(_) => None,
        })
    }

    /// The names of the tables of both sides, as far as the catalogs are known.
    pub(super) fn names<'a>(&'a self, catalogs: &'a Catalogs) -> Names<'a> {
        let naming = self.options.naming;
        let target_schema = self.target.endpoint.as_ref().map(|it| it.schema.as_str());
        let source = catalogs.source.as_deref();
        let target = catalogs.target.as_deref().zip(target_schema);
        Names {
            source: source
                .map(|tables| CatalogNames::new(tables, &self.settings.source_schema, naming)),
            target: target.map(|(tables, schema)| CatalogNames::new(tables, schema, naming)),
        }
    }

    /// Checks conditions for the endpoints that are configured here; the worker checks them all.
    pub(super) fn check_filters(&self, spec: &TableSpec) -> Result<(), UsageError> {
        let filters = &spec.options.filters;
        for (side, settings, filter) in [
            ("source", &self.source, &filters.source),
            ("target", &self.target, &filters.target),
        ] {
            if let (Some(endpoint), Some(filter)) = (&settings.endpoint, filter) {
                validate(endpoint.kind, filter).map_err(|reason| UsageError::Filter {
                    table: spec.source.table.clone(),
                    side,
                    reason: Box::new(reason),
                })?;
            }
        }
        Ok(())
    }

    fn options_of(
        &self,
        configured: Option<&TableEntry>,
        general_rules: Vec<GeneralRule>,
    ) -> TableOptions {
        let mut options = self.options.clone();
        if let Some(entry) = configured {
            options.rules.clone_from(&entry.rules);
            options.filters = entry.filters.clone();
            options.soft_delete.clone_from(&entry.soft_delete);
        }
        options.general_rules = general_rules;
        // A table without redacted values has no redaction key.
        let redacts = |redaction: &Redaction| {
            redaction.all
                || options.rules.values().any(|rule| rule.redact)
                || options.general_rules.iter().any(|it| it.rule.redact)
        };
        if !options.redaction.as_ref().is_some_and(redacts) {
            options.redaction = None;
        }
        options
    }

    /// The condition of the command line for a table.
    fn condition_of(&self, source: &TableName, names: &Names<'_>) -> Option<&Condition> {
        let mut conditions = self.conditions.iter().rev();
        conditions.find(|it| {
            self.settings
                .selects(&it.table, source, names.source.as_ref())
        })
    }

    /// Refuses a condition that applies to no table: more rows would be compared than the user
    /// expects.
    pub(super) fn check_conditions(
        &self,
        tables: &[PlannedTable],
        names: &Names<'_>,
    ) -> Result<(), UsageError> {
        let applies = |condition: &Condition| {
            let mut sources = tables.iter().map(|planned| &planned.spec.source.table);
            let names = names.source.as_ref();
            sources.any(|source| self.settings.selects(&condition.table, source, names))
        };
        match self.conditions.iter().find(|condition| !applies(condition)) {
            None => Ok(()),
            Some(unused) => Err(UsageError::UnusedWhere(unused.table.to_string())),
        }
    }

    /// The table with its settings. `targets`: the names that it may have in the target, the
    /// first one first; none: those of the configuration, else the same name.
    ///
    /// # Errors
    ///
    /// When the target has tables of several of these names.
    pub(super) fn planned(
        &self,
        source: &TableName,
        targets: &[TableName],
        names: &Names<'_>,
    ) -> Result<PlannedTable, UsageError> {
        let settings = &self.settings;
        let one_of = |targets| one_target(source, targets, names.target.as_ref());
        let named = match targets {
            [] => None,
            targets => Some(one_of(targets.to_vec())?),
        };
        let configured = settings.entry_of(source, named.as_ref(), names.source.as_ref());
        let target = match (named, configured) {
            (Some(target), _) => target,
            (None, Some(entry)) => one_of(settings.targets_of(entry, source))?,
            (None, None) => implied_target(source, &settings.source_schema),
        };
        let general_rules = settings.general_rules(source, names.source.as_ref());
        let mut options = self.options_of(configured, general_rules);
        if let Some(condition) = self.condition_of(source, names) {
            options.filters = condition.filters();
        }
        let spec = TableSpec {
            source: Side {
                endpoint: self.source.name.clone(),
                table: source.clone(),
            },
            target: Side {
                endpoint: self.target.name.clone(),
                table: target,
            },
            depth: self.depth,
            key: configured
                .and_then(|entry| entry.key.clone())
                .or_else(|| self.key.clone()),
            columns: configured
                .map_or_else(ColumnSelection::default, |entry| entry.columns.clone()),
            max_differences: self.max_differences,
            chunk_size: self.chunk_size,
            timeout: configured
                .and_then(|entry| entry.timeout)
                .unwrap_or(self.timeout),
            options,
        };
        Ok(PlannedTable {
            spec,
            priority: configured.map_or(0, |entry| entry.priority),
            estimated_rows: None,
        })
    }
}

/// The one of the names that the target has; the first one if it has none, or is not known.
fn one_target(
    source: &TableName,
    targets: Vec<TableName>,
    names: Option<&CatalogNames<'_>>,
) -> Result<TableName, UsageError> {
    if let Some(names) = names
        && targets.len() > 1
    {
        let mut found: Vec<(usize, &TableName)> = targets
            .iter()
            .filter_map(|target| Some((names.find(target)?, target)))
            .collect();
        found.dedup_by_key(|(at, _)| *at);
        match found.as_slice() {
            [] => {}
            [(_, target)] => return Ok((*target).clone()),
            [(_, one), (_, other), ..] => {
                return Err(UsageError::SeveralTargets {
                    source_table: source.to_string(),
                    one: one.to_string(),
                    other: other.to_string(),
                });
            }
        }
    }
    let first = targets.into_iter().next();
    Ok(first.unwrap_or_else(|| source.clone()))
}

/// The list of tables from the flag, the file or the configuration.
pub(super) fn entries(
    flags: &RunFlags,
    configured: &[TableEntry],
) -> Result<Vec<Entry>, UsageError> {
    let entries = match (&flags.tables, &flags.tables_file) {
        (Some(list), _) => table_list::parse(list)?,
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|reason| UsageError::TablesFile {
                path: path.clone(),
                reason,
            })?;
            table_list::parse_file(&text)?
        }
        (None, None) if configured.is_empty() => return Err(UsageError::NoTables),
        (None, None) => configured
            .iter()
            .map(|entry| Entry::new(entry.source.clone(), entry.target.clone()))
            .collect::<Result<_, _>>()
            .map_err(TableListError::from)?,
    };
    let lists_no_table = entries
        .iter()
        .all(|entry| matches!(entry, Entry::Exclusion(_)));
    if lists_no_table {
        Err(TableListError::Empty.into())
    } else {
        Ok(entries)
    }
}

/// The tables that are left out, by the list and by the option `exclude`.
pub(super) fn exclusions(
    entries: &[Entry],
    options: &RunOptions,
) -> Result<Vec<TableSelector>, UsageError> {
    let listed = entries.iter().filter_map(|entry| match entry {
        Entry::Exclusion(excluded) => Some(excluded.clone()),
        Entry::Table { .. } | Entry::Pattern { .. } => None,
    });
    // The flag is split at every comma, also within quotes.
    let list = options.exclude.as_deref().unwrap_or_default().join(",");
    Ok(listed.chain(table_list::parse_exclusions(&list)?).collect())
}

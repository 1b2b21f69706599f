//! The tables of a run and how each is compared: from the list, the
//! configuration and the source's catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::config::TableEntry;
use shared::endpoint::Endpoint;
use shared::ids::TableName;
use shared::message::{ColumnSelection, Side, TableSpec};
use shared::options::{Redaction, TableOptions};
use shared::outcome::{Depth, Failure};
use worker::engine::CatalogTable;
use worker::engine::validate;

use super::connections::SideSettings;
use super::flags::RunFlags;
use super::table_list::{self, Entry, TableListError, implied_target};
use super::table_options::check_repair;
use super::usage::UsageError;
use crate::run_state::PlannedTable;

/// The source's default schema if its endpoint is not known here.
const DEFAULT_SCHEMA: &str = "dbo";

/// The tables to compare and how, before patterns are expanded.
#[derive(Debug)]
pub(super) struct TableSelection {
    pub(super) entries: Vec<Entry>,
    /// The `[[tables]]` of the configuration.
    pub(super) configured: Vec<TableEntry>,
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
    /// The databases of both sides by the names that tasks carry.
    pub(super) fn endpoints(&self) -> BTreeMap<String, Endpoint> {
        [&self.source, &self.target]
            .into_iter()
            .filter_map(|side| Some((side.name.clone(), side.endpoint.clone()?)))
            .collect()
    }

    /// The source, if its catalog is needed to expand a pattern.
    pub(super) fn needs_catalog(&self) -> Option<Result<&Endpoint, UsageError>> {
        let pattern = self.first_pattern()?;
        let endpoint = self.source.endpoint.as_ref();
        Some(endpoint.ok_or_else(|| UsageError::PatternWithoutEndpoint {
            pattern,
            endpoint: self.source.name.clone(),
        }))
    }

    fn first_pattern(&self) -> Option<String> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Pattern(pattern) => Some(pattern.text.clone()),
            Entry::Table { .. } => None,
        })
    }

    /// The error for a catalog that cannot be read.
    pub(super) fn catalog_error(&self, reason: Failure) -> UsageError {
        UsageError::Catalog {
            pattern: self.first_pattern().unwrap_or_default(),
            reason,
        }
    }

    /// The tables of the run. A pattern omits tables that are listed by name.
    ///
    /// # Errors
    ///
    /// When a table is listed twice, a pattern matches no table, or the options of a table
    /// contradict each other.
    pub(super) fn plan(&self, catalog: &[CatalogTable]) -> Result<Vec<PlannedTable>, UsageError> {
        let mut listed = BTreeSet::new();
        let mut named = Vec::new();
        for entry in &self.entries {
            if let Entry::Table { source, target } = entry {
                let planned = self.planned(source, target.as_ref(), None);
                if !listed.insert(self.identity(&planned)) {
                    return Err(TableListError::Twice(source.to_string()).into());
                }
                named.push(planned);
            }
        }
        let mut named = named.into_iter();
        let mut tables = Vec::new();
        for entry in &self.entries {
            match entry {
                Entry::Table { .. } => tables.extend(named.next()),
                Entry::Pattern(pattern) => {
                    let found = pattern.expand(catalog, self.source_schema());
                    if found.is_empty() {
                        return Err(TableListError::NoMatch {
                            pattern: pattern.text.clone(),
                            tables: catalog.len(),
                            endpoint: self.source.name.clone(),
                            schema: self.source_schema().to_owned(),
                        }
                        .into());
                    }
                    for (source, target, table) in found {
                        let planned = self.planned(&source, target.as_ref(), table.estimated_rows);
                        if listed.insert(self.identity(&planned)) {
                            tables.push(planned);
                        }
                    }
                }
            }
        }
        for planned in &tables {
            self.check_filters(&planned.spec)?;
            check_repair(&planned.spec)?;
        }
        Ok(tables)
    }

    /// Checks conditions for the endpoints that are configured here; the worker checks them all.
    fn check_filters(&self, spec: &TableSpec) -> Result<(), UsageError> {
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

    fn source_schema(&self) -> &str {
        self.source
            .endpoint
            .as_ref()
            .map_or(DEFAULT_SCHEMA, |endpoint| &endpoint.schema)
    }

    /// Source and target with their schemas, as far as they are known, to detect duplicates.
    fn identity(&self, planned: &PlannedTable) -> [(Option<String>, String); 2] {
        let resolve = |side: &SideSettings, table: &TableName| {
            let default = || Some(side.endpoint.as_ref()?.schema.clone());
            (table.schema.clone().or_else(default), table.name.clone())
        };
        [
            resolve(&self.source, &planned.spec.source.table),
            resolve(&self.target, &planned.spec.target.table),
        ]
    }

    fn options_of(&self, configured: Option<&TableEntry>) -> TableOptions {
        let mut options = self.options.clone();
        if let Some(entry) = configured {
            options.rules.clone_from(&entry.rules);
            options.filters = entry.filters.clone();
            options.soft_delete.clone_from(&entry.soft_delete);
        }
        // A table without redacted values has no redaction key.
        let redacts =
            |redaction: &Redaction| redaction.all || options.rules.values().any(|rule| rule.redact);
        if !options.redaction.as_ref().is_some_and(redacts) {
            options.redaction = None;
        }
        options
    }

    fn planned(
        &self,
        source: &TableName,
        target: Option<&TableName>,
        estimated_rows: Option<u64>,
    ) -> PlannedTable {
        let schema = self.source_schema();
        let whole = |table: &TableName| {
            (
                table.schema.as_deref().unwrap_or(schema).to_owned(),
                table.name.clone(),
            )
        };
        let configured = self.configured.iter().find(|entry| {
            whole(&entry.source) == whole(source)
                && target.is_none_or(|target| entry.target.as_ref().is_none_or(|it| it == target))
        });
        let target = target
            .or_else(|| configured.and_then(|entry| entry.target.as_ref()))
            .cloned()
            .unwrap_or_else(|| implied_target(source, schema));
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
            options: self.options_of(configured),
        };
        PlannedTable {
            spec,
            priority: configured.map_or(0, |entry| entry.priority),
            estimated_rows,
        }
    }
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
            .map(|entry| Entry::Table {
                source: entry.source.clone(),
                target: entry.target.clone(),
            })
            .collect(),
    };
    if entries.is_empty() {
        Err(TableListError::Empty.into())
    } else {
        Ok(entries)
    }
}

//! Tables of the target that are within the patterns of a list and that no table of the source
//! names.

use std::collections::BTreeSet;

use shared::ids::TableName;
use shared::naming::Naming;
use shared::pattern::{TablePattern, TableSelector};
use worker::engine::CatalogTable;

use super::catalog_names::CatalogNames;
use super::selection::{Names, TableSelection};
use super::table_list::Entry;
use crate::run_state::PlannedTable;

/// The names of these tables, `schema.name`, if both catalogs are known.
pub(super) fn target_only_tables(
    selection: &TableSelection,
    tables: &[PlannedTable],
    names: &Names<'_>,
) -> Vec<String> {
    let (Some(source), Some(target)) = (&names.source, &names.target) else {
        return Vec::new();
    };
    let scope = TargetScope::new(selection);
    if selection.first_pattern().is_none() {
        return Vec::new();
    }
    let named = named_targets(selection, tables, source, target);
    let mut found: Vec<String> = target
        .tables()
        .iter()
        .enumerate()
        .filter(|(at, table)| {
            let is_candidate = !table.is_system && (!table.is_view || selection.include_views);
            is_candidate && !named.contains(at) && scope.includes(table)
        })
        .map(|(_, table)| format!("{}.{}", table.schema, table.name))
        .collect();
    found.sort();
    found
}

/// The positions of all tables of the target that a table of the source names, compared or not.
fn named_targets(
    selection: &TableSelection,
    tables: &[PlannedTable],
    source: &CatalogNames<'_>,
    target: &CatalogNames<'_>,
) -> BTreeSet<usize> {
    let settings = &selection.settings;
    let mut named: BTreeSet<usize> = tables
        .iter()
        .filter_map(|planned| target.find(&planned.spec.target.table))
        .collect();
    for table in source.tables() {
        let name = TableName {
            schema: Some(table.schema.clone()),
            name: table.name.clone(),
        };
        let mut targets = vec![selection.implied(&name)];
        if let Some(entry) = settings.entry_of(&name, None, Some(source)) {
            targets.extend(settings.targets_of(entry, &name));
        }
        for entry in &selection.entries {
            if let Entry::Pattern {
                source: from,
                target: Some(to),
            } = entry
                && let Some(matched) = from.find(
                    &table.schema,
                    &table.name,
                    settings.is_default(&table.schema),
                )
            {
                targets.extend(to.names(matched.star.unwrap_or_default(), &table.name));
            }
        }
        named.extend(
            targets
                .iter()
                .filter_map(|target_name| target.find(target_name)),
        );
    }
    named
}

/// Where the patterns of a list expect tables in the target.
pub(super) struct TargetScope<'a> {
    selection: &'a TableSelection,
    naming: Naming,
    /// The default schema of the target.
    default_schema: &'a str,
}

impl<'a> TargetScope<'a> {
    pub(super) fn new(selection: &'a TableSelection) -> Self {
        let endpoint = selection.target.endpoint.as_ref();
        Self {
            selection,
            naming: selection.options.naming,
            default_schema: endpoint.map_or("", |endpoint| &endpoint.schema),
        }
    }

    fn includes(&self, table: &CatalogTable) -> bool {
        let mut entries = self.selection.entries.iter();
        let is_expected = entries.any(|entry| match entry {
            Entry::Pattern {
                target: Some(to), ..
            } => self.is_within(to.tables(), table),
            Entry::Pattern {
                source,
                target: None,
            } => self.is_implied_by(source, table, self.naming),
            Entry::Table { .. } | Entry::Exclusion(_) => false,
        });
        let mut exclusions = self.selection.exclusions.iter();
        is_expected && !exclusions.any(|excluded| self.is_excluded_by(excluded, table))
    }

    fn is_within(&self, pattern: &TablePattern, table: &CatalogTable) -> bool {
        let of_schema = match &pattern.schema {
            None => self.is_default(&table.schema),
            Some(schema) => schema.matches_under(&table.schema, self.naming),
        };
        of_schema && pattern.name.matches_under(&table.name, self.naming)
    }

    /// Whether a table of the source that the pattern matches would have this target.
    fn is_implied_by(&self, pattern: &TablePattern, table: &CatalogTable, naming: Naming) -> bool {
        let settings = &self.selection.settings;
        let from_default = match &pattern.schema {
            None => true,
            Some(schema) => schema.matches(&settings.source_schema),
        };
        let of_schema = if self.is_default(&table.schema) && from_default {
            true
        } else {
            // The source's default schema is another one in the target.
            pattern.schema.as_ref().is_some_and(|schema| {
                schema.matches_under(&table.schema, naming)
                    && !(schema.is_name() && settings.is_default(&table.schema))
            })
        };
        of_schema && pattern.name.matches_under(&table.name, naming)
    }

    /// Whether an exclusion of the source's tables leaves the table of the target out too.
    pub(super) fn is_excluded_by(&self, excluded: &TableSelector, table: &CatalogTable) -> bool {
        match excluded {
            TableSelector::Pattern(pattern) => {
                self.is_implied_by(pattern, table, Naming::IgnoreCase)
            }
            TableSelector::Name(name) => {
                let target = self.selection.implied(name);
                let schema = target.schema.as_deref().unwrap_or(self.default_schema);
                schema.to_lowercase() == table.schema.to_lowercase()
                    && target.name.to_lowercase() == table.name.to_lowercase()
            }
        }
    }

    fn is_default(&self, schema: &str) -> bool {
        schema.to_lowercase() == self.default_schema.to_lowercase()
    }
}

//! The tables of a run, from the list and the catalogs, and what the list leaves out.

use std::collections::{BTreeMap, BTreeSet};

use shared::config::nearest;
use shared::ids::TableName;
use shared::naming::shared_forms;
use shared::pattern::{TablePattern, TableSelector, TargetPattern};
use worker::engine::CatalogTable;

use super::catalog_names::CatalogNames;
use super::left_out::{LeftOut, Reason};
use super::selection::{Catalogs, Names, TableSelection};
use super::table_list::{Entry, TableListError, cut_hint, implied_target};
use super::table_options::check_repair;
use super::target_only::{TargetScope, target_only_tables};
use super::usage::UsageError;
use crate::run_state::{PlannedTable, TableScope, are_parts};

/// The tables of a run, and what it leaves out.
#[derive(Debug)]
pub(super) struct SelectedTables {
    pub(super) tables: Vec<PlannedTable>,
    pub(super) scope: TableScope,
}

/// Schema and name of a table, as far as they are known.
type Identity = (Option<String>, String);

/// The tables that one pattern selects.
struct Expanded {
    tables: Vec<PlannedTable>,
    /// How many tables match it, selected or not.
    matched: usize,
    /// How many of them are left out as views, and as tables of the system.
    views: usize,
    system: usize,
}

impl TableSelection {
    /// The tables of the run.
    ///
    /// # Errors
    ///
    /// When a table is listed twice, two tables have one target, a pattern matches no table, or
    /// the options of a table contradict each other.
    pub(super) fn plan(&self, catalogs: &Catalogs) -> Result<SelectedTables, UsageError> {
        let names = self.names(catalogs);
        let mut left_out = LeftOut::default();
        let mut named = self.named(&names, &mut left_out)?.into_iter();
        let listed: BTreeSet<Identity> = named
            .clone()
            .flatten()
            .map(|planned| self.source_identity(&planned.spec.source.table, &names))
            .collect();
        let mut tables = Vec::new();
        for entry in &self.entries {
            match entry {
                Entry::Exclusion(_) => {}
                Entry::Table { .. } => tables.extend(named.next().flatten()),
                Entry::Pattern { source, target } => {
                    let expanded =
                        self.expand(source, target.as_ref(), &names, &listed, &mut left_out)?;
                    let catalog = catalogs.source.as_deref().unwrap_or_default();
                    self.check_pattern(source, &expanded, catalog)?;
                    tables.extend(expanded.tables);
                }
            }
        }
        if tables.is_empty() {
            return Err(TableListError::AllExcluded.into());
        }
        self.check_conditions(&tables, &names)?;
        self.check_targets(&tables, &names)?;
        for planned in &tables {
            self.check_filters(&planned.spec)?;
            check_repair(&planned.spec)?;
        }
        let scope = self.scope(&tables, &names, &left_out);
        Ok(SelectedTables { tables, scope })
    }

    /// The tables that are listed by name, in the order of the list; absent where excluded.
    fn named(
        &self,
        names: &Names<'_>,
        left_out: &mut LeftOut,
    ) -> Result<Vec<Option<PlannedTable>>, UsageError> {
        let mut listed: BTreeMap<_, TableName> = BTreeMap::new();
        let mut named = Vec::new();
        for entry in &self.entries {
            let Entry::Table { source, target } = entry else {
                continue;
            };
            if self.is_excluded(source, names) {
                let (schema, name) = self.source_identity(source, names);
                left_out.add(Reason::Excluded, schema.as_deref(), &name);
                named.push(None);
                continue;
            }
            let planned = self.planned(source, target.as_slice(), names)?;
            let target = &planned.spec.target.table;
            let of_target = self.target_identity(target, names);
            let of_source = self.source_identity(source, names);
            let other = listed.insert((of_source, of_target.clone()), target.clone());
            if let Some(other) = other {
                return Err(twice(source, &other, target, of_target).into());
            }
            named.push(Some(planned));
        }
        Ok(named)
    }

    /// The tables that a pattern selects, by schema and name: not those that are listed by name,
    /// those of a more specific pattern, and what is left out.
    fn expand(
        &self,
        pattern: &TablePattern,
        target: Option<&TargetPattern>,
        names: &Names<'_>,
        listed: &BTreeSet<Identity>,
        left_out: &mut LeftOut,
    ) -> Result<Expanded, UsageError> {
        let catalog = names.source.as_ref().map_or(&[][..], CatalogNames::tables);
        let mut found: Vec<&CatalogTable> = catalog.iter().collect();
        found.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        let mut expanded = Expanded {
            tables: Vec::new(),
            matched: 0,
            views: 0,
            system: 0,
        };
        for table in found {
            let is_default = self.settings.is_default(&table.schema);
            let Some(matched) = pattern.find(&table.schema, &table.name, is_default) else {
                continue;
            };
            expanded.matched += 1;
            let whole = TableName {
                schema: Some(table.schema.clone()),
                name: table.name.clone(),
            };
            if listed.contains(&(whole.schema.clone(), whole.name.clone())) {
                continue;
            }
            if let Some(reason) = self.reason_to_leave_out(table, &whole, names) {
                match reason {
                    Reason::View => expanded.views += 1,
                    Reason::System => expanded.system += 1,
                    Reason::Excluded => {}
                }
                left_out.add(reason, Some(&table.schema), &table.name);
                continue;
            }
            if self.is_of_other_pattern(pattern, table) {
                continue;
            }
            let source = TableName {
                schema: whole.schema.filter(|_| pattern.schema.is_some()),
                name: whole.name,
            };
            let star = matched.star.unwrap_or_default();
            let targets = target.map_or_else(Vec::new, |to| to.names(star, &table.name));
            let mut planned = self.planned(&source, &targets, names)?;
            planned.estimated_rows = table.estimated_rows;
            expanded.tables.push(planned);
        }
        Ok(expanded)
    }

    fn reason_to_leave_out(
        &self,
        table: &CatalogTable,
        name: &TableName,
        names: &Names<'_>,
    ) -> Option<Reason> {
        if self.is_excluded(name, names) {
            Some(Reason::Excluded)
        } else if table.is_system {
            Some(Reason::System)
        } else if table.is_view && !self.include_views {
            Some(Reason::View)
        } else {
            None
        }
    }

    fn is_excluded(&self, source: &TableName, names: &Names<'_>) -> bool {
        let mut exclusions = self.exclusions.iter();
        exclusions.any(|it| self.settings.selects(it, source, names.source.as_ref()))
    }

    /// Whether another pattern of the list matches a table and is more specific: it has more
    /// literal characters, or as many and is listed first.
    fn is_of_other_pattern(&self, pattern: &TablePattern, table: &CatalogTable) -> bool {
        let is_default = self.settings.is_default(&table.schema);
        let patterns = self.entries.iter().filter_map(|entry| match entry {
            Entry::Pattern { source, .. } => Some(source),
            Entry::Table { .. } | Entry::Exclusion(_) => None,
        });
        let matching =
            patterns.filter(|it| it.find(&table.schema, &table.name, is_default).is_some());
        // Of equal keys `max_by_key` returns the last.
        let best = matching.rev().max_by_key(|it| it.literal_length());
        best.is_some_and(|best| !std::ptr::eq(best, pattern))
    }

    /// Refuses a pattern that matches nothing, or nothing but what patterns leave out.
    fn check_pattern(
        &self,
        pattern: &TablePattern,
        expanded: &Expanded,
        catalog: &[CatalogTable],
    ) -> Result<(), TableListError> {
        let Expanded {
            matched,
            views,
            system,
            ..
        } = expanded;
        if *matched == 0 {
            let whole: Vec<String> = catalog
                .iter()
                .map(|table| format!("{}.{}", table.schema, table.name))
                .collect();
            let text = pattern.to_string();
            let literal = text.replace(['*', '?', '[', ']', '"'], "");
            let wanted = match &pattern.schema {
                Some(_) => literal,
                None => format!("{}.{literal}", self.settings.source_schema),
            };
            return Err(TableListError::NoMatch {
                nearest: nearest(&wanted, whole.iter().map(String::as_str)).map(str::to_owned),
                pattern: text,
                tables: catalog.len(),
                endpoint: self.source.name.clone(),
                schema: self.settings.source_schema.clone(),
            });
        }
        if *matched == views + system {
            let left_out = match (views, system) {
                (views, 0) => format!("views ({views}), which --include-views selects"),
                (0, system) => format!("tables of the system ({system})"),
                (views, system) => format!("views ({views}) and tables of the system ({system})"),
            };
            return Err(TableListError::OnlyLeftOut {
                pattern: pattern.to_string(),
                left_out,
            });
        }
        Ok(())
    }

    /// Refuses two sources with one target, unless each is compared with its own part of it.
    fn check_targets(&self, tables: &[PlannedTable], names: &Names<'_>) -> Result<(), UsageError> {
        let mut by_target: BTreeMap<Identity, Vec<&PlannedTable>> = BTreeMap::new();
        for planned in tables {
            let target = self.target_identity(&planned.spec.target.table, names);
            let same = by_target.entry(target.clone()).or_default();
            if let Some(other) = same.iter().find(|it| !are_parts(&it.spec, &planned.spec)) {
                return Err(UsageError::SharedTarget {
                    one: other.spec.source.table.to_string(),
                    other: planned.spec.source.table.to_string(),
                    hint: cut_hint([&other.spec.target.table, &planned.spec.target.table]),
                    target: whole(target),
                });
            }
            same.push(planned);
        }
        Ok(())
    }

    /// Whether tables that are listed by name may have one target, which its catalog decides.
    pub(super) fn may_share_target(&self) -> Result<bool, UsageError> {
        let catalogs = Catalogs::default();
        let names = self.names(&catalogs);
        let named = self.named(&names, &mut LeftOut::default())?;
        let mut known: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        let named: Vec<PlannedTable> = named.into_iter().flatten().collect();
        for (at, planned) in named.iter().enumerate() {
            let (schema, name) = self.target_identity(&planned.spec.target.table, &names);
            let schema = schema.unwrap_or_default().to_lowercase();
            for form in shared_forms(&name) {
                let same = known.entry((schema.clone(), form)).or_default();
                let others = same.iter().filter(|&&other| other != at);
                if others
                    .into_iter()
                    .any(|&other| !are_parts(&named[other].spec, &planned.spec))
                {
                    return Ok(true);
                }
                same.push(at);
            }
        }
        Ok(false)
    }

    fn scope(&self, tables: &[PlannedTable], names: &Names<'_>, left_out: &LeftOut) -> TableScope {
        let has_pattern = self.first_pattern().is_some();
        let target_only_tables = target_only_tables(self, tables, names);
        let mut notes = left_out.notes();
        notes.extend(self.unused_exclusions(names));
        if has_pattern && names.target.is_none() {
            notes.push(
                "the target's catalog was not read, so tables that only the target has are not listed"
                    .to_owned(),
            );
        }
        if self.strict_tables && !has_pattern {
            notes.push(
                "--strict-tables has no effect on this list: no pattern selects its tables"
                    .to_owned(),
            );
        }
        if !target_only_tables.is_empty() {
            let count = match target_only_tables.len() {
                1 => "1 table".to_owned(),
                count => format!("{count} tables"),
            };
            let meaning = if self.strict_tables {
                "a difference, by --strict-tables"
            } else {
                "--strict-tables counts that as a difference"
            };
            notes.push(format!(
                "{count} only in the target: {}; {meaning}",
                target_only_tables.join(", ")
            ));
        }
        TableScope {
            target_only_tables,
            strict: self.strict_tables,
            notes,
            selected_from: None,
        }
    }

    /// Exclusions that leave nothing out are probably mistyped.
    fn unused_exclusions(&self, names: &Names<'_>) -> Vec<String> {
        let mut sources: Vec<TableName> = self
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Table { source, .. } => Some(source.clone()),
                Entry::Pattern { .. } | Entry::Exclusion(_) => None,
            })
            .collect();
        let catalog = names.source.as_ref().map_or(&[][..], CatalogNames::tables);
        sources.extend(catalog.iter().map(|table| TableName {
            schema: Some(table.schema.clone()),
            name: table.name.clone(),
        }));
        let is_unused = |excluded: &&TableSelector| {
            let mut sources = sources.iter();
            let of_source = |source: &TableName| {
                let names = names.source.as_ref();
                self.settings.selects(excluded, source, names)
            };
            let in_target = names.target.as_ref().map_or(&[][..], CatalogNames::tables);
            let mut in_target = in_target.iter();
            !sources.any(of_source)
                && !in_target.any(|table| TargetScope::new(self).is_excluded_by(excluded, table))
        };
        let unused = self.exclusions.iter().filter(is_unused);
        unused
            .map(|excluded| format!("the exclusion `{excluded}` matches no table of the list"))
            .collect()
    }

    fn source_identity(&self, table: &TableName, names: &Names<'_>) -> Identity {
        let schema = self.source.endpoint.as_ref().map(|it| it.schema.as_str());
        identity(table, names.source.as_ref(), schema)
    }

    pub(super) fn target_identity(&self, table: &TableName, names: &Names<'_>) -> Identity {
        let schema = self.target.endpoint.as_ref().map(|it| it.schema.as_str());
        identity(table, names.target.as_ref(), schema)
    }

    /// The target of a table that is listed without one and has no entry.
    pub(super) fn implied(&self, source: &TableName) -> TableName {
        implied_target(source, &self.settings.source_schema)
    }
}

/// The error for a table that is listed twice with one target.
fn twice(
    source: &TableName,
    one: &TableName,
    other: &TableName,
    target: Identity,
) -> TableListError {
    if one.name.to_lowercase() == other.name.to_lowercase() {
        return TableListError::Twice(source.to_string());
    }
    TableListError::OneTarget {
        source_table: source.to_string(),
        hint: cut_hint([one, other]),
        one: one.to_string(),
        other: other.to_string(),
        target: whole(target),
    }
}

fn whole((schema, name): Identity) -> String {
    match schema {
        Some(schema) => format!("{schema}.{name}"),
        None => name,
    }
}

fn identity(
    table: &TableName,
    names: Option<&CatalogNames<'_>>,
    default_schema: Option<&str>,
) -> Identity {
    match names {
        Some(names) => {
            let (schema, name) = names.resolve(table);
            (Some(schema), name)
        }
        None => (
            table
                .schema
                .clone()
                .or_else(|| default_schema.map(str::to_owned)),
            table.name.clone(),
        ),
    }
}

#[cfg(test)]
mod tests;

//! What `--write-config` writes, from the settings that were checked.

use std::collections::BTreeMap;

use shared::config::TableEntry;
use shared::message::ColumnSelection;
use shared::options::Filters;
use shared::outcome::Depth;
use shared::pattern::{TableSelector, TargetSelector};

use super::collect::Collected;
use crate::check::{CheckReport, Starter};
use crate::cli::selection::TableSelection;
use crate::cli::table_list::Entry;

pub(super) fn starter_text(
    selection: &TableSelection,
    collected: &Collected,
    report: &CheckReport,
) -> String {
    let sides = [&selection.source, &selection.target];
    let mut endpoints = Vec::new();
    for side in sides {
        let is_new = endpoints.iter().all(|(name, _)| *name != side.name);
        if let Some(endpoint) = side.endpoint.as_ref().filter(|_| is_new) {
            endpoints.push((side.name.as_str(), endpoint));
        }
    }
    let depth: &[&str] = match selection.depth {
        Depth::Rows => &["row_level"],
        Depth::Checksum => &["validate_checksums"],
        Depth::Counts => &[],
    };
    let excluded = selection.exclusions.iter().map(ToString::to_string);
    let starter = Starter {
        endpoints,
        source: &selection.source.name,
        target: &selection.target.name,
        depth,
        excluded: excluded.collect(),
        tables: entries(selection),
        rules: &selection.settings.rules,
        suggestions: collected.suggestions.clone(),
        findings: &report.findings,
    };
    starter.to_toml()
}

/// The list as entries of `[[tables]]`, with the settings that the configuration has for them.
fn entries(selection: &TableSelection) -> Vec<TableEntry> {
    let listed = selection.entries.iter().filter_map(|entry| match entry {
        Entry::Table { source, target } => Some((
            TableSelector::Name(source.clone()),
            target.clone().map(TargetSelector::Name),
        )),
        Entry::Pattern { source, target } => Some((
            TableSelector::Pattern(source.clone()),
            target.clone().map(TargetSelector::Pattern),
        )),
        Entry::Exclusion(_) => None,
    });
    listed
        .map(|(source, target)| {
            let mut configured = selection.settings.entries.iter();
            let configured = configured.find(|entry| entry.source == source).cloned();
            let mut entry = configured.unwrap_or_else(|| without_settings(source));
            entry.target = target.or(entry.target);
            entry.key = entry.key.or_else(|| selection.key.clone());
            entry
        })
        .collect()
}

fn without_settings(source: TableSelector) -> TableEntry {
    TableEntry {
        source,
        target: None,
        key: None,
        columns: ColumnSelection::default(),
        priority: 0,
        timeout: None,
        rules: BTreeMap::new(),
        filters: Filters::default(),
        soft_delete: None,
    }
}

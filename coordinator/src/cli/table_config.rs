//! `reconcile config --table`: what the configuration says of one table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use shared::config::{Config, TableEntry};
use shared::ids::TableName;
use shared::message::ColumnSelection;
use shared::options::Filters;
use shared::pattern::{TableSelector, TargetSelector};

use super::settings::DEFAULT_SCHEMA;
use super::table_list::{TableListError, implied_target};
use super::table_settings::TableSettings;
use super::usage::UsageError;

/// The settings of a table, as an entry of `[[tables]]`, and the `[[rules]]` for its columns.
///
/// # Errors
///
/// When `table` is not the name of one table.
pub(super) fn describe(table: &str, config: Config) -> Result<String, UsageError> {
    let selector = table.parse::<TableSelector>();
    let source = match selector.map_err(TableListError::from)? {
        TableSelector::Name(name) => name,
        TableSelector::Pattern(pattern) => {
            return Err(UsageError::OneTable {
                pattern: pattern.to_string(),
            });
        }
    };
    let endpoint = config.run.source.as_ref();
    let endpoint = endpoint.and_then(|name| config.endpoints.get(name));
    let schema = endpoint.map_or(DEFAULT_SCHEMA, |it| &it.schema).to_owned();
    let settings = TableSettings::new(config.tables, config.rules, schema);
    Ok(text(&source, config.run.pk_columns, &settings))
}

fn text(source: &TableName, key: Option<Vec<String>>, settings: &TableSettings) -> String {
    let found = settings.entry_of(source, None, None);
    let mut text = match found {
        None => "# no entry of [[tables]] applies to this table\n".to_owned(),
        Some(entry) => format!(
            "# settings of the entry of [[tables]] with source = {:?}\n",
            entry.source.to_string()
        ),
    };
    let targets = match found {
        None => vec![implied_target(source, &settings.source_schema)],
        Some(entry) => settings.targets_of(entry, source),
    };
    let mut targets = targets.into_iter();
    let target = targets.next();
    // Writing to memory cannot fail.
    for other in targets {
        writeln!(text, "# the target is {other} if that exists instead").ok();
    }
    let mut entry = found.cloned().unwrap_or_else(|| TableEntry {
        source: TableSelector::Name(source.clone()),
        target: None,
        key: None,
        columns: ColumnSelection::default(),
        priority: 0,
        timeout: None,
        rules: BTreeMap::new(),
        filters: Filters::default(),
        soft_delete: None,
    });
    entry.source = TableSelector::Name(source.clone());
    entry.target = target.map(TargetSelector::Name);
    entry.key = entry.key.or(key);
    if entry.key.is_none() {
        text.push_str("# key: the primary key, or a unique index over columns that are NOT NULL\n");
    }
    write!(text, "\n{entry}").ok();
    let rules = settings.rules_of(source, None);
    if !rules.is_empty() {
        text.push_str(
            "\n# for columns without a rule of their own; of the rules whose conditions a column\n\
             # meets the most specific one counts, and of equally specific ones the first\n",
        );
    }
    for rule in rules {
        write!(text, "\n{rule}").ok();
    }
    text
}

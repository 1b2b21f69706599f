//! Which of the configured settings apply to a table: its entry of `[[tables]]`, and the
//! `[[rules]]` for its columns.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use shared::config::{RuleEntry, TableEntry};
use shared::ids::TableName;
use shared::naming::{relation, shared_forms};
use shared::options::GeneralRule;
use shared::pattern::{TableSelector, TargetSelector};

use super::catalog_names::CatalogNames;
use super::table_list::implied_target;

/// `[[tables]]` and `[[rules]]` of the configuration.
#[derive(Debug, Clone)]
pub(super) struct TableSettings {
    pub(super) entries: Vec<TableEntry>,
    pub(super) rules: Vec<RuleEntry>,
    /// The default schema of the source.
    pub(super) source_schema: String,
    /// Positions of the entries for one table by a form of its name.
    by_form: BTreeMap<String, Vec<usize>>,
}

impl TableSettings {
    pub(super) fn new(
        entries: Vec<TableEntry>,
        rules: Vec<RuleEntry>,
        source_schema: String,
    ) -> Self {
        let mut by_form: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, entry) in entries.iter().enumerate() {
            if let TableSelector::Name(name) = &entry.source {
                for form in shared_forms(&name.name) {
                    by_form.entry(form).or_default().push(at);
                }
            }
        }
        Self {
            entries,
            rules,
            source_schema,
            by_form,
        }
    }

    /// The entry of a table: the one of its name, else of the patterns that match it the one with
    /// the most literal characters, and of several the first. With a target, the entry must have
    /// none or the same.
    pub(super) fn entry_of(
        &self,
        source: &TableName,
        target: Option<&TableName>,
        names: Option<&CatalogNames<'_>>,
    ) -> Option<&TableEntry> {
        let fits = |entry: &&TableEntry| match (target, &entry.target) {
            (None, _) | (_, None) => true,
            (Some(target), Some(_)) => {
                let own = self.targets_of(entry, source);
                own.iter().any(|own| is_like(own, target))
            }
        };
        let mut positions: Vec<usize> = shared_forms(&source.name)
            .iter()
            .filter_map(|form| self.by_form.get(form))
            .flatten()
            .copied()
            .collect();
        positions.sort_unstable();
        let of_name = |is_same: &dyn Fn(&TableName) -> bool| {
            let similar = positions.iter().map(|&at| &self.entries[at]);
            let same = similar.filter(|entry| match &entry.source {
                TableSelector::Name(name) => is_same(name),
                TableSelector::Pattern(_) => false,
            });
            same.into_iter().find(fits)
        };
        of_name(&|name| self.whole(name) == self.whole(source))
            .or_else(|| of_name(&|name| self.is_same(name, source, names)))
            .or_else(|| {
                let patterns = self.entries.iter().filter(|entry| {
                    matches!(entry.source, TableSelector::Pattern(_))
                        && self.selects(&entry.source, source, names)
                });
                // Of equal keys `min_by_key` returns the first.
                patterns
                    .filter(fits)
                    .min_by_key(|entry| Reverse(literal_length(&entry.source)))
            })
    }

    /// The targets that a table may have by an entry, the first one first.
    pub(super) fn targets_of(&self, entry: &TableEntry, source: &TableName) -> Vec<TableName> {
        match (&entry.source, &entry.target) {
            (_, None) => vec![implied_target(source, &self.source_schema)],
            (_, Some(TargetSelector::Name(name))) => vec![name.clone()],
            (TableSelector::Pattern(from), Some(TargetSelector::Pattern(to))) => {
                let (schema, name) = self.whole(source);
                let matched = from.find(schema, name, self.is_default(schema));
                matched.map_or_else(Vec::new, |matched| {
                    to.names(matched.star.unwrap_or_default(), name)
                })
            }
            (TableSelector::Name(_), Some(TargetSelector::Pattern(_))) => Vec::new(),
        }
    }

    /// The general rules for the columns of a table; those for this table first, then those for
    /// fewer tables before those for more.
    pub(super) fn rules_of(
        &self,
        source: &TableName,
        names: Option<&CatalogNames<'_>>,
    ) -> Vec<&RuleEntry> {
        let mut rules: Vec<&RuleEntry> = self
            .rules
            .iter()
            .filter(|rule| {
                let tables = rule.tables.as_ref();
                tables.is_none_or(|tables| self.selects(tables, source, names))
            })
            .collect();
        rules.sort_by_key(|rule| {
            Reverse(rule.tables.as_ref().map(|tables| {
                let is_name = matches!(tables, TableSelector::Name(_));
                (is_name, literal_length(tables))
            }))
        });
        rules
    }

    pub(super) fn general_rules(
        &self,
        source: &TableName,
        names: Option<&CatalogNames<'_>>,
    ) -> Vec<GeneralRule> {
        let rules = self.rules_of(source, names).into_iter();
        rules.map(|entry| entry.rule.clone()).collect()
    }

    /// Whether a name or a pattern of source tables includes a table.
    pub(super) fn selects(
        &self,
        selector: &TableSelector,
        source: &TableName,
        names: Option<&CatalogNames<'_>>,
    ) -> bool {
        match selector {
            TableSelector::Name(name) => self.is_same(name, source, names),
            TableSelector::Pattern(pattern) => {
                let (schema, name) = self.whole(source);
                pattern
                    .find(schema, name, self.is_default(schema))
                    .is_some()
            }
        }
    }

    /// Whether two names stand for one table of the source. Without its catalog, names do that
    /// may be paired.
    pub(super) fn is_same(
        &self,
        one: &TableName,
        other: &TableName,
        names: Option<&CatalogNames<'_>>,
    ) -> bool {
        if let Some(names) = names {
            return names.resolve(one) == names.resolve(other);
        }
        let ((schema, name), (of_other, other)) = (self.whole(one), self.whole(other));
        schema.to_lowercase() == of_other.to_lowercase() && relation(name, other).is_some()
    }

    pub(super) fn is_default(&self, schema: &str) -> bool {
        schema.to_lowercase() == self.source_schema.to_lowercase()
    }

    /// Schema and name.
    fn whole<'a>(&'a self, table: &'a TableName) -> (&'a str, &'a str) {
        let schema = table.schema.as_deref().unwrap_or(&self.source_schema);
        (schema, &table.name)
    }
}

/// Whether two names differ in case at most.
fn is_like(one: &TableName, other: &TableName) -> bool {
    one.to_string().to_lowercase() == other.to_string().to_lowercase()
}

/// How many of a selector's characters are meant literally.
pub(super) fn literal_length(selector: &TableSelector) -> usize {
    match selector {
        TableSelector::Name(name) => name.name.chars().count(),
        TableSelector::Pattern(pattern) => pattern.literal_length(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use shared::config::parse;

    use super::*;

    fn settings(text: &str) -> TableSettings {
        let config = parse(Path::new("f"), text, &BTreeMap::new()).unwrap();
        TableSettings::new(config.tables, config.rules, "dbo".to_owned())
    }

    #[test]
    fn the_most_specific_entry_counts_alone() {
        let settings = settings(
            "[[tables]]\nsource = '*'\npriority = 1\n\
             [[tables]]\nsource = 'dbo.order*'\ntarget = 'new_*'\npriority = 2\n\
             [[tables]]\nsource = 'dbo.or*s'\npriority = 3\n\
             [[tables]]\nsource = 'dbo.OrderDetails'\ntarget = 'od'\npriority = 4\n\
             [[tables]]\nsource = 'dbo.o*der*'\npriority = 5\n",
        );
        for (source, target, expected) in [
            ("a", None, 1),
            ("orders", None, 2),
            ("orders", Some("new_s"), 2),
            ("orders", Some("x"), 5),
            ("DBO.ors", None, 3),
            ("OrderDetails", None, 4),
            ("dbo.order_details", None, 4),
            ("OrderDetails", Some("new_details"), 2),
            ("OrderDetails", Some("OD"), 4),
            ("sales.orders", None, 0),
        ] {
            let (source, target) = (
                source.parse().unwrap(),
                target.map(|it| it.parse().unwrap()),
            );
            let entry = settings.entry_of(&source, target.as_ref(), None);
            let found = entry.map_or(0, |entry| entry.priority);
            assert_eq!(found, expected, "{source} {target:?}");
        }
    }

    #[test]
    fn rules_for_fewer_tables_come_first() {
        let rule = |tables: &str, digits: u8| {
            format!("[[rules]]\n{tables}\ncolumns = 'a'\nprecision = {digits}\n")
        };
        let settings = settings(
            &[
                rule("", 0),
                rule("tables = 'dbo.*'", 1),
                rule("tables = 'dbo.orders'", 2),
                rule("tables = 'order*'", 3),
                rule("tables = 'sales.*'", 4),
                rule("", 5),
            ]
            .concat(),
        );
        let found = |table: &str| -> Vec<u8> {
            let rules = settings.general_rules(&table.parse().unwrap(), None);
            rules.iter().filter_map(|it| it.rule.precision).collect()
        };
        assert_eq!(found("dbo.Orders"), [2, 3, 1, 0, 5]);
        assert_eq!(found("sales.orders"), [4, 0, 5]);
    }
}

//! Columns by the names that users give them.

use shared::config::nearest;
use shared::failure::{Failure, FailureKind};
use shared::message::TableSpec;
use shared::naming::{Naming, find_name};
use shared::options::ColumnRule;

use crate::engine::plan::general_rules::most_specific;
use crate::engine::values::column::{Column, SideOf, Table};
use crate::engine::values::pair::Pair;

/// Finds a column that the user names: by its exact name, else by the name without regard to
/// case, else also without regard to `_`, blanks and `-`, each if that is one column.
pub(crate) fn find<'a>(columns: &'a [Column], name: &str) -> Option<&'a Column> {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let found = find_name(name, &names, Naming::Normalised).ok().flatten();
    found.map(|(at, _)| &columns[at])
}

/// Finds a column that the user names on either side, by its exact name first.
pub(crate) fn on_either<'a>(tables: &'a Pair<Table>, name: &str) -> Option<(SideOf, &'a Column)> {
    let exact = |side| {
        let mut columns = tables[side].columns.iter();
        Some((side, columns.find(|column| column.name == name)?))
    };
    let alike = |side| Some((side, find(&tables[side].columns, name)?));
    exact(SideOf::Source)
        .or_else(|| exact(SideOf::Target))
        .or_else(|| alike(SideOf::Source))
        .or_else(|| alike(SideOf::Target))
}

/// Finds a column that the user names.
pub(crate) fn existing<'a>(
    table: &'a Table,
    name: &str,
    option: &str,
) -> Result<&'a Column, Failure> {
    find(&table.columns, name).ok_or_else(|| {
        let names: Vec<_> = table
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("it has {}", names.join(", ")),
        };
        Failure::new(
            FailureKind::ColumnNotFound,
            format!(
                "{option} names column `{name}`, which {}.{} does not have; {hint}",
                table.schema, table.name
            ),
        )
    })
}

/// The rules of single columns, each with the name of its column.
pub(crate) struct Rules<'a>(Pair<Vec<(&'a str, &'a ColumnRule)>>);

impl<'a> Rules<'a> {
    /// Finds the columns that the rules name, and the general rules of those that have no rule
    /// of their own.
    ///
    /// # Errors
    ///
    /// `ColumnNotFound` when neither side has such a column.
    pub(crate) fn resolve(spec: &'a TableSpec, tables: &'a Pair<Table>) -> Result<Self, Failure> {
        let mut rules = Pair::<Vec<_>>::default();
        for (name, rule) in &spec.options.rules {
            match on_either(tables, name) {
                Some((side, column)) => rules[side].push((column.name.as_str(), rule)),
                None => {
                    existing(&tables.source, name, &format!("rules.{name}"))?;
                }
            }
        }
        let general = general_rules(spec, tables, &rules);
        for side in [SideOf::Source, SideOf::Target] {
            rules[side].extend_from_slice(&general[side]);
        }
        Ok(Self(rules))
    }

    pub(crate) fn on(&self, side: SideOf, name: &str) -> Option<&'a ColumnRule> {
        let mut rules = self.0[side].iter();
        rules
            .find(|(column, _)| *column == name)
            .map(|(_, rule)| *rule)
    }

    pub(crate) fn ignores(&self, side: SideOf, name: &str) -> bool {
        self.0[side]
            .iter()
            .any(|(column, rule)| rule.ignore && *column == name)
    }
}

/// The general rules of columns that have no rule of their own, on either side.
fn general_rules<'a>(
    spec: &'a TableSpec,
    tables: &'a Pair<Table>,
    own: &Pair<Vec<(&'a str, &'a ColumnRule)>>,
) -> Pair<Vec<(&'a str, &'a ColumnRule)>> {
    let rules = &spec.options.general_rules;
    let mut general = Pair::<Vec<_>>::default();
    if rules.is_empty() {
        return general;
    }
    let has_own = |side: SideOf, name: &str| own[side].iter().any(|(column, _)| *column == name);
    let mapped: Vec<(&Column, &Column)> = spec
        .columns
        .map
        .iter()
        .filter_map(|(from, to)| {
            let from = find(&tables.source.columns, from)?;
            Some((from, find(&tables.target.columns, to)?))
        })
        .collect();
    for column in &tables.source.columns {
        let mut partners = mapped.iter().filter(|(from, _)| from.name == column.name);
        let has_rule = has_own(SideOf::Source, &column.name)
            || partners.any(|(_, to)| has_own(SideOf::Target, &to.name));
        if let Some(rule) = most_specific(rules, column, true).filter(|_| !has_rule) {
            general.source.push((column.name.as_str(), rule));
        }
    }
    for column in &tables.target.columns {
        let belongs_to_source = find(&tables.source.columns, &column.name).is_some()
            || mapped.iter().any(|(_, to)| to.name == column.name);
        let has_rule = belongs_to_source || has_own(SideOf::Target, &column.name);
        if let Some(rule) = most_specific(rules, column, false).filter(|_| !has_rule) {
            general.target.push((column.name.as_str(), rule));
        }
    }
    general
}

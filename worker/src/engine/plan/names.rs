//! Columns by the names that users give them.

use shared::config::nearest;
use shared::message::TableSpec;
use shared::options::ColumnRule;
use shared::outcome::Failure;

use crate::engine::error::failure;
use crate::engine::values::column::{Column, SideOf, Table};

/// Finds a column by its exact name, else by its name in any case if that is one column.
pub(crate) fn find<'a>(columns: &'a [Column], name: &str) -> Option<&'a Column> {
    columns
        .iter()
        .find(|column| column.name == name)
        .or_else(|| {
            let lower = name.to_lowercase();
            let mut alike = columns
                .iter()
                .filter(|column| column.name.to_lowercase() == lower);
            alike.next().filter(|_| alike.next().is_none())
        })
}

/// Finds a column that the user names on either side, by its exact name first.
pub(crate) fn on_either<'a>(
    source: &'a Table,
    target: &'a Table,
    name: &str,
) -> Option<(SideOf, &'a Column)> {
    let exact = |table: &'a Table| table.columns.iter().find(|column| column.name == name);
    exact(source)
        .map(|column| (SideOf::Source, column))
        .or_else(|| exact(target).map(|column| (SideOf::Target, column)))
        .or_else(|| find(&source.columns, name).map(|column| (SideOf::Source, column)))
        .or_else(|| find(&target.columns, name).map(|column| (SideOf::Target, column)))
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
        failure(
            "ColumnNotFound",
            format!(
                "{option} names column `{name}`, which {}.{} does not have; {hint}",
                table.schema, table.name
            ),
        )
    })
}

/// The rules of single columns, each with the column that it is about.
pub(crate) struct Rules<'a> {
    pub(crate) of_source: Vec<(&'a str, &'a ColumnRule)>,
    pub(crate) of_target: Vec<(&'a str, &'a ColumnRule)>,
}

impl<'a> Rules<'a> {
    pub(crate) fn resolve(
        spec: &'a TableSpec,
        source: &'a Table,
        target: &'a Table,
    ) -> Result<Self, Failure> {
        let mut rules = Self {
            of_source: Vec::new(),
            of_target: Vec::new(),
        };
        for (name, rule) in &spec.options.rules {
            match on_either(source, target, name) {
                Some((SideOf::Source, column)) => rules.of_source.push((&column.name, rule)),
                Some((SideOf::Target, column)) => rules.of_target.push((&column.name, rule)),
                None => {
                    existing(source, name, &format!("rules.{name}"))?;
                }
            }
        }
        Ok(rules)
    }

    pub(crate) fn of(&self, source: &Column, target: &Column) -> Option<&'a ColumnRule> {
        let of = |rules: &[(&str, &'a ColumnRule)], name: &str| {
            rules
                .iter()
                .find(|(column, _)| *column == name)
                .map(|(_, rule)| *rule)
        };
        of(&self.of_source, &source.name).or_else(|| of(&self.of_target, &target.name))
    }
}

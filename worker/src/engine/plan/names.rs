//! Columns by the names that users give them.

use shared::config::nearest;
use shared::failure::{Failure, FailureKind};
use shared::message::TableSpec;
use shared::naming::{Naming, find_name};
use shared::options::ColumnRule;

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
    /// Finds the columns that the rules name.
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

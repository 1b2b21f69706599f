//! Which columns of the two sides belong together.

use shared::failure::{Failure, FailureKind};
use shared::message::TableSpec;

use crate::engine::plan::names::{Rules, existing, find, on_either};
use crate::engine::values::column::{Column, SideOf, Table};
use crate::engine::values::pair::Pair;

/// Which columns the user has selected, with names as the tables spell them.
struct Selection<'a> {
    rules: &'a Rules<'a>,
    /// Names of the source's columns; empty: all.
    included: Vec<&'a str>,
    excluded: Pair<Vec<&'a str>>,
    /// Columns of the source with columns of the target.
    mapped: Vec<(&'a str, &'a Column)>,
    /// The target's column that marks deleted rows.
    mark: Option<&'a str>,
}

impl<'a> Selection<'a> {
    fn resolve(
        spec: &TableSpec,
        tables: &'a Pair<Table>,
        rules: &'a Rules<'a>,
    ) -> Result<Self, Failure> {
        let Pair { source, target } = tables;
        let columns = &spec.columns;
        let mut included = Vec::new();
        for name in &columns.include {
            included.push(existing(source, name, "columns.include")?.name.as_str());
        }
        let mut excluded = Pair::<Vec<&str>>::default();
        for name in &columns.exclude {
            match on_either(tables, name) {
                Some((side, column)) => excluded[side].push(column.name.as_str()),
                None => {
                    existing(target, name, "columns.exclude")?;
                }
            }
        }
        let soft_delete = spec.options.soft_delete.as_ref();
        let mark = soft_delete
            .map(|mark| existing(target, &mark.column, "soft_delete"))
            .transpose()?
            .map(|column| column.name.as_str());
        let mut mapped = Vec::new();
        for (from, to) in &columns.map {
            mapped.push((
                existing(source, from, "columns.map")?.name.as_str(),
                existing(target, to, "columns.map")?,
            ));
        }
        Ok(Self {
            rules,
            included,
            excluded,
            mapped,
            mark,
        })
    }

    /// Whether the user excludes or ignores a column by its name on this side.
    fn is_excluded(&self, side: SideOf, name: &str) -> bool {
        self.excluded[side].contains(&name) || self.rules.ignores(side, name)
    }

    /// Whether a column of this side takes no part, whatever it would be paired with.
    fn is_left_out(&self, side: SideOf, column: &Column) -> bool {
        let name = column.name.as_str();
        let by_side = match side {
            SideOf::Source => !self.included.is_empty() && !self.included.contains(&name),
            SideOf::Target => self.mark == Some(name),
        };
        by_side || self.is_excluded(side, name)
    }

    fn is_mapped_to(&self, column: &Column) -> bool {
        self.mapped.iter().any(|(_, to)| to.name == column.name)
    }

    /// Whether a column of the target that is not compared is one that the user
    /// left out, by its own name or by that of its counterpart on the source.
    fn is_expectedly_alone(&self, source: &Table, column: &Column) -> bool {
        let is_excluded = |name: &str| self.is_excluded(SideOf::Source, name);
        let mut mapped = self.mapped.iter();
        !self.included.is_empty()
            || self.is_left_out(SideOf::Target, column)
            || mapped.any(|(from, to)| to.name == column.name && is_excluded(from))
            || find(&source.columns, &column.name).is_some_and(|left| is_excluded(&left.name))
    }
}

/// Pairs the columns that take part. Adds notes of those that only one side has.
pub(crate) fn pair_columns(
    spec: &TableSpec,
    tables: &Pair<Table>,
    rules: &Rules<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Pair<Column>>, Failure> {
    let Pair { source, target } = tables;
    let selection = Selection::resolve(spec, tables, rules)?;
    let counterparts = counterparts(tables, &selection)?;
    let mut pairs: Vec<Pair<Column>> = Vec::new();
    let mut only_source = Vec::new();
    let is_taken = |pairs: &[Pair<Column>], column: &Column| {
        pairs.iter().any(|pair| pair.target.name == column.name)
    };
    for (column, counterpart) in source.columns.iter().zip(counterparts) {
        if selection.is_left_out(SideOf::Source, column) {
            continue;
        }
        match counterpart.filter(|found| !is_taken(&pairs, found)) {
            Some(found) if selection.is_left_out(SideOf::Target, found) => {}
            Some(found) => pairs.push(Pair {
                source: column.clone(),
                target: found.clone(),
            }),
            None => only_source.push(column.name.as_str()),
        }
    }
    let only_target: Vec<_> = target
        .columns
        .iter()
        .filter(|column| !is_taken(&pairs, column))
        .filter(|column| !selection.is_expectedly_alone(source, column))
        .map(|column| column.name.as_str())
        .collect();
    for (side, names) in [("source", only_source), ("target", only_target)] {
        if !names.is_empty() {
            notes.push(format!(
                "only on the {side}, not compared: {}",
                names.join(", ")
            ));
        }
    }
    if pairs.is_empty() {
        return Err(Failure::new(
            FailureKind::NothingToCompare,
            format!(
                "{}.{} and {}.{} have no column in common; pair them with columns.map",
                source.schema, source.name, target.schema, target.name
            ),
        ));
    }
    Ok(pairs)
}

/// The target's column that belongs to each of the source's: the one that it is
/// mapped to, else the one of exactly its name, else of the remaining ones the
/// one of its name in another case.
fn counterparts<'a>(
    tables: &'a Pair<Table>,
    selection: &Selection<'a>,
) -> Result<Vec<Option<&'a Column>>, Failure> {
    let Pair { source, target } = tables;
    let mut found: Vec<Option<&Column>> = source
        .columns
        .iter()
        .map(|column| {
            let mut mapped = selection.mapped.iter();
            let to = mapped.find(|(from, _)| *from == column.name);
            let exact = || {
                target
                    .columns
                    .iter()
                    .find(|other| other.name == column.name && !selection.is_mapped_to(other))
            };
            to.map(|(_, to)| *to).or_else(exact)
        })
        .collect();
    let mut remaining: Vec<(String, &Column)> = target
        .columns
        .iter()
        .filter(|column| {
            let is_found = found.iter().flatten().any(|it| it.name == column.name);
            !selection.is_mapped_to(column) && !is_found
        })
        .map(|column| (column.name.to_lowercase(), column))
        .collect();
    // Columns that take part are preferred.
    remaining.sort_by_key(|(_, column)| selection.is_left_out(SideOf::Target, column));
    let alone: Vec<(usize, String)> = source
        .columns
        .iter()
        .enumerate()
        .filter(|(at, column)| {
            found[*at].is_none() && !selection.is_left_out(SideOf::Source, column)
        })
        .map(|(at, column)| (at, column.name.to_lowercase()))
        .collect();
    for (at, lower) in &alone {
        let of_target: Vec<&Column> = remaining
            .iter()
            .filter(|(name, _)| name == lower)
            .map(|(_, column)| *column)
            .collect();
        let of_source: Vec<&str> = alone
            .iter()
            .filter(|(_, name)| name == lower)
            .map(|(at, _)| source.columns[*at].name.as_str())
            .collect();
        let taking_part: Vec<&str> = of_target
            .iter()
            .filter(|column| !selection.is_left_out(SideOf::Target, column))
            .map(|column| column.name.as_str())
            .collect();
        if taking_part.len() > 1 || (of_source.len() > 1 && !taking_part.is_empty()) {
            return Err(ambiguous(tables, &of_source, &taking_part));
        }
        found[*at] = of_target.first().copied();
    }
    Ok(found)
}

/// Several columns may belong together, and only the user knows which do.
fn ambiguous(tables: &Pair<Table>, of_source: &[&str], of_target: &[&str]) -> Failure {
    let Pair { source, target } = tables;
    let list = |names: &[&str]| {
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        quoted.join(" and ")
    };
    Failure::new(
        FailureKind::AmbiguousColumn,
        format!(
            "{} of {}.{} may belong to {} of {}.{}, as their names differ by case only; pair them with columns.map, or leave the others out with columns.exclude",
            list(of_source),
            source.schema,
            source.name,
            list(of_target),
            target.schema,
            target.name
        ),
    )
}

//! Which columns of the two sides belong together.

use shared::message::TableSpec;
use shared::options::ColumnRule;
use shared::outcome::Failure;

use crate::engine::error::failure;
use crate::engine::plan::names::{Rules, existing, find, on_either};
use crate::engine::values::column::{Column, SideOf, Table};

/// Pairs the columns that take part; notes those that only one side has.
pub(crate) fn pair_columns(
    spec: &TableSpec,
    source: &Table,
    target: &Table,
    rules: &Rules<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<(Column, Column)>, Failure> {
    let selection = &spec.columns;
    let mut included = Vec::new();
    for name in &selection.include {
        included.push(existing(source, name, "columns.include")?.name.as_str());
    }
    let (mut excluded, mut excluded_of_target) = (Vec::new(), Vec::new());
    for name in &selection.exclude {
        match on_either(source, target, name) {
            Some((SideOf::Source, column)) => excluded.push(column.name.as_str()),
            // A column that only the target has can be excluded too.
            Some((SideOf::Target, column)) => excluded_of_target.push(column.name.as_str()),
            None => {
                existing(target, name, "columns.exclude")?;
            }
        }
    }
    let ignored = |rules: &[(&'_ str, &ColumnRule)], name: &str| {
        rules
            .iter()
            .any(|(column, rule)| rule.ignore && *column == name)
    };
    // What marks a row as deleted is not part of it.
    let mark = spec
        .options
        .soft_delete
        .as_ref()
        .map(|mark| existing(target, &mark.column, "soft_delete"))
        .transpose()?;
    let is_mark = |column: &Column| mark.is_some_and(|mark| mark.name == column.name);
    let mut mapped = Vec::new();
    for (from, to) in &selection.map {
        mapped.push((
            existing(source, from, "columns.map")?.name.as_str(),
            existing(target, to, "columns.map")?,
        ));
    }

    let left_out_of_source = |column: &Column| {
        let name = column.name.as_str();
        excluded.contains(&name)
            || (!included.is_empty() && !included.contains(&name))
            || ignored(&rules.of_source, name)
    };
    let left_out_of_target = |column: &Column| {
        excluded_of_target.contains(&column.name.as_str())
            || is_mark(column)
            || ignored(&rules.of_target, &column.name)
    };
    let counterparts = counterparts(
        source,
        target,
        &mapped,
        left_out_of_source,
        left_out_of_target,
    )?;

    let mut pairs: Vec<(Column, Column)> = Vec::new();
    let mut only_source = Vec::new();
    let taken = |pairs: &[(Column, Column)], column: &Column| {
        pairs.iter().any(|(_, other)| other.name == column.name)
    };
    for (column, counterpart) in source.columns.iter().zip(counterparts) {
        if left_out_of_source(column) {
            continue;
        }
        match counterpart.filter(|found| !taken(&pairs, found)) {
            Some(found) if left_out_of_target(found) => {}
            Some(found) => pairs.push((column.clone(), found.clone())),
            None => only_source.push(column.name.as_str()),
        }
    }
    // What the user left out is left out on both sides.
    let left_out = |column: &&Column| {
        left_out_of_target(column)
            || mapped.iter().any(|(from, to)| {
                to.name == column.name
                    && (excluded.contains(from) || ignored(&rules.of_source, from))
            })
            || find(&source.columns, &column.name).is_some_and(|left| {
                excluded.contains(&left.name.as_str()) || ignored(&rules.of_source, &left.name)
            })
            || !included.is_empty()
    };
    let only_target: Vec<_> = target
        .columns
        .iter()
        .filter(|column| !taken(&pairs, column))
        .filter(|column| !left_out(column))
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
        return Err(failure(
            "NothingToCompare",
            format!(
                "{}.{} and {}.{} have no column in common; pair them with columns.map",
                source.schema, source.name, target.schema, target.name
            ),
        ));
    }
    Ok(pairs)
}

/// The target's column that belongs to each of the source's: what `mapped`
/// says, else the one of exactly its name, else of those that are left the one
/// of its name in another case. Where several are left, it is not for us to choose.
fn counterparts<'a>(
    source: &Table,
    target: &'a Table,
    mapped: &[(&str, &'a Column)],
    left_out_of_source: impl Fn(&Column) -> bool,
    left_out_of_target: impl Fn(&Column) -> bool,
) -> Result<Vec<Option<&'a Column>>, Failure> {
    let is_mapped_to = |column: &Column| mapped.iter().any(|(_, to)| to.name == column.name);
    let mut found: Vec<Option<&Column>> = source
        .columns
        .iter()
        .map(|column| {
            let to = mapped.iter().find(|(from, _)| *from == column.name);
            let exact = || {
                target
                    .columns
                    .iter()
                    .find(|other| other.name == column.name && !is_mapped_to(other))
            };
            to.map(|(_, to)| *to).or_else(exact)
        })
        .collect();
    let mut left: Vec<(String, &Column)> = target
        .columns
        .iter()
        .filter(|column| {
            !is_mapped_to(column) && !found.iter().flatten().any(|it| it.name == column.name)
        })
        .map(|column| (column.name.to_lowercase(), column))
        .collect();
    // What does not take part is in nobody's way.
    left.sort_by_key(|(_, column)| left_out_of_target(column));
    let alone: Vec<(usize, String)> = source
        .columns
        .iter()
        .enumerate()
        .filter(|(at, column)| found[*at].is_none() && !left_out_of_source(column))
        .map(|(at, column)| (at, column.name.to_lowercase()))
        .collect();
    for (at, lower) in &alone {
        let of_target: Vec<&Column> = left
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
            .filter(|column| !left_out_of_target(column))
            .map(|column| column.name.as_str())
            .collect();
        if taking_part.len() > 1 || (of_source.len() > 1 && !taking_part.is_empty()) {
            let list = |names: &[&str]| {
                let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                quoted.join(" and ")
            };
            return Err(failure(
                "AmbiguousColumn",
                format!(
                    "{} of {}.{} may belong to {} of {}.{}, as their names differ by case only; say which with columns.map, or leave the others out with columns.exclude",
                    list(&of_source),
                    source.schema,
                    source.name,
                    list(&taking_part),
                    target.schema,
                    target.name
                ),
            ));
        }
        found[*at] = of_target.first().copied();
    }
    Ok(found)
}

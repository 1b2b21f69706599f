//! Which columns of the two sides belong together.

use shared::config::nearest;
use shared::coverage::{ColumnSide, MissingColumn, Uncompared, UncomparedColumn};
use shared::failure::{Failure, FailureKind};
use shared::message::TableSpec;
use shared::naming::{NameMatch, Naming, pair_names};

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
        let mut mapped: Vec<(&str, &Column)> = Vec::new();
        for (from, to) in &columns.map {
            let from = existing(source, from, "columns.map")?.name.as_str();
            let to = existing(target, to, "columns.map")?;
            if let Some((other, _)) = mapped.iter().find(|(_, other)| other.name == to.name) {
                return Err(Failure::new(
                    FailureKind::InvalidRule,
                    format!(
                        "columns.map pairs both `{other}` and `{from}` with `{}`; a column of the target belongs to one column of the source",
                        to.name
                    ),
                ));
            }
            mapped.push((from, to));
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

/// Two columns that belong together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnPair {
    pub(crate) columns: Pair<Column>,
    /// Why they do.
    pub(crate) pairing: NameMatch,
}

/// Which columns belong together, and which are not compared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PairedColumns {
    pub(crate) pairs: Vec<ColumnPair>,
    pub(crate) missing: Vec<MissingColumn>,
    pub(crate) uncompared: Vec<UncomparedColumn>,
}

impl PairedColumns {
    /// Whether a column of the source is not compared because the target has none for it.
    pub(crate) fn has_no_partner(&self, name: &str) -> bool {
        self.missing.iter().any(|column| column.name == name)
            || self.uncompared.iter().any(|column| {
                column.side == ColumnSide::Source
                    && column.reason == Uncompared::Computed
                    && column.name == name
            })
    }
}

/// Pairs the columns that take part.
pub(crate) fn pair_columns(
    spec: &TableSpec,
    tables: &Pair<Table>,
    rules: &Rules<'_>,
) -> Result<PairedColumns, Failure> {
    let Pair { source, target } = tables;
    let selection = Selection::resolve(spec, tables, rules)?;
    let counterparts = counterparts(tables, &selection, spec.options.naming)?;
    let mut pairs: Vec<ColumnPair> = Vec::new();
    let mut alone = Vec::new();
    let mut uncompared = Vec::new();
    let mut leave_out = |column: &Column, side, reason| {
        uncompared.push(UncomparedColumn {
            name: column.name.clone(),
            side,
            reason,
        });
    };
    for (column, counterpart) in source.columns.iter().zip(counterparts) {
        let is_left_out = selection.is_left_out(SideOf::Source, column);
        match counterpart {
            Some((found, _)) if is_left_out || selection.is_left_out(SideOf::Target, found) => {
                leave_out(column, ColumnSide::Source, Uncompared::LeftOut);
            }
            Some((found, pairing)) => pairs.push(ColumnPair {
                columns: Pair {
                    source: column.clone(),
                    target: found.clone(),
                },
                pairing,
            }),
            None if is_left_out => leave_out(column, ColumnSide::Source, Uncompared::LeftOut),
            None if column.computed => leave_out(column, ColumnSide::Source, Uncompared::Computed),
            None => alone.push(column),
        }
    }
    let mut free = Vec::new();
    for column in &target.columns {
        if pairs
            .iter()
            .any(|pair| pair.columns.target.name == column.name)
        {
            continue;
        }
        let reason = if selection.mark == Some(&column.name) {
            Uncompared::SoftDeleteMark
        } else if selection.is_expectedly_alone(source, column) {
            Uncompared::LeftOut
        } else {
            free.push(column.name.as_str());
            if column.nullable || column.has_default {
                Uncompared::TargetOnly
            } else {
                Uncompared::TargetOnlyRequired
            }
        };
        leave_out(column, ColumnSide::Target, reason);
    }
    let missing = alone
        .into_iter()
        .map(|column| MissingColumn {
            name: column.name.clone(),
            declared: column.declared.clone(),
            nearest: nearest(&column.name, free.iter().copied()).map(str::to_owned),
        })
        .collect();
    Ok(PairedColumns {
        pairs,
        missing,
        uncompared,
    })
}

/// The target's column that belongs to each of the source's, and why: the one that it is mapped
/// to, the one of exactly its name, or of the columns that take part the one with the most similar
/// name; for a column without any of these, one that the user left out.
fn counterparts<'a>(
    tables: &'a Pair<Table>,
    selection: &Selection<'a>,
    naming: Naming,
) -> Result<Vec<Option<(&'a Column, NameMatch)>>, Failure> {
    let Pair { source, target } = tables;
    let exact = |column: &Column| {
        let mut others = target.columns.iter();
        others.find(|other| other.name == column.name && !selection.is_mapped_to(other))
    };
    let mut found: Vec<Option<(&Column, NameMatch)>> = Vec::new();
    for column in &source.columns {
        let mut mapped = selection.mapped.iter();
        let to = mapped.find(|(from, _)| *from == column.name);
        found.push(match to {
            Some((_, to)) => Some((to, NameMatch::Given)),
            None => exact(column).map(|column| (column, NameMatch::Exact)),
        });
    }
    for is_left_out in [false, true] {
        let alone: Vec<usize> = (0..source.columns.len())
            .filter(|&at| found[at].is_none())
            .filter(|&at| !selection.is_left_out(SideOf::Source, &source.columns[at]))
            .collect();
        let free: Vec<&Column> = target
            .columns
            .iter()
            .filter(|column| selection.is_left_out(SideOf::Target, column) == is_left_out)
            .filter(|column| !selection.is_mapped_to(column))
            .filter(|column| !found.iter().flatten().any(|(it, _)| it.name == column.name))
            .collect();
        let of_source: Vec<&str> = alone
            .iter()
            .map(|&at| source.columns[at].name.as_str())
            .collect();
        let of_target: Vec<&str> = free.iter().map(|column| column.name.as_str()).collect();
        match pair_names(&of_source, &of_target, naming) {
            Ok(pairs) => {
                for (at, pair) in alone.into_iter().zip(pairs) {
                    found[at] = pair.map(|(to, rule)| (free[to], rule));
                }
            }
            // It does not matter which of the columns that are left out it would be.
            Err(_) if is_left_out => {}
            Err(ambiguity) => {
                let names = |all: &[&'a str], at: &[usize]| at.iter().map(|&at| all[at]).collect();
                let of_source: Vec<&str> = names(&of_source, &ambiguity.sources);
                let of_target: Vec<&str> = names(&of_target, &ambiguity.targets);
                return Err(ambiguous(tables, &of_source, &of_target, ambiguity.rule));
            }
        }
    }
    Ok(found)
}

/// Several columns may belong together, and only the user knows which do.
fn ambiguous(
    tables: &Pair<Table>,
    of_source: &[&str],
    of_target: &[&str],
    rule: NameMatch,
) -> Failure {
    let Pair { source, target } = tables;
    let list = |names: &[&str]| {
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        quoted.join(" and ")
    };
    Failure::new(
        FailureKind::AmbiguousColumn,
        format!(
            "{} of {}.{} may belong to {} of {}.{}: their names are equal {}; pair them with columns.map, or leave the others out with columns.exclude",
            list(of_source),
            source.schema,
            source.name,
            list(of_target),
            target.schema,
            target.name,
            rule.describe().unwrap_or("exactly")
        ),
    )
}

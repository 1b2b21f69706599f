//! What is read from the two sides of a table and how it is compared: which
//! columns are paired, in which canonical form, and what identifies a row.

pub(crate) mod coverage;
mod general_rules;
mod key;
pub(crate) mod names;
pub(crate) mod pairs;
pub(crate) mod problems;
pub(crate) mod refusals;

use shared::coverage::Coverage;
use shared::failure::{Failure, FailureKind};
use shared::message::TableSpec;
use shared::options::ColumnRule;

use crate::engine::plan::coverage::{coverage, narrowed, notes, shown_rule};
use crate::engine::plan::key::choose_key;
use crate::engine::plan::names::Rules;
use crate::engine::plan::pairs::{PairedColumns, pair_columns};
use crate::engine::rows::element::KeyForm;
use crate::engine::values::column::{Column, ColumnType, SideOf, Table};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::pair::Pair;
use crate::engine::values::pairing::{Incomparable, pairing};
use crate::engine::values::reading::Reading;
use crate::engine::values::zone::{Ambiguous, Zone};

/// The comparison of two tables, decided before a row is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// The columns that are compared, those of the key first.
    pub columns: Vec<PlannedColumn>,
    /// How many of the columns are the key; none for a multiset of rows.
    pub key_columns: usize,
    /// How a key becomes 128 bits.
    pub key_form: KeyForm,
    /// Whether a row can be fetched by its canonical key: the key's columns
    /// hold exactly what is compared, and no NULL.
    pub fetch_by_key: bool,
    /// What is compared and what is not, for the report.
    pub coverage: Coverage,
    /// What the user should know.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlannedColumn {
    pub source: Column,
    pub target: Column,
    /// The form in which they are compared.
    pub kind: Kind,
    /// How the values of each side are brought into it, if they are converted.
    pub conversions: Pair<Option<Conversion>>,
    pub rule: ColumnRule,
}

impl PlannedColumn {
    pub(crate) fn on(&self, side: SideOf) -> &Column {
        match side {
            SideOf::Source => &self.source,
            SideOf::Target => &self.target,
        }
    }

    /// How the column is read on one side to be compared.
    pub(crate) fn reading(&self, side: SideOf) -> Reading {
        let conversion = self.conversions[side].clone();
        let reading = Reading::new(self.kind, &self.on(side).kind, conversion);
        if self.source.kind.is_padded() || self.target.kind.is_padded() {
            return reading.without_padding();
        }
        reading
    }
}

impl Plan {
    /// Ends the first pass over all rows, in which local times are counted.
    pub(crate) fn end_first_pass(&self) {
        self.zones().for_each(|(_, zone)| zone.end_first_pass());
    }

    /// How many local times are not those of exactly one instant.
    pub(crate) fn zone_notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (column, zone) in self.zones() {
            let (name, zone_name) = (&column.source.name, zone.name());
            let Ambiguous { skipped, repeated } = zone.ambiguous();
            if repeated > 0 {
                notes.push(format!(
                    "`{name}`: local times that occur twice because clocks in {zone_name} are set back: {repeated}; each equals both of its instants"
                ));
            }
            if skipped > 0 {
                notes.push(format!(
                    "`{name}`: local times that are skipped because clocks in {zone_name} are set forward: {skipped}; each is compared as the time that is later by as much as the clocks are set forward"
                ));
            }
        }
        notes
    }

    /// The columns with local times of a zone.
    fn zones(&self) -> impl Iterator<Item = (&PlannedColumn, &Zone)> {
        self.columns.iter().filter_map(|column| {
            let Some(Conversion::LocalTime(zone)) = &column.conversions.source else {
                return None;
            };
            Some((column, zone))
        })
    }

    /// Names of the key's columns, as the source spells them.
    pub(crate) fn key_names(&self) -> Vec<String> {
        self.columns[..self.key_columns]
            .iter()
            .map(|column| column.source.name.clone())
            .collect()
    }
}

/// Plans the comparison of two tables.
///
/// # Errors
///
/// `ColumnNotFound` when the specification names a column that does not exist,
/// `AmbiguousColumn` when similar names leave open which columns belong together,
/// `KeyColumnMissing` when a column of the key has no partner, `IncomparableColumn` when two columns have no common form, `PermissionDenied` when the
/// endpoint's user reads masks in place of a column's values, `InvalidRule`
/// when a column's options do not fit its types or its place in the key,
/// `NothingToCompare` when no column is on both sides.
pub(crate) fn plan(spec: &TableSpec, tables: &Pair<Table>) -> Result<Plan, Failure> {
    let rules = Rules::resolve(spec, tables)?;
    let mut paired = pair_columns(spec, tables, &rules)?;
    let key = choose_key(spec, tables, &paired)?;
    if paired.pairs.is_empty() {
        return Err(nothing_to_compare(tables));
    }
    let key_columns = key_first(&mut paired, &key.columns);
    let columns = paired
        .pairs
        .iter()
        .map(|pair| {
            refuse_masks(&pair.columns)?;
            planned_column(pair.columns.clone(), &rules)
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let mut coverage = coverage(spec, tables, &paired);
    coverage.key_origin = key.origin;
    for (shown, column) in coverage.columns.iter_mut().zip(&columns) {
        shown.rule = shown_rule(&column.rule);
        if column.rule.encoding.is_none() {
            shown.narrowed = narrowed(&column.source, &column.target);
        }
    }
    let mut notes = notes(&coverage, &key.columns);

    let key = &columns[..key_columns];
    if let Some(column) = key.iter().find(|column| column.rule.tolerance.is_some()) {
        return Err(Failure::new(
            FailureKind::InvalidRule,
            format!(
                "column `{}` is part of the key and has a tolerance; rows are paired by equal keys, so leave the tolerance out or name another key",
                column.source.name
            ),
        ));
    }
    let both_uuid = |column: &PlannedColumn| {
        column.source.kind == ColumnType::Uuid
            && column.target.kind == ColumnType::Uuid
            && column.kind == Kind::Uuid
    };
    let not_null = |column: &PlannedColumn| !column.source.nullable && !column.target.nullable;
    let key_form = match key {
        [] => KeyForm::WholeRow,
        [column] if both_uuid(column) && not_null(column) => KeyForm::Uuid,
        _ => KeyForm::Compact,
    };
    let fetch_by_key = key_columns > 0
        && key
            .iter()
            .all(|column| not_null(column) && is_stored_as_compared(column));
    if key_columns == 0 {
        notes.push(
            "no key: rows are compared as a multiset; name one with --pk-columns or key = [..]"
                .to_owned(),
        );
    }
    Ok(Plan {
        columns,
        key_columns,
        key_form,
        fetch_by_key,
        coverage,
        notes,
    })
}

fn nothing_to_compare(tables: &Pair<Table>) -> Failure {
    let Pair { source, target } = tables;
    Failure::new(
        FailureKind::NothingToCompare,
        format!(
            "{}.{} and {}.{} have no column in common; pair them with columns.map",
            source.schema, source.name, target.schema, target.name
        ),
    )
}

/// Puts the pairs of the key's columns first, in the order of the key, before the others in the
/// source's order. Returns how many columns the key has.
fn key_first(paired: &mut PairedColumns, key: &[String]) -> usize {
    let place = |name: &String| key.iter().position(|it| it == name);
    paired
        .pairs
        .sort_by_key(|pair| place(&pair.columns.source.name).unwrap_or(key.len()));
    key.len()
}

/// A mask is no value to compare.
fn refuse_masks(pair: &Pair<Column>) -> Result<(), Failure> {
    let sides = [("source", &pair.source), ("target", &pair.target)];
    match sides.into_iter().find(|(_, column)| column.masked) {
        None => Ok(()),
        Some((side, column)) => Err(Failure::new(
            FailureKind::PermissionDenied,
            format!(
                "column `{}` of the {side} is masked for the endpoint's user, who reads masks in place of its values: grant UNMASK to the user, or leave the column out with columns.exclude",
                column.name
            ),
        )),
    }
}

fn planned_column(pair: Pair<Column>, rules: &Rules<'_>) -> Result<PlannedColumn, Failure> {
    let Pair { source, target } = pair;
    let rule = rules
        .on(SideOf::Source, &source.name)
        .or_else(|| rules.on(SideOf::Target, &target.name))
        .cloned()
        .unwrap_or_default();
    let pairing = pairing(&source, &target, &rule).map_err(|error| {
        let kind = match error {
            Incomparable::NoForm { .. } => FailureKind::IncomparableColumn,
            Incomparable::Unfit { .. } => FailureKind::InvalidRule,
        };
        Failure::new(kind, error.to_string())
    })?;
    Ok(PlannedColumn {
        source,
        target,
        kind: pairing.kind,
        conversions: Pair {
            source: pairing.source,
            target: pairing.target,
        },
        rule,
    })
}

/// Whether a `WHERE column = value` with the canonical value finds the row on both sides.
fn is_stored_as_compared(column: &PlannedColumn) -> bool {
    if column.conversions != Pair::default() {
        return false;
    }
    let alike =
        |kind: fn(&ColumnType) -> bool| kind(&column.source.kind) && kind(&column.target.kind);
    let exact = |resolution: &Resolution| {
        let digits = |kind: &ColumnType| match kind {
            ColumnType::Time(digits)
            | ColumnType::Timestamp(digits)
            | ColumnType::Instant(digits) => Some(*digits),
            _ => None,
        };
        digits(&column.source.kind) == Some(resolution.digits)
            && digits(&column.target.kind) == Some(resolution.digits)
    };
    match &column.kind {
        Kind::Bool | Kind::Int | Kind::Decimal | Kind::Bytes | Kind::Date => true,
        // XML has no `=`.
        Kind::Text => alike(ColumnType::is_text) && finds_padded(column),
        Kind::Uuid => column.source.kind == column.target.kind,
        Kind::Time(resolution) | Kind::Timestamp(resolution) => exact(resolution),
        Kind::Instant(resolution) => {
            exact(resolution) && alike(|kind| matches!(kind, ColumnType::Instant(_)))
        }
        // A database's `=` compares floats by value and not by bits; JSON may have no `=`.
        Kind::Float32 | Kind::Float64 | Kind::Json => false,
    }
}

/// Whether a look-up on either side finds a text with any number of blanks at its
/// end, where the column of the other side is filled with blanks to a fixed length.
fn finds_padded(column: &PlannedColumn) -> bool {
    let is_padded = |side: &Column| side.kind.is_padded();
    let finds = |side: &Column| {
        is_padded(side)
            || side.repertoire.ignores_trailing_blanks
            || side.short_varying_length().is_some()
    };
    let columns = [&column.source, &column.target];
    !columns.into_iter().any(is_padded) || columns.into_iter().all(finds)
}

#[cfg(test)]
mod tests;

//! What a comparison covers, for the report.

use shared::coverage::{ColumnSide, Coverage, KeyOrigin, PairedColumn, Uncompared};
use shared::failure::Failure;
use shared::message::TableSpec;
use shared::naming::{NameMatch, relation};
use shared::options::ColumnRule;

use crate::engine::plan::names::Rules;
use crate::engine::plan::pairs::{PairedColumns, pair_columns};
use crate::engine::values::column::{Column, ColumnType, Table};
use crate::engine::values::pair::Pair;

/// What is covered when only rows are counted: the structure of the tables.
///
/// # Errors
///
/// As [`plan`](crate::engine::plan::plan), as far as columns are paired.
pub(crate) fn structure(spec: &TableSpec, tables: &Pair<Table>) -> Result<Coverage, Failure> {
    let rules = Rules::resolve(spec, tables)?;
    Ok(coverage(spec, tables, &pair_columns(spec, tables, &rules)?))
}

/// What is covered of the tables, without rules and key.
pub(crate) fn coverage(spec: &TableSpec, tables: &Pair<Table>, paired: &PairedColumns) -> Coverage {
    let Pair { source, target } = tables;
    let columns = paired.pairs.iter().map(|pair| {
        let Pair { source, target } = &pair.columns;
        PairedColumn {
            source: source.name.clone(),
            source_type: source.declared.clone(),
            target: target.name.clone(),
            target_type: target.declared.clone(),
            pairing: pair.pairing,
            rule: None,
            narrowed: None,
        }
    });
    Coverage {
        source_table: format!("{}.{}", source.schema, source.name),
        target_table: format!("{}.{}", target.schema, target.name),
        table_pairing: Some(relation(&source.name, &target.name).unwrap_or(NameMatch::Given)),
        columns: columns.collect(),
        key_origin: None,
        missing_columns: paired.missing.clone(),
        missing_columns_are: spec.options.missing_columns,
        uncompared: paired.uncompared.clone(),
        source_condition: source.condition.clone(),
        target_condition: target.condition.clone(),
    }
}

/// The rule of a column as the report shows it; `None` for the default.
pub(crate) fn shown_rule(rule: &ColumnRule) -> Option<ColumnRule> {
    (*rule != ColumnRule::default()).then(|| rule.clone())
}

/// What of the source's values the target's type cannot hold, by the declared types.
pub(crate) fn narrowed(source: &Column, target: &Column) -> Option<String> {
    let digits = |column: &Column| match column.kind {
        ColumnType::Time(digits) | ColumnType::Timestamp(digits) | ColumnType::Instant(digits) => {
            Some(digits)
        }
        ColumnType::DateTime => Some(3),
        _ => None,
    };
    if let (Some(of_source), Some(of_target)) = (digits(source), digits(target)) {
        return (of_target < of_source)
            .then(|| format!("{of_target} of {of_source} digits of a second"));
    }
    if (&source.kind, &target.kind) == (&ColumnType::Float64, &ColumnType::Float32) {
        return Some("24 of 53 bits of precision".to_owned());
    }
    let (precision, scale) = decimal(source)?;
    let (most, digits) = decimal(target)?;
    if digits < scale {
        return Some(format!(
            "{digits} of {scale} digits after the decimal point"
        ));
    }
    let (of_source, of_target) = (precision.saturating_sub(scale), most.saturating_sub(digits));
    (of_target < of_source)
        .then(|| format!("{of_target} of {of_source} digits before the decimal point"))
}

/// Precision and scale, where the type declares them.
fn decimal(column: &Column) -> Option<(u32, u32)> {
    match (&column.kind, column.declared.as_str()) {
        (ColumnType::Money, "smallmoney") => return Some((10, 4)),
        (ColumnType::Money, "money") => return Some((19, 4)),
        (ColumnType::Decimal, _) => {}
        _ => return None,
    }
    let (_, parameters) = column.declared.split_once('(')?;
    let mut numbers = parameters.trim_end_matches(')').split(',');
    let mut next = || numbers.next()?.trim().parse().ok();
    Some((next()?, next().unwrap_or(0)))
}

/// What the user should know about the columns and the key.
pub(crate) fn notes(coverage: &Coverage, key: &[String]) -> Vec<String> {
    let named = |side, reason| {
        let columns = coverage.uncompared.iter();
        let names: Vec<&str> = columns
            .filter(|column| column.side == side && column.reason == reason)
            .map(|column| column.name.as_str())
            .collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let computed = named(ColumnSide::Source, Uncompared::Computed)
        .map(|names| format!("computed by the source and not in the target: {names}"));
    let target_only = named(ColumnSide::Target, Uncompared::TargetOnly)
        .map(|names| format!("only on the target, not compared: {names}"));
    let required = named(ColumnSide::Target, Uncompared::TargetOnlyRequired).map(|names| {
        format!(
            "warning: only on the target, NOT NULL and without a default: {names}; an insert of the source's columns fails"
        )
    });
    let narrowed: Vec<String> = coverage
        .columns
        .iter()
        .filter_map(|column| Some(format!("{} ({})", column.source, column.narrowed.as_ref()?)))
        .collect();
    let narrowed = (!narrowed.is_empty()).then(|| {
        format!(
            "the target's types hold less than the source's, so equal means equal as far as they can hold it: {}",
            narrowed.join(", ")
        )
    });
    let key = match coverage.key_origin {
        Some(KeyOrigin::Target) => Some(format!(
            "the key ({}) is the target's: the source declares none",
            key.join(", ")
        )),
        _ => None,
    };
    [computed, target_only, required, narrowed, key]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_type_cannot_hold_is_named() {
        let column = |kind: ColumnType, declared: &str| Column::new("c", kind, declared);
        let decimal = |declared: &str| column(ColumnType::Decimal, declared);
        let time = |digits| column(ColumnType::Timestamp(digits), "timestamp");
        let none = "";
        for (source, target, expected) in [
            (time(7), time(6), "6 of 7 digits of a second"),
            (time(3), time(6), none),
            (
                column(ColumnType::DateTime, "datetime"),
                time(0),
                "0 of 3 digits of a second",
            ),
            (
                column(ColumnType::Float64, "float"),
                column(ColumnType::Float32, "real"),
                "24 of 53 bits of precision",
            ),
            (
                decimal("decimal(10, 4)"),
                decimal("numeric(12,2)"),
                "2 of 4 digits after the decimal point",
            ),
            (
                column(ColumnType::Money, "money"),
                decimal("numeric(10,4)"),
                "6 of 15 digits before the decimal point",
            ),
            (decimal("decimal(10, 4)"), decimal("numeric"), none),
            (decimal("decimal(10)"), decimal("numeric(10,0)"), none),
        ] {
            assert_eq!(
                narrowed(&source, &target).unwrap_or_default(),
                expected,
                "{source:?} {target:?}"
            );
        }
    }
}

//! Rules for columns: those on one side only, types that hold less, NULL, and collations.

use shared::coverage::{ColumnSide, Uncompared};

use crate::engine::database::schema::TextComparison;
use crate::engine::schema::capacity::lost;
use crate::engine::schema::findings::Findings;
use crate::engine::schema::rule::{
    COLLATION, COLUMN_EXTRA, COLUMN_EXTRA_REQUIRED, COLUMN_MISSING, GENERATED_MISSING,
    NULL_ALLOWED, NULL_REFUSED, TYPE_NARROWER,
};
use crate::engine::schema::table_pair::TablePair;
use crate::engine::values::column::Column;
use crate::engine::values::pair::Pair;

/// Compares the columns of a table. `defaults` is how the two databases compare texts without a
/// collation of the column.
pub(super) fn check(
    pair: &TablePair<'_>,
    defaults: Pair<Option<TextComparison>>,
    findings: &mut Findings,
) {
    check_alone(pair, findings);
    for columns in &pair.columns.pairs {
        let Pair { source, target } = &columns.columns;
        if let Some(lost) = lost(source, target) {
            let message = format!(
                "the source has {} and the target has {}, which cannot hold {lost}",
                source.declared, target.declared
            );
            findings.add_object(TYPE_NARROWER, &source.name, message);
        }
        check_null(pair, source, target, findings);
        check_collation(pair, source, target, (defaults, findings));
    }
}

/// Columns without a partner that the user does not leave out.
fn check_alone(pair: &TablePair<'_>, findings: &mut Findings) {
    for column in &pair.columns.missing {
        let nearest = column.nearest.as_ref().map_or(String::new(), |nearest| {
            format!("; the target has `{nearest}`, which may be it under another name")
        });
        findings.add_remedy(
            COLUMN_MISSING,
            &column.name,
            format!(
                "the target has no column for `{}` {}{nearest}",
                column.name, column.declared
            ),
            Some(
                "add the column, pair it with columns.map, or leave it out with columns.exclude"
                    .to_owned(),
            ),
        );
    }
    for column in &pair.columns.uncompared {
        let name = &column.name;
        match (&column.reason, column.side) {
            (Uncompared::Computed, ColumnSide::Source) => findings.add_object(
                GENERATED_MISSING,
                name,
                format!("the source computes `{name}`, and the target has no column for it"),
            ),
            (Uncompared::TargetOnly, _) => findings.add_object(
                COLUMN_EXTRA,
                name,
                format!("only the target has `{name}`"),
            ),
            (Uncompared::TargetOnlyRequired, _) => findings.add_object(
                COLUMN_EXTRA_REQUIRED,
                name,
                format!("only the target has `{name}`, which is NOT NULL and has no default: an insert that the source accepts fails"),
            ),
            _ => {}
        }
    }
}

/// Columns of views and computed columns are not declared NOT NULL everywhere.
fn check_null(pair: &TablePair<'_>, source: &Column, target: &Column, findings: &mut Findings) {
    if pair.has_view() || source.computed || target.computed {
        return;
    }
    match (source.nullable, target.nullable) {
        (false, true) => findings.add_object(
            NULL_ALLOWED,
            &source.name,
            "the source refuses NULL and the target accepts it".to_owned(),
        ),
        (true, false) => findings.add_object(
            NULL_REFUSED,
            &source.name,
            "the source accepts NULL and the target refuses it".to_owned(),
        ),
        _ => {}
    }
}

/// Compares how texts are compared. If both columns compare as their databases do by default, the
/// difference is that of the databases and is reported once.
fn check_collation(
    pair: &TablePair<'_>,
    source: &Column,
    target: &Column,
    (defaults, findings): (Pair<Option<TextComparison>>, &mut Findings),
) {
    let from = pair.schemas.source.details(&source.name).comparison;
    let to = pair.schemas.target.details(&target.name).comparison;
    let (Some(from), Some(to)) = (from, to) else {
        return;
    };
    let are_default = Some(from) == defaults.source && Some(to) == defaults.target;
    if from != to && !are_default {
        let message = format!(
            "the collation of the source {}, and that of the target {}",
            from.describe(),
            to.describe()
        );
        findings.add_object(COLLATION, &source.name, message);
    }
}

//! Rules for primary keys, unique constraints and indexes.

use crate::engine::schema::findings::Findings;
use crate::engine::schema::index_shape::{Coverage, IndexShape};
use crate::engine::schema::rule::{
    INDEX_DISABLED, INDEX_EXTRA, INDEX_FILTER, INDEX_MISSING, INDEX_ORDER, INDEX_UNKNOWN,
    PRIMARY_KEY_DIFFERENT, PRIMARY_KEY_EXTRA, PRIMARY_KEY_MISSING, UNIQUE_EXTRA, UNIQUE_MISSING,
};
use crate::engine::schema::table_pair::TablePair;
use crate::engine::values::column::SideOf;

/// Compares the keys and indexes of a table. Names, clustering and included columns are no
/// differences, and neither is an index of the source that is disabled.
pub(super) fn check(pair: &TablePair<'_>, findings: &mut Findings) {
    let mut source = IndexShape::of_side(pair, SideOf::Source);
    source.retain(|shape| shape.index.is_enabled);
    let target = IndexShape::of_side(pair, SideOf::Target);
    check_primary(pair, &source, &target, findings);
    for shape in source.iter().filter(|shape| !shape.index.is_primary) {
        if shape.index.is_unique {
            check_unique(shape, &target, findings);
        } else {
            check_ordinary(shape, &target, findings);
        }
    }
    for shape in target.iter().filter(|shape| !shape.index.is_primary) {
        check_extra(shape, &source, findings);
    }
    for shape in target.iter().filter(|shape| !shape.index.is_enabled) {
        if source.iter().any(|from| shape.begins_with(from)) {
            let message = format!(
                "the index {} of the target is disabled or invalid, and does not enforce or find anything",
                shape.describe()
            );
            findings.add_object(INDEX_DISABLED, &shape.index.name, message);
        }
    }
}

fn check_primary(
    pair: &TablePair<'_>,
    source: &[IndexShape<'_>],
    target: &[IndexShape<'_>],
    findings: &mut Findings,
) {
    let has_key = |side: SideOf| {
        let mut indexes = pair.schemas[side].indexes.iter();
        indexes.any(|index| index.is_primary)
    };
    let primary =
        |shapes: &'_ [IndexShape<'_>]| shapes.iter().position(|shape| shape.index.is_primary);
    let from = primary(source).map(|at| &source[at]);
    let to = primary(target).map(|at| &target[at]);
    match (from, to) {
        (Some(from), None) if !has_key(SideOf::Target) => {
            let message = format!(
                "the source has the primary key {}, and the target has none",
                from.describe()
            );
            findings.add_object(PRIMARY_KEY_MISSING, &from.index.name, message);
        }
        (None, Some(to)) if !has_key(SideOf::Source) => {
            let is_unique =
                |shape: &&IndexShape<'_>| shape.index.is_unique && shape.has_columns_of(to);
            if source.iter().find(is_unique).is_none() {
                let message = format!(
                    "the target has the primary key {}, and the source has none",
                    to.describe()
                );
                findings.add_object(PRIMARY_KEY_EXTRA, &to.index.name, message);
            }
        }
        (Some(from), Some(to)) => {
            let message = format!(
                "the primary key is {} in the source and {} in the target",
                from.describe(),
                to.describe()
            );
            if !from.has_columns_of(to) {
                findings.add_object(PRIMARY_KEY_DIFFERENT, &from.index.name, message);
            } else if !to.begins_with(from) {
                findings.add_object(INDEX_ORDER, &from.index.name, message);
            }
        }
        _ => {}
    }
}

fn check_unique(from: &IndexShape<'_>, target: &[IndexShape<'_>], findings: &mut Findings) {
    let name = &from.index.name;
    let shown = from.describe();
    if !from.is_known() {
        return unknown(findings, name, &shown);
    }
    let mut same: Vec<_> = target
        .iter()
        .filter(|to| to.index.is_unique && to.has_columns_of(from))
        .map(|to| (to.coverage(from), to))
        .collect();
    same.sort_by_key(|(coverage, to)| (*coverage != Coverage::Same, !to.begins_with(from)));
    match same.first() {
        None if target.iter().any(|to| to.index.is_unique && !to.is_known()) => {
            unknown(findings, name, &shown);
        }
        None => {
            let message =
                format!("{shown} is unique in the source, and the target accepts duplicates");
            findings.add_object(UNIQUE_MISSING, name, message);
        }
        Some((Coverage::Same, to)) => {
            if !to.begins_with(from) {
                order(findings, from, to);
            }
        }
        Some((Coverage::Different, to)) => filter(findings, from, to),
        Some((Coverage::Unknown, _)) => unknown(findings, name, &shown),
    }
}

fn check_ordinary(from: &IndexShape<'_>, target: &[IndexShape<'_>], findings: &mut Findings) {
    let name = &from.index.name;
    let shown = from.describe();
    let same_kind = |to: &&IndexShape<'_>| to.index.method == from.index.method;
    if !from.is_known() || from.index.method != "btree" {
        let mut same = target.iter().filter(same_kind);
        if !same.any(|to| to.has_columns_of(from) && to.coverage(from) == Coverage::Same) {
            unknown(findings, name, &shown);
        }
        return;
    }
    let prefixed: Vec<_> = target
        .iter()
        .filter(same_kind)
        .filter(|to| to.begins_with(from))
        .map(|to| (to.coverage(from), to))
        .collect();
    // An index over all rows serves what one over some of them does.
    let serves = |(coverage, to): &&(Coverage, &IndexShape<'_>)| {
        *coverage == Coverage::Same || to.index.filter.is_none()
    };
    if prefixed.iter().find(serves).is_some() {
        return;
    }
    let is_unknown = |(coverage, _): &(Coverage, &IndexShape<'_>)| *coverage == Coverage::Unknown;
    let reordered = target.iter().find(|to| to.has_columns_of(from));
    match (prefixed.first(), reordered) {
        (Some(_), _) if prefixed.iter().any(is_unknown) => unknown(findings, name, &shown),
        (Some((_, to)), _) => filter(findings, from, to),
        (None, Some(to)) => order(findings, from, to),
        (None, None) => {
            let message =
                format!("the target has no index that begins with the columns of {shown}");
            findings.add_object(INDEX_MISSING, name, message);
        }
    }
}

/// Reports an index of the target whose columns no index of the source has.
fn check_extra(to: &IndexShape<'_>, source: &[IndexShape<'_>], findings: &mut Findings) {
    let is_same = |from: &&IndexShape<'_>| {
        from.has_columns_of(to) && (from.index.is_unique || !to.index.is_unique)
    };
    // An index of the source may stand for it; if it has no form, a note says so already.
    let serves = |from: &&IndexShape<'_>| {
        is_same(from)
            || !from.is_known()
            || (!to.index.is_unique && (from.begins_with(to) || to.begins_with(from)))
    };
    if source.iter().find(serves).is_some() {
        return;
    }
    let (name, shown) = (&to.index.name, to.describe());
    if !to.is_known() {
        return unknown(findings, name, &shown);
    }
    if to.index.is_unique {
        let message = format!("{shown} is unique in the target, and the source accepts duplicates");
        findings.add_object(UNIQUE_EXTRA, name, message);
    } else {
        let message = format!("only the target has the index {shown}");
        findings.add_object(INDEX_EXTRA, name, message);
    }
}

fn unknown(findings: &mut Findings, name: &str, shown: &str) {
    let message = format!("whether the other side has a counterpart of {shown} cannot be decided");
    findings.add_object(INDEX_UNKNOWN, name, message);
}

fn order(findings: &mut Findings, from: &IndexShape<'_>, to: &IndexShape<'_>) {
    let message = format!(
        "the source has {}, and the target has the same columns in another order: {}",
        from.describe(),
        to.describe()
    );
    findings.add_object(INDEX_ORDER, &from.index.name, message);
}

fn filter(findings: &mut Findings, from: &IndexShape<'_>, to: &IndexShape<'_>) {
    let message = format!(
        "the source has {}, and the index of the target covers other rows: {}",
        from.describe(),
        to.describe()
    );
    findings.add_object(INDEX_FILTER, &from.index.name, message);
}

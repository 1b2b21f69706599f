//! Rules for tables as a whole, and for databases.

use std::collections::{BTreeMap, BTreeSet};

use shared::finding::Finding;
use shared::naming::shared_forms;

use crate::engine::database::schema::{QualifiedName, TextComparison};
use crate::engine::schema::findings::Findings;
use crate::engine::schema::rule::{
    COLLATION_DEFAULT, DEFINITIONS_HIDDEN, PARTITIONING, ROW_ESTIMATE, TABLE_UNLISTED,
};
use crate::engine::schema::table_pair::TablePair;
use crate::engine::values::column::{CatalogTable, SideOf};
use crate::engine::values::pair::Pair;

/// Estimates that differ by fewer rows say nothing.
const FEWEST_ROWS: u64 = 1000;

/// The most names in one message.
const MOST_NAMES: usize = 10;

/// Compares partitioning and the estimated number of rows, and reports what the user cannot see.
pub(super) fn check(pair: &TablePair<'_>, findings: &mut Findings) {
    check_visibility(pair, findings);
    check_partitioning(pair, findings);
    let Pair { source, target } = pair
        .schemas
        .as_ref()
        .map(|schema| schema.table.estimated_rows);
    if let (Some(from), Some(to)) = (source, target) {
        let (fewer, more) = (from.min(to), from.max(to));
        if more - fewer >= FEWEST_ROWS && more / 2 > fewer {
            let message = format!(
                "the catalog of the source estimates {from} rows, and that of the target {to}; an estimate may be old"
            );
            findings.add(ROW_ESTIMATE, message);
        }
    }
}

fn check_visibility(pair: &TablePair<'_>, findings: &mut Findings) {
    for (side, name) in [(SideOf::Source, "source"), (SideOf::Target, "target")] {
        if !pair.schemas[side].are_definitions_visible {
            findings.add_remedy(
                DEFINITIONS_HIDDEN,
                name,
                format!("the endpoint's user of the {name} may not see the definitions of the table; defaults, computed columns, checks, foreign keys and triggers were not compared"),
                Some("grant VIEW DEFINITION on the database to the endpoint's user".to_owned()),
            );
        }
    }
}

fn check_partitioning(pair: &TablePair<'_>, findings: &mut Findings) {
    let columns = |side: SideOf| {
        let columns = pair.schemas[side].partitioned_by.as_ref()?;
        let names = columns.iter().map(|name| pair.common_name(side, name));
        Some(names.collect::<Vec<String>>())
    };
    let (from, to) = (columns(SideOf::Source), columns(SideOf::Target));
    if from == to || pair.has_view() {
        return;
    }
    let describe = |columns: Option<Vec<String>>| match columns {
        None => "not partitioned".to_owned(),
        Some(columns) if columns.is_empty() => "partitioned by an expression".to_owned(),
        Some(columns) => format!("partitioned by {}", columns.join(", ")),
    };
    let message = format!(
        "the table is {} in the source and {} in the target",
        describe(from),
        describe(to)
    );
    findings.add(PARTITIONING, message);
}

/// Reports once that the two databases compare texts differently.
pub(super) fn check_defaults(comparisons: Pair<Option<TextComparison>>) -> Vec<Finding> {
    let mut findings = Findings::of(None);
    if let (Some(from), Some(to)) = (comparisons.source, comparisons.target)
        && from != to
    {
        let message = format!(
            "the default collation of the source {}, and that of the target {}: conditions, unique keys and the order of texts may differ",
            from.describe(),
            to.describe()
        );
        findings.add(COLLATION_DEFAULT, message);
    }
    findings.into_vec()
}

/// Reports the tables of one side that the user does not name and whose name no table of the other
/// side has, in the schemas of those that the user names.
pub(super) fn check_unlisted(
    catalogs: &Pair<Vec<CatalogTable>>,
    named: &Pair<BTreeSet<QualifiedName>>,
) -> Vec<Finding> {
    let mut findings = Findings::of(None);
    for (side, other, name) in [
        (SideOf::Source, SideOf::Target, "source"),
        (SideOf::Target, SideOf::Source, "target"),
    ] {
        let others = catalogs[other].iter();
        let forms: BTreeSet<String> = others.flat_map(|table| shared_forms(&table.name)).collect();
        let schemas: BTreeSet<&str> = named[side]
            .iter()
            .map(|(schema, _)| schema.as_str())
            .collect();
        let mut alone: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for table in &catalogs[side] {
            let key = (table.schema.clone(), table.name.clone());
            let is_candidate = !table.is_system
                && !table.is_view
                && schemas.contains(table.schema.as_str())
                && !named[side].contains(&key);
            let has_partner = shared_forms(&table.name)
                .iter()
                .any(|form| forms.contains(form));
            if is_candidate && !has_partner {
                alone.entry(&table.schema).or_default().push(&table.name);
            }
        }
        for (schema, tables) in alone {
            let more = tables.len().saturating_sub(MOST_NAMES);
            let mut shown = tables[..tables.len() - more].join(", ");
            if more > 0 {
                shown += &format!(" and {more} more");
            }
            let message = format!(
                "only the {name} has these tables in the schema {schema}, and they are not compared: {shown}"
            );
            findings.add_object(TABLE_UNLISTED, schema, message);
        }
    }
    findings.into_vec()
}

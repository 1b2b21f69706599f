//! What two runs compared differently: other databases, another depth, other columns or rules.

use std::collections::BTreeMap;

use shared::coverage::{Coverage, PairedColumn};

use super::model::FactChange;
use crate::report::model::{DatabaseReport, RunReport, TableResult};
use crate::report::wording::rule_text;

impl FactChange {
    /// `None` if nothing changed.
    fn between(what: &str, before: Option<String>, after: Option<String>) -> Option<Self> {
        (before != after).then(|| Self {
            what: what.to_owned(),
            before,
            after,
        })
    }
}

/// Databases that are others, or are known in only one of the runs.
pub(super) fn databases(before: &RunReport, after: &RunReport) -> Vec<FactChange> {
    let sides = [
        ("source", &before.source, &after.source),
        ("target", &before.target, &after.target),
    ];
    sides
        .into_iter()
        .filter_map(|(side, before, after)| {
            let identity = |database: &Option<DatabaseReport>| identity(database.as_ref()?);
            FactChange::between(side, identity(before), identity(after))
        })
        .collect()
}

/// What identifies a database: not its endpoint's name, its version or the user.
fn identity(database: &DatabaseReport) -> Option<String> {
    let kind = database.kind?;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Some(format!(
        "{kind} at {}:{}, database {}, {}",
        text(&database.host),
        database.port.unwrap_or_default(),
        text(&database.database),
        text(&database.id),
    ))
}

/// What the runs as a whole compared differently.
pub(super) fn of_run(before: &RunReport, after: &RunReport) -> Vec<FactChange> {
    let depth = |report: &RunReport| Some(report.depth.as_str().to_owned());
    let strict = |report: &RunReport| Some(report.strict_tables.to_string());
    let selected = |report: &RunReport| {
        let from = report.selected_from.as_ref();
        let from = from.map(|from| format!("those that did not pass in run {}", from.run_id));
        Some(from.unwrap_or_else(|| "all of its list".to_owned()))
    };
    let more = |report: &RunReport| {
        let tables = &report.target_only_tables;
        (!tables.is_empty()).then(|| tables.join(", "))
    };
    let changes = [
        FactChange::between("depth", depth(before), depth(after)),
        FactChange::between("tables", selected(before), selected(after)),
        FactChange::between(
            "tables only in the target are a difference",
            strict(before),
            strict(after),
        ),
        FactChange::between("tables only in the target", more(before), more(after)),
    ];
    changes.into_iter().flatten().collect()
}

/// What was compared differently of one table. Of a table without a known coverage in one of the
/// runs, as one that failed, only the depth is compared.
pub(super) fn of_table(before: &TableResult, after: &TableResult) -> Vec<FactChange> {
    let (Some(depth_before), Some(depth_after)) = (before.depth, after.depth) else {
        return Vec::new();
    };
    let depth = FactChange::between(
        "depth",
        Some(depth_before.as_str().to_owned()),
        Some(depth_after.as_str().to_owned()),
    );
    let mut changes: Vec<FactChange> = depth.into_iter().collect();
    match (&before.coverage, &after.coverage) {
        (Some(was), Some(is)) => {
            let key =
                |result: &TableResult| (!result.key.is_empty()).then(|| result.key.join(", "));
            // Without reading values, no key is chosen.
            if depth_before == depth_after {
                changes.extend(FactChange::between("key", key(before), key(after)));
            }
            changes.extend(of_coverage(was, is));
        }
        (None, None) => {}
        (was, _) => {
            let known = |is_known: bool| (!is_known).then(|| "not known".to_owned());
            let (before, after) = (known(was.is_some()), known(was.is_none()));
            changes.extend(FactChange::between("columns", before, after));
        }
    }
    changes
}

fn of_coverage(before: &Coverage, after: &Coverage) -> Vec<FactChange> {
    let (names, conditions) = (
        |coverage: &Coverage| format!("{} = {}", coverage.source_table, coverage.target_table),
        [
            (
                "condition on the source",
                &before.source_condition,
                &after.source_condition,
            ),
            (
                "condition on the target",
                &before.target_condition,
                &after.target_condition,
            ),
        ],
    );
    let names = FactChange::between("tables", Some(names(before)), Some(names(after)));
    let conditions = conditions
        .into_iter()
        .filter_map(|(what, was, is)| FactChange::between(what, was.clone(), is.clone()));
    let (was, is) = (columns(before), columns(after));
    let mut all: Vec<&str> = was.keys().chain(is.keys()).copied().collect();
    all.sort_unstable();
    all.dedup();
    let columns = all.into_iter().filter_map(|column| {
        let text = |columns: &BTreeMap<&str, String>| columns.get(column).cloned();
        FactChange::between(&format!("column {column}"), text(&was), text(&is))
    });
    names.into_iter().chain(conditions).chain(columns).collect()
}

/// Every column of the source with how it is compared.
fn columns(coverage: &Coverage) -> BTreeMap<&str, String> {
    let paired = coverage.columns.iter();
    let mut columns: BTreeMap<&str, String> = paired
        .map(|column| (column.source.as_str(), compared(column)))
        .collect();
    let missing = coverage.missing_columns.iter();
    columns
        .extend(missing.map(|column| (column.name.as_str(), "missing in the target".to_owned())));
    let others = coverage.uncompared.iter();
    columns.extend(others.map(|column| (column.name.as_str(), "not compared".to_owned())));
    columns
}

/// `compared with v as integer, precision = 3`
fn compared(column: &PairedColumn) -> String {
    let rule = column.rule.as_ref().map(rule_text);
    let rule = rule.filter(|rule| !rule.is_empty());
    let rule = rule.map(|rule| format!(", rule: {rule}"));
    format!(
        "{} compared with {} {}{}",
        column.source_type,
        column.target,
        column.target_type,
        rule.unwrap_or_default()
    )
}

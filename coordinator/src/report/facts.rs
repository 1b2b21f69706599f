//! What a report says of a run as a whole, as pairs of a label and a text: who carried it out,
//! between which databases, and what was compared.

use shared::outcome::Depth;

use super::model::{DatabaseReport, RunReport};
use super::wording::plural;

/// A label and what it stands for. The text may contain any character.
pub(super) type Fact = (&'static str, String);

/// The version, the user and the machine: `reconcile 0.1.0, ops on host1`.
pub(super) fn origin(report: &RunReport) -> Option<String> {
    let origin = report.origin.as_ref()?;
    let user = origin.user.as_deref().unwrap_or("an unknown user");
    Some(format!(
        "reconcile {}, {user} on {}",
        origin.tool_version, origin.host
    ))
}

/// The databases of both sides, as far as the workers report them.
pub(super) fn databases(report: &RunReport) -> Vec<Fact> {
    let sides = [("source", &report.source), ("target", &report.target)];
    sides
        .into_iter()
        .filter_map(|(side, database)| Some((side, database_line(database.as_ref()?)?)))
        .collect()
}

/// `erp, SQL Server 16.0.4105.2 at sql1:1433, database erp, user reader`
pub(super) fn database_line(database: &DatabaseReport) -> Option<String> {
    let kind = database.kind?;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Some(format!(
        "{}, {kind} {} at {}:{}, database {}, user {}",
        database.endpoint,
        text(&database.version),
        text(&database.host),
        database.port.unwrap_or_default(),
        text(&database.database),
        text(&database.user),
    ))
}

/// What was compared, summed over the tables; nothing if no coverage is known.
pub(super) fn scope(report: &RunReport) -> Vec<Fact> {
    let scope = &report.scope;
    if scope.tables == 0 {
        return Vec::new();
    }
    let columns = &scope.columns;
    let depth = match report.depth {
        Depth::Counts => "the number of rows",
        Depth::Checksum => "a checksum over all values",
        Depth::Rows => "every row",
    };
    let mut facts = vec![
        ("compared", depth.to_owned()),
        ("tables paired", scope.tables_paired.describe()),
    ];
    if columns.paired.total() > 0 {
        facts.push(("columns paired", columns.paired.describe()));
    }
    let not_compared = vec![
        (columns.missing, "", "missing in the target"),
        (scope.left_out(), "", "left out or computed"),
        (columns.target_only, "", "only in the target"),
    ];
    let in_force = vec![
        (scope.columns_with_rule, "column", "with a rule"),
        (scope.tables_with_condition, "table", "with a condition"),
        (
            scope.columns_narrowed,
            "column",
            "whose target type holds less",
        ),
    ];
    for (label, parts) in [
        ("columns not compared", not_compared),
        ("in force", in_force),
    ] {
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, noun, words)| match noun {
                "" => format!("{count} {words}"),
                _ => format!("{} {words}", plural(count, noun)),
            })
            .collect();
        if !parts.is_empty() {
            facts.push((label, parts.join(", ")));
        }
    }
    facts
}

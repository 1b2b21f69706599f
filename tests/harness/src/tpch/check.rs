//! Compares a report with the plan: it must name exactly the planted differences.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use shared::outcome::{Difference, DifferenceKind};

use super::plan::{Plan, PlannedTable};

/// The part of a report that is compared with the plan.
#[derive(Debug, Deserialize)]
pub struct Report {
    status: String,
    total_tables: u64,
    results: Vec<TableResult>,
    errors: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct TableResult {
    table: String,
    status: String,
    #[serde(rename = "match")]
    is_match: bool,
    source_count: u64,
    target_count: u64,
    missing: usize,
    extra: usize,
    modified: usize,
    differences: Vec<Difference>,
    truncated: bool,
}

impl Report {
    /// How many modified, missing and extra rows the report counts in a table.
    #[must_use]
    pub fn counts(&self, table: &str) -> Option<[usize; 3]> {
        let result = self
            .results
            .iter()
            .find(|result| bare_name(&result.table) == table)?;
        Some([result.modified, result.missing, result.extra])
    }
}

/// What is wrong with the report, one line each; empty if it is exact.
#[must_use]
pub fn check(plan: &Plan, report: &Report) -> Vec<String> {
    let mut problems: Vec<String> = report
        .errors
        .iter()
        .map(|error| format!("not verified: {error}"))
        .collect();
    let mut results: BTreeMap<&str, Vec<&TableResult>> = BTreeMap::new();
    for result in &report.results {
        results
            .entry(bare_name(&result.table))
            .or_default()
            .push(result);
    }
    for table in &plan.tables {
        match results.remove(table.name.as_str()).as_deref() {
            None => problems.push(format!("{}: not in the report", table.name)),
            Some([result]) => check_table(table, result, &mut problems),
            Some(more) => problems.push(format!(
                "{}: {} results instead of one",
                table.name,
                more.len()
            )),
        }
    }
    problems.extend(
        results
            .keys()
            .map(|name| format!("{name}: in the report and not in the plan")),
    );
    if report.total_tables != plan.tables.len() as u64 {
        problems.push(format!(
            "total_tables is {} instead of {}",
            report.total_tables,
            plan.tables.len()
        ));
    }
    let status = if plan.tables.iter().all(|table| table.differences.is_empty()) {
        "PASS"
    } else {
        "FAIL"
    };
    if report.status != status {
        problems.push(format!(
            "the status is {} instead of {status}",
            report.status
        ));
    }
    problems
}

fn check_table(planned: &PlannedTable, result: &TableResult, problems: &mut Vec<String>) {
    let name = &planned.name;
    let equal = planned.differences.is_empty();
    let mut expect = |what: &str, found: String, wanted: String| {
        if found != wanted {
            problems.push(format!("{name}: {what} is {found} instead of {wanted}"));
        }
    };
    expect(
        "status",
        result.status.clone(),
        if equal { "matched" } else { "mismatched" }.to_owned(),
    );
    expect("match", result.is_match.to_string(), equal.to_string());
    expect(
        "source_count",
        result.source_count.to_string(),
        planned.source_count.to_string(),
    );
    expect(
        "target_count",
        result.target_count.to_string(),
        planned.target_count.to_string(),
    );
    expect(
        "missing",
        result.missing.to_string(),
        planned.count(DifferenceKind::Missing).to_string(),
    );
    expect(
        "extra",
        result.extra.to_string(),
        planned.count(DifferenceKind::Extra).to_string(),
    );
    expect(
        "modified",
        result.modified.to_string(),
        planned.count(DifferenceKind::Modified).to_string(),
    );
    expect("truncated", result.truncated.to_string(), false.to_string());

    // As a multiset: a table without a key may have the same row twice.
    let mut balance: BTreeMap<String, i64> = BTreeMap::new();
    for difference in &planned.differences {
        *balance.entry(describe(difference)).or_default() -= 1;
    }
    for difference in &result.differences {
        *balance.entry(describe(difference)).or_default() += 1;
    }
    for (difference, count) in balance {
        match count {
            0 => {}
            1.. => problems.push(format!("{name}: reported and not planted: {difference}")),
            _ => problems.push(format!("{name}: planted and not reported: {difference}")),
        }
    }
}

/// Everything about a difference that the plan fixes, as one line.
fn describe(difference: &Difference) -> String {
    let key: Vec<String> = difference
        .key
        .iter()
        .map(|(name, value)| format!("{name}={}", notation(value)))
        .collect();
    let mut line = format!("{:?} {}", difference.kind, key.join(", "));
    if difference.kind == DifferenceKind::Modified || difference.key.is_empty() {
        let columns: BTreeMap<&str, String> = difference
            .columns
            .iter()
            .map(|column| {
                (
                    column.name.as_str(),
                    format!(
                        "{} -> {}",
                        notation(&column.source),
                        notation(&column.target)
                    ),
                )
            })
            .collect();
        for (name, values) in columns {
            line += &format!("; {name}: {values}");
        }
    }
    line
}

/// A value in a notation that numbers, texts and times share, whatever the
/// report writes: no trailing blanks, no trailing zeros behind a decimal point.
fn notation(value: &Value) -> String {
    let Value::String(text) = value else {
        return trim_decimals(&value.to_string()).to_owned();
    };
    let text = text.trim_end_matches(' ');
    let is_time = text.len() >= 19
        && text.as_bytes()[4] == b'-'
        && matches!(text.as_bytes()[10], b'T' | b' ');
    if is_time {
        trim_decimals(&text.replacen('T', " ", 1)).to_owned()
    } else {
        trim_decimals(text).to_owned()
    }
}

fn trim_decimals(text: &str) -> &str {
    match text.rsplit_once('.') {
        Some((whole, decimals))
            if whole.ends_with(|c: char| c.is_ascii_digit())
                && decimals.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            text.trim_end_matches('0').trim_end_matches('.')
        }
        _ => text,
    }
}

fn bare_name(table: &str) -> &str {
    table.rsplit('.').next().unwrap_or(table)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan() -> Plan {
        serde_json::from_value(json!({ "tables": [
            { "name": "a", "source_count": 9, "target_count": 9, "differences": [
                { "kind": "modified", "key": { "id": "7" }, "columns": [{ "name": "price", "source": "1.50", "target": "1.51" }] },
            ] },
            { "name": "b", "source_count": 1, "target_count": 1, "differences": [] },
        ] }))
        .unwrap()
    }

    fn report(price: &str, kind: &str) -> Report {
        serde_json::from_value(json!({ "status": "FAIL", "total_tables": 2, "errors": [], "results": [
            { "table": "dbo.a", "status": "mismatched", "match": false, "source_count": 9, "target_count": 9,
              "missing": 0, "extra": 0, "modified": 1, "truncated": false, "differences": [
                { "kind": kind, "key": { "id": 7 }, "columns": [{ "name": "price", "source": "1.5", "target": price }] },
            ] },
            { "table": "b", "status": "matched", "match": true, "source_count": 1, "target_count": 1,
              "missing": 0, "extra": 0, "modified": 0, "truncated": false, "differences": [] },
        ] }))
        .unwrap()
    }

    #[test]
    fn an_exact_report_has_no_problems_in_any_notation() {
        assert_eq!(
            check(&plan(), &report("1.51", "modified")),
            Vec::<String>::new()
        );
        assert_eq!(
            check(&plan(), &report("1.5100", "modified")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_deviation_is_named() {
        let wrong_value = check(&plan(), &report("1.52", "modified"));
        assert_eq!(wrong_value.len(), 2, "{wrong_value:?}");
        let wrong_kind = check(&plan(), &report("1.51", "extra"));
        assert_eq!(wrong_kind.len(), 2, "{wrong_kind:?}");
        let mut fewer = report("1.51", "modified");
        fewer.results.pop();
        assert_eq!(check(&plan(), &fewer), ["b: not in the report"]);
        let mut unverified = report("1.51", "modified");
        unverified.errors.push(json!("x"));
        assert_eq!(check(&plan(), &unverified).len(), 1);
        let mut less = report("1.51", "modified");
        less.results[0].differences.clear();
        assert_eq!(
            check(&plan(), &less),
            ["a: planted and not reported: Modified id=7; price: 1.5 -> 1.51"]
        );
    }
}

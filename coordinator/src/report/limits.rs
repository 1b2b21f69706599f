//! What limits the comparison of a table: conditions, columns that are left out, rules, and types
//! that hold less. A verdict does not cover more.

use shared::coverage::{ColumnSide, Coverage, Uncompared};

use super::model::TableResult;
use super::visible::{name, printable};
use super::wording::rule_text;

/// One line for each limit. Columns that only one side has are in the notes and the structure.
pub(super) fn limits(result: &TableResult) -> Vec<String> {
    let Some(coverage) = &result.coverage else {
        return Vec::new();
    };
    let mut limits = Vec::new();
    let conditions = [
        ("source", &coverage.source_condition),
        ("target", &coverage.target_condition),
    ];
    for (side, condition) in conditions {
        if let Some(condition) = condition {
            limits.push(printable(&format!(
                "only rows of the {side} where {condition}"
            )));
        }
    }
    let left_out = [
        (
            "left out of the source",
            ColumnSide::Source,
            Uncompared::LeftOut,
        ),
        (
            "left out of the target",
            ColumnSide::Target,
            Uncompared::LeftOut,
        ),
        (
            "computed by the source and not compared",
            ColumnSide::Source,
            Uncompared::Computed,
        ),
        (
            "marks deleted rows",
            ColumnSide::Target,
            Uncompared::SoftDeleteMark,
        ),
    ];
    for (words, side, reason) in left_out {
        let columns = columns(coverage, side, reason);
        if !columns.is_empty() {
            limits.push(format!("{words}: {}", columns.join(", ")));
        }
    }
    for column in &coverage.columns {
        let title = name(&column.source);
        let rule = column.rule.as_ref().map(rule_text);
        if let Some(rule) = rule.filter(|rule| !rule.is_empty()) {
            limits.push(format!("{title}: rule {}", printable(&rule)));
        }
        if let Some(narrowed) = &column.narrowed {
            let narrowed = printable(narrowed);
            limits.push(format!("{title}: the target's type cannot hold {narrowed}"));
        }
    }
    limits
}

fn columns(coverage: &Coverage, side: ColumnSide, reason: Uncompared) -> Vec<String> {
    let columns = coverage.uncompared.iter();
    columns
        .filter(|column| column.side == side && column.reason == reason)
        .map(|column| name(&column.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::samples::mixed;

    #[test]
    fn every_limit_has_a_line() {
        let mut report = mixed();
        let result = &mut report.results[0];
        assert_eq!(limits(result), [""; 0]);
        let column = |more: serde_json::Value| {
            let mut column = json!({
                "source": "at", "source_type": "datetime2", "target": "at",
                "target_type": "timestamp", "pairing": "exact",
            });
            column
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            column
        };
        let coverage = json!({
            "source_table": "dbo.t", "target_table": "public.t", "table_pairing": "exact",
            "columns": [
                column(json!({ "rule": { "precision": 3 } })),
                column(json!({ "narrowed": "6 of 7 digits of a second" })),
            ],
            "key_origin": null, "missing_columns": [], "missing_columns_are": "note",
            "uncompared": [
                { "name": "a\u{1b}", "side": "source", "reason": "left-out" },
                { "name": "b", "side": "source", "reason": "computed" },
                { "name": "gone", "side": "target", "reason": "soft-delete-mark" },
            ],
            "source_condition": "year > 2020", "target_condition": null,
        });
        result.coverage = Some(serde_json::from_value(coverage).unwrap());
        assert_eq!(
            limits(result),
            [
                "only rows of the source where year > 2020",
                "left out of the source: a\\u{1b}",
                "computed by the source and not compared: b",
                "marks deleted rows: gone",
                "at: rule precision = 3",
                "at: the target's type cannot hold 6 of 7 digits of a second",
            ]
        );
        let html = report.to_html();
        assert!(html.contains("<h2>Limits of the comparison</h2>"), "{html}");
        assert!(html.contains("at: rule precision = 3"), "{html}");
        let markdown = report.to_markdown();
        assert!(
            markdown.contains("<summary>Limits of the comparison (6)</summary>"),
            "{markdown}"
        );
    }
}

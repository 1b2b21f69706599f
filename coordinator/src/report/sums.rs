//! Every number in a report that a reader would add up adds up, in every format.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Utc;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use shared::coverage::{
    ColumnSide, Coverage, MissingColumn, PairedColumn, Uncompared, UncomparedColumn,
};
use shared::ids::{Attempt, RunId, WorkerId};
use shared::message::TableSpec;
use shared::naming::NameMatch;
use shared::options::MissingColumns;
use shared::outcome::{Comparison, Depth, Difference, DifferenceKind, Outcome, RowCounts};

use super::schema::schema;
use super::{Origin, ReportData, ReportVerdict, RunReport};
use crate::run_state::testing::{compared, failed, spec};
use crate::run_state::{CancelReason, TableRecord, TableScope, Verdict};

/// What becomes of a column.
#[derive(Debug, Clone, Copy)]
enum Column {
    Paired(NameMatch),
    Missing,
    Source(Uncompared),
    Target(Uncompared),
}

/// A table that was compared.
#[derive(Debug, Clone)]
struct Compared {
    depth: Depth,
    columns: Option<Vec<Column>>,
    missing_is_noted: bool,
    counts: (u64, u64),
    rows: [u64; 3],
    listed: u64,
}

#[derive(Debug, Clone)]
enum End {
    Compared(Compared),
    Failed,
    TimedOut,
    Cancelled,
}

fn column() -> impl Strategy<Value = Column> {
    let pairing = prop::sample::select(vec![
        NameMatch::Given,
        NameMatch::Exact,
        NameMatch::IgnoreCase,
        NameMatch::Normalised,
        NameMatch::Cut,
    ]);
    let of_source = prop::sample::select(vec![Uncompared::LeftOut, Uncompared::Computed]);
    let of_target = prop::sample::select(vec![
        Uncompared::LeftOut,
        Uncompared::TargetOnly,
        Uncompared::TargetOnlyRequired,
        Uncompared::SoftDeleteMark,
    ]);
    prop_oneof![
        4 => pairing.prop_map(Column::Paired),
        1 => Just(Column::Missing),
        1 => of_source.prop_map(Column::Source),
        1 => of_target.prop_map(Column::Target),
    ]
}

fn end() -> impl Strategy<Value = End> {
    let compared = (
        prop::sample::select(Depth::ALL.to_vec()),
        prop::option::weighted(0.9, vec(column(), 0..8)),
        any::<bool>(),
        (0..4_u64, 0..4_u64),
        prop_oneof![Just([0; 3]), [0..3_u64, 0..3, 0..3]],
        0..6_u64,
    );
    let compared = compared.prop_map(|(depth, columns, missing_is_noted, counts, rows, listed)| {
        End::Compared(Compared {
            depth,
            columns,
            missing_is_noted,
            counts,
            rows,
            listed,
        })
    });
    prop_oneof![
        8 => compared,
        1 => Just(End::Failed),
        1 => Just(End::TimedOut),
        1 => Just(End::Cancelled),
    ]
}

fn coverage(columns: &[Column], missing_is_noted: bool) -> Coverage {
    let mut coverage = Coverage {
        source_table: "dbo.t".to_owned(),
        target_table: "public.t".to_owned(),
        table_pairing: Some(NameMatch::Exact),
        missing_columns_are: if missing_is_noted {
            MissingColumns::Note
        } else {
            MissingColumns::Difference
        },
        ..Coverage::default()
    };
    for (at, column) in columns.iter().enumerate() {
        let name = format!("c{at}");
        let mut leave_out = |side, reason| {
            coverage.uncompared.push(UncomparedColumn {
                name: name.clone(),
                side,
                reason,
            });
        };
        match *column {
            Column::Paired(pairing) => coverage.columns.push(PairedColumn {
                source: name.clone(),
                source_type: "int".to_owned(),
                target: name,
                target_type: "integer".to_owned(),
                pairing,
                rule: None,
                narrowed: None,
            }),
            Column::Missing => coverage.missing_columns.push(MissingColumn {
                name,
                declared: "char(3)".to_owned(),
                nearest: None,
            }),
            Column::Source(reason) => leave_out(ColumnSide::Source, reason),
            Column::Target(reason) => leave_out(ColumnSide::Target, reason),
        }
    }
    coverage
}

fn difference(at: u64, kind: DifferenceKind) -> Difference {
    Difference {
        kind,
        key: serde_json::Map::from_iter([("id".to_owned(), at.into())]),
        columns: Vec::new(),
    }
}

fn verdict(end: &End) -> Verdict {
    let table = match end {
        End::Compared(table) => table,
        End::Failed => {
            let Outcome::Failed(failure) = failed(false, true) else {
                panic!("failed");
            };
            return Verdict::Failed(failure);
        }
        End::TimedOut => {
            return Verdict::TimedOut {
                allowed: Duration::from_secs(1),
            };
        }
        End::Cancelled => return Verdict::Cancelled(CancelReason::Requested),
    };
    let Outcome::Compared(comparison) = compared(table.rows.iter().sum()) else {
        panic!("compared");
    };
    let [missing, extra, modified] = table.rows;
    let rows = RowCounts {
        missing,
        extra,
        modified,
        settled: 0,
        truncated: false,
    };
    let coverage = table.columns.as_deref();
    let comparison = Comparison {
        source_count: table.counts.0,
        target_count: table.counts.1,
        checksums: comparison.checksums.filter(|_| table.depth > Depth::Counts),
        rows: (table.depth == Depth::Rows).then_some(rows),
        coverage: coverage.map(|columns| Box::new(coverage_of(columns, table))),
        ..comparison
    };
    let kinds = [
        (missing, DifferenceKind::Missing),
        (extra, DifferenceKind::Extra),
        (modified, DifferenceKind::Modified),
    ];
    let all = kinds
        .into_iter()
        .flat_map(|(count, kind)| (0..count).map(move |at| difference(at, kind)));
    let listed = usize::try_from(table.listed).unwrap();
    Verdict::Compared {
        differences: if table.depth == Depth::Rows {
            all.take(listed).collect()
        } else {
            Vec::new()
        },
        comparison: Box::new(comparison),
    }
}

fn coverage_of(columns: &[Column], table: &Compared) -> Coverage {
    coverage(columns, table.missing_is_noted)
}

fn report(ends: &[End]) -> RunReport {
    let tables = ends.iter().enumerate().map(|(at, end)| {
        let record = TableRecord {
            verdict: verdict(end),
            attempt: Attempt::FIRST,
            worker: Some(WorkerId::named("w")),
            duration: Some(Duration::from_millis(1500)),
            quiet_after: None,
            unconfirmed: Vec::new(),
            history: Vec::new(),
        };
        (spec(&format!("t{at}")), record)
    });
    let tables: Vec<(TableSpec, TableRecord)> = tables.collect();
    RunReport::of(ReportData {
        run: RunId::generate(),
        started_at: Utc::now(),
        duration: Duration::from_secs(1),
        max_workers: 1,
        interrupted: false,
        root_cause: None,
        tables,
        notes: Vec::new(),
        scope: TableScope::default(),
        trace_id: None,
        origin: Some(Origin::of_this_process()),
        databases: None,
    })
}

fn number(value: &Value, path: &str) -> u64 {
    let found = value.pointer(path).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("{path} is no number in {value:#}"))
}

fn sum_of(value: &Value) -> u64 {
    let parts = value.as_object().unwrap().values();
    parts.map(|part| part.as_u64().unwrap()).sum()
}

/// The sums within one table, and of the tables to those of the run.
fn check_columns(report: &Value, ends: &[End]) {
    let results = report["results"].as_array().unwrap();
    let fields = ["source", "compared", "missing", "uncompared", "target_only"];
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    let mut pairings: BTreeMap<String, u64> = BTreeMap::new();
    let mut covered = 0;
    for (result, end) in results.iter().zip(ends) {
        let End::Compared(Compared {
            columns: Some(columns),
            depth,
            ..
        }) = end
        else {
            assert_eq!(result["columns"], Value::Null);
            continue;
        };
        covered += 1;
        let of = |field: &str| number(result, &format!("/columns/{field}"));
        let of_source = columns.iter();
        let of_source = of_source.filter(|column| !matches!(column, Column::Target(_)));
        assert_eq!(of("source"), of_source.count() as u64);
        assert_eq!(
            of("source"),
            of("compared") + of("missing") + of("uncompared")
        );
        let paired = sum_of(&result["columns"]["paired"]);
        let compared = if *depth == Depth::Counts { 0 } else { paired };
        assert_eq!(of("compared"), compared);
        for field in fields {
            *sums.entry(field).or_default() += of(field);
        }
        for (rule, count) in result["columns"]["paired"].as_object().unwrap() {
            *pairings.entry(rule.clone()).or_default() += count.as_u64().unwrap();
        }
    }
    assert_eq!(number(report, "/scope/tables"), covered);
    assert_eq!(sum_of(&report["scope"]["tables_paired"]), covered);
    for (field, sum) in sums {
        assert_eq!(number(report, &format!("/scope/columns/{field}")), sum);
    }
    for (rule, sum) in pairings {
        assert_eq!(
            number(report, &format!("/scope/columns/paired/{rule}")),
            sum
        );
    }
}

fn check_rows(report: &Value) {
    for result in report["results"].as_array().unwrap() {
        if let (Some(source), Some(target)) = (
            result["source_count"].as_i64(),
            result["target_count"].as_i64(),
        ) {
            assert_eq!(result["difference"], target - source);
        }
        if result["missing"].is_null() {
            continue;
        }
        let counts =
            ["missing", "extra", "modified"].map(|field| number(result, &format!("/{field}")));
        let listed = result["differences"].as_array().unwrap();
        let all: u64 = counts.iter().sum();
        assert_eq!(result["truncated"], all > listed.len() as u64);
        for (kind, count) in ["missing", "extra", "modified"].iter().zip(counts) {
            let of_kind = listed.iter().filter(|row| row["kind"] == *kind).count();
            assert!(of_kind as u64 <= count, "{result:#}");
        }
    }
}

/// A line of the CSV has what the result of the JSON has.
fn check_csv(report: &Value, csv: &str) {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header: Vec<String> = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    let lines: Vec<BTreeMap<String, String>> = reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            header
                .iter()
                .cloned()
                .zip(record.iter().map(str::to_owned))
                .collect()
        })
        .collect();
    let results = report["results"].as_array().unwrap();
    assert_eq!(lines.len(), results.len());
    for (line, result) in lines.iter().zip(results) {
        let pairs = [
            ("table", "/table"),
            ("status", "/status"),
            ("verdict", "/verdict"),
            ("depth", "/depth"),
            ("source_count", "/source_count"),
            ("target_count", "/target_count"),
            ("difference", "/difference"),
            ("missing", "/missing"),
            ("extra", "/extra"),
            ("modified", "/modified"),
            ("source_columns", "/columns/source"),
            ("compared_columns", "/columns/compared"),
            ("missing_columns", "/columns/missing"),
            ("uncompared_columns", "/columns/uncompared"),
        ];
        for (column, path) in pairs {
            let in_json = match result.pointer(path) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            assert_eq!(line[column], in_json, "{column}: {result:#}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn every_number_adds_up(ends in vec(end(), 0..6)) {
        let report = report(&ends);
        let json: Value = serde_json::from_str(&report.to_json()).unwrap();
        let words = ["matched", "mismatched", "failed", "timeout", "cancelled"];
        let counts: Vec<u64> = words.iter().map(|word| number(&json, &format!("/{word}"))).collect();
        prop_assert_eq!(counts.iter().sum::<u64>(), ends.len() as u64);
        prop_assert_eq!(number(&json, "/total_tables"), ends.len() as u64);
        prop_assert_eq!(number(&json, "/successful"), counts[0] + counts[1]);
        check_columns(&json, &ends);
        check_rows(&json);
        check_csv(&json, &report.to_csv());
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let errors: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
        prop_assert!(errors.is_empty(), "{:?}", errors);
        // The console has the same numbers, and no character that a terminal interprets.
        let console = report.to_console(false);
        let line = format!("{} matched, {} mismatched", counts[0], counts[1]);
        prop_assert!(console.contains(&line), "{}", console);
    }

    /// A missing column never hides behind `equal`.
    #[test]
    fn equal_means_that_every_column_was_compared(ends in vec(end(), 1..4)) {
        let report = report(&ends);
        let hides_a_column = |end: &End| matches!(
            end,
            End::Compared(Compared { columns: Some(columns), missing_is_noted: false, .. })
                if columns.iter().any(|column| matches!(column, Column::Missing))
        );
        let counts_only = |end: &End| matches!(end, End::Compared(Compared { depth: Depth::Counts, .. }));
        if matches!(report.verdict, ReportVerdict::Equal) {
            prop_assert!(!ends.iter().any(hides_a_column));
            prop_assert!(!ends.iter().any(counts_only));
            prop_assert!(report.depth > Depth::Counts);
        }
        if matches!(report.verdict, ReportVerdict::CountsEqual) {
            prop_assert!(!ends.iter().any(hides_a_column));
            prop_assert!(report.to_console(false).starts_with("COUNTS EQUAL: "));
        }
    }
}

//! The content of a report in each of its formats.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};
use shared::failure::FailureKind;
use shared::ids::RunId;
use shared::outcome::{ColumnDifference, Difference, DifferenceKind, Failure, Outcome};

use super::samples::{explained, mixed, report, report_of_all};
use super::*;
use crate::run_state::testing::{compared, failed, limits, spec};
use crate::run_state::{RunSummary, TableRecord, TableScope, TableStatus};

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one report with every field")]
fn the_json_report_has_the_documented_fields() {
    let json: Value = serde_json::from_str(&mixed().to_json()).unwrap();
    let documented = [
        "run_id",
        "status",
        "timestamp",
        "duration_seconds",
        "max_workers",
        "total_tables",
        "successful",
        "matched",
        "mismatched",
        "failed",
        "timeout",
        "cancelled",
        "results",
        "errors",
        "root_cause",
    ];
    let more = [
        "interrupted",
        "notes",
        "trace_id",
        "schema_version",
        "verdict",
        "depth",
        "origin",
        "source",
        "target",
        "scope",
        "strict_tables",
        "target_only_tables",
    ];
    let mut expected: Vec<&str> = documented.into_iter().chain(more).collect();
    let mut found = keys(&json);
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(
        keys(&json["results"][0]),
        [
            "table",
            "target",
            "match",
            "status",
            "verdict",
            "depth",
            "source_count",
            "target_count",
            "difference",
            "source_checksum",
            "target_checksum",
            "checksum_match",
            "checksum_key",
            "missing",
            "extra",
            "modified",
            "settled",
            "differences",
            "truncated",
            "causes",
            "source_read",
            "target_read",
            "worker",
            "attempt",
            "duration_seconds",
            "key",
            "columns",
            "coverage",
            "notes",
            "quiet_after_ms",
        ]
    );
    assert_eq!(
        keys(&json["errors"][0]),
        [
            "table",
            "type",
            "error",
            "retryable",
            "attempt",
            "worker",
            "history"
        ]
    );
    assert_eq!(
        json["root_cause"],
        json!({"table": "t2", "type": "TableNotFound", "error": "TableNotFound happened"})
    );
    assert_eq!(json["timestamp"], "2023-11-14T22:13:20.123Z");
    assert_eq!(
        (&json["duration_seconds"], &json["status"]),
        (&json!(2.345), &json!("INCOMPLETE"))
    );
    let difference = &json["results"][1]["differences"][0];
    assert_eq!(
        difference["columns"][1],
        json!({"name": "n", "source": 1, "target": 2})
    );
    assert_eq!(json["results"][2]["source_count"], Value::Null);
    assert_eq!(json["results"][2]["match"], json!(false));
    let types: Vec<&str> = json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["TableNotFound", "CancelledError"]);
}

#[test]
fn only_a_run_that_verified_everything_passes() {
    let end = |outcomes: Vec<Outcome>| {
        let last = compared(0);
        let outcomes = outcomes
            .into_iter()
            .chain([last])
            .map(|outcome| (outcome, Vec::new()))
            .collect();
        report(outcomes, limits(1), true)
    };
    let all = report_of_all(vec![compared(0), compared(0)]);
    assert_eq!((all.status, all.successful), (RunStatus::Pass, 2));
    let differs = report_of_all(vec![compared(0), compared(1)]);
    assert_eq!((differs.status, differs.mismatched), (RunStatus::Fail, 1));
    let both = report_of_all(vec![failed(false, true), compared(1)]);
    assert_eq!((both.status, both.failed), (RunStatus::Incomplete, 1));
    let cancelled = end(vec![]);
    assert_eq!(
        (cancelled.status, cancelled.cancelled, cancelled.interrupted),
        (RunStatus::Incomplete, 1, true)
    );
}

#[test]
fn the_csv_report_has_one_line_per_table() {
    let text = mixed().to_csv();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(
        lines[0].starts_with("table,target,status,match,source_count,"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("t0,t0,matched,true,10,10,0,"),
        "{text}"
    );
    assert!(
        lines[3].contains("TableNotFound,TableNotFound happened,,,,incomplete,,"),
        "{text}"
    );
    assert!(
        lines[4].contains("CancelledError,\"not started, because t2 ended the run\",,,"),
        "{text}"
    );
}

#[test]
fn the_console_shows_the_verdict_first_and_what_needs_attention() {
    let text = mixed().to_console(false);
    let expected = "\
INCOMPLETE: 2 of 4 tables could not be verified; 1 different
4 tables: 1 matched, 1 mismatched, 1 failed, 1 cancelled, in 2.3 s
run 01900000-0000-7000-8000-000000000000 of 2023-11-14T22:13:20.123Z
by reconcile 0.1.0, ops on host1

ended by t2: TableNotFound: TableNotFound happened

Not verified
  t2  TableNotFound: TableNotFound happened

1 table cancelled before it could be verified

Different
  t1  10 rows on both sides; 0 missing, 0 extra, 1 modified
    modified  id=7  v: 'a\\u{1b}[31m\\n' → null  n: 1 → 2
  →: from the source's value to the target's; \\u{…}: a character by its code

Slowest
  t0  1.5 s  10 rows
  t1  1.5 s  10 rows
  t2  1.5 s
";
    assert_eq!(text, expected);
    assert!(
        mixed()
            .to_console(true)
            .contains("\u{1b}[1;33mINCOMPLETE\u{1b}[0m")
    );
}

/// Names and messages come from databases. None of them reaches the terminal as a command.
#[test]
fn no_control_character_reaches_the_console() {
    let hostile = "a\u{1b}[2J\u{7}\r\nb";
    let mut report = explained();
    for result in &mut report.results {
        result.table = hostile.to_owned();
        result.target = hostile.to_owned();
        result.notes.push(hostile.to_owned());
        result.differences.push(Difference {
            kind: DifferenceKind::Modified,
            key: serde_json::Map::from_iter([(hostile.to_owned(), json!(hostile))]),
            columns: vec![ColumnDifference {
                name: hostile.to_owned(),
                source: json!(hostile),
                target: json!("b"),
            }],
        });
        for cause in &mut result.causes {
            cause.column = Some(hostile.to_owned());
        }
    }
    report.notes.push(hostile.to_owned());
    let mut failed = mixed();
    report.errors = std::mem::take(&mut failed.errors);
    for error in &mut report.errors {
        error.table = hostile.to_owned();
        error.error = hostile.to_owned();
    }
    let console = report.to_console(false);
    let control = console.chars().find(|it| it.is_control() && *it != '\n');
    assert_eq!(control, None, "{console:?}");
    assert!(console.contains("a\\u{1b}[2J\\u{7}\\r\\nb"), "{console}");
}

#[test]
fn causes_and_reads_are_in_every_format() {
    let report = explained();
    let json: Value = serde_json::from_str(&report.to_json()).unwrap();
    let result = &json["results"][0];
    assert_eq!(
        result["causes"][0],
        json!({
            "column": "at",
            "cause": "fraction-truncated",
            "explanation": "cut to milliseconds in the target",
            "rows": 3,
            "examined": 4,
            "pairs_keys": false,
            "example": {"key": {"id": 7}, "source": "12:00:00.123456", "target": "12:00:00.123"},
            "option": "rules.at = { precision = 3 }",
            "also_ignores": "every difference in further digits of a second",
        })
    );
    assert_eq!(
        result["source_read"],
        json!({
            "isolation": "SNAPSHOT",
            "started_at": "2026-01-31T12:00:01.000Z",
            "finished_at": "2026-01-31T12:00:11.000Z",
        })
    );
    assert_eq!(result["settled"], json!(2));

    let csv = report.to_csv();
    let line = csv.lines().nth(1).unwrap();
    assert!(
        line.contains(
            ",\"3 of 4 rows: at: cut to milliseconds in the target; 1 of 4 rows: the row is newer in the source, as at says\",SNAPSHOT 2026-01-31T12:00:01.000Z/2026-01-31T12:00:11.000Z,REPEATABLE READ 2026-01-31T12:00:02.000Z/2026-01-31T12:00:12.000Z"
        ),
        "{line}"
    );

    let console = report.to_console(false);
    let expected = "\
Different
  t0  10 rows on both sides; 0 missing, 0 extra, 1 modified; 2 more settled
    known causes, among the rows that are listed:
      3 of 4 rows: at: cut to milliseconds in the target
        rules.at = { precision = 3 } ignores this, and every difference in further digits of a second
      1 of 4 rows: the row is newer in the source, as at says
    read: source 2026-01-31T12:00:01.000Z to 2026-01-31T12:00:11.000Z, target 2026-01-31T12:00:02.000Z to 2026-01-31T12:00:12.000Z

Notes
  t1: read under READ COMMITTED in the source, REPEATABLE READ in the target
  t0: read under SNAPSHOT in the source, REPEATABLE READ in the target
";
    assert!(console.ends_with(expected), "{console}");
}

#[test]
fn sessions_whose_statements_may_still_run_are_named_in_every_format() {
    let record = |verdict| {
        let record = json!({
            "verdict": verdict, "attempt": 1, "worker": "w", "duration": null,
            "quiet_after": null, "history": [],
            "unconfirmed": [{"endpoint": "erp", "number": 57, "name": "reconcile 1 dbo.t #00ff"}],
        });
        serde_json::from_value::<TableRecord>(record).unwrap()
    };
    let timed_out = record(json!({"timed_out": {"allowed": {"secs": 60, "nanos": 0}}}));
    let cancelled = record(json!({"cancelled": "requested"}));
    let report = RunReport::of(ReportData {
        run: RunId::generate(),
        started_at: Utc::now(),
        duration: Duration::from_secs(61),
        max_workers: 1,
        interrupted: true,
        root_cause: None,
        tables: vec![(spec("t"), timed_out), (spec("u"), cancelled)],
        notes: Vec::new(),
        scope: TableScope::default(),
        trace_id: None,
        origin: None,
        databases: None,
    });
    let json: Value = serde_json::from_str(&report.to_json()).unwrap();
    for result in json["results"].as_array().unwrap() {
        assert_eq!(result["unconfirmed_sessions"][0]["number"], 57, "{result}");
        assert_eq!(result["quiet_after_ms"], Value::Null);
    }
    let named = "session 57 of endpoint `erp`, named `reconcile 1 dbo.t #00ff`";
    for error in json["errors"].as_array().unwrap() {
        assert!(error["error"].as_str().unwrap().contains(named), "{error}");
    }
    for text in [report.to_console(false), report.to_csv()] {
        assert_eq!(text.matches(named).count(), 2, "{text}");
    }
}

/// A run that an earlier version stored has no header and no coverage.
#[test]
fn a_stored_run_of_an_earlier_version_has_a_report() {
    let summary = json!({
        "status": "PASS", "interrupted": false, "duration": {"secs": 1, "nanos": 0},
        "max_workers": 1,
        "counts": {"matched": 1, "mismatched": 0, "failed": 0, "timeout": 0, "cancelled": 0},
    });
    let summary: RunSummary = serde_json::from_value(summary).unwrap();
    let record = json!({
        "verdict": {"compared": {
            "comparison": {"source_count": 2, "target_count": 2, "checksums": null, "rows": null},
            "differences": [],
        }},
        "attempt": 1, "worker": null, "duration": null, "quiet_after": null, "history": [],
    });
    let record: TableRecord = serde_json::from_value(record).unwrap();
    let mut report = RunReport::of(ReportData {
        run: RunId::generate(),
        started_at: Utc::now(),
        duration: summary.duration,
        max_workers: summary.max_workers,
        interrupted: summary.interrupted,
        root_cause: None,
        tables: vec![(spec("t"), record)],
        notes: summary.notes,
        scope: TableScope::default(),
        trace_id: summary.trace_id,
        origin: summary.origin,
        databases: summary.databases,
    });
    report.run_id = "R".to_owned();
    report.timestamp = "T".to_owned();
    assert_eq!(report.verdict, ReportVerdict::CountsEqual);
    assert_eq!(
        report.to_console(false),
        "COUNTS EQUAL: the row counts of 1 table agree; values were not compared\n\
         1 table: 1 matched, 0 mismatched, in 1.0 s\nrun R of T\n"
    );
    let json: Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(
        (&json["origin"], &json["results"][0]["columns"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(report.to_csv().lines().count(), 2);
}

/// The one file that is prepared at `path`.
fn prepare(path: &Path) -> Result<Output, OutputError> {
    let mut outputs = Output::prepare_all(&[path.to_owned()])?;
    Ok(outputs.pop().unwrap())
}

#[test]
fn a_file_takes_its_place_only_when_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    std::fs::write(&path, "before").unwrap();
    let files = || std::fs::read_dir(directory.path()).unwrap().count();
    let output = prepare(&path).unwrap();
    assert_eq!(
        (std::fs::read_to_string(&path).unwrap().as_str(), files()),
        ("before", 2)
    );
    output.write("after").unwrap();
    assert_eq!(
        (std::fs::read_to_string(&path).unwrap().as_str(), files()),
        ("after", 1)
    );
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a report contains rows");
    drop(prepare(&path).unwrap());
    assert_eq!(files(), 1, "nothing is left of a run without a report");
    assert!(prepare(&directory.path().join("no/such/file.txt")).is_err());
    let folder = directory.path().join("folder.txt");
    std::fs::create_dir(&folder).unwrap();
    assert!(prepare(&folder).is_err());
}

#[test]
fn the_end_of_a_name_tells_the_form() {
    let directory = tempfile::tempdir().unwrap();
    let paths = |names: &[&str]| -> Vec<PathBuf> {
        names
            .iter()
            .map(|name| directory.path().join(name))
            .collect()
    };
    let all = ["a.json", "a.CSV", "a.html", "a.xml", "a.md", "a.txt"];
    let outputs = Output::prepare_all(&paths(&all)).unwrap();
    let formats: Vec<ReportFormat> = outputs.iter().map(Output::format).collect();
    assert_eq!(
        formats,
        [
            ReportFormat::Json,
            ReportFormat::Csv,
            ReportFormat::Html,
            ReportFormat::Junit,
            ReportFormat::Markdown,
            ReportFormat::Console
        ]
    );
    drop(outputs);
    for (names, words) in [
        (&["a.json", "report"][..], ".xml (JUnit)"),
        (&["a.json", "report.pdf"], "report.pdf"),
        (&["a.json", "a.json"], "twice"),
    ] {
        let error = Output::prepare_all(&paths(names)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 0, "no file is left behind by an error");
}

#[test]
fn tables_that_only_the_target_has_are_no_rows_that_differ() {
    let mut report = report_of_all(vec![compared(0)]);
    assert_eq!(
        (report.status, report.strict_tables),
        (RunStatus::Pass, false)
    );
    report.status = RunStatus::Fail;
    report.verdict = ReportVerdict::Different;
    report.strict_tables = true;
    report.target_only_tables = vec!["public.more".to_owned()];
    let console = report.to_console(false);
    assert!(
        console.contains("1 table equal, but the target has 1 more table"),
        "{console}"
    );
    let json: Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["target_only_tables"][0], "public.more");
}

#[test]
fn a_column_that_is_null_in_the_target_is_said_once_and_not_for_each_row() {
    let row = |id: u64, names: &[&str]| Difference {
        kind: DifferenceKind::Modified,
        key: [("id".to_owned(), json!(id))].into_iter().collect(),
        columns: names
            .iter()
            .map(|name| ColumnDifference {
                name: (*name).to_owned(),
                source: json!(7),
                target: Value::Null,
            })
            .collect(),
    };
    let rows = vec![row(1, &["total", "status"]), row(2, &["total"])];
    let console = |causes: Value| {
        let mut report = report(vec![(compared(2), rows.clone())], limits(1), true);
        report.results[0].status = TableStatus::Mismatched;
        report.results[0].causes = serde_json::from_value(causes).unwrap();
        report.to_console(false)
    };
    let cause = json!([{
        "column": "total", "cause": "null-in-target", "explanation": "every target value is NULL",
        "rows": 2, "examined": 2, "option": null,
        "example": { "key": {}, "source": 7, "target": null },
    }]);
    let all = console(json!([]));
    assert!(all.contains("id=2  total: 7 → null"), "{all}");
    let short = console(cause);
    assert!(short.contains("id=1  status: 7 → null"), "{short}");
    assert!(
        !short.contains("total: 7") && short.contains("… and 1 more"),
        "{short}"
    );
}

#[test]
fn the_message_of_a_refused_login_is_printed_once() {
    let refused = || {
        let failure = Failure::new(FailureKind::AuthenticationError, "Login failed for 'sa'");
        Outcome::Failed(failure)
    };
    let other = Failure::new(FailureKind::TableNotFound, "no table");
    let outcomes = vec![refused(), refused(), Outcome::Failed(other), refused()];
    let console = report_of_all(outcomes).to_console(false);
    assert_eq!(console.matches("Login failed").count(), 1, "{console}");
    assert_eq!(
        console.matches("AuthenticationError").count(),
        3,
        "{console}"
    );
}

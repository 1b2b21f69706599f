//! Reports that the tests of several forms render.

use std::time::Duration;

use chrono::{TimeZone as _, Utc};
use serde_json::{Value, json};
use shared::config::FailFast;
use shared::failure::FailureKind;
use shared::ids::{Attempt, RunId, TableId, WorkerId};
use shared::message::{Event, EventBody, WorkId};
use shared::outcome::{
    CauseExample, CauseGroup, ColumnDifference, Difference, DifferenceKind, Outcome, Reads,
    SideRead,
};

use super::model::{AttemptReport, RepairReport, RunReport, TableError};
use crate::run_state::testing::{compared, failed, limits, spec};
use crate::run_state::{
    Effect, Input, Limits, Origin, PlannedTable, RunPlan, RunState, TableStatus, Time,
};

/// The report of a run in which these outcomes arrive, one table at a time.
pub(super) fn report(
    outcomes: Vec<(Outcome, Vec<Difference>)>,
    limits: Limits,
    cancel: bool,
) -> RunReport {
    let tables = (0..=outcomes.len())
        .map(|n| PlannedTable::new(spec(&format!("t{n}"))))
        .collect();
    let run: RunId = "01900000-0000-7000-8000-000000000000".parse().unwrap();
    let mut state = RunState::new(RunPlan {
        run,
        tables,
        limits,
        task_queue: "q".to_owned(),
        seed: 1,
    });
    let mut last = state.apply(Input::Begin, Time::START);
    for (table, (outcome, rows)) in (0..).zip(outcomes) {
        let batches = u32::from(!rows.is_empty());
        let finished = EventBody::Finished {
            outcome: Box::new(outcome),
            batches,
            duration_ms: 1500,
            unconfirmed: Vec::new(),
        };
        let differences = (batches > 0).then_some(EventBody::Differences { batch: 0, rows });
        for body in differences.into_iter().chain([finished]) {
            let work = WorkId {
                run,
                table: TableId(table),
                attempt: Attempt::FIRST,
            };
            last = state.apply(
                Input::Event(Event {
                    work,
                    worker: WorkerId::named("w1"),
                    body,
                    databases: Vec::new(),
                }),
                Time(2000),
            );
        }
    }
    if cancel {
        last = state.apply(Input::Cancel, Time(2000));
        last.extend(state.apply(Input::Tick, Time(3000)));
    }
    assert_eq!(last.last(), Some(&Effect::Complete), "{last:?}");
    let started_at = Utc.timestamp_millis_opt(1_700_000_000_123).unwrap();
    let mut report = RunReport::new(state, started_at, Duration::from_millis(2345));
    report.origin = Some(Origin {
        tool_version: "0.1.0".to_owned(),
        user: Some("ops".to_owned()),
        host: "host1".to_owned(),
    });
    report
}

pub(super) fn modified() -> Difference {
    let value = |name: &str, source: Value, target: Value| ColumnDifference {
        name: name.to_owned(),
        source,
        target,
    };
    Difference {
        kind: DifferenceKind::Modified,
        key: serde_json::Map::from_iter([("id".to_owned(), json!(7))]),
        columns: vec![
            value("v", json!("a\u{1b}[31m\n"), Value::Null),
            value("n", json!(1), json!(2)),
        ],
    }
}

/// A matched, a mismatched, a failed and a cancelled table.
pub(super) fn mixed() -> RunReport {
    let outcomes = vec![
        (compared(0), Vec::new()),
        (compared(1), vec![modified()]),
        (failed(false, true), Vec::new()),
    ];
    report(
        outcomes,
        Limits {
            fail_fast: FailFast::Error,
            ..limits(1)
        },
        false,
    )
}

/// Like [`report`], without a table that nothing happens to.
pub(super) fn report_of_all(outcomes: Vec<Outcome>) -> RunReport {
    let run = RunId::generate();
    let tables = (0..outcomes.len())
        .map(|n| PlannedTable::new(spec(&format!("t{n}"))))
        .collect();
    let mut state = RunState::new(RunPlan {
        run,
        tables,
        limits: limits(1),
        task_queue: String::new(),
        seed: 1,
    });
    let mut effects = state.apply(Input::Begin, Time::START);
    for (table, outcome) in (0..).zip(outcomes) {
        let work = WorkId {
            run,
            table: TableId(table),
            attempt: Attempt::FIRST,
        };
        let body = EventBody::Finished {
            outcome: Box::new(outcome),
            batches: 0,
            duration_ms: 1,
            unconfirmed: Vec::new(),
        };
        effects = state.apply(
            Input::Event(Event {
                work,
                worker: WorkerId::named("w"),
                body,
                databases: Vec::new(),
            }),
            Time(1),
        );
    }
    assert_eq!(effects.last(), Some(&Effect::Complete));
    RunReport::new(state, Utc::now(), Duration::ZERO)
}

/// A table with causes, and how it was read.
pub(super) fn explained() -> RunReport {
    let cause =
        |column: Option<&str>, rows: u64, explanation: &str, option: Option<&str>| CauseGroup {
            column: column.map(str::to_owned),
            cause: "fraction-truncated".to_owned(),
            explanation: explanation.to_owned(),
            rows,
            examined: 4,
            pairs_keys: false,
            example: CauseExample {
                key: serde_json::Map::from_iter([("id".to_owned(), json!(7))]),
                source: json!("12:00:00.123456"),
                target: json!("12:00:00.123"),
            },
            option: option.map(str::to_owned),
            also_ignores: option
                .map(|_| "every difference in further digits of a second".to_owned()),
        };
    let read = |isolation: &str, second: u32| SideRead {
        isolation: isolation.to_owned(),
        started_at: format!("2026-01-31T12:00:0{second}.000Z"),
        finished_at: format!("2026-01-31T12:00:1{second}.000Z"),
    };
    let with = |differing: u64, source: &str, causes: Vec<CauseGroup>| {
        let Outcome::Compared(mut comparison) = compared(differing) else {
            panic!("compared");
        };
        comparison.causes = causes;
        comparison.reads = Some(Box::new(Reads {
            source: read(source, 1),
            target: read("REPEATABLE READ", 2),
        }));
        if let Some(rows) = &mut comparison.rows {
            rows.settled = 2 * differing;
        }
        Outcome::Compared(comparison)
    };
    let causes = vec![
        cause(
            Some("at"),
            3,
            "cut to milliseconds in the target",
            Some("rules.at = { precision = 3 }"),
        ),
        cause(None, 1, "the row is newer in the source, as at says", None),
    ];
    report_of_all(vec![
        with(1, "SNAPSHOT", causes),
        with(0, "READ COMMITTED", Vec::new()),
    ])
}

/// A report in which `text` stands wherever a text of a database, a user or a file may be.
pub(super) fn filled_with(text: &str) -> RunReport {
    let mut report = explained();
    let owned = || text.to_owned();
    report.origin = Some(Origin {
        tool_version: "0.1.0".to_owned(),
        user: Some(owned()),
        host: owned(),
    });
    report.notes.push(owned());
    report.target_only_tables = vec![owned()];
    report.strict_tables = true;
    for database in [&mut report.source, &mut report.target]
        .into_iter()
        .flatten()
    {
        database.kind = Some(shared::endpoint::DatabaseKind::Postgres);
        database.version = Some(owned());
        database.host = Some(owned());
        database.database = Some(owned());
    }
    let [different, failed] = report.results.as_mut_slice() else {
        panic!("two tables");
    };
    for result in [&mut *different, &mut *failed] {
        result.table = owned();
        result.target = format!("{text}{}", result.target);
        result.notes.push(owned());
    }
    let value = |kind| Difference {
        kind,
        key: serde_json::Map::from_iter([(owned(), json!(text))]),
        columns: vec![ColumnDifference {
            name: owned(),
            source: json!(text),
            target: json!(format!("{text}2")),
        }],
    };
    different.differences = vec![
        value(DifferenceKind::Modified),
        value(DifferenceKind::Missing),
        value(DifferenceKind::Extra),
    ];
    for cause in &mut different.causes {
        cause.column = Some(owned());
        cause.explanation = owned();
        cause.option = Some(owned());
        cause.also_ignores = Some(owned());
    }
    different.repair = Some(RepairReport {
        file: Some(owned()),
        undo: Some(owned()),
        statements: 1,
        notes: vec![owned()],
    });
    failed.status = TableStatus::Failed;
    report.errors = vec![TableError {
        table: owned(),
        kind: FailureKind::from(owned()),
        error: owned(),
        retryable: false,
        attempt: 2,
        worker: Some(owned()),
        history: vec![AttemptReport {
            attempt: 1,
            worker: Some(owned()),
            kind: FailureKind::from(owned()),
            error: owned(),
        }],
    }];
    (report.matched, report.mismatched, report.failed) = (0, 1, 1);
    report.successful = 1;
    report
}

/// A report of `count` tables with long names, each with many rows that differ in long values.
pub(super) fn large(count: usize) -> RunReport {
    let mut report = explained();
    let mut table = report.results.swap_remove(0);
    let row = |at: usize| Difference {
        kind: DifferenceKind::Modified,
        key: serde_json::Map::from_iter([("identifier".to_owned(), json!(at))]),
        columns: (0..8)
            .map(|column| ColumnDifference {
                name: format!("a_rather_long_name_of_a_column_{column}"),
                source: json!("<value> ".repeat(60)),
                target: json!(format!("another {}", "<value> ".repeat(60))),
            })
            .collect(),
    };
    table.differences = (0..50).map(row).collect();
    table.notes = vec!["a note on the table that is as long as a usual one".repeat(3)];
    (table.modified, table.truncated) = (Some(1_000_000), Some(true));
    report.results = (0..count)
        .map(|at| {
            let mut table = table.clone();
            table.table = format!("a_schema.a_table_with_a_rather_long_name_{at}");
            table.target = format!("another_schema.a_table_with_a_rather_long_name_{at}");
            table
        })
        .collect();
    (report.matched, report.mismatched) = (0, count);
    (report.total_tables, report.successful) = (count, count);
    report
}

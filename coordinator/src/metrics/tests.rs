//! The metrics of a run, during it and after its end.

use std::collections::BTreeMap;

use shared::ids::{Attempt, RunId, WorkerId};
use shared::message::{Event, EventBody, Heartbeat, WorkId};
use shared::outcome::Outcome;

use super::*;
use crate::run_state::testing::{compared, failed, limits, spec};
use crate::run_state::{Input, PlannedTable, RunPlan, Time};

/// A run that is watched.
struct Watched {
    state: RunState,
    now: Time,
    metrics: Metrics,
    run: RunMetrics,
}

impl Watched {
    fn new(tables: usize, window: u32) -> Self {
        let metrics = Metrics::new("0");
        let run = RunMetrics::register(&metrics, Utc::now());
        let tables = (0..tables)
            .map(|n| PlannedTable::new(spec(&format!("t{n}"))))
            .collect();
        let plan = RunPlan {
            run: RunId::generate(),
            tables,
            limits: limits(window),
            task_queue: "queue q".to_owned(),
            seed: 7,
        };
        let mut watched = Self {
            state: RunState::new(plan),
            now: Time::START,
            metrics,
            run,
        };
        watched.tell(Input::Begin);
        watched
    }

    fn tell(&mut self, input: Input) {
        let effects = self.state.apply(input, self.now);
        self.run.applied(&self.state, &effects);
    }

    fn event(&mut self, table: u32, body: EventBody) {
        let event = Event {
            work: WorkId {
                run: self.state.run(),
                table: TableId(table),
                attempt: Attempt::FIRST,
            },
            worker: WorkerId::named("w"),
            body,
            databases: Vec::new(),
        };
        self.tell(Input::Event(event));
    }

    fn claim(&mut self, table: u32) {
        self.event(table, EventBody::Claimed);
    }

    fn finish(&mut self, table: u32, outcome: Outcome) {
        let outcome = Box::new(outcome);
        self.event(
            table,
            EventBody::Finished {
                outcome,
                batches: 0,
                duration_ms: 700,
                unconfirmed: Vec::new(),
            },
        );
    }

    fn beat(&mut self, worker: &str) {
        self.tell(Input::Heartbeat(Heartbeat {
            worker: WorkerId::named(worker),
            host: "h".to_owned(),
            pid: 1,
            version: "0".to_owned(),
            capacity: 4,
            draining: false,
            period_ms: 5000,
            owned: Vec::new(),
            endpoints: None,
            unavailable: Vec::new(),
            checked: None,
        }));
    }

    /// Every value by its name and labels.
    fn shown(&self) -> BTreeMap<String, f64> {
        let text = self.metrics.of_the_work();
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').unwrap();
                (name.to_owned(), value.parse().unwrap())
            })
            .collect()
    }

    #[track_caller]
    fn shows(&self, expected: &[(&str, f64)]) {
        let shown = self.shown();
        for (name, value) in expected {
            assert_eq!(shown.get(*name), Some(value), "{name} in {shown:#?}");
        }
    }
}

#[test]
fn everything_is_there_from_the_start() {
    let watched = Watched::new(3, 2);
    watched.shows(&[
        ("parallel_tables_processed_total{status=\"success\"}", 0.0),
        ("parallel_tables_processed_total{status=\"failed\"}", 0.0),
        ("parallel_tables_processed_total{status=\"timeout\"}", 0.0),
        (
            "parallel_reconciliation_seconds_count{worker_count=\"2\"}",
            0.0,
        ),
        ("parallel_active_workers", 0.0),
        ("parallel_queue_size", 3.0),
        ("reconcile_tables_total{status=\"cancelled\"}", 0.0),
        ("reconcile_runs_total{status=\"INCOMPLETE\"}", 0.0),
        ("reconcile_differences_total{kind=\"settled\"}", 0.0),
        ("reconcile_retries_total", 0.0),
        ("reconcile_leases_expired_total", 0.0),
        ("reconcile_run_in_progress", 1.0),
        ("reconcile_run_last_finished_timestamp_seconds", 0.0),
    ]);
}

#[test]
fn tables_are_counted_as_they_end() {
    let mut watched = Watched::new(3, 3);
    (0..3).for_each(|table| watched.claim(table));
    watched.shows(&[
        ("parallel_active_workers", 3.0),
        ("parallel_queue_size", 0.0),
    ]);
    watched.finish(0, compared(0));
    watched.finish(1, compared(4));
    watched.shows(&[
        ("parallel_active_workers", 1.0),
        ("reconcile_run_tables{status=\"running\"}", 1.0),
    ]);
    watched.finish(2, failed(false, true));
    assert!(watched.state.is_complete());
    watched.shows(&[
        ("parallel_tables_processed_total{status=\"success\"}", 2.0),
        ("parallel_tables_processed_total{status=\"failed\"}", 1.0),
        ("reconcile_tables_total{status=\"matched\"}", 1.0),
        ("reconcile_tables_total{status=\"mismatched\"}", 1.0),
        ("reconcile_differences_total{kind=\"modified\"}", 4.0),
        ("reconcile_run_tables{status=\"failed\"}", 1.0),
        ("reconcile_run_rows{side=\"source\"}", 20.0),
        ("reconcile_runs_total{status=\"INCOMPLETE\"}", 1.0),
        ("reconcile_runs_total{status=\"PASS\"}", 0.0),
        (
            "reconcile_run_verdicts_total{depth=\"rows\",verdict=\"incomplete\"}",
            1.0,
        ),
        (
            "reconcile_run_verdicts_total{depth=\"counts\",verdict=\"counts_equal\"}",
            0.0,
        ),
        ("reconcile_run_in_progress", 0.0),
        (
            "parallel_reconciliation_seconds_count{worker_count=\"3\"}",
            1.0,
        ),
        (
            "parallel_table_reconciliation_seconds_bucket{table=\"t1\",le=\"0.5\"}",
            0.0,
        ),
        (
            "parallel_table_reconciliation_seconds_bucket{table=\"t1\",le=\"1\"}",
            1.0,
        ),
    ]);
    let shown = watched.shown();
    assert!(
        shown["reconcile_run_last_finished_timestamp_seconds"] > 1e9,
        "{shown:#?}"
    );
    // It has come to its end, and that was counted.
    watched.run.end().or_incomplete();
    watched.shows(&[("reconcile_runs_total{status=\"INCOMPLETE\"}", 1.0)]);
}

#[test]
fn gauges_return_to_zero_after_a_cancelled_run() {
    let mut watched = Watched::new(8, 2);
    watched.beat("w");
    watched.claim(0);
    watched.claim(1);
    watched.shows(&[
        ("parallel_active_workers", 2.0),
        ("parallel_queue_size", 6.0),
    ]);
    watched.tell(Input::Cancel);
    watched.shows(&[
        ("parallel_active_workers", 2.0),
        ("parallel_queue_size", 0.0),
    ]);
    for table in 0..2 {
        watched.finish(table, Outcome::Cancelled { quiet_after_ms: 9 });
    }
    assert!(watched.state.is_complete());
    watched.shows(&[
        ("parallel_active_workers", 0.0),
        ("parallel_queue_size", 0.0),
        ("reconcile_run_in_progress", 0.0),
        ("reconcile_run_tables{status=\"running\"}", 0.0),
        ("reconcile_run_tables{status=\"waiting\"}", 0.0),
        ("reconcile_run_tables{status=\"cancelled\"}", 8.0),
        ("reconcile_tables_total{status=\"cancelled\"}", 8.0),
        ("parallel_tables_processed_total{status=\"failed\"}", 0.0),
    ]);
    let shown = watched.shown();
    assert!(
        !shown.keys().any(|name| name.contains("heartbeat_age")),
        "{shown:#?}"
    );
}

#[test]
fn gauges_return_to_zero_when_a_run_is_given_up() {
    let mut watched = Watched::new(4, 2);
    watched.beat("w");
    watched.claim(0);
    watched.run.end().or_incomplete();
    watched.run.end().or_incomplete();
    watched.shows(&[
        ("parallel_active_workers", 0.0),
        ("parallel_queue_size", 0.0),
        ("reconcile_run_in_progress", 0.0),
        ("reconcile_runs_total{status=\"INCOMPLETE\"}", 1.0),
    ]);
}

#[test]
fn a_worker_is_shown_while_it_is_heard_of() {
    let mut watched = Watched::new(1, 1);
    let workers = |watched: &Watched| -> Vec<String> {
        let shown = watched.shown().into_keys();
        shown
            .filter(|name| name.contains("heartbeat_age"))
            .collect()
    };
    watched.beat("b");
    watched.beat("a");
    watched.beat("c");
    assert_eq!(workers(&watched).len(), 3);
    watched.now = Time(10_000);
    watched.beat("b");
    let shown = watched.shown();
    let age = |worker: &str| {
        shown[&format!("reconcile_worker_heartbeat_age_seconds{{worker=\"{worker}\"}}")]
    };
    assert!(age("a") >= 10.0 && age("b") < 5.0, "{shown:#?}");
    watched.now = Time(20_000);
    watched.tell(Input::Tick);
    assert_eq!(
        workers(&watched),
        ["reconcile_worker_heartbeat_age_seconds{worker=\"b\"}"]
    );
}

#[test]
fn the_number_of_table_labels_is_bounded() {
    let tables = 230;
    let mut watched = Watched::new(tables, 230);
    for table in 0..u32::try_from(tables).unwrap() {
        watched.claim(table);
        watched.finish(table, compared(0));
    }
    let shown = watched.shown();
    let labels = shown
        .keys()
        .filter(|name| name.starts_with("parallel_table_reconciliation_seconds_count"));
    assert_eq!(labels.count(), NAMED_TABLES + 1);
    watched.shows(&[(
        "parallel_table_reconciliation_seconds_count{table=\"other\"}",
        30.0,
    )]);
}

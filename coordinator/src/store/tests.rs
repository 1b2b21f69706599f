//! Storing runs and reading them.

use std::path::Path;
use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use shared::ids::{Attempt, RunId, TableId, WorkerId};
use shared::message::{Event, EventBody, WorkId};
use shared::outcome::Outcome;

use super::stored_run::{StoredSettings, StoredSide, WorkerLocation};
use super::*;
use crate::report::RunStatus;
use crate::run::RunObserver as _;
use crate::run_state::testing::{compared, databases, failed, limits, spec};
use crate::run_state::{
    CancelReason, Counts, Effect, Input, PlannedTable, RestoredTable, RunPlan, RunState,
    RunSummary, TableScope, Time,
};

fn settings() -> StoredSettings {
    let side = |name: &str| StoredSide {
        name: name.to_owned(),
        from_url: false,
        database: None,
    };
    StoredSettings {
        limits: limits(2),
        location: WorkerLocation::Local { concurrency: 2 },
        source: side("source"),
        target: side("target"),
        output_dir: None,
        rows_output: None,
        scope: TableScope::default(),
        name: None,
    }
}

fn planned(tables: usize) -> Vec<PlannedTable> {
    (0..tables)
        .map(|n| PlannedTable::new(spec(&format!("t{n}"))))
        .collect()
}

fn create(store: &mut RunStore, days_ago: i64) -> RunId {
    let run = RunId::generate();
    let started = Utc::now() - TimeDelta::days(days_ago);
    store
        .create(run, started, &settings(), &planned(2))
        .unwrap();
    run
}

fn open(directory: &tempfile::TempDir) -> RunStore {
    RunStore::open(&directory.path().join("deep/state")).unwrap()
}

/// A running run with its observers.
struct Recorded {
    state: RunState,
    recorder: Recorder,
    writer: Arc<RunWriter>,
}

impl Recorded {
    fn new(store: &RunStore, run: RunId, tables: usize) -> Self {
        let plan = RunPlan {
            run,
            tables: planned(tables),
            limits: limits(2),
            task_queue: "q".to_owned(),
            seed: 1,
        };
        let writer = Arc::new(RunWriter::start(&store.path(), run).unwrap());
        let mut recorded = Self {
            state: RunState::new(plan),
            recorder: Recorder::new(Arc::clone(&writer)),
            writer,
        };
        recorded.tell(Input::Begin);
        recorded
    }

    /// What the coordinator would wait for before it acknowledges.
    fn tell(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.state.apply(input, Time(1));
        self.recorder.applied(&self.state, &effects);
        if let Some(receipt) = self.recorder.receipt() {
            futures::executor::block_on(receipt.wait());
        }
        effects
    }

    fn finish(&mut self, table: u32, outcome: Outcome) -> Vec<Effect> {
        let table = TableId(table);
        let attempt = self.state.open_table(table).unwrap().published;
        let event = |body| {
            Input::Event(Event {
                work: WorkId {
                    run: self.state.run(),
                    table,
                    attempt,
                },
                worker: WorkerId::named("w"),
                body,
                databases: databases("t1"),
            })
        };
        let (claimed, finished) = (
            event(EventBody::Claimed),
            event(EventBody::Finished {
                outcome: Box::new(outcome),
                batches: 0,
                duration_ms: 5,
                unconfirmed: Vec::new(),
            }),
        );
        self.tell(claimed);
        self.tell(finished)
    }
}

#[test]
fn what_has_ended_and_what_has_not_come_back_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    let run = RunId::generate();
    store
        .create(run, Utc::now(), &settings(), &planned(4))
        .unwrap();
    let mut recorded = Recorded::new(&store, run, 4);
    recorded.finish(0, compared(3));
    recorded.finish(1, failed(true, true));
    recorded.finish(2, failed(false, true));

    let kept = store.run("latest").unwrap();
    assert_eq!(
        (kept.settings.clone(), kept.counts, kept.is_alive),
        (settings(), recorded.state.counts(), false)
    );
    let tables = store.tables(&kept).unwrap();
    for (id, (plan, stands)) in tables.iter().enumerate() {
        assert_eq!(plan.spec, spec(&format!("t{id}")));
        let id = TableId(u32::try_from(id).unwrap());
        match stands {
            RestoredTable::Ended(record) => assert_eq!(Some(&**record), recorded.state.record(id)),
            RestoredTable::Open(open) => {
                let now = recorded.state.open_table(id).unwrap();
                assert_eq!((open.spent, &open.history), (now.spent, &now.history));
                assert!(
                    open.published >= now.published,
                    "the fence is never too low: {open:?}, {now:?}"
                );
            }
        }
    }
    assert!(
        matches!(tables[0].1, RestoredTable::Ended(_))
            && matches!(tables[2].1, RestoredTable::Ended(_))
    );
    let RestoredTable::Open(open) = &tables[1].1 else {
        panic!("it may be tried again");
    };
    assert_eq!((open.spent, open.published), (1, Attempt::FIRST));
    assert_eq!(kept.databases, databases("t1"));
    assert_eq!(store.table_names(run).unwrap(), ["t0", "t1", "t2", "t3"]);
}

#[test]
fn a_cancelled_run_is_known_as_one_before_anybody_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    let run = create(&mut store, 0);
    let mut recorded = Recorded::new(&store, run, 2);
    store.ask_to_stop(run).unwrap();
    let asked = recorded.writer.stop_asked();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime
        .block_on(async {
            tokio::time::timeout(std::time::Duration::from_secs(10), asked.cancelled()).await
        })
        .expect("the store is looked at");
    recorded.tell(Input::Cancel);
    let kept = store.run(&run.to_string()).unwrap();
    assert_eq!(kept.cancelling.unwrap().reason, CancelReason::Requested);
    assert_eq!(kept.counts.cancelled, 2);
}

fn end(store: &RunStore, run: RunId) {
    let writer = RunWriter::start(&store.path(), run).unwrap();
    let receipt = writer.write(
        vec![writer::Write::Ended(Box::new(RunSummary {
            status: RunStatus::Pass,
            interrupted: false,
            duration: std::time::Duration::from_secs(1),
            max_workers: 1,
            counts: Counts {
                matched: 2,
                ..Counts::default()
            },
            notes: Vec::new(),
            trace_id: None,
            depth: None,
            origin: None,
            databases: None,
        }))],
        false,
    );
    futures::executor::block_on(receipt.wait());
}

#[test]
fn runs_are_named_by_the_beginning_of_their_identifier() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    assert!(matches!(
        store.run("latest"),
        Err(StoreError::UnknownRun { .. })
    ));
    let first = create(&mut store, 1);
    let text = first.to_string();
    let common = |other: &str| {
        let pairs = text.bytes().zip(other.bytes());
        pairs.take_while(|(a, b)| a == b).count()
    };
    // Identifiers are random: one with the same first digit comes soon.
    let (second, other) = loop {
        let run = RunId::generate();
        if common(&run.to_string()) > 0 {
            let tables = planned(2);
            store.create(run, Utc::now(), &settings(), &tables).unwrap();
            break (run, run.to_string());
        }
    };
    let common = common(&other);
    assert_eq!(store.run(&text[..=common]).unwrap().id, first);
    assert_eq!(store.run(&text.to_uppercase()).unwrap().id, first);
    assert_eq!(store.run("latest").unwrap().id, second);
    let error = store.run(&text[..common]).unwrap_err().to_string();
    assert!(error.contains(&text) && error.contains(&other), "{error}");
    for unknown in ["", "zz", "%", "' OR 1=1 --"] {
        assert!(
            matches!(store.run(unknown), Err(StoreError::UnknownRun { .. })),
            "{unknown:?}"
        );
    }
}

#[test]
fn the_latest_run_with_a_name_is_meant() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    let named = StoredSettings {
        name: Some("Nightly".to_owned()),
        ..settings()
    };
    let mut start = |days_ago, settings: &StoredSettings| {
        let (run, started) = (RunId::generate(), Utc::now() - TimeDelta::days(days_ago));
        store.create(run, started, settings, &planned(1)).unwrap();
        run
    };
    let (_, second) = (start(2, &named), start(1, &named));
    start(0, &settings());
    assert_eq!(store.run("Nightly").unwrap().id, second);
    assert!(matches!(
        store.run("nightly"),
        Err(StoreError::UnknownRun { .. })
    ));
}

#[test]
fn old_runs_go_and_those_that_go_on_stay() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    let [old, running, new] =
        [KEPT_DAYS + 1, KEPT_DAYS + 1, KEPT_DAYS - 1].map(|days| create(&mut store, days));
    end(&store, old);
    end(&store, new);
    let lock = RunLock::take(store.directory(), running).unwrap();
    assert!(RunLock::is_held(store.directory(), running));
    assert_eq!(store.prune(Utc::now()).unwrap(), 1);
    let left: Vec<RunId> = store.runs().unwrap().iter().map(|run| run.id).collect();
    assert_eq!(left, [new, running]);
    drop(lock);
    assert_eq!(
        store.prune(Utc::now()).unwrap(),
        1,
        "no coordinator is alive"
    );
    let tables: i64 = store
        .connection
        .query_row("SELECT count(*) FROM tables", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 2, "its tables go with a run");
}

#[test]
fn one_process_coordinates_a_run() {
    let directory = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    let lock = RunLock::take(directory.path(), run).unwrap();
    assert!(
        matches!(RunLock::take(directory.path(), run), Err(StoreError::GoesOn(id)) if id == run)
    );
    drop(lock);
    assert!(!RunLock::is_held(directory.path(), run));
    RunLock::take(directory.path(), run).unwrap();
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        0,
        "no lock is left behind"
    );
}

#[test]
fn a_removed_lock_file_does_not_give_two_coordinators() {
    let directory = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    let file = directory.path().join(format!("{run}.lock"));
    let lock = RunLock::take(directory.path(), run).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(RunLock::is_held(directory.path(), run));
    for other in [directory.path(), tempfile::tempdir().unwrap().path()] {
        let taken = RunLock::take(other, run);
        assert!(matches!(taken, Err(StoreError::GoesOn(id)) if id == run));
    }
    // What the coordinator of another machine has put there is not this one's to remove.
    std::fs::write(&file, "").unwrap();
    drop(lock);
    assert!(file.exists());
    let other = std::fs::File::open(&file).unwrap();
    other.try_lock().unwrap();
    assert!(RunLock::is_held(directory.path(), run));
    RunLock::take(directory.path(), run).unwrap_err();
    drop(other);
    RunLock::take(directory.path(), run).unwrap();
}

#[test]
fn a_store_of_a_newer_version_or_out_of_reach_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    store
        .connection
        .pragma_update(None, "user_version", schema::VERSION + 1)
        .unwrap();
    let error = RunStore::open(store.directory()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { .. }), "{error}");
    let error = RunStore::open(Path::new("/dev/null/state"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("--state-dir"), "{error}");
    assert!(
        RunStore::find(&directory.path().join("nowhere"))
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_store_of_the_first_version_is_read_and_continued() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    let run = create(&mut store, 0);
    store
        .connection
        .execute_batch("ALTER TABLE runs DROP COLUMN databases; PRAGMA user_version = 1")
        .unwrap();
    let store = open(&directory);
    assert_eq!(store.run("latest").unwrap().databases, []);
    let mut recorded = Recorded::new(&store, run, 2);
    recorded.finish(0, compared(0));
    assert_eq!(store.run("latest").unwrap().databases, databases("t1"));
}

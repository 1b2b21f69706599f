//! What `reconcile apply` accepts and says: scripts that were edited, scripts that were
//! applied before, directories of several runs, confirmations, interruptions, privileges.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};
use shared::endpoint::Endpoint;
use tests::product::Run;
use tests::proxy::Proxy;
use tests::repair::Kind::{Postgres, SqlServer};
use tests::repair::{Kind, Scene, findings, said, schema};
use tests::scene::{Gates, Watch};

const BOUND: Duration = Duration::from_secs(60);

/// A table `t` with rows 2 and 3 wrong, row 5 missing and row 9 extra.
fn four_differences(kind: Kind, more: &str) -> Scene {
    let schema = schema(kind);
    Scene::new(
        (
            Postgres,
            "CREATE TABLE t (id int PRIMARY KEY, v varchar(9)); INSERT INTO t VALUES (1, 'a'), (2, 'right'), (3, 'right'), (5, 'new')",
        ),
        (
            kind,
            &format!(
                "CREATE TABLE {schema}.t (id int NOT NULL PRIMARY KEY, v varchar(9)); INSERT INTO {schema}.t VALUES (1, 'a'), (2, 'wrong'), (3, 'wrong'), (9, 'extra');{more}"
            ),
        ),
    )
}

fn counts(delete: u64, update: u64, insert: u64) -> Json {
    json!({ "delete": delete, "update": update, "insert": insert })
}

fn applied(run: &Run) -> Json {
    said(run)["tables"][0]["applied"].clone()
}

fn is_equal(scene: &Scene) -> bool {
    let run = scene.run(&["--tables", "t"]);
    assert!(run.code == 0 || run.code == 1, "{run:?}");
    run.code == 0
}

/// The lines of a script, with the positions of the first statement of a kind: its mark and
/// what follows up to the next mark.
fn statement(text: &str, word: &str) -> (usize, usize) {
    let lines: Vec<&str> = text.lines().collect();
    let header: Json = serde_json::from_str(&lines[1][3..]).unwrap();
    let mark = format!("-- {}", header["token"].as_str().unwrap());
    let first = lines
        .iter()
        .position(|line| line.starts_with(&format!("{mark} {word} ")))
        .unwrap();
    let length = lines[first + 1..]
        .iter()
        .position(|line| line.starts_with(&mark))
        .unwrap();
    (first, first + 1 + length)
}

fn rewrite(file: &Path, text: &str, edit: impl FnOnce(&mut Vec<String>)) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    edit(&mut lines);
    std::fs::write(file, lines.join("\n") + "\n").unwrap();
}

#[test]
fn whole_statements_may_be_deleted_from_a_script_and_nothing_else_may_change() {
    for kind in [Postgres, SqlServer] {
        let scene = four_differences(kind, "");
        let before = scene.generate("t");
        let file = scene.file(&format!("{}.t.repair.sql", schema(kind)));
        let text = std::fs::read_to_string(&file).unwrap();
        let (first, end) = statement(&text, "update");
        let refused = |what: &str, edit: &dyn Fn(&mut Vec<String>)| {
            rewrite(&file, &text, edit);
            let refused = scene.apply(&["out"]);
            assert_eq!(refused.code, 2, "{kind:?} {what}: {refused:?}");
            assert!(
                refused.stderr.contains("t.repair.sql"),
                "{what}: {refused:?}"
            );
            assert!(!is_equal(&scene), "{what}");
            refused.stderr
        };
        let said_of = refused("a changed statement", &|lines| {
            lines[first + 1] = lines[first + 1].replace("right", "left");
        });
        assert!(said_of.contains("update #0"), "{said_of}");
        refused("a wider guard", &|lines| {
            lines[first + 1] = lines[first + 1].replace(" AND ", " OR ");
        });
        refused("a statement without its mark", &|lines| {
            lines.remove(first);
        });
        refused("a mark without its statement", &|lines| {
            lines.drain(first + 1..end);
        });
        refused("a statement twice", &|lines| {
            let again = lines[first..end].to_vec();
            lines.splice(end..end, again);
        });
        refused("statements in another order", &|lines| {
            let moved: Vec<String> = lines.drain(first..end).collect();
            lines.splice(end..end, moved);
        });
        refused("a statement of its own", &|lines| {
            lines.insert(first, "DROP TABLE t;".to_owned());
        });
        refused("a comment", &|lines| {
            lines.insert(5, "-- checked".to_owned());
        });
        refused("another table", &|lines| {
            lines[1] = lines[1].replace("\"table\":\"t\"", "\"table\":\"u\"");
        });

        rewrite(&file, &text, |lines| drop(lines.drain(first..end)));
        let some = scene.apply(&["out"]);
        assert_eq!(some.code, 0, "{kind:?}: {some:?}");
        assert_eq!(applied(&some), counts(1, 1, 1), "{some:?}");
        assert_eq!(said(&some)["tables"][0]["left_out"], counts(0, 1, 0));
        assert!(
            some.stderr.contains("1 statement, which was deleted"),
            "{some:?}"
        );
        let left = scene.run(&["--tables", "t"]).report();
        assert_eq!(left["results"][0]["modified"], 1, "{left}");
        let undone = scene.apply(&["out", "--undo"]);
        assert_eq!(applied(&undone), counts(1, 1, 1), "{kind:?}: {undone:?}");
        let after = scene.run(&["--tables", "t"]).report();
        assert_eq!(findings(&after), findings(&before), "{kind:?}");
    }
}

#[test]
fn only_the_chosen_kinds_of_statements_are_executed() {
    let scene = four_differences(Postgres, "");
    let before = scene.generate("t");
    let inserted = scene.apply(&["out", "--only", "insert"]);
    assert_eq!(inserted.code, 0, "{inserted:?}");
    assert_eq!(applied(&inserted), counts(0, 0, 1));
    assert!(
        inserted.stderr.contains("3 statements of other kinds"),
        "{inserted:?}"
    );
    // What was not executed yet is no repetition.
    let others = scene.apply(&["out", "--only", "update,delete"]);
    assert_eq!(others.code, 0, "{others:?}");
    assert_eq!(applied(&others), counts(1, 2, 0));
    assert!(is_equal(&scene));
    assert_eq!(scene.apply(&["out"]).code, 2);
    let undone = scene.apply(&["out", "--undo"]);
    assert_eq!(applied(&undone), counts(1, 2, 1), "{undone:?}");
    let after = scene.run(&["--tables", "t"]).report();
    assert_eq!(findings(&after), findings(&before));
}

#[test]
fn a_script_is_applied_once() {
    let scene = four_differences(Postgres, "");
    scene.generate("t");
    // A copy is the same script.
    let run = scene.file("");
    let copy = scene.here.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(&run).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    assert_eq!(scene.apply(&["out"]).code, 0);
    // The row was changed on purpose since.
    scene
        .target
        .execute("UPDATE t SET v = 'wrong' WHERE id = 2");
    for directory in ["out", "copy"] {
        let refused = scene.apply(&[directory]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(
            refused.stderr.contains("public.t.repair.sql has")
                && refused.stderr.contains("that were applied to")
                && refused.stderr.contains("--again"),
            "{refused:?}"
        );
    }
    assert_eq!(scene.apply(&["out", "--dry-run"]).code, 1);
    let again = scene.apply(&["out", "--again"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert_eq!(applied(&again), counts(0, 1, 0));
    assert_eq!(
        said(&again)["tables"][0]["skipped_rows"][0]["row"],
        "id=9",
        "{again:?}"
    );
    // What was undone may be applied again.
    assert_eq!(scene.apply(&["out", "--undo"]).code, 1);
    assert_eq!(scene.apply(&["out"]).code, 0);
    assert!(is_equal(&scene));
}

#[test]
fn a_run_keeps_away_from_the_scripts_of_others() {
    let scene = four_differences(Postgres, "");
    let before = scene.generate("t");
    let first = scene.file("");
    assert_eq!(scene.apply(&["out"]).code, 0);
    // A verification run with the same command overwrites nothing.
    let again = ["--tables", "t", "--generate-repair", "--output-dir", "out"];
    let verified = scene.run(&again);
    assert_eq!(verified.code, 0, "{verified:?}");
    let undone = scene.apply(&["out", "--undo"]);
    assert_eq!(undone.code, 0, "{undone:?}");
    let after = scene.run(&again).report();
    assert_eq!(findings(&after), findings(&before));
    // Two runs have scripts now.
    let refused = scene.apply(&["out"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    let runs: Vec<String> = [first, scene.file("")]
        .iter()
        .map(|run| run.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(
        refused.stderr.contains("several runs")
            && runs.iter().all(|run| refused.stderr.contains(run)),
        "{refused:?}"
    );
    assert_eq!(scene.apply(&[&format!("out/{}", runs[1])]).code, 0);
    // The stored run names its scripts.
    let report = scene
        .here
        .reconcile(&["report", &runs[0], "--format", "json"]);
    let repair = &report.report()["results"][0]["repair"];
    assert_eq!(repair["statements"], 4, "{report:?}");
    assert!(
        repair["file"].as_str().unwrap().contains(&runs[0]),
        "{report:?}"
    );
    let nothing = scene.apply(&["."]);
    assert_eq!(nothing.code, 2, "{nothing:?}");
    assert!(
        nothing.stderr.contains("contains no repair scripts"),
        "{nothing:?}"
    );
}

#[test]
fn the_target_is_named_and_nothing_happens_without_a_confirmation() {
    let scene = four_differences(Postgres, "");
    scene.generate("t");
    let asked = scene.here.reconcile(&["apply", "out"]);
    assert_eq!(asked.code, 2, "{asked:?}");
    let Endpoint {
        host,
        port,
        database,
        user,
        ..
    } = Endpoint::from_url("target", &scene.target.url()).unwrap();
    for part in [
        &format!("{host}:{port}/{database} as user {user}"),
        "1 deletion, 2 changes, 1 addition",
        "--yes",
    ] {
        assert!(asked.stderr.contains(part), "{part}: {asked:?}");
    }
    assert!(!is_equal(&scene));
    scene
        .target
        .execute("UPDATE t SET v = 'other' WHERE id = 2");
    let done = scene.here.reconcile(&["apply", "out", "--yes"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.stdout.contains(
            "committed: 3 rows changed, 1 skipped: id=2 (changed since, or kept by a trigger)\n"
        ) && done
            .stdout
            .contains("FAIL: 1 row skipped; the rows were compared again, and 1 row differs still"),
        "{done:?}"
    );
}

/// A trigger that waits for gate 0 when row 3 is changed.
const WAITS: &str = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_xact_lock_shared(0); RETURN NEW; END $$;
    CREATE TRIGGER wait BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW.id = 3) EXECUTE FUNCTION wait();";

#[test]
fn an_interruption_and_a_lost_connection_before_the_commit_change_nothing() {
    for signal in [Some("INT"), Some("TERM"), None] {
        let scene = four_differences(Postgres, WAITS);
        let before = scene.generate("t");
        let gates = Gates::closed(&scene.target.database, 1).unwrap();
        let watch = Watch::over(&[&scene.target.database]).unwrap();
        let Endpoint { port, .. } = Endpoint::from_url("target", &scene.target.url()).unwrap();
        let proxy = Proxy::to(port).unwrap();
        let through = proxy.through(&scene.target.url());
        let mut apply = scene
            .here
            .start(&["apply", "--yes", "out", "--target-url", &through]);
        watch.wait_until("an update that waits", BOUND, |running| {
            running.iter().any(|it| it.statement.starts_with("UPDATE"))
        });
        match signal {
            Some(signal) => apply.signal(signal),
            None => proxy.cut(),
        }
        let status = apply.wait(BOUND).unwrap();
        let expected = if signal.is_some() { 130 } else { 3 };
        assert_eq!(status.code(), Some(expected), "{}", apply.stderr());
        assert!(
            apply.stderr().contains("nothing was changed"),
            "{}",
            apply.stderr()
        );
        gates.open(0).unwrap();
        watch.wait_until("the end of the update", BOUND, <[_]>::is_empty);
        let after = scene.run(&["--tables", "t"]).report();
        assert_eq!(findings(&after), findings(&before));
        // Nothing stays behind that stops the next attempt.
        let done = scene.apply(&["out"]);
        assert_eq!(done.code, 0, "{done:?}");
    }
}

#[test]
fn a_missing_privilege_is_named() {
    let scene = four_differences(Postgres, "");
    scene.generate("t");
    let name = scene.target.database.name();
    let user = format!("reader_{name}");
    let Endpoint { host, port, .. } = Endpoint::from_url("target", &scene.target.url()).unwrap();
    let limited = format!("postgres://{user}:hunter2@{host}:{port}/{name}");
    for (granted, advice) in [
        ("SELECT, DELETE", "grant SELECT and UPDATE on it"),
        ("SELECT, INSERT", "grant UPDATE or DELETE on it"),
    ] {
        scene.target.execute(&format!(
            "CREATE ROLE \"{user}\" LOGIN PASSWORD 'hunter2'; GRANT {granted} ON t TO \"{user}\""
        ));
        let refused = scene.apply(&["out", "--target-url", &limited]);
        scene
            .target
            .execute(&format!("DROP OWNED BY \"{user}\"; DROP ROLE \"{user}\""));
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.stderr.contains(advice), "{refused:?}");
    }
    assert!(!is_equal(&scene));
}

/// The last line of the output that a user reads.
fn last_line(scene: &Scene, arguments: &[&str]) -> (i32, String) {
    let run = scene
        .here
        .reconcile(&[&["apply", "--yes"][..], arguments].concat());
    let line = run.stdout.lines().last().unwrap_or_default();
    (run.code, line.to_owned())
}

#[test]
fn the_last_line_agrees_with_the_exit_code() {
    let scene = four_differences(Postgres, "");
    scene.generate("t");
    let gone = "postgres://reader:x@127.0.0.1:1/none";
    let (code, line) = last_line(&scene, &["out", "--source-url", gone]);
    assert_eq!(
        (code, line.as_str()),
        (4, "INCOMPLETE: the rows could not be compared again")
    );
    let (code, line) = last_line(&scene, &["out", "--undo", "--only", "update"]);
    assert_eq!(
        (code, line.as_str()),
        (0, "PASS: the repair was undone in part")
    );
    scene
        .target
        .execute("DELETE FROM t WHERE id = 5; INSERT INTO t VALUES (9, 'extra')");
    let (code, line) = last_line(&scene, &["out", "--undo"]);
    assert_eq!(
        (code, line.as_str()),
        (1, "FAIL: 2 rows skipped; nothing was undone")
    );
}

#[test]
fn an_undo_in_part_allows_only_that_part_again() {
    let scene = four_differences(Postgres, "");
    scene.generate("t");
    assert_eq!(scene.apply(&["out"]).code, 0);
    assert_eq!(scene.apply(&["out", "--undo", "--only", "update"]).code, 0);
    scene.target.execute("DELETE FROM t WHERE id = 5");
    let refused = scene.apply(&["out"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("--again"), "{refused:?}");
    let updated = scene.apply(&["out", "--only", "update"]);
    assert_eq!((updated.code, applied(&updated)), (0, counts(0, 2, 0)));
}

#[test]
fn statements_may_be_deleted_from_an_undo_script() {
    let scene = four_differences(Postgres, "");
    let before = scene.generate("t");
    let file = scene.file("public.t.undo.sql");
    let text = std::fs::read_to_string(&file).unwrap();
    let (first, end) = statement(&text, "insert");
    rewrite(&file, &text, |lines| drop(lines.drain(first..end)));
    let done = scene.apply(&["out"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.stderr.contains("1 of 4 statements were deleted"),
        "{done:?}"
    );
    assert!(is_equal(&scene));
    let undone = scene.apply(&["out", "--undo"]);
    assert_eq!((undone.code, applied(&undone)), (0, counts(1, 2, 0)));
    scene.target.execute("INSERT INTO t VALUES (9, 'extra')");
    let after = scene.run(&["--tables", "t"]).report();
    assert_eq!(findings(&after), findings(&before));
}

#[test]
fn a_name_that_is_no_column_is_not_called_as_a_function() {
    let scene = Scene::new(
        (
            Postgres,
            "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1)",
        ),
        (
            Postgres,
            "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1), (5); \
             CREATE TABLE z (pid int REFERENCES p ON DELETE CASCADE); INSERT INTO z VALUES (1)",
        ),
    );
    scene.generate("p");
    scene.target.execute(
        "ALTER TABLE z RENAME pid TO other; CREATE SEQUENCE calls; \
         CREATE FUNCTION pid(z) RETURNS int LANGUAGE sql AS 'SELECT nextval(''calls'')::int'",
    );
    let refused = scene.apply(&["out"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.stderr.contains("nothing was changed")
            && refused.stderr.contains("public.z has no column `pid`"),
        "{refused:?}"
    );
    scene.target.execute(
        "DO $$ BEGIN ASSERT (SELECT NOT is_called FROM calls), 'the function was called'; END $$",
    );
}

#[test]
fn a_sequence_that_numbers_no_row_of_the_table_is_not_moved() {
    let table = "CREATE TABLE t (id serial PRIMARY KEY, v text)";
    let scene = Scene::new(
        (
            Postgres,
            &format!("{table}; INSERT INTO t VALUES (7, 'new')"),
        ),
        (Postgres, table),
    );
    scene.generate("t");
    scene
        .target
        .execute("ALTER SEQUENCE t_id_seq OWNED BY NONE");
    let refused = scene.apply(&["out"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("the sequence public.t_id_seq does not number rows of public.t"),
        "{refused:?}"
    );
}

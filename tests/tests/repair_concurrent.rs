//! `reconcile apply` beside other sessions that write to the target, and beside other
//! processes that apply the same scripts.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::time::Duration;

use serde_json::{Value as Json, json};
use tests::product::Run;
use tests::repair::Kind::Postgres;
use tests::repair::{Scene, said};
use tests::scene::{Gates, Session, Watch};

const BOUND: Duration = Duration::from_secs(60);

fn counts(delete: u64, update: u64, insert: u64) -> Json {
    json!({ "delete": delete, "update": update, "insert": insert })
}

fn applied(run: &Run) -> Json {
    said(run)["tables"][0]["applied"].clone()
}

/// Applies `out` while another session has executed `sql` and not committed. The session
/// commits when `apply` waits for it.
fn apply_beside(scene: &Scene, sql: &str) -> (i32, String) {
    let other = Session::open(&scene.target.database).unwrap();
    other.execute(&format!("BEGIN; {sql}")).unwrap();
    let watch = Watch::over(&[&scene.target.database]).unwrap();
    let mut apply = scene.here.start(&["apply", "--yes", "--no-verify", "out"]);
    watch.wait_until("a lock that waits", BOUND, |running| {
        running.iter().any(|it| it.statement.starts_with("LOCK"))
    });
    other.execute("COMMIT").unwrap();
    let status = apply.wait(BOUND).unwrap();
    (status.code().unwrap(), apply.stdout() + &apply.stderr())
}

fn holds(scene: &Scene, condition: &str) {
    scene.target.execute(&format!(
        "DO $$ BEGIN ASSERT (SELECT {condition}), 'it does not hold'; END $$"
    ));
}

#[test]
fn a_child_that_another_session_adds_meanwhile_is_kept() {
    let scene = Scene::new(
        (
            Postgres,
            "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1)",
        ),
        (
            Postgres,
            "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1), (5); \
             CREATE TABLE z (id int PRIMARY KEY, pid int REFERENCES p ON DELETE CASCADE)",
        ),
    );
    scene.generate("p");
    let (code, said) = apply_beside(&scene, "INSERT INTO z VALUES (1, 5)");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("1 skipped: id=5"), "{said}");
    holds(
        &scene,
        "(SELECT count(*) FROM z) = 1 AND (SELECT count(*) FROM p) = 2",
    );
}

#[test]
fn a_second_row_with_the_key_that_comes_meanwhile_keeps_both_unchanged() {
    let table = "CREATE TABLE t (k int NOT NULL, v text);";
    let scene = Scene::with(
        (
            Postgres,
            &format!("{table} INSERT INTO t VALUES (1, 'a'), (2, 'right')"),
        ),
        (
            Postgres,
            &format!("{table} INSERT INTO t VALUES (1, 'a'), (2, 'wrong')"),
        ),
        "pk_columns = ['k']",
    );
    scene.generate("t");
    let (code, said) = apply_beside(&scene, "INSERT INTO t VALUES (2, 'wrong')");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("1 skipped: k=2"), "{said}");
    holds(&scene, "count(*) = 2 FROM t WHERE v = 'wrong'");
}

#[test]
fn a_lock_that_is_not_granted_changes_nothing_and_names_its_holder() {
    let scene = missing_row("");
    let other = Session::open(&scene.target.database).unwrap();
    other
        .execute("BEGIN; INSERT INTO t VALUES ('other')")
        .unwrap();
    let refused = scene.apply(&["out"]);
    other.execute("ROLLBACK").unwrap();
    assert_eq!(refused.code, 3, "{refused:?}");
    for part in ["nothing was changed", "`LOCK TABLE", "; session "] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    assert_eq!(scene.apply(&["out"]).code, 0);
}

/// A table without a key, in which a row is missing.
fn missing_row(more: &str) -> Scene {
    let table = "CREATE TABLE t (v text); INSERT INTO t VALUES ('same')";
    let scene = Scene::with(
        (Postgres, &format!("{table}, ('new')")),
        (Postgres, &format!("{table}; {more}")),
        "repair_keyless = true",
    );
    scene.generate("t");
    scene
}

/// A trigger that waits for gate 0 when a row is added.
const WAITS: &str = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_xact_lock_shared(0); RETURN NEW; END $$;
    CREATE TRIGGER wait BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION wait();";

#[test]
fn two_processes_apply_a_script_once() {
    for has_own_state in [false, true] {
        let scene = missing_row(WAITS);
        let gates = Gates::closed(&scene.target.database, 1).unwrap();
        let watch = Watch::over(&[&scene.target.database]).unwrap();
        let mut first = scene.here.start(&["apply", "--yes", "out"]);
        watch.wait_until("an insert that waits", BOUND, |running| {
            running.iter().any(|it| it.statement.starts_with("INSERT"))
        });
        let run = scene.file("");
        let copy = scene.here.path().join("copy");
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(&run).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        let state: &[&str] = if has_own_state {
            &["--state-dir", "other"]
        } else {
            &[]
        };
        let arguments = [&["apply", "--yes", "--no-verify", "copy"], state].concat();
        let mut second = scene.here.start(&arguments);
        if has_own_state {
            watch.wait_until("a lock that waits", BOUND, |running| {
                running.iter().any(|it| it.statement.starts_with("LOCK"))
            });
        } else {
            second
                .wait_for_line("waiting until another `reconcile apply`", BOUND)
                .unwrap();
        }
        gates.open(0).unwrap();
        let codes = [&mut first, &mut second].map(|it| it.wait(BOUND).unwrap().code().unwrap());
        let said = second.stdout() + &second.stderr();
        let expected = if has_own_state {
            (1, "1 skipped")
        } else {
            (2, "that were applied to")
        };
        assert_eq!(codes, [0, expected.0], "{said}");
        assert!(said.contains(expected.1), "{said}");
        holds(&scene, "count(*) = 1 FROM t WHERE v = 'new'");
        let undone = scene.apply(&["out", "--undo"]);
        assert_eq!((undone.code, applied(&undone)), (0, counts(1, 0, 0)));
    }
}

#[test]
fn a_database_with_two_addresses_is_one() {
    let scene = missing_row("");
    let copy = scene.here.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(scene.file("")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    assert_eq!(scene.apply(&["out"]).code, 0);
    scene.target.execute("DELETE FROM t WHERE v = 'new'");
    let url = scene.target.url();
    let mut other = url::Url::parse(&url).unwrap();
    let name = if other.host_str() == Some("localhost") {
        "127.0.0.1"
    } else {
        "localhost"
    };
    other.set_host(Some(name)).unwrap();
    let refused = scene.apply(&["copy", "--target-url", other.as_str()]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("that were applied to"),
        "{refused:?}"
    );
    holds(&scene, "count(*) = 0 FROM t WHERE v = 'new'");
}

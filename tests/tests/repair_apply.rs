//! `reconcile apply` when a statement or the connection fails: only statements
//! that took effect are undone, and an unknown outcome is reported as unknown.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use shared::endpoint::Endpoint;
use tests::product::finish;
use tests::repair::Kind::{Postgres, SqlServer};
use tests::repair::{Kind, Scene, findings, said, schema};
use tests::scene::Gates;

/// A table `t` with row 2 wrong, row 5 missing and row 9 extra.
fn three_differences(kind: Kind) -> Scene {
    let schema = schema(kind);
    Scene::new(
        (
            Postgres,
            "CREATE TABLE t (id int PRIMARY KEY, v varchar(9)); INSERT INTO t VALUES (1, 'a'), (2, 'right'), (5, 'new')",
        ),
        (
            kind,
            &format!(
                "CREATE TABLE {schema}.t (id int NOT NULL PRIMARY KEY, v varchar(9)); INSERT INTO {schema}.t VALUES (1, 'a'), (2, 'wrong'), (9, 'extra');"
            ),
        ),
    )
}

fn equal(scene: &Scene) -> bool {
    let run = scene.run(&["--tables", "t"]);
    assert!(run.code == 0 || run.code == 1, "{run:?}");
    run.code == 0
}

#[test]
fn what_another_session_has_repaired_is_not_undone() {
    for kind in [Postgres, SqlServer] {
        let scene = three_differences(kind);
        let schema = schema(kind);
        scene.generate("t");
        scene.target.execute(&format!(
            "UPDATE {schema}.t SET v = 'right' WHERE id = 2; INSERT INTO {schema}.t VALUES (5, 'new'); DELETE FROM {schema}.t WHERE id = 9;"
        ));
        let applied = scene.apply(&["out"]);
        assert_eq!(applied.code, 1, "{kind:?}: {applied:?}");
        let undone = scene.apply(&["out", "--undo"]);
        assert_eq!(undone.code, 0, "{kind:?}: {undone:?}");
        let nothing = json!({ "delete": 0, "update": 0, "insert": 0 });
        let table = &said(&undone)["tables"][0];
        assert_eq!((&table["applied"], &table["skipped"]), (&nothing, &nothing));
        assert!(equal(&scene), "{kind:?}");
        let told = scene.here.reconcile(&["apply", "--yes", "out", "--undo"]);
        assert!(told.stdout.contains("nothing to revert"), "{told:?}");
    }
}

#[test]
fn of_a_repair_that_was_partly_skipped_the_rest_is_taken_back_once() {
    for kind in [Postgres, SqlServer] {
        let scene = three_differences(kind);
        let schema = schema(kind);
        let before = scene.generate("t");
        // The change of row 2 comes in between for a while.
        let set = |value: &str| {
            scene.target.execute(&format!(
                "UPDATE {schema}.t SET v = '{value}' WHERE id = 2;"
            ));
        };
        set("other");
        assert_eq!(scene.apply(&["out"]).code, 1);
        set("wrong");
        // Again: what the first time did is not forgotten.
        let again = scene.apply(&["out", "--again"]);
        assert_eq!(
            said(&again)["tables"][0]["applied"],
            json!({ "delete": 0, "update": 1, "insert": 0 }),
            "{kind:?}: {again:?}"
        );
        assert!(equal(&scene), "{kind:?}");
        let undone = scene.apply(&["out", "--undo"]);
        assert_eq!(undone.code, 0, "{kind:?}: {undone:?}");
        let after = scene.run(&["--tables", "t"]).report();
        assert_eq!(findings(&after), findings(&before), "{kind:?}");
        // And forth and back as often as anybody likes.
        assert_eq!(scene.apply(&["out"]).code, 0);
        assert!(equal(&scene), "{kind:?}");
        assert_eq!(scene.apply(&["out", "--undo"]).code, 0);
        assert_eq!(scene.apply(&["out", "--undo"]).code, 0);
        let after = scene.run(&["--tables", "t"]).report();
        assert_eq!(findings(&after), findings(&before), "{kind:?}");
    }
}

#[test]
fn a_repair_that_was_not_applied_is_not_taken_back() {
    let scene = three_differences(Postgres);
    let before = scene.generate("t");
    assert_eq!(scene.apply(&["out", "--dry-run"]).code, 0);
    for arguments in [
        &["out", "--undo"][..],
        &[scene.file("public.t.undo.sql").to_str().unwrap()],
        &["out", "--undo", "--dry-run"],
    ] {
        let refused = scene.apply(arguments);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("--assume-applied"), "{refused:?}");
    }
    let psql = |name: &str| {
        finish(
            std::process::Command::new("psql")
                .args(["-X", "-v", "ON_ERROR_STOP=1", "-d"])
                .arg(scene.target.url())
                .arg("-f")
                .arg(scene.file(name)),
        )
    };
    let by_hand = psql("public.t.repair.sql");
    assert_eq!(by_hand.code, 0, "{by_hand:?}");
    assert!(equal(&scene));
    let undone = scene.apply(&["out", "--undo", "--assume-applied"]);
    assert_eq!(undone.code, 0, "{undone:?}");
    let after = scene.run(&["--tables", "t"]).report();
    assert_eq!(findings(&after), findings(&before));
    // What apply has left of the script is what psql takes back.
    assert_eq!(scene.apply(&["out"]).code, 0);
    let by_hand = psql("public.t.undo.sql");
    assert_eq!(by_hand.code, 0, "{by_hand:?}");
    let after = scene.run(&["--tables", "t"]).report();
    assert_eq!(findings(&after), findings(&before));
}

#[test]
fn rows_without_a_key_are_repaired_once() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let scene = Scene::new(
            (
                Postgres,
                "CREATE TABLE t (v varchar(9)); INSERT INTO t VALUES ('same'), ('new\nGO\n\\''')",
            ),
            (
                kind,
                &format!(
                    "CREATE TABLE {schema}.t (v varchar(9)); INSERT INTO {schema}.t VALUES ('same'), ('extra');"
                ),
            ),
        );
        scene.configure("repair_keyless = true");
        let before = scene.generate("t");
        assert_eq!(scene.apply(&["out"]).code, 0);
        // The copies that were seen guard an addition: it is there once.
        let again = scene.apply(&["out"]);
        assert_ne!(again.code, 0, "{kind:?}: {again:?}");
        assert!(equal(&scene), "{kind:?}");
        for _ in 0..2 {
            let undone = scene.apply(&["out", "--undo"]);
            assert_eq!(undone.code, 0, "{kind:?}: {undone:?}");
            let after = scene.run(&["--tables", "t"]).report();
            assert_eq!(findings(&after), findings(&before), "{kind:?}");
        }
    }
}

#[test]
fn a_chain_of_unique_values_is_taken_back_from_its_end() {
    for kind in [Postgres, SqlServer] {
        let schema = schema(kind);
        let scene = Scene::new(
            (
                Postgres,
                "CREATE TABLE t (id int PRIMARY KEY, u varchar(9)); INSERT INTO t VALUES (1, 'x'), (2, 'a'), (3, 'b'), (4, 'c')",
            ),
            (
                kind,
                &format!(
                    "CREATE TABLE {schema}.t (id int NOT NULL PRIMARY KEY, u varchar(9) UNIQUE); INSERT INTO {schema}.t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (9, 'y');"
                ),
            ),
        );
        let before = scene.generate("t");
        let applied = scene.apply(&["out"]);
        assert_eq!(applied.code, 0, "{kind:?}: {applied:?}");
        let undone = scene.apply(&["out", "--undo"]);
        assert_eq!(undone.code, 0, "{kind:?}: {undone:?}");
        let after = scene.run(&["--tables", "t"]).report();
        assert_eq!(findings(&after), findings(&before), "{kind:?}");
    }
}

#[test]
fn a_script_goes_to_the_database_that_it_was_made_for() {
    let scene = three_differences(Postgres);
    scene.generate("t");
    let place = scene.here.path().join("reconcile.toml");
    let text = std::fs::read_to_string(&place).unwrap();
    let (source, target) = (scene.source.url(), scene.target.url());
    std::fs::write(&place, text.replace(&target, &source)).unwrap();
    let refused = scene.apply(&["out"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains(scene.target.database.name())
            && refused.stderr.contains("--target-url"),
        "{refused:?}"
    );
    let script = std::fs::read_to_string(scene.file("public.t.repair.sql")).unwrap();
    let password = Endpoint::from_url("target", &target).unwrap().password;
    assert!(password.is_empty() || !script.contains(&format!(":{}@", password.reveal())));
    // A target named on the command line is used as it is.
    let applied = scene.apply(&["out", "--target-url", &target]);
    assert_eq!(applied.code, 0, "{applied:?}");
    let second = scene.apply(&["out", "--target", "source"]);
    assert_eq!(second.code, 2, "{second:?}");
    assert!(second.stderr.contains("undo it there"), "{second:?}");
    assert_eq!(scene.apply(&["out", "--undo"]).code, 2);
    let undone = scene.apply(&["out", "--undo", "--target-url", &target]);
    assert_eq!(undone.code, 0, "{undone:?}");
    assert_eq!(scene.apply(&["out", "--target", "source"]).code, 1);
}

/// Forwards one connection to `url`, and ends it with its COMMIT: once that has
/// been answered, without the answer, or before it has been sent.
fn cut_at_commit(url: &str, committed: bool) -> String {
    const COMMIT: &[u8] = b"COMMIT\0";
    let Endpoint { host, port, .. } = Endpoint::from_url("target", url).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut through = url::Url::parse(url).unwrap();
    through
        .set_port(Some(listener.local_addr().unwrap().port()))
        .unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect((host.as_str(), port)).unwrap();
        let (mut answers, mut to_client) =
            (server.try_clone().unwrap(), client.try_clone().unwrap());
        let (answered, wait) = std::sync::mpsc::channel();
        let (commit, is_commit) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            while let Ok(count @ 1..) = answers.read(&mut buffer) {
                if is_commit.try_recv().is_ok() {
                    answered.send(()).ok();
                    return;
                }
                to_client.write_all(&buffer[..count]).unwrap();
            }
        });
        let mut buffer = [0; 1 << 16];
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            let bytes = &buffer[..count];
            if bytes.ends_with(COMMIT) {
                if committed {
                    commit.send(()).unwrap();
                    server.write_all(bytes).unwrap();
                    wait.recv_timeout(Duration::from_secs(60)).unwrap();
                }
                server.shutdown(Shutdown::Both).ok();
                client.shutdown(Shutdown::Both).ok();
                return;
            }
            server.write_all(bytes).unwrap();
        }
    });
    through.into()
}

#[test]
fn a_commit_that_is_not_answered_is_neither_done_nor_not_done() {
    for committed in [true, false] {
        let scene = three_differences(Postgres);
        let before = scene.generate("t");
        let through = cut_at_commit(&scene.target.url(), committed);
        let lost = scene.apply(&["out", "--target-url", &through]);
        assert_eq!(lost.code, 5, "{lost:?}");
        assert!(
            lost.stderr
                .contains("it is unknown whether the target was changed")
                && !lost.stderr.contains("nothing was changed"),
            "{lost:?}"
        );
        assert_eq!(equal(&scene), committed);
        // Neither direction continues before the user has checked the target.
        for arguments in [&["out"][..], &["out", "--undo"]] {
            let refused = scene.apply(arguments);
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(refused.stderr.contains("it is not known"), "{refused:?}");
        }
        if committed {
            let here = scene.target.url();
            let assume = ["out", "--undo", "--assume-applied", "--target-url", &here];
            let undone = scene.apply(&assume);
            assert_eq!(undone.code, 0, "{undone:?}");
        } else {
            std::fs::remove_file(scene.file("public.t.undo.sql.pending")).unwrap();
            assert_eq!(scene.apply(&["out", "--undo"]).code, 2);
            // The same database, although its address is another one.
            let refused = scene.apply(&["out"]);
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(refused.stderr.contains("--again"), "{refused:?}");
            assert_eq!(scene.apply(&["out", "--again"]).code, 0);
            assert_eq!(scene.apply(&["out", "--undo"]).code, 0);
        }
        let after = scene.run(&["--tables", "t"]).report();
        assert_eq!(findings(&after), findings(&before));
    }
}

#[test]
fn what_was_applied_is_said_when_it_cannot_be_compared_or_shown() {
    let scene = three_differences(Postgres);
    scene.generate("t");
    let gone = "postgres://reader:x@127.0.0.1:1/none";
    let applied = scene.apply(&["out", "--source-url", gone]);
    assert_eq!(applied.code, 4, "{applied:?}");
    assert!(
        applied.stderr.contains("the scripts were applied"),
        "{applied:?}"
    );
    assert!(
        !applied.stderr.contains("nothing was changed"),
        "{applied:?}"
    );
    let report = said(&applied);
    assert_eq!(
        (&report["tables"][0]["applied"], &report["verification"]),
        (
            &json!({ "delete": 1, "update": 1, "insert": 1 }),
            &serde_json::Value::Null
        )
    );
    assert!(equal(&scene));
    assert_eq!(scene.apply(&["out", "--undo"]).code, 0);

    // Standard output takes nothing.
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut child = scene
        .here
        .command("reconcile", &["apply", "--yes", "out"])
        .stdout(full)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert!(equal(&scene));
    assert_eq!(scene.apply(&["out", "--undo"]).code, 0);

    // A reader may close the pipe before the end of the output.
    let mut child = scene
        .here
        .command("reconcile", &["apply", "--yes", "out"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(equal(&scene));
}

#[test]
fn scripts_are_whole_after_the_coordinator_was_killed() {
    const OPEN: &str = "CREATE TABLE a (id int PRIMARY KEY, v text);";
    let scene = Scene::new(
        (
            Postgres,
            &format!(
                "{OPEN} INSERT INTO a SELECT n, 'new' FROM generate_series(1, 700) n; CREATE TABLE rows (id int PRIMARY KEY, v text); INSERT INTO rows SELECT n, 'new' FROM generate_series(1, 500) n; \
                 CREATE VIEW b AS SELECT id, v FROM rows WHERE (pg_advisory_lock_shared(0) IS NULL) IS NOT NULL"
            ),
        ),
        (
            Postgres,
            &format!("{OPEN} CREATE TABLE b (id int PRIMARY KEY, v text)"),
        ),
    );
    let gates = Gates::closed(&scene.source.database, 1).unwrap();
    let mut first = scene.here.start(&[
        "run",
        "--tables",
        "a,b",
        "--pk-columns",
        "id",
        "--parallel",
        "--generate-repair",
        "--output-dir",
        "out",
    ]);
    first
        .wait_for_line("mismatched a", Duration::from_secs(60))
        .unwrap();
    first.kill();
    gates.open(0).unwrap();
    let resumed = scene
        .here
        .reconcile(&["resume", "latest", "--format", "json"]);
    assert_eq!(resumed.code, 1, "{resumed:?}");
    let report = resumed.report();
    let statements: Vec<_> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| (&result["table"], &result["repair"]["statements"]))
        .collect();
    assert_eq!(
        statements,
        [(&json!("a"), &json!(700)), (&json!("b"), &json!(500))]
    );
    let applied = scene.apply(&["out"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    let left = std::fs::read_dir(scene.file("")).unwrap().count();
    assert_eq!(left, 5, "scripts and manifest, nothing else");
}

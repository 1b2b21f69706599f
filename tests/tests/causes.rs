//! The causes of differences in reports, and values that must not be in any output.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::path::Path;
use std::time::Duration;

use harness::services::{Database, shared_postgres, shared_rabbitmq};
use serde_json::Value as Json;
use tests::product::{Run, Workplace, finish, result};

/// Two databases and a configuration that names them and ends in `more`.
fn scene(source_sql: &str, target_sql: &str, more: &str) -> (Workplace, [Database; 2]) {
    let server = shared_postgres();
    let databases = ["source", "target"].map(|name| server.create_database(name).unwrap());
    let [source, target] = &databases;
    source.execute(source_sql).unwrap();
    target.execute(target_sql).unwrap();
    let here = Workplace::new(&format!(
        "[endpoints.source]\nurl = '{}'\n[endpoints.target]\nurl = '{}'\n[run]\nsource = 'source'\ntarget = 'target'\n{more}",
        source.url(),
        target.url()
    ));
    (here, databases)
}

/// Column, cause, rows and option of each group of a table.
fn told(report: &Json, table: &str) -> Vec<(String, String, u64, String)> {
    let text = |value: &Json| value.as_str().unwrap_or("-").to_owned();
    let causes = result(report, table)["causes"].as_array().unwrap();
    causes
        .iter()
        .map(|group| {
            let rows = group["rows"].as_u64().unwrap();
            (
                text(&group["column"]),
                text(&group["cause"]),
                rows,
                text(&group["option"]),
            )
        })
        .collect()
}

const ORDERS: &str = "CREATE TABLE orders (id int PRIMARY KEY, at timestamp, amount numeric, name text, note text, seen timestamptz, updated_at timestamp); \
     INSERT INTO orders SELECT i, timestamp '2024-02-28 23:00:00.123456' + i * interval '1.001777 s', i * 1.00317, 'Zoë ' || i || '  ', \
     CASE WHEN i % 2 = 0 THEN NULL ELSE 'n' END, timestamptz '2024-03-30 12:00:00Z' + i * interval '7 s', timestamp '2024-01-01' \
     FROM generate_series(1, 100) i";

const DAMAGE: &str = "UPDATE orders SET at = date_trunc('milliseconds', at) WHERE id <= 40; \
     UPDATE orders SET amount = round(amount, 2) WHERE id <= 30; \
     UPDATE orders SET name = rtrim(name) WHERE id <= 20; \
     UPDATE orders SET note = '' WHERE note IS NULL AND id <= 20; \
     UPDATE orders SET seen = seen + interval '2 h' WHERE id <= 5; \
     UPDATE orders SET name = convert_from(convert_to(name, 'UTF8'), 'WIN1252') WHERE id BETWEEN 51 AND 54; \
     UPDATE orders SET updated_at = '2024-01-02 00:00:07', note = 'something else' WHERE id = 60; \
     UPDATE orders SET name = 'another' WHERE id = 70";

#[test]
fn what_known_damages_explain_is_grouped_and_the_rest_is_left() {
    let (here, _databases) = scene(ORDERS, &format!("{ORDERS}; {DAMAGE}"), "");
    let run = here.reconcile(&[
        "run",
        "--format",
        "json",
        "--tables",
        "orders",
        "--row-level",
    ]);
    assert_eq!(run.code, 1, "{run:?}");
    let report = run.report();
    let expected = [
        (
            "at",
            "fraction-truncated",
            40,
            "rules.at = { precision = 3 }",
        ),
        (
            "amount",
            "scale-rounded",
            30,
            "rules.amount = { tolerance = { absolute = \"0.005\" } }",
        ),
        (
            "name",
            "blanks-trimmed",
            20,
            "rules.name = { trim = \"end\" }",
        ),
        ("note", "null-became-empty", 10, "-"),
        ("seen", "time-zone-shifted", 5, "-"),
        ("name", "code-page-damaged", 4, "-"),
        ("-", "row-newer", 1, "-"),
    ];
    let expected = expected.map(|(column, cause, rows, option)| {
        (column.to_owned(), cause.to_owned(), rows, option.to_owned())
    });
    assert_eq!(told(&report, "orders"), expected, "{report:#}");
    let example = &result(&report, "orders")["causes"][5]["example"];
    let (source, target) = (
        example["source"].as_str().unwrap(),
        example["target"].as_str().unwrap(),
    );
    assert!(
        source.starts_with("Zoë ") && target.starts_with("ZoÃ« "),
        "{example}"
    );
    let read = &result(&report, "orders")["source_read"];
    assert_eq!(read["isolation"], "REPEATABLE READ");

    // The store keeps what the report says.
    let kept = here.reconcile(&[
        "report",
        report["run_id"].as_str().unwrap(),
        "--format",
        "json",
    ]);
    assert_eq!(kept.report()["results"], report["results"]);
}

/// In all values of the tables below.
const SECRET: &str = "Kx9Secret";

const PEOPLE: &str = "CREATE TABLE people (email text PRIMARY KEY, card text, born date, photo bytea); \
     INSERT INTO people SELECT 'Kx9Secret' || i || '@mail.example', 'Kx9Secret ' || i || ' ', '1979-05-17', 'Kx9Secret' FROM generate_series(1, 20) i; \
     CREATE TABLE loose (v text); INSERT INTO loose SELECT 'Kx9Secret' || i FROM generate_series(1, 5) i; \
     CREATE VIEW broken AS SELECT i AS id, (CASE WHEN i > 0 THEN email ELSE '1' END)::int AS n FROM people, generate_series(1, 2) i";

const CHANGES: &str = "UPDATE people SET card = rtrim(card) WHERE email LIKE '%1@%'; \
     UPDATE people SET card = 'Kx9Secret of another', photo = 'Kx9Secretly' WHERE email LIKE '%2@%'; \
     DELETE FROM people WHERE email LIKE '%3@%'; \
     UPDATE people SET email = upper(email) WHERE email LIKE '%4@%'; \
     INSERT INTO people VALUES ('Kx9Secret@new.example', 'Kx9Secret', '1979-05-18', ''); \
     INSERT INTO loose VALUES ('Kx9Secret more')";

/// Every way in which the values are written somewhere.
fn assert_hidden(what: &str, text: &[u8]) {
    let hexadecimal: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    for word in [SECRET, &hexadecimal, "1979-05-1", "mail.example"] {
        let found = text
            .windows(word.len())
            .position(|window| window.eq_ignore_ascii_case(word.as_bytes()));
        if let Some(at) = found {
            let context = &text[at.saturating_sub(200)..(at + 200).min(text.len())];
            panic!(
                "{what} holds `{word}`: {}",
                String::from_utf8_lossy(context)
            );
        }
    }
}

fn assert_run_hides(run: &Run) {
    assert_hidden("standard output", run.stdout.as_bytes());
    assert_hidden("standard error", run.stderr.as_bytes());
}

/// The files below a directory, but for the configuration.
fn assert_files_hide(directory: &Path) {
    let mut files = 0;
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                assert_hidden(&path.display().to_string(), &std::fs::read(&path).unwrap());
                files += 1;
            }
        }
    }
    assert!(files > 1, "the store is among them");
}

#[test]
fn a_redacted_run_tells_no_value_anywhere() {
    let (here, _databases) = scene(PEOPLE, &format!("{PEOPLE}; {CHANGES}"), "");
    let tables = ["--tables", "people,loose,broken", "--row-level", "--redact"];
    let run = |more: &[&str]| {
        let arguments = [&["run"][..], &tables, more].concat();
        finish(
            here.command("reconcile", &arguments)
                .env("RUST_LOG", "trace"),
        )
    };
    for format in ["json", "csv", "console", "html", "junit", "markdown"] {
        let run = run(&["--format", format]);
        assert_eq!(run.code, 3, "{run:?}");
        assert_run_hides(&run);
        if format != "json" {
            continue;
        }
        assert!(
            run.stderr.contains(" INFO compared"),
            "what the worker does is logged: {}",
            run.stderr
        );
        let report = run.report();
        let people = result(&report, "people");
        assert_eq!(
            (&people["missing"], &people["extra"]),
            (&4.into(), &3.into())
        );
        let keys = people["causes"].as_array().unwrap().iter();
        let folded = keys.filter(|group| group["pairs_keys"] == true);
        let folded: Vec<&Json> = folded.map(|group| &group["explanation"]).collect();
        assert_eq!(
            folded,
            ["2 of 4 missing and 2 of 3 extra rows have the same key but for letter case"]
        );
        // Causes of keys come first.
        let paired = &people["causes"][0]["example"]["source"];
        assert!(
            paired.as_str().unwrap().starts_with("redacted:hash="),
            "{paired}"
        );
        let trimmed = &people["causes"][1];
        assert_eq!(trimmed["cause"], "blanks-trimmed", "{people:#}");
        let shown = trimmed["example"]["source"].as_str().unwrap();
        assert!(
            shown.starts_with("redacted:hash=") && shown.contains(",length="),
            "{shown}"
        );
        let key = trimmed["example"]["key"]["email"].as_str().unwrap();
        assert!(key.starts_with("redacted:hash="), "{key}");
        // The same value has the same hash at every place.
        let born: Vec<&Json> = people["differences"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|it| it["columns"].as_array().unwrap())
            .filter(|column| {
                column["name"] == "card"
                    && column["target"]
                        .as_str()
                        .is_some_and(|it| it.contains("length=20"))
            })
            .map(|column| &column["target"])
            .collect();
        assert!(born.len() == 2 && born[0] == born[1], "{people:#}");
        let error = report["errors"][0]["error"].as_str().unwrap();
        assert!(
            error.contains("SQLSTATE 22P02") && !error.contains("invalid input"),
            "{error}"
        );
    }
    assert_files_hide(here.path());
}

#[test]
fn workers_of_a_broker_redact_too() {
    let (here, _databases) = scene(PEOPLE, &format!("{PEOPLE}; {CHANGES}"), "");
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let logs = here.path().join("worker.log");
    let mut command = here.command(
        "reconcile-worker",
        &["--broker", broker.amqp_url(), "--concurrency", "2"],
    );
    // What it says goes into a file, to be searched like everything else.
    let log = std::fs::File::create(&logs).unwrap();
    command
        .env("RUST_LOG", "trace")
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let mut worker = command.spawn().unwrap();
    let run = here.reconcile(&[
        "run",
        "--format",
        "json",
        "--tables",
        "people,loose,broken",
        "--row-level",
        "--redact",
        "--broker",
        broker.amqp_url(),
    ]);
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert_eq!(run.code, 3, "{run:?}");
    assert_eq!(run.report()["mismatched"], 2);
    assert_run_hides(&run);
    let said = std::fs::read_to_string(&logs).unwrap();
    assert!(said.contains(" INFO compared"), "{said}");
    assert_files_hide(here.path());
    assert!(run.elapsed < Duration::from_secs(60), "{run:?}");
}

#[test]
fn a_column_can_be_hidden_alone() {
    let (here, _databases) = scene(
        PEOPLE,
        &format!("{PEOPLE}; {CHANGES}"),
        "[[tables]]\nsource = 'people'\nrules.email.redact = true\n",
    );
    let run = here.reconcile(&["run", "--format", "json", "--row-level"]);
    let report = run.report();
    let people = result(&report, "people");
    for difference in people["differences"].as_array().unwrap() {
        let key = difference["key"]["email"].as_str().unwrap();
        assert!(key.starts_with("redacted:hash="), "{difference}");
    }
    assert!(!run.stdout.contains("mail.example"), "{}", run.stdout);
    assert!(
        run.stdout.contains("Kx9Secret of another"),
        "{}",
        run.stdout
    );

    let refused = here.reconcile(&["run", "--row-level", "--generate-repair"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("redact = true of column `email` of people"),
        "{refused:?}"
    );
}

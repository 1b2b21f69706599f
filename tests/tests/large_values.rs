//! Large values: their comparison takes little memory, and of those that are too large to
//! be read, row and column are named.
//!
//! `LARGE_ROWS` and `LARGE_MIB` set the number of rows and the size of the largest value.

use std::process::{Command, Stdio};
use std::time::Duration;

use harness::poll::poll;
use harness::services::{Database, Standin, StandinTls, shared_postgres};
use serde_json::Value as Json;
use tests::engine::Bench;
use tests::product::{Workplace, check_counts};
use worker::engine::Stop;

/// What a run may take: `--memory-limit` for one table, and a constant.
const MOST_MIB: u64 = 64 + 150;

fn database(sql: &str) -> Database {
    let database = shared_postgres()
        .create_database("large")
        .expect("a database");
    database.execute(sql).expect("the tables");
    database
}

/// The report of a run, its exit code, and the most memory in MiB that the process had.
fn run(command: &mut Command) -> (Json, i32, u64) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the product is built");
    let status = format!("/proc/{}/status", child.id());
    let mut output = child.stdout.take().expect("it is piped");
    let reader =
        std::thread::spawn(move || std::io::read_to_string(&mut output).expect("a report"));
    let mut peak = 0;
    let bound = std::env::var("LARGE_ROWS").map_or(100, |_| 2000);
    let ended = poll(Duration::from_secs(bound), || {
        let lines = std::fs::read_to_string(&status).unwrap_or_default();
        let kib = lines
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        peak = peak.max(kib.and_then(|kib| kib.parse().ok()).unwrap_or_default());
        child.try_wait().expect("a child")
    });
    let Some(ended) = ended else {
        child.kill().expect("a child");
        panic!("the run did not end; it has {peak} KiB");
    };
    let report = serde_json::from_str(&reader.join().expect("a report")).expect("JSON");
    (report, ended.code().expect("an exit code"), peak / 1024)
}

fn workplace(source: &str, target: &str) -> Workplace {
    Workplace::new(&format!(
        "[endpoints.source]\nurl = \"{source}\"\n[endpoints.target]\nurl = \"{target}\"\n"
    ))
}

const FLAGS: [&str; 16] = [
    "run",
    // The machine of the tests may be slow.
    "--heartbeat-period",
    "10s",
    "--source",
    "source",
    "--target",
    "target",
    "--row-level",
    "--recheck",
    "1",
    "--recheck-delay",
    "10ms",
    "--generate-repair",
    "--format",
    "json",
    "--tables",
];

/// `rows` texts of `each` MiB and a last one of `last` MiB, in tables `a` and `b`. In `b`,
/// the third one and the last one differ.
fn texts(rows: u32, each: u32, last: u32) -> Database {
    let mib = 1024 * 1024 / 16;
    database(&format!(
        "CREATE SCHEMA dbo; SET search_path TO dbo; CREATE TABLE a (id int PRIMARY KEY, v text); \
         INSERT INTO a SELECT i, repeat(left(md5(i::text), 16), {each} * {mib}) FROM generate_series(1, {rows}) AS i; \
         INSERT INTO a VALUES ({rows} + 1, repeat('0123456789abcdef', {last} * {mib})); \
         CREATE TABLE b (LIKE a INCLUDING ALL); INSERT INTO b SELECT * FROM a; \
         UPDATE b SET v = overlay(v PLACING '!' FROM 1000) WHERE id = 3; \
         UPDATE b SET v = left(v, -1) || '!' WHERE id = {rows} + 1"
    ))
}

#[test]
fn large_values_are_compared_in_little_memory() {
    let rows = std::env::var("LARGE_ROWS").map_or(4, |rows| rows.parse().unwrap());
    let last = std::env::var("LARGE_MIB").map_or(100, |last| last.parse().unwrap());
    let database = texts(rows, 16, last);
    let workplace = workplace(&database.url(), &database.url());
    let mut arguments = FLAGS.to_vec();
    arguments.push("dbo.a=dbo.b");
    let (report, code, peak) = run(&mut workplace.command("reconcile", &arguments));
    check_counts(&report);
    let result = &report["results"][0];
    assert_eq!((code, &result["modified"]), (1, &2.into()), "{report:#}");
    let differences = result["differences"].as_array().unwrap();
    let shown = |at: usize, side: &str| differences[at]["columns"][0][side].as_str().unwrap();
    let of = 16 * 1024 * 1024;
    assert!(
        shown(0, "target").contains(&format!("! (characters 941 to 1240 of {of}, hash "))
            || shown(0, "target").contains(&format!("(characters 940 to 1239 of {of}, hash ")),
        "{}",
        shown(0, "target")
    );
    let long = format!("({} characters, SHA-256 ", last * 1024 * 1024);
    assert!(
        shown(1, "source").starts_with(&long),
        "{}",
        shown(1, "source")
    );
    assert_ne!(shown(1, "source"), shown(1, "target"));
    println!("{peak} MiB at most");
    assert!(peak < MOST_MIB, "{peak} MiB");

    arguments.pop();
    arguments.push("dbo.a");
    arguments.push("--allow-same");
    let (report, code, peak) = run(&mut workplace.command("reconcile", &arguments));
    assert_eq!((code, &report["status"]), (0, &"PASS".into()), "{report:#}");
    println!("{peak} MiB at most");
    assert!(peak < MOST_MIB, "{peak} MiB");
}

#[test]
fn the_driver_of_sql_server_is_not_sent_what_it_could_not_hold() {
    let rows = std::env::var("LARGE_ROWS").map_or(3, |rows| rows.parse().unwrap());
    // The server has two bytes for each character.
    let database = texts(rows, 8, 20);
    let standin = Standin::start(&database.url(), "large", StandinTls::Off).unwrap();
    let workplace = workplace(&standin.url(), &database.url());
    let mut arguments = FLAGS.to_vec();
    arguments.push("dbo.a=dbo.b");
    let (report, code, peak) = run(&mut workplace.command("reconcile", &arguments));
    assert_eq!(code, 3, "{report:#}");
    let error = &report["errors"][0];
    assert_eq!(error["type"], "ValueTooLarge", "{report:#}");
    let text = error["error"].as_str().unwrap();
    println!("{text}");
    assert!(text.contains("column `v` has a value of "), "{text}");
    assert!(text.contains(&format!("(id = {})", rows + 1)), "{text}");
    assert!(text.contains("raise --max-value-size"), "{text}");
    println!("{peak} MiB at most");
    assert!(peak < MOST_MIB, "{peak} MiB");

    database
        .execute(&format!(
            "DELETE FROM dbo.a WHERE id > {rows}; DELETE FROM dbo.b WHERE id > {rows}"
        ))
        .unwrap();
    let (report, code, peak) = run(&mut workplace.command("reconcile", &arguments));
    assert_eq!(
        (code, &report["results"][0]["modified"]),
        (1, &1.into()),
        "{report:#}"
    );
    println!("{peak} MiB at most");
    assert!(peak < MOST_MIB, "{peak} MiB");
}

/// The kind and text of the failure of a comparison.
async fn failure(bench: &Bench) -> (String, String) {
    match bench.run().await {
        Err(Stop::Failed(failure)) => (failure.kind.as_str().to_owned(), failure.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_cannot_be_hashed_in_parts_is_named() {
    let database = database(
        "CREATE TABLE t (id int PRIMARY KEY, v jsonb); \
         INSERT INTO t SELECT i, '{}' FROM generate_series(1, 100) AS i; \
         INSERT INTO t SELECT 101, to_jsonb(repeat('x', 1000000)); \
         CREATE TABLE wide (id int PRIMARY KEY, a text, b text); \
         INSERT INTO wide SELECT 7, repeat('x', 700000), repeat('y', 700000)",
    );
    let bench = Bench::new(&database.url(), &database.url())
        .with(|spec| spec.options.limits.value_bytes = 900_000);
    let (kind, text) = failure(&bench).await;
    assert_eq!(kind, "ValueTooLarge");
    assert!(text.contains("column `v` has a value of 1000002 bytes, and the limit is 900000, in row 101 (id = 101)"), "{text}");
    let bench = bench.with(|spec| spec.options.limits.value_bytes = 2_000_000);
    assert_eq!(bench.run().await.unwrap().counts(), (0, 0, 0));

    let bench = bench.tables("wide", "wide").with(|spec| {
        spec.options.limits.value_bytes = 800_000;
        spec.options.limits.memory_bytes = 1_000_000;
    });
    let (kind, text) = failure(&bench).await;
    assert_eq!(kind, "ValueTooLarge");
    assert!(
        text.contains("the values of row 1 have more than ") && text.contains("(id = 7)"),
        "{text}"
    );
    assert!(text.contains("raise --memory-limit"), "{text}");
}

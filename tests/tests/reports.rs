//! What a report says of its own scope, in each of its formats, with the product's processes
//! and PostgreSQL.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::time::Duration;

use serde_json::{Value as Json, json};
use tests::product::{Run, result};
use tests::scene::{Gates, Scene};

/// Runs in the directory of the scene; the configuration asks for JSON at row level.
fn run(scene: &Scene, arguments: &[&str]) -> Run {
    scene.here.reconcile(&[&["run"], arguments].concat())
}

/// The same without a depth in the configuration.
fn without_depth(source_sql: &str, target_sql: &str) -> Scene {
    let scene = Scene::new(source_sql, target_sql).unwrap();
    let path = scene.here.path().join("reconcile.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("row_level = true\n", "")).unwrap();
    scene
}

/// The lines of the CSV as objects.
fn csv(run: &Run) -> Vec<Json> {
    let mut lines = run.stdout.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| {
            // These tests have no cell with a comma.
            let cells = line.split(',').map(Json::from);
            Json::Object(header.iter().map(ToString::to_string).zip(cells).collect())
        })
        .collect()
}

#[test]
fn equal_counts_are_not_called_equal_values() {
    let scene = without_depth(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2)",
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (7, 8), (9, 9)",
    );
    let console = run(&scene, &["--tables", "t", "--format", "console"]);
    assert_eq!(console.code, 0, "{console:?}");
    assert!(
        console.stdout.starts_with(
            "COUNTS EQUAL: the row counts of 1 table agree; values were not compared (add --row-level)\n"
        ),
        "{console:?}"
    );
    let report = run(&scene, &["--tables", "t"]).report();
    assert_eq!(
        (&report["status"], &report["verdict"], &report["depth"]),
        (&json!("PASS"), &json!("counts_equal"), &json!("counts"))
    );
    let table = result(&report, "t");
    assert_eq!(
        (&table["verdict"], &table["columns"]["compared"]),
        (&json!("counts_equal"), &json!(0))
    );
    let lines = csv(&run(&scene, &["--tables", "t", "--format", "csv"]));
    assert_eq!(
        (&lines[0]["verdict"], &lines[0]["depth"]),
        (&json!("counts_equal"), &json!("counts"))
    );
    let checksum = [
        "--tables",
        "t",
        "--format",
        "console",
        "--validate-checksums",
    ];
    let checksum = run(&scene, &checksum);
    assert_eq!(checksum.code, 1, "{checksum:?}");
    assert!(
        checksum
            .stdout
            .starts_with("DIFFERENT: 1 of 1 table differs, by checksum\n")
            && checksum
                .stdout
                .contains("next: reconcile run … --row-level"),
        "{checksum:?}"
    );
}

#[test]
fn the_verdict_names_the_depth() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
    let scene = without_depth(sql, sql);
    for (flag, expected) in [
        (
            "--validate-checksums",
            "VALUES EQUAL by checksum: 1 table\n",
        ),
        ("--row-level", "EQUAL: every row of 1 table\n"),
    ] {
        let console = run(&scene, &["--tables", "t", "--format", "console", flag]);
        assert_eq!(console.code, 0, "{console:?}");
        assert!(console.stdout.starts_with(expected), "{console:?}");
    }
}

/// Names of one side in another style, and every value wrong.
#[test]
fn columns_of_another_style_are_compared() {
    let scene = Scene::new(
        r#"CREATE TABLE "InvoiceLine" ("InvoiceLineId" int PRIMARY KEY, "InvoiceId" int,
               "UnitPrice" numeric(19, 4), "Quantity" int);
           INSERT INTO "InvoiceLine" VALUES (1, 10, 0.99, 1), (2, 10, 0.99, 1)"#,
        "CREATE TABLE invoice_line (invoice_line_id int PRIMARY KEY, invoice_id int,
             unit_price numeric(19, 4), quantity int);
         INSERT INTO invoice_line VALUES (71, 99, 5, 1), (72, 98, 6, 1)",
    )
    .unwrap();
    let tables = "\"InvoiceLine\"=invoice_line";
    let report = run(&scene, &["--tables", tables]);
    assert_eq!(report.code, 1, "{report:?}");
    let report = report.report();
    assert_eq!(report["verdict"], "different");
    let paired = &report["scope"]["columns"]["paired"];
    assert_eq!(
        (&paired["normalised"], &paired["ignore_case"]),
        (&json!(3), &json!(1))
    );
    let table = &report["results"][0];
    assert_eq!(
        (&table["missing"], &table["extra"], &table["key"]),
        (&json!(2), &json!(2), &json!(["InvoiceLineId"]))
    );
    assert_eq!(table["coverage"]["key_origin"], "source");
    let console = run(&scene, &["--tables", tables, "--format", "console"]);
    for words in [
        "columns paired: 1 ignoring case, 3 ignoring case, `_`, blanks and `-`",
        "missing: only in the source; extra: only in the target",
        "--generate-repair",
    ] {
        assert!(console.stdout.contains(words), "no {words} in {console:?}");
    }
}

#[test]
fn a_missing_column_is_named() {
    let scene = Scene::new(
        "CREATE TABLE invoice (id int PRIMARY KEY, amount numeric(19, 4), currency char(3));
         INSERT INTO invoice VALUES (1, 10, 'EUR'), (2, 20, 'USD')",
        "CREATE TABLE invoice (id int PRIMARY KEY, amount numeric(19, 4));
         INSERT INTO invoice VALUES (1, 10), (2, 20)",
    )
    .unwrap();
    let console = run(&scene, &["--tables", "invoice", "--format", "console"]);
    assert_eq!(console.code, 1, "{console:?}");
    for words in [
        "DIFFERENT: 1 of 1 table differs\n",
        "0 missing, 0 extra, 0 modified",
        "structure: column currency character(3) is missing in the target",
        "next: columns.map, columns.exclude",
    ] {
        assert!(console.stdout.contains(words), "no {words} in {console:?}");
    }
    let lines = csv(&run(&scene, &["--tables", "invoice", "--format", "csv"]));
    assert_eq!(
        (
            &lines[0]["verdict"],
            &lines[0]["source_columns"],
            &lines[0]["compared_columns"],
            &lines[0]["missing_columns"],
            &lines[0]["missing_column_names"],
        ),
        (
            &json!("different"),
            &json!("3"),
            &json!("2"),
            &json!("1"),
            &json!("currency character(3)"),
        )
    );
    let allowed = [
        "--tables",
        "invoice",
        "--format",
        "console",
        "--allow-missing-columns",
    ];
    let allowed = run(&scene, &allowed);
    assert_eq!(allowed.code, 0, "{allowed:?}");
    assert!(
        allowed.stdout.starts_with(
            "EQUAL: every row of 1 table; not covered: 1 column missing in the target\n"
        ) && allowed
            .stdout
            .contains("invoice: column currency character(3) is missing"),
        "{allowed:?}"
    );
}

/// The target has new keys, so that rows cannot be identified.
#[test]
fn a_key_that_only_the_source_has_verifies_nothing() {
    let scene = Scene::new(
        "CREATE TABLE customers (customer_id int PRIMARY KEY, email text);
         INSERT INTO customers VALUES (1, 'a@x'), (2, 'b@x')",
        "CREATE TABLE customers (id serial PRIMARY KEY, email text);
         INSERT INTO customers (email) VALUES ('b@x'), ('a@x')",
    )
    .unwrap();
    for depth in ["--row-level", "--validate-checksums"] {
        let report = run(&scene, &["--tables", "customers", depth]);
        assert_eq!(report.code, 3, "{report:?}");
        let report = report.report();
        assert_eq!(
            (&report["verdict"], &report["errors"][0]["type"]),
            (&json!("incomplete"), &json!("KeyColumnMissing"))
        );
    }
}

#[test]
fn the_console_shows_what_differs_of_long_values() {
    let remark = "A long remark about an employee, of more than forty characters, that ends: ";
    let photo = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let table = "CREATE TABLE employees (id int PRIMARY KEY, notes text, photo bytea, name text);";
    let row = |end: &str, byte: &str, name: &str| {
        format!(
            "{table} INSERT INTO employees VALUES (1, '{remark}{end}.', '\\x{photo}{byte}', '{name}')"
        )
    };
    let scene = Scene::new(
        &row("red", "21", "Jos\u{e9} Ruiz"),
        &row("blue", "22", "Jos\u{e9}\u{a0}Ruiz"),
    )
    .unwrap();
    let console = run(&scene, &["--tables", "employees", "--format", "console"]);
    assert_eq!(console.code, 1, "{console:?}");
    for words in [
        ", that ends: red.' → '…",
        ", that ends: blue.'",
        "1f21' → '…",
        "name: 'José␣Ruiz' → 'José\\u{a0}Ruiz'",
        "→: from the source's value to the target's; ␣: a blank; \\u{…}: a character by its code",
        "next: reconcile run … --rows-output rows.jsonl",
        "reconcile run … --recheck 3",
    ] {
        assert!(
            console.stdout.contains(words),
            "no {words} in {}",
            console.stdout
        );
    }
}

#[test]
fn a_stored_report_keeps_its_header() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
    let scene = Scene::new(sql, sql).unwrap();
    let first = run(&scene, &["--tables", "t"]).report();
    assert_eq!(first["schema_version"], 1);
    assert!(
        first["origin"]["host"]
            .as_str()
            .is_some_and(|host| !host.is_empty())
            && first["origin"]["tool_version"].is_string(),
        "{first:#}"
    );
    assert_eq!(first["source"]["endpoint"], "source");
    let again = scene
        .here
        .reconcile(&["report", "latest", "--format", "json"]);
    assert_eq!(again.report(), first);
}

/// Rows 1 to 3,000 are modified, 3,001 is missing, 3,002 is extra.
fn many() -> Scene {
    let table = "CREATE TABLE t (id int PRIMARY KEY, v text);
        INSERT INTO t SELECT n, 'value ' || n FROM generate_series(1, 3000) n;";
    Scene::new(
        &format!("{table} INSERT INTO t VALUES (3001, 'only here'), (4000, 'equal')"),
        &format!(
            "{table} UPDATE t SET v = 'other, ' || id;
             INSERT INTO t VALUES (3002, 'only there'), (4000, 'equal')"
        ),
    )
    .unwrap()
}

#[test]
fn all_differing_rows_are_written_to_a_file() {
    let scene = many();
    let read = |name: &str| std::fs::read_to_string(scene.here.path().join(name)).unwrap();
    let arguments = ["--tables", "t", "--max-differences", "10", "--rows-output"];
    let report = run(&scene, &[&arguments[..], &["rows.jsonl"]].concat());
    assert_eq!(report.code, 1, "{report:?}");
    let report = report.report();
    let table = result(&report, "t");
    assert_eq!(
        (
            &table["truncated"],
            table["differences"].as_array().unwrap().len()
        ),
        (&json!(true), 10)
    );
    assert!(
        report["notes"][0]
            .as_str()
            .unwrap()
            .starts_with("3002 differing rows were written to "),
        "{report:#}"
    );
    let rows: Vec<Json> = read("rows.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of_kind = |kind: &str| rows.iter().filter(|row| row["kind"] == kind).count();
    assert_eq!(
        (
            rows.len(),
            of_kind("modified"),
            of_kind("missing"),
            of_kind("extra")
        ),
        (3002, 3000, 1, 1)
    );
    let seventh = rows.iter().find(|row| row["key"]["id"] == 7).unwrap();
    assert_eq!(
        seventh,
        &json!({"table": "t", "target": "t", "kind": "modified", "key": {"id": 7},
            "columns": [{"name": "v", "source": "value 7", "target": "other, 7"}]})
    );

    let csv = run(
        &scene,
        &[&arguments[..], &["rows.csv", "--redact"]].concat(),
    );
    assert_eq!(csv.code, 1, "{csv:?}");
    let text = read("rows.csv");
    assert_eq!(
        text.lines().count(),
        3003,
        "a header, and a line for each row"
    );
    assert!(
        text.starts_with("table,target,kind,key,column,source_value,target_value\n")
            && text.contains("redacted:hash=")
            && !text.contains("value 7"),
        "{}",
        &text[..500]
    );
    let left: Vec<String> = std::fs::read_dir(scene.here.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".rows"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The rows of a table that had ended before the coordinator was killed are in the file too.
#[test]
fn the_file_of_a_resumed_run_has_all_rows() {
    let sql = |v: &str| {
        format!(
            "CREATE TABLE first (id int PRIMARY KEY, v text); INSERT INTO first VALUES (1, '{v}');
             CREATE VIEW later AS SELECT 2 AS id, '{v}'::text AS v"
        )
    };
    let scene = Scene::new(
        &format!("{}, gate(0) AS number", sql("a")),
        &format!("{}, 0 AS number", sql("b")),
    )
    .unwrap();
    let gates = Gates::closed(&scene.source, 1).unwrap();
    let arguments = ["--tables", "first,later", "--rows-output", "rows.jsonl"];
    let mut killed = scene.here.start(&[&["run"][..], &arguments].concat());
    killed
        .wait_for_line("mismatched", Duration::from_secs(60))
        .unwrap();
    killed.kill();
    gates.open(0).unwrap();
    let resumed = scene
        .here
        .reconcile(&["resume", "latest", "--format", "json"]);
    assert_eq!(resumed.code, 1, "{resumed:?}");
    let report = resumed.report();
    assert_eq!(report["mismatched"], 2, "{report:#}");
    let text = std::fs::read_to_string(scene.here.path().join("rows.jsonl")).unwrap();
    let tables: Vec<Json> = text
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap()["table"].take())
        .collect();
    assert!(
        tables.iter().filter(|table| **table == "first").count() == 1
            && tables.iter().any(|table| table == "later"),
        "{text}"
    );
}

#[test]
fn a_file_of_rows_needs_rows_and_a_place() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY)";
    let scene = without_depth(sql, sql);
    let shallow = run(&scene, &["--tables", "t", "--rows-output", "rows.jsonl"]);
    assert_eq!(shallow.code, 2, "{shallow:?}");
    assert!(shallow.stderr.contains("--row-level"), "{shallow:?}");
    let nowhere = [
        "--tables",
        "t",
        "--row-level",
        "--rows-output",
        "no/such/rows.jsonl",
    ];
    let nowhere = run(&scene, &nowhere);
    assert_eq!(nowhere.code, 2, "{nowhere:?}");
    assert!(nowhere.stderr.contains("no/such/rows.jsonl"), "{nowhere:?}");
}

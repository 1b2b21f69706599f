//! The reader of deploy/sql/postgres.sql can do what a run needs, and no more.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tests::product::{Workplace, result};
use tests::services::{Database, Postgres};

use crate::path;

const PASSWORD: &str = "it's a \"long\" password";

/// Makes the reader in a database as an administrator would; `owner` makes its tables.
fn make_reader(database: &Database, password_file: &Path) {
    let output = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
        .args(["-v", "reader=reconcile_reader", "-v", "schema=sales"])
        .args(["-v", "owner=etl", "-d", &database.url(), "-f"])
        .arg(path("deploy/sql/postgres.sql"))
        .env("READER_PASSWORD_FILE", password_file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_reader_runs_and_nothing_else() {
    let server = Postgres::start().unwrap();
    let (source, target) = (
        server.create_database("erp").unwrap(),
        server.create_database("warehouse").unwrap(),
    );
    source.execute("CREATE ROLE etl").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let password_file = directory.path().join("password");
    std::fs::write(&password_file, PASSWORD).unwrap();
    for database in [&source, &target] {
        database
            .execute("CREATE SCHEMA sales AUTHORIZATION etl; SET ROLE etl; CREATE TABLE sales.before (id int PRIMARY KEY, t text); INSERT INTO sales.before VALUES (1, 'a'), (2, 'b')")
            .unwrap();
        make_reader(database, &password_file);
        // Again is no error, and what is made later is readable too.
        make_reader(database, &password_file);
        database
            .execute("SET ROLE etl; CREATE TABLE sales.later (id int PRIMARY KEY); INSERT INTO sales.later VALUES (1); CREATE TABLE sales.guarded (id int PRIMARY KEY); INSERT INTO sales.guarded VALUES (1), (2); ALTER TABLE sales.guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY half ON sales.guarded USING (id = 1)")
            .unwrap();
    }
    target
        .execute("UPDATE sales.before SET t = 'c' WHERE id = 2")
        .unwrap();

    let endpoint = |name: &str, database: &Database| {
        format!(
            "[endpoints.{name}]\nurl = 'postgres://reconcile_reader@127.0.0.1:{}/{}?schema=sales'\npassword_file = '{}'\n",
            server.port(),
            database.name(),
            password_file.display()
        )
    };
    let here = Workplace::new(&format!(
        "{}{}[run]\nsource = 'erp'\ntarget = 'warehouse'\nrow_level = true\nformat = 'json'\n",
        endpoint("erp", &source),
        endpoint("warehouse", &target)
    ));
    let run = here.reconcile(&["run", "--tables", "sales.*"]);
    let report = run.report();
    let status = |table: &str| result(&report, table)["status"].clone();
    assert_eq!(status("sales.before"), "mismatched", "{run:?}");
    assert_eq!(
        result(&report, "sales.before")["differences"][0]["key"],
        json!({"id": 2})
    );
    assert_eq!(status("sales.later"), "matched", "{run:?}");
    // Rows that a policy hides are not rows that are equal.
    assert_eq!(status("sales.guarded"), "failed", "{run:?}");
    assert_eq!(run.code, 3);

    let url = |database: &Database| {
        let mut url = url::Url::parse(&database.url()).unwrap();
        url.set_username("reconcile_reader").unwrap();
        url.set_password(Some(PASSWORD)).unwrap();
        url.to_string()
    };
    for statement in [
        "INSERT INTO sales.before VALUES (3, 'x')",
        "BEGIN READ WRITE; INSERT INTO sales.before VALUES (3, 'x')",
        "BEGIN READ WRITE; CREATE TABLE sales.mine (id int)",
        "BEGIN READ WRITE; CREATE TABLE public.mine (id int)",
        "BEGIN READ WRITE; CREATE ROLE other",
        "BEGIN READ WRITE; DELETE FROM sales.later",
    ] {
        let output = Command::new("psql")
            .args([
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &url(&target),
                "-c",
                statement,
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("permission denied") || said.contains("read-only transaction"),
            "{statement}: {said}"
        );
    }
}

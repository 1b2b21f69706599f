//! The users of deploy/sql: the one of PostgreSQL has exactly the permissions that a
//! run needs; the scripts for SQL Server and Azure define every variable that they use.

use std::path::Path;
use std::process::{Command, Output};

use harness::services::{Database, Postgres};
use serde_json::json;
use tests::product::{Workplace, result};

use crate::{path, read};

const PASSWORD: &str = "it's a \"long\" password";

/// The URL of a database for another user.
fn url_of(database: &Database, user: &str, password: &str) -> String {
    let mut url = url::Url::parse(&database.url()).unwrap();
    url.set_username(user).unwrap();
    url.set_password(Some(password)).unwrap();
    url.to_string()
}

/// Runs the script in the database at `url` as an administrator would; `etl` makes its tables.
fn run_script(url: &str, password_file: &Path, more: &[&str]) -> Output {
    Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
        .args(["-v", "reader=reconcile_reader", "-v", "schema=sales"])
        .args(["-v", "owner=etl"])
        .args(more)
        .args(["-d", url, "-f"])
        .arg(path("deploy/sql/postgres.sql"))
        .env("READER_PASSWORD_FILE", password_file)
        .output()
        .unwrap()
}

/// Makes the reader, without anything to note.
fn make_reader(url: &str, password_file: &Path) {
    let output = run_script(url, password_file, &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
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
        make_reader(&database.url(), &password_file);
        // A second run of the script is no error, and later tables are readable too.
        make_reader(&database.url(), &password_file);
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

    let reader = url_of(&target, "reconcile_reader", PASSWORD);
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
                &reader,
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

#[test]
fn who_may_create_roles_and_owns_the_schema_makes_the_reader() {
    let server = Postgres::start().unwrap();
    let database = server.create_database("warehouse").unwrap();
    database
        .execute("CREATE ROLE etl LOGIN CREATEROLE PASSWORD 'e'; CREATE SCHEMA sales AUTHORIZATION etl; SET ROLE etl; CREATE TABLE sales.one (id int PRIMARY KEY)")
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let password_file = directory.path().join("password");
    std::fs::write(&password_file, PASSWORD).unwrap();
    let owner = url_of(&database, "etl", "e");
    make_reader(&owner, &password_file);
    make_reader(&owner, &password_file);
    let output = Command::new("psql")
        .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"])
        .arg(url_of(&database, "reconcile_reader", PASSWORD))
        .args(["-c", "SELECT count(*) FROM sales.one"])
        .args(["-c", "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls FROM pg_roles WHERE rolname = current_user"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "0\nf\n",
        "{output:?}"
    );
}

#[test]
fn a_schema_where_everyone_may_create_is_named_and_closed_only_on_request() {
    let server = Postgres::start().unwrap();
    let database = server.create_database("warehouse").unwrap();
    // The default of PostgreSQL 11 to 14.
    database
        .execute("CREATE ROLE etl; CREATE SCHEMA sales; GRANT CREATE ON SCHEMA public TO PUBLIC")
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let password_file = directory.path().join("password");
    std::fs::write(&password_file, PASSWORD).unwrap();
    let may_create = || {
        let statement = "BEGIN READ WRITE; CREATE TABLE public.mine (id int); ROLLBACK";
        let output = Command::new("psql")
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(url_of(&database, "reconcile_reader", PASSWORD))
            .args(["-c", statement])
            .output()
            .unwrap();
        output.status.success()
    };
    let output = run_script(&database.url(), &password_file, &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("revoke_create"),
        "{said}"
    );
    assert!(may_create());
    let output = run_script(
        &database.url(),
        &password_file,
        &["-v", "revoke_create=yes"],
    );
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    assert!(!may_create());

    // A missing password would make a role that cannot log in.
    let output = run_script(&database.url(), &directory.path().join("none"), &[]);
    assert!(!output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("READER_PASSWORD_FILE"), "{said}");
}

#[test]
fn sqlcmd_finds_every_variable_in_the_environment() {
    let exported = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| line.trim_start_matches("-- ").trim());
        lines
            .filter_map(|line| line.strip_prefix("export "))
            .flat_map(str::split_whitespace)
            .map(|word| word.split('=').next().unwrap().to_owned())
            .collect()
    };
    let demo = exported(&read("deploy/docker/sqlserver-reader.sh"));
    for (name, expected) in [
        ("sqlserver", &["Database", "READER_PASSWORD", "Reader"][..]),
        ("sqlserver-snapshot", &["Database"]),
        ("azure-sql-database", &["READER_PASSWORD", "Reader"]),
    ] {
        let script = read(&format!("deploy/sql/{name}.sql"));
        // sqlcmd replaces variables in comments too.
        let mut variables: Vec<&str> = script
            .split("$(")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
            .collect();
        variables.sort_unstable();
        variables.dedup();
        assert_eq!(variables, expected, "{name}");
        let documented = exported(&script);
        for variable in variables {
            let is_exported = |names: &[String]| names.iter().any(|name| name == variable);
            assert!(
                is_exported(&documented) && is_exported(&demo),
                "{name}: no {variable}"
            );
        }
        // Not every sqlcmd has the flag for it.
        assert!(!script.contains(" -v "), "{name}");
        // Azure SQL Database has neither logins nor another database to use.
        let is_azure = name.starts_with("azure");
        for word in ["CREATE LOGIN", "USE [", "GRANT VIEW SERVER STATE"] {
            assert!(!is_azure || !script.contains(word), "{name}: {word}");
        }
    }
}
